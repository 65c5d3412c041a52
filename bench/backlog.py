"""How fast a backlog is worked off, against merely downloading it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.log import START, end_of
from bench.material import NEW_LOG, Clock, Product, product, write_conf
from bench.report import Sheet, number, ratio
from bench.served import served
from bench.sizes import Sizes
from demo.telegram import TelegramStandIn
from poller.harbor import PAGE, Harbor
from poller.telegram import Telegram
from poller.telling import Teller, Told


def run(sizes: Sizes) -> Sheet:
    times = [_times(sizes.large_backlog) for _ in range(sizes.repetitions)]
    downloaded, recorded, told = (min(column) for column in zip(*times, strict=True))
    rows = sizes.large_backlog
    return Sheet(
        f"5. A backlog of {rows:,} rows",
        ("", "rows per second", "time, against the download"),
        [
            ("pages downloaded and decoded", number(rows / downloaded), ratio(downloaded, downloaded)),
            ("recorded in SQLite as well", number(rows / recorded), ratio(recorded, downloaded)),
            ("told as well, without pauses", number(rows / told), ratio(told, downloaded)),
        ],
        (
            "The stand-in has its answers ready. A real Harbor takes 3 ms or more for each page, and the network "
            "its time: there the ratio is smaller.",
        ),
    )


def _times(rows: int) -> tuple[float, float, float]:
    """Seconds until so many rows are downloaded; recorded; recorded and told."""
    clock = Clock(START)
    with (
        TemporaryDirectory() as folder,
        TelegramStandIn(clock=clock) as telegram,
        served(1 + rows) as harbor,
        product(write_conf(Path(folder), harbor.url, telegram=telegram)) as opened,
    ):
        harbor.show(1)
        opened.poller.poll(clock.now)
        harbor.show(1 + rows)
        clock.now = end_of(1 + rows)
        downloaded = _seconds(lambda: _download(opened.harbor, 2))
        recorded = _seconds(lambda: opened.poller.poll(clock.now))
        told = _seconds(lambda: _tell(opened, telegram, clock))
        return downloaded, recorded, recorded + told


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _download(harbor: Harbor, first_id: int) -> None:
    rows = harbor.rows_from(NEW_LOG, first_id)
    while len(rows) == PAGE:
        rows = harbor.rows_from(NEW_LOG, rows[-1].id + 1)


def _tell(opened: Product, telegram: TelegramStandIn, clock: Clock) -> None:
    """Everything that is due; where the chat's pace has to be waited for, time is moved on."""
    client = Telegram(opened.config.telegram.bot_token, api_url=telegram.url)
    teller = Teller(client, opened.store, opened.config, clock)
    while True:
        step = teller.deliver(is_patient=False)
        if isinstance(step, Told):
            continue
        if step.seconds is None:
            return
        clock.advance(step.seconds)
