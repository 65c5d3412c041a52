"""Reading the results of scans that the audit log told of: one artifact request for each that has ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from logging import WARNING

import msgspec

from poller import scans
from poller.errors import HarborUnreachable, NotAllowed, PollerError
from poller.events import EventType
from poller.harbor import Harbor
from poller.logs import Log
from poller.reporting import Reporter
from poller.rows import Artifact
from poller.scans import Verdict
from poller.survey import Survey
from poller.troubles import Trouble, Troubles
from poller.values import replace
from state import NoticedScan, Outcome, Store

MOST_AT_ONCE = 50
"""So many results are read before the log is polled again."""

MOST_DURATIONS = 500
RECENT = timedelta(minutes=30)
SEEN_LATELY = timedelta(days=1)
MOST_FAILURES = 3
"""After so many in a row Harbor is left in peace for a while."""

NOT_ALLOWED_AGAIN = timedelta(minutes=10)

NOT_ALLOWED = Trouble("scan.not_allowed", "scan.still_not_allowed", "scan.allowed", WARNING)
LOOK_FAILED = Trouble("scan.look_failed", "scan.look_failing", "scan.look_recovered", WARNING)

_log = Log(__name__)


class Looked(msgspec.Struct, frozen=True):
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
        self._troubles = Troubles()
        self._outages = 0  # in a row
        self._not_before: datetime | None = None
        self._durations = scans.Durations()

    def look_after(self, repository: str) -> timedelta:
        """How long to let a scan alone whose end is not known: since 2.12 a row tells it, and none is the exception."""
        if self._survey.server().has_robot_rows:
            return scans.WITHOUT_END
        if not self._durations:
            for where, duration in reversed(self._store.scan_durations(most=MOST_DURATIONS)):
                self._durations.add(where, duration)
        return self._durations.look_after(repository)

    def read(self, now: datetime) -> Looked:
        """Look at a portion of what is due. A failure puts the scan off."""
        if self._not_before is not None and now < self._not_before:
            return Looked(0, has_more=False)
        self._explain_by_pushes(now)
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
                failures = self._outages = 0
                self._reporter.unreadable.discard(project)
                self._troubles.went_well(LOOK_FAILED)
                self._troubles.went_well(NOT_ALLOWED.of(project=project))
            except NotAllowed as error:
                remedy = f"grant artifact: read on the project {project}"
                self._troubles.failed(NOT_ALLOWED.of(project=project), error, remedy=remedy)
                self._reporter.unreadable.add(project)
                refused.add(project)
                self._put_off(scan, now + NOT_ALLOWED_AGAIN, now)
            except PollerError as error:
                self._troubles.failed(LOOK_FAILED, error, repository=scan.repository)
                self._put_off(scan, scans.next_look(scan, now, scans.FIRST_LOOK, is_hidden=True), now)
                failures += 1
                if isinstance(error, HarborUnreachable) or failures == MOST_FAILURES:
                    self._leave_in_peace(now)
                    return Looked(new, has_more=False)
        return Looked(new, has_more=len(due) == MOST_AT_ONCE)

    def _explain_by_pushes(self, now: datetime) -> None:
        """Of a scan whose pull was not logged its robot's end is known; and if a push caused it, of what it was."""
        for scan in self._store.unexplained_scans(since=now - RECENT, is_new=True):
            repository, digest = self._reporter.pushed_for(scan) or (None, None)
            found = replace(scan, repository=repository, digest=digest, looks=1, look_at=now)
            self._store.finish_look(found, (), now)

    def _leave_in_peace(self, now: datetime) -> None:
        self._not_before = now + min(scans.FIRST_LOOK * (1 << min(self._outages, 10)), scans.LONGEST_PAUSE)
        self._outages += 1

    def _put_off(self, scan: NoticedScan, until: datetime, now: datetime) -> None:
        """Nothing was seen, so nothing is lost yet: a right may be granted, and Harbor come back."""
        outcome = Outcome.GIVEN_UP if scans.is_long_ago(scan, now) else scan.outcome
        self._store.finish_look(replace(scan, look_at=until, looks=scan.looks + 1, outcome=outcome), (), now)

    def _look(self, scan: NoticedScan, now: datetime) -> int:
        assert scan.repository
        assert scan.digest
        artifact = self._harbor.artifact(scan.repository, scan.digest, with_scan=True)
        if artifact is None:
            return self._finish(scan, Outcome.GONE, now)
        verdict = self._judged(scan, artifact, now)
        if verdict.result is None and scan.is_guess:  # then it was another artifact's
            scan = replace(scan, repository=None, digest=None)
            return self._finish(scan, Outcome.RUNNING, now)
        if verdict.result is None:
            is_hidden = scan.ended_at is not None and not artifact.scan_overview
            return self._finish(scan, verdict.outcome, now, is_hidden=is_hidden)
        told = replace(scan, looks=scan.looks + 1, outcome=verdict.outcome)
        if scan.started_at is not None:
            self._durations.add(scan.repository or "", max(verdict.result.ended_at - scan.started_at, timedelta(0)))
            told = replace(told, ended_at=scan.ended_at or verdict.result.ended_at)
        return self._reporter.report(told, verdict.result, artifact, now)

    def _finish(self, scan: NoticedScan, outcome: Outcome, now: datetime, *, is_hidden: bool = False) -> int:
        """There is nothing to tell: not yet, or not any more."""
        if outcome is not Outcome.RUNNING:
            _log.info("scan.not_told", outcome=outcome, repository=scan.repository, digest=scan.digest)
        first = self.look_after(scan.repository or "") if scan.ended_at is None else scans.FIRST_LOOK
        look_at = scans.next_look(scan, now, first, is_hidden=is_hidden)
        looked = replace(scan, looks=scan.looks + 1, outcome=outcome, look_at=look_at)
        return self._store.finish_look(looked, (), now)

    def _judged(self, scan: NoticedScan, artifact: Artifact, now: datetime) -> Verdict:
        """Whether there is a result of this scan, and nearer to it than to any other."""
        assert scan.digest
        news = [each for each in scans.candidates(scan, artifact) if not self._reporter.is_known(scan, each)]
        verdict = scans.judge(scan, artifact, news, now)
        rivals = [each for each in self._store.rivals(scan.digest) if each.robot != scan.robot]
        is_contested = 0 < len(news) <= len(rivals)  # otherwise there is one for each
        if is_contested and verdict.result and scans.is_anothers(scan, verdict.result, rivals):
            verdict = Verdict(Outcome.OVERWRITTEN)
        if verdict.result is not None or scan.ended_at is not None or scan.is_of_sweep:
            return verdict
        return scans.doubted(verdict, scan, artifact, now, has_end_rows=self._has_end_rows(scan))

    def _has_end_rows(self, scan: NoticedScan) -> bool:
        """Whether this Harbor logs the end of robots, and that is not switched off."""
        if not self._survey.server().has_robot_rows or scan.started_at is None:
            return False
        return self._store.has_seen(EventType.ROBOT_DELETED, since=scan.started_at - SEEN_LATELY)
