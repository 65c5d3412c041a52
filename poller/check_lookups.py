"""What `check` finds out about the look-ups that complete an event: which of them the account may make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from poller import normalize
from poller.activity import RepositoryFacts
from poller.config import Config
from poller.errors import NotAllowed, NotFound
from poller.events import SCAN_TYPES, Source
from poller.findings import Finding, fine, listed, warning
from poller.harbor import CurrentUser, Harbor, Reach, ReachKind
from poller.rows import EPOCH, PAGE, Project

RIGHTS = "rights"

MOST_PROJECTS = 3  # that look-ups are tried in
RECENT = timedelta(days=7)
NO_ARTIFACT = "sha256:" + "0" * 64
"""Whether a right is there is said before whether the artifact is."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """Something to try look-ups on. It was there a while ago; whether it still is does not matter for the rights."""

    repository: str
    reference: str = "latest"

    @property
    def project(self) -> str:
        return self.repository.partition("/")[0]


def probe(harbor: Harbor, config: Config, user: CurrentUser, reach: Reach, now: datetime) -> Iterator[Finding]:
    """Which look-ups the account may not make, and what the events will lack. `now` is Harbor's clock."""
    if reach.kind is ReachKind.BLIND:
        return
    samples = _samples(harbor, config, reach, now)
    if not samples:
        yield fine("rights.not_tried", RIGHTS, "there is no repository yet to try look-ups on")
        return
    lacking: dict[str, list[str]] = {}
    scans = _Scans(are_told=bool(config.events & SCAN_TYPES), are_swept=config.schedule.sweep is not None)
    for sample in samples:
        for right in _lacking(harbor, sample, reach, scans):
            lacking.setdefault(right, []).append(sample.project)
    if lacking:
        yield _missing_rights(lacking, user, reach)
    else:
        yield fine(
            "rights.look_ups",
            RIGHTS,
            f"look-ups of projects, repositories and artifacts work (tried in {listed(_names(samples))})",
        )


def _names(samples: list[_Sample]) -> tuple[str, ...]:
    return tuple(sample.project for sample in samples)


def _samples(harbor: Harbor, config: Config, reach: Reach, now: datetime) -> list[_Sample]:
    """One repository each of some projects; public ones last, for everybody may look into those."""
    by_project: dict[str, _Sample] = {}
    readable = set(config.harbor.projects or reach.projects)
    samples = [*_logged(harbor, reach, now), *(_Sample(each.name) for each in newest(harbor))]
    gone = _deleted_projects(harbor, reach, {sample.project for sample in samples}, now)
    for sample in samples:
        if (not readable or sample.project in readable) and sample.project not in gone:
            by_project.setdefault(sample.project, sample)
    candidates = list(by_project.values())[: 3 * MOST_PROJECTS]
    candidates.sort(key=lambda sample: _is_public(harbor, sample.project))
    return candidates[:MOST_PROJECTS]


def _project(harbor: Harbor, name: str) -> Project | None:
    """As one of the first page, if it is on it: most Harbors have no more."""
    page = harbor.projects(1)
    found = next((each for each in page if each.name == name), None)
    return harbor.project(name) if found is None and len(page) == PAGE else found


def _is_public(harbor: Harbor, name: str) -> bool:
    project = _project(harbor, name)
    return project is not None and project.is_public is True


def _deleted_projects(harbor: Harbor, reach: Reach, names: Iterable[str], now: datetime) -> frozenset[str]:
    """To most accounts, a project that is gone looks like one that they may not see."""
    if reach.kind is not ReachKind.SYSTEM or all(_project(harbor, name) is not None for name in names):
        return frozenset()
    rows = harbor.rows_since(reach.logs[0], now - RECENT, most=50, operation="delete", resource_type="project")
    return frozenset(row.resource for row in rows)


def newest(harbor: Harbor) -> tuple[RepositoryFacts, ...]:
    """The newest repositories, as far as the account may list them."""
    try:
        return harbor.repositories(sort="-creation_time", most=50)
    except (NotAllowed, NotFound):
        return ()


def _logged(harbor: Harbor, reach: Reach, now: datetime) -> Iterator[_Sample]:
    for log in reach.logs[:MOST_PROJECTS]:
        for row in harbor.rows_since(log, now - RECENT, most=50, resource_type="artifact"):
            entry = normalize.read(row)
            if entry.repository and row.operation != "delete":
                yield _Sample(entry.repository, entry.tag or entry.digest or "latest")


@dataclass(frozen=True, slots=True)
class _Scans:
    """What the configuration wants of scans."""

    are_told: bool
    are_swept: bool


def _lacking(harbor: Harbor, sample: _Sample, reach: Reach, scans: _Scans) -> Iterator[str]:
    """The rights that the account lacks there, in the words of Harbor's API."""
    if _project(harbor, sample.project) is None:
        yield "project: read"
    try:
        harbor.repository_created(sample.repository)
    except NotAllowed:
        yield "repository: read"
    try:
        harbor.artifact(sample.repository, sample.reference)
    except NotAllowed:
        yield "artifact: read"
    if reach.table is Source.OLD_LOG or (scans.are_told and scans.are_swept):
        try:
            harbor.artifacts_pushed(sample.repository, EPOCH, EPOCH)
        except NotAllowed:
            yield "artifact: list"
    if scans.are_told:
        try:
            harbor.findings(sample.repository, NO_ARTIFACT)
        except NotAllowed:
            yield "artifact-addition: read"


def _missing_rights(lacking: dict[str, list[str]], user: CurrentUser, reach: Reach) -> Finding:
    losses = {
        "project: read": "whether a repository is public or private",
        "repository: read": "the repository's creation date",
        "artifact: read": "scan results",
        "artifact: list": "scan results that leave no trace in the log",
        "artifact-addition: read": "the names of new critical and high findings",
    }
    if reach.table is Source.OLD_LOG:
        losses["artifact: read"] = "the digest behind a tag, the tag of a deletion, and scan results"
        losses["artifact: list"] = "the digest of a tag that moved on, and scan results that leave no trace in the log"
    where = listed(tuple(dict.fromkeys(name for names in lacking.values() for name in names)))
    remedy = f"{robot_page(user.name)} → Edit: grant on its projects {', '.join(map(_as_in_the_form, lacking))}"
    if not user.is_robot:
        remedy = f"Projects → … → Members → + User: make {user.name} a member of the projects"
    text = f"events of {where} will lack {'; '.join(losses[right] for right in lacking)}"
    return warning("rights.look_ups_missing", RIGHTS, text, remedy)


def robot_page(robot: str) -> str:
    """Where a robot is in Harbor's portal; that of a project has the project's name in its own."""
    project, is_of_project, _ = robot.partition("$")[2].partition("+")
    home = f"Projects → {project}" if is_of_project else "Administration"
    return f"{home} → Robot Accounts → {robot}"


def _as_in_the_form(right: str) -> str:
    return f'"{right.replace("-", " ").title()}" ({right})'
