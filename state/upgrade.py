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
from sqlalchemy import Engine

from poller.errors import StateError
from state import refusals

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
        raise refusals.newer(where, current)
    if current != scripts.get_current_head():
        _upgrade(engine, config, begin)


def _upgrade(engine: Engine, config: Config, begin: Begin) -> None:
    with begin(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
