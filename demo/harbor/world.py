"""A Harbor to act upon: each verb leaves the artifacts, the rows of the audit log and the webhooks of the real one."""

from __future__ import annotations

import hashlib
import itertools
import random
import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from demo.harbor.generation import Generation, Table
from demo.harbor.population import USUAL, Population
from demo.harbor.registry import (
    ATTESTATION,
    NEVER,
    REFERRER,
    SBOM,
    SIGNATURE,
    Artifact,
    Project,
    Registry,
    Report,
    Repository,
    Sbom,
    Scanner,
    Tag,
)
from demo.harbor.rows import Row
from demo.harbor.scans import NO_SCAN_ALL, Outcome, Result, RunningSbom, RunningScan, ScanAll, uuid1
from demo.harbor.webhooks import Webhook, artifact_webhook, sbom_webhook, scan_webhook

JOBSERVICE = "harbor-jobservice"
ARTIFACT_BEFORE_ROW = timedelta(milliseconds=14)
TAG_BEFORE_ROW = timedelta(milliseconds=4)
FASTEST_MOVE = timedelta(milliseconds=20)
_A_MONTH = timedelta(days=30)
_HELD_FOR_GOOD = timedelta(days=36500)
_COSIGN_TAG = re.compile(r"sha256-([0-9a-f]{64})\.sig")


@dataclass(slots=True)
class Log:
    """One table. `held`: the ids of rows that are not visible yet, and from when on they are."""

    rows: list[Row] = field(default_factory=list)
    held: dict[int, datetime] = field(default_factory=dict)
    next_id: int = 1

    def visible(self, now: datetime) -> Sequence[Row]:
        return [row for row in self.rows if self.held.get(row.id, now) <= now]

    def release(self, now: datetime) -> None:
        self.held = {id: moment for id, moment in self.held.items() if moment > now}


class World:
    """`clock` is the only source of time.

    `log_pulls`, `audit_database`, `is_read_only`, `robot_prefix` and `auth_mode` may change at any moment.
    `told_version`: what it says of itself, if not the generation's.

    `scanner_prefix`: eight random letters on every real site, so nobody may rely on them.
    """

    def __init__(
        self,
        generation: Generation = Generation.V2_16,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        registry_url: str = "harbor.example.com",
        scanner_prefix: str = "kqzvbnwt",
    ) -> None:
        self.generation = generation
        self.registry_url = registry_url
        self.external_url = f"https://{registry_url}"
        self.scanner_prefix = scanner_prefix
        self.log_pulls = True
        self.audit_database = True
        self.is_read_only = False
        self.told_version: str | None = None
        self.robot_prefix = "robot$"
        self.auth_mode = "db_auth"
        self.webhooks: list[Webhook] = []
        self.lock = threading.RLock()
        self._clock = clock
        self._logs = {table: Log() for table in Table}
        self._registry = Registry()
        self._ids = itertools.count(1)
        self._contents = itertools.count(1)
        self._holding: timedelta | None = None
        self._scan_all: ScanAll | None = None
        self._scheduled_scan_all: ScanAll | None = None
        self._random = random.Random(1)  # for scanners' robots; the same names at every run
        self._registry.projects["library"] = Project(1, "library", is_public=True, created_at=clock())
        self._project_ids = itertools.count(2)

    # -- for the API ----------------------------------------------------------------------------------

    @property
    def version(self) -> str:
        return self.told_version or self.generation.value

    @property
    def settings(self) -> dict[str, object]:
        """What differs from a fresh configuration. Before 2.13 pulls are switched off outside of it."""
        settings: dict[str, object] = {
            "auth_mode": self.auth_mode,
            "read_only": self.is_read_only,
            "robot_name_prefix": self.robot_prefix,
            "skip_audit_log_database": not self.audit_database,
        }
        if self.generation.has_new_log:
            settings["disabled_audit_log_event_types"] = "" if self.log_pulls else "pull_artifact"
        return settings

    def now(self) -> datetime:
        return self._clock()

    def rows(self, table: Table) -> Sequence[Row]:
        """What can be read, by id."""
        log = self._logs[table]
        if not log.held:
            return log.rows  # without asking the clock, which moves when it is asked
        now = self.now()
        log.release(now)
        return log.visible(now)

    def registry(self, user: str = "", question: object = None) -> Registry:  # noqa: ARG002  # a replay's depends on both
        return self._registry

    def scan_all_metrics(self, *, scheduled: bool) -> Mapping[str, object]:
        """Of the last one; `scheduled`: of the last one that nobody asked for."""
        with self.lock:
            last = self._scheduled_scan_all if scheduled else self._scan_all
            return last.metrics if last else NO_SCAN_ALL

    # -- projects -------------------------------------------------------------------------------------

    def create_project(self, name: str, *, public: bool = False, operator: str = "admin") -> Project:
        with self.lock:
            project = Project(next(self._project_ids), name, public, self.now())
            self._registry.projects[name] = project
            self._log("create", "project", name, operator, f"create project: {name}", project.id)
            return project

    def update_project(self, name: str, *, public: bool, operator: str = "admin") -> None:
        """Leaves a row only in the newest generation."""
        with self.lock:
            project = self._registry.projects[name]
            project.is_public = public
            if self.generation.has_member_rows:
                self._log("update", "project", name, operator, f"update project: {name}", project.id)

    def populate(
        self,
        *,
        project: str = "team",
        repositories: int = 1000,
        artifacts_each: int = 100,
        scanned: bool = True,
        severities: Mapping[str, int] | None = None,
        name: str = "service",
        pushed_at: datetime | None = None,
    ) -> list[str]:
        """Fill a project, made if need be, as if that had happened before the log was purged: no rows, no webhooks.

        Tells the names of the repositories: `team/service-0000` …, with the tags `v0`, `v1` …, a minute apart from
        `pushed_at` on (a month ago).
        """
        with self.lock:
            found = self._registry.projects.get(project)
            if found is None:
                found = Project(next(self._project_ids), project, is_public=False, created_at=self.now())
                self._registry.projects[project] = found
            counts = USUAL if severities is None else severities
            begin = pushed_at or self.now().replace(microsecond=0) - _A_MONTH
            population = Population(repositories, artifacts_each, name, begin, scanned, counts)
            return population.settle(self._registry, found, self._ids)

    def delete_project(self, name: str, operator: str = "admin") -> None:
        """Only an empty one, as in Harbor."""
        with self.lock:
            project = self._registry.projects[name]
            if any(self._registry.repositories_in(project)):
                raise ValueError(f"{name} is not empty")
            del self._registry.projects[name]
            self._log("delete", "project", name, operator, f"delete project: {name}", project.id)

    # -- pushing --------------------------------------------------------------------------------------

    def push(
        self,
        repository: str,
        tag: str | None,
        operator: str = "admin",
        *,
        content: str | None = None,
        subject: str | None = None,
        accessory_type: str = REFERRER,
    ) -> str:
        """Push an image and tell its digest. The same `content` is the same digest; none: always new.

        `subject`: the digest that its manifest says it belongs to. A signature of cosign 2 has none, but a tag that
        names the digest: Harbor makes an accessory of it, too.
        """
        digest = self._digest(content)
        if signed := _COSIGN_TAG.fullmatch(tag or ""):
            subject, accessory_type = subject or self._there(repository, f"sha256:{signed[1]}"), SIGNATURE
        self._push(repository, tag, operator, digest, subject=subject, accessory_type=accessory_type)
        return digest

    def _there(self, repository: str, digest: str) -> str | None:
        """The digest, if there is such an artifact."""
        return digest if self._registry.find(repository, digest) else None

    def attach(
        self, repository: str, reference: str, kind: str, operator: str = "admin", *, as_referrer: bool = False
    ) -> str:
        """What cosign adds to an artifact: `sig`, `att` or `sbom`. Tells its digest.

        By a tag, as cosign 2 does: of these only the signature is an accessory to Harbor, the others are artifacts
        like any. `as_referrer`: by digest, with a subject, as cosign 3 does: each is an accessory.
        """
        digest = self._artifact(repository, reference).digest
        if not as_referrer:
            return self.push(repository, f"{digest.replace(':', '-')}.{kind}", operator)
        accessory_type = SIGNATURE if kind == "sig" else REFERRER
        return self.push(repository, None, operator, subject=digest, accessory_type=accessory_type)

    def push_index(
        self,
        repository: str,
        tag: str | None,
        operator: str = "admin",
        *,
        platforms: Sequence[str] = ("linux/amd64", "linux/arm64"),
        content: str | None = None,
        attestations: bool = False,
    ) -> str:
        """As buildx does it: each platform by digest, then an attestation for each if wanted, then the index by tag."""
        name = content or f"index {next(self._contents)}"
        children = [(self._digest(f"{name} for {platform}"), platform) for platform in platforms]
        if attestations:
            children += [(self._digest(f"{name} about {platform}"), ATTESTATION) for platform in platforms]
        for digest, platform in children:
            self._push(repository, None, operator, digest, is_attestation=platform == ATTESTATION)
        digest = self._digest(name)
        self._push(repository, tag, operator, digest, children=tuple(children))
        return digest

    def copy(self, repository: str, reference: str, to: str, operator: str = "admin") -> None:
        """All tags come along, newest first; the row names the first. Signatures follow by digest."""
        with self.lock:
            source = self._registry.repositories[repository]
            artifact = self._artifact(repository, reference)
            accessories = source.accessories(artifact)
            tags = [tag.name for tag in artifact.newest_tags]
            for digest, platform in artifact.children:
                self._push(to, None, operator, digest, is_attestation=platform == ATTESTATION)
            self._push(to, tags[0] if tags else None, operator, artifact.digest, children=artifact.children)
            copied = self._artifact(to, artifact.digest)
            for number, tag in enumerate(tags[1:], 1):
                self._tag(to, copied, tag, copied.push_time + number * timedelta(milliseconds=1))
            for each in accessories:
                kind = each.accessory_type
                self._push(to, None, operator, each.digest, subject=artifact.digest, accessory_type=kind)

    def _push(
        self,
        name: str,
        tag: str | None,
        operator: str,
        digest: str,
        *,
        children: tuple[tuple[str, str], ...] = (),
        subject: str | None = None,
        accessory_type: str = REFERRER,
        is_attestation: bool = False,
    ) -> None:
        with self.lock:
            now = self._time_of_push(name, tag)
            repository = self._repository(name, now)
            artifact = repository.artifacts.get(digest)
            if artifact is None:
                artifact = Artifact(next(self._ids), digest, now - ARTIFACT_BEFORE_ROW, children=children)
                artifact.subject, artifact.accessory_type = subject, accessory_type
                artifact.is_attestation = is_attestation
                repository.add(artifact)
            artifact.pushed_by = operator
            if tag and tag not in artifact.tags:
                self._tag(name, artifact, tag, now - TAG_BEFORE_ROW)
            repository.updated_at = now
            self._log_artifact("create", repository, digest, tag, operator, now)
            self._send("PUSH_ARTIFACT", repository, digest, tag, operator, now)

    def _time_of_push(self, repository: str, tag: str | None) -> datetime:
        """Now; but no tag moves faster than a client can push, or nobody could tell which artifact had it when."""
        holder = self._registry.find(repository, tag) if tag else None
        if holder is None or tag is None:
            return self.now()
        return max(self.now(), holder.tags[tag].push_time + TAG_BEFORE_ROW + FASTEST_MOVE)

    def _repository(self, name: str, now: datetime) -> Repository:
        project = self._project(name)
        found = self._registry.repositories.get(name)
        if found is None:
            created = now - ARTIFACT_BEFORE_ROW - timedelta(milliseconds=6)
            found = Repository(next(self._ids), name, project.id, created, created)
            self._registry.repositories[name] = found
        return found

    def _tag(self, repository: str, artifact: Artifact, name: str, at: datetime) -> None:
        self._registry.repositories[repository].tag(artifact, Tag(next(self._ids), name, at))

    def _digest(self, content: str | None) -> str:
        text = content if content is not None else f"content {next(self._contents)}"
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    # -- pulling --------------------------------------------------------------------------------------

    def pull(self, repository: str, reference: str, operator: str = "admin") -> str:
        """Pull by tag or digest and tell the digest. An unknown caller is `anonymous`."""
        with self.lock:
            artifact, now = self._artifact(repository, reference), self.now()
            tag = None if ":" in reference else reference
            found = self._registry.repositories[repository]
            artifact.pull_time = found.updated_at = now
            if tag:
                artifact.tags[tag].pull_time = now
            found.pull_count += 1
            if self.log_pulls:
                self._log_artifact("pull", found, artifact.digest, tag, operator, now)
            self._send("PULL_ARTIFACT", found, artifact.digest, tag, operator, now)
            return artifact.digest

    # -- tags and deletions -----------------------------------------------------------------------------

    def create_tag(self, repository: str, reference: str, tag: str, operator: str = "admin") -> None:
        """By the user interface or the API: Harbor has no webhook for it."""
        with self.lock:
            artifact, now = self._artifact(repository, reference), self.now()
            self._tag(repository, artifact, tag, now - TAG_BEFORE_ROW)
            self._log_tag("create", repository, tag, operator, now)

    def delete_tag(self, repository: str, tag: str, operator: str = "admin") -> None:
        with self.lock:
            self._artifact(repository, tag)  # must be there
            self._registry.repositories[repository].untag(tag)
            self._log_tag("delete", repository, tag, operator, self.now())

    def _log_tag(self, operation: str, repository: str, tag: str, operator: str, now: datetime) -> None:
        name = f"{repository}:{tag}"
        self._log(operation, "tag", name, operator, f"{operation} tag: {name}", self._project(repository).id, at=now)

    def delete_artifact(self, repository: str, reference: str, operator: str = "admin") -> None:
        """Its signatures go with it: a row and a webhook each. An index's platforms go silently.

        Those stay that have a tag, or are another index's too.
        """
        with self.lock:
            found = self._registry.repositories[repository]
            artifact = self._artifact(repository, reference)
            for each in (*found.accessories(artifact), artifact):
                self._delete(found, each, operator)
            for digest, _ in artifact.children:
                child = found.artifacts.get(digest)
                if child and not child.tags and not found.is_indexed(digest):
                    found.remove(digest)

    def _delete(self, repository: Repository, artifact: Artifact, operator: str) -> None:
        now = self.now()
        repository.remove(artifact.digest)
        self._log_artifact("delete", repository, artifact.digest, None, operator, now)
        self._send("DELETE_ARTIFACT", repository, artifact.digest, artifact.first_tag, operator, now)

    def delete_repository(self, repository: str, operator: str = "admin") -> None:
        """A row per artifact and one for the repository, which is gone before the webhooks are made."""
        with self.lock:
            found, now = self._registry.repositories.pop(repository), self.now()
            for artifact in found.top_level():
                for each in (*found.accessories(artifact), artifact):
                    self._log_artifact("delete", found, each.digest, None, operator, now)
                    self._send("DELETE_ARTIFACT", found, each.digest, each.first_tag, operator, now, is_gone=True)
            about = f"delete repository: {repository}"
            self._log("delete", "repository", repository, operator, about, found.project_id, at=now)

    def retention(self, repository: str, *, keep: int = 0) -> list[str]:
        """What Harbor's job does for one repository: delete all but the `keep` that were pushed last. Tells digests.

        An artifact at a time by the API, so signatures go along; a repository that is left empty stays.
        """
        with self.lock:
            artifacts = self._registry.repositories[repository].top_level()
            artifacts.sort(key=lambda artifact: (artifact.push_time, artifact.id))
            gone = artifacts[: len(artifacts) - keep]
            for artifact in gone:
                self.delete_artifact(repository, artifact.digest, JOBSERVICE)
            return [artifact.digest for artifact in gone]

    # -- scanners -------------------------------------------------------------------------------------

    def use_scanner(self, name: str, version: str = "v1.0.0", vendor: str = "", *, project: str | None = None) -> None:
        """From now on that one scans a project, or all that have none of their own; overviews show only its reports.

        Reports are kept by digest and by the scanner's name, so they are there again when it comes back.
        """
        with self.lock:
            scanner = Scanner(name, version, vendor)
            if project is None:
                self._registry.scanner = scanner
            else:
                self._registry.projects[project].scanner = scanner

    def disable_scanner(self, project: str, *, disabled: bool = True) -> None:
        """Deactivate the scanner that a project has. Its results stay visible; there will be no more."""
        with self.lock:
            found = self._registry.projects[project]
            found.scanner = replace(found.scanner or self._registry.scanner, is_disabled=disabled)

    @property
    def scanner_reachable(self) -> bool:
        """False: as long as Harbor cannot reach the scanner, it shows no overview and no findings at all."""
        return self._registry.is_scanner_reachable

    @scanner_reachable.setter
    def scanner_reachable(self, value: bool) -> None:
        self._registry.is_scanner_reachable = value

    def sweep_tasks(self, repository: str, reference: str) -> None:
        """What the sweep of old tasks does to a result: status and times are gone, the findings are not."""
        with self.lock:
            for digest in self._artifact(repository, reference).scannable:
                report = self._registry.stored_report(repository, digest)
                if report and report.status != "Running":
                    report.is_swept = report.is_readable
                    report.status, report.started_at, report.ended_at = Outcome.ERROR.value, NEVER, None

    # -- scans ----------------------------------------------------------------------------------------

    def scan(
        self,
        repository: str,
        reference: str,
        outcome: Outcome = Outcome.SUCCESS,
        severities: Mapping[str, int] | None = None,
        *,
        fixable: int | None = None,
        findings: Iterable[tuple[str, str, str, str, str]] | None = None,
        asked_by: str | None = None,
        operator: str | None = None,
        scan_all: bool = False,
        pulls: bool = True,
    ) -> None:
        """`start_scan` and `finish_scan` at once."""
        started = self.start_scan(
            repository, reference, asked_by=asked_by, operator=operator, scan_all=scan_all, pulls=pulls
        )
        self.finish_scan(started, outcome, severities, fixable=fixable, findings=findings)

    def start_scan(
        self,
        repository: str,
        reference: str,
        *,
        asked_by: str | None = None,
        operator: str | None = None,
        scan_all: bool = False,
        pulls: bool = True,
    ) -> tuple[RunningScan, ...]:
        """Let the scanner's robot pull the artifact; of an index: each platform, with a robot each.

        `asked_by`: the person who pressed the button (on 2.12+ a row tells); None: on push, or all.
        `operator`: of the webhook, if nobody asked; whoever pushed by default. `pulls` False: the scanner knows the
        image already, and asks for nothing. Raises ValueError for what cannot be scanned.
        """
        with self.lock:
            artifact = self._artifact(repository, reference)
            operator = asked_by or operator or artifact.pushed_by
            digests = _scannable(artifact)
            scans = tuple(self._announce(repository, digest, asked_by, operator, scan_all) for digest in digests)
            for scan in scans if pulls else ():
                self.pull(repository, scan.digest, scan.robot)
            return scans

    def _announce(
        self, repository: str, digest: str, asked_by: str | None, operator: str, scan_all: bool
    ) -> RunningScan:
        robot, scanner = self._scan_robot(repository, asked_by), self._registry.scanner_of(repository)
        report = Report(str(uuid4()), "Running", self.now().replace(microsecond=0), scanner=scanner)
        self._registry.keep_report(digest, report)
        tag = self._artifact(repository, digest).first_tag
        return RunningScan(repository, digest, tag, robot, operator, scan_all, report)

    def _scan_robot(self, repository: str, asked_by: str | None) -> str:
        """The name of a new one. Its creation leaves a row only if somebody asked for the scan."""
        now, project = self.now(), self._project(repository)
        scanner = self._registry.scanner_of(repository).name
        robot = f"robot${project.name}+{self.scanner_prefix}-{scanner}-{uuid1(now, self._random)}"
        if asked_by and self.generation.has_robot_rows:
            self._log("create", "robot", robot, asked_by, f"create robot: {robot}", project.id, at=now)
        return robot

    def _dismiss(self, robot: str, repository: str, now: datetime) -> None:
        if self.generation.has_robot_rows:
            about = f"delete robot: {robot}"
            self._log("delete", "robot", robot, JOBSERVICE, about, self._project(repository).id, at=now)

    def finish_scan(
        self,
        scans: Sequence[RunningScan],
        outcome: Outcome = Outcome.SUCCESS,
        severities: Mapping[str, int] | None = None,
        *,
        fixable: int | None = None,
        findings: Iterable[tuple[str, str, str, str, str]] | None = None,
    ) -> None:
        """End them. `severities`: findings by `Critical`, `High` …; half of them have a fix, unless said otherwise.

        `findings`: (id, severity, package, version, fix version) of each, which count for themselves.
        """
        with self.lock:
            result = Result.of(severities, fixable, findings)
            for scan in scans:
                self._end(scan, outcome, result)

    def _end(self, scan: RunningScan, outcome: Outcome, result: Result) -> None:
        now, report = self.now(), scan.report
        report.status, report.ended_at = outcome.value, now.replace(microsecond=0)
        if outcome is Outcome.SUCCESS:
            result.fill(report)
        self._dismiss(scan.robot, scan.repository, now)
        repository = self._registry.repositories.get(scan.repository)
        if repository:
            project = self._project(scan.repository)
            webhook = scan_webhook(now, scan, self.registry_url, repository, project, self.generation)
            self.webhooks.append(webhook)

    # -- scans of everything ----------------------------------------------------------------------------

    def scan_all(
        self,
        operator: str = "admin",
        outcome: Outcome = Outcome.SUCCESS,
        severities: Mapping[str, int] | None = None,
        *,
        fixable: int | None = None,
        findings: Iterable[tuple[str, str, str, str, str]] | None = None,
        scheduled: bool = False,
        pulls: bool = True,
    ) -> ScanAll:
        """`start_scan_all` and `finish_scan_all` at once."""
        started = self.start_scan_all(operator, scheduled=scheduled, pulls=pulls)
        self.finish_scan_all(started, outcome, severities, fixable=fixable, findings=findings)
        return started

    def start_scan_all(self, operator: str = "admin", *, scheduled: bool = False, pulls: bool = True) -> ScanAll:
        """Begin to scan all there is, but for what is being scanned already. `scheduled`: no person asked for it."""
        with self.lock:
            operator = JOBSERVICE if scheduled else operator
            scans = [
                scan
                for name, artifact in self._idle_artifacts()
                for scan in self.start_scan(name, artifact.digest, operator=operator, scan_all=True, pulls=pulls)
            ]
            self._scan_all = ScanAll("Schedule" if scheduled else "Manual", tuple(scans))
            self._scheduled_scan_all = self._scan_all if scheduled else self._scheduled_scan_all
            return self._scan_all

    def _idle_artifacts(self) -> Iterable[tuple[str, Artifact]]:
        """(repository, artifact) of what is listed and can be scanned; lazily, for a scan may be another's too."""
        for repository in list(self._registry.repositories.values()):
            for artifact in repository.top_level():
                reports = [self._registry.stored_report(repository.name, digest) for digest in artifact.scannable]
                if reports and not any(report and report.status == "Running" for report in reports):
                    yield repository.name, artifact

    def finish_scan_all(
        self,
        scan_all: ScanAll,
        outcome: Outcome = Outcome.SUCCESS,
        severities: Mapping[str, int] | None = None,
        *,
        fixable: int | None = None,
        findings: Iterable[tuple[str, str, str, str, str]] | None = None,
        count: int | None = None,
    ) -> None:
        """End the next `count` of its scans; None: all that are left."""
        with self.lock:
            scans = scan_all.left[:count]
            self.finish_scan(scans, outcome, severities, fixable=fixable, findings=findings)
            scan_all.ended += [outcome] * len(scans)

    # -- SBOMs ------------------------------------------------------------------------------------------

    def sbom(
        self,
        repository: str,
        reference: str,
        outcome: Outcome = Outcome.SUCCESS,
        *,
        asked_by: str | None = None,
        operator: str | None = None,
    ) -> None:
        """`start_sbom` and `finish_sbom` at once."""
        self.finish_sbom(self.start_sbom(repository, reference, asked_by=asked_by, operator=operator), outcome)

    def start_sbom(
        self, repository: str, reference: str, *, asked_by: str | None = None, operator: str | None = None
    ) -> tuple[RunningSbom, ...]:
        """Let the scanner's robot pull the artifact to list its contents; of an index: each platform.

        The list that there was is deleted at once. Raises ValueError before 2.11, and for what cannot be scanned.
        """
        with self.lock:
            if not self.generation.has_sboms:
                raise ValueError(f"{self.version} makes no SBOM")
            artifact = self._artifact(repository, reference)
            operator = asked_by or operator or artifact.pushed_by
            return tuple(
                self._begin_sbom(self._registry.repositories[repository], digest, asked_by, operator)
                for digest in _scannable(artifact)
            )

    def _begin_sbom(self, repository: Repository, digest: str, asked_by: str | None, operator: str) -> RunningSbom:
        artifact = repository.artifacts[digest]
        for each in repository.accessories(artifact):
            if each.accessory_type == SBOM:
                self._delete(repository, each, operator)
        sbom = Sbom(str(uuid4()), "Running", self.now(), self._registry.scanner_of(repository.name))
        self._registry.keep_sbom(artifact, sbom)
        robot = self._scan_robot(repository.name, asked_by)
        self.pull(repository.name, digest, robot)
        return RunningSbom(repository.name, artifact, artifact.first_tag, robot, operator, sbom)

    def finish_sbom(self, runs: Sequence[RunningSbom], outcome: Outcome = Outcome.SUCCESS) -> None:
        """End them. A success is an accessory of the artifact, pushed by the scanner's robot."""
        with self.lock:
            for run in runs:
                self._end_sbom(run, outcome)

    def _end_sbom(self, run: RunningSbom, outcome: Outcome) -> None:
        now, sbom, digest = self.now(), run.sbom, run.artifact.digest
        if not self._registry.find(run.repository, digest):
            outcome = Outcome.ERROR  # nothing is left that an accessory could belong to
        sbom.status, sbom.ended_at = outcome.value, now
        if outcome is Outcome.SUCCESS:
            sbom.digest = self._digest(None)
            self._push(run.repository, None, run.robot, sbom.digest, subject=digest, accessory_type=SBOM)
        self._dismiss(run.robot, run.repository, now)
        repository = self._registry.repositories.get(run.repository)
        if repository:
            project = self._project(run.repository)
            self.webhooks.append(sbom_webhook(now, run, self.registry_url, repository, project))

    # -- what only the log tells --------------------------------------------------------------------------

    def create_robot(self, name: str, operator: str = "admin") -> None:
        """`name` in full: `robot$team+ci` of a project, `robot$ci` of the system. No row before 2.12."""
        self._robot("create", name, operator)

    def delete_robot(self, name: str, operator: str = "admin") -> None:
        self._robot("delete", name, operator)

    def _robot(self, operation: str, name: str, operator: str) -> None:
        project = self._registry.projects.get(name.partition("$")[2].partition("+")[0]) if "+" in name else None
        if self.generation.has_robot_rows:
            self._log(operation, "robot", name, operator, f"{operation} robot: {name}", project.id if project else 0)

    def login(self, user: str, *, ok: bool = True) -> None:
        """In the user interface; the API and docker leave no row. Since 2.13, as the following."""
        if self.generation.has_new_log:
            self._log("login", "user", user, user, "login", result=ok)

    def logout(self, user: str) -> None:
        if self.generation.has_new_log:
            self._log("logout", "user", user, user, "logout")

    def change_configuration(self, operator: str = "admin", *, ok: bool = True) -> None:
        if self.generation.has_new_log:
            self._log("update", "configuration", "configuration", operator, "update configuration", result=ok)

    def create_user(self, name: str, operator: str = "admin") -> None:
        if self.generation.has_new_log:
            self._log("create", "user", name, operator, f"create user with name: {name}")

    def delete_user(self, name: str, operator: str = "admin") -> None:
        if self.generation.has_new_log:
            self._log("delete", "user", name, operator, f"delete user with name: {name}")

    def create_member(self, name: str, project: str, operator: str = "admin") -> None:
        if self.generation.has_member_rows:
            about = f"create user member {name} in project {project}"
            self._log("create", "member", name, operator, about, self._registry.projects[project].id)

    def write_row(
        self, operation: str, resource_type: str, resource: str, username: str = "", description: str = ""
    ) -> None:
        """Any row at all, for instance one that nobody has heard of yet."""
        self._log(operation, resource_type, resource, username, description)

    # -- the log's own accidents --------------------------------------------------------------------------

    def upgrade(self, to: Generation) -> None:
        """From then on a newer Harbor on the same database. The old log stays as it is, the new one begins at id 1."""
        with self.lock:
            self.generation = to

    def restore(self, to_id: int) -> None:
        """The database of an earlier moment is put back: the rows after `to_id` are gone, and their ids come again."""
        with self.lock:
            log = self._live
            del log.rows[bisect_left(log.rows, to_id + 1, key=lambda row: row.id) :]
            log.held = {id: moment for id, moment in log.held.items() if id <= to_id}
            log.next_id = to_id + 1

    def purge(self, before: datetime) -> None:
        """What the purge job does: old rows vanish."""
        with self.lock:
            self._live.rows[:] = [row for row in self._live.rows if row.op_time >= before]

    def skip_ids(self, count: int = 1) -> None:
        """What inserts that were rolled back leave: so many ids are never given to a row."""
        with self.lock:
            self._live.next_id += count

    def hold_row(self, seconds: float | None = None) -> None:
        """Let the next row have its id and time at once, but become visible late; None: only at `release()`."""
        with self.lock:
            self._holding = _HELD_FOR_GOOD if seconds is None else timedelta(seconds=seconds)

    def release(self) -> None:
        with self.lock:
            self._holding = None
            for log in self._logs.values():
                log.held.clear()

    @property
    def held(self) -> frozenset[int]:
        """Ids of the live log's rows that cannot be read yet."""
        with self.lock:
            self._live.release(self.now())
            return frozenset(self._live.held)

    # -- the two traces -----------------------------------------------------------------------------------

    @property
    def _live(self) -> Log:
        return self._logs[self.generation.live_table]

    @property
    def newest_id(self) -> int:
        """The last id that the live log gave away; 0 when it is empty."""
        return self._live.next_id - 1

    def _log(
        self,
        operation: str,
        resource_type: str,
        resource: str,
        username: str,
        description: str = "",
        project_id: int = 0,
        *,
        result: bool = True,
        at: datetime | None = None,
    ) -> None:
        with self.lock:
            if not self.audit_database:
                return
            log = self._live
            row = Row(
                log.next_id,
                at or self.now(),
                operation,
                resource_type,
                resource,
                username,
                description,
                result,
                project_id,
            )
            log.rows.append(row)
            log.next_id += 1
            if self._holding is not None:
                log.held[row.id] = self.now() + self._holding
                self._holding = None

    def _log_artifact(
        self, operation: str, repository: Repository, digest: str, tag: str | None, username: str, at: datetime
    ) -> None:
        verb = "push" if operation == "create" else operation
        resource = f"{repository.name}:{tag}" if tag else f"{repository.name}{self.generation.before_digest}{digest}"
        about = f"{verb} artifact: {repository.name}@{digest}"
        self._log(operation, "artifact", resource, username, about, repository.project_id, at=at)

    def _send(
        self,
        kind: str,
        repository: Repository,
        digest: str,
        tag: str | None,
        operator: str,
        at: datetime,
        *,
        is_gone: bool = False,
    ) -> None:
        project = self._project(repository.name)
        webhook = artifact_webhook(
            kind, at, operator, self.registry_url, repository, project, digest, tag, with_creation=not is_gone
        )
        self.webhooks.append(webhook)

    def _project(self, repository: str) -> Project:
        project = self._registry.project_of(repository)
        if project is None:
            raise LookupError(f"no project {repository.partition('/')[0]}")
        return project

    def _artifact(self, repository: str, reference: str) -> Artifact:
        artifact = self._registry.find(repository, reference)
        if artifact is None:
            raise LookupError(f"{repository} has no {reference}")
        return artifact


def _scannable(artifact: Artifact) -> list[str]:
    """Digests of what a scan scans. Raises ValueError if there is none, as Harbor refuses to."""
    if not artifact.scannable:
        raise ValueError(f"{artifact.digest} cannot be scanned")
    return artifact.scannable
