"""How much memory a backlog takes: it is read page by page and told part by part, so its size should not matter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.child import peak_bytes
from bench.material import product, write_conf
from bench.report import Sheet, number, ratio
from bench.served import served
from bench.sizes import Sizes
from demo.telegram import TelegramStandIn


def run(sizes: Sizes) -> Sheet:
    rests, peaks = zip(*(_peaks(rows) for rows in (sizes.small_backlog, sizes.large_backlog)), strict=True)
    few, many = f"{sizes.small_backlog:,} rows", f"{sizes.large_backlog:,} rows"
    return Sheet(
        "3. Memory of `once` with a backlog (peak of the process)",
        ("", few, many, "ratio"),
        [
            ("nothing new", *map(_megabytes, rests), ratio(rests[1], rests[0])),
            ("the backlog read and told", *map(_megabytes, peaks), ratio(peaks[1], peaks[0])),
            ("  above nothing new", *_differences(peaks, rests)),
        ],
        ("Told in digests of up to 20,000 events, so the memory grows until there are so many and then stays.",),
    )


def _differences(peaks: tuple[int, ...], rests: tuple[int, ...]) -> tuple[str, str, str]:
    few, many = (peak - rest for peak, rest in zip(peaks, rests, strict=True))
    return _megabytes(few), _megabytes(many), ratio(many, few)


def _peaks(rows: int) -> tuple[int, int]:
    """Bytes of a run that finds so many new rows and tells them, after those of one that finds nothing."""
    now = datetime.now(UTC)
    with (
        TemporaryDirectory() as folder,
        TelegramStandIn() as telegram,
        served(1 + rows, start=now, apart=timedelta(seconds=0.0001)) as harbor,
    ):
        conf = write_conf(Path(folder), harbor.url, telegram=telegram, more="[delivery]\nmax_delay = '2s'\n")
        harbor.show(1)
        with product(conf) as first_run:
            first_run.poller.poll(now)
        peak_at_rest = peak_bytes("--config", conf, "once")
        harbor.show(1 + rows)
        peak = peak_bytes("--config", conf, "once")
        assert telegram.messages
        return peak_at_rest, peak


def _megabytes(size: float) -> str:
    return f"{number(size / 2**20)} MiB"
