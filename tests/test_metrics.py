"""What the daemon shows of itself: metrics, health, and the alerts, dashboard and pages that are written for them."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as text_families
from sqlalchemy import Connection, Engine, event

from demo.harbor import POLLER, Fault, HarborStandIn, World
from demo.telegram import TelegramStandIn
from poller import config as configuration
from poller import health, measures, vitals
from poller.config_values import Address
from poller.errors import ConfigError, HarborBusy, LeaseTaken, NotAllowed, StateBusy, StateFull
from poller.events import Event, EventType, Reason
from poller.exit_codes import DONE, MISTAKE
from poller.exporter import Exporter
from poller.health import Facts, Pulse
from poller.measures import Asked, Delivered, Failure, Leads, Ran, Recorded, Result, Service, Tried
from poller.metrics import Metrics
from poller.queries import kind_of, repository_path
from poller.serving import MOST_CONNECTIONS, Page, Server
from poller.telling import ROUTE
from poller.vitals import Lookout, Vitals
from state import Backlog, Cursor, DeliveryState, RouteState, Store, Telling
from tests.harness import NOON, ROOT, TOKEN, Clock, run_poller, wait_for, write_conf

HOUR = timedelta(hours=1)
DOCS = ROOT / "docs"
PAGES = [DOCS / "reference" / "metrics.md", DOCS / "ru" / "reference" / "metrics.md"]
PROMTOOL = shutil.which("promtool")
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds to what it scrapes."""

# -- two daemons on the stand-ins -------------------------------------------------------------------


def get(address: str, path: str, accept: str = "", method: str = "GET") -> tuple[int, dict[str, str], str]:
    """Status, headers (lower-case names) and body."""
    with closing(http.client.HTTPConnection(address, timeout=10)) as connection:
        connection.request(method, path, headers={"Accept": accept} if accept else {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every value by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    return samples(text)[f"harbor_poller_{name}", frozenset(labels.items())]


@contextmanager
def daemon(conf: Path, log: Path) -> Iterator[str]:
    """A daemon as a process; the address at which it shows itself."""
    with log.open("w") as output:
        command = [sys.executable, "-m", "poller", "--config", str(conf), "--log-format", "json", "run"]
        process = subprocess.Popen(command, cwd=ROOT, env={"PATH": os.environ.get("PATH", "")}, stderr=output)
    try:
        wait_for(lambda: "metrics.listening" in log.read_text())
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        yield next(line["address"] for line in lines if line["event"] == "metrics.listening")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == DONE
    finally:
        process.kill()
        process.wait()


ROUTES = "[[route]]\nname = 'pulls'\nevents = ['PULL_*']\n[[route]]\nname = 'rest'\n"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The metrics of a program that has met with something of every kind. A daemon shows the same ones."""
    return exposition(tmp_path_factory.mktemp("metrics"))


def exposition(folder: Path, accept: str = "") -> str:
    metrics = Metrics(read_config(folder, ROUTES), lambda: BUSY, Clock())
    metrics.heed(Tried("rest", Result.KEPT, "telegram.unreachable"))
    return metrics.page(accept)[1].decode()


def read_config(folder: Path, more: str = "") -> configuration.Config:
    return configuration.load(write_conf(folder, "https://registry.example.org", more=more), {})


NOTHING_WAITS = Vitals({}, {}, {}, {}, {}, 0, 0.0, None, "", "", "")
BUSY = Vitals(
    read_until={"audit_log": NOON - timedelta(minutes=20)},
    newest={"audit_log": NOON - HOUR},
    backlog={"rest": Backlog(7, 2, NOON - timedelta(minutes=9)), "gone": Backlog(0, 3)},
    chats={
        "rest": RouteState("rest", "-1", None, needs_operator=True, blocked_until=NOON + timedelta(minutes=1)),
        "pulls": RouteState("pulls", "-2", None, blocked_until=NOON),
    },
    gaps={Reason.NO_RIGHTS: 2},
    scans_running=4,
    sweep_budget=-1.5,
    sweep_round_began=NOON,
    version="v2.12.4",
    access="system",
    table="audit_log",
)


def families(text: str) -> dict[str, Metric]:
    """By the name that queries use."""
    found = list(text_families(text))
    return {f"{family.name}_total" if family.type == "counter" else family.name: family for family in found}


def openmetrics(text: str) -> Iterator[Metric]:
    yield from openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # ships untyped


def labels_of(family: Metric) -> set[str]:
    return {label for sample in family.samples for label in sample.labels} - {"le"}


# -- a daemon and a standby -------------------------------------------------------------------------


def test_a_daemon_shows_what_it_does(tmp_path: Path) -> None:
    """A push and a pull: of two messages Telegram takes one at the second attempt, and Harbor fails one poll."""
    log, other_log = tmp_path / "log", tmp_path / "log-of-standby"
    with HarborStandIn(World()) as harbor, TelegramStandIn(TOKEN) as telegram:
        harbor.world.create_project("team")
        more = (
            f"api_url = '{telegram.url}'\n[schedule]\npoll = '1s'\njitter = '0s'\n[delivery]\nsettle = '0s'\n"
            f"[metrics]\nlisten = '127.0.0.1:0'\n{ROUTES}"
        )
        conf = write_conf(tmp_path, harbor.url, chat="1001", more=more)
        with daemon(conf, log) as address:
            wait_for(lambda: "daemon.started" in log.read_text())
            first = get(address, "/metrics")[2]
            wait_for(lambda: value(get(address, "/metrics")[2], "task_runs_total", task="poll") > 0)
            telegram.fail("429", retry_after=1)
            harbor.world.push("team/app", "v1", "ann")
            harbor.world.pull("team/app", "v1", "bob")
            telegram.wait_for_messages(2, timeout_s=30)
            harbor.fail(Fault.INTERNAL)
            wait_for(lambda: 'code="500"' in get(address, "/metrics")[2])
            with daemon(conf, other_log) as other:
                wait_for(lambda: "daemon.standby" in other_log.read_text())
                wait_for(lambda: "harbor_poller_log_lag_seconds{" in get(other, "/metrics")[2])
                standby = (get(other, "/metrics")[2], get(other, "/healthz")[2])
            wait_for(lambda: "harbor_poller_log_lag_seconds{" in get(address, "/metrics")[2])
            leader = (get(address, "/metrics")[2], get(address, "/healthz")[2])
    _has_counted_what_happened(leader[0])
    _knows_what_the_state_knows(leader[0])
    _knows_what_the_state_knows(standby[0])
    assert (value(leader[0], "lease_held"), value(standby[0], "lease_held")) == (1, 0)
    assert (json.loads(leader[1])["role"], json.loads(standby[1])["role"]) == ("leader", "standby")
    assert json.loads(standby[1])["status"] == "ok"
    _has_every_series_from_the_start(first, leader[0])
    _names_nobody(first, *leader, *standby)
    there = {name: (family.type, labels_of(family)) for name, family in families(leader[0]).items()}
    assert there == {name: (each.type, labels_of(each)) for name, each in families(exposition(tmp_path)).items()}


def _has_counted_what_happened(text: str) -> None:
    """Rows, events, messages, the 429 and the failed poll, each once."""
    assert value(text, "events_recorded_total", type="PUSH_ARTIFACT") == 1
    assert value(text, "events_recorded_total", type="PULL_ARTIFACT") == 1
    assert value(text, "audit_rows_new_total", log="audit_log_ext") == 2
    assert value(text, "audit_rows_read_total", log="audit_log_ext") > 2
    assert [value(text, "deliveries_total", route=route, state="sent") for route in ("rest", "pulls")] == [1, 1]
    kept = sum(value(text, "messages_total", route=route, result="kept") for route in ("rest", "pulls"))
    assert (kept, value(text, "throttled_requests_total", server="telegram")) == (1, 1)
    assert 'reason="telegram.too_many_requests"' in text
    assert value(text, "telegram_requests_total", method="sendMessage", code="200") == 2
    assert value(text, "telegram_requests_total", method="sendMessage", code="429") == 1
    assert value(text, "message_wait_seconds_count", route="rest") == 1
    assert value(text, "harbor_requests_total", kind="log", code="500") == 1
    assert value(text, "task_failures_total", task="poll", failure="temporary") == 1
    asked = value(text, "harbor_requests_total", kind="log", code="200")
    assert value(text, "harbor_request_duration_seconds_count", kind="log") == asked + 1


def _knows_what_the_state_knows(text: str) -> None:
    """As of seconds ago."""
    assert value(text, "state_up") == 1
    assert 0 <= value(text, "log_lag_seconds", log="audit_log_ext") < 60
    assert value(text, "backlog_deliveries", route="rest", waits="due") <= 1
    assert value(text, "gaps_open", reason="account refused") == 0
    assert 'harbor_poller_harbor_info{access="system",log="audit_log_ext",version="v2.' in text


def _has_every_series_from_the_start(first: str, text: str) -> None:
    """A counter that appears with its first event hides that from every rate. Only errors may have any code or word."""
    late = {name for name, _ in samples(text).keys() - samples(first).keys()}
    of_errors = {"harbor_requests_total", "telegram_requests_total", "message_failures_total"}
    of_state = {"log_lag_seconds", "log_newest_row_timestamp_seconds", "harbor_info"}  # nothing was read when it began
    assert late <= {f"harbor_poller_{name}" for name in of_errors | of_state}
    assert value(first, "events_recorded_total", type="LOGIN") == 0
    assert value(first, "messages_total", route="pulls", result="refused") == 0


def _names_nobody(*shown: str) -> None:
    """Neither token nor password, nor what is in the registry, nor the chat."""
    for word in (TOKEN, TOKEN.partition(":")[2], POLLER.password, POLLER.name, "team", "ann", "bob", "1001"):
        assert not re.search(rf"\b{re.escape(word)}\b", "\n".join(shown)), word


# -- what is shown ----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_openmetrics", [False, True], ids=["text", "OpenMetrics"])
def test_both_formats_are_what_they_say(tmp_path: Path, is_openmetrics: bool) -> None:
    """Each family once, with help and type; no series twice; counters end in _total, everything else in its unit."""
    text = exposition(tmp_path, OPENMETRICS if is_openmetrics else "")
    found = list(openmetrics(text) if is_openmetrics else text_families(text))
    names = [family.name for family in found]
    assert len(names) == len(set(names)) > 30
    for family in found:
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram", "info"), family.name
        series = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(series) == len(set(series)), family.name
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        if family.type == "histogram" or "timestamp" in family.name or "age" in family.name.split("_"):
            assert family.name.endswith("_seconds"), family.name
        assert not labels_of(family) & SCRAPED, f"{family.name}: Prometheus would rename that label"
    assert text.endswith("# EOF\n") is is_openmetrics


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_say_about_the_metrics(text: str) -> None:
    """It knows more conventions than we do."""
    assert PROMTOOL is not None
    command = [PROMTOOL, "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# -- what is written about it -----------------------------------------------------------------------


def documented(page: Path) -> dict[str, tuple[str, set[str], str]]:
    """Type, labels and example of each metric in the page's tables."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| .*? \| .* \| `(.+)` \|$", page.read_text(), re.MULTILINE)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels)), example) for name, kind, labels, example in rows}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.parent.name)
def test_every_metric_is_explained_and_every_explained_one_is_there(text: str, page: Path) -> None:
    """With its type and labels."""
    there = {name: (family.type, labels_of(family)) for name, family in families(text).items()}
    explained = {name: (kind, labels) for name, (kind, labels, _) in documented(page).items()}
    assert explained == there


@dataclass(frozen=True)
class Use:
    """A metric in an expression, the labels by which it is selected, and those by which what comes of it is grouped."""

    name: str
    selected: tuple[tuple[str, str], ...]


def uses(expression: promql.Expr) -> Iterator[Use]:
    """Every selector of an expression."""
    match expression:
        case promql.VectorSelector():
            matchers = [(each.name, each.value) for each in expression.matchers.matchers]
            yield Use(expression.name or "", tuple(matchers))
        case promql.MatrixSelector():
            yield from uses(expression.vector_selector)
        case promql.BinaryExpr():
            yield from uses(expression.lhs)
            yield from uses(expression.rhs)
        case promql.Call():
            for argument in expression.args:
                yield from uses(argument)
        case promql.AggregateExpr() | promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            yield from uses(expression.expr)
        case promql.NumberLiteral() | promql.StringLiteral():
            pass
        case _:
            raise AssertionError(f"an expression of an unknown kind: {expression}")


def grouped(text: str) -> set[str]:
    """The labels by which an expression groups, and which a legend or a text shows."""
    by = re.findall(r"\b(?:by|on) \(([^)]*)\)", text)
    return {label.strip() for labels in by for label in labels.split(",")} - {"le"}


def judge(expression: str, text: str, shown: str) -> list[str]:
    """What is wrong with an expression, for these metrics. `shown`: a legend or text that names labels."""
    there = {sample.name: labels_of(family) | SCRAPED for family in text_families(text) for sample in family.samples}
    there |= {name: labels_of(family) | SCRAPED for name, family in families(text).items()} | {"up": SCRAPED}
    found = list(uses(promql.parse(expression)))
    assert found, expression
    known = set[str]().union(*(there.get(use.name, set()) for use in found))
    named = grouped(expression) | _labels_in(shown)
    wrong = [f"{use.name} is not there" for use in found if use.name not in there]
    wrong += [
        f"{use.name} has no label {label}"
        for use in found
        for label, _ in use.selected
        if label not in there.get(use.name, ())
    ]
    return wrong + [f"no label {label}" for label in named - known]


def _labels_in(text: str) -> set[str]:
    return set(re.findall(r"\$labels\.(\w+)", text)) | set(re.findall(r"\{\{(\w+)\}\}", text))


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((DOCS / "monitoring" / "alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DOCS / "monitoring" / "grafana.json").read_text())["panels"]
    return found


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_asks_for_what_there_is(text: str, rule: dict[str, Any]) -> None:
    """Metrics, labels and their values; it says how bad it is, and a command to begin with."""
    said = rule["annotations"]
    assert judge(rule["expr"], text, f"{said['summary']} {said['description']}") == []
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert re.search(r"`[^`]*(harbor-poller|journalctl|systemctl|df|\[schedule\])[^`]*`", said["description"])
    for use in uses(promql.parse(rule["expr"])):
        for label, wanted in use.selected:
            there = {dict(labels).get(label) for name, labels in samples(text) if name == use.name}
            words = set(wanted.split("|")) - {"harbor-poller"}  # the name of the scrape
            assert words <= there, f"{use.name}: {label} is never one of {words - there}"


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_say_about_the_alerts() -> None:
    """Templates of the texts, too."""
    assert PROMTOOL is not None
    command = [PROMTOOL, "check", "rules", str(DOCS / "monitoring" / "alerts.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(rules())} rules found" in done.stdout


def test_every_panel_asks_for_what_there_is(text: str) -> None:
    """With any data source, and any choice of instances; panels do not lie over each other."""
    places = set[tuple[int, int]]()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & places, panel["title"]
        places |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
            expression = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
            assert judge(expression, text, target["legendFormat"]) == [], panel["title"]
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_every_metric_is_on_the_dashboard(text: str) -> None:
    """But for those that only lead to others."""
    asked = " ".join(target["expr"] for panel in panels() for target in panel.get("targets", ()))
    missing = {name for name in families(text) if name not in asked}
    assert missing <= {
        "harbor_poller_log_newest_row_timestamp_seconds",
        "harbor_poller_task_runs_total",
        "harbor_poller_task_failures_total",
        "process_virtual_memory_bytes",
        "process_max_fds",
        "python_info",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.parent.name)
def test_the_examples_of_the_pages_work(text: str, page: Path) -> None:
    """Each is a query that Prometheus takes, about metrics that there are."""
    for name, (_, _, example) in documented(page).items():
        assert judge(example, text, "") == []
        assert name in example


def test_the_judge_finds_what_is_not_there() -> None:
    """Otherwise it would be content with everything."""
    text = '# HELP a_total A.\n# TYPE a_total counter\na_total{route="x"} 1\n'
    assert judge("sum by (route) (rate(a_total[5m]))", text, "{{route}}") == []
    assert judge("sum by (chat) (rate(a_total[5m]))", text, "") == ["no label chat"]
    assert judge("b_total", text, "") == ["b_total is not there"]
    assert judge('a_total{chat="x"}', text, "$labels.instance") == ["a_total has no label chat"]
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        judge("sum by (", text, "")


# -- how it is served -------------------------------------------------------------------------------


def test_only_what_there_is_can_be_read(tmp_path: Path) -> None:
    """And nothing can be done. No answer names the software that gives it."""
    exporter = Exporter(read_config(tmp_path), Address("127.0.0.1", 0), Clock())
    with exporter.serving() as server:
        address = str(server.address)
        assert get(address, "/")[::2] == (200, "harbor-poller: /metrics for Prometheus, /healthz for probes\n")
        assert get(address, "/metrics/")[0] == get(address, "/../etc/passwd")[0] == 404
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "NONSENSE"):
            status, headers, _ = get(address, "/metrics", method=method)
            assert (status, headers["allow"]) == (405, "GET, HEAD")
        status, headers, body = get(address, "/metrics?x=1", method="HEAD")
        assert (status, body, int(headers["content-length"]) > 1000) == (200, "", True)
        assert headers["content-type"].startswith("text/plain; version=")
        assert get(address, "/metrics", OPENMETRICS)[1]["content-type"].startswith(OPENMETRICS)
        assert get(address, "/healthz")[1]["content-type"] == "application/json"
        assert not {"server", "x-powered-by"} & headers.keys()


def served(pages: dict[str, Callable[[str], Page]]) -> Server:
    return Server(Address("127.0.0.1", 0), pages)


def test_who_says_nothing_holds_up_nobody() -> None:
    """More silent connections than are served at once: who asks is answered, and the silent are hung up on."""
    with served({"/": lambda _: Page(b"here\n")}) as server:
        silent = [socket.create_connection(("127.0.0.1", server.address.port)) for _ in range(3 * MOST_CONNECTIONS)]
        for connection in silent:
            connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert get(str(server.address), "/")[2] == "here\n"
        silent[0].settimeout(10)
        with suppress(ConnectionResetError):
            assert silent[0].recv(1) == b""
        for connection in silent:
            connection.close()


def test_garbage_is_answered_and_forgotten(capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever comes, nothing is printed, and the next one is served."""
    with served({"/": lambda _: Page(b"here\n")}) as server:
        for garbage in (
            b"\x16\x03\x01\x00\xa5\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET " + b"x" * 70_000,
        ):
            with socket.create_connection(("127.0.0.1", server.address.port), timeout=10) as connection:
                connection.sendall(garbage)
                with suppress(ConnectionResetError):
                    connection.recv(1000)
        assert get(str(server.address), "/")[2] == "here\n"
    assert capfd.readouterr() == ("", "")


def test_an_address_that_is_taken_is_a_mistake_at_the_start(tmp_path: Path) -> None:
    """The daemon says so before it asks anybody anything, and ends with 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken, HarborStandIn(World()) as harbor:
        port = taken.getsockname()[1]
        done = run_poller("--config", write_conf(tmp_path, harbor.url, more=f"[metrics]\nlisten = {port}"), "run")
        assert done.returncode == MISTAKE
        assert (
            f"[metrics] listen = 127.0.0.1:{port}: Address already in use; another program, or another" in done.stderr
        )
        assert "choose another port" in done.stderr
        assert harbor.requests == []
        assert not (tmp_path / "state.db").exists()


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    """Nor can a name that is none."""
    with pytest.raises(ConfigError, match=r"listen = 192\.0\.2\.1:9108: .*this machine does not have that address"):
        Server(Address("192.0.2.1", 9108), {})


# -- without a database -----------------------------------------------------------------------------


def test_without_a_database_the_metrics_are_there(tmp_path: Path) -> None:
    """A file that is no database any more: one metric says so, what was counted stays, and nobody waits."""
    file = tmp_path / "state.db"
    config = read_config(tmp_path)
    store = Store.open(f"sqlite:///{file}", config.harbor.url, ROUTE)
    exporter = Exporter(config, Address("127.0.0.1", 0), Clock())
    with exporter.serving() as server, exporter.watching(store, str):
        exporter.heed(Ran("poll", 0.1))
        address = str(server.address)
        wait_for(lambda: value(get(address, "/metrics")[2], "state_up") == 1)
        store.close()
        file.write_bytes(b"garbage" * 1000)
        for beside in ("state.db-wal", "state.db-shm"):
            (tmp_path / beside).unlink(missing_ok=True)
        wait_for(lambda: value(get(address, "/metrics")[2], "state_up") == 0)
        text = get(address, "/metrics")[2]
        assert value(text, "task_runs_total", task="poll") == 1
        assert "harbor_poller_backlog_deliveries{" not in text
        assert "# TYPE harbor_poller_backlog_deliveries gauge" in text
        assert get(address, "/healthz")[0] == 200
    store.close()


def test_a_database_that_does_not_answer_is_not_waited_for() -> None:
    """What was seen last counts for a while, then it is called away, though nobody has said so yet."""
    now = [0.0]
    answers: Iterator[Vitals | StateBusy] = iter([NOTHING_WAITS, StateBusy("away"), NOTHING_WAITS])

    def look() -> Vitals:
        if isinstance(answer := next(answers), StateBusy):
            raise answer
        return answer

    lookout = Lookout(look, lambda: now[0])
    assert lookout.vitals is None
    lookout.look()
    assert lookout.vitals == NOTHING_WAITS
    now[0] = 44
    assert (lookout.vitals, lookout.silence) == (NOTHING_WAITS, 44)
    now[0] = 46
    assert lookout.vitals is None  # the next look has not come back
    lookout.look()
    assert (lookout.vitals, lookout.silence) == (None, 46)
    lookout.look()
    assert (lookout.vitals, lookout.silence) == (NOTHING_WAITS, 0)


@pytest.mark.parametrize("others", [0, 2])
def test_a_look_reads_no_table_from_end_to_end(tmp_path: Path, others: int) -> None:
    """However much was told: what grows with the events is asked by its indexes. Logs of projects are seen as one."""
    config = read_config(tmp_path, ROUTES)
    store = Store.open(f"sqlite:///{tmp_path}/state.db", config.harbor.url, ROUTE)
    for number in range(others):
        at = NOON - timedelta(minutes=number)
        store.save_cursor(Cursor(f"audit_log_ext/p{number}", 5, at, 0, at, NOON))
    plans = list[str]()

    def explain(connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT"):
            plan = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[-1] for row in plan.fetchall())

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        seen = vitals.read(store, config, NOON)
    finally:
        event.remove(Engine, "before_cursor_execute", explain)
        store.close()
    scans = [plan for plan in plans if plan.startswith("SCAN")]
    assert [plan for plan in scans if "USING INDEX ix_deliveries_pending" not in plan and "routes" not in plan] == []
    assert any("deliveries" in plan for plan in plans)
    assert any("scans" in plan for plan in plans)
    assert seen.read_until == ({"audit_log_ext": NOON - timedelta(minutes=1)} if others else {})
    assert seen.newest == ({"audit_log_ext": NOON} if others else {})


def test_the_state_says_what_was_written(tmp_path: Path) -> None:
    """Events by type and deliveries by route and state, once the transaction is through, and nothing twice."""
    store = Store.open(f"sqlite:///{tmp_path}/state.db", "https://registry.example.org", ROUTE)
    heard = list[measures.Measure]()
    measured = store.measured(heard.append)
    events = [Event.example(source_id=number) for number in range(3)]
    tellings = [
        Telling(events[0], DeliveryState.OFF, "no"),
        *(Telling(each, DeliveryState.PENDING) for each in events[1:]),
    ]
    for _ in range(2):
        measured.record(tellings, now=NOON)
    assert heard[0] == Recorded(
        Counter({EventType.PUSH_ARTIFACT: 3}), Counter({(ROUTE, "off"): 1, (ROUTE, "pending"): 2})
    )
    assert heard.pop() == Recorded()
    ids = [due.id for due in measured.due(NOON, most=9)]
    measured.told(ids, chat_id="-1", message_id=1, now=NOON)
    assert heard[1:] == [Delivered(ROUTE, "sent", 1), Delivered(ROUTE, "folded", 1)]
    store.close()


def test_what_waits_is_counted_by_route(tmp_path: Path) -> None:
    """What may be told now, and what is put off; how old the oldest of the first is."""
    store = Store.open(f"sqlite:///{tmp_path}/state.db", "https://registry.example.org", ROUTE)
    ages = [(1, "a", None), (2, "a", NOON), (3, "a", NOON + HOUR), (4, "b", NOON + HOUR)]
    tellings = [
        Telling(
            Event.example(source_id=age), DeliveryState.PENDING, since=NOON - age * HOUR, held_until=until, route=route
        )
        for age, route, until in ages
    ]
    store.record(tellings, now=NOON)
    assert store.waiting(NOON) == {"a": Backlog(2, 1, NOON - 2 * HOUR), "b": Backlog(0, 1)}
    store.close()


# -- what it makes of measures ----------------------------------------------------------------------


def shown_of(config: configuration.Config, seen: Vitals, *heeded: measures.Measure) -> str:
    metrics = Metrics(config, lambda: seen, Clock())
    for measure in heeded:
        metrics.heed(measure)
    return metrics.page("")[1].decode()


def test_what_waits_and_what_is_not_seen(text: str) -> None:
    """Backlog and age by route, also of a route that is gone; paused chats; open gaps; how far the log was read."""
    assert value(text, "log_lag_seconds", log="audit_log") == 1200
    assert value(text, "log_newest_row_timestamp_seconds", log="audit_log") == NOON.timestamp() - 3600
    waiting = [("rest", "due"), ("rest", "held"), ("gone", "held"), ("pulls", "due")]
    assert [value(text, "backlog_deliveries", route=route, waits=how) for route, how in waiting] == [7, 2, 3, 0]
    assert value(text, "backlog_oldest_age_seconds", route="rest") == 540
    assert value(text, "backlog_oldest_age_seconds", route="gone") == 0
    assert [value(text, "route_needs_operator", route=route) for route in ("rest", "pulls")] == [1, 0]
    assert [value(text, "route_paused", route=route) for route in ("rest", "pulls")] == [1, 0]  # over at this moment
    assert value(text, "gaps_open", reason="no rights") == 2
    assert value(text, "sweep_budget_requests") == -1.5


def test_jobs_fail_in_a_row_until_one_succeeds(tmp_path: Path) -> None:
    """When that was is shown, too; of the daemon's own housekeeping nothing is."""
    failures = [Ran("poll", 1, Failure.TEMPORARY), Ran("poll", 1, Failure.BUG)]
    text = shown_of(read_config(tmp_path), NOTHING_WAITS, *failures, Ran("lease", 1))
    assert value(text, "task_consecutive_failures", task="poll") == 2
    assert value(text, "task_last_success_timestamp_seconds", task="poll") == 0
    assert 'task="lease"' not in text
    text = shown_of(read_config(tmp_path), NOTHING_WAITS, *failures, Ran("poll", 1))
    assert value(text, "task_consecutive_failures", task="poll") == 0
    assert value(text, "task_last_success_timestamp_seconds", task="poll") == NOON.timestamp()
    assert value(text, "task_runs_total", task="poll") == 3
    text = shown_of(read_config(tmp_path), NOTHING_WAITS, *failures, Leads(is_leading=False))
    assert value(text, "task_consecutive_failures", task="poll") == 0  # a standby's failures are over


def test_who_has_lost_the_lease_has_not_failed() -> None:
    """Another process does the work; every other error is counted by who must act."""
    heard = list[measures.Measure]()
    for error in (LeaseTaken("x"), StateFull("x"), StateBusy("x"), NotAllowed("x"), HarborBusy("x"), KeyError("x")):
        with pytest.raises(type(error)):
            measures.run("poll", partial(_fail, error), heard.append)
    failures = [measure.failure for measure in heard if isinstance(measure, Ran)]
    assert failures == [
        Failure.STATE_FULL,
        Failure.STATE_BUSY,
        Failure.OPERATOR,
        Failure.TEMPORARY,
        Failure.BUG,
    ]


def _fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("service", Service)
def test_too_many_requests_are_counted_for_who_said_so(tmp_path: Path, service: Service) -> None:
    """Whatever was asked."""
    text = shown_of(read_config(tmp_path), NOTHING_WAITS, Asked(service, "x", "429", 1), Asked(service, "x", "200", 1))
    assert value(text, "throttled_requests_total", server=service) == 1


def test_a_clock_that_was_set_back_makes_no_negative_time(tmp_path: Path) -> None:
    """Prometheus would take the sum for a restart."""
    text = shown_of(read_config(tmp_path), NOTHING_WAITS, Tried("telegram", Result.SENT, waited=-5))
    assert value(text, "message_wait_seconds_sum", route="telegram") == 0


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/audit-logs", "log"),
        ("/auditlog-exts", "log"),
        ("/projects/team/logs", "log"),
        ("/projects/team/auditlog-exts", "log"),
        (f"{repository_path('team/a/b')}/artifacts", "artifacts"),
        (f"{repository_path('artifacts/artifacts')}/artifacts/sha256:ab", "artifact"),
        (f"{repository_path('team/app')}/artifacts/sha256:ab/additions/vulnerabilities", "vulnerabilities"),
        ("/repositories", "repositories"),
        (repository_path("team/a/b"), "repositories"),
        ("/projects", "projects"),
        ("/projects/team", "projects"),
        ("/projects/team/scanner", "other"),
        ("/systeminfo", "other"),
        ("/auditlog-exts/events", "other"),
    ],
)
def test_a_path_is_counted_by_its_kind(path: str, kind: str) -> None:
    """Never by a name in it."""
    assert kind_of(path) == kind


# -- health -----------------------------------------------------------------------------------------

WELL = Facts(hangs="", silence=2, poll_every=5)


class Body:
    """A daemon's pulse, on a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pulse = Pulse(lambda: self.now)
        self.pulse.heed(Leads(is_leading=True))

    def runs(self, job: str, failure: Failure | None = None, after: float = 0) -> None:
        self.now += after
        self.pulse.heed(Ran(job, 0.1, failure))

    def says(self, facts: Facts = WELL) -> tuple[int, str, Sequence[str]]:
        found = health.judge(self.pulse, facts)
        content = json.loads(json.dumps(found.content))
        return 503 if found.is_failing else 200, content["status"], content["reasons"]


def test_who_gets_on_is_well() -> None:
    """Also at the very start, and as a standby."""
    body = Body()
    assert body.says() == (200, "ok", [])
    body.runs("poll")
    assert body.says() == (200, "ok", [])
    body.pulse.heed(Leads(is_leading=False))
    assert body.says() == (200, "ok", [])


def test_no_restart_mends_an_outage_of_harbor() -> None:
    """However long it lasts: it is named, and the probe is content."""
    body = Body()
    body.runs("poll")
    for _ in range(10):
        body.runs("poll", Failure.TEMPORARY, after=300)
    status, said, reasons = body.says()
    assert (status, said) == (200, "degraded")
    assert reasons == ["poll: failed 10 times in a row", "no complete poll for 50 minutes: see the log, or `check`"]
    body.runs("poll")
    assert body.says() == (200, "ok", [])


def test_nor_a_short_one_of_the_database() -> None:
    """It is waited for."""
    reason = "the state database does not answer for 31 s; the work goes on when it does"
    assert Body().says(Facts("", 31, 5)) == (200, "degraded", [reason])
    assert Body().says(Facts("", 29, 5)) == (200, "ok", [])


def test_nor_one_of_telegram() -> None:
    """The chat that refuses is named."""
    refused = Facts("", 2, 5, refused=("security",))
    assert Body().says(refused) == (200, "degraded", ["route security: Telegram refuses; `check` says why"])


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts("poll: no progress for 15 minutes", 2, 5), "poll: no progress for 15 minutes"),
        (Facts("", 901, 5), "the state database does not answer for 15 minutes"),
    ],
)
def test_a_restart_may_mend_what_hangs(facts: Facts, reason: str) -> None:
    assert Body().says(facts) == (503, "failing", [reason])


def test_a_restart_may_mend_a_bug_that_repeats() -> None:
    """Not one that passes, nor another failure in between."""
    body = Body()
    body.runs("deliver", Failure.BUG)
    body.runs("deliver", Failure.BUG, after=800)
    assert body.says()[:2] == (200, "degraded")
    body.runs("deliver", Failure.BUG, after=200)
    status, _, reasons = body.says()
    assert status == 503
    assert reasons[0] == "deliver: nothing but bugs for 17 minutes; please report the traceback in the log"
    body.runs("deliver", Failure.TEMPORARY)
    assert body.says()[:2] == (200, "degraded")


def test_rare_polls_are_not_missed() -> None:
    """With a poll an hour, three of them may be waited for."""
    body = Body()
    body.runs("poll")
    body.now += 3 * 3600 - 1
    assert body.says(Facts("", 2, 3600)) == (200, "ok", [])
    body.now += 2
    assert body.says(Facts("", 2, 3600))[1] == "degraded"
