"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    history: int = 20_000  # rows that are in the log before anybody polls
    busy_polls: int = 120  # every 5 s: ten minutes
    idle_polls: int = 60
    idle_ticks: int = 300  # of the daemon, one after the other
    idle_seconds: int = 60  # of the daemon
    messages: int = 30  # one by one
    in_state: tuple[int, ...] = (10_000, 1_000_000, 10_000_000)  # events; the first is a divisor of the others
    in_postgres: tuple[int, ...] = (10_000, 1_000_000)
    pages: int = 20  # measured at each size of the state
    small_backlog: int = 2_000  # rows
    large_backlog: int = 20_000
    few_in_digest: int = 100
    many_in_digest: int = 10_000
    repetitions: int = 2
    with_postgres: bool = True
    scanned_repositories: int = 200
    scanned_images: int = 50  # in each of them
    scan_minutes: int = 60  # in all but the last ten of them scans begin
    idle_scan_minutes: int = 20
    scan_all_images: int = 400
    events_a_day: int = 250  # for a year
    past: tuple[int, ...] = (10_000, 100_000, 1_000_000)  # rows
    past_told: int = 100_000
    recorded: int = 50_000  # rows
    recording_repetitions: int = 3
    pages_at_once: tuple[int, ...] = (1, 3, 10)  # in a transaction
    with_peers: bool = True  # where they are installed
    waiting_messages: int = 5_000
    starts: int = 5
    rest_polls: int = 120  # a second apart
    registries: tuple[int, ...] = (10, 100, 1_000)  # repositories of a hundred artifacts each
    scanning_minutes: int = 60


FULL = Sizes()
QUICK = Sizes(
    history=2_000,
    busy_polls=60,
    idle_polls=30,
    idle_ticks=100,
    idle_seconds=15,
    messages=6,
    in_state=(2_000, 100_000),
    in_postgres=(2_000, 100_000),
    pages=7,
    small_backlog=500,
    large_backlog=5_000,
    many_in_digest=2_000,
    repetitions=1,
    scanned_repositories=50,
    scan_minutes=30,
    idle_scan_minutes=10,
    scan_all_images=200,
    events_a_day=50,
    past=(2_000, 20_000),
    past_told=2_000,
    recorded=5_000,
    recording_repetitions=1,
    pages_at_once=(1, 10),
    waiting_messages=1_000,
    starts=2,
    rest_polls=5,
    registries=(10, 100),
    scanning_minutes=15,
)
