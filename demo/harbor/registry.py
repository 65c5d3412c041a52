"""What a Harbor holds at one moment: projects, repositories, artifacts, tags and scan reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

WORST_FIRST = ("Critical", "High", "Medium", "Low", "Unknown", "None")


@dataclass(slots=True)
class Tag:
    id: int
    name: str
    push_time: datetime
    pull_time: datetime | None = None


@dataclass(slots=True)
class Artifact:
    """`children`: (digest, platform) of what an index lists. `subject`: digest of what a signature belongs to.

    `recorded`: what a recorded Harbor said of it, for the fields that nothing here depends on.
    """

    id: int
    digest: str
    push_time: datetime
    pushed_by: str = ""
    tags: dict[str, Tag] = field(default_factory=dict)
    children: tuple[tuple[str, str], ...] = ()
    subject: str | None = None
    pull_time: datetime | None = None
    size: int = 1127
    recorded: dict[str, Any] = field(default_factory=dict)

    @property
    def newest_tags(self) -> list[Tag]:
        """As Harbor lists them: pushed last, first."""
        return sorted(self.tags.values(), key=lambda tag: (tag.push_time, tag.id), reverse=True)

    @property
    def first_tag(self) -> str | None:
        return self.newest_tags[0].name if self.tags else None


@dataclass(slots=True)
class Repository:
    """`name` with its project."""

    id: int
    name: str
    project_id: int
    created_at: datetime
    updated_at: datetime
    pull_count: int = 0
    artifacts: dict[str, Artifact] = field(default_factory=dict)

    def find(self, reference: str) -> Artifact | None:
        """By digest or tag."""
        if ":" in reference:
            return self.artifacts.get(reference)
        return next((artifact for artifact in self.artifacts.values() if reference in artifact.tags), None)

    @property
    def indexed(self) -> set[str]:
        """Digests that an index lists."""
        return {digest for artifact in self.artifacts.values() for digest, _ in artifact.children}

    def top_level(self) -> list[Artifact]:
        """Without signatures, and without what only an index refers to."""
        indexed = self.indexed
        return [
            artifact
            for artifact in self.artifacts.values()
            if artifact.subject is None and (artifact.tags or artifact.digest not in indexed)
        ]

    def accessories(self, artifact: Artifact) -> list[Artifact]:
        return [each for each in self.artifacts.values() if each.subject == artifact.digest]


@dataclass(slots=True)
class Project:
    id: int
    name: str
    is_public: bool
    created_at: datetime
    metadata: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Report:
    """A scan's result, or the place that is kept for it. `ended_at` None: not yet."""

    report_id: str
    status: str
    started_at: datetime
    ended_at: datetime | None = None
    counts: dict[str, int] = field(default_factory=dict)
    fixable: int = 0

    @property
    def severity(self) -> str:
        return next((name for name in WORST_FIRST if self.counts.get(name)), "None")


@dataclass(slots=True)
class Registry:
    """`reports` by digest: the same artifact in two repositories shares them."""

    projects: dict[str, Project] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)

    def project_of(self, repository: str) -> Project | None:
        return self.projects.get(repository.partition("/")[0])

    def project(self, name_or_id: str, *, is_name: bool = False) -> Project | None:
        if name_or_id.isdecimal() and not is_name:
            return next((each for each in self.projects.values() if each.id == int(name_or_id)), None)
        return self.projects.get(name_or_id)

    def repositories_in(self, project: Project) -> Iterator[Repository]:
        return (each for each in self.repositories.values() if each.project_id == project.id)

    def find(self, repository: str, reference: str) -> Artifact | None:
        found = self.repositories.get(repository)
        return found.find(reference) if found else None
