"""The product on a machine with a wrong clock, or a full disk: its command line, started by the Nursery."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import time_machine
from sqlalchemy import Connection, Engine, event

from poller import plan
from poller.__main__ import cli as product
from poller.telegram import Telegram

OFFSET_FILE = "FAULTS_OFFSET_FILE"
FULL_FILE = "FAULTS_FULL_FILE"
FOLLOW_S = 0.02
MOST_ERROR_S = 0.001
TELEGRAM_TIMEOUT = (3, 6)
"""Outside tests it is 40 s: a harness that waits for that again and again has no time for anything else."""


SHORTEST_REST, LONGEST_REST = timedelta(seconds=3), timedelta(seconds=10)
"""Between two edits of a message; outside tests up to ten minutes, and all is to be told before it is judged."""


def cli(args: list[str], prog_name: str) -> None:
    """As the product's own, but the wall clock is as far off as a file says. `time.monotonic` goes on as ever."""
    defaults = Telegram.__init__.__kwdefaults__
    assert defaults is not None
    defaults["timeout"] = TELEGRAM_TIMEOUT
    plan.SHORTEST_REST, plan.LONGEST_REST = SHORTEST_REST, LONGEST_REST
    if full := os.environ.get(FULL_FILE):
        _heed_full_disk(Path(full))
    path = Path(os.environ[OFFSET_FILE])
    offset = read_offset(path)
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=offset), tick=True) as traveller:
        _set_exactly(traveller, offset)
        threading.Thread(target=_follow, args=(path, offset, traveller), daemon=True).start()
        product(args, prog_name=prog_name)


def _set_exactly(traveller: Any, offset: float) -> None:
    """On a busy machine much may pass between a look at the clock and its setting: two processes would disagree."""
    while True:
        before = time.time()
        error = time_machine.escape_hatch.time.time() + offset - before
        if time.time() - before < MOST_ERROR_S:
            traveller.shift(error)
            return


def read_offset(path: Path) -> float:
    return float(path.read_text())


def write_offset(path: Path, seconds: float) -> None:
    """At once: no reader finds half a number."""
    new = path.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(path)


def _follow(path: Path, offset: float, traveller: Any) -> None:
    while True:
        wanted = read_offset(path)
        if wanted != offset:
            traveller.shift(wanted - offset)
            offset = wanted
        time.sleep(FOLLOW_S)


def _heed_full_disk(full: Path) -> None:
    """Where no small file system can be mounted: as long as a file is there, SQLite may not grow."""

    @event.listens_for(Engine, "begin")
    def limit(connection: Connection) -> None:
        raw = connection.connection.dbapi_connection
        if isinstance(raw, sqlite3.Connection):
            raw.execute(f"PRAGMA max_page_count = {1 if full.exists() else 2**30}")
