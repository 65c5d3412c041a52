"""What several tests need: time as the test says, a configuration on disk, and the product polling in process."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from demo.harbor import POLLER, Account, HarborStandIn, Replay, Request, World
from poller import config as configuration
from poller.config import Config
from poller.events import Event
from poller.harbor import Harbor
from poller.jobs import AuditPoller, Polled
from poller.secret import Secret
from poller.telling import ROUTE
from state import DeliveryState, Store

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
TOKEN = "123456:TOKEN-FOR-TESTS-ONLY-0123456789abcdef"
ROOT = Path(__file__).parent.parent
RECORDINGS = Path(__file__).parent / "recordings"

_LOG_PATHS = ("/audit-logs", "/auditlog-exts", "/logs")
_BOUND = re.compile(r"\b((id|op_time|push_time)=\[[^~\]]+~|manifest_media_type=)")


class Clock:
    """Stands still until the test moves it. Asked by `tick`, it moves a little, so that deeds have an order."""

    def __init__(self, now: datetime = NOON, tick: timedelta = timedelta(milliseconds=40)) -> None:
        self.now = now
        self._tick = tick

    def __call__(self) -> datetime:
        return self.now

    def tick(self) -> datetime:
        self.now += self._tick
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def write_conf(
    folder: Path,
    harbor_url: str,
    account: Account = POLLER,
    *,
    harbor: str = "",
    chat: str = "-1001",
    more: str = "",
) -> Path:
    """A conf.toml in `folder`. `harbor`: further lines of its section; `more`: of [telegram], and further sections."""
    path = folder / "conf.toml"
    path.write_text(
        f"[harbor]\nurl = '{harbor_url}'\nusername = '{account.name}'\npassword = '{account.password}'\n{harbor}\n"
        f"[telegram]\nbot_token = '{TOKEN}'\nchat_id = '{chat}'\n{more}\n"
    )
    path.chmod(0o600)
    return path


class Site:
    """A Harbor stand-in and the product's poller on it, in process. `clock` moves both."""

    def __init__(
        self,
        standin: HarborStandIn,
        clock: Clock,
        folder: Path,
        account: Account,
        *,
        harbor: str = "",
        more: str = "",
        state_url: str | None = None,
        url: str | None = None,
        timeout: float = 5,
    ) -> None:
        self.standin = standin
        self.clock = clock
        self.account = account
        self._url = url or standin.url
        self._timeout = timeout
        self._folder = folder
        self._state_url = state_url or f"sqlite:///{folder}/state.db"
        self.config = self.configure(harbor=harbor, more=more)
        self.start()

    @property
    def world(self) -> World:
        return self.standin.world

    def configure(self, *, harbor: str = "", more: str = "") -> Config:
        """Another conf.toml; it is heeded after the next restart."""
        path = write_conf(self._folder, self._url, self.account, harbor=harbor, more=more)
        self.config = configuration.load(path, {})
        return self.config

    def start(self) -> None:
        self.store = Store.open(self._state_url, self.config.harbor.url, ROUTE)
        self.harbor = Harbor(
            self.config.harbor.url,
            self.account.name,
            Secret(self.account.password),
            timeout=self._timeout,
            sleep=self.clock.advance,
        )
        self.poller = AuditPoller(self.harbor, self.store, self.config)

    def stop(self) -> None:
        self.harbor.close()
        self.store.close()

    def restart(self) -> None:
        """As a new process: nothing is left but the state."""
        self.stop()
        self.start()

    def poll(self, after: float = 5) -> Polled:
        """Poll once, so many seconds later."""
        self.clock.advance(after)
        polled = self.poller.poll(self.clock.now)
        return polled + Polled(0, self.poller.sweep(self.clock.now))

    def requests_of_poll(self, after: float = 5) -> list[Request]:
        """What one poll asks Harbor."""
        before = len(self.standin.requests)
        self.poll(after)
        return self.standin.requests[before:]

    @property
    def events(self) -> list[Event]:
        """Everything that was recorded, in the order of its happening."""
        return [seen.event for seen in self.store.seen()]

    @property
    def news(self) -> list[Event]:
        """What is to be told, in the order in which it will be."""
        return [due.event for due in self.store.due(self.clock.now, most=10_000)]

    def reasons(self) -> dict[str, str]:
        """Why events are not told by themselves, by their reference or subject."""
        return {
            seen.event.reference or seen.event.subject: delivery.reason
            for seen in self.store.seen()
            for delivery in seen.deliveries
            if delivery.state in (DeliveryState.OFF, DeliveryState.FOLDED) and delivery.message_id is None
        }

    def webhooks(self, types: tuple[str, ...], projects: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """Recorded events as Harbor's webhooks."""
        return [
            event.to_webhook()
            for event in self.events
            if event.type in types and event.repository and (not projects or event.repository.namespace in projects)
        ]


@contextmanager
def site(
    folder: Path,
    source: World | Replay,
    clock: Clock,
    account: Account = POLLER,
    *,
    harbor: str = "",
    more: str = "",
    state_url: str | None = None,
    timeout: float = 5,
) -> Iterator[Site]:
    """A site that is open within. At its end no question to Harbor may have been rude."""
    with HarborStandIn(source, [account]) as standin:
        opened = Site(standin, clock, folder, account, harbor=harbor, more=more, state_url=state_url, timeout=timeout)
        try:
            yield opened
        finally:
            opened.stop()
    assert [request for request in standin.requests if is_rude(request)] == []


def is_rude(request: Request) -> bool:
    """Whether a question makes Harbor count or hand out more than it should: unbounded, or with a page out of range."""
    params = request.params
    if "page_size" in params and not 1 <= int(params["page_size"]) <= 100:
        return True
    if request.path.endswith("/artifacts") and params.get("with_scan_overview"):
        return not 1 <= int(params.get("page_size", 0)) <= 20  # Harbor counts all findings of each
    is_list = request.path.endswith((*_LOG_PATHS, "/artifacts"))
    return request.method != "GET" or (
        is_list and ("page_size" not in params or not _BOUND.search(params.get("q", "")))
    )


# -- the product as processes -----------------------------------------------------------------------


def run_poller(
    *args: str | Path, env: Mapping[str, str] | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """`python -m poller …` to its end. Of this process's environment it gets the PATH alone."""
    command = [sys.executable, "-m", "poller", *map(str, args)]
    environ = {"PATH": os.environ.get("PATH", ""), **(env or {})}
    return subprocess.run(
        command, cwd=ROOT, env=environ, timeout=timeout_s, capture_output=True, text=True, check=False
    )


def recorded(conf: Path) -> list[dict[str, Any]]:
    """What `events --json` says."""
    done = run_poller("--config", conf, "events", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


class Nursery:
    """Starts `python -m poller …` again and again, each in a process of its own, but imports it and `run` only once.

    `program`: another module with a `cli`, which wraps that of the product.
    """

    PROGRAM = """
import importlib, json, os, signal, sys
cli = importlib.import_module(sys.argv[1]).cli
importlib.import_module("poller.commands.run")
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead at once
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is born deaf to it
        order = json.loads(line)
        os.environ.update(order["env"])
        if order["terminal"]:
            os.login_tty(os.open(order["terminal"], os.O_RDWR))
            sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
        if order["output"]:
            output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
        try:
            cli(order["args"], prog_name="python -m poller")
        except SystemExit as exit:
            print("exit", exit.code)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
    print(pid, flush=True)
"""

    def __init__(self, program: str = "poller.__main__") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM, program],
            cwd=ROOT,
            env={"PATH": os.environ.get("PATH", "")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self,
        *args: str | Path,
        env: Mapping[str, str] | None = None,
        output: Path | None = None,
        terminal: str = "",
    ) -> int:
        """The process id. `output` gets both streams, and a last line such as `exit 0` unless it is killed; or the
        process sits at a `terminal`."""
        order = {"args": [str(arg) for arg in args], "env": dict(env or {}), "output": str(output or "")}
        order["terminal"] = terminal
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


class Terminal:
    """A pseudo-terminal, at which a test sits and a process of the Nursery runs."""

    def __init__(self) -> None:
        self._here, self._there = os.openpty()
        self.name = os.ttyname(self._there)
        self.shown = ""
        self.answers = 0
        self._seen = 0

    def expect(self, text: str, timeout_s: float = 20) -> str:
        """What was shown since the last time, up to and with this text, once it is there."""
        deadline = time.monotonic() + timeout_s
        while (found := self.shown.find(text, self._seen)) < 0:
            ready, _, _ = select.select([self._here], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not come; since the last answer: {self.shown[self._seen :]!r}"
            self.shown += os.read(self._here, 65536).decode().replace("\r", "")
        since, self._seen = self._seen, found + len(text)
        return self.shown[since : self._seen]

    def answer(self, question: str, text: str = "") -> None:
        """Wait for the question, then type."""
        self.expect(question)
        self.expect(": ")
        self.answers += 1
        os.write(self._here, f"{text}\n".encode())

    def interrupt(self, question: str, pid: int) -> None:
        """Ctrl-C, once the question is there and the process waits: Python may not notice one just before."""
        self.expect(question)
        self.expect(": ")
        wait_for(lambda: ") S " in Path(f"/proc/{pid}/stat").read_text(), every_s=0.01)
        os.write(self._here, b"\x03")

    def close(self) -> None:
        os.close(self._here)
        os.close(self._there)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition: Callable[[], bool], timeout_s: float = 20, every_s: float = 0.1) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"nothing came within {timeout_s} s"
        time.sleep(every_s)
