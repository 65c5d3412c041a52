"""A window of time is walked through without deep pages, whatever is purged or written meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller import walk
from poller.errors import HarborUnreachable
from poller.events import Source
from poller.queries import NEVER
from poller.rows import PAGE, AuditRow

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def rows_at(*seconds: float) -> list[AuditRow]:
    """Rows with ids from 1 on, so many seconds after noon."""
    return [
        AuditRow(id=number, op_time=NOON + timedelta(seconds=after), table=Source.NEW_LOG)
        for number, after in enumerate(seconds, 1)
    ]


class Log:
    """Answers as Harbor does. `on_answer` is what happens in Harbor after each answer."""

    def __init__(self, rows: list[AuditRow], on_answer: Callable[[Log], object] = lambda _: None) -> None:
        self.rows = rows
        self.asked: list[tuple[datetime, int]] = []
        self._on_answer = on_answer

    def __call__(self, start: datetime, page: int) -> tuple[AuditRow, ...]:
        self.asked.append((start, page))
        whole_second = start.replace(microsecond=0)
        found = sorted((row for row in self.rows if row.op_time >= whole_second), key=lambda r: (r.op_time, r.id))
        answer = tuple(found[(page - 1) * PAGE : page * PAGE])
        self._on_answer(self)
        return answer


def walked(log: Log, size: int = PAGE) -> list[int]:
    """The ids that came, in order."""
    return [row.id for batch in walk.in_batches(walk.new_rows(log, NOON), size) for row in batch]


@given(st.lists(st.floats(0, 40, allow_nan=False), max_size=700))
def test_every_row_comes_once_and_in_order(seconds: list[float]) -> None:
    """However they lie: thinly, or several pages of them in a second."""
    log = Log(rows_at(*sorted(seconds)))
    assert walked(log) == [row.id for row in log.rows]


def test_pages_go_by_number_only_within_a_second() -> None:
    """250 rows of one second are three pages; a second with less is asked for again from its beginning."""
    log = Log(rows_at(*[1.0] * 250, *[n / 10 + 2 for n in range(150)]))
    assert walked(log) == list(range(1, 401))
    assert [page for _, page in log.asked] == [1, 1, 2, 3, 1, 1]
    assert [start for start, _ in log.asked][-1] > NOON + timedelta(seconds=5)


def test_rows_that_are_purged_meanwhile_take_no_others_with_them() -> None:
    """By number, the page after a purge of a hundred rows would be the one after the next."""

    def purge_what_was_read(log: Log) -> None:
        log.rows = [row for row in log.rows if row.op_time >= log.asked[-1][0] + timedelta(seconds=40)]

    assert walked(Log(rows_at(*range(300)), purge_what_was_read)) == list(range(1, 301))


def test_rows_that_appear_meanwhile_repeat_none() -> None:
    """A late row between those that were read moves the others to later places."""

    def write_a_late_row(log: Log) -> None:
        late = AuditRow(id=1000 + len(log.asked), op_time=NOON, table=Source.NEW_LOG)
        log.rows = [*log.rows, late]

    came = walked(Log(rows_at(*range(300)), write_a_late_row))
    assert came == list(range(1, 301))


def test_a_row_without_a_readable_time_stops_nothing() -> None:
    """It has the beginning of time, also as the last of a page; it comes once."""
    odd = AuditRow(id=1000, op_time=datetime(1970, 1, 1, tzinfo=UTC), table=Source.NEW_LOG, raw="{}")
    rows = rows_at(*range(150))

    def answer(start: datetime, page: int) -> tuple[AuditRow, ...]:
        found = [row for row in (*rows[:99], odd, *rows[99:]) if row is odd or row.op_time >= start]
        return tuple(found[(page - 1) * PAGE : page * PAGE]) if start == NOON else tuple(found[1:])

    assert sorted(row.id for answer_ in walk.new_rows(answer, NOON) for row in answer_) == [*range(1, 151), 1000]


def test_only_the_last_batch_is_not_full() -> None:
    """Whoever gets one takes the window for read; where the rows come out even it is empty."""
    sizes = [len(batch) for batch in walk.in_batches(iter([tuple(rows_at(*range(130)))] * 2), 65)]
    assert sizes == [65, 65, 65, 65, 0]


def test_the_time_until_now_is_cut_into_closed_windows() -> None:
    """Hours, or a hundredth of what is longer than a hundred; clocks that are ahead have one for themselves."""
    hours = list(walk.windows(NOON, NOON + timedelta(hours=2.5)))
    assert [end - start for start, end in hours[:-1]] == [timedelta(hours=1), timedelta(hours=1), timedelta(hours=0.5)]
    assert hours[-1] == (NOON + timedelta(hours=2.5), NEVER)
    assert len(list(walk.windows(NOON, NOON + timedelta(days=365)))) <= walk.MOST_WINDOWS + 2


# -- several pages at once --------------------------------------------------------------------------


def a_page(first: int, count: int = PAGE) -> tuple[AuditRow, ...]:
    return tuple(AuditRow(id=first + number, op_time=NOON, table=Source.NEW_LOG) for number in range(count))


def test_pages_are_gathered_up_to_the_last_one() -> None:
    """Each row once and in its place; a page that is not full is the end, even if it is empty."""
    pages = [a_page(1), a_page(101), a_page(201), a_page(301, 7)]
    found = list(walk.gathered(pages, 2 * PAGE))
    assert [(len(rows), is_last) for rows, is_last in found] == [(200, False), (107, True)]
    assert [row.id for rows, _ in found for row in rows] == list(range(1, 308))
    assert [is_last for _, is_last in walk.gathered([a_page(1), ()], 2 * PAGE)] == [True]
    assert list(walk.gathered([a_page(1)], 2 * PAGE)) == [(a_page(1), False)]  # whoever reads was stopped


def test_what_was_read_before_a_question_failed_comes_first() -> None:
    """So that a Harbor which fails at every tenth page is still read to the end."""

    def pages() -> Iterator[tuple[AuditRow, ...]]:
        yield a_page(1)
        raise HarborUnreachable("it is away")

    found = walk.gathered(pages(), 10 * PAGE)
    assert next(found) == (a_page(1), False)
    with pytest.raises(HarborUnreachable):
        next(found)
