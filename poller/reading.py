"""Where to read on in an audit log, and whether it is still the same log. Pure decisions.

Rows become visible almost in the order of their ids, but not quite (1 of 480 was late on a busy Harbor), and
their times are in no order at all. So the position is an id, ids that were skipped recently are read
again, and the newest row seen is read again every time as the witness that the log was not put back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from poller.knowledge import LONG_AGO
from poller.rows import PAGE, AuditRow
from poller.values import replace
from state import Cursor

OVERLAP = timedelta(seconds=120)
OVERLAP_ROWS = PAGE - 1
"""How many known rows are read again where skipped ids mean nothing (other projects' rows): no full page of them."""
MOST_GAP = 2000
MOST_RECENT = MOST_GAP + OVERLAP_ROWS
"""So many rows of a log are remembered."""
PROJECT_BOUND = timedelta(hours=1)
"""Beside the id, a project's log is bounded by time, or Harbor would walk through everybody's rows."""


class SeenRow(msgspec.Struct, frozen=True):
    id: int
    seen_at: datetime


class Recent(msgspec.Struct):
    """The rows of a log that were seen lately, and the last one before them, so that no poll has to ask for them.

    Good for the position at which it was left, and for no other: somebody else has written that, or the clock was set.
    What a backfill adds meanwhile is missing here, and at most read once more.
    """

    position: Cursor
    seen: dict[int, datetime]  # when each was first
    is_ours: bool = False  # whether the position is of a page that was recorded here

    @classmethod
    def of(cls, position: Cursor, rows: Iterable[SeenRow]) -> Recent:
        """`rows`: from the last one on before the first that is fresh. The position's own row is known in any case."""
        return cls(position, {position.row_id: LONG_AGO} | {row.id: row.seen_at for row in rows})

    def note(self, ids: Iterable[int], position: Cursor, now: datetime) -> None:
        """A page was recorded, and the log is read up to there."""
        self.position, self.is_ours = position, True
        for number in ids:
            self.seen.setdefault(number, now)
        if len(self.seen) > 2 * MOST_RECENT:
            self.seen = {number: self.seen[number] for number in sorted(self.seen)[-MOST_RECENT:]}

    def knows(self, row: AuditRow) -> bool:
        """Whether it is the witness, which need not be looked up: an idle poll reads nothing else."""
        return self.is_ours and row.id == self.position.row_id and row.op_time == self.position.op_time

    def rows(self) -> list[SeenRow]:
        """From the last row on before the first that is fresh, ascending by id. What is before that is forgotten."""
        since = self.position.polled_at - OVERLAP
        first = min((number for number, at in self.seen.items() if at >= since), default=None)
        last = self.position.row_id
        before = last if first is None else max((number for number in self.seen if number < first), default=first)
        self.seen = {number: self.seen[number] for number in sorted(self.seen) if number >= before}
        return [SeenRow(number, at) for number, at in self.seen.items()]


def first_id(cursor: Cursor, recent: Sequence[SeenRow], *, sees_every_row: bool) -> int:
    """The id to read from: at most the newest row seen, so that it is in the answer as the witness.

    `recent`: the newest known rows, ascending by id. Where every row is seen, only an id that is missing
    among those of the last two minutes is worth reading again.
    """
    rows = [row for row in recent if cursor.floor_id < row.id <= cursor.row_id]
    fresh = [row.id for row in rows if row.seen_at >= cursor.polled_at - OVERLAP]
    if not fresh:
        return cursor.row_id
    if not sees_every_row:
        again = fresh[-OVERLAP_ROWS:][0]
        return again if again > fresh[0] else _lowest(cursor, rows, again, again)
    known = {row.id for row in rows}
    lowest = _lowest(cursor, rows, fresh[0], cursor.row_id)
    return next((i for i in range(lowest, cursor.row_id) if i not in known), cursor.row_id)


def _lowest(cursor: Cursor, rows: Sequence[SeenRow], first_fresh: int, newest: int) -> int:
    """The lowest id that may have been skipped: after the last row that is known from before."""
    before = [row.id for row in rows if row.id < first_fresh]
    lowest = before[-1] if before else cursor.floor_id
    return max(lowest + 1, newest - MOST_GAP)


def is_changed(cursor: Cursor, rows: Sequence[AuditRow]) -> bool | None:
    """Whether the log is another one than we knew. None: this page does not tell yet."""
    if cursor.op_time is None or not cursor.row_id:
        return False
    if any(row.id == cursor.row_id and row.op_time == cursor.op_time for row in rows):
        return False
    is_passed = len(rows) < PAGE or rows[-1].id >= cursor.row_id
    return True if is_passed else None


def advanced(cursor: Cursor, rows: Sequence[AuditRow]) -> Cursor:
    """The position after these rows."""
    newest = max(rows, key=lambda row: row.id, default=None)
    if newest is None or newest.id <= cursor.row_id:
        return cursor
    return replace(cursor, row_id=newest.id, op_time=newest.op_time)


def lower_bound(cursor: Cursor, *, is_project: bool) -> datetime | None:
    """The time bound to send beside the id, if any."""
    return cursor.op_time - PROJECT_BOUND if is_project and cursor.op_time is not None else None
