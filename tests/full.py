"""A database that has no room left, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event

from state import Store


@contextmanager
def full(store: Store) -> Iterator[None]:
    """SQLite answers as on a full disk: the file may not grow by a page, and what is free in it is used up."""
    engine = store._engine

    def be_full(connection: object, _record: object, _proxy: object) -> None:
        _execute(connection, "PRAGMA max_page_count = 1")  # that is: as large as it is

    def have_room(connection: object, _record: object, _proxy: object) -> None:
        _execute(connection, f"PRAGMA max_page_count = {2**30}")

    event.listen(engine, "checkout", be_full)
    try:
        yield
    finally:
        event.remove(engine, "checkout", be_full)
        event.listen(engine, "checkout", have_room)


def _execute(connection: object, statement: str) -> None:
    connection.execute(statement)  # type: ignore[attr-defined] # the driver's connection
