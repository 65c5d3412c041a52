"""What a row does not say, found out: remembered if possible, looked up in Harbor if need be, else unknown.

A look-up that fails never loses an event: its answer is "unknown". Rows are taken in the order of the log,
because each one changes what is remembered for the next.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from logging import INFO, WARNING
from typing import TypeVar

import msgspec

from poller import versions
from poller.allowance import Allowance
from poller.errors import BadRequest, NotAllowed, NotFound, Temporary
from poller.events import EventType, Repository
from poller.harbor import Harbor
from poller.knowledge import LONG_AGO, Knowledge, ProjectFact
from poller.normalize import Entry, Facts
from poller.projects import Projects
from poller.rows import Artifact, Project
from poller.scans import is_scanner
from poller.survey import KnownServer
from poller.troubles import Trouble, Troubles

_T = TypeVar("_T")

PROJECT_FRESH = timedelta(minutes=10)
"""How long a project's being public or private is believed; it is changed by hand, and rarely."""

PUSHED_JUST_BEFORE = timedelta(milliseconds=250)
"""An artifact's push_time lies 0-70 ms before the op_time of its row (seen on 2.8 and 2.12)."""

MOST_FAILURES = 3
MOST_QUESTIONS = 1000
"""Look-ups in one poll or backfill; what comes after them stays unknown."""
MOST_ABOUT_KIN = 20
"""In a flood of pushes what belongs together is not asked for one by one."""

NOT_ALLOWED = Trouble("lookup.not_allowed", "lookup.still_not_allowed", "lookup.allowed", INFO)
FAILED = Trouble("lookup.failed", "lookup.failing", "lookup.recovered", WARNING)


class ForScanners(msgspec.Struct):
    """What may be looked up for the pulls of scanners: they are told as part of a scan, which has its own price."""

    projects: Projects
    allowance: Allowance = msgspec.field(default_factory=lambda: Allowance(most=10, per_hour=5))


class Patience(msgspec.Struct):
    """How much may still be asked in one poll: what was refused, what is gone, and how often Harbor failed."""

    questions: int = MOST_QUESTIONS
    failures: int = 0
    refused: set[str] = msgspec.field(default_factory=set)
    gone: set[str] = msgspec.field(default_factory=set)
    for_scanners: ForScanners | None = None  # None: as for anybody
    kin: int = MOST_ABOUT_KIN  # how many questions may still be about what belongs together
    answers: dict[tuple[str, str], Artifact] = msgspec.field(default_factory=dict)  # of pushes, by repository and tag
    troubles: Troubles = msgspec.field(default_factory=Troubles)  # of this poll and those before

    def ask(self, right: str, question: Callable[[], _T | None]) -> _T | None:
        """The answer; None where there is none, or no asking any more."""
        if right in self.refused or self.failures >= MOST_FAILURES or self.questions <= 0:
            return None
        self.questions -= 1
        try:
            answer = question()
        except NotAllowed as error:
            self.refused.add(right)
            self.troubles.failed(NOT_ALLOWED.of(right=f"{right}:read"), error)
        except (NotFound, BadRequest):
            return None
        except Temporary as error:
            self.failures += 1
            self.troubles.failed(FAILED, error)
        else:
            self.failures = 0
            self.troubles.went_well(FAILED)
            self.troubles.went_well(NOT_ALLOWED.of(right=f"{right}:read"))
            return answer
        return None


class Enricher:
    """Joins the rows of a page with facts."""

    def __init__(
        self,
        harbor: Harbor,
        knowledge: Knowledge,
        server: KnownServer,
        now: datetime,
        patience: Patience,
    ) -> None:
        self._harbor = harbor
        self.knowledge = knowledge
        self._registry = server.registry
        self._now = now
        self._may_trust_tags = versions.parse(server.version) not in versions.SILENT_ON_KNOWN_DIGESTS
        self._patience = patience
        self._fresh_since = now - PROJECT_FRESH
        self._last_push: dict[str, datetime] = {}  # by repository

    def facts(self, entry: Entry, *, is_wanted: bool = True) -> Facts:
        """The facts that `entry` lacks. Unwanted entries cost no look-up, but are learnt from all the same."""
        if entry.repository is None:
            self._learn_project(entry)
            return Facts(self._registry)
        digest = entry.digest or self._digest(entry, is_wanted)
        tag = self._tag_of_deletion(entry) if entry.type is EventType.DELETE_ARTIFACT else None
        self._learn(entry, digest)
        repository = Repository(entry.repository)
        if is_wanted:
            repository = Repository(entry.repository, self._is_public(entry), self._created_at(entry))
        return Facts(self._registry, repository, tag, digest)

    # -- digest and tag -------------------------------------------------------------------------

    def _digest(self, entry: Entry, is_wanted: bool) -> str | None:
        """Of what the row names by a tag alone."""
        if not entry.tag or entry.type is EventType.TAG_DELETED:
            return None
        if entry.type is EventType.PULL_ARTIFACT:
            return self._digest_pulled(entry, is_wanted)
        return self._digest_pushed(entry) if is_wanted or entry.type is EventType.TAG_CREATED else None

    def _digest_pulled(self, entry: Entry, is_wanted: bool) -> str | None:
        assert entry.repository
        assert entry.tag
        known = self.knowledge.digest_of(entry.repository, entry.tag)
        if (known and self._may_trust_tags) or not is_wanted:
            return known
        artifact = self._artifact(entry)
        return artifact.digest if artifact and _had_tag(artifact, entry) else known

    def _digest_pushed(self, entry: Entry) -> str | None:
        """The artifact that the tag named right after this push: the tag may have moved on since."""
        artifact = self._artifact(entry)
        if artifact is None or _had_tag(artifact, entry):
            return artifact.digest if artifact else None
        assert entry.repository
        repository, at = entry.repository, entry.row.op_time
        candidates = self._patience.ask(
            "artifact", lambda: self._harbor.artifacts_pushed(repository, at - timedelta(seconds=1), at)
        )
        earliest = max(at - PUSHED_JUST_BEFORE, self._last_push.get(repository, LONG_AGO))
        return _pushed_between(candidates or (), earliest, at)

    def _artifact(self, entry: Entry) -> Artifact | None:
        repository, tag, at = entry.repository, entry.tag, entry.row.op_time
        assert repository
        assert tag
        is_push = entry.type is EventType.PUSH_ARTIFACT
        question = partial(self._harbor.artifact, repository, tag, with_accessory=is_push)
        artifact = self._patience.ask("artifact", question)
        if is_push and artifact is not None:
            self._patience.answers[repository, tag] = artifact
        for each in artifact.tags if artifact else ():
            if artifact and each.push_time is not None and each.push_time <= at:
                self.knowledge.tag_points_at(repository, each.name, artifact.digest, each.push_time)
        return artifact

    def _tag_of_deletion(self, entry: Entry) -> str | None:
        if entry.tag:
            return None
        assert entry.repository
        assert entry.digest
        return self.knowledge.newest_tag_of(entry.repository, entry.digest)

    # -- what the row itself teaches ------------------------------------------------------------

    def _learn(self, entry: Entry, digest: str | None) -> None:
        assert entry.repository
        repository, at, knowledge = entry.repository, entry.row.op_time, self.knowledge
        if entry.type is EventType.PUSH_ARTIFACT:
            self._last_push[repository] = at
        match entry.type:
            case EventType.PUSH_ARTIFACT | EventType.TAG_CREATED if entry.tag:
                knowledge.tag_points_at(repository, entry.tag, digest, at)
            case EventType.PULL_ARTIFACT if entry.tag and digest:
                knowledge.tag_seen_at(repository, entry.tag, digest)
            case EventType.TAG_DELETED if entry.tag:
                knowledge.tag_points_at(repository, entry.tag, None, at)
            case EventType.DELETE_ARTIFACT if digest:
                knowledge.artifact_deleted(repository, digest, at)
            case EventType.REPOSITORY_DELETED:
                knowledge.repository_deleted(repository, at)

    def _learn_project(self, entry: Entry) -> None:
        if entry.type in (EventType.PROJECT_UPDATED, EventType.PROJECT_DELETED):
            self.knowledge.project_checked(entry.subject, None, LONG_AGO)  # ask again

    # -- the repository -------------------------------------------------------------------------

    def _is_public(self, entry: Entry) -> bool | None:
        name = entry.project
        fresh = self.knowledge.is_public(name, not_before=self._fresh_since)
        if fresh is not None:
            return fresh
        scanners = self._scanners(entry)
        fresh = self.knowledge.is_public(name) if scanners else None
        if fresh is not None or name in self._patience.gone:
            return fresh if fresh is not None else self.knowledge.is_public(name)
        for fact in self._ask_for_project(name, scanners):
            self.knowledge.project_checked(fact.name, fact.is_public, self._now, fact.project_id)
        if self.knowledge.is_public(name, not_before=self._now) is None:
            self._patience.gone.add(name)  # not asked again in this poll
        return self.knowledge.is_public(name)

    def _ask_for_project(self, name: str, scanners: ForScanners | None) -> list[Project | ProjectFact]:
        """This one, perhaps together with others; only those of which it is known whether they are public."""
        found: list[Project | ProjectFact] = []
        if scanners is None:
            project = self._patience.ask("project", lambda: self._harbor.project(name))
            found += [project] if project else []
        elif answer := self._patience.ask("project", lambda: scanners.projects.fact(name, self._now)):
            found += [answer[0], *answer[1].projects]
        return [each for each in found if each.is_public is not None]

    def _scanners(self, entry: Entry) -> ForScanners | None:
        """Set while a scanner is at work."""
        is_scanners = is_scanner(entry.row.username, entry.project, entry.row.op_time)
        return self._patience.for_scanners if is_scanners else None

    def _created_at(self, entry: Entry) -> datetime | None:
        name = entry.repository
        assert name
        if entry.type is EventType.DELETE_ARTIFACT and self.knowledge.was_deleted_with_its_repository(
            name, entry.row.op_time
        ):
            return None
        known = self.knowledge.created_at(name)
        if known is not None or name in self._patience.gone:
            return known
        scanners = self._scanners(entry)
        if scanners is not None and not scanners.allowance.spend():
            return None
        created = self._patience.ask("repository", lambda: self._harbor.repository_created(name))
        if created is None:
            self._patience.gone.add(name)
            return None
        self.knowledge.repository_created(name, created)
        return created


def _had_tag(artifact: Artifact, entry: Entry) -> bool:
    """Whether the artifact had the tag already when the row was written."""
    times = [tag.push_time for tag in artifact.tags if tag.name == entry.tag]
    return not times or times[0] is None or times[0] <= entry.row.op_time


def _pushed_between(artifacts: tuple[Artifact, ...], earliest: datetime, at: datetime) -> str | None:
    """The artifact that was pushed just before `at`. One from before the row of the previous push belongs to that."""
    just_before = [
        (artifact.push_time, artifact.digest)
        for artifact in artifacts
        if artifact.push_time is not None and earliest <= artifact.push_time <= at
    ]
    return max(just_before)[1] if just_before else None
