"""Bringing the schema up to this program's version, or saying why that cannot be. Loads Alembic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from poller.errors import StateError
from state import copies, refusals

MIGRATIONS = Path(__file__).parent / "migrations"

Begin = Callable[[Engine], Any]  # opens a transaction that writes, for which others that want to upgrade wait


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
        raise refusals.newer(where, current, copies.way_back(engine.url, str(scripts.get_current_head())))
    if current != scripts.get_current_head():
        _upgrade(engine, config, begin)


def _upgrade(engine: Engine, config: Config, begin: Begin) -> None:
    with begin(engine) as connection:
        _keep_copy(connection, ScriptDirectory.from_config(config).get_current_head())
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _keep_copy(connection: Connection, head: str | None) -> None:
    """Of a file that has anything in it, asked under the lock: whoever came first may have upgraded it."""
    current = MigrationContext.configure(connection).get_current_revision()
    if connection.dialect.name == "sqlite" and current not in (None, head):
        copies.keep(Path(str(connection.engine.url.database)), str(current))
