"""The usual ways of finding the results of scans, written as well as a page of code allows.

Each notes the results that it would tell. What it remembers is in a file, as it were: a restart takes nothing away.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bench.pollers import FULL_PAGE, Api, AuditLog, Row

ENDED = frozenset({"Success", "Error", "Stopped"})


@dataclass(frozen=True, slots=True)
class Told:
    """That a scan, known by its report, has ended, how, and when somebody was told."""

    report_id: str
    status: str
    at: datetime

    @property
    def key(self) -> tuple[str, str]:
        return self.report_id, self.status


class ScanPeer(Protocol):
    """A way of finding the results of scans. `every_s`: how often it is polled."""

    @property
    def name(self) -> str: ...

    @property
    def every_s(self) -> int: ...

    @property
    def told(self) -> Sequence[Told]: ...

    def start(self, now: datetime) -> None: ...
    def poll(self, now: datetime) -> None: ...


class Registry:
    """Asks for repositories and artifacts with their overviews."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def repositories(self) -> Iterator[str]:
        number = 0
        found: list[Row] | None = None
        while found is None or len(found) == FULL_PAGE:
            number += 1
            found = self._api.get("/repositories", sort="id", page=number, page_size=FULL_PAGE)
            yield from (each["name"] for each in found)

    def latest_repositories(self, most: int) -> list[str]:
        return [each["name"] for each in self._api.get("/repositories", sort="-update_time", page_size=most)]

    def artifacts(self, repository: str) -> Iterator[Row]:
        number = 0
        found: list[Row] | None = None
        while found is None or len(found) == FULL_PAGE:
            number += 1
            found = self.page(repository, number, FULL_PAGE)
            yield from found

    def page(self, repository: str, number: int, size: int) -> list[Row]:
        """Those pushed last come first."""
        path = f"{_path(repository)}/artifacts"
        found: list[Row] = self._api.get(path, with_scan_overview="true", page=number, page_size=size)
        return found

    def artifact(self, repository: str, tag: str) -> Row:
        found: Row = self._api.get(f"{_path(repository)}/artifacts/{tag}", with_scan_overview="true")
        return found


def _path(repository: str) -> str:
    project, _, name = repository.partition("/")
    return f"/projects/{project}/repositories/{name}"


def _reports(artifact: Row) -> list[Row]:
    """Those of scans that have ended."""
    found = artifact.get("scan_overview", {}).values()
    return [report for report in found if report["scan_status"] in ENDED]


def _told(artifact: Row, report: Row, now: datetime) -> list[Told]:
    """An index has the sum of its platforms' reports, and in place of an id theirs: so it tells of all of them."""
    identity, status = report["report_id"], report["scan_status"]
    ids = b64decode(identity).decode().split("|") if artifact["references"] else [identity]
    return [Told(each, status, now) for each in ids]


class EveryArtifact:
    """Lists everything, and tells each report that it has not met with that status."""

    name = "every artifact"
    every_s = 600

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._met: set[tuple[str, str, str]] = set()
        self.told: list[Told] = []

    def start(self, now: datetime) -> None:
        """What is there already is met, and not told."""
        self.poll(now)
        self.told.clear()

    def poll(self, now: datetime) -> None:
        for repository in self._registry.repositories():
            for artifact in self._registry.artifacts(repository):
                for report in _reports(artifact):
                    self._meet(artifact, report, now)

    def _meet(self, artifact: Row, report: Row, now: datetime) -> None:
        key = artifact["digest"], report["report_id"], report["scan_status"]
        if key not in self._met:
            self._met.add(key)
            self.told += _told(artifact, report, now)


class LatestRepositories:
    """Looks at the newest artifacts of the repositories that were updated last, for what has ended since the start."""

    name = "latest 20"
    every_s = 300
    MOST = 20

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._met: set[tuple[str, str]] = set()
        self._since: datetime | None = None
        self.told: list[Told] = []

    def start(self, now: datetime) -> None:
        self._since = now

    def poll(self, now: datetime) -> None:
        for repository in self._registry.latest_repositories(self.MOST):
            for artifact in self._registry.page(repository, 1, self.MOST):
                for report in self._new(artifact):
                    self._met.add((artifact["digest"], report["report_id"]))
                    self.told += _told(artifact, report, now)

    def _new(self, artifact: Row) -> Iterable[Row]:
        assert self._since is not None
        return [
            report
            for report in _reports(artifact)
            if datetime.fromisoformat(report["end_time"]) > self._since
            and (artifact["digest"], report["report_id"]) not in self._met
        ]


class AfterPush:
    """Reads pushes in the audit log, and looks at each pushed tag again and again until it has a result."""

    name = "after each push"
    every_s = 60

    def __init__(self, registry: Registry, log: AuditLog) -> None:
        self._registry = registry
        self._log = log
        self._last_id = 0
        self._waiting: list[tuple[str, str]] = []
        self.told: list[Told] = []

    def start(self, now: datetime) -> None:  # noqa: ARG002 -- this one needs no clock
        self._last_id = max((row["id"] for row in self._log.page(sort="-id", page_size=1)), default=0)

    def poll(self, now: datetime) -> None:
        self._waiting += self._pushed()
        self._waiting = [(repository, tag) for repository, tag in self._waiting if not self._tell(repository, tag, now)]

    def _pushed(self) -> Iterator[tuple[str, str]]:
        """(repository, tag). What is pushed by digest belongs to an index, which comes by tag."""
        found: list[Row] | None = None
        while found is None or len(found) == FULL_PAGE:
            pushes = f"id=[{self._last_id + 1}~],operation=create,resource_type=artifact"
            found = self._log.page(q=pushes, sort="id", page_size=FULL_PAGE)
            self._last_id = max((row["id"] for row in found), default=self._last_id)
            yield from (row["resource"].split(":") for row in found if "@" not in row["resource"])

    def _tell(self, repository: str, tag: str, now: datetime) -> bool:
        artifact = self._registry.artifact(repository, tag)
        told = [each for report in _reports(artifact) for each in _told(artifact, report, now)]
        self.told += told
        return bool(told)
