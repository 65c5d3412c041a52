"""A large registry at one stroke, as if all had happened before the log was purged: no rows, no webhooks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from uuid import UUID

from demo.harbor.registry import Artifact, Project, Registry, Report, Repository, Tag

_APART = timedelta(minutes=1)
_SCANNED_AFTER = timedelta(seconds=20)
_SCAN = timedelta(seconds=8)
USUAL = MappingProxyType({"Critical": 1, "High": 4, "Medium": 9, "Low": 30})


@dataclass(frozen=True, slots=True)
class Population:
    """Repositories `<project>/<name>-0000` and so on, each with the tags `v0` and so on, pushed a minute apart."""

    repositories: int
    artifacts_each: int
    name: str
    pushed_at: datetime
    is_scanned: bool
    severities: Mapping[str, int]

    def settle(self, registry: Registry, project: Project, ids: Iterator[int]) -> list[str]:
        """Fill the registry, and tell the repositories' names."""
        names = [f"{project.name}/{self.name}-{number:04}" for number in range(self.repositories)]
        moments = [self._moment(number) for number in range(self.artifacts_each)]
        for name in names:
            repository = Repository(next(ids), name, project.id, self.pushed_at, self.pushed_at)
            registry.repositories[name] = repository
            for moment in moments:
                artifact = repository.add(_artifact(ids, name, moment))
                repository.updated_at = moment.pushed
                if self.is_scanned:
                    self._scan(registry, repository, artifact, moment)
        return names

    def _moment(self, number: int) -> _Moment:
        pushed = self.pushed_at + number * _APART
        return _Moment(f"v{number}", pushed, pushed + _SCANNED_AFTER, pushed + _SCANNED_AFTER + _SCAN)

    def _scan(self, registry: Registry, repository: Repository, artifact: Artifact, moment: _Moment) -> None:
        artifact.pull_time = repository.updated_at = moment.scanned
        repository.pull_count += 1
        report = Report(
            str(UUID(artifact.digest[-32:])),
            "Success",
            moment.scanned,
            moment.ended,
            self.severities,
            sum(self.severities.values()) // 2,
            scanner=registry.scanner_of(repository.name),
        )
        registry.keep_report(artifact.digest, report)


@dataclass(frozen=True, slots=True)
class _Moment:
    """When each repository's artifact of that tag was pushed and scanned. All of them share these very objects."""

    tag: str
    pushed: datetime
    scanned: datetime
    ended: datetime


def _artifact(ids: Iterator[int], repository: str, moment: _Moment) -> Artifact:
    digest = "sha256:" + hashlib.sha256(f"{repository}:{moment.tag}".encode()).hexdigest()
    tag = Tag(next(ids), moment.tag, moment.pushed)
    return Artifact(next(ids), digest, moment.pushed, "admin", {moment.tag: tag})
