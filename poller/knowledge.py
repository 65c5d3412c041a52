"""What is remembered of a registry between polls: which tag points at which digest, and repositories' facts.

A deletion names only a digest while its webhook names a tag, and before Harbor 2.13 a push names only a
tag: both follow from what earlier rows and look-ups said. Pure; the state stores and loads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
SAME_DELETION = timedelta(seconds=2)
"""Deleting a repository writes its rows within milliseconds of each other, in any order."""
ATTESTATION = "unknown/unknown"
"""The platform of what an index lists and is no image: what buildx tells of how a platform's image was built."""
ROBOT_LIVES = timedelta(hours=24)
"""A scanner's robot is made for one scan; a name whose UUID is older belongs to a person's robot."""


class TagFact(msgspec.Struct, frozen=True, gc=False):
    """A tag pointed at `digest` since `at`. No digest: it points at nothing that is known.

    `previous`: the image that it pointed at before, as far as one is known.
    """

    repository: str
    tag: str
    digest: str | None
    at: datetime
    previous: str | None = None


class RepositoryFact(msgspec.Struct, frozen=True):
    name: str
    created_at: datetime | None
    deleted_at: datetime | None = None


class ProjectFact(msgspec.Struct, frozen=True):
    name: str
    is_public: bool | None
    checked_at: datetime
    project_id: int | None = None


class ReportFact(msgspec.Struct, frozen=True):
    """The last result that was seen of an artifact, by digest: Harbor shares it among repositories.

    `scanner`: its registration's name; a failed or stopped scan has none. `counts`: {severity: findings}, None
    without findings. `findings`: critical and high ones as `severity|id|package`, None where they were not read.
    """

    digest: str
    scanner: str
    report_id: str
    ended_at: datetime
    seen_at: datetime
    counts: Mapping[str, int] | None = None
    findings: tuple[str, ...] | None = None


class PlatformFact(msgspec.Struct, frozen=True):
    """An artifact is one platform of an index, of several of the one that was pushed last (`at`)."""

    repository: str
    digest: str
    index_digest: str
    platform: str
    at: datetime = LONG_AGO

    @property
    def is_image(self) -> bool:
        return self.platform != ATTESTATION


class AccessoryFact(msgspec.Struct, frozen=True):
    """An artifact was attached to another, its `subject` (a digest); `kind` is Harbor's word for it, or ours."""

    repository: str
    digest: str
    subject: str
    kind: str
    at: datetime = LONG_AGO


class Knowledge(msgspec.Struct):
    """Facts as they stood after the last row that was understood, and what has changed since they were loaded.

    `tags` are in the order in which they were last used.
    """

    tags: dict[tuple[str, str], TagFact] = msgspec.field(default_factory=dict)
    repositories: dict[str, RepositoryFact] = msgspec.field(default_factory=dict)
    projects: dict[str, ProjectFact] = msgspec.field(default_factory=dict)
    changed_tags: dict[tuple[str, str], TagFact] = msgspec.field(default_factory=dict)
    changed_repositories: dict[str, RepositoryFact] = msgspec.field(default_factory=dict)
    changed_projects: dict[str, ProjectFact] = msgspec.field(default_factory=dict)
    _tags_of: dict[tuple[str, str], list[str]] = msgspec.field(default_factory=dict)  # by repository and digest

    def __post_init__(self) -> None:
        for fact in self.tags.values():
            self._index(fact)

    @classmethod
    def of(
        cls,
        tags: Iterable[TagFact] = (),
        repositories: Iterable[RepositoryFact] = (),
        projects: Iterable[ProjectFact] = (),
    ) -> Knowledge:
        return cls(
            {(fact.repository, fact.tag): fact for fact in tags},
            {fact.name: fact for fact in repositories},
            {fact.name: fact for fact in projects},
        )

    def digest_of(self, repository: str, tag: str) -> str | None:
        fact = self.tags.pop((repository, tag), None)
        if fact is None:
            return None
        self.tags[repository, tag] = fact
        return fact.digest

    def newest_tag_of(self, repository: str, digest: str) -> str | None:
        """Of several tags the one pushed last, as Harbor's webhook of a deletion does."""
        newest = max(self._facts_of(repository, digest), key=lambda fact: fact.at, default=None)
        return newest.tag if newest else None

    def tag_points_at(self, repository: str, tag: str, digest: str | None, at: datetime) -> None:
        """Learn where a tag points; None: it is gone, or points at something unknown."""
        known = self.tags.get((repository, tag))
        if known is not None and known.at > at:
            return  # a late row; what is known is newer
        previous = known.previous if known is not None else None
        if known is not None and known.digest is not None and known.digest != digest:
            previous = known.digest
        fact = TagFact(repository, tag, digest, at, previous)
        self.changed_tags[repository, tag] = fact
        self._put(fact)

    def tag_seen_at(self, repository: str, tag: str, digest: str) -> None:
        """Learn from a pull, which tells where a tag points but not since when."""
        if self.digest_of(repository, tag) != digest:
            known = self.tags.get((repository, tag))
            self.tag_points_at(repository, tag, digest, known.at if known else LONG_AGO)

    def artifact_deleted(self, repository: str, digest: str, at: datetime) -> None:
        for fact in self._facts_of(repository, digest):
            self.tag_points_at(repository, fact.tag, None, at)

    def repository_created(self, name: str, created_at: datetime) -> None:
        """Learn when a repository was made; that another of this name was deleted before is not forgotten."""
        known = self.repositories.get(name)
        self._set_repository(RepositoryFact(name, created_at, known.deleted_at if known else None))

    def repository_deleted(self, name: str, at: datetime) -> None:
        self._set_repository(RepositoryFact(name, None, at))

    def was_deleted_with_its_repository(self, name: str, at: datetime) -> bool:
        fact = self.repositories.get(name)
        return fact is not None and fact.deleted_at is not None and abs(fact.deleted_at - at) <= SAME_DELETION

    def created_at(self, name: str) -> datetime | None:
        fact = self.repositories.get(name)
        return fact.created_at if fact else None

    def is_public(self, project: str, *, not_before: datetime = LONG_AGO) -> bool | None:
        fact = self.projects.get(project)
        return fact.is_public if fact and fact.checked_at >= not_before else None

    def project_checked(self, name: str, is_public: bool | None, at: datetime, project_id: int | None = None) -> None:
        fact = ProjectFact(name, is_public, at, project_id)
        self.projects[name] = self.changed_projects[name] = fact

    def take_changes(self) -> Changes:
        """What was learnt since this was asked last."""
        changes = Changes(
            tuple(self.changed_tags.values()),
            tuple(self.changed_repositories.values()),
            tuple(self.changed_projects.values()),
        )
        for changed in (self.changed_tags, self.changed_repositories, self.changed_projects):
            changed.clear()
        return changes

    def recall(self, remembered: Knowledge, at: datetime) -> None:
        """Take over what was known at that moment, where nothing is known here."""
        for place, fact in remembered.tags.items():
            if fact.at <= at and place not in self.tags:
                self._put(fact)
        for name, repository in remembered.repositories.items():
            if repository.created_at is not None and repository.created_at <= at:
                self.repositories.setdefault(name, repository)
        for name, project in remembered.projects.items():
            self.projects.setdefault(name, project)

    def forget_beyond(self, most: int) -> None:
        """Keep so many tags, those that were used last, and so many repositories and projects.

        Tags that point at nothing go first: they have nothing to answer.
        """
        if len(self.tags) > most:
            for place in [place for place, fact in self.tags.items() if fact.digest is None]:
                del self.tags[place]
        for place in _surplus(self.tags, most):
            self._unindex(self.tags.pop(place))
        for known in (self.repositories, self.projects):
            for name in _surplus(known, most):
                del known[name]

    def _facts_of(self, repository: str, digest: str) -> list[TagFact]:
        return [self.tags[repository, tag] for tag in self._tags_of.get((repository, digest), ())]

    def _put(self, fact: TagFact) -> None:
        known = self.tags.pop((fact.repository, fact.tag), None)
        if known is not None:
            self._unindex(known)
        self.tags[fact.repository, fact.tag] = fact
        self._index(fact)

    def _index(self, fact: TagFact) -> None:
        if fact.digest is not None:
            self._tags_of.setdefault((fact.repository, fact.digest), []).append(fact.tag)

    def _unindex(self, fact: TagFact) -> None:
        if fact.digest is None:
            return
        tags = self._tags_of[fact.repository, fact.digest]
        tags.remove(fact.tag)
        if not tags:
            del self._tags_of[fact.repository, fact.digest]

    def _set_repository(self, fact: RepositoryFact) -> None:
        self.repositories[fact.name] = self.changed_repositories[fact.name] = fact


def _surplus(known: dict[Any, Any], most: int) -> list[Any]:
    """What stands first of more than so many."""
    return list(islice(known, max(0, len(known) - most)))


class Changes(msgspec.Struct, frozen=True):
    """What has been learnt, to be stored together with the events that taught it."""

    tags: tuple[TagFact, ...] = ()
    repositories: tuple[RepositoryFact, ...] = ()
    projects: tuple[ProjectFact, ...] = ()
    reports: tuple[ReportFact, ...] = ()
    platforms: tuple[PlatformFact, ...] = ()
    accessories: tuple[AccessoryFact, ...] = ()

    def __add__(self, other: Changes) -> Changes:
        return Changes(
            self.tags + other.tags,
            self.repositories + other.repositories,
            self.projects + other.projects,
            self.reports + other.reports,
            self.platforms + other.platforms,
            self.accessories + other.accessories,
        )
