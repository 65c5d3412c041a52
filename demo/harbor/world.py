"""A Harbor to act upon: each verb leaves the artifacts, the rows of the audit log and the webhooks of the real one."""

from __future__ import annotations

import hashlib
import itertools
import random
import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from uuid import UUID, uuid4

from demo.harbor.generation import Generation, Table
from demo.harbor.registry import Artifact, Project, Registry, Report, Repository, Tag
from demo.harbor.rows import Row
from demo.harbor.webhooks import Webhook, artifact_webhook, scan_webhook

JOBSERVICE = "harbor-jobservice"
ARTIFACT_BEFORE_ROW = timedelta(milliseconds=14)
TAG_BEFORE_ROW = timedelta(milliseconds=4)
FASTEST_MOVE = timedelta(milliseconds=20)
_GREGORIAN = datetime(1582, 10, 15, tzinfo=UTC)  # where the clock of a version-1 UUID begins


class Outcome(Enum):
    """How a scan ends; the value is its `scan_status`."""

    SUCCESS = "Success"
    ERROR = "Error"
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True)
class RunningScan:
    """One scanned manifest, between `start_scan` and `finish_scan`."""

    repository: str
    digest: str
    tag: str | None
    robot: str
    operator: str
    is_scan_all: bool


@dataclass(slots=True)
class Log:
    """One table. `held`: ids of rows that are not visible yet."""

    rows: list[Row] = field(default_factory=list)
    held: set[int] = field(default_factory=set)
    next_id: int = 1

    @property
    def visible(self) -> Sequence[Row]:
        return [row for row in self.rows if row.id not in self.held] if self.held else self.rows


class World:
    """`clock` is the only source of time. `log_pulls` and `audit_database` may be switched at any moment.

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
        self.webhooks: list[Webhook] = []
        self.lock = threading.RLock()
        self._clock = clock
        self._logs = {table: Log() for table in Table}
        self._registry = Registry()
        self._ids = itertools.count(1)
        self._contents = itertools.count(1)
        self._holding = False
        self._random = random.Random(1)  # for scanners' robots; the same names at every run
        self._registry.projects["library"] = Project(1, "library", is_public=True, created_at=clock())
        self._project_ids = itertools.count(2)

    # -- for the API ----------------------------------------------------------------------------------

    @property
    def version(self) -> str:
        return self.generation.value

    @property
    def settings(self) -> dict[str, object]:
        """What differs from a fresh configuration. Before 2.13 pulls are switched off outside of it."""
        settings: dict[str, object] = {"skip_audit_log_database": not self.audit_database}
        if self.generation.has_new_log:
            settings["disabled_audit_log_event_types"] = "" if self.log_pulls else "pull_artifact"
        return settings

    def now(self) -> datetime:
        return self._clock()

    def rows(self, table: Table) -> Sequence[Row]:
        """What can be read, by id."""
        return self._logs[table].visible

    def registry(self, user: str = "", question: object = None) -> Registry:  # noqa: ARG002  # a replay's depends on both
        return self._registry

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
    ) -> str:
        """Push an image and tell its digest. The same `content` is the same digest; none: always new.

        `subject`: the digest of the artifact that this one is a signature of.
        """
        digest = self._digest(content)
        self._push(repository, tag, operator, digest, subject=subject)
        return digest

    def push_index(
        self,
        repository: str,
        tag: str | None,
        operator: str = "admin",
        *,
        platforms: Sequence[str] = ("linux/amd64", "linux/arm64"),
        content: str | None = None,
    ) -> str:
        """As buildx does it: each platform by digest, then the index by tag."""
        name = content or f"index {next(self._contents)}"
        children = tuple((self._digest(f"{name} for {platform}"), platform) for platform in platforms)
        for digest, _ in children:
            self._push(repository, None, operator, digest)
        digest = self._digest(name)
        self._push(repository, tag, operator, digest, children=children)
        return digest

    def copy(self, repository: str, reference: str, to: str, operator: str = "admin") -> None:
        """All tags come along, newest first; the row names the first. Signatures follow by digest."""
        with self.lock:
            source = self._registry.repositories[repository]
            artifact = self._artifact(repository, reference)
            accessories = source.accessories(artifact)
            tags = [tag.name for tag in artifact.newest_tags]
            for digest, _ in artifact.children:
                self._push(to, None, operator, digest)
            self._push(to, tags[0] if tags else None, operator, artifact.digest, children=artifact.children)
            copied = self._artifact(to, artifact.digest)
            for number, tag in enumerate(tags[1:], 1):
                self._tag(copied, tag, copied.push_time + number * timedelta(milliseconds=1))
            for accessory in accessories:
                self._push(to, None, operator, accessory.digest, subject=artifact.digest)

    def _push(
        self,
        name: str,
        tag: str | None,
        operator: str,
        digest: str,
        *,
        children: tuple[tuple[str, str], ...] = (),
        subject: str | None = None,
    ) -> None:
        with self.lock:
            now = self._time_of_push(name, tag)
            repository = self._repository(name, now)
            artifact = repository.artifacts.get(digest)
            if artifact is None:
                artifact = Artifact(next(self._ids), digest, now - ARTIFACT_BEFORE_ROW)
                artifact.children, artifact.subject = children, subject
                repository.artifacts[digest] = artifact
            artifact.pushed_by = operator
            if tag and tag not in artifact.tags:
                self._untag(repository, tag)
                self._tag(artifact, tag, now - TAG_BEFORE_ROW)
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

    def _tag(self, artifact: Artifact, name: str, at: datetime) -> None:
        artifact.tags[name] = Tag(next(self._ids), name, at)

    def _untag(self, repository: Repository, tag: str) -> None:
        holder = repository.find(tag)
        if holder:
            del holder.tags[tag]

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
            self._tag(artifact, tag, now - TAG_BEFORE_ROW)
            self._log_tag("create", repository, tag, operator, now)

    def delete_tag(self, repository: str, tag: str, operator: str = "admin") -> None:
        with self.lock:
            del self._artifact(repository, tag).tags[tag]
            self._log_tag("delete", repository, tag, operator, self.now())

    def _log_tag(self, operation: str, repository: str, tag: str, operator: str, now: datetime) -> None:
        name = f"{repository}:{tag}"
        self._log(operation, "tag", name, operator, f"{operation} tag: {name}", self._project(repository).id, at=now)

    def delete_artifact(self, repository: str, reference: str, operator: str = "admin") -> None:
        """Its signatures go with it: a row and a webhook each. An index's platforms go silently."""
        with self.lock:
            found = self._registry.repositories[repository]
            artifact, now = self._artifact(repository, reference), self.now()
            for each in (*found.accessories(artifact), artifact):
                del found.artifacts[each.digest]
                self._log_artifact("delete", found, each.digest, None, operator, now)
                self._send("DELETE_ARTIFACT", found, each.digest, each.first_tag, operator, now)
            for digest, _ in artifact.children:
                if digest not in found.indexed:
                    found.artifacts.pop(digest, None)

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

    # -- scans ----------------------------------------------------------------------------------------

    def scan(
        self,
        repository: str,
        reference: str,
        outcome: Outcome = Outcome.SUCCESS,
        severities: Mapping[str, int] | None = None,
        *,
        fixable: int | None = None,
        asked_by: str | None = None,
        operator: str | None = None,
        scan_all: bool = False,
    ) -> None:
        """`start_scan` and `finish_scan` at once."""
        started = self.start_scan(repository, reference, asked_by=asked_by, operator=operator, scan_all=scan_all)
        self.finish_scan(started, outcome, severities, fixable=fixable)

    def start_scan(
        self,
        repository: str,
        reference: str,
        *,
        asked_by: str | None = None,
        operator: str | None = None,
        scan_all: bool = False,
    ) -> tuple[RunningScan, ...]:
        """Let the scanner's robot pull the artifact; of an index: each platform, with a robot each.

        `asked_by`: the person who pressed the button (on 2.12+ a row tells); None: on push, or all.
        `operator`: of the webhook, if nobody asked; whoever pushed by default.
        """
        with self.lock:
            artifact = self._artifact(repository, reference)
            operator = asked_by or operator or artifact.pushed_by
            digests = [digest for digest, _ in artifact.children] or [artifact.digest]
            scans = tuple(self._announce(repository, digest, asked_by, operator, scan_all) for digest in digests)
            for scan in scans:
                self.pull(repository, scan.digest, scan.robot)
            return scans

    def _announce(
        self, repository: str, digest: str, asked_by: str | None, operator: str, scan_all: bool
    ) -> RunningScan:
        now, project = self.now(), self._project(repository)
        robot = f"robot${project.name}+{self.scanner_prefix}-Trivy-{self._uuid1(now)}"
        if asked_by and self.generation.has_robot_rows:
            self._log("create", "robot", robot, asked_by, f"create robot: {robot}", project.id, at=now)
        self._registry.reports[digest] = Report(str(uuid4()), "Running", now.replace(microsecond=0))
        tag = self._artifact(repository, digest).first_tag
        return RunningScan(repository, digest, tag, robot, operator, scan_all)

    def finish_scan(
        self,
        scans: Sequence[RunningScan],
        outcome: Outcome = Outcome.SUCCESS,
        severities: Mapping[str, int] | None = None,
        *,
        fixable: int | None = None,
    ) -> None:
        """End them. `severities`: findings by `Critical`, `High` …; half of them have a fix, unless said otherwise."""
        with self.lock:
            for scan in scans:
                self._end(scan, outcome, dict(severities or {}), fixable)

    def _end(self, scan: RunningScan, outcome: Outcome, counts: dict[str, int], fixable: int | None) -> None:
        now, project = self.now(), self._project(scan.repository)
        report = self._registry.reports[scan.digest]
        report.status, report.ended_at = outcome.value, now.replace(microsecond=0)
        if outcome is Outcome.SUCCESS:
            report.counts = counts
            report.fixable = sum(counts.values()) // 2 if fixable is None else fixable
        if self.generation.has_robot_rows:
            about = f"delete robot: {scan.robot}"
            self._log("delete", "robot", scan.robot, JOBSERVICE, about, project.id, at=now)
        repository = self._registry.repositories.get(scan.repository)
        if repository:
            self.webhooks.append(
                scan_webhook(
                    now,
                    scan.operator,
                    self.registry_url,
                    repository,
                    project,
                    scan.digest,
                    scan.tag,
                    report,
                    self.generation,
                    is_scan_all=scan.is_scan_all,
                )
            )

    def _uuid1(self, now: datetime) -> UUID:
        """A version-1 UUID of that moment, with the address of no machine."""
        ticks = (now - _GREGORIAN) // timedelta(microseconds=1) * 10 + self._random.randrange(10)
        clock = self._random.randrange(1 << 14)
        return UUID(
            fields=(
                ticks & 0xFFFFFFFF,
                ticks >> 32 & 0xFFFF,
                ticks >> 48 & 0x0FFF | 0x1000,
                clock >> 8 & 0x3F | 0x80,
                clock & 0xFF,
                self._random.getrandbits(48),
            )
        )

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
            log.next_id = to_id + 1

    def purge(self, before: datetime) -> None:
        """What the purge job does: old rows vanish."""
        with self.lock:
            self._live.rows[:] = [row for row in self._live.rows if row.op_time >= before]

    def hold_row(self) -> None:
        """Let the next row have its id and time at once, but become visible only at `release()`."""
        with self.lock:
            self._holding = True

    def release(self) -> None:
        with self.lock:
            self._holding = False
            for log in self._logs.values():
                log.held.clear()

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
            if self._holding:
                log.held.add(row.id)
                self._holding = False

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
