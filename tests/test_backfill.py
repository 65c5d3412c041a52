"""The past, read beside a poller that is at work, beyond a purge, again and again, and through kills."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from demo.harbor import POLLER, HarborStandIn, World
from demo.telegram import TelegramStandIn
from poller import config as configuration
from poller.backfill import HELD, Backfill, Wanted
from poller.events import Event, EventType
from poller.jobs import BATCH
from poller.rows import PAGE
from poller.standing import pauses
from state import Coverage, Cursor, DeliveryState, Mode, Store, Telling
from tests.harness import NOON, ROOT, TOKEN, Clock, Site, run_poller, site, wait_for, write_conf
from tests.processes import others

HOUR = timedelta(hours=1)
Opened = Callable[..., Site]


def new_world(clock: Clock) -> World:
    """A Harbor with two projects; the clock goes on with every deed."""
    world = World(clock=clock.tick)
    world.create_project("team")
    world.create_project("public", public=True)
    return world


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Opens a Harbor on which something is pushed every hour for so many hours; nobody has polled it yet."""
    with ExitStack() as contexts:

        def open_(hours: int = 6, **more: Any) -> Site:
            clock = Clock()
            here = contexts.enter_context(site(tmp_path, new_world(clock), clock, POLLER, **more))
            for number in range(hours):
                here.world.push("team/app", f"past{number}")
                here.clock.advance(3600)
            return here

        yield open_


def job(
    here: Site,
    *,
    hours: float = 24,
    until: datetime | None = None,
    is_told: bool = True,
    is_dry: bool = False,
    **wanted: Any,
) -> Backfill:
    """A backfill of the last so many hours, until now, that has read nothing yet."""
    end = until or here.clock.now
    period = Wanted(end - hours * HOUR, end, **wanted)
    return Backfill(here.harbor, here.store, here.poller, period, is_dry=is_dry, is_told=is_told)


def read(here: Site, backfill: Backfill) -> Backfill:
    for window in backfill.windows(here.clock.now):
        backfill.read(window, here.clock.now)
    return backfill


def done(here: Site, **options: Any) -> Backfill:
    backfill = read(here, job(here, **options))
    backfill.note_past(here.clock.now)
    here.store.hold(Mode.DIGEST, until=None)
    return backfill


def tags(events: list[Event]) -> list[str | None]:
    return [event.tag for event in events if event.type is EventType.PUSH_ARTIFACT]


# -- beside a poller ----------------------------------------------------------------------------------


def test_what_was_found_is_held_until_everything_was_read(opened: Opened) -> None:
    """A daemon that tells meanwhile would make a hundred summaries of it."""
    here = opened()
    backfill = read(here, job(here))
    assert here.news == []
    assert here.store.held(here.clock.now) == backfill.found.to_tell > 0
    here.store.hold(Mode.DIGEST, until=None)
    assert tags(here.news) == [f"past{number}" for number in range(6)]


def test_what_a_killed_backfill_found_is_told_an_hour_later(opened: Opened) -> None:
    """By whoever tells then."""
    here = opened()
    read(here, job(here))
    here.restart()
    here.clock.advance(HELD.total_seconds())
    assert len(tags(here.news)) == 6


def test_a_backfill_that_takes_longer_than_an_hour_goes_on_holding(opened: Opened) -> None:
    """What it found first would be told while it still reads."""
    here = opened()
    backfill = job(here)
    for window in backfill.windows(here.clock.now):
        backfill.read(window, here.clock.now)
        assert here.news == []
        here.clock.advance(35 * 60)


@pytest.mark.parametrize("is_told", [True, False])
def test_what_the_poll_has_not_read_is_left_to_it(opened: Opened, is_told: bool) -> None:
    """It is news: told by the poll at once, and not swallowed where the past is not to be told."""
    here = opened()
    here.poll()
    here.world.push("team/app", "new")
    done(here, is_told=is_told)
    here.poll()
    assert tags(here.news)[-1] == "new"
    assert len(tags(here.news)) == (7 if is_told else 1)


def test_a_late_row_is_left_to_the_poll(opened: Opened) -> None:
    """A row that becomes visible behind the poll's position is still looked for by it, and told singly."""
    here = opened()
    here.poll()
    here.world.hold_row()
    here.world.push("team/app", "late")
    here.world.push("team/app", "after")
    here.poll()
    here.world.release()
    done(here, is_told=False)
    assert tags(here.news) == ["after"]
    here.poll()
    assert tags(here.news) == ["after", "late"]


def test_a_poll_in_the_midst_of_a_backfill(opened: Opened) -> None:
    """Where the poll has come to is asked for every window: rows are told by one of them, and by one only."""
    here = opened()
    here.poll()
    backfill = job(here)
    windows = backfill.windows(here.clock.now)
    for number, window in enumerate(windows):
        here.world.push("team/app", f"news{number}")
        if number % 2:
            here.poll(after=1)
        backfill.read(window, here.clock.now)
    here.poll(after=1)
    here.store.hold(Mode.DIGEST, until=None)
    wanted = {f"past{number}" for number in range(6)} | {f"news{number}" for number in range(len(windows))}
    assert sorted(tags(here.news), key=str) == sorted(wanted)
    due = here.store.due(here.clock.now, most=100)
    assert {str(each.event.tag)[:4] for each in due if each.mode is Mode.DIGEST and each.event.tag} == {"past"}


def test_an_hour_with_rows_for_the_poll_is_not_done(opened: Opened) -> None:
    """Had the poll lost them, the next backfill would find them."""
    here = opened()
    here.poll()
    here.world.push("team/app", "unread")
    here.clock.advance(7200)
    done(here)
    here.store.save_cursor(Cursor("audit_log_ext", 99, None, 99, NOON, NOON))
    done(here)
    assert "unread" in tags(here.news)


def record(url: str, words: Connection) -> None:
    """Another process that records the same rows, in an order of its own."""
    store = Store.open(url, "https://harbor.example.com", "telegram")
    tellings = [Telling(Event.example(source_id=n, occurred_at=NOON), DeliveryState.PENDING) for n in range(1, 400)]
    words.send("ready")
    order = -1 if words.recv() == "backwards" else 1
    words.send(str(store.record(tellings[::order], now=NOON)))


def test_two_processes_that_record_the_same_rows_tell_them_once(state_url: str) -> None:
    """Whichever comes first has all of them, or some; none is told twice, and neither fails."""
    store = Store.open(state_url, "https://harbor.example.com", "telegram")
    with others(4, record, state_url) as recorders:
        assert {recorder.hear() for recorder in recorders} == {"ready"}
        for number, recorder in enumerate(recorders):
            recorder.say("backwards" if number % 2 else "forwards")
        assert sum(int(recorder.hear()) for recorder in recorders) == 399
    due = store.due(NOON, most=1000)
    store.close()
    assert sorted(each.event.source_id for each in due) == list(range(1, 400))


# -- beyond a purge -----------------------------------------------------------------------------------


def past(here: Site) -> list[tuple[datetime, datetime]]:
    """From when to when the ledger says that the past is recorded."""
    lines = here.store.ledger(since=NOON - 1000 * HOUR)
    return [(line.covered_from, line.covered_to) for line in lines if line.log == "past:audit_log_ext"]


def test_what_was_purged_is_not_said_to_be_recorded(opened: Opened) -> None:
    """The record begins with the first row that Harbor still has."""
    here = opened(hours=30)
    now = here.clock.now
    here.world.purge(before=now - 10.5 * HOUR)
    (first,) = done(here, until=now).found.complete_from.values()
    assert now - 10.5 * HOUR < first < now - 9 * HOUR
    assert past(here) == [(first, now)]


@pytest.mark.parametrize("hours", [2.7, 24])
def test_what_is_only_quiet_is_recorded(opened: Opened, hours: float) -> None:
    """With older rows before the period, or row 1 within it, nothing was purged: the record is complete."""
    here = opened(hours=5)
    now = here.clock.now
    assert list(done(here, hours=hours, until=now).found.complete_from.values()) == [now - hours * HOUR]
    assert past(here) == [(now - hours * HOUR, now)]


def test_a_period_before_the_first_row(opened: Opened) -> None:
    """There is nothing to tell, and nothing is claimed of it."""
    here = opened(hours=30)
    here.world.purge(before=here.clock.now - HOUR / 2)
    assert done(here).found.complete_from == {}
    assert past(here) == []


@pytest.mark.parametrize(
    "options", [{"projects": frozenset({"team"})}, {"types": frozenset({EventType.PUSH_ARTIFACT})}, {"is_dry": True}]
)
def test_a_part_of_the_past_is_not_the_past(opened: Opened, options: dict[str, Any]) -> None:
    """The ledger says from when on everything is recorded."""
    here = opened()
    done(here, **options)
    assert past(here) == []


def test_the_past_is_noted_once_and_is_no_gap(opened: Opened) -> None:
    """However often it is read; and no poll is missed in it."""
    here = opened()
    now = here.clock.now
    done(here, until=now)
    done(here, until=now)
    assert len(past(here)) == 1
    polls = [Coverage("audit_log_ext", NOON, NOON + timedelta(seconds=5))] * 3
    assert pauses([*polls, Coverage("past:audit_log_ext", NOON - 1000 * HOUR, NOON)]) == ()


# -- many rows ----------------------------------------------------------------------------------------


def test_a_busy_hour_is_read_by_first_pages_of_closed_windows(opened: Opened) -> None:
    """More rows than are recorded at once, in an hour; Harbor never has to read a deep page."""
    here = opened(hours=0)
    for number in range(BATCH + PAGE + 50):
        here.world.push("team/app", f"n{number}")
    here.clock.advance(7200)
    here.standin.clear()
    assert done(here, hours=4).found.to_tell == BATCH + PAGE + 50
    asked = [each.params for each in here.standin.requests if "op_time" in each.params.get("sort", "")]
    assert len(asked) > 12
    assert {params["page"] for params in asked} == {"1"}
    assert all("~]" not in params["q"] for params in asked)


def test_what_is_not_kept_in_mind_is_asked_of_the_state(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and still the tag of an image is known that was pushed long before it was deleted."""
    monkeypatch.setattr("poller.backfill.MOST_FACTS", 2)
    here = opened(hours=0)
    digest = here.world.push("team/app", "old")
    for number in range(6):
        here.clock.advance(3600)
        here.world.push("team/app", f"past{number}")
    here.world.delete_artifact("team/app", digest)
    done(here)
    assert [each.tag for each in here.news if each.type is EventType.DELETE_ARTIFACT] == ["old"]


# -- again and again ----------------------------------------------------------------------------------


def recorded(conf: Path) -> list[tuple[str, str, str]]:
    """(key, state, reason) of every delivery."""
    config = configuration.load(conf, {})
    store = Store.open(config.state.url.reveal(), config.harbor.url, "telegram")
    seen = store.seen()
    store.close()
    return [(each.event.key, str(delivery.state), delivery.reason) for each in seen for delivery in each.deliveries]


COMBINATIONS: tuple[tuple[str, ...], ...] = (
    ("--project", "team", "--deliver", "none"),
    ("--event", "push_artifact", "--deliver", "digest"),
    ("--deliver", "digest"),
)


def test_the_same_period_adds_nothing_in_whatever_combination(tmp_path: Path, state_url: str) -> None:
    """An event is recorded by the first backfill that wants it, and stays as that decided. Kills change nothing."""
    world = new_world(Clock(tick=timedelta(seconds=20)))
    for number in range(150):
        world.push("team/app" if number % 3 else "public/site", f"n{number}")
        world.pull("public/site", "n0", "ann")
    with HarborStandIn(world, [POLLER]) as standin, TelegramStandIn(TOKEN) as telegram:
        more = f"api_url = '{telegram.url}'\n[state]\nurl = '{state_url}'"
        conf = write_conf(tmp_path, standin.url, POLLER, more=more)
        period = ("backfill", "--since", "2026-11-24T11:00", "--until", "2026-11-24T18:00")
        for combination in COMBINATIONS:
            kill_amidst(conf, standin, *period, *combination)
            said = run_poller("--config", conf, *period, *combination)
            assert said.returncode == 0, said.stderr
        before, messages = recorded(conf), len(telegram.messages)
        keys = [key for key, _, _ in before]
        assert len(keys) == len(set(keys)) == 302
        assert not [state for _, state, _ in before if state == "pending"]
        for combination in COMBINATIONS:
            run_poller("--config", conf, *period, *combination)
        assert recorded(conf) == before
        assert len(telegram.messages) == messages


def kill_amidst(conf: Path, standin: HarborStandIn, *args: str) -> None:
    """Start a backfill and kill it when it has asked for some windows."""
    standin.clear()
    command = [sys.executable, "-m", "poller", "--config", str(conf), *args]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: len(standin.requests) >= 8 or process.poll() is not None, every_s=0.005)
        process.send_signal(signal.SIGKILL)


def test_harbor_without_old_rows_is_named_in_a_sentence(tmp_path: Path) -> None:
    """Whether it was purged or quiet is not known; it is no failure either."""
    world = new_world(Clock(tick=timedelta(minutes=10)))
    for number in range(30):
        world.push("team/app", f"n{number}")
    world.purge(before=NOON + HOUR)
    with HarborStandIn(world, [POLLER]) as standin:
        conf = write_conf(tmp_path, standin.url, POLLER, more="api_url = 'http://127.0.0.1:9'")
        conf.write_text("timezone = 'UTC'\n" + conf.read_text())
        late = run_poller("--config", conf, "backfill", "--since", "2026-11-20", "--deliver", "none")
        early = run_poller("--config", conf, "backfill", "--since", "2026-11-20", "--until", "2026-11-21")
    assert late.returncode == 0, late.stderr
    assert "Harbor has no rows before 2026-11-24 13:0" in late.stdout
    assert late.stdout.endswith(": they were purged, or nothing happened\n")
    assert early.returncode == 0, early.stderr
    assert early.stdout.splitlines()[-1] == (
        "Harbor has no rows between 2026-11-20 00:00 and 2026-11-21 00:00: they were purged, or nothing happened"
    )
