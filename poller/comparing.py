"""What people want to know of a scan and no overview says: what is new, and of which image a platform is.

Mostly from what is remembered; Harbor is asked only as far as the allowance goes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from logging import INFO, WARNING
from typing import Any

import msgspec

from poller import comparison
from poller.allowance import Allowance, Need
from poller.errors import NotAllowed, PollerError
from poller.events import Event, Finding, Index, Since
from poller.harbor import Harbor
from poller.knowledge import LONG_AGO, Changes, PlatformFact, ReportFact, TagFact
from poller.rows import Artifact
from poller.troubles import Trouble, Troubles
from poller.values import replace
from state import Store

NOT_ALLOWED_AGAIN = timedelta(hours=1)
MOST_FAILURES = 3
FAILED_AGAIN = timedelta(minutes=5)
"""After so many failures in a row nothing is named for so long."""
LONGEST_PLATFORM = 100
_MOST_FRUITLESS = 5000
NOT_ALLOWED = Trouble("scan.findings_not_allowed", "scan.findings_still_not_allowed", "scan.findings_allowed", WARNING)
FAILED = Trouble("scan.findings_failed", "scan.findings_failing", "scan.findings_recovered", WARNING)
INDEX_UNKNOWN = Trouble("scan.index_unknown", "scan.index_still_unknown", "scan.index_known", INFO)


class Compared(msgspec.Struct, frozen=True):
    """An event as far as it is known. `before`: the results that it was compared with, the nearest first."""

    event: Event
    learnt: Changes = msgspec.field(default_factory=Changes)
    before: tuple[tuple[Since, ReportFact], ...] = ()


class Comparer:
    """Completes the events of scans, and says what was learnt by that."""

    def __init__(self, harbor: Harbor, store: Store) -> None:
        self._harbor = harbor
        self._store = store
        self.allowance = Allowance(most=10, per_hour=5, per_result=0.03)  # 500 scans in an hour earn 20
        self._refused: dict[str, datetime] = {}  # by project, until when its findings are not asked for
        self._failures = 0  # in a row
        self._failed_at: datetime | None = None
        self._troubles = Troubles()
        self._fruitless: set[str] = set()  # untagged artifacts that no index lists

    def compare(self, event: Event, now: datetime) -> Compared:
        """The event with how its result compares by the counts, which costs nothing."""
        learnt = Changes()
        if event.scan is None or event.scan.is_sbom:  # it has no findings to compare, nor to be compared with
            return Compared(event, learnt)
        fact = comparison.report_fact(event, now)
        learnt += Changes(reports=(fact,))
        if fact.counts is None:
            return Compared(event, learnt)
        before, unread = self._before(event, fact)
        changes = tuple(comparison.change(since, each, fact) for since, each in before)
        return Compared(_with(event, changes=changes, unread=unread), learnt, before)

    def name_findings(self, compared: Compared, need: Need, now: datetime) -> Compared:
        """The same with its new critical and high findings named, if that may cost a request."""
        event = compared.event
        assert event.repository is not None
        assert event.digest is not None
        repository, digest = event.repository.full_name, event.digest
        counted = comparison.report_fact(event, now)
        if not comparison.has_findings_to_name(counted):
            return compared
        findings: tuple[Finding, ...] | None = None
        for _ in range(2 if need is Need.URGENT else 1):  # a large report may time out once
            if findings is None and self._may_ask(repository, now) and self.allowance.spend(need):
                findings = self._findings(repository, digest, now)
        if findings is None or not comparison.is_list_of(findings, counted):
            return compared
        fact = comparison.report_fact(event, now, findings)
        named = _named(event, fact, findings, compared.before)
        return Compared(named, compared.learnt + Changes(reports=(fact,)), compared.before)

    def _may_ask(self, repository: str, now: datetime) -> bool:
        if now < self._refused.get(repository.partition("/")[0], now):
            return False
        if self._failures < MOST_FAILURES or self._failed_at is None:
            return True
        return now - self._failed_at >= FAILED_AGAIN

    def _findings(self, repository: str, digest: str, now: datetime) -> tuple[Finding, ...] | None:
        """None where the message has to do without names: they are no reason to be late, or to lose it."""
        try:
            findings = self._harbor.findings(repository, digest)
        except NotAllowed as error:
            project = repository.partition("/")[0]
            remedy = "grant artifact-addition: read"
            self._troubles.failed(NOT_ALLOWED.of(project=project), error, remedy=remedy)
            self._refused[project] = now + NOT_ALLOWED_AGAIN
            return None
        except PollerError as error:
            self._troubles.failed(FAILED, error)
            self._failures += 1
            self._failed_at = now
            return None
        self._failures = 0
        self._troubles.went_well(FAILED)
        self._troubles.went_well(NOT_ALLOWED.of(project=repository.partition("/")[0]))
        return findings

    # -- of which image it is a platform ----------------------------------------------------------

    def index_of(
        self, repository: str, digest: str, pushed: Collection[str] = ()
    ) -> tuple[PlatformFact | None, Changes]:
        """Of which index an artifact is a platform; of several, preferably one that was just pushed."""
        known = self._store.platforms(repository, [digest]).get(digest)
        is_new = bool(pushed) and (known is None or known.index_digest not in pushed)
        if not is_new and (known is not None or f"{repository}@{digest}" in self._fruitless):
            return known, Changes()
        learnt = self._look_for_index(repository, digest)
        places = [fact for fact in learnt.platforms if fact.digest == digest]
        return next((fact for fact in places if fact.index_digest in pushed), places[-1] if places else known), learnt

    def placed(self, event: Event, place: PlatformFact | None, learnt: Changes) -> Event:
        """Platforms have no tag of their own; people know the image that they belong to."""
        if event.tag is not None or event.repository is None or place is None:
            return event
        repository = event.repository.full_name
        tags = self._store.knowledge({repository}, digests={(repository, place.index_digest)})
        for tag in learnt.tags:
            tags.tag_points_at(tag.repository, tag.tag, tag.digest, tag.at)
        newest = tags.newest_tag_of(repository, place.index_digest)
        return _with(event, index=Index(place.index_digest, newest, place.platform))

    def _look_for_index(self, repository: str, digest: str) -> Changes:
        if not self.allowance.spend(Need.WANTED):
            return Changes()
        try:
            learnt = taught_by(repository, self._harbor.indexes(repository))
        except PollerError as error:  # people know the platform by its digest then
            self._troubles.failed(INDEX_UNKNOWN, error)
            return Changes()
        self._troubles.went_well(INDEX_UNKNOWN)
        if all(fact.digest != digest for fact in learnt.platforms) and len(self._fruitless) < _MOST_FRUITLESS:
            self._fruitless.add(f"{repository}@{digest}")
        return learnt

    # -- what went before ---------------------------------------------------------------------------

    def _before(self, event: Event, fact: ReportFact) -> tuple[tuple[tuple[Since, ReportFact], ...], int]:
        """The results that this one is compared with, of the same scanner; and how many nobody could read."""
        assert event.digest is not None
        previous = self._previous_image(event)
        known = self._store.reports([event.digest, *([previous] if previous else [])])
        own = known.get((event.digest, fact.scanner))
        found = [(Since.SCAN, own), (Since.IMAGE, known.get((previous or "", fact.scanner)))]
        before = tuple(
            (since, each)
            for since, each in found
            if each is not None and each.counts is not None and each.report_id != fact.report_id
        )
        return before, self._unread(event, own)

    def _previous_image(self, event: Event) -> str | None:
        """What the tag pointed at before it pointed at this image; of an index: the same platform of that."""
        scan, repository = event.scan, event.repository
        assert scan is not None
        assert repository is not None
        index = scan.index
        tag, digest = (index.tag, index.digest) if index else (event.tag, event.digest)
        if tag is None:
            return None
        fact = self._store.tag(repository.full_name, tag)
        if fact is None or fact.digest != digest or fact.previous is None:
            return None
        if index is None:
            return fact.previous
        platforms = self._store.platforms_of(repository.full_name, fact.previous)
        return next((each.digest for each in platforms if each.platform == index.platform), None)

    def _unread(self, event: Event, known: ReportFact | None) -> int:
        assert event.repository is not None
        assert event.digest is not None
        name, since = event.repository.full_name, known.ended_at if known else LONG_AGO
        return self._store.unread_results(name, event.digest, since=since, until=event.occurred_at)


def taught_by(repository: str, artifacts: Iterable[Artifact]) -> Changes:
    """What a list of artifacts teaches: where tags point, and which platforms an index has."""
    tags: list[TagFact] = []
    platforms: list[PlatformFact] = []
    for artifact in sorted(artifacts, key=lambda each: each.push_time or LONG_AGO):  # of shared platforms the newest
        tags += (TagFact(repository, tag.name, artifact.digest, tag.push_time or LONG_AGO) for tag in artifact.tags)
        platforms += (
            PlatformFact(
                repository,
                reference.child_digest,
                artifact.digest,
                reference.platform[:LONGEST_PLATFORM],
                artifact.push_time or LONG_AGO,
            )
            for reference in artifact.references
            if reference.is_image
        )
    return Changes(tags=tuple(tags), platforms=tuple(platforms))


def _named(
    event: Event, fact: ReportFact, findings: tuple[Finding, ...], before: tuple[tuple[Since, ReportFact], ...]
) -> Event:
    assert event.scan is not None
    changes = tuple(comparison.change(since, each, fact) for since, each in before) or event.scan.changes
    nearest = before[0][1] if before else None
    news = comparison.new_findings(findings, nearest)
    is_exact = nearest is not None and nearest.findings is not None
    if changes and not is_exact:  # how many of a severity are new is known, but not which
        news = [each for each in news if changes[0].new.get(each.severity)]
    counts = fact.counts or {}
    are_new = bool(changes) and (
        is_exact or all(changes[0].new[each.severity] == counts.get(each.severity) for each in news)
    )
    few = tuple(news[: comparison.MOST_NAMED])
    return _with(event, changes=changes, named=few, unnamed=len(news) - len(few), are_new=are_new)


def _with(event: Event, **facts: Any) -> Event:
    assert event.scan is not None
    return replace(event, scan=replace(event.scan, **facts))
