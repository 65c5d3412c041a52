"""What is said next: singly while there is room, together when there is not, oldest first, nothing left out."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formatters import Occasion
from poller import plan
from poller.events import Event, EventType, Scan
from poller.plan import (
    FEW,
    IMAGE,
    IMPORTANT_WINDOW,
    MOST_IMPORTANT,
    PULLS,
    PUSH,
    RUN,
    WAVE,
    Hold,
    Manner,
    Memory,
    Moment,
    Parcel,
    Rest,
    Step,
)
from poller.routes import QuietHours
from poller.values import replace
from state import Due, GroupMessage, Mode

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CATCH_UP_AFTER = timedelta(minutes=15)
MAX_DELAY = timedelta(minutes=2)
LATE = NOW - CATCH_UP_AFTER - timedelta(seconds=1)
ROOM = 20
FAILED = EventType.SCANNING_FAILED
MANNER = Manner(max_delay=MAX_DELAY, catch_up_after=CATCH_UP_AFTER)
SETTLING = replace(MANNER, settle=timedelta(seconds=4))
NIGHT = QuietHours(time(22), time(7), ZoneInfo("Europe/Berlin"))


def due(
    *numbers: int,
    mode: Mode = Mode.AUTO,
    since: datetime = NOW,
    kind: EventType = EventType.PUSH_ARTIFACT,
    group: str | None = None,
) -> list[Due]:
    return [
        Due(n, Event.example(source_id=n, type=kind), mode, since, attempts=0, group=group, seen_at=since)
        for n in numbers
    ]


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def decide(
    items: list[Due],
    manner: Manner = MANNER,
    *,
    room: int = ROOM,
    now: datetime = NOW,
    digest_at: datetime | None = None,
    is_patient: bool = True,
    memory: Memory | None = None,
) -> Step | None:
    step, _ = plan.decide(items, manner, Moment(now, room, digest_at, is_patient), memory or Memory())
    return step


def told(items: list[Due], room: int = ROOM) -> tuple[tuple[int, ...], Occasion | None]:
    parcel = decide(items, room=room)
    assert isinstance(parcel, Parcel)
    return parcel.ids, parcel.occasion


def all_told(items: list[Due], manner: Manner = MANNER, *, room: int = ROOM) -> list[tuple[int, ...]]:
    """Parcel after parcel, until nothing is left."""
    memory, parcels = Memory(), []
    while items:
        step, memory = plan.decide(items, manner, Moment(NOW, room), memory)
        assert isinstance(step, Parcel)
        parcels.append(step.ids)
        items = [item for item in items if item.id not in step.ids]
    return parcels


def test_nothing_due_is_nothing_to_say() -> None:
    """No message without an event."""
    assert decide([]) is None


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
    """Of what waited too long, and of what happened towards the end of it; what comes later is told as ever."""
    late, fresh = due(*range(1, FEW + 2), since=LATE), due(50, 51)
    assert told([*late, *fresh]) == ((*range(1, FEW + 2), 50, 51), Occasion.CATCH_UP)
    assert told(fresh) == ((50,), None)


def test_a_few_late_events_are_told_singly() -> None:
    """A summary of two messages would hide more than it calms."""
    assert told(due(*range(1, FEW + 1), since=LATE)) == ((1,), None)


def test_what_we_put_off_ourselves_is_not_late() -> None:
    """There was no downtime."""
    items = [replace(item, held_until=NOW - seconds(1)) for item in due(*range(1, FEW + 2), since=LATE)]
    assert told(items) == ((1,), None)


def test_late_begins_after_the_allowed_time() -> None:
    """Not at it."""
    assert told(due(*range(1, FEW + 2), since=NOW - CATCH_UP_AFTER)) == ((1,), None)


@pytest.mark.parametrize("kind", [FAILED, EventType.NOT_UNDERSTOOD])
def test_important_events_are_told_singly_after_a_downtime(kind: EventType) -> None:
    """Before the summary, which leaves them out."""
    important = due(3, kind=kind, since=LATE)
    late = due(1, 2, 4, 5, 6, 7, since=LATE)
    items = [*late[:2], *important, *late[2:]]
    assert told(items) == ((3,), None)
    assert told(late) == ((1, 2, 4, 5, 6, 7), Occasion.CATCH_UP)


def test_important_events_alone_wait_for_the_pace() -> None:
    """However many: they are what the chat is for."""
    assert told(due(1, 2, 3, kind=FAILED), room=1) == ((1,), None)


def test_important_events_are_left_out_of_a_backlog_digest() -> None:
    """They keep their messages, which go first."""
    assert all_told([*due(1, 2), *due(3, kind=FAILED)], room=2) == [(3,), (1,), (2,)]
    assert all_told([*due(1, 2), *due(3, kind=FAILED)], room=1) == [(3,), (1, 2)]


def scanned(number: int, critical: int, high: int = 0) -> Due:
    summary = {"total": critical + high, "summary": {"Critical": critical, "High": high}}
    report = {"scan_status": "Success", "severity": "Critical" if critical else "High", "summary": summary}
    event = Event.example(
        source_id=number, type=EventType.SCANNING_COMPLETED, scan=Scan({"application/json": report}, None)
    )
    return Due(number, event, Mode.AUTO, NOW, attempts=0, seen_at=NOW)


def test_of_too_many_important_ones_the_worst_are_told_singly() -> None:
    """The others come in the digest, which goes after them. Failures are worst, then what has most findings."""
    manner = replace(MANNER, important="critical")
    failed = due(9, kind=FAILED)
    bad = [scanned(number, critical=number) for number in range(1, 8)]
    harmless = [scanned(8, critical=0, high=99)]
    assert all_told([*due(0), *bad, *harmless, *failed], manner, room=3) == [
        (9,),
        (7,),
        (6,),
        (5,),
        (4,),
        (0, 1, 2, 3, 8),
    ]


def test_too_much_that_is_important_comes_as_a_digest() -> None:
    """So many are told singly in a while; the others wait for as long as a message may be late, and nobody for them."""
    failed, memory = due(*range(MOST_IMPORTANT + 2), kind=FAILED), Memory()
    for number in range(MOST_IMPORTANT):
        step, memory = plan.decide(failed[number:], MANNER, Moment(NOW, ROOM), memory)
        assert step == Parcel((failed[number],))
    crowd, push = failed[MOST_IMPORTANT:], due(99)
    assert plan.decide(crowd, MANNER, Moment(NOW, ROOM), memory)[0] == Rest(NOW + MAX_DELAY, "flood")
    assert plan.decide([*crowd, *push], MANNER, Moment(NOW, ROOM), memory)[0] == Parcel(tuple(push))
    then = Moment(NOW + MAX_DELAY, ROOM)
    assert plan.decide(crowd, MANNER, then, memory)[0] == Parcel(tuple(crowd), Occasion.BACKLOG)


def test_who_was_chosen_to_be_told_singly_stays_so() -> None:
    """However bad what comes after it is: there would be no end, and no digest."""
    manner = replace(MANNER, important="critical")
    first = [*due(*range(ROOM)), *(scanned(number, critical=1) for number in range(50, 50 + FEW))]
    _, memory = plan.decide(first, manner, Moment(NOW, ROOM), Memory())
    worse = [scanned(number, critical=9) for number in range(60, 60 + FEW)]
    items, told = [*first, *worse], list[tuple[int, ...]]()
    while items:
        step, memory = plan.decide(items, manner, Moment(NOW, ROOM), memory)
        assert isinstance(step, Parcel)
        told.append(step.ids)
        items = [item for item in items if item.id not in step.ids]
    assert told == [*((number,) for number in range(50, 50 + FEW)), (*range(ROOM), *range(60, 60 + FEW))]


def test_what_is_important_finds_its_place_again_after_a_while() -> None:
    """As many as before."""
    memory = Memory(singly=dict.fromkeys(range(MOST_IMPORTANT), NOW))
    later = due(99, kind=FAILED, since=NOW + IMPORTANT_WINDOW)
    at = Moment(NOW + IMPORTANT_WINDOW, ROOM)
    assert plan.decide(later, MANNER, at, memory)[0] == Parcel(tuple(later))


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
    assert all_told([*due(1, mode=Mode.IMPORTANT, since=LATE), *late]) == [(1,), tuple(range(10, 20))]
    many = due(*range(1, FEW + 2), mode=Mode.IMPORTANT, since=LATE)
    singly = [(number,) for number in range(1, FEW + 1)]
    assert all_told([*many, *late]) == [*singly, (FEW + 1, *range(10, 20))]


# -- a moment for what belongs together -----------------------------------------------------------


def test_a_push_waits_for_what_belongs_to_it() -> None:
    """A moment after it was recorded, and everything behind it waits too; `once` does not wait."""
    items = [*due(1, since=NOW - seconds(1)), *due(2, kind=EventType.PULL_ARTIFACT)]
    assert decide(items, SETTLING) == Rest(NOW + seconds(3), "settle")
    assert decide(items, SETTLING, is_patient=False) == Parcel(tuple(items[:1]))
    assert decide(items, SETTLING, now=NOW + seconds(3)) == Parcel(tuple(items[:1]))


def test_pulls_and_scans_do_not_settle() -> None:
    """Nothing belongs to them that is not told in their message later."""
    items = due(1, kind=EventType.PULL_ARTIFACT)
    assert decide(items, SETTLING) == Parcel(tuple(items))


def test_what_was_recorded_by_a_clock_that_was_ahead_does_not_settle() -> None:
    """It would do so for an hour."""
    items = due(1, since=NOW + timedelta(hours=1))
    assert decide(items, SETTLING) == Parcel(tuple(items))


def test_a_summary_of_a_downtime_waits_while_the_log_is_still_read() -> None:
    """Page after page: it is to be one. But not for longer than a message may be late."""
    first = due(*range(10), since=LATE)
    first = [replace(item, seen_at=NOW) for item in first]
    step, memory = plan.decide(first, SETTLING, Moment(NOW + seconds(1), ROOM), Memory())
    assert step == Rest(NOW + seconds(4), "settle")
    more = [*first, *(replace(item, seen_at=NOW) for item in due(*range(10, 20), since=LATE))]
    step, memory = plan.decide(more, SETTLING, Moment(NOW + seconds(3), ROOM), memory)
    assert step == Rest(NOW + seconds(7), "settle")
    step, _ = plan.decide(more, SETTLING, Moment(NOW + seconds(7), ROOM), memory)
    assert step == Parcel(tuple(more), Occasion.CATCH_UP)
    step, _ = plan.decide(more, SETTLING, Moment(NOW + MAX_DELAY, ROOM), replace(memory, grew_at=NOW + MAX_DELAY))
    assert step == Parcel(tuple(more), Occasion.CATCH_UP)


# -- a flood that goes on -------------------------------------------------------------------------


def test_after_a_digest_more_than_a_few_wait_for_the_next_one() -> None:
    """They are told at the end of the period, however few messages that would be."""
    items = due(*range(FEW + 1), since=NOW - seconds(20))
    digest_at = NOW - seconds(60)
    assert decide(items, digest_at=digest_at) == Rest(digest_at + MAX_DELAY, "flood")
    assert decide(items, digest_at=digest_at, now=NOW + seconds(60)) == Parcel(tuple(items), Occasion.BACKLOG)


def test_a_flood_that_has_ended_is_told_before_its_period_ends() -> None:
    """When nothing has come for as long as a message may be late; unless there may be more that is not in view."""
    items, memory, last = due(*range(99), since=NOW), Memory(period=timedelta(hours=1)), NOW - seconds(60)
    for sees_all, until in ((True, NOW + MAX_DELAY), (False, last + timedelta(hours=1))):
        moment = Moment(NOW + seconds(1), ROOM, last, sees_all=sees_all)
        assert plan.decide(items, MANNER, moment, memory)[0] == Rest(until, "flood")
    assert decide(items, digest_at=last, now=NOW + MAX_DELAY, memory=memory) == Parcel(tuple(items), Occasion.BACKLOG)


def test_a_flood_has_ended_when_all_that_waits_could_be_told_singly() -> None:
    """Once the first of it has waited for as long as a message may be late. Nothing waits for the period then."""
    items, memory, last = due(*range(FEW + 1), since=NOW), Memory(period=timedelta(hours=1)), NOW - seconds(60)
    moment = Moment(NOW + MAX_DELAY, ROOM, last)
    step, memory = plan.decide(items, MANNER, moment, memory)
    assert step == Parcel(tuple(items[:1]))
    assert memory.period is None
    assert plan.decide(items[1:], MANNER, moment, memory)[0] == Parcel(tuple(items[1:2]))


def test_after_a_digest_few_are_told_singly_once_that_is_certain() -> None:
    """The first of them waits half a minute, to see whether more follow."""
    items = due(1, 2, since=NOW - seconds(20))
    digest_at = NOW - seconds(60)
    assert decide(items, digest_at=digest_at) == Rest(NOW + seconds(10), "flood")
    assert decide(items, digest_at=digest_at, now=NOW + seconds(10)) == Parcel(tuple(items[:1]))


def test_what_is_important_does_not_wait_for_the_next_digest() -> None:
    """It is what the chat is for."""
    items = [*due(*range(FEW + 1)), *due(50, kind=FAILED)]
    assert decide(items, digest_at=NOW - seconds(60)) == Parcel(tuple(items[-1:]))


def test_without_patience_what_waits_for_the_next_digest_is_put_off() -> None:
    """`once` is not to sit there and wait; the next one tells it."""
    items = due(*range(FEW + 1))
    assert decide(items, digest_at=NOW - seconds(60), is_patient=False) == Hold(
        tuple(range(FEW + 1)), NOW + seconds(60)
    )


def test_what_came_after_the_period_is_told_as_ever() -> None:
    """The flood was over."""
    items = due(*range(FEW + 1))
    assert decide(items, digest_at=NOW - MAX_DELAY) == Parcel(tuple(items[:1]))


def test_a_flood_that_goes_on_is_told_of_ever_less_often() -> None:
    """Each period is twice the last one, up to an hour; after a quiet one it begins anew."""
    at, last, memory, periods = NOW, None, Memory(), []
    for _ in range(9):
        memory = plan.after_digest(memory, MANNER, last, at)
        period = memory.period or MAX_DELAY
        periods.append(period.total_seconds() / 60)
        last, at = at, at + period
    assert periods == [2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert plan.after_digest(memory, MANNER, last, at + timedelta(hours=1)).period is None


# -- quiet hours, and digests alone ---------------------------------------------------------------


def test_in_quiet_hours_what_is_not_important_is_put_off() -> None:
    """Until their end; important events are told."""
    midnight = datetime(2026, 11, 24, 23, tzinfo=UTC)
    manner = replace(MANNER, quiet_until=NIGHT.until)
    items = [*due(1, since=midnight), *due(2, kind=FAILED, since=midnight)]
    assert decide(items, manner, now=midnight) == Hold((1,), datetime(2026, 11, 25, 6, tzinfo=UTC))
    assert decide(items[1:], manner, now=midnight) == Parcel(tuple(items[1:]))


def test_what_came_in_quiet_hours_is_told_at_their_end() -> None:
    """Together, if it is more than a few; it does not count as late."""
    midnight, morning = datetime(2026, 11, 24, 23, tzinfo=UTC), datetime(2026, 11, 25, 6, 1, tzinfo=UTC)
    manner = replace(MANNER, quiet_until=NIGHT.until)
    items = due(*range(FEW + 1), since=midnight)
    fresh = due(50, since=morning)
    assert decide([*items, *fresh], manner, now=morning) == Parcel(tuple(items), Occasion.QUIET_HOURS)
    assert decide(items[1:], manner, now=morning) == Parcel(tuple(items[1:2]))


def test_what_came_before_the_quiet_hours_is_not_told_after_what_came_in_them() -> None:
    """If it had to wait for their end, too."""
    evening, night = datetime(2026, 11, 24, 20, tzinfo=UTC), datetime(2026, 11, 24, 23, tzinfo=UTC)
    morning = datetime(2026, 11, 25, 6, 1, tzinfo=UTC)
    items = [*due(1, since=evening), *due(*range(2, FEW + 3), since=night)]
    assert decide(items, replace(MANNER, quiet_until=NIGHT.until), now=morning) == Parcel(
        tuple(items), Occasion.QUIET_HOURS
    )


def test_a_chat_of_digests_gets_one_in_every_period() -> None:
    """Of what came in it; a single message is no digest, and what is important comes at once."""
    manner = replace(MANNER, every=timedelta(hours=1))
    items, failed = due(1, 2, since=NOW + seconds(60)), due(3, kind=FAILED, since=NOW + seconds(60))
    soon, at_turn = NOW + seconds(120), NOW + timedelta(hours=1)
    assert decide([*items, *failed], manner, now=soon) == Hold((1, 2), at_turn)
    assert decide(failed, manner, now=soon) == Parcel(tuple(failed))
    assert decide(items, manner, now=at_turn) == Parcel(tuple(items), Occasion.PERIOD)
    assert decide(items[:1], manner, now=at_turn) == Parcel(tuple(items[:1]))


# -- each for itself ------------------------------------------------------------------------------


def test_a_chat_may_want_every_event_for_itself() -> None:
    """In order: no group, no digest, no waiting."""
    manner = replace(SETTLING, is_calm=False)
    items = [*due(1, 2, since=LATE, group=f"{RUN}a"), *due(*range(3, 99), since=LATE)]
    assert all_told(items, manner, room=1) == [(number,) for number in range(1, 99)]


def test_such_a_chat_may_have_quiet_hours() -> None:
    """What they put off is told one by one afterwards."""
    manner = replace(MANNER, is_calm=False, quiet_until=NIGHT.until)
    midnight = datetime(2026, 11, 24, 23, tzinfo=UTC)
    items = due(*range(10), since=midnight)
    assert isinstance(decide(items, manner, now=midnight), Hold)
    assert decide(items, manner, now=midnight + timedelta(hours=9)) == Parcel(tuple(items[:1]))


# -- messages that grow ---------------------------------------------------------------------------


def message(age: float, touched: float) -> GroupMessage:
    return GroupMessage(7, NOW - seconds(age), NOW - seconds(touched))


def test_the_message_of_a_push_is_changed_soon() -> None:
    """People look at it while it is fresh."""
    assert plan.edit_at(f"{PUSH}a", message(600, 1)) == NOW + seconds(4)


@pytest.mark.parametrize("prefix", [PULLS, RUN])
def test_a_message_that_counts_is_changed_ever_less_often(prefix: str) -> None:
    """Half a minute after it was sent, then when it is twice as old as at the last time, at most ten minutes after."""
    assert plan.edit_at(prefix, message(10, 10)) == NOW + seconds(20)
    assert plan.edit_at(prefix, message(100, 0)) == NOW + seconds(100)
    assert plan.edit_at(prefix, message(90_000, 0)) == NOW + seconds(600)


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
    now, memory = NOW, Memory()
    while items:
        parcel, memory = plan.decide(items, MANNER, Moment(now, room), memory)
        if isinstance(parcel, Rest):
            assert parcel.until > now
            now = parcel.until
            continue
        assert isinstance(parcel, Parcel)
        assert parcel.ids
        assert list(parcel.ids) == sorted(parcel.ids)
        assert parcel.occasion or parcel.group or len(parcel.ids) == 1
        assert parcel.events == tuple(item.event for item in items if item.id in parcel.ids)
        done.extend(parcel.ids)
        items = [item for item in items if item.id not in parcel.ids]
    assert sorted(done) == all_ids
