"""Harbor's API, as answers: which path exists, who may ask, and what is said. No HTTP here."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from demo.harbor.accounts import Account, Role
from demo.harbor.generation import Generation, Table
from demo.harbor.query import (
    AllOf,
    BadQuery,
    Column,
    Columns,
    DatabaseFailed,
    Exact,
    Fuzzy,
    Kind,
    Listing,
    OneOf,
    Pattern,
    Range,
    Unprocessable,
    convert,
    links,
    listing,
)
from demo.harbor.registry import Artifact, Project, Registry, Repository
from demo.harbor.rows import Row, api_time, columns
from demo.harbor.shapes import (
    accessories_json,
    artifact_json,
    media_type,
    project_json,
    repository_json,
    vulnerabilities,
)

BASE = "/api/v2.0"
T = TypeVar("T")

_LATER = timedelta(seconds=1)
_EVENT_TYPES = (
    *("create_artifact", "delete_artifact", "pull_artifact", "create_project", "delete_project", "delete_repository"),
    *("login_user", "logout_user", "create_user", "delete_user", "update_user", "create_robot", "delete_robot"),
    *("update_configuration", "create_member", "delete_member", "update_member", "update_project"),
)
_COMPONENTS = ("core", "database", "jobservice", "portal", "redis", "registry", "registryctl", "trivy")
_LOG_LIST = {"resource": "log", "action": "list"}


@dataclass(frozen=True, slots=True)
class Question:
    """What a look-up is about; a replay answers it as of the right moment.

    `reference`: a tag or digest. `pushed_until`: the end of a window of push times, of a list.
    """

    repository: str
    reference: str | None = None
    with_scan: bool = False
    pushed_until: datetime | None = None


class Source(Protocol):
    """Where answers come from: a world that is acted upon, or the replay of a recorded day."""

    @property
    def generation(self) -> Generation: ...
    @property
    def version(self) -> str: ...
    @property
    def registry_url(self) -> str: ...
    @property
    def external_url(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, object]: ...
    def now(self) -> datetime: ...
    def rows(self, table: Table) -> Sequence[Row]: ...
    def scan_all_metrics(self, *, scheduled: bool) -> Mapping[str, object]: ...
    def registry(self, user: str = "", question: Question | None = None) -> Registry: ...


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: object
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request by somebody; `account` None: anonymous, which is what wrong credentials make of anybody."""

    path: str
    params: Mapping[str, str]
    account: Account | None
    is_name: bool = False  # X-Is-Resource-Name: digits in the path are a project's name, not its id
    part: Mapping[str, str] = field(default_factory=dict)  # the path's own parameters
    method: str = "GET"
    body: bytes = b""

    @classmethod
    def of(
        cls, target: str, account: Account | None, *, is_name: bool = False, method: str = "GET", body: bytes = b""
    ) -> Asked:
        url = urlsplit(target)
        params = dict(parse_qsl(url.query, keep_blank_values=True))
        return cls(url.path, params, account, is_name, method=method, body=body)

    @property
    def user(self) -> str:
        return self.account.name if self.account else ""

    def has(self, flag: str) -> bool:
        return self.params.get(flag, "").lower() in ("true", "1")

    @property
    def repository(self) -> str:
        """Unescaped by the proxy or not: Harbor does it twice, and no name holds a percent sign."""
        return f"{self.part['project']}/{unquote(unquote(self.part['repository']))}"


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = failure(status, code, message)


def failure(status: int, code: str, message: str) -> Answer:
    body = {"errors": [{"code": code, "message": message}]}
    return Answer(status, body, {"Content-Type": "application/json; charset=utf-8"})


MASKED = failure(500, "UNKNOWN", "internal server error")


def _unauthorized(message: str = "unauthorized") -> Refused:
    return Refused(401, "UNAUTHORIZED", message)


def _forbidden(message: str = "forbidden") -> Refused:
    return Refused(403, "FORBIDDEN", message)


def _not_found(message: str) -> Refused:
    return Refused(404, "NOT_FOUND", message)


class Api:
    """Answers requests out of a source."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._routes: list[tuple[str, re.Pattern[str], Callable[[Asked], Answer]]] = []
        repository = "/projects/{project}/repositories/{repository}"
        for path, answer in (
            ("/ping", self._ping),
            ("/health", self._health),
            ("/systeminfo", self._systeminfo),
            ("/users/current", self._current_user),
            ("/users/current/permissions", self._permissions),
            ("/configurations", self._configurations),
            ("/scanners", self._scanners),
            ("/scans/all/metrics", self._scan_all_metrics),
            ("/scans/schedule/metrics", self._scheduled_scan_all_metrics),
            ("/audit-logs", self._old_log),
            ("/auditlog-exts", self._new_log),
            ("/auditlog-exts/events", self._event_types),
            ("/projects/{project}/logs", self._old_log_of_project),
            ("/projects/{project}/auditlog-exts", self._new_log_of_project),
            ("/projects", self._projects),
            ("/projects/{project}", self._project),
            ("/projects/{project}/scanner", self._scanner_of_project),
            ("/projects/{project}/repositories", self._repositories_of_project),
            ("/repositories", self._repositories),
            (repository, self._repository),
            (f"{repository}/artifacts", self._artifacts),
            (f"{repository}/artifacts/{{reference}}", self._artifact),
            (f"{repository}/artifacts/{{reference}}/accessories", self._accessories),
            (f"{repository}/artifacts/{{reference}}/additions/vulnerabilities", self._vulnerabilities),
        ):
            self.add("GET", path, answer)

    def add(self, method: str, path: str, answer: Callable[[Asked], Answer]) -> None:
        self._routes.append((method, re.compile(BASE + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), answer))

    def answer(self, asked: Asked) -> Answer:
        try:
            return self._route(asked)
        except Refused as refused:
            return refused.answer
        except BadQuery as error:
            return failure(400, "BAD_REQUEST", str(error))
        except Unprocessable as error:
            return failure(422, "UNPROCESSABLE_ENTITY", str(error))
        except DatabaseFailed:
            return MASKED

    def _route(self, asked: Asked) -> Answer:
        allowed = []
        for method, pattern, answer in self._routes:
            match = pattern.fullmatch(asked.path)
            if not match or (asked.path.partition("auditlog-exts")[1] and not self.source.generation.has_new_log):
                continue
            if method == asked.method:
                part = {
                    key: value if key == "repository" else unquote(value) for key, value in match.groupdict().items()
                }
                return answer(replace(asked, part=part))
            allowed.append(method)
        if allowed:
            said = f"method {asked.method} is not allowed, but [{','.join(allowed)}] are"
            raise Refused(405, "METHOD_NOT_ALLOWED", said)
        raise _not_found(f"path {asked.path} was not found")

    # -- Harbor and the account -------------------------------------------------------------------------

    def _ping(self, _: Asked) -> Answer:
        return Answer(200, "Pong", {"Content-Type": "text/plain"})

    def _health(self, _: Asked) -> Answer:
        components = [{"name": name, "status": "healthy"} for name in _COMPONENTS]
        return Answer(200, {"components": components, "status": "healthy"})

    def _systeminfo(self, asked: Asked) -> Answer:
        source, generation = self.source, self.source.generation
        answer: dict[str, object] = {
            "auth_mode": source.settings.get("auth_mode", "db_auth"),
            "primary_auth_mode": False,
            "self_registration": False,
        }
        if generation is not Generation.V2_8:
            answer |= {"banner_message": "", "oidc_provider_name": ""}
        if asked.account or not generation.hides_version:
            answer["harbor_version"] = source.version
        if asked.account:
            answer |= {
                "current_time": api_time(source.now()),
                "external_url": source.external_url,
                "has_ca_root": False,
                "notification_enable": True,
                "project_creation_restriction": "everyone",
                "read_only": source.settings.get("read_only") is True,
                "registry_storage_provider_name": "filesystem",
                "registry_url": source.registry_url,
            }
            if generation is Generation.V2_8:
                answer["with_notary"] = False
        return Answer(200, answer)

    def _current_user(self, asked: Asked) -> Answer:
        account = _known(asked)
        if account.is_robot:
            message = "get current user not available for security context: robot"
            raise Refused(412, "PRECONDITION", message)
        is_admin = account.role is Role.ADMIN
        created = api_time(datetime(2026, 1, 1, tzinfo=UTC))
        about = {"comment": "admin user"} if is_admin else {"email": f"{account.name}@example.org"}
        return Answer(
            200,
            {
                "admin_role_in_auth": False,
                "creation_time": created,
                "realname": "system admin" if is_admin else account.name,
                "sysadmin_flag": is_admin,
                "update_time": created,
                "user_id": 1 if is_admin else 2 + sum(account.name.encode()) % 1000,
                "username": account.name,
                **about,
            },
        )

    def _permissions(self, asked: Asked) -> Answer:
        account = _known(asked)
        match = re.fullmatch(r"/project/(\d+)", asked.params.get("scope", ""))
        project = self.source.registry().project(match[1]) if match else None
        if project is None or not account.lists_log(project.name, self.source.generation):
            return Answer(200, [])
        prefix = "" if asked.has("relative") else f"/project/{project.id}/"
        return Answer(200, [{**_LOG_LIST, "resource": f"{prefix}log"}])

    def _configurations(self, asked: Asked) -> Answer:
        self._must_be_admin(asked)
        settings: dict[str, object] = {
            "audit_log_forward_endpoint": "",
            "auth_mode": "db_auth",
            "notification_enable": True,
            "read_only": False,
            "robot_name_prefix": "robot$",
            "scanner_skip_update_pulltime": False,
            "skip_audit_log_database": False,
        }
        if self.source.generation.has_new_log:
            settings["disabled_audit_log_event_types"] = ""
        settings |= self.source.settings
        return Answer(200, {key: {"editable": key != "auth_mode", "value": settings[key]} for key in sorted(settings)})

    def _scanners(self, asked: Asked) -> Answer:
        self._must_be_admin(asked)
        trivy = {
            "access_credential": "",
            "auth": "",
            "description": "The Trivy scanner adapter",
            "disabled": False,
            "is_default": True,
            "name": self.source.registry().scanner.name,
            "url": "http://trivy-adapter:8080",
            "uuid": "bd012ccd-e84d-11f1-a3c2-000000000000",
        }
        return Answer(200, [trivy], {"X-Total-Count": "1"})

    def _scanner_of_project(self, asked: Asked) -> Answer:
        """Deactivated or not, and whether Harbor can reach it."""
        registry = self.source.registry()
        project = registry.projects.get(asked.part["project"])
        if project is None or not _known(asked).reads_scanner(project.name):
            raise _forbidden()
        scanner = project.scanner or registry.scanner
        health = "healthy" if registry.is_scanner_reachable else "unhealthy"
        about = {"disabled": scanner.is_disabled, "is_default": project.scanner is None, "health": health}
        return Answer(200, {**scanner.to_json(), **about, "url": "http://trivy-adapter:8080", "auth": ""})

    def _scan_all_metrics(self, asked: Asked) -> Answer:
        return self._metrics(asked, scheduled=False)

    def _scheduled_scan_all_metrics(self, asked: Asked) -> Answer:
        return self._metrics(asked, scheduled=True)

    def _metrics(self, asked: Asked, *, scheduled: bool) -> Answer:
        if not _known(asked).reads_scan_all(self.source.generation):
            raise _forbidden()
        return Answer(200, self.source.scan_all_metrics(scheduled=scheduled))

    def _must_be_admin(self, asked: Asked) -> None:
        if _known(asked).role is not Role.ADMIN:
            raise _forbidden()

    # -- the audit log --------------------------------------------------------------------------------------

    def _old_log(self, asked: Asked) -> Answer:
        return self._log(asked, Table.OLD)

    def _new_log(self, asked: Asked) -> Answer:
        return self._log(asked, Table.NEW)

    def _log(self, asked: Asked, table: Table) -> Answer:
        wanted = listing_of_pages(asked)
        if asked.account is None:
            raise _unauthorized("")
        rows = self.source.rows(table)
        if not asked.account.lists_whole_log:
            rows = self._own_rows(asked.account, rows)
        return self._list_rows(asked, wanted(), rows, table)

    def _own_rows(self, account: Account, rows: Sequence[Row]) -> Sequence[Row]:
        """A caller without the right to the whole log gets no error: a user the rows of own projects, a robot none."""
        if not (account.lists_own_rows and account.lists_log(account.project, self.source.generation)):
            return []
        project = self.source.registry().projects.get(account.project)
        return [row for row in rows if project and row.project_id == project.id]

    def _old_log_of_project(self, asked: Asked) -> Answer:
        return self._log_of_project(asked, Table.OLD)

    def _new_log_of_project(self, asked: Asked) -> Answer:
        return self._log_of_project(asked, Table.NEW)

    def _log_of_project(self, asked: Asked, table: Table) -> Answer:
        wanted = listing_of_pages(asked)
        account, name = _known(asked), asked.part["project"]
        if not account.lists_log(name, self.source.generation):
            raise _forbidden()
        project = self.source.registry().project(name, is_name=True)
        if project is None:
            raise _not_found(f"project {name} not found") if account.role is Role.ADMIN else _forbidden()
        rows = [row for row in self.source.rows(table) if row.project_id == project.id]
        return self._list_rows(asked, wanted(), rows, table)

    def _list_rows(self, asked: Asked, wanted: Listing, rows: Sequence[Row], table: Table) -> Answer:
        rows = _from_id(rows, wanted.filters.get("id"), table)
        found, total = wanted.select(rows, columns(table), ("-op_time", "-id"))
        return _page(asked, wanted, [row.to_json(table) for row in found], total)

    def _event_types(self, asked: Asked) -> Answer:
        account = _known(asked)
        if not account.lists_whole_log:
            raise _forbidden(account.name)
        return Answer(200, [{"event_type": event_type} for event_type in _EVENT_TYPES])

    # -- projects and repositories --------------------------------------------------------------------------

    def _visible_projects(self, account: Account | None) -> list[Project]:
        return [
            project
            for project in self.source.registry().projects.values()
            if project.is_public or (account and (account.sees_all_projects or account.is_member(project.name)))
        ]

    def _projects(self, asked: Asked) -> Answer:
        wanted = listing(asked.params)
        name = asked.params.get("name", "")
        projects = [project for project in self._visible_projects(asked.account) if name in project.name]
        if "public" in asked.params:
            projects = [project for project in projects if project.is_public == asked.has("public")]
        found, total = wanted.select(projects, _PROJECT_COLUMNS, ("name",))
        registry = self.source.registry()
        return _page(asked, wanted, [project_json(project, asked.account, registry) for project in found], total)

    def _project(self, asked: Asked) -> Answer:
        project = self._visible(asked, lambda account, name: account.reads_project(name))
        return Answer(200, project_json(project, asked.account, self.source.registry()))

    def _repositories_of_project(self, asked: Asked) -> Answer:
        wanted = listing(asked.params)
        project = self._readable(asked, "repository", "list")
        registry = self.source.registry()
        return self._list_repositories(asked, wanted, registry.repositories_in(project))

    def _repositories(self, asked: Asked) -> Answer:
        wanted = listing(asked.params)
        projects = {project.id for project in self._visible_projects(asked.account)}
        repositories = self.source.registry().repositories.values()
        return self._list_repositories(asked, wanted, (each for each in repositories if each.project_id in projects))

    def _list_repositories(self, asked: Asked, wanted: Listing, repositories: Iterable[Repository]) -> Answer:
        found, total = wanted.select(repositories, _REPOSITORY_COLUMNS, ("-creation_time", "-repository_id"))
        return _page(asked, wanted, [repository_json(each) for each in found], total)

    def _repository(self, asked: Asked) -> Answer:
        self._readable(asked, "repository", "read")
        name = asked.repository
        repository = self.source.registry(asked.user, Question(name)).repositories.get(name)
        if repository is None:
            raise _not_found(f"repository {name} not found")
        return Answer(200, repository_json(repository))

    def _readable(self, asked: Asked, resource: str, action: str) -> Project:
        """The path's project, if this may be read in it."""
        return self._visible(asked, lambda account, project: account.reads(project, resource, action))

    def _visible(self, asked: Asked, may_see: Callable[[Account, str], bool]) -> Project:
        name = asked.part["project"]
        project = self.source.registry().project(name, is_name=asked.is_name)
        if project is None or not project.is_public:
            account = _known(asked)
            if project is None and account.role is Role.ADMIN:
                raise _not_found(f"project {name} not found")
            if project is None or not may_see(account, project.name):
                raise _forbidden()
        return project

    # -- artifacts ------------------------------------------------------------------------------------------

    def _artifacts(self, asked: Asked) -> Answer:
        wanted, name = listing(asked.params), asked.repository
        self._readable(asked, "artifact", "list")
        registry = self.source.registry(asked.user, Question(name, pushed_until=_pushed_until(wanted)))
        repository = registry.repositories.get(name)
        if repository is None:
            return _page(asked, wanted, [], 0)
        found, total = wanted.select(_listed(repository, wanted), _ARTIFACT_COLUMNS, ("-push_time", "-id"))
        return _page(asked, wanted, [self._artifact_json(asked, each, repository, registry) for each in found], total)

    def _artifact(self, asked: Asked) -> Answer:
        artifact, repository, registry = self._find(asked, "artifact")
        return Answer(200, self._artifact_json(asked, artifact, repository, registry))

    def _find(self, asked: Asked, resource: str, action: str = "read") -> tuple[Artifact, Repository, Registry]:
        self._readable(asked, resource, action)
        name, reference = asked.repository, asked.part["reference"]
        question = Question(name, reference, asked.has("with_scan_overview"))
        registry = self.source.registry(asked.user, question)
        repository = registry.repositories.get(name)
        artifact = repository.find(reference) if repository else None
        if repository is None or artifact is None:
            raise _not_found(f"artifact {name}{'@' if ':' in reference else ':'}{reference} not found")
        return artifact, repository, registry

    def _artifact_json(
        self, asked: Asked, artifact: Artifact, repository: Repository, registry: Registry
    ) -> dict[str, Any]:
        answer = artifact_json(
            artifact,
            repository,
            registry,
            self.source.generation,
            with_scan=asked.has("with_scan_overview"),
            with_sbom=asked.has("with_sbom_overview"),
            with_accessory=asked.has("with_accessory"),
        )
        return answer if asked.params.get("with_tag") != "false" else {**answer, "tags": None}

    def _accessories(self, asked: Asked) -> Answer:
        """A right of its own: whoever may read artifacts learns of accessories by `with_accessory` alone."""
        wanted = listing(asked.params)
        project = self._readable(asked, "accessory", "list")
        if not project.is_public and not _known(asked).lists_accessories(project.name):
            raise _forbidden()
        artifact, repository, _ = self._find(asked, "accessory", "list")
        found, total = wanted.select(accessories_json(artifact, repository), _ACCESSORY_COLUMNS, ("id",))
        return _page(asked, wanted, found, total)

    def _vulnerabilities(self, asked: Asked) -> Answer:
        return Answer(200, vulnerabilities(*self._find(asked, "artifact-addition"), self.source.generation))


# -- parts of the above -----------------------------------------------------------------------------------


def _known(asked: Asked) -> Account:
    if asked.account is None:
        raise _unauthorized()
    return asked.account


def listing_of_pages(asked: Asked) -> Callable[[], Listing]:
    """The page sizes are checked before anybody asks who it is, the query after that."""
    listing({key: value for key, value in asked.params.items() if key != "q"})
    return lambda: listing(asked.params)


def _page(asked: Asked, wanted: Listing, items: list[dict[str, Any]], total: int) -> Answer:
    headers = {"X-Total-Count": str(total)}
    link = links(asked.path, asked.params, wanted, total)
    return Answer(200, items, headers | ({"Link": link} if link else {}))


def _from_id(rows: Sequence[Row], pattern: Pattern | None, table: Table) -> Sequence[Row]:
    """As the index on the primary key does: without a look at the rows below the range."""
    if isinstance(pattern, Range) and pattern.low:
        low = convert(pattern.low, columns(table)["id"].kind)
        if isinstance(low, int):
            return rows[bisect_left(rows, low, key=lambda row: row.id) :]
    return rows


def _listed(repository: Repository, wanted: Listing) -> list[Artifact]:
    """What a list shows: not the platforms of an index unless `base=*`, and signatures never."""
    base = wanted.filters.get("base")
    everything = [artifact for artifact in repository.artifacts.values() if artifact.subject is None]
    artifacts = everything if base == Exact("*") else repository.top_level()
    return [artifact for artifact in artifacts if _has_tags(artifact, wanted.filters.get("tags"))]


def _has_tags(artifact: Artifact, pattern: Pattern | None) -> bool:
    match pattern:
        case Exact("*"):
            return bool(artifact.tags)
        case Exact("nil"):
            return not artifact.tags
        case Exact(name):
            return name in artifact.tags
        case Fuzzy(part):
            return any(part in name for name in artifact.tags)
        case OneOf(names):
            return any(name in artifact.tags for name in names)
        case None | AllOf() | Range():
            return True


def _pushed_until(wanted: Listing) -> datetime | None:
    pattern = wanted.filters.get("push_time")
    if not isinstance(pattern, Range) or not pattern.high:
        return None
    high = convert(pattern.high, Kind.TIME)
    return high + _LATER if isinstance(high, datetime) else None


_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
_PROJECT_COLUMNS: Columns[Project] = {
    "name": Column(Kind.TEXT, lambda project: project.name),
    "project_id": Column(Kind.INT8, lambda project: project.id),
    "creation_time": Column(Kind.TIME, lambda project: project.created_at),
}
_REPOSITORY_COLUMNS: Columns[Repository] = {
    "name": Column(Kind.TEXT, lambda repository: repository.name),
    "repository_id": Column(Kind.INT8, lambda repository: repository.id),  # in answers it is `id`
    "project_id": Column(Kind.INT8, lambda repository: repository.project_id),
    "creation_time": Column(Kind.TIME, lambda repository: repository.created_at),
    "update_time": Column(Kind.TIME, lambda repository: repository.updated_at),
    "pull_count": Column(Kind.INT8, lambda repository: repository.pull_count),
}
_ARTIFACT_COLUMNS: Columns[Artifact] = {
    "id": Column(Kind.INT8, lambda artifact: artifact.id),
    "digest": Column(Kind.TEXT, lambda artifact: artifact.digest),
    "manifest_media_type": Column(Kind.TEXT, media_type),
    "push_time": Column(Kind.TIME, lambda artifact: artifact.push_time),
    "pull_time": Column(Kind.TIME, lambda artifact: artifact.pull_time or _LONG_AGO),
}
_ACCESSORY_COLUMNS: Columns[dict[str, Any]] = {
    "id": Column(Kind.INT8, lambda accessory: int(accessory["id"])),
    "digest": Column(Kind.TEXT, lambda accessory: str(accessory["digest"])),
    "type": Column(Kind.TEXT, lambda accessory: str(accessory["type"])),
}
