"""A state of any size in little time: the product records and tells a first block of the log, the database copies that.

Each copy is a later stretch of the same log: its rows have higher numbers, later times, and tags and digests of their
own where the first block's were new. Tables and columns are taken from the schema, whatever they are by now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy
from sqlalchemy import (
    Column,
    Connection,
    Interval,
    MetaData,
    String,
    Table,
    case,
    cast,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)

from bench.log import RowLog
from poller.events import EventType
from poller.values import replace
from state import DeliveryState, Store
from state import schema as t

_COPIED = (t.events, t.deliveries, t.known_tags, t.threads)
_PRAGMAS = ("journal_mode = OFF", "synchronous = OFF", "cache_size = -200000")


@dataclass(frozen=True, slots=True)
class _Copy:
    """`ids`: how many the first block has, by table. `rows`: how far on in the log this copy is."""

    number: int
    ids: Mapping[str, int]
    rows: int
    later: timedelta
    is_file: bool

    def of(self, table: str, column: Column[Any], row: Mapping[str, Column[Any]]) -> Any:
        if isinstance(column.type, t.UtcTime):
            return self._time(column)
        match column.name:
            case "source_id":
                return column + self.rows
            case "event_id" | "follows":
                return column + self.number * self.ids[t.events.name]
            case "id" | "message_id":
                return column + self.number * self.ids[table]
            case "key" | "group" | "about":
                return column + literal(f".{self.number}")
            case "tag":
                return case((column.like("build-%"), column + literal(f".{self.number}")), else_=column)
            case "digest" if "tag" in row:
                is_deleted = row["type"] == EventType.DELETE_ARTIFACT if "type" in row else false()
                is_new = or_(row["tag"].like("build-%"), is_deleted)
                return case((is_new, literal(f"sha256:{self.number:08x}") + func.substr(column, 16)), else_=column)
        return column

    def _time(self, column: Column[Any]) -> Any:
        if self.is_file:  # SQLite keeps times as text, with microseconds
            later = f"{self.later.total_seconds():+.3f} seconds"
            return func.strftime("%Y-%m-%d %H:%M:%f000", column, later)
        return column + literal(self.later, Interval)


def tell_all(url: str) -> None:
    """What waits was told when it happened, the first of each group by a message; rows were seen then, too."""
    d, when = t.deliveries.c, select(t.events.c.occurred_at).where(t.events.c.id == t.deliveries.c.event_id)
    firsts = select(func.min(d.id)).group_by(func.coalesce(d.group, cast(d.id, String)))
    told = {"state": DeliveryState.FOLDED, "chat_id": "-1001", "message_id": d.id, "held_until": None}
    times = {"since": when.scalar_subquery(), "finished_at": when.scalar_subquery()}
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(update(t.deliveries).where(d.state == DeliveryState.PENDING).values(told | times))
        connection.execute(update(t.deliveries).where(d.id.in_(firsts)).values(state=DeliveryState.SENT))
        connection.execute(update(t.events).values(seen_at=t.events.c.occurred_at))
    engine.dispose()


def grow(url: str, log: RowLog, block: int, events: int) -> None:
    """Copy a state's first block of rows until there are so many events. Nobody else may have it open."""
    engine = sqlalchemy.create_engine(url)
    is_file = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        for pragma in _PRAGMAS if is_file else ():
            connection.execute(text(f"PRAGMA {pragma}"))
        indexes = [index for table in _COPIED for index in table.indexes]
        for index in indexes:  # made in one go at the end, which is several times as fast
            index.drop(connection)
        firsts = {table: _first(connection, table) for table in _COPIED}
        ids = {table.name: connection.scalar(select(func.max(table.c.id))) for table in _COPIED if "id" in table.c}
        for number in range(1, events // block):
            rows = number * block
            copy = _Copy(number, ids, rows, rows * log.apart, is_file)
            for table, first in firsts.items():
                values = select(*(copy.of(table.name, column, dict(first.c)) for column in first.c))
                connection.execute(insert(table).from_select(list(first.c.keys()), values))
        for index in indexes:
            index.create(connection)
        for statement in ["PRAGMA journal_mode = WAL"] if is_file else _after(ids):
            connection.commit()
            connection.execute(text(statement))
        connection.commit()
    engine.dispose()


def _first(connection: Connection, table: Table) -> Table:
    """What the table held before it was copied."""
    columns = [Column(column.name, column.type) for column in table.c]
    first = Table(f"first_{table.name}", MetaData(), *columns, prefixes=["TEMPORARY"])
    first.create(connection)
    is_new = [table.c.tag.like("build-%")] if table is t.known_tags else []
    connection.execute(insert(first).from_select([column.name for column in columns], select(table).where(*is_new)))
    return first


def _after(tables: Mapping[str, int]) -> list[str]:
    """What PostgreSQL is to know then: the next ids; and the figures that it gathers by itself within a minute."""
    return [*(f"SELECT setval('{name}_id_seq', (SELECT max(id) FROM {name}))" for name in tables), "ANALYZE"]


def stand_at_end(store: Store, log: RowLog, events: int) -> None:
    """The log is read up to there."""
    at = log.time_of(events)
    (cursor,) = store.cursors().values()
    store.save_cursor(replace(cursor, row_id=events, op_time=at, polled_at=at + timedelta(minutes=5)))
