"""The place where it happens: the stand-ins, the registry's life, a database, and the product's daemons between."""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import create_engine, select

from demo.harbor import POLLER, Generation, HarborStandIn, World
from demo.telegram import TelegramStandIn
from poller.errors import PollerError
from poller.events import RowName, Source
from poller.telling import ROUTE
from poller.values import replace
from state import Store, schema
from tests.faults import child
from tests.faults.clocks import Clocks
from tests.faults.databases import Postgresql, Sqlite
from tests.faults.judge import Cause, Change, Evidence, Line, Objection, Sort, Told
from tests.faults.life import Life
from tests.faults.processes import Process, Processes
from tests.harness import TOKEN, Nursery, write_conf

PRIVATE, GROUP = 1001, -1001
KILL_AFTER_S = (0.1, 2.3)
CATCH_UP_S = 90
"""So long a daemon that nothing disturbs may need to have read and told everything."""
SETTINGS = """
[events]
TAG_CREATED = true
TAG_DELETED = true
REPOSITORY_DELETED = true
SCANNING_COMPLETED = false
SCANNING_STOPPED = false
SCANNING_FAILED = false
[schedule]
poll = '1s'
jitter = '0s'
sweep = 'off'
[delivery]
max_delay = '20s'
settle = '1s'
"""


@dataclass(frozen=True, slots=True)
class Act:
    """A fault while it was on, for the report and the evidence."""

    name: str
    began_at: datetime
    ended_at: datetime


@dataclass(slots=True)
class Site:
    """What a fault acts upon. `causes`: what excuses repeated messages; `objections`: what was seen on the way."""

    dice: random.Random
    harbor: HarborStandIn
    telegram: TelegramStandIn
    database: Sqlite | Postgresql
    clocks: Clocks
    processes: Processes
    life: Life
    chat: int
    kills: Counter[str] = field(default_factory=Counter)
    causes: list[Cause] = field(default_factory=list)
    objections: list[Objection] = field(default_factory=list)
    failovers: list[float] = field(default_factory=list)
    clock_steps: list[datetime] = field(default_factory=list)
    kill_window: timedelta = timedelta(seconds=3)
    """A kill excuses a message that went so long before: longer while the database cannot be written."""
    may_fail: bool = False
    """Whether daemons may end by themselves: without a database none can start."""
    was_refused: bool = False
    """Whether `once` may say that a person must act, for the chat has refused."""
    upgrades_quietly: bool = False
    daemon: Process | None = None

    @property
    def world(self) -> World:
        return self.harbor.world

    @property
    def kill_count(self) -> int:
        return self.kills.total()

    @property
    def kills_only(self) -> int:
        """Without those that were only asked to end."""
        return sum(count for name, count in self.kills.items() if name.startswith("kill"))

    def object(self, text: str) -> None:
        self.objections.append(Objection(Sort.BEHAVIOUR, text, datetime.now(UTC)))

    # -- daemons ----------------------------------------------------------------------------------------

    def keep_running(self) -> Process:
        """The daemon; another one if that has ended, which it should not have done by itself."""
        if self.daemon is not None and not self.daemon.is_alive:
            if self.daemon.ended_at is None:
                self._ended_by_itself(self.daemon)
            self.daemon = None
        if self.daemon is None:
            self.daemon = self.processes.start("run")
        return self.daemon

    def _ended_by_itself(self, process: Process) -> None:
        process.ended_at = datetime.now(UTC)
        if not self.may_fail:
            self.object(f"{process.output.name} ended by itself with exit code {process.exit_code}")

    def kill_some(self, times: int) -> None:
        """Kill daemons at random moments."""
        for _ in range(times):
            self.kill_one()

    def kill_until(self, condition: Callable[[], bool], *, kills: int = 3, patience_s: float = 5) -> bool:
        """Go on killing daemons until something has happened, and then let one live for it; False: it never has.

        A daemon tells nothing in its first second, so that some are killed before they have told anything.
        """
        for _ in range(kills):
            self.kill_one()
            if condition():
                return True
        deadline = time.monotonic() + patience_s
        while not condition() and time.monotonic() < deadline:
            self.keep_running()
            time.sleep(0.01)
        return condition()

    def kill_one(self) -> None:
        if self.daemon is None and self.dice.random() < 0.1:
            return self._kill_once()
        daemon = self.keep_running()
        self.live(self.dice.uniform(*KILL_AFTER_S))
        if not daemon.is_alive:
            return None
        if self.dice.random() < 0.25:
            return self.terminate(daemon)
        return self.kill(daemon)

    def _kill_once(self) -> None:
        """`once` as cron starts it; half of them are let go to their end."""
        process = self.processes.start("once")
        if self.dice.random() < 0.5:
            self.live(self.dice.uniform(*KILL_AFTER_S))
            if process.is_alive:
                self.kill(process)
                return
        process.wait(90)
        is_refused = process.exit_code == 2 and self.was_refused and "Telegram refuses" in process.text
        if process.exit_code not in (0, 1) and not is_refused and not self.may_fail:
            self.object(f"{process.output.name} ended with exit code {process.exit_code}")

    def kill(self, process: Process) -> None:
        process.kill()
        now = datetime.now(UTC)
        self.kills[f"kill -9 of {process.command}"] += 1
        self.causes.append(Cause(now, "kill", now - self.kill_window))
        self.daemon = None if process is self.daemon else self.daemon

    def terminate(self, process: Process) -> None:
        """As systemd does it. What is in flight is finished first, and nothing is told again."""
        self.kills[f"SIGTERM of {process.command}"] += 1
        has_begun = "daemon.started" in process.text  # before that, SIGTERM has its usual effect
        if process.end() != 0 and has_begun and not self.may_fail:
            self.object(f"{process.output.name} ended with exit code {process.exit_code} after SIGTERM")
        self.daemon = None if process is self.daemon else self.daemon

    def live(self, seconds: float) -> None:
        """Let things happen."""
        time.sleep(seconds)

    # -- what has become of it --------------------------------------------------------------------------

    def unrecorded(self) -> list[str]:
        """Keys of what happened and is not in the state yet."""
        self.life.journal.note()
        keys = list(self.life.journal.happenings)
        with self._store() as store:
            return [key for start in range(0, len(keys), 500) for key in _unknown(store, keys[start : start + 500])]

    def waiting(self) -> int:
        with self._store() as store:
            return store.counts().pending

    @contextmanager
    def _store(self) -> Iterator[Store]:
        store = Store.open(self.database.url, self.harbor.url, ROUTE)
        try:
            yield store
        finally:
            store.close()

    def has_read_all(self) -> bool:
        try:
            return not self.unrecorded()
        except PollerError:
            return False

    def has_told_all(self) -> bool:
        try:
            return not self.unrecorded() and not self.waiting()
        except PollerError:
            return False

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float = CATCH_UP_S) -> bool:
        """With a daemon that runs. It is an objection if it takes longer."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.keep_running()
            if time.monotonic() > deadline:
                self.object(f"{what}: not within {timeout_s:g} s")
                return False
            time.sleep(0.2)
        return True

    def polls(self, since: int) -> int:
        """How many requests more than so many Harbor has got."""
        return len(self.harbor.requests) - since

    def evidence(self) -> Evidence:
        self.life.journal.note()
        done = self.processes.run("events", "--json")
        if done.exit_code != 0:
            self.object(f"{done.output.name} ended with exit code {done.exit_code}")
        changes = defaultdict[int, list[Change]](list)
        for edit in self.telegram.edits:
            changes[edit.message_id].append(Change(edit.before, edit.at))
        messages = [
            Told(each.message_id, each.text, each.sent_at, tuple(changes[each.message_id]))
            for each in self.telegram.messages
        ]
        happenings = list(self.life.journal.happenings.values())
        groups = groups_in(self.database.url)
        lines = [replace(line, group=groups.get(line.key)) for line in lines_of(done.text)]
        return Evidence(happenings, lines, messages, self.causes, self.life.journal.restores)


def _unknown(store: Store, keys: list[str]) -> list[str]:
    known = store.known_keys(keys)
    return [key for key in keys if key not in known]


def groups_in(url: str) -> dict[str, str]:
    """By the keys of events, what they are told as one with."""
    c = schema.events.c
    events = schema.deliveries.join(schema.events, schema.deliveries.c.event_id == c.id)
    query = select(c.key, c.source, c.source_id, c.occurred_at, schema.deliveries.c.group).select_from(events)
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(query.where(schema.deliveries.c.group.is_not(None))).all()
    engine.dispose()
    return {row.key or RowName(Source(row.source), row.source_id, row.occurred_at).key: row.group for row in rows}


def lines_of(output: str) -> list[Line]:
    """What `events --json` wrote."""
    lines = []
    for line in output.splitlines():
        if line.startswith("{"):
            event = json.loads(line)
            (delivery,) = event["deliveries"]
            lines.append(Line(event["key"], delivery["state"], delivery["message_id"]))
    return lines


@contextmanager
def site(
    folder: Path, dice: random.Random, database: Sqlite | Postgresql, *, chat: int, generation: Generation
) -> Iterator[Site]:
    folder.mkdir(parents=True)
    clocks = Clocks(folder / "offset")
    world = World(generation, clock=clocks.true_now)
    world.create_project("team")
    with HarborStandIn(world, [POLLER]) as harbor, TelegramStandIn(TOKEN, clock=clocks.true_seconds) as telegram:
        telegram.add_chat(chat, "private" if chat > 0 else "group")
        more = f"api_url = '{telegram.url}'\n{SETTINGS}\n[state]\nurl = '{database.url}'\n"
        conf = write_conf(folder, harbor.url, chat=str(chat), harbor="timeout = '3s'", more=more)
        conf.write_text("language = 'en'\n" + conf.read_text())
        environment = {child.OFFSET_FILE: str(clocks.file), **database.environment}
        with Nursery("tests.faults.child") as nursery:
            processes = Processes(nursery, conf, folder, environment)
            found = Site(
                dice, harbor, telegram, database, clocks, processes, Life(world, random.Random(dice.random())), chat
            )
            try:
                first = processes.run("once")
                assert first.exit_code == 0, first.text
                yield found
            finally:
                processes.kill_all()
