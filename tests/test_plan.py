"""What is said next: singly while there is room, together when there is not, oldest first, nothing left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formatters import Occasion
from poller import plan
from poller.events import Event, EventType
from poller.plan import FEW, IMAGE, WAVE, Parcel
from state import Due, Mode

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CATCH_UP_AFTER = timedelta(minutes=15)
LATE = NOW - CATCH_UP_AFTER - timedelta(seconds=1)
ROOM = 20
FAILED = EventType.SCANNING_FAILED


def due(
    *numbers: int,
    mode: Mode = Mode.AUTO,
    since: datetime = NOW,
    kind: EventType = EventType.PUSH_ARTIFACT,
    group: str | None = None,
) -> list[Due]:
    return [Due(n, Event.example(source_id=n, type=kind), mode, since, attempts=0, group=group) for n in numbers]


def next_parcel(items: list[Due], room: int = ROOM) -> Parcel | None:
    return plan.next_parcel(items, now=NOW, room=room, catch_up_after=CATCH_UP_AFTER)


def told(items: list[Due], room: int = ROOM) -> tuple[tuple[int, ...], Occasion | None]:
    parcel = next_parcel(items, room)
    assert parcel is not None
    return parcel.ids, parcel.occasion


def test_nothing_due_is_nothing_to_say() -> None:
    """No message without an event."""
    assert next_parcel([]) is None


def test_while_there_is_room_events_are_told_singly() -> None:
    """The oldest first; up to exactly as many as the pace allows."""
    assert told(due(*range(1, ROOM + 1))) == ((1,), None)
    assert told(due(7)) == ((7,), None)


def test_more_than_the_pace_allows_becomes_one_digest() -> None:
    """Of everything that is due, in its order."""
    numbers = range(1, ROOM + 2)
    assert told(due(*numbers)) == (tuple(numbers), Occasion.BACKLOG)
    assert told(due(1, 2), room=0) == ((1, 2), Occasion.BACKLOG)


def test_a_single_event_is_never_a_digest() -> None:
    """There is nothing to count."""
    assert told(due(1), room=0) == ((1,), None)
    assert told(due(1, since=LATE), room=0) == ((1,), None)


def test_after_a_downtime_there_is_one_summary() -> None:
    """Of what waited too long; what is fresh is told after it, as ever."""
    late, fresh = due(*range(1, FEW + 2), since=LATE), due(50, 51)
    assert told([*late, *fresh]) == (tuple(range(1, FEW + 2)), Occasion.CATCH_UP)
    assert told(fresh) == ((50,), None)


def test_a_few_late_events_are_told_singly() -> None:
    """A summary of two messages would hide more than it calms."""
    assert told(due(*range(1, FEW + 1), since=LATE)) == ((1,), None)


def test_late_begins_after_the_allowed_time() -> None:
    """Not at it."""
    assert told(due(*range(1, FEW + 2), since=NOW - CATCH_UP_AFTER)) == ((1,), None)


@pytest.mark.parametrize("kind", [FAILED, EventType.NOT_UNDERSTOOD])
def test_important_events_are_told_singly_after_a_downtime(kind: EventType) -> None:
    """The summary leaves them out, and then each has its own message."""
    important = due(3, kind=kind, since=LATE)
    late = due(1, 2, 4, 5, 6, 7, since=LATE)
    items = [*late[:2], *important, *late[2:]]
    assert told(items) == ((1, 2, 4, 5, 6, 7), Occasion.CATCH_UP)
    assert told(important) == ((3,), None)


def test_important_events_alone_wait_for_the_pace() -> None:
    """However many: they are what the chat is for."""
    assert told(due(1, 2, 3, kind=FAILED), room=1) == ((1,), None)


def test_important_events_are_left_out_of_a_backlog_digest() -> None:
    """They keep their messages."""
    assert told([*due(1, kind=FAILED), *due(2, 3)], room=2) == ((2, 3), Occasion.BACKLOG)


def test_what_a_backfill_found_is_told_together() -> None:
    """All of it, however little or much, important or not, and nothing else with it."""
    found = [*due(1, mode=Mode.DIGEST), *due(3, mode=Mode.DIGEST, kind=FAILED)]
    assert told([found[0], *due(2), found[1]]) == ((1, 3), Occasion.BACKFILL)


def test_what_telegram_refused_together_is_told_singly() -> None:
    """However many there are, and however late."""
    assert told(due(*range(1, 50), mode=Mode.SINGLE, since=LATE)) == ((1,), None)


def test_what_belongs_together_is_one_message() -> None:
    """In the place of the first of it; only what is told for itself stays out of it."""
    image = due(2, 4, group=f"{IMAGE}team/app@sha256:a")
    single = due(5, group=f"{IMAGE}team/app@sha256:a", mode=Mode.SINGLE)
    items = [*due(1), image[0], *due(3), image[1], *single]
    assert told(items) == ((1,), None)
    assert told(items[1:]) == ((2, 4), None)
    assert told(single) == ((5,), None)


def test_a_group_takes_the_room_of_one_message() -> None:
    """Or a scan of everything would turn all else into a digest."""
    wave = due(*range(2, 900), group=f"{WAVE}1")
    assert told([*due(1), *wave]) == ((1,), None)
    assert told(wave) == (tuple(range(2, 900)), None)


def test_a_wave_is_a_summary_already() -> None:
    """It is not folded into another one, however late; images of several platforms are."""
    wave = due(*range(50, 60), group=f"{WAVE}1", since=LATE)
    images = [item for n in range(0, 2 * FEW + 2, 2) for item in due(n, n + 1, group=f"{IMAGE}{n}", since=LATE)]
    assert told([*images, *wave]) == (tuple(range(2 * FEW + 2)), Occasion.CATCH_UP)
    assert told(wave) == (tuple(range(50, 60)), None)


def test_news_is_told_singly_after_a_downtime_as_long_as_it_is_little() -> None:
    """More of it comes in the summary."""
    late = due(*range(10, 20), since=LATE)
    assert told([*due(1, mode=Mode.IMPORTANT, since=LATE), *late]) == (tuple(range(10, 20)), Occasion.CATCH_UP)
    many = due(*range(1, FEW + 2), mode=Mode.IMPORTANT, since=LATE)
    assert told([*many, *late]) == ((*range(1, FEW + 2), *range(10, 20)), Occasion.CATCH_UP)


facts = st.tuples(
    st.sampled_from(Mode),
    st.sampled_from([NOW, LATE]),
    st.sampled_from([EventType.PUSH_ARTIFACT, FAILED]),
    st.sampled_from([None, f"{IMAGE}a", f"{IMAGE}b", f"{WAVE}1"]),
)


@given(st.lists(facts, max_size=60), st.integers(0, 30))
def test_everything_is_told_once(facts: list[tuple[Mode, datetime, EventType, str | None]], room: int) -> None:
    """Parcel after parcel, until nothing is due; inside of each the order is kept."""
    items = [
        item
        for number, (mode, since, kind, group) in enumerate(facts)
        for item in due(number, mode=mode, since=since, kind=kind, group=group)
    ]
    all_ids = [item.id for item in items]
    done: list[int] = []
    while parcel := next_parcel(items, room):
        assert parcel.ids
        assert list(parcel.ids) == sorted(parcel.ids)
        assert parcel.occasion or parcel.group or len(parcel.ids) == 1
        assert parcel.events == tuple(item.event for item in items if item.id in parcel.ids)
        done.extend(parcel.ids)
        items = [item for item in items if item.id not in parcel.ids]
    assert sorted(done) == all_ids
