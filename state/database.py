"""Opening the database: the engine, SQLite's manners, migrations, and the one exception border."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError, SQLAlchemyError, TimeoutError

from poller.errors import PollerError, StateBusy, StateError, StateFull
from state import fresh

BUSY_SECONDS = 15
HEAD = max(path.name.partition("_")[0] for path in Path(__file__).parent.glob("migrations/versions/[0-9]*.py"))
"""The newest revision: each is named as its file begins."""
_MAKING = 4_827_193  # any number, as long as all versions have the same

_CONNECTION = {
    "connect_timeout": BUSY_SECONDS,
    "application_name": "harbor-poller",
    # A server that vanished without a word is noticed within half a minute, whether it owes an answer or has the word.
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

_BUSY_WORDS = (
    "locked",
    "deadlock",
    "busy",
    "connection",
    "timeout",
    "could not connect",
    "resolve host",
    "shutting down",
    "starting up",
    "terminat",
)
_FULL_WORDS = ("disk is full", "disk i/o error", "no space left", "quota exceeded")
_FAILED = (OperationalError, InternalError)  # the second: PostgreSQL ended a transaction that stood still
_MISTAKES = ("does not exist", "authentication failed", "pg_hba.conf")  # PostgreSQL calls these connections failed too


@contextmanager
def border(where: str) -> Iterator[None]:
    """Turn SQLAlchemy's exceptions into ours. Statements and their values do not cross."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _ours(error, where) from None


def _ours(error: Exception, where: str) -> PollerError:
    original = error.orig if isinstance(error, DBAPIError) else error
    cause = type(error).__name__ if isinstance(original, SQLAlchemyError) else str(original)
    first_line = (cause.splitlines() or [""])[0]
    if any(word in cause.lower() for word in _FULL_WORDS):
        return StateFull(f"the state database {where} cannot be written: {first_line}; {_make_room(where)}")
    if isinstance(error, TimeoutError) or (isinstance(error, _FAILED) and _is_passing(cause.lower())):
        return StateBusy(f"the state database {where} does not answer: {first_line}")
    return StateError(f"the state database {where} cannot be used: {first_line}")


def _is_passing(cause: str) -> bool:
    return any(word in cause for word in _BUSY_WORDS) and not any(word in cause for word in _MISTAKES)


def _make_room(where: str) -> str:
    place = "the database server" if "://" in where else str(Path(where).absolute().parent)
    return f"free space on the file system of {place}, and the work goes on by itself"


def open_engine(url: str) -> Engine:
    """An engine whose schema is at this program's version.

    Raises StateError for what is no database, cannot be written, or comes from a newer version;
    StateBusy when the server does not answer.
    """
    parsed = make_url(url)
    where = display(parsed)
    _check_path(parsed, where)
    engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _server(parsed)
    try:
        with border(where):
            _bring_up_to_date(engine, where)
    except PollerError:
        engine.dispose()  # an open connection would leave SQLite's -wal and -shm files behind
        raise
    return engine


def display(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.difference_update_query(("password", "sslpassword")).render_as_string(hide_password=True)


def writer(engine: Engine) -> Engine:
    """The same, for transactions that write: on SQLite they take the lock at once, so that they cannot deadlock."""
    return engine.execution_options(writes=True)


def _check_path(url: URL, where: str) -> None:
    if url.get_backend_name() != "sqlite":
        return
    path = Path(where)
    if path.is_dir():
        raise StateError(f"[state] url: {where} is a directory; name a file in it, such as {where}/state.db")
    if not path.parent.is_dir():
        raise StateError(f"[state] url: the directory {path.parent} does not exist; create it or name another")
    for each in (path, path.parent):
        if each.exists() and not os.access(each, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise StateError(f"[state] url: {each} is not writable; SQLite writes the file and others beside it")


def _sqlite(url: URL) -> Engine:
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # BEGIN is ours: see `start`
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _server(url: URL) -> Engine:
    """Few connections, looked at before they are used. What the URL sets itself is left as it is."""
    settings = {name: value for name, value in _CONNECTION.items() if name not in url.query}
    engine = sqlalchemy.create_engine(
        url,
        pool_size=3,
        max_overflow=5,
        pool_timeout=BUSY_SECONDS,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args=settings,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        # A process that was halted in the middle of writing would hold up whoever takes over, for as long as it sleeps.
        connection.execute(f"SET idle_in_transaction_session_timeout = '{BUSY_SECONDS}s'")
        connection.commit()

    return engine


def _bring_up_to_date(engine: Engine, where: str) -> None:
    found = _revision(engine)
    if found is None:
        fresh.make(engine, HEAD, _begin_to_make)
        found = _revision(engine)
    if found != HEAD:
        from state import upgrade  # Alembic takes 0.15 s to load, which is needed once a release and not at every run

        upgrade.migrate(engine, where, _begin_to_make)


@contextmanager
def _begin_to_make(engine: Engine) -> Iterator[Connection]:
    """A transaction that makes or changes tables: whoever comes second finds them made."""
    if engine.dialect.name == "sqlite":
        # Locked: somebody else is making the database at this moment, and says the same.
        with engine.connect() as connection, suppress(sqlite3.OperationalError):
            connection.connection.driver_connection.execute("PRAGMA journal_mode = WAL")  # type: ignore[union-attr] # a pooled connection has a driver's
    with writer(engine).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MAKING})
        yield connection


def _revision(engine: Engine) -> str | None:
    """The schema's version that the database says it has."""
    with engine.connect() as connection:
        if not sqlalchemy.inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)
