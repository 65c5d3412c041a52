"""How fast we may speak, and how long we wait after a failure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller import backoff
from poller.pacing import BOT, GROUP, PRIVATE, Limits, Window, limits_for, room, wait, wait_to_edit

MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TELEGRAM_PER_MINUTE = 20  # in a group: the twentieth is still taken
TELEGRAM_PER_SECOND = 30  # of the bot
TELEGRAM_BURST = 5  # in a chat that takes one a second: so many in so many seconds

delays = st.floats(0, 90, allow_nan=False)
limits = st.sampled_from([GROUP, PRIVATE, BOT, Limits((Window(1, timedelta(seconds=0.3)), Window(5, MINUTE)))])


def ago(*seconds: float) -> tuple[datetime, ...]:
    return tuple(NOW - timedelta(seconds=second) for second in seconds)


def busiest(times: list[datetime], window_s: float) -> int:
    """The most messages in any window of that length, both ends included."""
    window = timedelta(seconds=window_s)
    return max((sum(start <= time <= start + window for time in times) for start in times), default=0)


def schedule(delays_before: list[float], limits: Limits) -> list[datetime]:
    """When messages go that become due so long after the one before, if each waits as `wait` says."""
    sent: list[datetime] = []
    now = NOW
    for delay in delays_before:
        now += timedelta(seconds=delay)
        now += timedelta(seconds=wait(sent, now, limits))
        sent.append(now)
    return sent


@given(st.lists(st.one_of(st.just(0.0), delays), max_size=80))
def test_no_schedule_ever_reaches_telegrams_limits_in_a_group(delays_before: list[float]) -> None:
    """Whatever comes due when: at most 20 in any 60 s, both ends included, and 5 in any 5."""
    sent = schedule(delays_before, GROUP)
    assert busiest(sent, 60.9) <= TELEGRAM_PER_MINUTE
    assert busiest(sent, 5) <= TELEGRAM_BURST
    assert all(later - earlier >= timedelta(seconds=0.8) for earlier, later in pairwise(sent))


@given(st.lists(st.one_of(st.just(0.0), delays), max_size=80))
def test_no_schedule_is_faster_than_a_message_a_second_in_a_private_chat(delays_before: list[float]) -> None:
    """A person's chat has no limit by the minute, but one by the second; not each single second counts."""
    sent = schedule(delays_before, PRIVATE)
    assert busiest(sent, 5) <= TELEGRAM_BURST
    assert all(later - earlier >= timedelta(seconds=0.8) for earlier, later in pairwise(sent))


@given(st.lists(st.floats(0, 0.1, allow_nan=False), max_size=80))
def test_no_schedule_is_faster_than_the_bot_may_be(delays_before: list[float]) -> None:
    """To all chats together: at most 30 in any second."""
    assert busiest(schedule(delays_before, BOT), 1) <= TELEGRAM_PER_SECOND


@given(st.lists(delays, max_size=80), delays, limits)
def test_waiting_is_never_longer_than_needed(delays_before: list[float], pause: float, limits: Limits) -> None:
    """A microsecond earlier, one of the limits would have been broken."""
    sent = schedule(delays_before, limits)
    now = (sent[-1] if sent else NOW) + timedelta(seconds=pause)
    seconds = wait(sent, now, limits)
    if seconds > 0:
        early = now + timedelta(seconds=seconds) - timedelta(microseconds=1)
        full = [sum(early - window.length < time for time in sent) >= window.most for window in limits.windows]
        assert any(full)


@given(st.lists(delays, max_size=40), st.floats(0, 600, allow_nan=False), limits)
def test_room_is_what_can_really_be_sent(delays_before: list[float], window_s: float, limits: Limits) -> None:
    """Sending as fast as `wait` allows ends the window with exactly so many messages."""
    history = schedule(delays_before, limits)
    now = history[-1] if history else NOW
    end = now + timedelta(seconds=window_s)
    sent = list(history)
    while now + timedelta(seconds=wait(sent, now, limits)) <= end:
        now += timedelta(seconds=wait(sent, now, limits))
        sent.append(now)
    start = history[-1] if history else NOW
    assert room(history, start, window_s, limits) == len(sent) - len(history)


def test_first_message_goes_at_once() -> None:
    """An idle chat costs no waiting."""
    assert wait((), NOW, GROUP) == 0
    assert wait(ago(300, 200), NOW, GROUP) == 0


def test_second_message_waits_for_most_of_a_second() -> None:
    """A quarter of a second after a message."""
    assert wait(ago(0.25), NOW, GROUP) == 0.55


def test_sixth_message_waits_for_five_seconds_to_pass() -> None:
    """What was a little early for each single second is made up for."""
    assert wait(ago(4.2, 3.4, 2.6, 1.8, 1), NOW, PRIVATE) == 0.85
    assert wait(ago(4.2, 3.4, 2.6, 1.8), NOW, PRIVATE) == 0


def test_twenty_first_message_waits_for_the_minute_to_pass() -> None:
    """Twenty in the last 50 s: the oldest must become a minute old, and a second for clocks that do not go alike."""
    assert wait(ago(*range(50, 10, -2)), NOW, GROUP) == 11


def test_thirty_first_message_of_a_bot_waits_for_the_second_to_pass() -> None:
    """Whatever the chats are."""
    assert wait(ago(*[0.5] * 30), NOW, BOT) == 0.52
    assert wait(ago(*[0.5] * 29), NOW, BOT) == 0


def test_order_of_the_history_does_not_matter() -> None:
    """The state gives it ascending, but nothing depends on that."""
    assert wait(ago(0.25, 30, 2), NOW, GROUP) == wait(ago(30, 2, 0.25), NOW, GROUP)


def test_clock_that_was_set_back_does_not_silence_the_chat() -> None:
    """Times an hour ahead are of a wrong clock; Telegram's 429 remains as the guard."""
    assert wait(ago(-3600, -3601), NOW, GROUP) == 0


def test_answer_that_came_after_now_was_taken_counts() -> None:
    """Telegram may take seconds to answer: a time slightly ahead is a real one."""
    assert wait(ago(-3), NOW, GROUP) == 3.8


@pytest.mark.parametrize(("window_s", "fitting"), [(0, 1), (0.5, 1), (1, 2), (10, 10), (59, 20), (61, 21), (600, 200)])
def test_room_in_an_idle_group(window_s: float, fitting: int) -> None:
    """One at once, one a second, and twenty in 61 s in the long run."""
    assert room((), NOW, window_s, GROUP) == fitting


def test_room_counts_what_was_just_sent() -> None:
    """Twenty a moment ago leave nothing for the next half minute."""
    assert room(ago(*range(20)), NOW, 30, GROUP) == 0


@pytest.mark.parametrize(
    ("chat_id", "expected"),
    [(42, PRIVATE), ("42", PRIVATE), (-100123, GROUP), ("-100123", GROUP), ("@releases", GROUP)],
)
def test_limits_follow_the_kind_of_chat(chat_id: int | str, expected: Limits) -> None:
    """Only a person's chat, with its positive id, does without the limit by the minute."""
    assert limits_for(chat_id) is expected


@pytest.mark.parametrize(("limits", "granted"), [(GROUP, TELEGRAM_PER_MINUTE), (PRIVATE, 60), (BOT, 1800)])
def test_pace_stays_below_telegrams_and_uses_what_it_grants(limits: Limits, granted: int) -> None:
    """A little is left for clocks that do not go alike; not more."""
    assert 0.98 * granted <= limits.per_minute < granted


def test_edits_leave_room_for_what_is_new() -> None:
    """A dozen in the last minute: the oldest must become a minute old before a message is edited."""
    assert wait_to_edit(ago(*range(24, 0, -2)), NOW, GROUP) == 36
    assert wait_to_edit(ago(*range(22, 0, -2)), NOW, GROUP) == 0
    assert wait_to_edit(ago(0.25), NOW, GROUP) == 0.55


@pytest.mark.parametrize(("attempt", "seconds"), [(0, 2), (1, 4), (2, 8), (5, 64), (8, 300), (10**6, 300), (-1, 2)])
def test_pause_doubles_up_to_its_most(attempt: int, seconds: float) -> None:
    """The first failure waits `first`; no number of failures overflows."""
    assert backoff.pause(attempt, first=2, most=300) == seconds


@given(st.integers(0, 500), st.floats(0.1, 60), st.floats(60, 3600), st.floats(1, 5))
def test_pause_never_shrinks_and_never_exceeds_its_most(attempt: int, first: float, most: float, factor: float) -> None:
    """Growing failures, growing pauses."""
    pause = backoff.pause(attempt, first=first, most=most, factor=factor)
    assert first <= pause <= most
    assert pause <= backoff.pause(attempt + 1, first=first, most=most, factor=factor)
