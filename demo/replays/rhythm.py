"""Virtual time: what happens in the registry, and the product's jobs at the daemon's rhythm between."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from demo.harbor import POLLER, HarborStandIn, World
from demo.telegram import TelegramStandIn
from poller.config import Config
from poller.daemon import Turn
from poller.errors import PollerError
from poller.harbor import Harbor
from poller.jobs import AuditPoller
from poller.telegram import Telegram
from poller.telling import ROUTE, Teller, Told
from state import Store

POLL_S = 5.0
SWEEP_S = 10.0
WATCH_S = 60.0
DELIVER_S = 1.0
DELIVER_PHASE_S = 0.5
"""The jobs of a daemon do not run at the same moment: a message goes so long after the poll, at the earliest."""

LIVELY_S = 20.0
"""For so long after something happened the rhythm is that of the daemon; after that it is slow until more happens."""

IDLE_POLL_S = 60.0
IDLE_DELIVER_S = 30.0
NEVER = math.inf
_TICK = timedelta(milliseconds=5)


class Clock:
    """Seconds from the beginning. Asked by `tick`, it moves a little, so that deeds have an order."""

    def __init__(self, beginning: datetime) -> None:
        self._beginning = beginning
        self.now = beginning

    def __call__(self) -> datetime:
        return self.now

    def tick(self) -> datetime:
        self.now += _TICK
        return self.now

    @property
    def seconds(self) -> float:
        return (self.now - self._beginning).total_seconds()

    def reach(self, seconds: float) -> None:
        """Never back: a deed may have taken a few ticks longer than until the next one."""
        self.now = max(self.now, self._beginning + timedelta(milliseconds=math.ceil(seconds * 1000 - 1e-6)))

    def pass_(self, seconds: float) -> None:
        self.reach(self.seconds + seconds)


@dataclass(slots=True)
class Job:
    """When it runs next: at multiples of `every` seconds, moved by `phase`; NEVER while the product is down."""

    every: float
    phase: float = 0.0
    at: float = NEVER

    def not_before(self, seconds: float) -> None:
        self.at = math.ceil((seconds - self.phase) / self.every - 1e-9) * self.every + self.phase


class Product:
    """What the daemon does, in process. `next_deed`: when something happens next, for what is skipped until then."""

    def __init__(self, config: Config, clock: Clock, next_deed: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._next_deed = next_deed
        self._lively_until = 0.0
        self._poll, self._sweep = Job(POLL_S), Job(SWEEP_S)
        self._watch, self._deliver = Job(WATCH_S), Job(DELIVER_S, DELIVER_PHASE_S)
        self._jobs = {
            "poll": (self._poll, self._poll_once),
            "sweep": (self._sweep, self._sweep_once),
            "watch": (self._watch, self._watch_once),
            "deliver": (self._deliver, self._deliver_what_may_go),
        }
        self.start()

    def start(self) -> None:
        """A new process: nothing is left but the state."""
        config = self._config
        self.store = Store.open(config.state.url.reveal(), config.harbor.url, ROUTE)
        self._harbor = Harbor(config.harbor.url, POLLER.name, config.harbor.password, sleep=self._clock.pass_)
        telegram = Telegram(config.telegram.bot_token, api_url=config.telegram.api_url, timeout=(2, 10))
        self._poller = AuditPoller(self._harbor, self.store, config)
        self._teller = Teller(telegram, self.store, config, self._clock)
        self._turn = Turn(clock=lambda: self._clock.seconds)
        for job, _ in self._jobs.values():
            job.not_before(self._clock.seconds)

    def stop(self) -> None:
        self._harbor.close()
        self.store.close()
        for job, _ in self._jobs.values():
            job.at = NEVER

    @property
    def next_at(self) -> float:
        return min(job.at for job, _ in self._jobs.values())

    def go_on(self) -> None:
        """Run the jobs whose time has come."""
        for job, work in self._jobs.values():
            if job.at <= self._clock.seconds:
                work()

    def _is_lively(self) -> bool:
        return self._clock.seconds < self._lively_until

    def _has_moved(self) -> None:
        self._lively_until = self._clock.seconds + LIVELY_S
        if self._deliver.at < NEVER:
            self._deliver.not_before(self._clock.seconds)

    def _poll_once(self) -> None:
        now = self._clock.seconds
        if self._turn.may_run:
            try:
                self._poll_to_the_end()
            except PollerError:
                self._turn.failed(first=5, most=300)
            else:
                self._turn.succeeded(0)
        pause = POLL_S if self._is_lively() else min(IDLE_POLL_S, self._next_deed() - now)
        self._poll.not_before(max(now + POLL_S, self._turn.not_before, now + pause))

    def _poll_to_the_end(self) -> None:
        has_more = True
        while has_more:
            polled = self._poller.poll(self._clock())
            has_more = polled.has_more
            if polled.new:
                self._has_moved()

    def _sweep_once(self) -> None:
        if not self._turn.failures:
            self._poller.sweep(self._clock(), most=1)
        self._sweep.not_before(self._clock.seconds + (SWEEP_S if self._is_lively() else IDLE_POLL_S))

    def _watch_once(self) -> None:
        if not self._turn.failures:
            self._poller.watch(self._clock())
        self._watch.not_before(self._clock.seconds + WATCH_S)

    def _deliver_what_may_go(self) -> None:
        step = self._teller.deliver()
        while isinstance(step, Told):
            self._has_moved()
            step = self._teller.deliver()
        pause = DELIVER_S if self._is_lively() else min(IDLE_DELIVER_S, step.seconds or IDLE_DELIVER_S)
        self._deliver.not_before(self._clock.seconds + max(DELIVER_S, pause))


@dataclass(slots=True)
class Scene:
    """What scripts act upon, and what becomes of it."""

    harbor: HarborStandIn
    telegram: TelegramStandIn
    clock: Clock
    _scripts: list[tuple[float, int, Iterator[float]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    product: Product = field(init=False)

    @property
    def world(self) -> World:
        return self.harbor.world

    def switch_on(self, config: Config) -> None:
        self.product = Product(config, self.clock, self.next_deed)

    def next_deed(self) -> float:
        return self._scripts[0][0] if self._scripts else NEVER

    def play(self, scripts: Sequence[tuple[float, Script]], *, then: float) -> None:
        """Each from so many seconds on; and so many more after the last deed of all."""
        beginning = self.clock.seconds
        for after, script in scripts:
            heapq.heappush(self._scripts, (beginning + after, next(self._numbers), script(self)))
        while self._scripts:
            self._go_to(min(self.next_deed(), self.product.next_at))
            self._act()
        self.idle(then)

    def idle(self, seconds: float) -> None:
        end = self.clock.seconds + seconds
        while self.product.next_at <= end:
            self._go_to(self.product.next_at)

    def _go_to(self, seconds: float) -> None:
        self.clock.reach(seconds)
        if self.next_deed() > seconds:
            self.product.go_on()

    def _act(self) -> None:
        while self._scripts and self.next_deed() <= self.clock.seconds:
            at, number, script = heapq.heappop(self._scripts)
            pause = next(script, None)
            if pause is not None:
                heapq.heappush(self._scripts, (round(at + pause, 3), number, script))  # a clock has no finer ticks


Script = Callable[[Scene], Iterator[float]]
"""Does something, and yields the seconds that pass until it does more."""
