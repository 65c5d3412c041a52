"""Who upgrades loses nothing and is told nothing twice, from whichever released schema.

Each state in `tests/states` was written by the real code of its time: see `tests/states/making.py`.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import alembic.command
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Boolean, Column, DateTime, Engine, MetaData, Table

from demo.harbor import POLLER, HarborStandIn, World
from poller.errors import StateError
from poller.events import LOGS, EventType
from poller.telling import ROUTE
from state import DeliveryState, Store, copies, schema
from state.database import HEAD
from state.upgrade import MIGRATIONS
from tests.harness import Clock, Site
from tests.processes import Other, others
from tests.states import making

STATES = Path(making.__file__).parent
HARBOR = making.HARBOR


def alembic_config(**attributes: object) -> AlembicConfig:
    config = AlembicConfig(attributes=attributes)
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


RELEASED = sorted(
    script.revision
    for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()
    if script.revision != HEAD
)
"""Every schema but today's: a new migration makes one more of them."""


@pytest.mark.parametrize("revision", RELEASED)
def test_there_is_a_state_of_every_released_schema(revision: str) -> None:
    """Whoever begins a new one learns here that the upgrade from the last one wants a test."""
    path = STATES / f"{revision}.sql"
    assert path.is_file(), f"make {path} with the code that wrote schema {revision}: {making.__doc__}"
    assert f"INSERT INTO \"alembic_version\" VALUES('{revision}')" in path.read_text()


# -- old databases ----------------------------------------------------------------------------------


@contextmanager
def engine_of(url: str) -> Iterator[Engine]:
    engine = sqlalchemy.create_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def tables(engine: Engine) -> list[Table]:
    """As they are in the database, in an order in which they can be filled."""
    found = MetaData()
    found.reflect(engine)
    for column in (column for table in found.sorted_tables for column in table.c):
        if isinstance(column.type, JSON):
            column.type = JSON(none_as_null=True)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def load(url: str, revision: str) -> None:
    """Make the database that a released version has left."""
    script = (STATES / f"{revision}.sql").read_text()
    if url.startswith("sqlite:///"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.executescript(script)
        connection.close()
        return
    with engine_of(url) as engine:
        with engine.begin() as begun:
            alembic.command.upgrade(alembic_config(connection=begun), revision)
        copy(script, engine)


def copy(script: str, engine: Engine) -> None:
    """Put the rows of SQLite's dump into the tables of PostgreSQL."""
    source = sqlite3.connect(":memory:")
    source.row_factory = sqlite3.Row
    source.executescript(script)
    with engine.begin() as connection:
        for table in tables(engine):
            rows = [dict(row) for row in source.execute(f"SELECT * FROM {table.name}")]
            if rows:
                connection.execute(table.insert(), [translated(row, table) for row in rows])
            if "id" in table.c:
                count_on = f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), max(id)) FROM {table.name}"
                connection.execute(sqlalchemy.text(count_on))
    source.close()


def translated(row: dict[str, Any], table: Table) -> dict[str, Any]:
    return {name: in_postgres(value, table.c[name]) for name, value in row.items()}


def in_postgres(value: Any, column: Column[Any]) -> Any:
    if value is None:
        return None
    if isinstance(column.type, DateTime):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    if isinstance(column.type, Boolean):
        return bool(value)
    return json.loads(value) if isinstance(column.type, JSON) else value


def contents(url: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    with engine_of(url) as engine, engine.connect() as connection:
        return {
            table.name: [dict(row._mapping) for row in connection.execute(table.select().order_by(*table.primary_key))]
            for table in tables(engine)
        }


def is_all_there(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> bool:
    """Whether the rows of before are those of now, as far as their columns go.

    What is known of an event by the row that told it is not told again by its key, and other events are of no row.
    """
    before["events"] = [event | _named(event) for event in before["events"]]
    return all(
        [{name: row[name] for name in old} for old, row in zip(rows, after[table], strict=True)] == rows
        for table, rows in before.items()
    )


def _named(event: dict[str, Any]) -> dict[str, Any]:
    return {"key": None} if event["source"] in LOGS else {"source_id": None}


@pytest.fixture(params=RELEASED)
def revision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def old_url(state_url: str, revision: str) -> str:
    """The URL of a state as the version with that schema left it, on SQLite and on PostgreSQL."""
    load(state_url, revision)
    return state_url


# -- the schema -------------------------------------------------------------------------------------


@contextmanager
def migrated(url: str) -> Iterator[Engine]:
    """The same database, emptied, and made by all migrations, one after the other."""
    with engine_of(url) as engine:
        found = MetaData()
        found.reflect(engine)
        with engine.begin() as connection:
            found.drop_all(connection)
            alembic.command.upgrade(alembic_config(connection=connection), "head")
        yield engine


def test_the_migrations_give_exactly_the_schema(state_url: str) -> None:
    """Who changes a table and forgets the migration learns it here."""
    with migrated(state_url) as engine, engine.connect() as connection:
        is_compared = connection.dialect.name != "sqlite"  # it gives '' back in other words
        context = MigrationContext.configure(connection, opts={"compare_server_default": is_compared})
        assert compare_metadata(context, schema.metadata) == []


def test_the_index_of_what_is_unfinished_is_a_partial_one(state_url: str) -> None:
    """Alembic does not compare this: the outbox stays fast when millions are told."""
    with migrated(state_url) as engine:
        indexes = {each["name"]: each for each in sqlalchemy.inspect(engine).get_indexes("deliveries")}
    assert any("where" in option for option in indexes["ix_deliveries_pending"]["dialect_options"])


def description(engine: Engine) -> dict[str, dict[str, Any]]:
    """Whatever there is to know of every table, in an order that does not depend on when it was added."""
    inspector = sqlalchemy.inspect(engine)
    return {
        table: {
            "columns": by_name([each | {"type": repr(each["type"])} for each in inspector.get_columns(table)]),
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": by_name(inspector.get_foreign_keys(table)),
            "unique": by_name(inspector.get_unique_constraints(table)),
            "checks": by_name(inspector.get_check_constraints(table)),
            "indexes": by_name([in_words(index) for index in inspector.get_indexes(table)]),
        }
        for table in inspector.get_table_names()
    }


def by_name(parts: Sequence[Any]) -> list[dict[str, Any]]:
    return sorted(map(dict, parts), key=lambda part: str(part["name"]))


def in_words(index: Any) -> dict[str, Any]:
    return {**index, "dialect_options": {name: str(value) for name, value in index["dialect_options"].items()}}


def test_a_new_database_is_as_the_migrations_make_it(state_url: str) -> None:
    """It is made at once, without them: every column, key, default and index must be as after all of them."""
    Store.open(state_url, HARBOR, ROUTE).close()
    with engine_of(state_url) as engine:
        made_at_once = description(engine)
    assert revision_of(state_url) == HEAD
    with migrated(state_url) as engine:
        assert made_at_once == description(engine)


# -- the upgrade ------------------------------------------------------------------------------------


def test_everything_is_there_after_an_upgrade(old_url: str, revision: str) -> None:
    """Every value of every row; what waited still waits, and what was told, refused or off still is."""
    before = contents(old_url)
    store = Store.open(old_url, HARBOR, ROUTE)
    assert is_all_there(before, contents(old_url))
    states = Counter(delivery.state for seen in store.seen() for delivery in seen.deliveries)
    folded = 2 if revision == "0004" else 0  # parts of a scan
    assert states == {
        DeliveryState.SENT: 8,
        DeliveryState.REFUSED: 1,
        DeliveryState.OFF: 5 - folded,
        DeliveryState.PENDING: 2,
        **({DeliveryState.FOLDED: folded} if folded else {}),
    }
    store.close()


def test_polling_goes_on_after_an_upgrade(old_url: str, tmp_path: Path) -> None:
    """Of what happened before only what waited is told, of what goes on and comes everything, and all of it once."""
    clock = Clock()
    world = World(clock=clock.tick)
    running = making.story(world, clock)
    with HarborStandIn(world, [POLLER]) as standin:
        move(old_url, standin.url)
        here = Site(standin, clock, tmp_path, POLLER, state_url=old_url)
        assert [event.tag for event in here.news] == making.WAITING
        told = len(here.events)
        here.poll()
        assert len(here.events) == told
        world.push("team/app", "4.0", "ann")
        world.delete_artifact("team/app", "1.1", "carol")
        world.finish_scan(running, severities={"High": 1})
        for _ in range(60):
            here.poll(60)
        expected = {(EventType.PUSH_ARTIFACT, tag) for tag in (*making.WAITING, "4.0")}
        expected |= {(EventType.SCANNING_COMPLETED, "3.1"), (EventType.DELETE_ARTIFACT, "1.1")}
        assert sorted((event.type, event.tag) for event in here.news) == sorted(expected)
        here.stop()


def move(url: str, harbor_url: str) -> None:
    """The stand-in has another address at every run."""
    with engine_of(url) as engine, engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE harbors SET url = :url"), {"url": harbor_url})


# -- accidents --------------------------------------------------------------------------------------


def upgrade_until(word: str, url: str, words: Connection) -> None:
    """Stop, in the middle of the upgrade, after the first statement that begins so."""

    @sqlalchemy.event.listens_for(Engine, "after_cursor_execute")
    def stop(_connection: Any, _cursor: Any, statement: str, *_: object) -> None:
        if statement.lstrip().startswith(word):
            words.send("in the middle")
            words.recv()

    Store.open(url, HARBOR, ROUTE)


@pytest.mark.parametrize("word", ["ALTER TABLE", "CREATE UNIQUE INDEX uq_events_row", "UPDATE alembic_version"])
def test_an_upgrade_that_is_killed_has_not_happened(old_url: str, revision: str, word: str) -> None:
    """SIGKILL after its first step, late in it, or when it is as good as done: the next start upgrades as if new."""
    before = contents(old_url)
    process = Other(partial(upgrade_until, word), old_url)
    assert process.hear() == "in the middle"
    process.kill()
    assert contents(old_url) == before
    assert revision_of(old_url) == revision
    Store.open(old_url, HARBOR, ROUTE).close()
    assert revision_of(old_url) == HEAD
    assert is_all_there(before, contents(old_url))


def revision_of(url: str) -> str:
    with engine_of(url) as engine, engine.connect() as connection:
        return str(connection.scalar(sqlalchemy.text("SELECT version_num FROM alembic_version")))


def open_at_once(url: str, words: Connection) -> None:
    words.send("ready")
    words.recv()
    store = Store.open(url, HARBOR, ROUTE)
    words.send(",".join(str(due.event.tag) for due in store.due(datetime.now(UTC), most=99)))


def test_processes_that_upgrade_at_once_wait_for_each_other(old_url: str) -> None:
    """A daemon, a `status` and a timer after `git pull`: one upgrades, and all find what waits."""
    before = contents(old_url)
    with others(3, open_at_once, old_url) as programs:
        assert [each.hear() for each in programs] == ["ready"] * 3
        for each in programs:
            each.say("go")
        assert [each.hear() for each in programs] == [",".join(making.WAITING)] * 3
    assert revision_of(old_url) == HEAD
    assert is_all_there(before, contents(old_url))


# -- the way back -----------------------------------------------------------------------------------


@pytest.fixture
def old_file(tmp_path: Path, revision: str) -> Path:
    file = tmp_path / "state.db"
    load(f"sqlite:///{file}", revision)
    return file


def upgraded(file: Path) -> None:
    Store.open(f"sqlite:///{file}", HARBOR, ROUTE).close()


def test_what_leans_on_nothing_holds_up_no_upgrade(old_file: Path) -> None:
    """Whoever deletes by hand, with SQLite's own program, has no foreign keys; the rows left over nobody reads."""
    with closing(sqlite3.connect(old_file)) as connection, connection:
        connection.execute("DELETE FROM events WHERE id = 1")
        connection.execute("UPDATE events SET harbor_id = 99 WHERE id = 2")
        kept = connection.execute("SELECT id FROM events WHERE harbor_id = 1 ORDER BY id").fetchall()
    upgraded(old_file)
    with closing(sqlite3.connect(old_file)) as connection:
        assert connection.execute("SELECT id FROM events ORDER BY id").fetchall() == kept
        assert connection.execute("SELECT DISTINCT event_id FROM deliveries ORDER BY 1").fetchall() == kept


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_upgrade_keeps_the_state_of_before(old_file: Path, revision: str, caplog: pytest.LogCaptureFixture) -> None:
    """Row for row, in one file of its own that only its owner may read, named in the log."""
    before = contents(f"sqlite:///{old_file}")
    old_file.chmod(0o644)
    caplog.set_level("INFO", "state")
    upgraded(old_file)
    copy = old_file.with_name(f"state.db.{revision}-before-upgrade")
    assert names(old_file.parent) == ["state.db", copy.name]
    assert copy.stat().st_mode & 0o777 == 0o600
    assert (contents(f"sqlite:///{copy}"), revision_of(f"sqlite:///{copy}")) == (before, revision)
    assert [record.name for record in caplog.records] == ["state.copied"]
    assert str(copy) in caplog.text


def test_what_is_still_in_the_journal_is_copied_too(old_file: Path, revision: str) -> None:
    """A daemon that was killed leaves its last writing in state.db-wal."""
    url = f"sqlite:///{old_file}"
    writer = sqlite3.connect(old_file)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("INSERT INTO harbors (url) VALUES ('https://another.example.com')")
    writer.commit()
    before = contents(url)
    upgraded(old_file)
    writer.close()
    assert contents(f"{url}.{revision}-before-upgrade") == before


def test_only_the_last_copy_is_kept(tmp_path: Path) -> None:
    """Of this state: a neighbour's is left alone. A copy that was cut short is begun anew."""
    file = tmp_path / "state.db"
    for name in ("state.db.0001-before-upgrade", "state.db.0003-before-upgrade.part", "other.db.0001-before-upgrade"):
        (tmp_path / name).write_bytes(b"old")
    load(f"sqlite:///{file}", "0003")
    upgraded(file)
    assert names(tmp_path) == ["other.db.0001-before-upgrade", "state.db", "state.db.0003-before-upgrade"]


def test_the_next_start_keeps_the_copy(old_file: Path, revision: str) -> None:
    """It is of the last upgrade, not of the last start; and a new state has none."""
    upgraded(old_file)
    copy = old_file.with_name(f"state.db.{revision}-before-upgrade")
    copied = copy.read_bytes()
    upgraded(old_file)
    assert copy.read_bytes() == copied
    upgraded(old_file.with_name("new.db"))
    assert names(old_file.parent) == ["new.db", "state.db", copy.name]


def test_without_room_it_is_upgraded_without_a_copy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A convenience must not fill the disk; the log says what was left out."""
    file = tmp_path / "state.db"
    load(f"sqlite:///{file}", "0003")
    assert copies.keep(file, "0003", lambda _folder: 2 * file.stat().st_size - 1) is None
    assert names(tmp_path) == ["state.db"]
    assert caplog.records[-1].name == "state.not_copied"
    assert copies.keep(file, "0003", lambda _folder: 2 * file.stat().st_size)


def test_a_copy_that_cannot_be_written_hinders_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "state.db"
    load(f"sqlite:///{file}", "0003")
    (tmp_path / "state.db.0003-before-upgrade").mkdir()
    upgraded(file)
    assert revision_of(f"sqlite:///{file}") == HEAD
    assert [record.name for record in caplog.records] == ["state.not_copied"]
    assert names(tmp_path) == ["state.db", "state.db.0003-before-upgrade"]


def test_an_older_version_names_the_way_back(tmp_path: Path) -> None:
    """Where the newer one has kept a copy that this one understands."""
    file = tmp_path / "state.db"
    upgraded(file)
    with engine_of(f"sqlite:///{file}") as engine, engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StateError, match=r"\(schema 9999\); upgrade harbor-poller, or name another database"):
        upgraded(file)
    copies.of_revision(file, HEAD).touch()
    with pytest.raises(StateError, match=rf"or put {file}\.{HEAD}-before-upgrade back in its place"):
        upgraded(file)
