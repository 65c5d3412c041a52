"""A look at the database without touching it: is it there, which version has it, could it be written?

Nothing is made, changed or left behind, not even SQLite's -wal and -shm files.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from poller.errors import StateBusy
from state import database
from state import schema as t
from state.store import Store

PATIENCE = 2
"""Seconds that a server has for taking the connection; libpq knows no shorter time."""
CHECKED_UP_TO = 16 * 2**20
"""Bytes of a file that is looked through as a whole, which takes some 10 ms for each of them."""
_LOOKS_AT_LOCK, _BETWEEN_LOOKS = 4, 0.1
_TRIED = 64 * 2**10
_WAL_WRITE_LOCK, _EXCLUSIVE_LOCK = 120, 0x40000000  # bytes of -shm and of the file: sqlite.org/walformat, /fileformat


class Trouble(StrEnum):
    """What is wrong with it."""

    IS_FOLDER = "the name is that of a folder"
    NO_FILE = "the name is that of a pipe or device"
    NO_FOLDER = "its folder does not exist"
    LOOP = "its name is that of a link which leads back to itself"
    CLOSED = "this user may not go through a folder on the way"
    NOT_ALLOWED = "this user may not read or write it"
    READ_ONLY = "what it lies on can only be read"
    FULL = "there is no room"
    NO_DATABASE = "it is something else than a database"
    DAMAGED = "it is damaged"
    FOREIGN = "it has tables of something else"
    NEWER = "a newer version of this program has written it"
    LOCKED = "somebody holds it"
    AWAY = "the server does not answer"
    LOGIN = "the server does not let us in"
    NOT_THERE = "the server has no such database"
    NO_RIGHTS = "the server's role lacks rights"
    UNUSABLE = "it cannot be used"


class Age(StrEnum):
    """How its schema compares with this program's."""

    NONE = "nothing is there yet"
    OLDER = "older"
    CURRENT = "current"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Hitch:
    """A trouble; `about`: the file, table or process that it is about, or what the server said."""

    trouble: Trouble
    about: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen. `free`: bytes that an ordinary user may still write there; None: not known."""

    place: str
    age: Age
    hitches: tuple[Hitch, ...] = ()
    revision: str | None = None
    free: int | None = None
    engine: Engine | None = None

    def close(self) -> None:
        if self.engine is not None:
            self.engine.dispose()

    def store(self, harbor_url: str, route: str) -> Store | None:
        """What is in it; None where it cannot be read by this version."""
        if self.engine is None or self.age is not Age.CURRENT:
            return None
        return Store(self.engine, harbor_url, route, is_only_read=True)


@contextmanager
def look(url: str, sleep: Callable[[float], object] = time.sleep) -> Iterator[Look]:
    """Look at the database of a URL. What it gives can be read until the end of the context.

    `sleep`: between two looks at a lock, which a poller at work takes for a moment.
    """
    before = database.stamp(url)
    seen = _look(make_url(url), sleep)
    if database.stamp(url) != before:  # a poller began to write under our eyes, which looks like damage
        seen.close()
        seen = _look(make_url(url), sleep)
    try:
        yield seen
    finally:
        seen.close()


def _look(url: URL, sleep: Callable[[float], object]) -> Look:
    return _file(url, sleep) if url.get_backend_name() == "sqlite" else _on_server(url)


def _compared(revision: str | None) -> tuple[Age, tuple[Hitch, ...]]:
    if revision == database.HEAD:
        return Age.CURRENT, ()
    if revision in database.REVISIONS:
        return Age.OLDER, ()
    return Age.UNKNOWN, (Hitch(Trouble.NEWER, str(revision)) if revision else Hitch(Trouble.FOREIGN),)


# -- a file -----------------------------------------------------------------------------------------


def _file(url: URL, sleep: Callable[[float], object]) -> Look:
    place = database.display(url)
    path = database.sqlite_file(url)
    try:
        kind = _kind(path)
    except OSError as error:
        closed = _closed(path)
        return Look(place, Age.UNKNOWN, (Hitch(Trouble.CLOSED, str(closed)) if closed else _refused(error, path),))
    if isinstance(kind, Trouble):
        return Look(place, Age.UNKNOWN, (Hitch(kind, str(path.parent)),))
    hitches, free = _of_folder(path.parent), _free(path.parent)
    if kind == 0:
        return Look(place, Age.NONE, hitches, free=free)
    hitches += _of_files(path) + _locks(path, sleep)
    if unreadable := _tried_to_open(path, os.O_RDONLY):
        return Look(place, Age.UNKNOWN, unreadable, free=free)
    engine = database.reader(url, patience=1)
    try:
        age, of_content, revision = _content(engine, is_small=kind <= CHECKED_UP_TO)
    except (SQLAlchemyError, sqlite3.Error) as error:
        engine.dispose()
        said = _of_sqlite(error)
        is_known = any(said.trouble in (hitch.trouble, Trouble.UNUSABLE) for hitch in hitches)
        return Look(place, Age.UNKNOWN, hitches if is_known else (*hitches, said), free=free)
    return Look(place, age, hitches + of_content, revision, free, engine)


def _kind(path: Path) -> int | Trouble:
    """The size of the file; 0 where there is none yet."""
    if path.is_symlink():
        return Trouble.LOOP
    if path.is_dir():
        return Trouble.IS_FOLDER
    if not path.parent.is_dir():
        return Trouble.NO_FOLDER
    if not path.exists():
        return 0
    return path.stat().st_size if path.is_file() else Trouble.NO_FILE


def _closed(path: Path) -> Path | None:
    """The first folder on the way that this user may not go through."""
    return next((each for each in reversed(path.parents) if not _allows(each, os.X_OK)), None)


def _allows(path: Path, how: int) -> bool:
    return os.access(path, how, effective_ids=os.access in os.supports_effective_ids)


def _of_folder(folder: Path) -> tuple[Hitch, ...]:
    """Whether a file can be made there: tried with one that never has a name. Permissions alone lie to root."""
    try:
        file = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):  # this file system has none
            return _of_folder_asked(folder)
        return (_refused(error, folder),)
    try:
        os.write(file, bytes(_TRIED))
        os.fsync(file)
    except OSError as error:
        return (_refused(error, folder),)
    finally:
        os.close(file)
    return ()


def _of_folder_asked(folder: Path) -> tuple[Hitch, ...]:
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return (Hitch(Trouble.READ_ONLY, str(folder)),)
    return () if _allows(folder, os.W_OK | os.X_OK) else (Hitch(Trouble.NOT_ALLOWED, str(folder)),)


def _of_files(path: Path) -> tuple[Hitch, ...]:
    """Whether the file and those that SQLite has beside it can be written: whoever ran as root may have left them."""
    there = (each for each in (path, *database.beside(path)) if each.exists())
    return tuple(hitch for each in there for hitch in _tried_to_open(each, os.O_RDWR))


def _tried_to_open(path: Path, how: int) -> tuple[Hitch, ...]:
    """Not while this process has the file open in SQLite: closing gives up all its locks on the file."""
    try:
        os.close(os.open(path, how | os.O_CLOEXEC))
    except OSError as error:
        return (_refused(error, path),)
    return ()


def _refused(error: OSError, about: Path) -> Hitch:
    troubles = {
        errno.EROFS: Trouble.READ_ONLY,
        errno.ENOSPC: Trouble.FULL,
        errno.EDQUOT: Trouble.FULL,
        errno.EACCES: Trouble.NOT_ALLOWED,
        errno.EPERM: Trouble.NOT_ALLOWED,
    }
    trouble = troubles.get(error.errno or 0, Trouble.UNUSABLE)
    return Hitch(trouble, f"{about}: {error.strerror}" if trouble is Trouble.UNUSABLE else str(about))


def _free(folder: Path) -> int | None:
    with suppress(OSError):
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize
    return None


def _content(engine: Engine, *, is_small: bool) -> tuple[Age, tuple[Hitch, ...], str | None]:
    with engine.connect() as connection:
        tables = sqlalchemy.inspect(connection).get_table_names()
        if not tables:
            return Age.NONE, (), None
        if is_small:
            said = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if said != "ok":
                return Age.UNKNOWN, (Hitch(Trouble.DAMAGED, str(said).strip().splitlines()[-1]),), None
        revision = _revision(connection, tables)
    return *_compared(revision), revision


def _revision(connection: Connection, tables: list[str]) -> str | None:
    if "alembic_version" not in tables:
        return None
    found = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _of_sqlite(error: Exception) -> Hitch:
    said = str(error.orig if isinstance(error, DBAPIError) else error)
    words = (("locked", Trouble.LOCKED), ("not a database", Trouble.NO_DATABASE), ("malformed", Trouble.DAMAGED))
    return Hitch(next((trouble for word, trouble in words if word in said), Trouble.UNUSABLE), said)


def _locks(path: Path, sleep: Callable[[float], object]) -> tuple[Hitch, ...]:
    """Who keeps others from writing for longer than a poller does."""
    holder = _lock(path)
    for _ in range(_LOOKS_AT_LOCK):
        if holder is None:
            return ()
        sleep(_BETWEEN_LOOKS)
        holder = _lock(path)
    return (Hitch(Trouble.LOCKED, str(holder)),) if holder else ()


def _lock(path: Path) -> int | None:
    """The process that holds one of the locks which SQLite puts on bytes of its files to write."""
    of_log = _holder(database.beside(path)[1], _WAL_WRITE_LOCK, fcntl.F_WRLCK)
    return of_log or _holder(path, _EXCLUSIVE_LOCK, fcntl.F_RDLCK)


def _holder(path: Path, byte: int, how: int) -> int | None:
    """The process with which a lock of that byte would collide; itself nothing is locked."""
    asked = struct.pack("hhqqi4x", how, os.SEEK_SET, byte, 1, 0)  # struct flock of 64-bit Linux
    with suppress(OSError), path.open("rb") as file:
        kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked))
        return pid if kind != fcntl.F_UNLCK else None
    return None


# -- a server ---------------------------------------------------------------------------------------

_STATES = {
    "42501": Trouble.NO_RIGHTS,
    "42P01": Trouble.NO_RIGHTS,  # a table that was listed just before: the role may not look into its schema
    "25006": Trouble.READ_ONLY,
    "55P03": Trouble.LOCKED,
    "53100": Trouble.FULL,
    "3D000": Trouble.NOT_THERE,
    "28P01": Trouble.LOGIN,
    "28000": Trouble.LOGIN,
}
"""PostgreSQL's SQLSTATEs: appendix A of its manual."""
_SAID = (
    (r"authentication failed|pg_hba|no password|role .* does not exist", Trouble.LOGIN),
    (r"database .* does not exist", Trouble.NOT_THERE),
    (r"invalid \w+ value", Trouble.UNUSABLE),  # of a word behind the question mark
)
"""For refused connections, psycopg has no SQLSTATE."""


def _on_server(url: URL) -> Look:
    place = database.display(url)
    engine = database.server_engine(url, patience=PATIENCE)
    try:
        with engine.connect() as connection:
            age, hitches, revision = _of_server(connection)
    except SQLAlchemyError as error:
        return Look(place, Age.UNKNOWN, (_of_postgresql(error),))
    finally:
        engine.dispose()
    return Look(place, age, hitches, revision, engine=database.reader(url, patience=PATIENCE))


def _of_server(connection: Connection) -> tuple[Age, tuple[Hitch, ...], str | None]:
    tables = sqlalchemy.inspect(connection).get_table_names()
    revision = _revision(connection, tables)
    age, hitches = _compared(revision) if tables else (Age.NONE, ())
    if not hitches:
        hitches = _tried(connection, _lock_all if age is Age.CURRENT else _make_table)
    return age, hitches, revision


def _tried(connection: Connection, write: Callable[[Connection], Any]) -> tuple[Hitch, ...]:
    """What keeps us from writing, found out in a transaction that is rolled back."""
    try:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{PATIENCE}s'")
        if connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on":
            return (Hitch(Trouble.READ_ONLY, "transaction_read_only is on"),)
        write(connection)
    except SQLAlchemyError as error:
        return (_of_postgresql(error),)
    finally:
        connection.rollback()
    return ()


def _lock_all(connection: Connection) -> None:
    """As every write does; it asks for the right to write, too."""
    names = ", ".join(t.metadata.tables)
    connection.exec_driver_sql(f"LOCK TABLE {names} IN ROW EXCLUSIVE MODE NOWAIT")


def _make_table(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE harbor_poller_check ()")


def _of_postgresql(error: SQLAlchemyError) -> Hitch:
    original = error.orig if isinstance(error, DBAPIError) else error
    lines = [line.strip() for line in str(original).splitlines() if line.strip()] or [type(error).__name__]
    said = next((line for line in lines if "FATAL" in line), lines[0])
    state = str(getattr(original, "sqlstate", None) or "")
    if state in _STATES:
        return Hitch(_STATES[state], said)
    found = (trouble for pattern, trouble in _SAID if re.search(pattern, str(original)))
    is_passing = isinstance(database.ours(error, ""), StateBusy)
    return Hitch(next(found, Trouble.AWAY if is_passing else Trouble.UNUSABLE), said)
