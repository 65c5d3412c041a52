"""What is loaded at the start: only what is needed. Counted by modules; `python -m bench startup` takes the time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.harness import ROOT

PEOPLES = {"rich", "poller.show", "poller.check", "poller.setup", "poller.explain", "formatters.examples"}
"""What only a person who looks on needs."""
RARELY_NEEDED = PEOPLES | {
    "alembic",
    "psycopg",
    "sqlalchemy.dialects.postgresql",
    "state.look",
    "prometheus_client",
    "poller.exporter",
    "http.server",
    "poller.administrator",
    "poller.commands.once",
    "poller.commands.backfill",
}
LATER = {"sqlalchemy", "requests", "urllib3", "msgspec", "apscheduler", "formatters", "state", "poller.config"}


def loaded(code: str) -> set[str]:
    """All modules of a Python that has run this, with their packages."""
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, file=sys.stderr)"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def in_any(names: set[str], packages: Iterable[str]) -> set[str]:
    return {name for name in names if any(f"{name}.".startswith(f"{package}.") for package in packages)}


@pytest.mark.parametrize("arguments", [["--help"], ["backfill", "--help"]])
def test_help_loads_nothing_of_what_the_commands_do(arguments: list[str]) -> None:
    """It is there at once."""
    found = loaded(f"from poller.__main__ import cli\ncli({arguments}, standalone_mode=False)")
    assert "poller.setup_flags" in found
    assert not in_any(found, LATER | RARELY_NEEDED)


def test_the_daemon_on_sqlite_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """It is there for months, and so is what it has loaded; also with a database that it has just made."""
    url = f"sqlite:///{tmp_path}/state.db"
    found = loaded(
        f"import poller.commands.run, state\nstate.Store.open({url!r}, 'http://harbor.example', 'default').close()"
    )
    assert {"poller.daemon", "sqlalchemy.dialects.sqlite", "requests"} <= found
    assert not in_any(found, RARELY_NEEDED)


def test_once_all_is_loaded_garbage_is_looked_for_again() -> None:
    """A daemon that did not would grow for months."""
    code = "import atexit, gc, sys\nsys.argv[1:] = ['reference']\natexit.register(lambda: print('on', gc.isenabled()))"
    command = [sys.executable, "-c", f"{code}\nfrom poller.__main__ import main\nmain()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("on True\n")
