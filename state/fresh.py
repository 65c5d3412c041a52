"""Making a new database, as the migrations would, but at once: loading Alembic and running all of them takes 0.2 s."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy
from sqlalchemy import Column, Connection, Engine, MetaData, String, Table

from state import schema

Begin = Callable[[Engine], Any]
"""Opens a transaction that writes, behind which whoever else wants to make the tables waits."""

VERSION = Table(
    "alembic_version",
    MetaData(naming_convention={"pk": "alembic_version_pkc"}),
    Column("version_num", String(32), primary_key=True),
)
"""As Alembic makes it, with its name for the key."""


def make(engine: Engine, revision: str, begin: Begin) -> None:
    """Make the tables of this revision in a database that has none; one that has some is left as it is."""
    with engine.connect() as connection:
        is_empty = _is_empty(connection)
    if is_empty:
        with begin(engine) as connection:
            _make(connection, revision)


def _make(connection: Connection, revision: str) -> None:
    if not _is_empty(connection):  # somebody else was faster
        return
    for metadata in (schema.metadata, VERSION.metadata):
        metadata.create_all(connection, checkfirst=False)
    connection.execute(VERSION.insert().values(version_num=revision))


def _is_empty(connection: Connection) -> bool:
    return not sqlalchemy.inspect(connection).get_table_names()
