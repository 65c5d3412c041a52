"""What is forgotten is never told again, and the state does not grow with time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from demo.harbor import Generation, World
from poller import jobs
from poller.backfill import Backfill, Wanted
from poller.errors import StateError
from poller.events import Event, EventType, RowName, Scan, Source
from poller.knowledge import AccessoryFact, Changes, PlatformFact, ProjectFact, ReportFact, RepositoryFact, TagFact
from poller.standing import pauses
from poller.values import replace
from state import (
    Coverage,
    Cursor,
    DeliveryState,
    Mode,
    NoticedScan,
    Outcome,
    Store,
    SweepPlace,
    Telling,
    Thread,
    bitmap,
)
from tests.harness import NOON, Clock, Site, site

LOG = "audit_log_ext"
SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))
OLD, HORIZON = NOON - 100 * DAY, NOON - 90 * DAY
generations = pytest.mark.parametrize("generation", [Generation.V2_16, Generation.V2_12], ids=lambda each: each.name)

# -- the bits ---------------------------------------------------------------------------------------

row_ids = st.sets(st.integers(0, 3 * bitmap.BLOCK) | st.integers(0, 2**62))


@given(row_ids, row_ids)
def test_a_block_holds_what_was_added_and_nothing_else(added: set[int], others: set[int]) -> None:
    """Whatever else lies in the same block."""
    for block, ids in bitmap.by_block(added | others).items():
        bits = bitmap.with_ids(None, ids & added)
        assert bitmap.held(bits, ids) == ids & added, block


@given(row_ids, row_ids)
def test_adding_in_two_portions_is_adding_at_once(first: set[int], second: set[int]) -> None:
    """Events are forgotten in portions, that end anywhere in a block."""
    for ids in bitmap.by_block(first | second).values():
        in_two = bitmap.with_ids(bitmap.with_ids(None, ids & first), ids & second)
        assert in_two == bitmap.with_ids(None, ids)


@given(row_ids)
def test_every_id_is_in_one_block(ids: set[int]) -> None:
    """And each block is of neighbours."""
    blocks = bitmap.by_block(ids)
    assert sorted(each for block in blocks.values() for each in block) == sorted(ids)
    assert all(max(block) - min(block) < bitmap.BLOCK for block in blocks.values())


@given(st.sets(st.integers(0, bitmap.BLOCK - 1)))
def test_a_block_takes_little_room(ids: set[int]) -> None:
    """A bit for each id at most; where every row was told, hardly anything."""
    assert len(bitmap.with_ids(None, ids)) <= bitmap.BLOCK // 8 + 16
    assert len(bitmap.with_ids(None, range(bitmap.BLOCK))) < 32


# -- never again ------------------------------------------------------------------------------------

Opened = Callable[..., Site]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Opens a Harbor with a push from before the first poll, five told 100 days ago, and a new one."""
    monkeypatch.setattr("state.retention._READ_AGAIN", 0)  # otherwise it would take thousands of rows
    contexts = []

    def open_(generation: Generation = Generation.V2_16, more: str = "[schedule]\nsweep = 'off'") -> Site:
        clock = Clock()
        world = World(generation, clock=clock.tick)
        world.create_project("team")
        world.push("team/app", "before")
        context = site(tmp_path, world, clock, more=more)
        contexts.append(context)
        here = context.__enter__()
        here.poll()
        for number in range(5):
            world.push("team/app", f"old-{number}")
        here.poll()
        tell_all(here)
        clock.advance(100 * DAY.total_seconds())
        world.push("team/app", "new")
        here.poll()
        return here

    yield open_
    for context in contexts:
        context.__exit__(None, None, None)


def tell_all(here: Site) -> None:
    ids = [due.id for due in here.store.due(here.clock.now + DAY, most=1000)]
    here.store.told(ids, chat_id="-1001", message_id=1, now=here.clock.now)


def prune(here: Site) -> int:
    return jobs.prune(here.store, here.config, here.clock.now)


def backfill_the_past(here: Site) -> Backfill:
    wanted = Wanted(NOON, NOON + HOUR)
    job = Backfill(here.harbor, here.store, here.poller, wanted, is_dry=False, is_told=True)
    for window in job.windows(here.clock.now):
        job.read(window, here.clock.now)
    here.store.hold(Mode.DIGEST, until=None)
    return job


def tags(events: list[Event]) -> list[str | None]:
    return [event.tag for event in events if event.type is not EventType.COVERAGE]


@generations
def test_a_backfill_does_not_tell_again_what_was_told_and_forgotten(opened: Opened, generation: Generation) -> None:
    """The events are gone, but a bit of each row is left. What was there before the first poll is told."""
    here = opened(generation)
    assert prune(here) == 5
    assert tags(here.events) == ["new"]
    assert backfill_the_past(here).found.known == 5
    assert tags(here.news) == ["new", "before"]


def test_a_harbor_that_begins_anew_is_told_although_its_ids_were_told_before(opened: Opened) -> None:
    """Installed anew or restored: what is younger than the horizon is not looked for among the forgotten."""
    here = opened()
    prune(here)
    tell_all(here)
    here.world.restore(1)
    for number in range(3):
        here.world.push("team/app", f"again-{number}")
    here.poll()
    assert tags(here.news) == ["again-0", "again-1", "again-2"]
    here.poll()
    assert len(tags(here.news)) == 3


# -- in one transaction -----------------------------------------------------------------------------


@pytest.fixture
def store(state_url: str) -> Iterator[Store]:
    """A state that was polled far beyond the rows of these tests."""
    store = Store.open(state_url, "https://harbor.example.com", "telegram")
    store.save_cursor(Cursor(LOG, 10_000_000, NOON, 0, NOON, OLD))
    yield store
    store.close()


def event(number: int = 1, **changes: Any) -> Event:
    return Event.example(**{"source_id": number, "occurred_at": OLD + number * SECOND} | changes)


def row(number: int, at: datetime | None = None, source: Source = Source.NEW_LOG) -> RowName:
    return RowName(source, number, at or OLD + number * SECOND)


def record(store: Store, *numbers: int) -> None:
    store.record([Telling(event(number), DeliveryState.OFF) for number in numbers], now=OLD)


def test_a_forgotten_row_is_known_by_its_table_id_and_age(store: Store) -> None:
    """In blocks near and far; not by an id in the other table, nor by one that has come again lately."""
    record(store, 1, 2, 9000, 500_000)
    assert store.prune(before=HORIZON) == 4
    forgotten = [row(1), row(2), row(9000), row(500_000)]
    others = [row(3), row(9001), row(1, source=Source.OLD_LOG), row(1, HORIZON), row(2, NOON)]
    assert store.met(forgotten + others) == set(forgotten)
    assert store.met([]) == frozenset()


def test_what_is_forgotten_later_is_added(store: Store) -> None:
    """To the same block, in another run."""
    record(store, 1)
    store.prune(before=HORIZON)
    record(store, 2)
    store.prune(before=HORIZON)
    assert store.met([row(1), row(2), row(3)]) == {row(1), row(2)}


def test_the_horizon_never_goes_back(store: Store) -> None:
    """Who sets a longer `keep` does not bring back what was forgotten."""
    assert store.pruned_before() is None
    store.prune(before=HORIZON)
    store.prune(before=HORIZON - DAY)
    assert store.pruned_before() == HORIZON


def test_the_bits_are_written_with_the_deletion_or_not_at_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the deletion fails, the events are still there, and forgotten the next time."""
    record(store, 1, 2)

    def refuse(*_: object) -> None:
        raise OperationalError("DELETE", {}, Exception("disk I/O error"))

    with monkeypatch.context() as patch:
        patch.setattr("state.retention._delete_events", refuse)
        with pytest.raises(StateError):
            store.prune(before=HORIZON)
    assert len(store.seen()) == 2
    assert store.prune(before=HORIZON) == 2
    assert store.met([row(1), row(2), row(3)]) == {row(1), row(2)}


def test_another_harbors_rows_are_not_mistaken_for_ours(store: Store, state_url: str) -> None:
    """Rows of two Harbors have the same ids."""
    other = Store.open(state_url, "https://harbor.example.org", "telegram")
    record(store, 1)
    store.prune(before=HORIZON)
    other.save_cursor(Cursor(LOG, 10_000_000, NOON, 0, NOON, OLD))
    other.prune(before=HORIZON)
    assert other.met([row(1)]) == frozenset()
    other.close()


# -- results of scans -------------------------------------------------------------------------------


def test_an_old_result_that_is_met_again_is_no_news(opened: Opened) -> None:
    """A project that came back after it was forgotten: learnt silently, and the next result is news."""
    here = opened(more="")
    here.world.scan("team/app", "new")
    for _ in range(20):
        here.poll(60)
    assert sum(each.scan is not None for each in here.events) == 1
    tell_all(here)
    here.clock.advance(100 * DAY.total_seconds())
    here.store.prune(before=here.clock.now - 90 * DAY, is_swept=False)
    assert [each for each in here.events if each.scan is not None] == []
    for _ in range(60):
        here.poll(600)
    assert here.news == []
    here.world.scan("team/app", "new")
    for _ in range(20):
        here.poll(60)
    assert [each.tag for each in here.news] == ["new"]


def test_a_clock_that_was_ahead_does_not_hide_results(opened: Opened) -> None:
    """A machine that started in the year 2099 has pruned by that: what the sweep finds later is news all the same."""
    here = opened(Generation.V2_8, more="")
    for _ in range(60):
        here.poll(60)
    tell_all(here)
    here.store.prune(before=here.clock.now + 1000 * DAY)
    here.world.scan("team/app", "new", pulls=False)
    for _ in range(60):
        here.poll(600)
    assert [each.tag for each in here.news] == ["new"]
    assert jobs.prune_if_due(here.store, here.config, here.clock.now + DAY) == 0


def test_results_are_forgotten_although_a_log_is_empty(store: Store) -> None:
    """Its position is 0, as is the row of what is in no log."""
    store.save_cursor(Cursor(f"{LOG}/empty", 0, None, 0, NOON, OLD))
    scan = Scan({"application/vnd.security.vulnerability.report; version=1.1": {"report_id": "r1"}})
    result = event(0, source=Source.SCAN, scan=scan)
    store.record([Telling(result, DeliveryState.OFF)], now=OLD)
    assert store.prune(before=HORIZON) == 1


def report(ended_at: datetime = OLD, seen_at: datetime = OLD) -> ReportFact:
    return ReportFact("sha256:a", "Trivy", "r1", ended_at, seen_at, {})


@pytest.mark.parametrize(
    ("known", "left"),
    [(report(), 0), (report(seen_at=NOON), 1), (report(ended_at=HORIZON + SECOND), 1)],
    ids=["not met for long", "met lately", "ended later by Harbor's clock"],
)
def test_without_a_sweep_results_are_kept_as_long_as_events(store: Store, known: ReportFact, left: int) -> None:
    """However far the sweep had come before it was switched off. What is forgotten ended before the horizon."""
    place = SweepPlace(OLD, OLD, OLD, OLD, OLD, round_before_at=OLD - DAY)
    store.record((), now=OLD, learnt=Changes(reports=(known,)), place=place)
    store.prune(before=HORIZON)
    assert len(store.reports(["sha256:a"])) == 1
    store.prune(before=HORIZON, is_swept=False)
    assert len(store.reports(["sha256:a"])) == left


# -- every table ------------------------------------------------------------------------------------


def platform(index: str, digest: str, at: datetime = OLD) -> PlatformFact:
    return PlatformFact("team/app", digest, index, "linux/arm64", at)


def test_platforms_are_kept_as_long_as_a_tag_leads_to_them(store: Store) -> None:
    """Also to the image that the tag pointed at before, which the next result is compared with; or while young."""
    learnt = Changes(
        tags=(TagFact("team/app", "1", "sha256:now", OLD, "sha256:before"), TagFact("team/b", "1", "sha256:lost", OLD)),
        platforms=(
            platform("sha256:now", "sha256:1"),
            platform("sha256:before", "sha256:2"),
            platform("sha256:lost", "sha256:3"),
            platform("sha256:young", "sha256:4", NOON),
        ),
    )
    store.record((), now=OLD, learnt=learnt)
    store.prune(before=HORIZON)
    assert store.platforms("team/app", [f"sha256:{n}" for n in range(9)]).keys() == {"sha256:1", "sha256:2", "sha256:4"}


def accessory(subject: str, digest: str, at: datetime = OLD) -> AccessoryFact:
    return AccessoryFact("team/app", digest, subject, "signature.cosign", at)


def test_accessories_are_kept_as_long_as_their_subject_may_be_there(store: Store) -> None:
    """A tag leads to it, or it is a platform of an index that one leads to; or while they are young."""
    learnt = Changes(
        tags=(TagFact("team/app", "1", "sha256:now", OLD, "sha256:before"),),
        platforms=(platform("sha256:now", "sha256:child"),),
        accessories=(
            accessory("sha256:now", "sha256:1"),
            accessory("sha256:before", "sha256:2"),
            accessory("sha256:child", "sha256:3"),
            accessory("sha256:lost", "sha256:4"),
            accessory("sha256:lost", "sha256:5", NOON),
        ),
    )
    store.record((), now=OLD, learnt=learnt)
    store.prune(before=HORIZON)
    kept = store.accessories("team/app", [f"sha256:{n}" for n in range(9)])
    assert kept.keys() == {"sha256:1", "sha256:2", "sha256:3", "sha256:5"}


def test_threads_that_nothing_joins_any_more_are_forgotten(store: Store) -> None:
    """After days, however long events are kept: there is one for each image that was pushed or pulled."""
    threads = [Thread(name, f"{name}#1", OLD, last, 1) for name, last in (("old", NOON - 3 * DAY), ("new", NOON - DAY))]
    store.record((), now=NOON, threads=threads)
    store.prune(before=OLD - DAY, threads_before=NOON - 2 * DAY)
    assert store.threads(["old", "new"]).keys() == {"new"}


def test_repositories_and_projects_that_are_gone_are_forgotten(store: Store) -> None:
    """A repository that was made anew stays; a project that nobody asked for lately is asked for anew."""
    learnt = Changes(
        repositories=(
            RepositoryFact("team/gone", None, OLD),
            RepositoryFact("team/anew", NOON, OLD),
            RepositoryFact("team/here", OLD),
            RepositoryFact("team/just-gone", None, NOON),
        ),
        projects=(ProjectFact("team", False, NOON), ProjectFact("lost", False, OLD)),
    )
    store.record((), now=OLD, learnt=learnt)
    store.prune(before=HORIZON)
    known = store.knowledge({"team/gone", "team/anew", "team/here", "team/just-gone", "lost/app"})
    assert known.repositories.keys() == {"team/anew", "team/here", "team/just-gone"}
    assert known.projects.keys() == {"team"}


def test_robots_that_were_only_made_or_dismissed_are_forgotten(store: Store) -> None:
    """Nobody knows what they scanned, and nobody looks for it any more."""
    made = NoticedScan("robot$made", asked_by="ann", look_at=OLD)
    ended = NoticedScan("robot$ended", ended_at=OLD, look_at=OLD)
    store.record((), now=OLD, scans=[made, ended])
    store.prune(before=HORIZON)
    assert store.unexplained_scans(since=OLD) == ()
    assert store.scan_outcomes(since=OLD - DAY) == {}


# -- the ledger -------------------------------------------------------------------------------------


def polls(store: Store, count: int, *, start: datetime = NOON, every: timedelta = 5 * SECOND, new: int = 1) -> datetime:
    """So many polls, each with something new. Returns the end of the last one."""
    for number in range(count):
        store.cover(Coverage(LOG, start + number * every, start + (number + 1) * every, rows=new, new=new))
    return start + count * every


def test_a_busy_hour_is_one_line(store: Store) -> None:
    """Its line says how much it brought; the next hour has the next."""
    end = polls(store, 100, every=MINUTE)
    lines = store.ledger(since=NOON)
    assert [(line.polls, line.new, line.rows) for line in lines] == [(60, 60, 60), (40, 40, 40)]
    assert (lines[0].covered_from, lines[0].covered_to, lines[1].covered_to) == (NOON, NOON + HOUR, end)


def test_a_day_in_which_something_happens_now_and_then_is_few_lines(store: Store) -> None:
    """Quiet polls between busy ones do not cut the line into pieces."""
    for number in range(24 * 60):
        polls(store, 1, start=NOON + number * MINUTE, every=MINUTE, new=number % 3)
    assert len(store.ledger(since=NOON)) == 24


def test_a_pause_stays_visible_among_busy_polls(store: Store) -> None:
    """A daemon that stood still for hours and then caught up: `status` still says so, also right after it."""
    end = polls(store, 10)
    assert pauses(store.ledger(since=NOON)) == ()
    pause = Coverage(LOG, end, end + 3 * HOUR, rows=50, new=50)
    store.cover(pause)
    assert pauses(store.ledger(since=NOON)) == (pause,)
    polls(store, 10, start=pause.covered_to)
    assert pauses(store.ledger(since=NOON)) == (pause,)


def test_a_catch_up_of_many_pages_leaves_the_pause_visible(store: Store) -> None:
    """All pages but the last cover no time, as more is known to come."""
    end = polls(store, 10)
    for _ in range(5):
        store.cover(Coverage(LOG, end, end, rows=100, new=100))
    pause = Coverage(LOG, end, end + 3 * HOUR, rows=50, new=50)
    store.cover(pause)
    polls(store, 3, start=pause.covered_to)
    assert pauses(store.ledger(since=NOON)) == (pause,)


def test_hourly_polls_are_no_pauses(store: Store) -> None:
    """Each keeps its line, and none is longer than usual."""
    polls(store, 24, every=HOUR)
    lines = store.ledger(since=NOON)
    assert (len(lines), pauses(lines)) == (24, ())


# -- when -------------------------------------------------------------------------------------------


def test_a_program_that_is_started_every_minute_prunes_every_six_hours(opened: Opened) -> None:
    """Who uses a timer has no daemon that would."""
    here = opened()
    assert jobs.prune_if_due(here.store, here.config, here.clock.now) == 5
    pruned = here.store.pruned_before()
    jobs.prune_if_due(here.store, here.config, here.clock.now + HOUR)
    assert here.store.pruned_before() == pruned
    jobs.prune_if_due(here.store, here.config, here.clock.now + 6 * HOUR)
    assert here.store.pruned_before() != pruned


def test_with_the_sweep_off_results_are_forgotten_by_age(opened: Opened) -> None:
    """The job knows from the configuration whether artifacts are still met."""
    here = opened()
    fact = replace(report(NOON, NOON), digest="sha256:b")
    here.store.record((), now=NOON, learnt=Changes(reports=(fact,)), scans=[NoticedScan("r", outcome=Outcome.TOLD)])
    prune(here)
    assert here.store.reports(["sha256:b"]) == {}
