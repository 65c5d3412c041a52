"""How fast a long past is read into the state, and how much memory that takes: its length should not matter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.child import peak_and_output
from bench.growth import postgres
from bench.log import START, end_of
from bench.material import write_conf
from bench.report import Sheet, number, ratio
from bench.served import Served, served
from bench.sizes import Sizes
from demo.telegram import TelegramStandIn

ALLOWED = 80 * 2**20
"""So many bytes above the start may a backfill take."""


@dataclass(frozen=True, slots=True)
class Run:
    """A backfill: `start` is the peak of one that finds nothing."""

    rows: int
    seconds: float
    start: int
    peak: int

    @property
    def above(self) -> int:
        return max(0, self.peak - self.start)


def run(sizes: Sizes) -> Sheet:
    with served(max(sizes.past)) as harbor:
        lines = _lines("SQLite", [_run(harbor, rows, "none") for rows in sizes.past])
        lines += _lines("SQLite, told as digests", [_run(harbor, sizes.past_told, "digest")])
        with TemporaryDirectory() as folder, postgres(Path(folder), wanted=sizes.with_postgres) as urls:
            if urls:
                lines += _lines("PostgreSQL", [_run(harbor, sizes.past_told, "none", urls[0])])
    return Sheet(
        f"7. Backfill of {max(sizes.past):,} rows",
        ("", "rows/s", "peak", "above the start", "of 80 MiB"),
        lines,
        (
            "The stand-in has its pages ready, in a process of its own. A real Harbor takes 3 ms "
            "or more for each 100 of them, and the network its time. The rate is that of reading and recording; the "
            "start is the peak of a backfill that finds nothing.",
        ),
    )


def _lines(what: str, runs: list[Run]) -> list[tuple[str, ...]]:
    return [
        (
            f"{each.rows:,} rows, {what}",
            number(each.rows / each.seconds),
            f"{number(each.peak / 2**20)} MiB",
            f"{number(each.above / 2**20)} MiB",
            ratio(each.above, ALLOWED),
        )
        for each in runs
    ]


def _run(harbor: Served, rows: int, deliver: str, state_url: str = "sqlite:///state.db") -> Run:
    harbor.show(rows)
    with TemporaryDirectory() as folder, TelegramStandIn() as telegram:
        conf = write_conf(Path(folder), harbor.url, telegram=telegram, state_url=state_url)
        empty, _ = _backfill(conf, "none", START - timedelta(days=2), START - timedelta(days=1))
        peak, said = _backfill(conf, deliver, START, end_of(rows))
    assert said.startswith(f"{rows} rows read in "), said
    return Run(rows, float(said.split()[4]), empty, peak)


def _backfill(conf: Path, deliver: str, since: datetime, until: datetime) -> tuple[int, str]:
    period = ("--since", since.isoformat(), "--until", until.isoformat())
    return peak_and_output("--config", conf, "backfill", *period, "--deliver", deliver)
