"""Through a window of an audit log, oldest first, without deep pages. Pure but for the asking, which is handed in.

Harbor reads a deep page from the first row on, and counts all rows that match for every answer. Rows that are
purged meanwhile move the following ones to other pages, and whoever goes by number loses them. So each question begins
at the second of the last row; what was seen of that second is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import chain

from poller.errors import PollerError
from poller.queries import NEVER
from poller.rows import PAGE, AuditRow

HOUR = timedelta(hours=1)
MOST_WINDOWS = 100

Ask = Callable[[datetime, int], tuple[AuditRow, ...]]
"""(start, number of the page) -> the rows from there to the end of the window, by time."""


def new_rows(ask: Ask, start: datetime) -> Iterator[tuple[AuditRow, ...]]:
    """Each row once, answer by answer; only where a second fills a page are pages asked for by number."""
    seen, page = frozenset[tuple[int, datetime]](), 1
    while True:
        rows = ask(start, page)
        yield tuple(row for row in rows if (row.id, row.op_time) not in seen)
        if len(rows) < PAGE:
            return
        following = _second_of_last(rows)
        if following > start:
            start, page, seen = following, 1, frozenset()
        else:
            page += 1
        seen |= {(row.id, row.op_time) for row in rows if row.raw or row.op_time >= following}


def in_batches(answers: Iterable[tuple[AuditRow, ...]], size: int) -> Iterator[tuple[AuditRow, ...]]:
    """The same rows, so many at once. A batch that is not full is the last; it may be empty."""
    rest: tuple[AuditRow, ...] = ()
    for rows in answers:
        rest += rows
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    yield rest


def gathered(pages: Iterable[tuple[AuditRow, ...]], most: int) -> Iterator[tuple[tuple[AuditRow, ...], bool]]:
    """The rows of several pages at once, about so many, and whether the last of them ended the log.

    When a question fails, what was read before it comes first.
    """
    rest = list[tuple[AuditRow, ...]]()
    try:
        for page in pages:
            rest.append(page)
            if len(page) < PAGE or len(rest) * PAGE >= most:
                yield tuple(chain.from_iterable(rest)), len(page) < PAGE
                rest.clear()
    except PollerError:
        if rest:
            yield tuple(chain.from_iterable(rest)), False
        raise
    if rest:
        yield tuple(chain.from_iterable(rest)), False


def windows(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Closed windows from `start` on: hours, where these are few, and one for what clocks ahead of ours wrote."""
    span = max(HOUR, (end - start) / MOST_WINDOWS)
    while start < end:
        yield start, min(start + span, end)
        start += span
    yield end, NEVER


def _second_of_last(rows: tuple[AuditRow, ...]) -> datetime:
    """Filters compare whole seconds. A row whose time cannot be read says nothing."""
    last = max(row.op_time for row in rows)
    return last - timedelta(microseconds=last.microsecond)
