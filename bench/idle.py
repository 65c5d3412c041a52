"""What an idle poll costs: requests, bytes and CPU time, with all that the daemon does beside it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from bench.filled import tell_all
from bench.material import load, open_store, product, write_conf
from bench.observed import daemon, wait_until
from bench.report import Sheet, at_most, milliseconds, number
from bench.served import Served, served
from bench.sizes import Sizes
from demo.telegram import TelegramStandIn
from poller import lease
from poller.clock_steps import SteadyClock
from poller.config import Config
from poller.daemon import Bell, Shift
from poller.harbor import Harbor
from poller.jobs import AuditPoller
from poller.measures import Measure, Ran
from poller.telegram import Telegram
from poller.telling import ROUTE, Teller
from poller.times import utc_now
from poller.turns import Tellers
from state import Grant, Store

APART = timedelta(seconds=1.8)
SINCE_LAST_ROW = timedelta(minutes=5)
"""Of the two minutes after a row other rows may come late, and ids be read again."""
WARM_UP = 5
WARM_UP_SECONDS = 7
"""The daemon's first poll, and the looks that it takes once."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one poll."""

    requests: float
    traffic: float
    seconds: float


def run(sizes: Sizes) -> Sheet:
    log_ends = datetime.now(UTC) - SINCE_LAST_ROW
    with (
        TemporaryDirectory() as folder,
        TelegramStandIn() as telegram,
        served(sizes.history, start=log_ends - APART * sizes.history, apart=APART) as harbor,
    ):
        conf = write_conf(Path(folder), harbor.url, telegram=telegram)
        _read_all(conf, harbor, sizes.history)
        alone = _hurried(conf, harbor, sizes.idle_ticks)
        lived = _daemons(conf, harbor, sizes.idle_seconds) if sizes.idle_seconds else None
        assert not telegram.messages
        every = load(conf).schedule.poll
    return Sheet(
        "10. An idle poll",
        ("", "requests", "bytes", "CPU"),
        [
            ("one after the other", *_shown(alone)),
            *([(f"every {every:g} s, all of the process", *_shown(lived.cost))] if lived else []),
        ],
        (
            f"A state of {sizes.history:,} events, a log that has been silent for some minutes. Bytes are those of "
            "request and answer with their heads. The CPU time is that of the daemon's whole process: with the "
            "scheduler, a beat of the lease and a look at what is due for each poll. Where the polls are apart, the "
            "processor has other things in its caches meanwhile, and the sweep's and the watch's requests are in it.",
            *([f"Beside the polls it made {lived.others:.0f} requests, for the sweep and the watch."] if lived else []),
        ),
        (
            at_most("d) requests of an idle poll", alone.requests, 1, number),
            at_most("d) CPU of an idle poll, all of its tick", alone.seconds, 0.005, milliseconds),
        ),
    )


def _shown(cost: Cost) -> tuple[str, str, str]:
    return number(cost.requests), number(cost.traffic) if cost.traffic else "–", milliseconds(cost.seconds)


def _read_all(conf: Path, harbor: Served, rows: int) -> None:
    """The state of somebody who has been polling for long."""
    harbor.show(1)
    with product(conf) as opened:
        opened.poller.poll(datetime.now(UTC) - timedelta(hours=1))
        harbor.show(rows)
        polled = opened.poller.poll(datetime.now(UTC) - SINCE_LAST_ROW)
    assert polled.new == rows - 1, polled
    tell_all(_state_url(load(conf)))


def _hurried(conf: Path, harbor: Served, polls: int) -> Cost:
    """A daemon whose polls follow each other, each with a look at what is due and a beat of the lease."""
    with Hurried(load(conf)) as shift:
        shift.poll(WARM_UP)
        warm, began = harbor.meter(), time.process_time()
        shift.poll(polls)
        seconds, met = time.process_time() - began, harbor.meter() - warm
    assert (met.pages, met.rows) == (polls, polls), met
    return Cost(met.requests / polls, met.traffic / polls, seconds / polls)


class Hurried:
    """A shift of the daemon in this process: all is its own, but that the next poll is due as soon as one has ended."""

    def __init__(self, config: Config) -> None:
        c, route = config.harbor, config.routes[0]
        self._store = Store.open(_state_url(config), c.url, ROUTE)
        self._harbor = Harbor(c.url, c.username, c.password)
        grant = self._store.take_lease("poller", "bench", utc_now(), lease.KEEP)
        assert isinstance(grant, Grant)
        self._grant = grant
        self._done = {job: threading.Semaphore(0) for job in ("poll", "deliver")}
        held, steady = self._store.under(grant), SteadyClock(utc_now)
        telegram = Telegram(config.telegram.bot_token, api_url=config.telegram.api_url)
        tellers = Tellers({route.name: Teller(telegram, held, config, steady, route)})
        poller = AuditPoller(self._harbor, held, config)
        self._bell = Bell()
        self._shift = Shift(config, held, grant, poller, tellers, utc_now, steady, sink=self._heed, bell=self._bell)
        self._thread = threading.Thread(target=self._shift.run)

    def _heed(self, measure: Measure) -> None:
        if isinstance(measure, Ran) and measure.job in self._done:
            self._done[measure.job].release()

    def poll(self, times: int) -> None:
        for _ in range(times):
            self._bell.ring()
            self._done["deliver"].acquire()
            self._poll_now()
            while not self._done["poll"].acquire(timeout=0.1):  # the schedule took the last one for unfinished
                self._poll_now()
            lease.beat(self._store, self._grant, utc_now())

    def _poll_now(self) -> None:
        self._shift._scheduler.modify_job("poll", next_run_time=utc_now())

    def __enter__(self) -> Self:
        self._thread.start()
        self._done["poll"].acquire()  # the one at the start, and the first look
        self._done["deliver"].acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._shift.end()
        self._thread.join()
        self._harbor.close()
        self._store.close()


@dataclass(frozen=True, slots=True)
class Lived:
    cost: Cost
    others: float  # requests that are not for the log


def _daemons(conf: Path, harbor: Served, seconds: float) -> Lived:
    """The real daemon by its own schedule."""
    with daemon(conf) as running, open_store(load(conf)) as store:

        def polls() -> int:
            return sum(line.polls for line in store.ledger(since=datetime.min.replace(tzinfo=UTC)))

        first = harbor.meter().pages
        wait_until(lambda: harbor.meter().pages > first)
        time.sleep(min(WARM_UP_SECONDS, seconds))
        before, met_before, began = polls(), harbor.meter(), running.cpu_seconds()
        time.sleep(seconds)
        took, met, count = running.cpu_seconds() - began, harbor.meter() - met_before, polls() - before
    return Lived(Cost(met.pages / count, 0, took / count), met.requests - met.pages)


def _state_url(config: Config) -> str:
    return config.state.url.reveal()
