"""The command line as people and services meet it: real processes, and stand-ins on loopback."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from demo.harbor import ALWAYS, POLLER, Account, Fault, HarborStandIn, Outcome, Role, World
from demo.telegram import Kind, TelegramStandIn
from poller import called
from poller import config as configuration
from poller.__main__ import cli
from poller.events import WEBHOOK_TYPES, EventType
from poller.harbor import Harbor
from poller.jobs import AuditPoller
from poller.telling import ROUTE
from state import Counts, Store
from tests.full import no_room
from tests.harness import ROOT, TOKEN, Clock, write_conf

DONE, TRY_AGAIN, MISTAKE, TAKEN = range(4)
ESCAPE = "\x1b"
QUIET_ENV = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT)}
HURRY = '[delivery]\nmax_delay = "1s"'
"""`once` gives up as soon as it has to wait for longer."""

Ended = subprocess.CompletedProcess[str]


def launch(*args: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None, **more: Any) -> Any:
    command = [sys.executable, "-m", "poller", *map(str, args)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.Popen(command, cwd=cwd, env=QUIET_ENV | dict(env or {}), text=True, **streams)


def poller(*args: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> Ended:
    """A command to its end. Whatever happens, nobody is shown a traceback."""
    process = launch(*args, cwd=cwd, env=env)
    stdout, stderr = process.communicate(timeout=60)
    assert "Traceback" not in stdout + stderr
    return subprocess.CompletedProcess(args, process.returncode, stdout, stderr)


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def wait_for(condition: Callable[[], object], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.02)


@dataclass
class Site:
    """The stand-ins and a folder with a conf.toml for them."""

    folder: Path
    harbor: HarborStandIn
    telegram: TelegramStandIn
    clock: Clock  # Harbor's

    @property
    def world(self) -> World:
        return self.harbor.world

    @property
    def conf(self) -> Path:
        return self.folder / "conf.toml"

    def configure(self, account: Account = POLLER, more: str = "") -> None:
        top = "language = 'en'\ntimezone = 'Europe/Moscow'\n"
        write_conf(self.folder, self.harbor.url, account, more=f"api_url = '{self.telegram.url}'\n{more}")
        self.conf.write_text(top + self.conf.read_text())

    def poller(self, *args: str, env: Mapping[str, str] | None = None) -> Ended:
        return poller("--config", self.conf, *args, env=env)

    def launch(self, *args: str, env: Mapping[str, str] | None = None, **more: Any) -> Any:
        return launch("--config", self.conf, *args, env=env, **more)

    @contextmanager
    def store(self) -> Iterator[Store]:
        opened = Store.open(f"sqlite:///{self.folder}/state.db", self.harbor.url, ROUTE)
        try:
            yield opened
        finally:
            opened.close()

    def poll(self) -> None:
        """In process, which is quicker."""
        config = configuration.load(self.conf, {})
        client = Harbor(config.harbor.url, config.harbor.username, config.harbor.password)
        with self.store() as store:
            AuditPoller(client, store, config).poll(datetime.now(UTC))
        client.close()

    def counts(self) -> Counts:
        with self.store() as store:
            return store.counts()

    def seen(self, *args: str) -> list[dict[str, Any]]:
        done = self.poller("events", "--json", *args)
        assert done.returncode == DONE, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def status(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.poller("status", "--json").stdout)
        return facts

    def push(self, tag: str) -> None:
        self.clock.now = datetime.now(UTC)
        self.world.push("team/app", tag, "ann")

    @property
    def told(self) -> list[str]:
        """The tags of which messages tell, in their order."""
        return [tag for text in self.telegram.texts for tag in re.findall(r"^Tag: (.*)$", text, re.MULTILINE)]


@contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    clock = Clock(datetime.now(UTC) - timedelta(hours=6))
    world = World(clock=clock.tick)
    with HarborStandIn(world, [POLLER]) as harbor, TelegramStandIn(token=TOKEN) as telegram:
        site = Site(folder, harbor, telegram, clock)
        site.configure()
        world.create_project("team")
        world.create_project("public", public=True)
        yield site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A Harbor that nobody has polled yet."""
    with open_site(tmp_path) as opened:
        yield opened


@pytest.fixture
def polled(site: Site) -> Site:
    """A Harbor that was polled once, so that whatever happens from now on is told."""
    site.poll()
    return site


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A day of which everything is recorded and nothing told; for commands that only look."""
    with open_site(tmp_path_factory.mktemp("known")) as opened:
        opened.poll()
        for number in range(150):
            opened.world.push("team/app", f"build.{number}", "robot$team+ci")
        opened.world.pull("team/app", "build.7", "bob")
        opened.world.scan("team/app", "build.7", Outcome.SUCCESS, {"High": 1}, fixable=1, asked_by="ann")
        opened.world.delete_artifact("team/app", "build.8", "bob")
        opened.poll()
        yield opened


# -- wrong input: a sentence, exit code 2, and nothing is changed ----------------------------------------


def refuses(folder: Path, *args: str | Path, says: str, env: Mapping[str, str] | None = None) -> None:
    before = bytes_in(folder)
    done = poller(*args, cwd=folder, env=env)
    assert done.returncode == MISTAKE, done.stderr
    assert says in done.stderr
    assert done.stdout == ""
    assert bytes_in(folder) == before


CONF = f"""
[harbor]
url = "https://registry.example.org"
username = 'robot$poller'
password = "secret"
[telegram]
bot_token = "{TOKEN}"
chat_id = "-1001"
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("username = 'robot", "username = robot", "conf.toml: line 4, column "),
        ("chat_id", "chatid", "[telegram] chatid: unknown key; did you mean chat_id?"),
        ("password", 'ca_file = "folder"\npassword', "must be a file of certificates: "),
        ("[telegram]", "[state]\nurl = 'sqlite:///folder'\n[telegram]", "folder is a directory"),
        ("[telegram]", "[state]\nurl = 'sqlite:///none/state.db'\n[telegram]", "none does not exist"),
        ("[telegram]", "[state]\nurl = 'sqlite:////proc/state.db'\n[telegram]", "the state database /proc/state.db"),
        ("[telegram]", "[state]\nurl = 'sqlite:///conf.toml'\n[telegram]", "file is not a database"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_conf_toml_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "conf.toml").write_text(CONF.replace(old, new, 1))
    (tmp_path / "conf.toml").chmod(0o600)
    refuses(tmp_path, "once", says=says)


def test_looking_makes_nothing(tmp_path: Path) -> None:
    """Where nothing was recorded yet, a look at it does not create a database. To `status`, that is an answer."""
    (tmp_path / "conf.toml").write_text(CONF)
    refuses(tmp_path, "events", says="nothing is recorded yet")
    before = bytes_in(tmp_path)
    assert poller("status", cwd=tmp_path).stdout.startswith("○ never started → start it: `")
    assert poller("status", "--check", cwd=tmp_path).returncode == MISTAKE
    assert bytes_in(tmp_path) == before


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """A wrong URL, a text for a number, no chat; as JSON one object holds them all."""
    wrong = (
        CONF.replace("https://", "").replace("password", 'timeout = "soon"\npassword').replace("chat_id", "# chat_id")
    )
    (tmp_path / "conf.toml").write_text(wrong)
    refuses(tmp_path, "--log-format", "json", "run", says='"event": "command.failed"')
    done = poller("run", cwd=tmp_path)
    assert done.returncode == MISTAKE
    url, timeout, chat = done.stderr.splitlines()
    assert '[harbor] url = "registry.example.org": must begin with http' in url
    assert '[harbor] timeout = "soon": must be a duration' in timeout
    assert "[telegram] chat_id is missing" in chat


def test_no_configuration_at_all_is_said_with_where_it_was_looked_for(tmp_path: Path) -> None:
    if Path("/etc/harbor-poller/conf.toml").exists():
        pytest.skip("this machine has a configuration")
    refuses(tmp_path, "run", says="there is neither conf.toml nor /etc/harbor-poller/conf.toml")


def test_a_configuration_that_is_a_directory_or_is_not_there(tmp_path: Path) -> None:
    refuses(tmp_path, "--config", tmp_path, "once", says="is a directory")
    refuses(tmp_path, "--config", "none.toml", "once", says="none.toml: there is no such file")


def test_a_database_from_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "conf.toml").write_text(CONF)
    Store.open(f"sqlite:///{tmp_path}/state.db", "https://registry.example.org", ROUTE).close()
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    refuses(tmp_path, "once", says="was written by a newer version of harbor-poller (schema 9999)")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ("rum", "No such command 'rum'"),
        ("once --prnt", "No such option '--prnt'"),
        ("events --since nonsense", "--since: not a time: 'nonsense'; write 2026-05-01"),
        ("events --type PULL_ARTEFACT", "Did you mean PULL_ARTIFACT?"),
        ("backfill --since 1h --until 2h", "--since 1h is not before --until 2h"),
        ("once --told-until 2999-01-01", "--told-until 2999-01-01 is still to come"),
    ],
)
def test_a_wrong_command_line_is_named(tmp_path: Path, args: str, says: str) -> None:
    (tmp_path / "conf.toml").write_text(CONF)
    refuses(tmp_path, *args.split(), says=says)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ("--log-format xml status", "'xml' is not one of 'text', 'json'"),
        ("--log-level loud status", "'loud' is not one of"),
        ("events --limit 0", "'--limit': 0 is not in the range x>=1"),
        ("backfill", "Missing option '--since'"),
        ("backfill --since 1h --deliver all", "'all' is not one of 'messages', 'digest', 'none'"),
        ("preview --event PULSE", "'PULSE' is no type of event"),
        ("preview --event PULL", "Did you mean PULL_ARTIFACT?"),
    ],
)
def test_a_wrong_option_is_named(args: str, says: str) -> None:
    """In process, for nothing is done yet when this is found."""
    done = CliRunner().invoke(cli, args.split())
    assert done.exit_code == MISTAKE
    assert says in done.stderr


# -- help ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", *cli.commands])
def test_help_fits_80_columns(command: str) -> None:
    done = CliRunner().invoke(cli, [*command.split(), "--help"], prog_name="python -m poller", terminal_width=80)
    assert done.exit_code == DONE
    assert max(map(len, done.output.splitlines())) <= 80
    assert "..." not in done.output.replace("[ARGS]...", "")


# -- once ------------------------------------------------------------------------------------------------


def test_once_tells_what_is_new_and_nothing_twice(site: Site) -> None:
    """The first run tells nothing old. Standard output stays empty: it is for results."""
    site.push("old")
    assert site.poller("once").returncode == DONE
    site.push("1.27")
    done = site.poller("once")
    assert (done.returncode, done.stdout) == (DONE, "")
    assert site.poller("once").returncode == DONE
    assert site.told == ["1.27"]


def test_an_older_state_tells_nothing_again(polled: Site) -> None:
    """Neither what waited in it nor what was told since; but what happened after that is told."""
    state, older = polled.folder / "state.db", polled.folder / "older.db"
    polled.push("waiting")
    polled.poll()
    shutil.copy(state, older)
    polled.push("since")
    assert polled.poller("once").returncode == DONE
    until = datetime.now(UTC).isoformat()
    polled.push("after")
    older.replace(state)
    done = polled.poller("once", "--told-until", until)
    assert (done.returncode, done.stdout) == (DONE, "")
    assert "2 events will not be told again" in done.stderr
    assert polled.told == ["waiting", "since", "after"]
    assert [seen["deliveries"][0]["state"] for seen in polled.seen()] == ["off", "off", "sent"]


def test_nothing_is_taken_for_told_before_everything_was_read(polled: Site) -> None:
    """While Harbor is away nobody knows what happened: all that waits goes on waiting, and the command is repeated."""
    polled.push("1.27")
    polled.poll()
    polled.harbor.fail(Fault.REFUSED)
    assert polled.poller("once", "--told-until", datetime.now(UTC).isoformat()).returncode == TRY_AGAIN
    assert (polled.counts().pending, polled.told) == (1, [])


def test_once_without_harbor_will_try_again(polled: Site) -> None:
    """And says so in a sentence; what happened meanwhile is told afterwards."""
    polled.push("1.27")
    polled.harbor.fail(Fault.REFUSED)
    done = polled.poller("once")
    assert done.returncode == TRY_AGAIN
    assert "nothing could be read now, the next run tries again: 127.0.0.1" in done.stderr
    shown = polled.poller("status", "--check")
    assert shown.returncode == TRY_AGAIN
    assert shown.stdout.startswith("◐ between two runs, the last one at ")
    assert "/auditlog-exts: [Errno 111] Connection refused\n" in shown.stdout
    polled.harbor.heal()
    assert polled.poller("once").returncode == DONE
    assert polled.told == ["1.27"]


def test_once_without_telegram_will_try_again(polled: Site) -> None:
    polled.configure(more=HURRY)
    polled.push("1.27")
    polled.telegram.away()
    done = polled.poller("once")
    assert done.returncode == TRY_AGAIN
    assert "not everything could be told now" in done.stderr
    assert polled.counts().pending == 1
    polled.telegram.back()
    wait_for(lambda: polled.poller("once").returncode == DONE)
    assert polled.told == ["1.27"]


def test_once_notes_what_was_taken_before_it_ends(polled: Site) -> None:
    """The disk is full for some seconds just then: the next run must not tell it again."""
    polled.push("1.27")
    polled.telegram.fail(Kind.SLOW, seconds=1)
    with polled.launch("once") as process:
        polled.telegram.wait_for_messages(1, timeout_s=60)
        with no_room(process.pid):
            time.sleep(3)
        assert process.wait(60) == DONE
    assert (polled.counts().sent, polled.counts().pending) == (1, 0)
    assert polled.told == ["1.27"]


def test_once_with_a_chat_that_refuses_is_a_mistake_to_correct(polled: Site) -> None:
    polled.push("1.27")
    polled.telegram.fail(Kind.KICKED, times=ALWAYS)
    done = polled.poller("once")
    assert done.returncode == MISTAKE
    assert "everything is kept until that is mended" in done.stderr
    shown = polled.poller("status").stdout
    assert "waiting     1 event, the oldest for " in shown
    assert "no attempt before" in shown


def test_once_with_a_wrong_password_is_a_mistake_to_correct(site: Site) -> None:
    site.configure(Account(POLLER.name, "wrong", Role.SYSTEM_ROBOT_FULL))
    done = site.poller("once")
    assert done.returncode == MISTAKE
    assert "password" in done.stderr


def test_once_where_something_else_answers_is_a_mistake_to_correct(polled: Site) -> None:
    polled.harbor.fail(Fault.REDIRECTED, times=ALWAYS)
    done = polled.poller("once")
    assert done.returncode == MISTAKE
    assert "harbor.example.com" in done.stderr


def test_once_print_shows_the_messages_and_marks_nothing(polled: Site) -> None:
    polled.push("1.27")
    done = polled.poller("once", "--print")
    assert done.returncode == DONE
    assert "Tag: 1.27\n" in done.stdout
    assert polled.told == []
    assert polled.poller("once").returncode == DONE
    assert polled.told == ["1.27"]
    nothing = polled.poller("once", "--print")
    assert (nothing.stdout, nothing.stderr) == ("", "nothing waits to be told\n")


def test_json_logs_are_an_object_a_line(polled: Site) -> None:
    """Also what is said to people: why a command ends, what goes on."""
    polled.push("1.27")
    polled.configure(more=HURRY)
    polled.telegram.away()
    done = polled.poller("--log-format", "json", "once")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.stdout == ""
    assert [line["event"] for line in lines] == ["audit.polled", "message.kept", "command.failed"]
    assert lines[-1]["exit_code"] == TRY_AGAIN


# -- run -------------------------------------------------------------------------------------------------


class Systemd:
    """The socket on which systemd listens for how its service is."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._said: list[str] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)  # a full queue would lose lines
        self._listener.start()

    @property
    def env(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": "1000000"}

    def has(self, line: str) -> bool:
        return line in self._said

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", str(self.path))  # nothing more comes
        self._listener.join()
        self._socket.close()

    def _listen(self) -> None:
        while heard := self._socket.recv(4096):
            self._said += heard.decode().splitlines()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    with closing(Systemd(tmp_path)) as listening:
        yield listening


@contextmanager
def running(site: Site, *args: str, env: Mapping[str, str] | None = None) -> Iterator[Any]:
    with site.launch(*args, "run", env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def test_run_is_a_good_service(polled: Site, systemd: Systemd) -> None:
    """Tells systemd how it is, holds the lease, tells what happens, and ends with 0 on SIGTERM."""
    with running(polled, "--log-format", "json", env=systemd.env) as process:
        wait_for(lambda: systemd.has("READY=1"))
        polled.push("1.27")
        polled.telegram.wait_for_messages(1, timeout_s=60)
        wait_for(lambda: systemd.has("STATUS=1 told, 0 waiting"))
        assert systemd.has("WATCHDOG=1")
        second = polled.poller("once")
        assert second.returncode == TAKEN
        assert f"process {process.pid} on " in second.stderr
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == DONE
        wait_for(lambda: systemd.has("STOPPING=1"))
    words = [json.loads(line)["event"] for line in stderr.splitlines()]
    assert words[0] == "daemon.started"
    assert words[-2:] == ["daemon.stopping", "daemon.stopped"]
    assert polled.told == ["1.27"]
    assert polled.poller("once").returncode == DONE  # the lease is free again


def test_a_text_names_the_command_as_it_can_be_typed() -> None:
    """By its short name where a shell finds the same program; else with the path that was typed."""
    where = {"harbor-poller": "/usr/bin/harbor-poller", "python": "/home/ann/.venv/bin/python"}.get
    assert called.name("/usr/bin/harbor-poller", "/usr/bin/python3", where) == "harbor-poller"
    assert called.name(".venv/bin/harbor-poller", "python3", where) == ".venv/bin/harbor-poller"
    assert called.name("/srv/a b/harbor-poller", "python3", lambda _: None) == "'/srv/a b/harbor-poller'"
    module = "/srv/poller/__main__.py"
    assert called.name(module, "python", where) == "python -m poller"
    assert called.name(module, "/home/ann/.venv/bin/python", where) == "python -m poller"
    assert called.name(module, ".venv/bin/python", where) == ".venv/bin/python -m poller"
    assert called.name("/usr/bin/pytest", "python3", where) == "harbor-poller"


def test_only_what_works_warns(polled: Site) -> None:
    """Over a screen that somebody looks at, the line would come each time; and `check` has it in its list."""
    polled.conf.chmod(0o644)
    for command in ("status", "events", "check"):
        assert polled.poller(command).stderr == "", command
    assert "config.warning" in polled.poller("once").stderr


def test_status_says_that_it_runs_and_since_when_it_does_not(polled: Site) -> None:
    """Killed without a word: seen at once, with how to start it again, and nothing was changed by looking."""
    with running(polled) as process:
        wait_for(lambda: polled.status()["state"] == "running", timeout_s=60)
        assert polled.poller("status", "--check").stdout.startswith("● running since 20")
        process.kill()
        process.communicate(timeout=60)
    before = bytes_in(polled.folder)
    facts, shown = polled.status(), polled.poller("status", "--check")
    assert bytes_in(polled.folder).keys() == before.keys()
    assert (facts["state"], facts["exit_code"], shown.returncode) == ("stopped", MISTAKE, MISTAKE)
    ago = datetime.now(UTC) - datetime.fromisoformat(facts["since"])
    assert timedelta(0) < ago < timedelta(minutes=1)
    assert facts["remedy"] == f"{sys.executable} -m poller --config {polled.conf} run"
    since = datetime.fromisoformat(facts["since"]).astimezone(ZoneInfo("Europe/Moscow"))
    assert shown.stdout.startswith(f"○ not running since {since:%Y-%m-%d %H:%M} (")
    assert f"→ start it: `{facts['remedy']}`" in shown.stdout


def test_run_finishes_what_is_in_flight(polled: Site) -> None:
    """Ctrl-C while Telegram takes its time: the message is noted as told, and not sent again."""
    polled.push("1.27")
    polled.telegram.fail(Kind.SLOW, seconds=1.5)
    with running(polled) as process:
        polled.telegram.wait_for_messages(1, timeout_s=60)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == DONE
    assert (polled.counts().sent, polled.counts().pending) == (1, 0)
    assert polled.told == ["1.27"]


def test_run_takes_a_cron_expression(polled: Site) -> None:
    """It polls when it starts, and `status` says when it will again."""
    polled.configure(more="[schedule]\ncron = '0 3 * * *'")
    polled.push("1.27")
    with running(polled):
        polled.telegram.wait_for_messages(1, timeout_s=60)
        facts, shown = polled.status(), polled.poller("status").stdout
    assert facts["schedule"] == "0 3 * * *"
    assert facts["next_run"].endswith("T03:00:00+03:00")
    assert re.search(r'next run    20..-..-.. 03:00:00 \(cron "0 3 \* \* \*"\)', shown)


# -- backfill --------------------------------------------------------------------------------------------


@pytest.fixture
def past(site: Site) -> Site:
    """Four pushes, an hour apart, before anybody polled."""
    for number in range(4):
        site.world.push(f"{'public' if number == 3 else 'team'}/app", f"1.{number}", "ann")
        site.clock.advance(3600)
    site.world.pull("team/app", "1.0", "bob")
    return site


def test_backfill_counts_before_it_tells(past: Site) -> None:
    """A dry run says what would be told and how, and records nothing; two projects were created as well."""
    done = past.poller("backfill", "--since", "1d", "--dry-run")
    assert done.returncode == DONE
    assert re.match(
        r"7 rows read in \d+\.\d s \(\d+ rows/s\): 0 known already, 7 new events, not recorded in a dry run\n",
        done.stdout,
    )
    assert re.search(r"PROJECT_CREATED +2   not told: events.PROJECT_CREATED = false\n", done.stdout)
    assert done.stderr.endswith("would tell 5 events in single messages, which takes about 1 min\n")
    with past.store() as store:
        assert store.seen() == ()
    assert past.told == []


def test_backfill_tells_what_is_asked_for_and_nothing_twice(past: Site) -> None:
    """By project, by type, by time; and then the rest."""
    until = (past.clock.now - timedelta(hours=2, minutes=30)).isoformat()
    args = ["backfill", "--since", "1d", "--project", "team", "--event", "push_artifact", "--until", until]
    done = past.poller(*args)
    assert done.returncode == DONE
    assert "telling 2 events in single messages" in done.stderr
    assert past.told == ["1.0", "1.1"]
    digest = past.poller("backfill", "--since", "1d", "--deliver", "digest")
    assert "telling 3 events in a digest\n" in digest.stderr
    assert len(past.telegram.messages) == 3
    again = past.poller("backfill", "--since", "1d")
    assert re.search("rows/s\\): [07] known already, 0 new events\n", again.stdout)
    assert "nothing to tell" in again.stderr
    assert len(past.telegram.messages) == 3


def test_what_does_not_fit_the_pace_comes_as_a_digest_said_beforehand(known: Site, tmp_path: Path) -> None:
    """More than ten minutes of a group's pace, and how to have it otherwise."""
    for number in range(50):
        known.world.push("public/many", f"{number}", "ann")
    conf = tmp_path / "conf.toml"
    conf.write_text(known.conf.read_text())
    done = poller("--config", conf, "backfill", "--since", "7h", "--dry-run")
    assert done.returncode == DONE
    assert re.search(
        r"would tell 20\d events in a digest; single messages would take about 10 min \(--deliver messages\)\n",
        done.stderr,
    )


def test_a_backfill_beside_the_daemon_leaves_the_telling_to_it(past: Site) -> None:
    """It reads, says who tells, and ends; nothing is told twice."""
    past.telegram.away()
    with running(past) as process:
        wait_for(lambda: f"process {process.pid} on " in past.poller("status").stdout)
        done = past.poller("backfill", "--since", "1d", "--deliver", "messages")
        assert done.returncode == DONE
        assert f"the poller at work (process {process.pid} on " in done.stderr
        assert "will tell them" in done.stderr
        past.telegram.back()
        wait_for(lambda: past.counts().pending == 0)
    texts = past.telegram.texts
    assert texts
    assert len(texts) == len(set(texts))


def test_two_backfills_do_not_run_at_once(past: Site) -> None:
    """The second one ends at once, and says why."""
    with past.store() as store:
        store.take_lease("backfill", "other-host 5f3a 4026531836 999/1", datetime.now(UTC), timedelta(seconds=20))
    done = past.poller("backfill", "--since", "1d")
    assert done.returncode == TAKEN
    assert "another backfill works on this state database" in done.stderr
    assert "process 999 on other-host" in done.stderr


def test_an_interrupted_backfill_goes_on_where_it_was(past: Site) -> None:
    """Ctrl-C while reading, Ctrl-C while telling: in the end everything is told, and nothing twice."""
    past.harbor.fail(Fault.SLOW, times=ALWAYS, path="auditlog", seconds=0.3)
    past.harbor.clear()
    with past.launch("backfill", "--since", "1d", "--deliver", "messages") as process:
        wait_for(lambda: len([r for r in past.harbor.requests if "auditlog" in r.path]) >= 6)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == TRY_AGAIN
    assert "finishing what is in flight" in stderr
    assert "interrupted; what was read and told so far is kept" in stderr
    past.harbor.heal()
    past.telegram.fail(Kind.SLOW, seconds=1)
    with past.launch("backfill", "--since", "1d", "--deliver", "messages") as process:
        past.telegram.wait_for_messages(1, timeout_s=60)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == TRY_AGAIN
    assert len(past.telegram.messages) == 1
    done = past.poller("backfill", "--since", "1d", "--deliver", "messages")
    assert done.returncode == DONE
    assert "telling 4 events" in done.stderr
    assert sorted(past.told) == ["1.0", "1.0", "1.1", "1.2", "1.3"]  # 1.0 was pushed and pulled


# -- events and status -----------------------------------------------------------------------------------


def test_events_as_json_are_webhooks_with_what_became_of_them(polled: Site) -> None:
    polled.push("1.27")
    polled.world.create_robot("ci")
    assert polled.poller("once").returncode == DONE
    push, robot = polled.seen()
    assert list(push) == ["event", "key", "seen_at", "source", "deliveries"]
    assert push["event"]["type"] == "PUSH_ARTIFACT"
    assert push["event"]["event_data"]["resources"][0]["tag"] == "1.27"
    assert push["deliveries"] == [
        {"route": "telegram", "state": "sent", "reason": "", "chat_id": "-1001", "message_id": 1}
    ]
    assert robot["deliveries"][0] == {
        "route": "telegram",
        "state": "off",
        "reason": "events.ROBOT_CREATED = false",
        "chat_id": None,
        "message_id": None,
    }
    lines = polled.poller("events").stdout.splitlines()
    assert lines[0].split("\t")[1:] == ["sent", "PUSH_ARTIFACT", "team/app:1.27", "ann", ""]
    assert lines[1].split("\t")[1:3] == ["off", "ROBOT_CREATED"]
    assert lines[1].split("\t")[4:] == ["admin", "events.ROBOT_CREATED = false"]


def test_events_are_chosen_by_time_type_repository_and_number(known: Site) -> None:
    chosen = known.seen("--type", "pull_artifact", "--type", "DELETE_ARTIFACT", "--repository", "team/app")
    assert {each["event"]["type"] for each in chosen} == {"PULL_ARTIFACT", "DELETE_ARTIFACT"}
    assert known.seen("--since", "30d", "--limit", "3") == known.seen()[-3:]
    assert known.seen("--since", (known.clock.now + timedelta(hours=1)).isoformat()) == []
    nothing = known.poller("events", "--repository", "team/none")
    assert nothing.stdout == "nothing was seen in this period\n"


def test_status_is_for_people_and_as_json_for_programs(known: Site) -> None:
    facts = known.status()
    assert list(facts) == [
        *("state", "since", "why", "remedy", "troubles", "exit_code"),
        *("harbor", "registry", "version", "detected_at", "covered", "gaps", "pauses", "pending"),
        *("oldest_pending", "sent", "folded", "refused", "off", "held", "scans", "sweep", "chat", "routes"),
        *("last_error", "poller", "schedule", "next_run"),
    ]
    assert set(facts["scans"]) == {"running", "told", "gone", "overwritten", "given up", "no scan"}
    assert facts["covered"][0]["log"] == "audit_log_ext"
    shown = known.poller("status").stdout
    row = facts["covered"][0]["position"]
    moment = r"20\S+ \d\d:\d\d:\d\d"
    read = rf"^read +audit_log_ext: complete from {moment} to {moment}, \d+ \w+ ago \(row {row}\)$"
    assert re.search(read, shown, re.MULTILINE)
    assert re.search(r"^times +in Europe/Moscow$", shown, re.MULTILINE)
    assert "T" not in re.findall(r"from (\S+) ", shown)[0]
    on_screen = on_terminal(known, "status", env={"NO_COLOR": "1"}).splitlines()
    assert all(len(line) <= 80 or str(known.folder) in line for line in on_screen)


# -- check and preview -----------------------------------------------------------------------------------


def test_check_says_by_its_exit_code_who_must_act(site: Site) -> None:
    site.telegram.add_chat(-1001)
    site.push("1.27")
    site.world.pull("team/app", "1.27", "bob")
    fine = site.poller("check", "--send")
    assert fine.returncode == DONE, fine.stdout
    *found, total = fine.stdout.splitlines()
    assert all(line.startswith("✓ ") for line in found)
    assert total == f"{len(found)} fine"
    assert len(site.telegram.messages) == 1
    on_screen = on_terminal(site, "check", env={"NO_COLOR": "1"}).splitlines()
    assert all(len(line) <= 80 or str(site.folder) in line for line in on_screen)  # a path is never broken
    site.telegram.fail(Kind.UNAUTHORIZED, times=ALWAYS)
    wrong = site.poller("check", "--json")
    assert wrong.returncode == json.loads(wrong.stdout)["exit_code"] == MISTAKE
    site.telegram.heal()
    site.harbor.fail(Fault.REFUSED)
    away = site.poller("check")
    assert away.returncode == TRY_AGAIN
    assert "✗ Harbor: " in away.stdout


@pytest.mark.parametrize("language", ["ru", "en"])
def test_preview_needs_nothing(tmp_path: Path, language: str) -> None:
    """No configuration, no network (its way is blocked), and nothing is left behind."""
    blocked = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = poller("preview", "--language", language, cwd=tmp_path, env=blocked)
    assert (done.returncode, done.stderr) == (DONE, "")
    kinds_of_scan_messages, told_together = 4, 6
    assert len(done.stdout.strip().split("\n\n")) == len(WEBHOOK_TYPES) + kinds_of_scan_messages + told_together
    assert ("Репозиторий: " if language == "ru" else "Repository: ") in done.stdout
    assert bytes_in(tmp_path) == {}


def test_preview_of_one_type(tmp_path: Path) -> None:
    done = poller("preview", "--event", "robot_created", "--language", "en", cwd=tmp_path)
    assert done.stdout.count("\n\n") == 1
    assert "robot$team+ci" in done.stdout


# -- terminals and pipes ---------------------------------------------------------------------------------


def on_terminal(site: Site, *args: str, env: Mapping[str, str] | None = None, columns: int = 80) -> str:
    """What people see: both streams on a terminal."""
    ours, theirs = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with site.launch(
        *args, env={"TERM": "xterm-256color"} | dict(env or {}), stdout=theirs, stderr=theirs, stdin=theirs
    ):
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # the other side is closed
            pass
    os.close(ours)
    return shown.decode()


def test_colours_are_for_terminals_only(known: Site) -> None:
    """And NO_COLOR is obeyed there."""
    assert ESCAPE in on_terminal(known, "status")
    assert ESCAPE not in on_terminal(known, "status", env={"NO_COLOR": "1"})


def test_long_names_are_cut_for_terminals_only(known: Site) -> None:
    """A pipe gets everything of each event, whatever its length and whatever COLUMNS says."""
    scanner = ("events", "--type", "PULL_ARTIFACT")
    piped = known.poller(*scanner, env={"COLUMNS": "80"}).stdout.splitlines()
    assert len(piped) == 2
    assert max(map(len, piped)) > 150
    shown = on_terminal(known, *scanner, env={"NO_COLOR": "1"})
    assert max(map(len, shown.splitlines())) == 80
    assert "…" in shown


def test_a_backfill_shows_a_bar_on_a_terminal(past: Site) -> None:
    shown = on_terminal(past, "backfill", "--since", "1d", "--deliver", "digest")
    assert "reading" in shown
    assert "telling" in shown
    assert "message.sent" in shown


@pytest.mark.parametrize("command", ["events --json", "events"])
def test_a_reader_that_goes_away_is_no_error(known: Site, command: str) -> None:
    """As with `| head`."""
    read, write = os.pipe()
    os.close(read)
    with known.launch(*command.split(), stdout=write) as process:
        os.close(write)
        _, stderr = process.communicate(timeout=60)
    assert "Traceback" not in stderr
    assert "BrokenPipe" not in stderr
    assert process.returncode == DONE


def test_a_reader_that_goes_away_changes_no_exit_code(polled: Site) -> None:
    """Whatever monitoring makes of the first line: `status --check | head -1` is still about what is wrong."""
    (polled.folder / "state.db").unlink()
    read, write = os.pipe()
    os.close(read)
    with polled.launch("status", "--check", stdout=write) as process:
        os.close(write)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (MISTAKE, "")


def test_names_cannot_forge_lines_or_colours(polled: Site) -> None:
    polled.clock.now = datetime.now(UTC)
    polled.world.create_user("eve\nsent  \x1b[31mred\x1b[0m")
    polled.poll()
    shown = polled.poller("events", "--type", EventType.USER_CREATED).stdout
    assert len(shown.splitlines()) == 1
    assert ESCAPE not in shown


def test_a_full_disk_behind_the_output_is_said() -> None:
    """`status > file` where no space is left."""
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "poller", "reference"]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "standard output cannot be written: no space is left there\n")
