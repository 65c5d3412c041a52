"""Where to read on in an audit log: no row is missed, however late it shows itself, and a changed log is noticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poller import reading
from poller.events import Source
from poller.reading import MOST_RECENT, OVERLAP, OVERLAP_ROWS, PROJECT_BOUND, Recent, SeenRow
from poller.rows import PAGE, AuditRow
from poller.values import replace
from state import Cursor

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LONG_AGO, JUST_NOW = NOW - timedelta(hours=1), NOW - SECOND


def cursor(row_id: int, floor_id: int = 0, op_time: datetime | None = NOW) -> Cursor:
    return Cursor("audit_log_ext", row_id, op_time, floor_id, polled_at=NOW, created_at=LONG_AGO)


def seen(*ids: int, at: datetime = JUST_NOW) -> list[SeenRow]:
    return [SeenRow(number, at) for number in ids]


def row(number: int, op_time: datetime = NOW) -> AuditRow:
    return AuditRow(id=number, op_time=op_time, table=Source.NEW_LOG)


def rows(*ids: int) -> tuple[AuditRow, ...]:
    return tuple(row(number) for number in ids)


# -- where to begin ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sees_every_row", [True, False])
def test_a_silent_log_is_read_from_its_newest_row(sees_every_row: bool) -> None:
    """The newest row known is the witness that the log is the same; what was seen long ago is not read again."""
    assert reading.first_id(cursor(9), seen(7, 9, at=LONG_AGO), sees_every_row=sees_every_row) == 9
    assert reading.first_id(cursor(9, 9), [], sees_every_row=sees_every_row) == 9
    assert reading.first_id(cursor(0, 0), [], sees_every_row=sees_every_row) == 0


def test_without_a_gap_nothing_is_read_again() -> None:
    """Where every row is seen, ids that follow each other leave no room for a late one."""
    recent = [*seen(4, 5, at=LONG_AGO), *seen(6, 7, 8)]
    assert reading.first_id(cursor(8), recent, sees_every_row=True) == 8


def test_a_skipped_id_is_read_again_for_two_minutes() -> None:
    """Its row may still show itself; after that the number was lost by a rolled-back insert."""
    recent = [*seen(4, at=LONG_AGO), *seen(5, 7, 8)]
    assert reading.first_id(cursor(8), recent, sees_every_row=True) == 6
    passed = [SeenRow(number, NOW - OVERLAP - SECOND) for number in (5, 7, 8)]
    assert reading.first_id(cursor(8), [*seen(4, at=LONG_AGO), *passed], sees_every_row=True) == 8


def test_an_id_skipped_just_before_the_fresh_rows_counts() -> None:
    """The first fresh row may be the one that overtook it."""
    assert reading.first_id(cursor(9), [*seen(5, at=LONG_AGO), *seen(7, 8, 9)], sees_every_row=True) == 6
    assert reading.first_id(cursor(9), [*seen(5, at=LONG_AGO), *seen(7, 8, 9)], sees_every_row=False) == 6


def test_old_gaps_are_not_read_again() -> None:
    """Numbers that were skipped before the last two minutes stay skipped."""
    recent = [*seen(2, 5, at=LONG_AGO), *seen(6, 7)]
    assert reading.first_id(cursor(7), recent, sees_every_row=True) == 7


def test_what_was_seen_lately_is_remembered_from_poll_to_poll() -> None:
    """With the last row before it, so that nobody has to be asked where the known ids end."""
    recent = Recent.of(cursor(5), seen(3, at=LONG_AGO))
    recent.note([7, 8], cursor(8), NOW)
    assert [each.id for each in recent.rows()] == [5, 7, 8]
    assert reading.first_id(cursor(8), recent.rows(), sees_every_row=True) == 6
    recent.note([6], cursor(8), NOW + SECOND)
    assert reading.first_id(cursor(8), recent.rows(), sees_every_row=True) == 8
    recent.note([], later := replace(cursor(8), polled_at=NOW + 2 * OVERLAP), NOW + 2 * OVERLAP)
    assert [each.id for each in recent.rows()] == [8]
    assert reading.first_id(later, recent.rows(), sees_every_row=True) == 8


def test_only_a_row_that_was_recorded_here_is_known_without_a_look() -> None:
    """The position may be another process's, and so its row."""
    recent = Recent.of(cursor(8), ())
    assert not recent.knows(row(8))
    recent.note([], cursor(8), NOW)
    assert recent.knows(row(8))
    assert not recent.knows(row(8, NOW + SECOND))
    assert not recent.knows(row(7))


def test_a_long_backlog_is_not_kept_in_memory() -> None:
    """The newest rows are enough to know which ids are missing."""
    recent = Recent.of(cursor(0), ())
    for first in range(1, 100_001, PAGE):
        ids = range(first, first + PAGE)
        recent.note(ids, cursor(ids[-1]), NOW)
    assert len(recent.seen) <= 2 * MOST_RECENT
    assert reading.first_id(cursor(100_000), recent.rows(), sees_every_row=True) == 100_000


def test_rows_from_before_the_first_run_are_not_read() -> None:
    """Up to the floor nothing was recorded, and that is no gap."""
    assert reading.first_id(cursor(12, floor_id=10), seen(11, 12), sees_every_row=True) == 12
    assert reading.first_id(cursor(12, floor_id=10), seen(12), sees_every_row=True) == 11
    assert reading.first_id(cursor(12, floor_id=10), seen(12), sees_every_row=False) == 11


def test_where_other_rows_are_hidden_the_newest_rows_are_read_again() -> None:
    """A gap means nothing there, so up to a page of known rows is read again."""
    assert reading.first_id(cursor(90), [*seen(10, at=LONG_AGO), *seen(20, 50, 90)], sees_every_row=False) == 11
    many = range(1000, 3000, 10)
    again = reading.first_id(cursor(2990), seen(*many), sees_every_row=False)
    assert again == many[-OVERLAP_ROWS]


@pytest.mark.parametrize("sees_every_row", [True, False])
def test_a_huge_gap_is_not_read_again_as_a_whole(sees_every_row: bool) -> None:
    """A restored sequence may jump by millions; Harbor would count them at every poll."""
    recent = [*seen(10, at=LONG_AGO), *seen(5_000_000)]
    first = reading.first_id(cursor(5_000_000), recent, sees_every_row=sees_every_row)
    assert first == 5_000_000 - reading.MOST_GAP


@given(
    st.lists(st.integers(1, 3000), unique=True).map(sorted),
    st.integers(0, 3000),
    st.integers(0, 3000),
    st.lists(st.booleans(), min_size=1),
    st.booleans(),
)
def test_the_witness_is_always_in_the_answer(
    ids: list[int], one: int, other: int, are_fresh: list[bool], sees_every_row: bool
) -> None:
    """Whatever was seen when, reading begins at or before the newest row known, and above the floor."""
    floor, position = sorted((one, other))
    recent = [SeenRow(number, JUST_NOW if are_fresh[number % len(are_fresh)] else LONG_AGO) for number in ids]
    first = reading.first_id(cursor(position, floor), recent, sees_every_row=sees_every_row)
    assert floor <= first <= position
    assert first > floor or first == position


# -- no row is missed -------------------------------------------------------------------------------


@dataclass
class Log:
    """An audit log whose rows show themselves when they like. `hidden` ids are other projects' rows."""

    visible_at: dict[int, datetime]
    hidden: frozenset[int] = frozenset()

    def rows_from(self, first_id: int, now: datetime) -> list[AuditRow]:
        visible = sorted(
            number
            for number, at in self.visible_at.items()
            if number >= first_id and at <= now and number not in self.hidden
        )
        return list(rows(*visible[:PAGE]))


@dataclass
class Reader:
    """Polls as `jobs` does: from the first id on, page by page; what is known is left alone."""

    sees_every_row: bool
    cursor: Cursor = field(default_factory=lambda: cursor(0))
    seen: dict[int, datetime] = field(default_factory=dict)

    def poll(self, log: Log, now: datetime) -> None:
        recent = [SeenRow(number, at) for number, at in sorted(self.seen.items())]
        start = reading.first_id(self.cursor, recent, sees_every_row=self.sees_every_row)
        while True:
            page = log.rows_from(start, now)
            for row in page:
                self.seen.setdefault(row.id, now)
            self.cursor = reading.advanced(self.cursor, page)
            if len(page) < PAGE:
                break
            start = page[-1].id + 1
        self.cursor = replace(self.cursor, polled_at=now)


delays = st.lists(st.integers(0, 119), min_size=1, max_size=120)
pauses = st.lists(st.integers(1, 400), min_size=1, max_size=20)


def late_log(delays: Sequence[int], ids: Sequence[int], spread: int, hidden: frozenset[int] = frozenset()) -> Log:
    """Row after row is written, `spread` of them a second; each shows itself after its own delay."""
    written = {number: NOW + SECOND * (place // spread) for place, number in enumerate(ids)}
    return Log(
        {number: at + delay * SECOND for (number, at), delay in zip(written.items(), delays, strict=True)}, hidden
    )


@settings(max_examples=60)
@given(delays, pauses, st.integers(1, 10), st.sets(st.integers(1, 200), max_size=20))
def test_whoever_sees_every_row_misses_none(delays: list[int], pauses: list[int], spread: int, lost: set[int]) -> None:
    """Rows that show themselves up to two minutes late, in any order, with any pauses between the polls.

    Some numbers are never used: their inserts were rolled back.
    """
    ids = [number for number in range(1, 400) if number not in lost][: len(delays)]
    log = late_log(delays, ids, spread)
    assert poll_to_the_end(Reader(sees_every_row=True), log, pauses) == set(ids)


@settings(max_examples=60)
@given(delays.filter(lambda them: len(them) <= OVERLAP_ROWS), pauses, st.integers(1, 10), st.integers(1, 15))
def test_whoever_sees_some_rows_misses_none_of_them(
    delays: list[int], pauses: list[int], spread: int, step: int
) -> None:
    """A project's own log, where other projects' rows lie between, up to a page of rows in two minutes."""
    ids = range(step, step * (len(delays) + 1), step)
    log = late_log(delays, ids, spread)
    assert poll_to_the_end(Reader(sees_every_row=False), log, pauses) == set(ids)


def poll_to_the_end(reader: Reader, log: Log, pauses: Sequence[int]) -> set[int]:
    """Poll with these pauses, again and again, until every row has shown itself; what was seen then."""
    now, end = NOW, max(log.visible_at.values())
    turn = 0
    while now <= end:
        reader.poll(log, now)
        now += SECOND * pauses[turn % len(pauses)]
        turn += 1
    reader.poll(log, now)
    return set(reader.seen)


def test_a_late_row_is_seen_although_the_row_after_it_came_first() -> None:
    """As on a busy Harbor: 1 of 480 rows showed itself after a higher id had been seen."""
    for sees_every_row in (True, False):
        reader = Reader(sees_every_row)
        log = Log({1: LONG_AGO, 2: NOW + SECOND, 3: NOW})
        reader.poll(log, LONG_AGO)
        reader.poll(log, NOW)
        assert set(reader.seen) == {1, 3}
        reader.poll(log, NOW + SECOND)
        assert set(reader.seen) == {1, 2, 3}


@pytest.mark.parametrize("sees_every_row", [True, False])
@pytest.mark.parametrize("pause", [1, 7, 60, 119, 400])
def test_a_row_may_be_two_minutes_late(pause: int, sees_every_row: bool) -> None:
    """However often is polled meanwhile."""
    log = Log({1: LONG_AGO, 2: NOW + OVERLAP - SECOND, 3: NOW})
    reader = Reader(sees_every_row)
    reader.poll(log, LONG_AGO)
    for seconds in range(0, 1000, pause):
        reader.poll(log, NOW + seconds * SECOND)
    assert set(reader.seen) == {1, 2, 3}
    assert OVERLAP.total_seconds() >= 120


# -- whether it is still the same log ---------------------------------------------------------------


def test_a_log_that_still_has_our_newest_row_is_the_same() -> None:
    """By id and time; what comes after it is news."""
    assert reading.is_changed(cursor(5), rows(3, 5, 8)) is False


@pytest.mark.parametrize("answer", [(), rows(6, 7), rows(3, 4), (row(5, NOW - SECOND),)])
def test_a_log_without_our_newest_row_is_another_one(answer: tuple[AuditRow, ...]) -> None:
    """Purged, put back from a backup, or no longer shown to us: an id that came again at another time counts too."""
    assert reading.is_changed(cursor(5), answer) is True


def test_a_full_page_that_ends_before_our_newest_row_does_not_tell() -> None:
    """The next page will."""
    page = rows(*range(1, PAGE + 1))
    assert reading.is_changed(cursor(PAGE + 1), page) is None
    assert reading.is_changed(cursor(PAGE), page) is False
    assert reading.is_changed(cursor(PAGE, op_time=LONG_AGO), page) is True


@pytest.mark.parametrize("unknown", [cursor(0, op_time=None), cursor(7, op_time=None), cursor(0)])
def test_without_a_witness_nothing_can_have_changed(unknown: Cursor) -> None:
    """A log that was empty, or a position that was concluded from other logs."""
    assert reading.is_changed(unknown, ()) is False
    assert reading.is_changed(unknown, rows(1, 2)) is False


# -- going on ---------------------------------------------------------------------------------------


def test_the_position_moves_to_the_highest_id() -> None:
    """Not to the last row or the latest time: neither is in order when pages are read by time."""
    moved = reading.advanced(cursor(5), (row(6), row(9, LONG_AGO), row(7)))
    assert (moved.row_id, moved.op_time) == (9, LONG_AGO)
    assert replace(moved, row_id=5, op_time=NOW) == cursor(5)


@pytest.mark.parametrize("page", [(), rows(3, 4), rows(5), (row(5, LONG_AGO),)])
def test_the_position_never_moves_back(page: tuple[AuditRow, ...]) -> None:
    """Rows that are read again leave it where it is."""
    assert reading.advanced(cursor(5), page) == cursor(5)


def test_a_project_is_bounded_by_time_too() -> None:
    """Or Harbor would walk through everybody's rows; an hour is far more than rows are ever late."""
    assert reading.lower_bound(cursor(5), is_project=True) == NOW - PROJECT_BOUND
    assert PROJECT_BOUND > OVERLAP
    assert reading.lower_bound(cursor(5), is_project=False) is None
    assert reading.lower_bound(cursor(5, op_time=None), is_project=True) is None
