"""Reading the results of scans that the audit log told of: one artifact request for each that has ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from poller import scans
from poller.errors import HarborUnreachable, NotAllowed, PollerError
from poller.harbor import Harbor
from poller.logs import Log
from poller.reporting import Reporter
from poller.scans import Verdict
from poller.survey import Survey
from state import NoticedScan, Outcome, Store

MOST_AT_ONCE = 50
"""So many results are read before the log is polled again."""

MOST_FAILURES = 3
"""After so many in a row Harbor is left in peace until the next poll."""

NOT_ALLOWED_AGAIN = timedelta(minutes=10)

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Looked:
    """How many outcomes were new. `has_more`: other results may be read at once."""

    new: int
    has_more: bool


class ResultReader:
    """Looks at artifacts whose scan has ended (2.12+) or may have ended, and records the outcome."""

    def __init__(
        self, harbor: Harbor, store: Store, reporter: Reporter, survey: Survey, is_stopping: Callable[[], bool]
    ) -> None:
        self._harbor = harbor
        self._store = store
        self._reporter = reporter
        self._survey = survey
        self._is_stopping = is_stopping
        self._warned: set[str] = set()
        self._durations: deque[timedelta] = deque(maxlen=20)

    def look_after(self) -> timedelta:
        """How long to let a scan alone of which no row tells the end, going by the last ones."""
        return scans.look_after(self._durations)

    def read(self, now: datetime) -> Looked:
        """Look at a portion of what is due. A failure puts the scan off."""
        new = failures = 0
        refused: set[str] = set()
        due = self._store.scans_due(now, most=MOST_AT_ONCE)
        for scan in due:
            if self._is_stopping():
                break
            project = (scan.repository or "").partition("/")[0]
            if project in refused:
                self._put_off(scan, now + NOT_ALLOWED_AGAIN, now)
                continue
            try:
                new += self._look(scan, now)
                failures = 0
            except NotAllowed as error:
                self._say_once(project, error)
                refused.add(project)
                self._put_off(scan, now + NOT_ALLOWED_AGAIN, now)
            except PollerError as error:
                _log.warning("scan.look_failed", error=error, repository=scan.repository)
                self._put_off(scan, scans.look_after_failure(scan, now), now)
                failures += 1
                if isinstance(error, HarborUnreachable) or failures == MOST_FAILURES:
                    return Looked(new, has_more=False)
        return Looked(new, has_more=len(due) == MOST_AT_ONCE)

    def _put_off(self, scan: NoticedScan, until: datetime, now: datetime) -> None:
        """Nothing was seen, so nothing is lost yet: a right may be granted, and Harbor come back."""
        outcome = Outcome.GIVEN_UP if scans.is_long_ago(scan, now) else scan.outcome
        self._store.finish_look(replace(scan, look_at=until, looks=scan.looks + 1, outcome=outcome), (), now)

    def _say_once(self, project: str, error: PollerError) -> None:
        if project not in self._warned:
            self._warned.add(project)
            _log.warning("scan.not_allowed", error=error, remedy=f"grant artifact: read on the project {project}")

    def _look(self, scan: NoticedScan, now: datetime) -> int:
        assert scan.repository
        assert scan.digest
        artifact = self._harbor.artifact(scan.repository, scan.digest, with_scan=True)
        has_end_rows = self._survey.server().has_robot_rows
        verdict = self._checked(scans.judge(scan, artifact, now, has_end_rows=has_end_rows), scan, now)
        look_at = scans.next_look(scan, now, has_end_rows=has_end_rows)
        looked = replace(scan, looks=scan.looks + 1, outcome=verdict.outcome, look_at=look_at)
        if verdict.result is None or artifact is None:
            if verdict.outcome is not Outcome.RUNNING:
                _log.info("scan.not_told", outcome=verdict.outcome, repository=scan.repository, digest=scan.digest)
            return self._store.finish_look(looked, (), now)
        if scan.started_at is not None:
            self._durations.append(max(verdict.result.ended_at - scan.started_at, timedelta(0)))
        return self._reporter.report(looked, verdict.result, artifact, now)

    def _checked(self, verdict: Verdict, scan: NoticedScan, now: datetime) -> Verdict:
        """Whether the result is not that of another scan, or one that was told before."""
        result = verdict.result
        if result is None:
            return verdict
        if self._reporter.is_known(scan, result):
            if result.is_sbom:  # an old one, that failed
                is_lost = scans.is_lost(scan, now, is_running=False)
                return Verdict(Outcome.GIVEN_UP if is_lost else Outcome.RUNNING)
            return Verdict(Outcome.TOLD if scan.is_of_sweep else Outcome.OVERWRITTEN)
        assert scan.digest
        if scans.is_anothers(scan, result, self._store.rivals(scan.digest)):
            return Verdict(Outcome.OVERWRITTEN)
        return verdict
