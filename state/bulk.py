"""Many rows into a table at once: what there is one of for each row of a log.

Elsewhere SQLAlchemy makes a dict of each row and asks each column what it makes of each value, which takes longer than
the writing. Here a row is a tuple of what the driver takes as it is: of plain values, and of times as `moments` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

Moments = Callable[[datetime | None], Any]


def insert(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Write these rows. Raises what SQLAlchemy does."""
    if not rows:
        return
    quote = connection.dialect.identifier_preparer.quote
    into = f"{quote(table.name)} ({', '.join(map(quote, columns))})"
    if connection.dialect.name == "postgresql":
        _copy(connection, into, rows)
    else:
        connection.exec_driver_sql(f"INSERT INTO {into} VALUES ({', '.join('?' * len(columns))})", list(rows))


def moments(connection: Connection) -> Moments:
    """Makes of a time what the driver takes. SQLite's text is that of SQLAlchemy."""
    return _as_it_is if connection.dialect.name == "postgresql" else _as_text


def _as_it_is(time: datetime | None) -> datetime | None:
    return time


def _as_text(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat(" ", "microseconds")[:26] if time is not None else None


def _copy(connection: Connection, into: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Twice as fast as inserting. What the driver raises here has not passed through SQLAlchemy."""
    driver: Any = connection.dialect.loaded_dbapi
    cursor: Any = connection.connection.cursor()
    try:
        with cursor.copy(f"COPY {into} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    except driver.Error as error:
        raise DBAPIError.instance(None, None, error, driver.Error, dialect=connection.dialect) from error
    finally:
        cursor.close()
