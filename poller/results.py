"""Reading the results of scans that the audit log told of: one artifact request for each that has ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from poller import scans
from poller.errors import HarborUnreachable, NotAllowed, PollerError
from poller.harbor import Harbor
from poller.logs import Log
from poller.reporting import Reporter
from state import NoticedScan, Outcome, Store

MOST_AT_ONCE = 50
"""So many results are read after one poll; the others wait for the next."""

NOT_ALLOWED_AGAIN = timedelta(minutes=10)

_log = Log(__name__)


class ResultReader:
    """Looks at artifacts whose scan has ended (2.12+) or may have ended, and records the outcome."""

    def __init__(self, harbor: Harbor, store: Store, reporter: Reporter, is_stopping: Callable[[], bool]) -> None:
        self._harbor = harbor
        self._store = store
        self._reporter = reporter
        self._is_stopping = is_stopping
        self._warned: set[str] = set()
        self._durations: deque[timedelta] = deque(maxlen=20)

    def look_after(self) -> timedelta:
        """How long to let a scan alone of which no row tells the end, going by the last ones."""
        return scans.look_after(self._durations)

    def read(self, now: datetime) -> int:
        """Look at what is due. A failure puts the scan off; returns how many outcomes were new."""
        new = 0
        refused: set[str] = set()
        for scan in self._store.scans_due(now, most=MOST_AT_ONCE):
            if self._is_stopping():
                break
            project = (scan.repository or "").partition("/")[0]
            if project in refused:
                self._put_off(scan, now + NOT_ALLOWED_AGAIN, now)
                continue
            try:
                new += self._look(scan, now)
            except NotAllowed as error:
                self._say_once(project, error)
                refused.add(project)
                self._put_off(scan, now + NOT_ALLOWED_AGAIN, now)
            except PollerError as error:
                _log.warning("scan.look_failed", error=error, repository=scan.repository)
                self._put_off(scan, scans.next_look(scan, now), now)
                if isinstance(error, HarborUnreachable):
                    break
        return new

    def _put_off(self, scan: NoticedScan, until: datetime, now: datetime) -> None:
        outcome = Outcome.GIVEN_UP if scans.is_lost(scan, now) else scan.outcome
        self._store.finish_look(replace(scan, look_at=until, looks=scan.looks + 1, outcome=outcome), (), now)

    def _say_once(self, project: str, error: PollerError) -> None:
        if project not in self._warned:
            self._warned.add(project)
            _log.warning("scan.not_allowed", error=error, remedy=f"grant artifact: read on the project {project}")

    def _look(self, scan: NoticedScan, now: datetime) -> int:
        assert scan.repository
        assert scan.digest
        artifact = self._harbor.artifact(scan.repository, scan.digest, with_scan=True)
        verdict = scans.judge(scan, artifact, now)
        looked = replace(scan, looks=scan.looks + 1, outcome=verdict.outcome, look_at=scans.next_look(scan, now))
        if verdict.result is None or artifact is None:
            if verdict.outcome is not Outcome.RUNNING:
                _log.info("scan.not_told", outcome=verdict.outcome, repository=scan.repository, digest=scan.digest)
            return self._store.finish_look(looked, (), now)
        if scan.started_at is not None:
            self._durations.append(max(verdict.result.ended_at - scan.started_at, timedelta(0)))
        reported = self._reporter.report(scan, verdict.result, artifact, now)
        new = self._store.finish_look(looked, (reported.telling,), now, reported.learnt, reported.wave)
        self._reporter.hold_the_rest(reported)
        return new
