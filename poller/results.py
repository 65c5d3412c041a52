"""Reading the results of scans that the audit log told of: one artifact request for each that has ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from poller import scans
from poller.errors import HarborUnreachable, NotAllowed, PollerError
from poller.events import Event
from poller.harbor import Harbor
from poller.knowledge import LONG_AGO, Changes, TagFact
from poller.logs import Log
from poller.rows import Artifact
from poller.scans import ScanFacts
from poller.survey import Survey
from state import NoticedScan, Outcome, Store, Telling

MOST_AT_ONCE = 50
"""So many results are read after one poll; the others wait for the next."""

SCAN_ON_PUSH = timedelta(minutes=1)
"""A scan that starts so soon after a push, and that nobody asked for by hand, was asked for by the push."""

NOT_ALLOWED_AGAIN = timedelta(minutes=10)

_log = Log(__name__)


class ResultReader:
    """Looks at artifacts whose scan has ended (2.12+) or may have ended, and records the outcome."""

    def __init__(
        self,
        harbor: Harbor,
        store: Store,
        survey: Survey,
        decide: Callable[[Event], Telling],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._harbor = harbor
        self._store = store
        self._survey = survey
        self._decide = decide
        self._is_stopping = is_stopping
        self._warned: set[str] = set()

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
        if verdict.type is None or artifact is None:
            if verdict.outcome is not Outcome.RUNNING:
                _log.info("scan.not_told", outcome=verdict.outcome, repository=scan.repository, digest=scan.digest)
            return self._store.finish_look(looked, (), now)
        event = scans.event(scan, verdict, artifact, self._facts(scan))
        tellings = (replace(self._decide(event), since=now),)
        return self._store.finish_look(looked, tellings, now, _tags_of(scan.repository, artifact))

    def _facts(self, scan: NoticedScan) -> ScanFacts:
        assert scan.repository
        assert scan.digest
        server = self._survey.server()
        pushed_by = None
        if scan.started_at is not None:
            since = scan.started_at - SCAN_ON_PUSH
            pushed_by = self._store.pusher_of(scan.repository, scan.digest, since=since, until=scan.started_at)
        return ScanFacts(server.registry, self._is_public(scan.repository), server.version, pushed_by)

    def _is_public(self, repository: str) -> bool | None:
        name = repository.partition("/")[0]
        known = self._store.knowledge({repository}).is_public(name)
        if known is not None:
            return known
        project = self._harbor.project(name)
        return project.is_public if project else None


def _tags_of(repository: str, artifact: Artifact) -> Changes:
    """The look taught the artifact's tags too; a later deletion names only the digest."""
    facts = (TagFact(repository, tag.name, artifact.digest, tag.push_time or LONG_AGO) for tag in artifact.tags)
    return Changes(tags=tuple(facts))
