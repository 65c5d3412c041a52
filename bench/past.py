"""How fast a long past is read into the state, and how much memory that takes: its length should not matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.child import peak_and_output
from bench.growth import postgres
from bench.log import START, end_of
from bench.material import write_conf
from bench.report import Goal, Sheet, at_most, number, ratio, times
from bench.served import Served, served
from bench.sizes import Sizes
from demo.telegram import TelegramStandIn

ALLOWED = 80 * 2**20
"""So many bytes above the start may a backfill take."""
FLAT = 1.1
"""From the first mark on, it takes at most so many times as much."""
MARKS = (10_000, 100_000, 500_000, 1_000_000)
"""Rows, after which it is looked how much memory the process has."""


@dataclass(frozen=True, slots=True)
class Run:
    """A backfill: `start` is the peak of one that finds nothing."""

    rows: int
    seconds: float
    start: int
    peak: int
    marks: Mapping[int, int]  # resident bytes, once so many rows were sent

    @property
    def above(self) -> int:
        return max(0, self.peak - self.start)


def run(sizes: Sizes) -> Sheet:
    with served(max(sizes.past)) as harbor:
        runs = [_run(harbor, rows, "none") for rows in sizes.past]
        lines = _lines("SQLite", runs)
        lines += _lines("SQLite, told as digests", [_run(harbor, sizes.past_told, "digest")])
        with TemporaryDirectory() as folder, postgres(Path(folder), wanted=sizes.with_postgres) as urls:
            if urls:
                lines += _lines("PostgreSQL", [_run(harbor, sizes.past_told, "none", urls[0])])
    return Sheet(
        f"7. Backfill of {max(sizes.past):,} rows",
        ("", "rows/s", "peak", "above the start", "of 80 MiB", "on the way"),
        lines,
        (
            "The stand-in has its pages ready, in a process of its own. A real Harbor takes 3 ms "
            "or more for each 100 of them, and the network its time. The rate is that of reading and recording; the "
            "start is the peak of a backfill that finds nothing. On the way: resident MiB after "
            f"{', '.join(f'{mark:,}' for mark in MARKS)} rows.",
        ),
        _goals(runs[-1]),
    )


def _goals(longest: Run) -> tuple[Goal, ...]:
    above = at_most(f"f) above the start, {longest.rows:,} rows", longest.above, ALLOWED, _megabytes)
    if len(longest.marks) < 2:
        return (above,)
    first, *_, last = longest.marks
    growth = longest.marks[last] / longest.marks[first]
    return above, at_most(f"f) memory at {last:,} rows against {first:,}", growth, FLAT, times)


def _megabytes(size: float) -> str:
    return f"{number(size / 2**20)} MiB"


def _lines(what: str, runs: list[Run]) -> list[tuple[str, ...]]:
    return [
        (
            f"{each.rows:,} rows, {what}",
            number(each.rows / each.seconds),
            _megabytes(each.peak),
            _megabytes(each.above),
            ratio(each.above, ALLOWED),
            " · ".join(number(resident / 2**20) for resident in each.marks.values()),
        )
        for each in runs
    ]


def _run(harbor: Served, rows: int, deliver: str, state_url: str = "sqlite:///state.db") -> Run:
    harbor.show(rows)
    with TemporaryDirectory() as folder, TelegramStandIn() as telegram:
        conf = write_conf(Path(folder), harbor.url, telegram=telegram, state_url=state_url)
        empty, _ = _backfill(conf, "none", START - timedelta(days=2), START - timedelta(days=1))
        marks, before = dict[int, int](), harbor.meter().rows

        def watch(resident: int) -> None:
            sent = harbor.meter().rows - before
            marks.update({mark: resident for mark in MARKS if mark <= sent and mark not in marks})

        peak, said = _backfill(conf, deliver, START, end_of(rows), watch)
    assert said.startswith(f"{rows} rows read in "), said
    return Run(rows, float(said.split()[4]), empty, peak, marks)


def _backfill(
    conf: Path,
    deliver: str,
    since: datetime,
    until: datetime,
    watch: Callable[[int], object] = lambda _resident: None,
) -> tuple[int, str]:
    period = ("--since", since.isoformat(), "--until", until.isoformat())
    return peak_and_output("--config", conf, "backfill", *period, "--deliver", deliver, watch=watch)
