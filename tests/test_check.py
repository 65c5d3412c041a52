"""`check` against stand-ins on loopback: what it finds, how it marks it, and which remedy it names."""

from __future__ import annotations

import base64
import http.server
import json
import re
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, unquote_plus, urlsplit
from uuid import UUID

import pytest
from click.testing import CliRunner

from demo.door import Call, Door, Reply
from demo.harbor import Account, Generation, HarborStandIn, World
from demo.harbor import Role as StandInRole
from demo.telegram import TOKEN, TelegramStandIn
from poller import check_database, check_harbor, lease
from poller.__main__ import cli
from poller.check import Finding, Report, check
from poller.config import Caution, Config, Delivery, HarborConfig, Schedule, StateConfig, TelegramConfig
from poller.deadline import Deadline
from poller.events import WEBHOOK_TYPES, Event, EventType
from poller.harbor import Harbor
from poller.routes import DEFAULT, Route
from poller.secret import Secret
from poller.telegram import Telegram
from poller.values import replace
from state import POLLER, DeliveryState, RouteState, Store, Telling

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
PASSWORD, CHAT = "robots-secret", -1001234567890
CERTIFICATE = Path(__file__).parent / "localhost.pem"
RECORDINGS = Path(__file__).parent / "recordings"

Row = dict[str, Any]


# -- a Harbor with every kind of account -----------------------------------------------------------------

ALL_LOOKUPS = frozenset(
    {"project: read", "repository: read", "artifact: read", "artifact: list", "artifact-addition: read"}
)


@dataclass(frozen=True)
class Role:
    """What an account may do. `logs`: the projects whose log it reads; None: all of Harbor's log."""

    name: str = "robot$poller"
    logs: tuple[str, ...] | None = None
    lookups: frozenset[str] = ALL_LOOKUPS
    is_sysadmin: bool = False

    @property
    def is_robot(self) -> bool:
        return self.name.startswith("robot$")


SYSTEM_ROBOT = Role()
PROJECT_ROBOT = Role("robot$team+poller", ("team",))
BLIND_ROBOT = Role("robot$blind", ())
ADMIN = Role("admin", is_sysadmin=True)
PROJECT_ADMIN = Role("ann", ("team",))
MAINTAINER = Role("max", ())


@dataclass
class Repository:
    created: datetime = NOW - timedelta(days=20)
    pushed: datetime = NOW - timedelta(hours=2)
    pulled: datetime | None = None
    updated: datetime = NOW - timedelta(days=20)
    pull_count: int = 0


@dataclass
class WaxHarbor:
    """Answers as Harbor does to that role; what it holds may be changed at any time."""

    role: Role = SYSTEM_ROBOT
    version: str = "v2.16.0-lab"
    clock: datetime = NOW
    is_oidc_secret: bool = False
    settings: dict[str, object] = field(default_factory=dict)
    projects: dict[str, bool] = field(default_factory=lambda: {"team": False, "library": True})
    repositories: dict[str, Repository] = field(default_factory=lambda: {"team/app": Repository()})
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.door = Door(self.answer)
        self.log("create", NOW - timedelta(hours=2))
        self.log("pull", NOW - timedelta(hours=1))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.door.port}"

    def log(self, operation: str, at: datetime, resource: str = "team/app:1", **more: str) -> None:
        said = {"operation": operation, "resource": resource, "resource_type": "artifact", "username": "ann"} | more
        self.rows.append({"id": len(self.rows) + 1, "op_time": _json_time(at), **said})

    def answer(self, call: Call) -> Reply:
        path = unquote(urlsplit(call.path).path.removeprefix("/api/v2.0"))
        query = {key: values[0] for key, values in parse_qs(urlsplit(call.path).query).items()}
        if path == "/ping":
            return Reply(200, b"Pong", "text/plain")
        given = base64.b64decode(call.headers.get("authorization", "").removeprefix("Basic ")).decode()
        is_known = given == f"{self.role.name}:{PASSWORD}"
        if path == "/systeminfo":
            return _json(200, self._info(is_known=is_known))
        if "auditlog-exts" in path and not self._is_new:
            return _refused(404, f"path /api/v2.0{path} was not found")
        if not is_known or self.is_oidc_secret:
            return _refused(401, "unauthorized")
        return self._answer(path, query)

    @property
    def _is_new(self) -> bool:
        found = re.match(r"v2\.(\d+)", self.version)
        return found is not None and int(found[1]) >= 13

    def _info(self, *, is_known: bool) -> Row:
        known = {"harbor_version": self.version, "registry_url": "harbor.test", "current_time": _json_time(self.clock)}
        return {"auth_mode": "db_auth"} | (known if is_known else {})

    def _answer(self, path: str, query: dict[str, str]) -> Reply:
        role = self.role
        match path.strip("/").split("/"):
            case ["users", "current"] if role.is_robot:
                return _refused(412, "robots have no profile")
            case ["users", "current"]:
                return _json(200, {"username": role.name, "sysadmin_flag": role.is_sysadmin})
            case ["configurations"] if role.is_sysadmin:
                return _json(200, {key: {"value": value, "editable": True} for key, value in self.settings.items()})
            case ["auditlog-exts", "events"]:
                return _json(200, []) if role.logs is None else _refused(403, role.name)
            case ["auditlog-exts" | "audit-logs"]:
                return _json(200, self._page(query) if role.logs is None else [])
            case ["projects"]:
                return _json(200, self._visible(query.get("name", "")))
            case ["projects", project, "logs" | "auditlog-exts"]:
                return self._log_of(project, query)
            case ["repositories"]:
                return _json(200, [self._listed(name) for name in self.repositories if self._sees(name.split("/")[0])])
            case ["projects", project, "repositories", name, *rest]:
                return self._repository(f"{project}/{unquote(name)}", rest, query)
        return _refused(403, "forbidden")

    def _sees(self, project: str) -> bool:
        return self.projects.get(project, False) or "project: read" in self.role.lookups

    def _visible(self, name: str) -> list[Row]:
        return [
            {"name": each, "project_id": number, "metadata": {"public": str(is_public).lower()}}
            for number, (each, is_public) in enumerate(self.projects.items(), start=1)
            if name in each and self._sees(each)
        ]

    def _log_of(self, project: str, query: dict[str, str]) -> Reply:
        if project not in self.projects or project not in (self.role.logs or ()):
            return _refused(403, "forbidden")
        return _json(200, [row for row in self._page(query) if row["resource"].startswith(f"{project}/")])

    def _page(self, query: dict[str, str]) -> list[Row]:
        asked = dict(part.split("=", 1) for part in unquote_plus(query.get("q", "")).split(",") if part)
        start, _, end = asked.get("op_time", "[~]")[1:-1].partition("~")
        found = [
            row
            for row in reversed(self.rows)
            if start <= row["op_time"] <= (end or "~")
            and all(row.get(key) == value for key, value in asked.items() if key in ("operation", "resource_type"))
        ]
        return found[: int(query["page_size"])]

    def _listed(self, name: str) -> Row:
        facts = self.repositories[name]
        times = {"creation_time": _json_time(facts.created), "update_time": _json_time(facts.updated)}
        return {"name": name, "pull_count": facts.pull_count, **times}

    def _repository(self, name: str, rest: list[str], query: dict[str, str]) -> Reply:
        rights = {0: "repository: read", 1: "artifact: list", 2: "artifact: read"}
        right = rights.get(len(rest), "artifact-addition: read")
        if right not in self.role.lookups and not self.projects.get(name.partition("/")[0]):
            return _refused(403, "forbidden")
        facts = self.repositories.get(name)
        if facts is None or len(rest) >= 2:
            return _refused(404, "not found")
        if not rest:
            return _json(200, self._listed(name))
        times = {"push_time": facts.pushed, "pull_time": facts.pulled}
        start = unquote_plus(query["q"]).partition("=[")[2].partition("~")[0]
        time = times[unquote_plus(query["q"]).partition("=")[0]]
        if time is None or _json_time(time) < start:
            return _json(200, [])
        return _json(200, [{"digest": "sha256:0", **{key: _json_time(at) for key, at in times.items() if at}}])


def _json_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


def _json(status: int, body: object) -> Reply:
    return Reply(status, json.dumps(body).encode())


def _refused(status: int, message: str) -> Reply:
    return _json(status, {"errors": [{"code": "X", "message": message}]})


# -- the set-up -------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """Everything that `check` needs, on loopback."""

    harbor: WaxHarbor
    telegram: TelegramStandIn
    config: Config
    state_url: str
    password: str = PASSWORD
    token: str = TOKEN
    timeout: float = 5.0

    def check(self, *, is_sending: bool = False) -> Report:
        harbor, telegram, deadline = self.config.harbor, self.config.telegram, Deadline.after(self.timeout)
        report = check(
            replace(self.config, state=StateConfig(Secret(self.state_url))),
            Harbor(
                harbor.url,
                self.harbor.role.name,
                Secret(self.password),
                ca_file=harbor.ca_file,
                sleep=lambda _: None,
                deadline=deadline,
            ),
            Telegram(Secret(self.token), api_url=telegram.api_url, proxy=telegram.proxy, deadline=deadline),
            is_sending=is_sending,
            now=NOW,
            deadline=deadline,
        )
        assert_nothing_secret(report, self.password, self.token)
        return report

    @contextmanager
    def open_store(self) -> Iterator[Store]:
        store = Store.open(self.state_url, self.config.harbor.url, "telegram")
        try:
            yield store
        finally:
            store.close()

    def set(self, *, harbor: Any = None, telegram: Any = None, **changes: Any) -> None:
        """Change the configuration; `harbor` and `telegram` are changes of their sections."""
        chat = replace(self.config.telegram, **(telegram or {}))
        route = Route(DEFAULT, chat.chat_id, chat.message_thread_id, self.config.language)
        self.config = replace(
            self.config,
            harbor=replace(self.config.harbor, **(harbor or {})),
            telegram=chat,
            **{"routes": (route,), **changes},
        )


def assert_nothing_secret(report: Report, *secrets: str) -> None:
    said = repr(report) + json.dumps(report.to_json())
    for secret in (*secrets, TOKEN.partition(":")[2]):
        assert secret not in said


def make_config(tmp_path: Path, harbor_url: str, telegram_url: str) -> Config:
    return Config(
        path=tmp_path / "conf.toml",
        language="en",
        timezone=UTC,
        harbor=HarborConfig(harbor_url, SYSTEM_ROBOT.name, Secret(PASSWORD)),
        telegram=TelegramConfig(Secret(TOKEN), CHAT, api_url=telegram_url),
        escape_chars="",
        missing_escapes="",
        events=WEBHOOK_TYPES,
        schedule=Schedule(),
        delivery=Delivery(),
        state=StateConfig(Secret(f"sqlite:///{tmp_path / 'state.db'}")),
        routes=(Route(DEFAULT, CHAT, language="en"),),
    )


@pytest.fixture(scope="session")
def empty_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that is up to date, to be copied: making it is the dearest part of a check."""
    path = tmp_path_factory.mktemp("empty") / "state.db"
    Store.open(f"sqlite:///{path}", "http://harbor.test", "telegram").close()
    return path


@pytest.fixture
def bench(tmp_path: Path, empty_state: Path) -> Iterator[Bench]:
    shutil.copy(empty_state, tmp_path / "state.db")
    harbor = WaxHarbor()
    harbor.door.open()
    with TelegramStandIn(strict=True) as telegram:
        telegram.add_chat(CHAT)
        config = make_config(tmp_path, harbor.url, telegram.url)
        yield Bench(harbor, telegram, config, config.state.url.reveal())
    harbor.door.close()


def only(report: Report, mark: str, area: str = "") -> Finding:
    """The one finding with this mark."""
    found = [each for each in report.findings if each.mark == mark and area in ("", each.area)]
    assert len(found) == 1, report.findings
    return found[0]


def assert_found(report: Report, mark: str, text: str, remedy: str = "") -> None:
    """Exactly one finding has this mark, and it speaks of `text` and `remedy` (regular expressions)."""
    finding = only(report, mark)
    assert re.search(text, finding.text), finding
    assert re.search(remedy, finding.remedy), finding
    assert finding.remedy or not remedy


def marks(report: Report) -> str:
    return "".join(sorted({finding.mark for finding in report.findings}))


# -- all is well ------------------------------------------------------------------------------------------


def test_all_is_well(bench: Bench) -> None:
    """Every area has its line, and nothing is left to do."""
    report = bench.check()
    assert marks(report) == "✓", report.findings
    assert {each.area for each in report.findings} == {
        "configuration",
        "Harbor",
        "clock",
        "rights",
        "audit log",
        "Telegram",
        "database",
    }
    assert report.exit_code == 0
    assert not bench.telegram.messages


def test_what_cannot_be_seen_is_said(bench: Bench) -> None:
    assert any("garbage collection" in finding.text for finding in bench.check().findings)


def test_the_exit_code_says_who_must_act(bench: Bench) -> None:
    """Away: 1. A mistake: 2, also beside something that is away."""
    bench.harbor.door.close()
    assert bench.check().exit_code == 1
    bench.token = "999:WRONG-TOKEN"
    assert bench.check().exit_code == 2


def test_json_names_result_area_text_and_remedy(bench: Bench) -> None:
    bench.set(missing_escapes=".")
    said = bench.check().to_json()
    assert said["exit_code"] == 0
    warnings = [each for each in said["findings"] if each["result"] == "warning"]
    assert [set(each) for each in warnings] == [{"code", "result", "mark", "area", "text", "remedy"}]


# -- the configuration ------------------------------------------------------------------------------------


def test_warnings_of_the_configuration_are_repeated(bench: Bench) -> None:
    bench.set(
        warnings=(Caution("verify_off", "[harbor] verify = false: anybody can read the password", "use ca_file"),)
    )
    assert_found(bench.check(), "!", "verify = false", "use ca_file")


def test_missing_escapes_are_named_and_harmless(bench: Bench) -> None:
    bench.set(missing_escapes=".!")
    report = bench.check()
    assert_found(report, "!", r"lacks \. !.*escaped all the same")
    assert report.exit_code == 0


# -- the way to Harbor ------------------------------------------------------------------------------------


def test_harbor_refuses_connections(bench: Bench) -> None:
    bench.harbor.door.close()
    report = bench.check()
    assert_found(report, "✗", "refused", r"correct the port in \[harbor\] url, or start Harbor")
    assert {"Telegram", "database"} <= {each.area for each in report.findings}


def test_the_name_of_harbor_is_not_known(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def no_such_name(host: str, *rest: Any, **more: Any) -> Any:
        if host.endswith(".invalid"):  # a real question would leave this machine
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    bench.set(harbor={"url": "http://no-such-host.invalid"})
    assert_found(bench.check(), "✗", "no-such-host.invalid", r"correct the host in \[harbor\] url, or .* DNS")


def test_harbor_is_silent(bench: Bench) -> None:
    bench.timeout = 0.2
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bench.set(harbor={"url": f"http://127.0.0.1:{silent.getsockname()[1]}"})
        assert_found(bench.check(), "✗", r"did not answer in time \(0.2 s\)", "firewall")


@contextmanager
def tls_server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # the client hangs up: that is the test
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"https://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_the_certificate_is_not_trusted(bench: Bench) -> None:
    with tls_server() as url:
        bench.set(harbor={"url": url})
        report = bench.check()
    assert_found(report, "✗", "certificate is not trusted", r"\[harbor\] ca_file")
    assert report.exit_code == 2


def test_plain_http_behind_an_https_url(bench: Bench) -> None:
    bench.set(harbor={"url": bench.harbor.url.replace("http:", "https:")})
    assert_found(bench.check(), "✗", "TLS failed", r"plain HTTP .* url = \"http://127.*\[harbor\]")


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(308, headers={"Location": "https://harbor.example.com/"}), "redirects to https://harbor.example.com"),
        (Reply(200, b"<html>Welcome</html>", "text/html"), "it is not Harbor"),
        (Reply(404, b"<html>404</html>", "text/html"), "web page"),
    ],
)
def test_the_url_is_not_that_of_harbor(bench: Bench, reply: Reply, text: str) -> None:
    door = Door(lambda _: reply)
    door.open()
    bench.set(harbor={"url": f"http://127.0.0.1:{door.port}"})
    report = bench.check()
    door.close()
    assert_found(report, "✗", text, r"url .*\[harbor\]|\[harbor\] url")
    assert report.exit_code == 2


def test_harbor_is_being_started(bench: Bench) -> None:
    door = Door(lambda _: Reply(502, b"<html>502 Bad Gateway</html>", "text/html"))
    door.open()
    bench.set(harbor={"url": f"http://127.0.0.1:{door.port}"})
    report = bench.check()
    door.close()
    assert_found(report, "✗", "502", "started or upgraded")
    assert report.exit_code == 1


# -- the account ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v2.16.0", "v2.12.4", "v2.8.6"])
def test_a_wrong_password_shows_although_public_answers_hide_it(bench: Bench, version: str) -> None:
    bench.harbor.version = version
    bench.password = "wrong-secret"
    report = bench.check()
    assert_found(report, "✗", "401.*disabled, or has expired", r"Robot Accounts.*Refresh Secret.*\[harbor\] password")
    assert report.exit_code == 2


def test_the_cli_secret_of_oidc_is_told_from_a_wrong_password(bench: Bench) -> None:
    bench.harbor.is_oidc_secret = True
    assert_found(bench.check(), "✗", "CLI secret", "use a robot account")


def test_a_users_password_is_dear(bench: Bench) -> None:
    bench.harbor.role = ADMIN
    assert_found(bench.check(), "!", "100 ms of CPU.*change everything", "create a robot account")


BLIND_ROLES = [
    (BLIND_ROBOT, "v2.16.0", r"system permission \"Audit Log: List\" \(audit-log: list\).*log: list"),
    (BLIND_ROBOT, "v2.12.4", r"audit-log: list.*log: list"),
    (Role("robot$team+x", ()), "v2.16.0", r"\"Log: List\" \(log: list\) on its project"),
]


@pytest.mark.parametrize(("role", "version", "remedy"), BLIND_ROLES)
def test_a_robot_without_the_right_sees_an_empty_log(bench: Bench, role: Role, version: str, remedy: str) -> None:
    bench.harbor.role, bench.harbor.version = role, version
    report = bench.check()
    assert_found(report, "✗", "empty audit log", remedy)
    assert report.exit_code == 2


@pytest.mark.parametrize(
    ("version", "remedy"), [("v2.16.0", "project administrator: since Harbor 2.13"), ("v2.12.4", "member")]
)
def test_a_user_without_the_right_sees_an_empty_log(bench: Bench, version: str, remedy: str) -> None:
    bench.harbor.role, bench.harbor.version = MAINTAINER, version
    assert_found(bench.check(), "✗", "sees nothing", remedy)


@pytest.mark.parametrize("version", ["v2.16.0", "v2.8.6"])
@pytest.mark.parametrize("role", [PROJECT_ROBOT, PROJECT_ADMIN])
def test_the_reach_of_project_accounts_is_named(bench: Bench, role: Role, version: str) -> None:
    bench.harbor.role, bench.harbor.version = role, version
    texts = [each.text for each in bench.check().findings if each.area == "rights" and each.mark == "✓"]
    assert any("audit log of team, and of no other project" in text for text in texts)


@pytest.mark.parametrize(
    ("version", "path"), [("v2.16.0", "/auditlog-exts"), ("v2.12.4", "/audit-logs"), ("v2.8.6", "/audit-logs")]
)
def test_the_reach_of_a_system_robot_is_everything(bench: Bench, version: str, path: str) -> None:
    bench.harbor.version = version
    report = bench.check()
    assert any(f"the whole audit log (/api/v2.0{path})" in each.text for each in report.findings)
    assert marks(report) == "✓"


def test_a_project_that_does_not_exist_is_named_with_its_neighbour(bench: Bench) -> None:
    bench.harbor.role = PROJECT_ROBOT
    bench.set(harbor={"projects": ("team", "libary")})
    report = bench.check()
    assert_found(report, "✗", 'no project "libary"', 'is "library" meant')
    assert report.exit_code == 2


def test_to_an_administrator_an_unknown_project_is_certain(bench: Bench) -> None:
    bench.harbor.role = ADMIN
    bench.set(harbor={"projects": ("nope",)})
    assert_found(bench.check(), "✗", 'there is no project "nope"$', r"correct \[harbor\] projects")


def test_a_project_whose_log_is_closed_is_named_with_the_right(bench: Bench) -> None:
    bench.harbor.role = PROJECT_ROBOT
    bench.set(harbor={"projects": ("team", "library")})
    assert_found(bench.check(), "✗", "may not read the log of the project library", "log: list")


@pytest.mark.parametrize(
    ("version", "right", "loss"),
    [
        ("v2.16.0", "artifact: read", "lack scan results"),
        ("v2.12.4", "artifact: read", "digest behind a tag"),
        ("v2.12.4", "artifact: list", "tag that moved on"),
        ("v2.16.0", "artifact: list", "leave no trace in the log"),
        ("v2.16.0", "artifact-addition: read", "names of new critical and high findings"),
        ("v2.16.0", "repository: read", "creation date"),
        ("v2.16.0", "project: read", "public or private"),
    ],
)
def test_a_missing_right_to_look_things_up_is_named(bench: Bench, version: str, right: str, loss: str) -> None:
    """The event is told all the same, so it is a warning."""
    bench.harbor.version = version
    bench.harbor.role = replace(SYSTEM_ROBOT, lookups=ALL_LOOKUPS - {right})
    report = bench.check()
    assert_found(report, "!", f"events of team.*{loss}", rf"\({right}\)")
    assert report.exit_code == 0


def test_a_public_project_does_not_hide_a_missing_right(bench: Bench) -> None:
    """Everybody may look into public projects: private ones are tried first."""
    bench.harbor.repositories = {"library/nginx": Repository(), **bench.harbor.repositories}
    bench.harbor.log("create", NOW - timedelta(minutes=30), "library/nginx:1")
    texts = [each.text for each in bench.check().findings]
    assert any("tried in team, library" in text for text in texts)


def test_what_a_public_project_shows_to_everybody_proves_nothing(bench: Bench) -> None:
    bench.harbor.role = replace(SYSTEM_ROBOT, lookups=frozenset())
    bench.harbor.repositories["library/nginx"] = Repository()
    bench.harbor.log("create", NOW - timedelta(minutes=30), "library/nginx:1")
    finding = only(bench.check(), "!")
    assert finding.text.startswith("events of team will lack")
    assert "(project: read)" in finding.remedy


def test_a_deleted_project_is_not_taken_for_a_missing_right(bench: Bench) -> None:
    bench.harbor.projects = {"library": True}
    bench.harbor.repositories = {"library/nginx": Repository()}
    bench.harbor.log("delete", NOW - timedelta(minutes=30), "team", resource_type="project")
    assert marks(bench.check()) == "✓"


def test_events_of_the_system_are_not_in_the_logs_of_projects(bench: Bench) -> None:
    bench.harbor.role = PROJECT_ROBOT
    bench.set(events=WEBHOOK_TYPES | {EventType.LOGIN})
    assert_found(bench.check(), "!", "LOGIN: they are not in the projects' logs", "audit-log: list")


# -- the recorded accounts of three Harbors ---------------------------------------------------------------


def recorded(harbor: str, account: str) -> Door:
    """Answers as that Harbor answered that account, whatever the query. What was not recorded is refused."""
    replies: dict[str, Reply] = {}
    for line in (RECORDINGS / harbor / "answers.jsonl").read_text().splitlines():
        said = json.loads(line)
        path = unquote(urlsplit(said["request"]["path"]).path)
        if said["as"] == account or path.endswith("/ping"):
            body = said["body"] if isinstance(said["body"], str) else json.dumps(said["body"])
            replies.setdefault(path, Reply(said["status"], body.encode()))
    refused = _refused(403, "forbidden")
    return Door(lambda call: replies.get(unquote(unquote(urlsplit(call.path).path)), refused))


SEES_ALL, SEES_PROJECTS, SEES_NOTHING = "whole audit log", "audit log of", "empty audit log"
OF_EVERY_HARBOR = {
    "admin": SEES_ALL,
    "system-robot-audit": SEES_ALL,
    "system-robot-noaudit": SEES_NOTHING,
    "system-robot-all-projects": SEES_PROJECTS,
    "project-robot-log": SEES_PROJECTS,
    "project-robot-nolog": SEES_NOTHING,
    "project-admin": SEES_PROJECTS,
    "no-member": SEES_NOTHING,
    "wrong-password": "401",
    "unknown-user": "401",
    "anonymous": "401",
}
UP_TO_2_12 = {"project-maintainer": SEES_PROJECTS, "project-guest": SEES_PROJECTS}
FROM_2_13 = {"project-maintainer": SEES_NOTHING, "project-guest": SEES_NOTHING}


@pytest.mark.parametrize(
    ("harbor", "account", "text"),
    [
        (harbor, account, text)
        for harbor, more in (
            ("harbor-2.16-dev", FROM_2_13),
            ("harbor-2.12.4", UP_TO_2_12),
            ("harbor-2.8.6", UP_TO_2_12),
        )
        for account, text in (OF_EVERY_HARBOR | more).items()
    ],
)
def test_every_recorded_account_is_told_what_it_sees(tmp_path: Path, harbor: str, account: str, text: str) -> None:
    door = recorded(harbor, account)
    door.open()
    client = Harbor(f"http://127.0.0.1:{door.port}", account, Secret(PASSWORD), sleep=lambda _: None)
    found = [*check_harbor.probe(client, make_config(tmp_path, "http://harbor.test", "http://telegram.test"), NOW)]
    door.close()
    told = [each for each in found if text in each.text]
    assert [each.mark for each in told] == ["✗" if text in ("401", SEES_NOTHING) else "✓"]
    assert told[0].remedy or told[0].mark == "✓"


# -- versions and clocks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v2.11.1", "v2.11.2-abcdef01", "v2.12.0"])
def test_versions_that_do_not_log_known_images(bench: Bench, version: str) -> None:
    bench.harbor.version = version
    assert_found(bench.check(), "!", "no push of an image that it has already", "2.12.1")


def test_events_that_this_harbor_does_not_log_yet(bench: Bench) -> None:
    bench.harbor.version = "v2.12.4"
    bench.set(events=WEBHOOK_TYPES | {EventType.LOGIN, EventType.ROBOT_CREATED})
    assert_found(bench.check(), "!", "LOGIN: Harbor logs that only since 2.13", "upgrade Harbor")


@pytest.mark.parametrize(
    ("offset", "mark", "text"),
    [
        (timedelta(seconds=40), "!", r"(39|40) s behind"),
        (timedelta(seconds=-90), "!", r"9\d s ahead of"),
        (timedelta(minutes=10), "✗", "(9|10) min behind"),
        (timedelta(hours=-3), "✗", "3 h ahead of"),
    ],
)
def test_a_clock_that_is_off(bench: Bench, offset: timedelta, mark: str, text: str) -> None:
    bench.harbor.clock = NOW + offset
    finding = only(bench.check(), mark, "clock")
    assert re.search(text, finding.text)
    assert "NTP" in finding.remedy


# -- is the log written? ----------------------------------------------------------------------------------


def test_an_administrator_reads_that_the_audit_database_is_off(bench: Bench) -> None:
    bench.harbor.role = ADMIN
    bench.harbor.settings = {"skip_audit_log_database": True}
    finding = only(bench.check(), "✗")
    assert "writes no audit log" in finding.text
    assert "skip_audit_log_database" in finding.remedy


def test_an_administrator_reads_which_events_are_not_logged(bench: Bench) -> None:
    bench.harbor.role = ADMIN
    bench.harbor.settings = {"disabled_audit_log_event_types": "pull_artifact, Delete_Artifact,login_user"}
    finding = only(bench.check(), "!", "audit log")
    assert "delete_artifact, pull_artifact (" in finding.text
    assert "[events]" in finding.remedy


@pytest.mark.parametrize("role", [SYSTEM_ROBOT, PROJECT_ROBOT])
@pytest.mark.parametrize("version", ["v2.16.0", "v2.8.6"])
def test_a_log_that_stands_still_while_the_registry_moves(bench: Bench, role: Role, version: str) -> None:
    bench.harbor.role, bench.harbor.version = role, version
    bench.harbor.repositories["team/app"].pushed = NOW - timedelta(minutes=3)
    report = bench.check()
    assert_found(report, "✗", "log stands still.*team/app was pushed to at 2026-11-24 11:57", "Skip Audit Log Database")
    assert report.exit_code == 2


def test_a_push_of_this_moment_may_still_get_its_row(bench: Bench) -> None:
    bench.harbor.repositories["team/app"].pushed = NOW - timedelta(seconds=10)
    assert marks(bench.check()) == "✓"


def test_a_registry_that_was_never_logged(bench: Bench) -> None:
    """A fresh Harbor whose audit database was off from the first day on: sure if young, else it may be purged."""
    bench.harbor.rows.clear()
    assert_found(bench.check(), "!", "stands still.*it has no row; it may have been purged", "Skip Audit Log Database")
    bench.harbor.repositories["team/app"].pushed = NOW - timedelta(minutes=30)
    assert_found(bench.check(), "✗", "stands still.*it has no row$", "Skip Audit Log Database")


def test_an_empty_registry_is_no_reason_to_worry(bench: Bench) -> None:
    bench.harbor.rows.clear()
    bench.harbor.repositories.clear()
    assert marks(bench.check()) == "✓"


def test_a_log_that_ends_with_a_change_of_configuration(bench: Bench) -> None:
    """Where nothing can be compared with the log, its last row may tell: switching the database off is a row."""
    bench.harbor.repositories.clear()
    bench.harbor.log("update", NOW - timedelta(minutes=30), "configuration", resource_type="configuration")
    assert_found(bench.check(), "!", "a change of Harbor's configuration", "Skip Audit Log Database")


@pytest.mark.parametrize("generation", Generation)
@pytest.mark.parametrize("role", [StandInRole.SYSTEM_ROBOT_FULL, StandInRole.PROJECT_ROBOT])
@pytest.mark.parametrize("switch", ["", "log_pulls", "audit_database"])
def test_the_switches_of_the_stand_in(tmp_path: Path, generation: Generation, role: StandInRole, switch: str) -> None:
    """The demo's Harbor, with pull logging or the audit database switched off behind a robot's back."""
    clock = [NOW - timedelta(minutes=30)]
    world = World(generation, clock=lambda: clock[0])
    world.create_project("team")
    world.push("team/app", "1")
    clock[0] += timedelta(minutes=10)
    if switch:
        setattr(world, switch, False)
    world.pull("team/app", "1")
    world.push("team/app", "2")
    world.scan("team/app", "2")
    clock[0] += timedelta(minutes=10)
    with HarborStandIn(world, [Account("robot$poller", PASSWORD, role, "team")]) as stand_in:
        harbor = Harbor(stand_in.url, "robot$poller", Secret(PASSWORD), sleep=lambda _: None)
        found = [*check_harbor.probe(harbor, make_config(tmp_path, stand_in.url, "http://telegram.test"), NOW)]
    told = [each for each in found if each.mark != "✓" and each.area == "audit log"]
    expected = {"": [], "log_pulls": ["!"], "audit_database": ["✗"]}
    assert [each.mark for each in told] == expected[switch], told


# -- are pulls written? -----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [SYSTEM_ROBOT, PROJECT_ROBOT])
@pytest.mark.parametrize("version", ["v2.16.0", "v2.8.6"])
def test_pulls_that_leave_no_row(bench: Bench, role: Role, version: str) -> None:
    bench.harbor.role, bench.harbor.version = role, version
    bench.harbor.repositories["team/app"].pulled = NOW - timedelta(minutes=10)
    bench.harbor.log("create", NOW - timedelta(minutes=5))
    report = bench.check()
    assert_found(report, "!", "pulls seem not to be logged: team/app was pulled", "PULL_AUDIT_LOG_DISABLE")
    assert report.exit_code == 0


def test_pulls_that_leave_a_row(bench: Bench) -> None:
    bench.harbor.repositories["team/app"].pulled = NOW - timedelta(hours=1)
    report = bench.check()
    assert marks(report) == "✓"
    assert any("pulls are logged" in each.text for each in report.findings)


def test_counted_pulls_betray_missing_rows_where_artifacts_may_not_be_listed(bench: Bench) -> None:
    bench.harbor.version = "v2.13.1"
    bench.harbor.role = replace(SYSTEM_ROBOT, lookups=ALL_LOOKUPS - {"artifact: list"})
    app = bench.harbor.repositories["team/app"]
    app.updated, app.pull_count = NOW - timedelta(minutes=10), 7
    # Without a sweep, the missing right to list artifacts loses nothing on 2.13, so this is the only finding.
    bench.config = replace(bench.config, schedule=Schedule(sweep=None))
    assert_found(bench.check(), "!", "team/app was pulled .*counts.* 2026-11-24 11:49:30", "pull_artifact")


def test_counted_pulls_without_a_time_must_have_a_row_since_the_first_push(bench: Bench) -> None:
    app = bench.harbor.repositories["team/app"]
    app.created, app.pull_count = NOW - timedelta(minutes=30), 7
    bench.harbor.log("create", app.created)
    report = bench.check()
    assert_found(report, "!", "team/app was pulled .*counts.* 2026-11-24 11:30:00", "pull_artifact")
    bench.harbor.log("pull", NOW - timedelta(minutes=20))
    assert marks(bench.check()) == "✓"


def test_a_scan_without_a_pull_betrays_missing_rows(bench: Bench) -> None:
    """The scanner's robot is made, pulls, and is deleted: the pull must be in between."""
    made_at = NOW - timedelta(minutes=10)
    ticks = (made_at - datetime(1582, 10, 15, tzinfo=UTC)) // timedelta(microseconds=1) * 10
    name = UUID(fields=(ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 | 0x1000, 0x80, 0, 1))
    robot = f"robot$team+scanner-Trivy-{name}"
    bench.harbor.log(
        "delete", made_at + timedelta(seconds=9), robot, resource_type="robot", username="harbor-jobservice"
    )
    assert_found(bench.check(), "!", "a scan began at 2026-11-24 11:50:00", "pull_artifact")
    bench.harbor.log("pull", made_at + timedelta(seconds=2), "team/app@sha256:0", username=robot)
    assert marks(bench.check()) == "✓"


def test_pulls_that_nobody_wants_are_not_looked_for(bench: Bench) -> None:
    bench.harbor.repositories["team/app"].pulled = NOW - timedelta(minutes=10)
    bench.set(events=frozenset({EventType.PUSH_ARTIFACT}))
    assert marks(bench.check()) == "✓"


# -- Telegram ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("token", "text"), [("999:WRONG-TOKEN", "401"), ("no-token", "404")])
def test_a_wrong_token(bench: Bench, token: str, text: str) -> None:
    bench.token = token
    report = bench.check(is_sending=True)
    assert_found(report, "✗", text, "take the token from @BotFather")
    assert report.exit_code == 2


def test_telegram_is_out_of_reach(bench: Bench) -> None:
    bench.telegram.away()
    report = bench.check(is_sending=True)
    assert_found(report, "✗", "no usable answer", r"\[telegram\] proxy.*socks5h")
    assert report.exit_code == 1


def test_a_proxy_that_is_out_of_reach(bench: Bench) -> None:
    bench.set(telegram={"proxy": "http://user:geheim@127.0.0.1:9"})
    report = bench.check()
    assert_found(report, "✗", "no usable answer", r"start what \[telegram\] proxy names")
    assert_nothing_secret(report, "geheim")


@pytest.mark.parametrize(
    ("chat_id", "hint"), [(-1009, "chat_id"), (1234567890, "number of a group is negative"), (-55, "begins with -100")]
)
def test_a_chat_that_is_not_there(bench: Bench, chat_id: int, hint: str) -> None:
    bench.set(telegram={"chat_id": chat_id})
    assert_found(bench.check(), "✗", "chat not found", f"add the bot to the chat.*{hint}|{hint}")


@pytest.mark.parametrize(
    ("chat", "status", "text", "remedy"),
    [
        (CHAT, "left", "not a member", "add the bot to the chat"),
        (CHAT, "kicked", "kicked", "add the bot again"),
        ("@news", "left", 'not a member of the channel "Releases"', "add the bot"),
        ("@news", "member", "may not write in the channel", "administrator of the channel.*post messages"),
    ],
)
def test_a_bot_without_standing(bench: Bench, chat: int | str, status: str, text: str, remedy: str) -> None:
    bench.telegram.add_chat(chat).bot_status = status
    bench.set(telegram={"chat_id": chat})
    report = bench.check()
    assert_found(report, "✗", text, remedy)
    assert report.exit_code == 2


def test_a_group_in_which_members_may_not_write(bench: Bench) -> None:
    bench.telegram.chats[CHAT].members_can_send = False
    assert_found(bench.check(), "✗", "may not write", "let the bot send messages")


def test_a_topic_is_only_proven_by_sending(bench: Bench) -> None:
    bench.telegram.add_chat(CHAT, topics=[42])
    bench.set(telegram={"message_thread_id": 42})
    assert_found(bench.check(), "!", "topic 42 .* not tried", "check --send")
    report = bench.check(is_sending=True)
    assert marks(report) == "✓"
    assert [message.thread_id for message in bench.telegram.messages] == [42]


def test_a_topic_that_is_not_there(bench: Bench) -> None:
    bench.telegram.add_chat(CHAT, topics=[42])
    bench.set(telegram={"message_thread_id": 43})
    report = bench.check(is_sending=True)
    assert_found(report, "✗", "topic 43 .*message thread not found", "message_thread_id")
    assert report.exit_code == 2


def test_a_topic_that_is_closed(bench: Bench) -> None:
    bench.telegram.add_chat(CHAT, topics=[42]).closed_topics.add(42)
    bench.set(telegram={"message_thread_id": 42})
    assert_found(bench.check(is_sending=True), "✗", "topic 42 is closed", "open the topic again")


def test_a_topic_in_a_chat_without_topics(bench: Bench) -> None:
    bench.set(telegram={"message_thread_id": 42})
    assert_found(bench.check(), "!", "has no topics", "message_thread_id")


def test_the_test_message_arrives(bench: Bench) -> None:
    assert marks(bench.check(is_sending=True)) == "✓"
    assert len(bench.telegram.texts) == 1


def test_a_group_that_was_upgraded_shows_when_sending(bench: Bench) -> None:
    group = bench.telegram.add_chat(-77, "group")
    bench.telegram.migrate(group, -100777)
    bench.set(telegram={"chat_id": -77})
    assert_found(bench.check(is_sending=True), "!", "upgraded to a supergroup", 'chat_id = "-100777"')


def test_a_flood_passes(bench: Bench) -> None:
    bench.telegram.fail("429", retry_after=3)
    report = bench.check(is_sending=True)
    assert_found(report, "✗", "pause of 3 s")
    assert report.exit_code == 1


# -- the database -----------------------------------------------------------------------------------------


def test_the_database_is_named_and_counted(bench: Bench) -> None:
    with bench.open_store() as store:
        store.record([Telling(Event.example(), DeliveryState.PENDING)], now=NOW)
    texts = [each.text for each in bench.check().findings if each.area == "database"]
    assert any("state.db can be written; it holds 1 event" in text for text in texts)
    assert any("no poller is at work" in text for text in texts)


def test_the_holder_of_the_lease_is_named(bench: Bench) -> None:
    with bench.open_store() as store:
        store.take_lease(POLLER, str(lease.Owner("elsewhere", "7/1")), NOW, lease.KEEP)
    texts = [each.text for each in bench.check().findings]
    assert any(
        "a poller is at work on it since 2026-11-24T12:00:00+00:00: process 7 on elsewhere" in text for text in texts
    )


@pytest.mark.parametrize(
    ("file", "text", "remedy"),
    [("", "is a directory", "name a file"), ("missing/state.db", "does not exist", "mkdir -p .*name another")],
)
def test_a_database_that_cannot_be_used(bench: Bench, tmp_path: Path, file: str, text: str, remedy: str) -> None:
    bench.state_url = f"sqlite:///{tmp_path / file}"
    report = bench.check()
    assert_found(report, "✗", text, remedy)
    assert report.exit_code == 2


def test_what_is_no_database(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("no database, but a text of some length" * 100)
    assert_found(bench.check(), "✗", "something else than a database", "mv .*next start makes a new one")


def test_what_was_learnt_of_the_chat_is_told(bench: Bench) -> None:
    with bench.open_store() as store:
        store.save_route(
            RouteState(
                "telegram",
                str(CHAT),
                None,
                moved_to=-100999,
                blocked_until=NOW + timedelta(minutes=9),
                reason="telegram.no_rights",
            )
        )
    found = [each for each in bench.check().findings if each.mark == "!"]
    assert len(found) == 2
    assert 'chat_id = "-100999"' in found[0].remedy
    assert "telegram.no_rights" in found[1].text


# -- probes are independent -------------------------------------------------------------------------------


def test_one_failure_hides_no_other(bench: Bench, tmp_path: Path) -> None:
    bench.harbor.door.close()
    bench.telegram.away()
    bench.state_url = f"sqlite:///{tmp_path}"
    wrong = [each.area for each in bench.check().findings if each.mark == "✗"]
    assert wrong == ["Harbor", "Telegram", "database"]


def test_a_failing_look_up_hides_nothing_of_harbor(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Harbor answers one kind of question with 500: the rest is found out all the same."""
    monkeypatch.setattr(bench.harbor, "_repository", lambda *_: _refused(500, "internal server error"))
    report = bench.check()
    areas = {each.area for each in report.findings if each.mark == "✓"}
    assert {"Harbor", "clock", "rights", "audit log", "Telegram", "database"} <= areas
    assert report.exit_code == 1


def test_what_is_known_in_time_is_told(bench: Bench) -> None:
    """Of a Harbor that stops answering in the middle, the first half is found out, and the rest named as missing."""
    answer, hung = bench.harbor.door._answer, threading.Event()

    def hang(call: Call) -> Reply:
        if "auditlog-exts" in call.path:
            hung.wait(20)
        return answer(call)

    bench.harbor.door.close()
    bench.harbor.door._answer = hang
    bench.harbor.door.open()
    bench.timeout = 0.5
    codes = [each.code for each in bench.check().findings if each.area in ("Harbor", "clock")]
    hung.set()
    assert codes == ["harbor.login", "clock.agrees", "harbor.too_slow"]


def test_a_mistake_of_ours_in_a_probe_is_no_finding(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes to light in the thread that asked, with its traceback."""
    monkeypatch.setattr(check_database, "probe", lambda *_: iter([1 // 0]))
    with pytest.raises(ZeroDivisionError):
        bench.check()


# -- in haste ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("refusals", "is_let_in"), [(1, True), (2, False)])
def test_a_401_is_asked_again_once(bench: Bench, refusals: int, *, is_let_in: bool) -> None:
    """After the time for which somebody else's typo locks the name, which counts from the question on."""
    answer, left, pauses = bench.harbor.door._answer, [refusals], list[float]()

    def refuse(call: Call) -> Reply:
        if not call.path.endswith("/users/current") or not left[0]:
            return answer(call)
        left[0] -= 1
        return _refused(401, "unauthorized")

    bench.harbor.door.close()
    bench.harbor.door._answer = refuse
    bench.harbor.door.open()
    deadline = Deadline.after(20)
    harbor = Harbor(bench.harbor.url, SYSTEM_ROBOT.name, Secret(PASSWORD), sleep=pauses.append, deadline=deadline)
    codes = [finding.code for finding in check_harbor.probe(harbor, bench.config, NOW)]
    assert ("harbor.login" in codes) == is_let_in
    assert len(pauses) == 1
    assert 0 < pauses[0] <= 2


def test_each_question_is_asked_once(bench: Bench) -> None:
    """However many findings follow from its answer."""
    asked: list[str] = []
    answer = bench.harbor.door._answer

    def note(call: Call) -> Reply:
        asked.append(call.path)
        return answer(call)

    bench.harbor.door.close()
    bench.harbor.door._answer = note
    bench.harbor.door.open()
    bench.check()
    assert len(asked) == len(set(asked))


# -- the command ------------------------------------------------------------------------------------------


def write_config(bench: Bench, tmp_path: Path) -> Path:
    path = tmp_path / "conf.toml"
    path.write_text(
        f'language = "en"\n[harbor]\nurl = "{bench.harbor.url}"\nusername = "{bench.harbor.role.name}"\n'
        f'password = "{PASSWORD}"\n[telegram]\nbot_token = "{TOKEN}"\nchat_id = "{CHAT}"\n'
        f'api_url = "{bench.telegram.url}"\n'
    )
    path.chmod(0o600)
    return path


def run(path: Path, *options: str) -> tuple[int, str]:
    result = CliRunner(env={"HARBOR_PASSWORD": None, "TELEGRAM_BOT_TOKEN": None}).invoke(
        cli, ["--config", str(path), "check", "--timeout", "60", *options]
    )
    return result.exit_code, result.output


def test_the_command_prints_a_line_for_each_finding(bench: Bench, tmp_path: Path) -> None:
    bench.harbor.clock = datetime.now(UTC)
    bench.telegram.chats[CHAT].members_can_send = False
    code, output = run(write_config(bench, tmp_path))
    assert code == 2
    assert re.search(r"^✗ Telegram: the bot may not write .* → an administrator", output, re.MULTILINE)
    assert re.search(r"^✓ Harbor: .* is Harbor v2.16.0-lab", output, re.MULTILINE)
    assert PASSWORD not in output
    assert TOKEN not in output


def test_the_command_gives_json(bench: Bench, tmp_path: Path) -> None:
    bench.harbor.clock = datetime.now(UTC)
    code, output = run(write_config(bench, tmp_path), "--json", "--send")
    said = json.loads(output.strip().splitlines()[-1])
    assert (code, said["exit_code"]) == (0, 0)
    assert len(bench.telegram.messages) == 1
