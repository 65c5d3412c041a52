"""The dead man's switch: pinged while all is well, told what is not, and its address a secret."""

from __future__ import annotations

import io
import logging
import socketserver
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from demo.door import Call, Door, Reply
from demo.harbor import Account, Fault, HarborStandIn, Role, World
from demo.telegram import Kind, TelegramStandIn
from poller import config as configuration
from poller import daemon, logs
from poller.errors import ConfigError, HeartbeatRefused, HeartbeatUnreachable, PollerError
from poller.heartbeat import Heartbeat, fail_url
from poller.pulse import AWAY_FOR_LONG, CERTAIN_AFTER, TELL_AGAIN, ChatTrouble, Ping, Pulse, after_a_run
from poller.secret import Secret
from tests.harness import TOKEN, Clock, Nursery, is_alive, site, wait_for, write_conf
from tests.test_episodes import Stage, staged

KEY = "5f1c2d3e-0a1b-4c2d-8e3f-a41a97f98ec6"
WELL = Ping()


# -- when to ping -----------------------------------------------------------------------------------


def pings(pulse: Pulse, *steps: tuple[float, str], until: float) -> list[tuple[float, str]]:
    """What goes out, if a poll comes out so at these seconds: "" well, or why not. It is looked every two seconds."""
    waiting, found = list(steps), list[tuple[float, str]]()
    for at in range(0, round(until) + 1, 2):
        while waiting and waiting[0][0] <= at:
            _, reason = waiting.pop(0)
            if reason:
                pulse.poll_failed(reason, at)
            else:
                pulse.polled()
        if ping := pulse.due(at):
            pulse.sent(ping, at)
            found.append((at, ping.reason))
    return found


def test_polls_that_succeed_are_told_at_their_pace() -> None:
    """A poll every five seconds, a ping a minute: services allow only so many."""
    polls = [(float(at), "") for at in range(0, 181, 5)]
    assert pings(Pulse(60), *polls, until=181) == [(0, ""), (60, ""), (120, ""), (180, "")]


def test_without_a_poll_there_is_no_ping() -> None:
    """Whoever hangs must not seem well, nor who has not read anything yet."""
    assert pings(Pulse(60), until=300) == []
    assert pings(Pulse(60), (0, ""), until=3600) == [(0, "")]


def test_a_blip_is_nothing() -> None:
    """Harbor restarts within a minute: success is not told meanwhile, and nothing else is."""
    polls = [(0.0, ""), (5.0, ""), *((float(at), "away") for at in range(10, 60, 10)), (70.0, "")]
    assert pings(Pulse(60), *polls, until=200) == [(0, ""), (70, "")]


def test_a_failure_that_lasts_is_told_then_seldom_then_its_end_at_once() -> None:
    polls = [(0.0, ""), *((float(at), "away") for at in range(10, 1500, 30)), (1500.0, "")]
    first = 10 + CERTAIN_AFTER
    assert pings(Pulse(3600), *polls, until=1510) == [
        (0, ""),
        (first, "away"),
        (first + TELL_AGAIN, "away"),
        (first + 2 * TELL_AGAIN, "away"),
        (1500, ""),
    ]


def test_one_failed_poll_is_no_failure_however_long_ago() -> None:
    """With a poll every five minutes, the second one decides."""
    assert pings(Pulse(60), (0, ""), (300, "away"), (600, ""), until=600) == [(0, ""), (600, "")]
    assert pings(Pulse(60), (0, ""), (300, "away"), (600, "away"), until=600) == [(0, ""), (600, "away")]


@pytest.mark.parametrize(("needs_operator", "after"), [(True, CERTAIN_AFTER), (False, AWAY_FOR_LONG)])
def test_a_chat_that_cannot_be_told_anything_is_told_here(needs_operator: bool, after: float) -> None:
    """Soon if a person must act, later if Telegram is away; then polls that succeed are no good news."""
    pulse = Pulse(60)
    trouble = ChatTrouble("ops", "telegram.x", needs_operator)
    found = list[tuple[int, str]]()
    for at in range(0, 1000, 2):
        pulse.polled()
        pulse.chats([trouble] if 0 < at < 900 else [], at)
        if ping := pulse.due(at):
            pulse.sent(ping, at)
            found.append((at, ping.reason))
    told = [(at, reason) for at, reason in found if reason]
    assert told[0] == (2 + after, str(trouble))
    assert next(at for at, reason in found if at > told[0][0] and not reason) == 900


def test_work_that_is_held_up_beside_the_polls_is_told_after_a_while() -> None:
    """Polls that succeed are no good news where nobody is told what they found, or no scan is looked for."""
    pulse = Pulse(60)
    found = list[tuple[int, str]]()
    for at in range(0, 1000, 2):
        pulse.polled()
        pulse.work("deliver: failed" if 0 < at < 900 else "", at)
        if ping := pulse.due(at):
            pulse.sent(ping, at)
            found.append((at, ping.reason))
    assert [each for each in found if each[0] > 600][:2] == [(602, "deliver: failed"), (900, "")]


def test_what_is_not_heard_is_told_again() -> None:
    pulse = Pulse(60)
    pulse.polled()
    assert pulse.due(0) == pulse.due(2) == WELL


@pytest.mark.parametrize(
    ("trouble", "needs_operator", "chats", "ping"),
    [
        ("", False, [], WELL),
        ("Harbor is away", False, [], None),
        ("wrong password", True, [], Ping("wrong password")),
        ("", False, [ChatTrouble("ops", "telegram.unreachable", needs_operator=False)], None),
        (
            "",
            False,
            [ChatTrouble("ops", "telegram.bot_kicked", needs_operator=True)],
            Ping('Telegram refuses the messages of route "ops": telegram.bot_kicked'),
        ),
    ],
)
def test_a_run_of_cron_tells_what_is_sure(
    trouble: str, needs_operator: bool, chats: list[ChatTrouble], ping: Ping | None
) -> None:
    """It does not know of the run before: what may pass is told by silence."""
    assert after_a_run(trouble, chats, needs_operator=needs_operator) == ping


def test_a_run_that_could_not_read_every_log_is_no_good_news() -> None:
    assert after_a_run("", [], needs_operator=False, is_whole=False) is None


# -- asking -----------------------------------------------------------------------------------------


@dataclass
class Switch:
    """A stand-in of a service in healthchecks' manner, which writes down who called how."""

    door: Door = field(init=False)
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    status: int = 200

    def __post_init__(self) -> None:
        self.door = Door(self._answer)
        self.door.open()

    def _answer(self, call: Call) -> Reply:
        self.calls.append((call.method, call.path, call.body.decode()))
        return Reply(self.status, b"OK", "text/plain", {"Location": f"http://elsewhere.invalid/{KEY}"})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.door.port}/ping/{KEY}"

    def heartbeat(self, more: str = "", fails: Secret | None = Secret("")) -> Heartbeat:  # noqa: B008 -- it is frozen
        return Heartbeat(Secret(self.url + more), fails, secrets=[Secret("s3cret-word")], timeout=1)


@pytest.fixture
def switch() -> Iterator[Switch]:
    opened = Switch()
    yield opened
    opened.door.close()


def test_success_is_a_get_and_failure_a_post_with_the_reason(switch: Switch) -> None:
    """A query stays behind the path; a secret does not get into the reason."""
    heartbeat = switch.heartbeat("?rid=1")
    heartbeat.tell()
    heartbeat.tell("Harbor refuses s3cret-word: 401")
    assert switch.calls == [
        ("GET", f"/ping/{KEY}?rid=1", ""),
        ("POST", f"/ping/{KEY}/fail?rid=1", "Harbor refuses ***: 401"),
    ]


def test_another_address_for_failures(switch: Switch) -> None:
    """As Uptime Kuma has: the same path with other words behind the question mark."""
    down = Secret(f"{switch.url}?status=down&msg=poller")
    switch.heartbeat("?status=up", down).tell("away")
    assert switch.calls == [("GET", f"/ping/{KEY}?status=down&msg=poller", "")]


def test_where_failures_are_off_only_success_is_told(switch: Switch) -> None:
    switch.heartbeat(fails=None).tell("away")
    assert switch.calls == []


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("https://h.test/a", "https://h.test/a/fail"),
        ("https://h.test/a/", "https://h.test/a/fail"),
        ("https://h.test/a?x=1&y=/b", "https://h.test/a/fail?x=1&y=/b"),
        ("https://h.test?key=1", "https://h.test/fail?key=1"),
    ],
)
def test_fail_goes_into_the_path(url: str, where: str) -> None:
    assert fail_url(url) == where


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, HeartbeatRefused),
        (404, HeartbeatRefused),
        (429, HeartbeatUnreachable),
        (503, HeartbeatUnreachable),
        (0, HeartbeatUnreachable),
    ],
)
def test_who_must_act_when_it_is_not_taken(
    switch: Switch, status: int, error: type[PollerError], caplog: pytest.LogCaptureFixture
) -> None:
    """A redirect is not followed, for it would carry the key elsewhere; nothing shows the key."""
    caplog.set_level(logging.ERROR)
    switch.status = status
    with pytest.raises(error) as caught:
        switch.heartbeat().tell()
    shown = (
        "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__) + repr(switch.heartbeat())
    )
    assert KEY not in "".join(shown)
    assert f"http://127.0.0.1:{switch.door.port}" in str(caught.value)
    assert len(switch.calls) == 1 or status == 0


def test_nothing_that_is_logged_shows_the_address(switch: Switch, tmp_path: Path) -> None:
    """Libraries write paths at debug; exceptions of theirs hold whole URLs."""
    url = f"{switch.url}?token=abcdef12&word=up"
    conf = write_conf(tmp_path, "http://127.0.0.1:9", more=f"[heartbeat]\nurl = '{url}'\nfail_url = '{url}&down=1'")
    config = configuration.load(conf, {})
    stream = io.StringIO()
    logs.set_up("debug", "text", config.secrets, stream)
    Heartbeat(config.heartbeat.url, config.heartbeat.fail_url).tell()
    for form in (url, urlsplit(url).path, quote(url, safe=""), KEY, "token=abcdef12"):
        logging.getLogger("urllib3").warning("Max retries exceeded with url: %s", form)
    logs.Log("poller").warning("heartbeat.failed", error=f"heartbeat of {url}", word="up")
    assert KEY not in stream.getvalue()
    assert "abcdef12" not in stream.getvalue()
    assert "heartbeat.failed" in stream.getvalue()
    assert KEY not in repr(config)


# -- the daemon -------------------------------------------------------------------------------------


@pytest.fixture
def stage(tmp_path: Path, switch: Switch) -> Iterator[Stage]:
    with staged(tmp_path, heartbeat=switch.heartbeat()) as opened:
        yield opened


def test_the_daemon_tells_that_harbor_is_away_and_back(stage: Stage, switch: Switch) -> None:
    """And how often it said that all is well in between is none."""
    stage.live(300)
    assert [method for method, _, _ in switch.calls] == ["GET"] * 5
    switch.calls.clear()
    stage.site.standin.fail(Fault.UNAVAILABLE, times=10_000)
    stage.live(900)
    assert [(method, path.rpartition("/")[2]) for method, path, _ in switch.calls] == [("POST", "fail")] * 2
    assert "503" in switch.calls[0][2]
    switch.calls.clear()
    stage.site.standin.heal()
    stage.live(300)
    assert {method for method, _, _ in switch.calls} == {"GET"}


def test_the_daemon_tells_that_the_bot_was_kicked(stage: Stage, switch: Switch) -> None:
    """In the one place where Telegram cannot."""
    stage.telegram.fail(Kind.KICKED, times=10_000)
    stage.site.world.push("team/app", "v1", "ann")
    stage.live(300)
    said = [body for method, _, body in switch.calls if method == "POST"]
    assert len(said) == 1
    assert "telegram.bot_kicked" in said[0]


def test_the_daemon_tells_that_its_delivery_fails(
    stage: Stage, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a bug, as it may be: each poll is complete, and nobody is told a thing."""

    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stage.shift, "_deliver_what_may_go", broken)
    stage.live(900)
    assert "deliver: failed" in next(body for method, _, body in switch.calls if method == "POST")
    switch.calls.clear()
    stage.live(300)
    assert switch.calls == []
    monkeypatch.undo()
    stage.live(700)
    assert switch.calls[-1][0] == "GET"


def test_the_daemon_is_silent_while_a_named_project_cannot_be_read(tmp_path: Path, switch: Switch) -> None:
    """The others are read all the same."""
    clock = Clock()
    with TelegramStandIn(TOKEN, clock=clock) as telegram:
        world = World(clock=clock.tick)
        world.create_project("team")
        account = Account("robot$poller", "demo-secret", Role.SYSTEM_ROBOT_ALL_PROJECTS)
        names = "projects = ['team', 'gone']"
        with site(tmp_path, world, clock, account, harbor=names, more=f"api_url = '{telegram.url}'") as here:
            here.poll()
            stage = Stage(here, telegram, switch.heartbeat())
            world.push("team/app", "v1", "ann")
            stage.live(120)
            assert (len(telegram.texts), switch.calls) == (1, [])
            world.create_project("gone")
            stage.live(180)
            assert {method for method, _, _ in switch.calls} == {"GET"}


def test_a_switch_that_is_away_disturbs_nothing(stage: Stage, switch: Switch, caplog: pytest.LogCaptureFixture) -> None:
    """Events are told, and the log says it once."""
    caplog.set_level(logging.INFO)
    switch.door.close()
    stage.site.world.push("team/app", "v1", "ann")
    stage.live(300)
    assert len(stage.telegram.texts) == 1
    said = [record.message for record in caplog.records if record.message.startswith("heartbeat")]
    assert said == ["heartbeat.failed"]
    switch.door.open()
    stage.live(120)
    assert [record.message for record in caplog.records][-1] == "heartbeat.recovered"


def test_a_switch_whose_answer_drips_in_holds_up_nobodys_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte of its head comes before the time-out, and the head never ends."""
    monkeypatch.setattr(daemon, "_HEARTBEAT_SECONDS", 0.05)
    with dripping() as (url, is_called), staged(tmp_path, heartbeat=Heartbeat(Secret(url), None, timeout=5)) as stage:
        stage.shift._stop = threading.Event()
        work = threading.Thread(target=stage.shift.run, daemon=True)
        work.start()
        assert is_called.wait(10)
        stage.shift.end()
        work.join(10)
        assert not work.is_alive()


@contextmanager
def dripping() -> Iterator[tuple[str, threading.Event]]:
    """The URL of a server whose answers begin and do not end, and whether it was called."""
    is_called, is_over = threading.Event(), threading.Event()

    class Dripping(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            is_called.set()
            self.request.sendall(b"HTTP/1.1 200 ")
            while not is_over.wait(0.1):
                self.request.sendall(b"O")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dripping) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/key", is_called
        is_over.set()
        server.shutdown()


# -- runs of cron, and the configuration ------------------------------------------------------------


def test_once_tells_how_it_went(tmp_path: Path, switch: Switch) -> None:
    """Well, with a mistake to correct, and nothing where Harbor is away: that may pass until the next run."""
    with HarborStandIn(World()) as harbor, TelegramStandIn(TOKEN) as telegram, Nursery() as nursery:
        harbor.world.create_project("team")
        conf = write_conf(tmp_path, harbor.url, more=f"api_url = '{telegram.url}'")

        def code_of(*args: str) -> str:
            output = tmp_path / "output"
            env = {"HARBOR_POLLER_HEARTBEAT_URL": switch.url}
            pid = nursery.start("--config", conf, "once", *args, env=env, output=output)
            wait_for(lambda: not is_alive(pid), 60)
            return output.read_text().splitlines()[-1]

        assert [code_of(), code_of("--print")] == ["exit 0"] * 2
        harbor.fail(Fault.UNAVAILABLE, times=10_000)
        assert code_of() == "exit 1"
        harbor.fail(Fault.FORBIDDEN, times=10_000)
        assert code_of() == "exit 2"
    assert [(method, path.rpartition("/")[2]) for method, path, _ in switch.calls] == [("GET", KEY), ("POST", "fail")]


def loaded(folder: Path, section: str, environ: dict[str, str] | None = None) -> configuration.HeartbeatConfig:
    conf = write_conf(folder, "http://127.0.0.1:9", more=f"[heartbeat]\n{section}")
    return configuration.load(conf, environ or {}).heartbeat


def test_where_its_address_comes_from(tmp_path: Path) -> None:
    """As with other secrets: the environment, a credential, a file, the configuration; and it need not be there."""
    (tmp_path / "credentials").mkdir()
    url = "https://h.test/{}".format
    assert not loaded(tmp_path, "").url
    assert loaded(tmp_path, f"url = '{url(1)}'").url.reveal() == url(1)
    (tmp_path / "key").write_text(f"{url(2)}\n")
    assert loaded(tmp_path, f"url = '{url(1)}'\nurl_file = 'key'").url.reveal() == url(2)
    (tmp_path / "credentials" / "heartbeat_url").write_text(url(3))
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    assert loaded(tmp_path, "url_file = 'key'", environ).url.reveal() == url(3)
    environ["HARBOR_POLLER_HEARTBEAT_URL"] = url(4)
    assert loaded(tmp_path, "", environ).url.reveal() == url(4)
    assert loaded(tmp_path, "fail_url = 'off'").fail_url is None


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("url = 'h.test/key'", "[heartbeat] url: must begin with http:// or https://"),
        ("url = 'https://h.test/'", "[heartbeat] url: must be the whole address"),
        ("fail_url = 'never'", 'or "off"'),
        ("every = '0s'", '[heartbeat] every = "0s": must be between "1s" and "1d"'),
        ("ca_file = 'none.pem'", "[heartbeat] ca_file"),
        ("timeout = '5s'", "[heartbeat] timeout: unknown key"),
    ],
)
def test_mistakes_are_named_without_the_address(tmp_path: Path, section: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, section)
    assert says in str(caught.value)
    assert "h.test/key" not in str(caught.value)
