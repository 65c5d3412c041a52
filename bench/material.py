"""What the benchmarks are made of: a busy registry, a log as Harbor sends it, and the product opened on it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.log import REPOSITORIES, RowLog
from demo.harbor import POLLER, Account, World
from demo.telegram import TOKEN, TelegramStandIn
from poller import config as configuration
from poller.config import Config
from poller.events import Source
from poller.harbor import PAGE, Harbor, Log
from poller.jobs import AuditPoller
from poller.rows import AuditRow, audit_rows
from poller.telling import ROUTE
from state import Store

START = datetime(2026, 11, 24, 8, 0, 0, tzinfo=UTC)
NEW_LOG = Log(Source.NEW_LOG)
NOWHERE = "http://127.0.0.1:9"


class Clock:
    """Time as the benchmark says."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


# -- a busy registry --------------------------------------------------------------------------------


class BusyRegistry:
    """A world in which people and CI work: of 50 rows about 43 are pulls, 6 pushes and 1 is a deletion."""

    def __init__(self, clock: Clock) -> None:
        self.world = World(clock=clock)
        self._clock = clock
        self._random = random.Random(20261124)
        self._pushed: list[tuple[str, str]] = []
        self.world.create_project("team")
        for repository in REPOSITORIES:
            self.world.push(repository, "stable", "ann")

    def act(self) -> None:
        """One deed, one row."""
        dice = self._random.randrange(50)
        repository = self._random.choice(REPOSITORIES)
        if dice == 0 and self._pushed:
            self.world.delete_artifact(*self._pushed.pop(0), "robot$team+cleaner")
        elif dice <= 6:
            tag = f"build-{self.world.newest_id + 1}"
            self.world.push(repository, tag, "robot$team+ci")
            self._pushed.append((repository, tag))
        else:
            self.world.pull(repository, "stable", "robot$team+node")

    def act_until(self, newest_id: int, every_s: float = 0.5) -> None:
        while self.world.newest_id < newest_id:
            self._clock.advance(every_s)
            self.act()


def page(rows: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(rows) + b"]"


def pages(rows: Sequence[bytes]) -> list[bytes]:
    return [page(rows[start : start + PAGE]) for start in range(0, len(rows), PAGE)]


def busy_log(count: int) -> list[bytes]:
    """So many rows of a busy registry, with ids from 1 on."""
    log = RowLog(START, timedelta(seconds=0.5))
    return [log.row(number) for number in range(1, count + 1)]


def decoded(rows: Sequence[bytes]) -> tuple[AuditRow, ...]:
    return audit_rows(page(rows), Source.NEW_LOG, None)


# -- the product ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Product:
    """Poller and state, opened as the command line does it."""

    config: Config
    harbor: Harbor
    store: Store
    poller: AuditPoller


def load(conf: Path) -> Config:
    return configuration.load(conf, {})


@contextmanager
def open_store(config: Config) -> Iterator[Store]:
    store = Store.open(config.state.url.reveal(), config.harbor.url, ROUTE)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def product(conf: Path) -> Iterator[Product]:
    config = load(conf)
    c = config.harbor
    harbor = Harbor(c.url, c.username, c.password)
    with open_store(config) as store:
        try:
            yield Product(config, harbor, store, AuditPoller(harbor, store, config))
        finally:
            harbor.close()


def write_conf(
    folder: Path,
    harbor_url: str,
    *,
    account: Account = POLLER,
    telegram: TelegramStandIn | None = None,
    chat: str = "-1001",
    state_url: str = "sqlite:///state.db",
    more: str = "",
) -> Path:
    """`more`: further sections."""
    path = folder / "conf.toml"
    token, api_url = (telegram.token, telegram.url) if telegram else (TOKEN, NOWHERE)
    path.write_text(
        f"[harbor]\nurl = '{harbor_url}'\nusername = '{account.name}'\npassword = '{account.password}'\n"
        f"[telegram]\nbot_token = '{token}'\nchat_id = '{chat}'\napi_url = '{api_url}'\n"
        f"[state]\nurl = '{state_url}'\n{more}"
    )
    path.chmod(0o600)
    return path
