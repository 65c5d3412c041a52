"""Bringing the schema up to this program's version, or saying why that cannot be. Loads Alembic."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from poller.errors import StateError
from state import copies

MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATING = 4_827_193  # any number, as long as all versions have the same


Begin = Callable[[Engine], Any]  # opens a transaction that writes


def migrate(engine: Engine, where: str, begin: Begin) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        tables = sqlalchemy.inspect(connection).get_table_names()
        # Asked second: whoever made the tables in between made the revision in the same transaction.
        current = MigrationContext.configure(connection).get_current_revision()
    if tables and current is None:
        raise StateError(f"the database {where} holds tables of something else; name an empty one in [state] url")
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise StateError(
            f"the state database {where} was written by a newer version of harbor-poller (schema {current}); "
            f"upgrade harbor-poller, or {_way_back(engine, scripts.get_current_head())}"
        )
    if current != scripts.get_current_head():
        _upgrade(engine, config, begin)


def _way_back(engine: Engine, head: str | None) -> str:
    copy = copies.of_revision(Path(str(engine.url.database)), str(head))
    if engine.dialect.name == "sqlite" and copy.is_file():
        return f"put {copy} back in its place, which is the state of before its upgrade; then `once --told-until`"
    return "name another database in [state] url"


def _upgrade(engine: Engine, config: Config, begin: Begin) -> None:
    if engine.dialect.name == "sqlite":
        # Locked: somebody else is making the database at this moment, and says the same.
        with engine.connect() as connection, suppress(sqlite3.OperationalError):
            connection.connection.driver_connection.execute("PRAGMA journal_mode = WAL")  # type: ignore[union-attr] # a pooled connection has a driver's
    with begin(engine) as connection:
        if engine.dialect.name == "postgresql":  # whoever comes second finds the schema made
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
        _keep_copy(connection, ScriptDirectory.from_config(config).get_current_head())
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _keep_copy(connection: Connection, head: str | None) -> None:
    """Of a file that has anything in it, asked under the lock: whoever came first may have upgraded it."""
    current = MigrationContext.configure(connection).get_current_revision()
    if connection.dialect.name == "sqlite" and current not in (None, head):
        copies.keep(Path(str(connection.engine.url.database)), str(current))
