"""Where to read on in an audit log, and whether it is still the same log. Pure decisions.

Rows become visible almost in the order of their ids, but not quite (1 of 480 was late on a busy Harbor), and
their times are in no order at all. So the position is an id, ids that were skipped recently are read
again, and the newest row seen is read again every time as the witness that the log was not put back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from poller.rows import PAGE, AuditRow
from state import Cursor

OVERLAP = timedelta(seconds=120)
OVERLAP_ROWS = PAGE - 1
"""How many known rows are read again where skipped ids mean nothing (other projects' rows): no full page of them."""
MOST_GAP = 2000
PROJECT_BOUND = timedelta(hours=1)
"""Beside the id, a project's log is bounded by time, or Harbor would walk through everybody's rows."""


@dataclass(frozen=True, slots=True)
class SeenRow:
    id: int
    seen_at: datetime


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
