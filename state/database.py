"""Opening the database: the engine, SQLite's manners, migrations, and the one exception border."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError, SQLAlchemyError, TimeoutError

from poller.errors import PollerError, StateBusy, StateError, StateFull
from state import copies, fresh, refusals

_PAGE_SIZE = 8192
"""Of SQLite's, in bytes: half as many pages to write for a thousand rows, and a log before it twice as long."""
BUSY_SECONDS = 15
LOOK_SECONDS = 5
"""A person waits for what was looked up."""
REVISIONS = frozenset(
    path.name.partition("_")[0] for path in Path(__file__).parent.glob("migrations/versions/[0-9]*.py")
)
"""Each is named as its file begins."""
HEAD = max(REVISIONS)
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
_FAILED = (OperationalError, InternalError, sqlite3.OperationalError)
"""The second: PostgreSQL ended a transaction that stood still. The third: SQLite at the beginning of one."""
_MISTAKES = ("does not exist", "authentication failed", "pg_hba.conf")  # PostgreSQL calls these connections failed too


@contextmanager
def border(where: str) -> Iterator[None]:
    """Turn SQLAlchemy's exceptions into ours. Statements and their values do not cross."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise ours(error, where) from None


def ours(error: Exception, where: str) -> PollerError:
    """What an exception of the library is to us."""
    original = error.orig if isinstance(error, DBAPIError) else error
    cause = type(error).__name__ if isinstance(original, SQLAlchemyError) else str(original)
    first_line = (cause.splitlines() or [""])[0]
    if any(word in cause.lower() for word in _FULL_WORDS):
        return StateFull(f"the state database {where} cannot be written: {first_line}; {_make_room(where)}")
    if isinstance(error, TimeoutError) or (isinstance(error, _FAILED) and _is_passing(cause.lower())):
        return StateBusy(f"the state database {where} does not answer: {first_line}")
    hint = "; `check` says why" if "unable to open" in first_line else ""
    return StateError(f"the state database {where} cannot be used: {first_line}{hint}")


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
    with _passing(where):
        _check_path(parsed, where)
    is_file = parsed.get_backend_name() == "sqlite"
    if is_file:
        _make_for_owner(sqlite_file(parsed))
    engine = _sqlite_engine(parsed) if is_file else server_engine(parsed)
    try:
        with border(where):
            _bring_up_to_date(engine, where)
    except PollerError:
        engine.dispose()  # an open connection would leave SQLite's -wal and -shm files behind
        raise
    return engine


def look(url: str) -> Engine:
    """An engine that only reads, and makes no file: for who looks on while another may be at work, or nobody is.

    Raises NothingRecorded where there is no state; StateError for a schema that is not this program's; and as
    `open_engine`.
    """
    parsed = make_url(url)
    where = display(parsed)
    with _passing(where):
        if parsed.get_backend_name() == "sqlite" and not sqlite_file(parsed).exists():
            raise refusals.nothing_recorded(f"{where} does not exist")
    engine = reader(parsed, patience=LOOK_SECONDS)
    try:
        with border(where):
            _check_revision(_revision(engine), engine.url, where)
    except PollerError:
        engine.dispose()
        raise
    return engine


def reader(url: URL, *, patience: int) -> Engine:
    """An engine that only reads. Nothing is looked at or made yet. `patience`: seconds, for a server or a lock."""
    if url.get_backend_name() == "sqlite":
        file = sqlite_file(url)
        return sqlalchemy.create_engine(url, creator=lambda: _connect_to_read(file, patience))
    engine = server_engine(url, patience=patience)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.execute("SET default_transaction_read_only = on")
        connection.commit()

    return engine


def sqlite_file(url: URL) -> Path:
    """What a link leads to: SQLite has its -wal and -shm beside that."""
    return Path(os.path.realpath(str(url.database)))


def beside(file: Path) -> tuple[Path, Path]:
    """SQLite's -wal and -shm."""
    return file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")


def stamp(url: str) -> tuple[int, ...]:
    """Changes when somebody writes into SQLite's file itself; () for a server, whose readers are safe from that."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return ()
    file = sqlite_file(parsed)
    wal, shm = beside(file)
    with suppress(OSError):
        return (1, *_facts(file)) if wal.exists() and shm.exists() else (0, *_facts(file), *_facts(wal))
    return (0,)


def _facts(file: Path) -> tuple[int, ...]:
    if not file.exists():
        return ()
    about = file.stat()
    return about.st_ino, about.st_size, about.st_mtime_ns


def _connect_to_read(file: Path, patience: float) -> sqlite3.Connection:
    """Leaves nothing behind: SQLite's own -shm is only read where there is one, and never made.

    Without both files nobody has the database open as we do, and no lock is taken: see `stamp`.
    """
    wal, shm = beside(file)
    is_open = wal.exists() and shm.exists()
    how = "mode=ro&readonly_shm=1" if is_open else "mode=ro&vfs=unix-none" if wal.exists() else "immutable=1"
    address = f"file:{quote(str(file))}?{how}"
    connection = sqlite3.connect(address, uri=True, timeout=patience, check_same_thread=False)
    if not is_open:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # what -shm would hold is kept in memory
    return connection


@contextmanager
def _passing(where: str) -> Iterator[None]:
    """A folder on the way that may not be entered is no accident."""
    try:
        yield
    except OSError as error:
        raise StateError(f"the state database {where} cannot be used: {error.strerror}; `check` says why") from None


def _check_revision(found: str | None, url: URL, where: str) -> None:
    if found is None:
        raise refusals.nothing_recorded(f"{where} is empty")
    if found in REVISIONS - {HEAD}:
        raise refusals.older(where, found, HEAD)
    if found != HEAD:
        raise refusals.newer(where, found, copies.way_back(url, HEAD))


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
    path = sqlite_file(url)
    if path.is_dir():
        raise StateError(f"[state] url: {where} is a directory; name a file in it, such as {where}/state.db")
    if not path.parent.is_dir():
        raise StateError(f"[state] url: the directory {path.parent} does not exist; create it or name another")
    for each in (path, path.parent):
        if each.exists() and not os.access(each, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise StateError(f"[state] url: {each} is not writable; SQLite writes the file and others beside it")


def _make_for_owner(file: Path) -> None:
    """Nobody else may read what happens in the registry. SQLite gives -wal and -shm the mode of the file."""
    with suppress(OSError):  # it is there; or it cannot be made, which SQLite will say
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _sqlite_engine(url: URL) -> Engine:
    """Each connection fills caches of its own: as few as possible are used, and two kept, for who polls and who tells.

    More than those are opened for as long as more threads want one at the same moment.
    """
    engine = sqlalchemy.create_engine(
        url, pool_size=2, max_overflow=13, pool_use_lifo=True, connect_args={"timeout": BUSY_SECONDS}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # BEGIN is ours: see `start`
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        """Said to the driver itself: at each of the many small questions the way through the library is the dearest."""
        writes = connection.get_execution_options().get("writes", False)
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def server_engine(url: URL, *, patience: int = BUSY_SECONDS) -> Engine:
    """Few connections, looked at before they are used. What the URL sets itself is left as it is."""
    usual = _CONNECTION | {"connect_timeout": patience}
    settings = {name: value for name, value in usual.items() if name not in url.query}
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
            driver: Any = connection.connection.driver_connection
            driver.execute(f"PRAGMA page_size = {_PAGE_SIZE}")  # of a new file; one that is there keeps its own
            driver.execute("PRAGMA journal_mode = WAL")
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
