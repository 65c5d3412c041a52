"""The daemon: runs the jobs on schedule until it is told to stop. Time begins here; below, it is an argument."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from logging import ERROR
from types import FrameType

import msgspec
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.job import Job
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from poller import backoff, jobs, lease, measures, sdnotify
from poller.clock_steps import SteadyClock
from poller.config import Config, Schedule
from poller.errors import (
    HarborUnreachable,
    HeartbeatRefused,
    HeartbeatUnreachable,
    LeaseTaken,
    OperatorError,
    PollerError,
    StateBusy,
    StateFull,
)
from poller.exit_codes import DONE
from poller.heartbeat import UNHEARD, Heartbeat
from poller.logs import Log
from poller.measures import Leads, Measure, Recorded, Sink
from poller.pulse import Ping, Pulse
from poller.standby import Standby
from poller.telling import PACE_REMEMBERS, Told
from poller.times import utc_now
from poller.troubles import Trouble, Troubles
from poller.turns import Tellers
from poller.values import replace
from state import DeliveryState, Grant, Store

_DELIVER_SECONDS = 1
_LOOK_SECONDS = 5
"""So often delivery looks by itself: what is recorded here wakes it, but a backfill may let it have something, too."""
_SWEEP_SECONDS = 10
"""So often the sweep may take a step, or as often as its budget allows; a step is a request."""
_WATCH_SECONDS = 60
_CLOCK_SECONDS = 1
_HEARTBEAT_SECONDS = 2
_DAILY_SECONDS = 60
_STUCK_SECONDS = 900
_LATE = timedelta(minutes=5)
"""A job that is due for so long was forgotten by its schedule."""
_SLOW_FACTOR = 5
"""After a poll that took long, Harbor is left alone for so many times as long."""
_LONGEST_REST = 60

NOT_STARTED = Trouble("daemon.not_started", "daemon.still_not_started", "daemon.can_start")
BUG = Trouble("job.broken", "job.still_broken", "job.mended", ERROR)
STATE = Trouble("state.failed", "state.failing", "state.recovered")
"""A database that does not answer, or has no room: one trouble, however many jobs meet it."""
JOBS = {
    "poll": Trouble("poll.failed", "poll.failing", "poll.recovered"),
    "sweep": Trouble("sweep.failed", "sweep.failing", "sweep.recovered"),
    "watch": Trouble("watch.failed", "watch.failing", "watch.recovered"),
    "deliver": Trouble("deliver.failed", "deliver.failing", "deliver.recovered"),
    "lease": Trouble("lease.failed", "lease.failing", "lease.recovered"),
    "clock": Trouble("clock.failed", "clock.failing", "clock.recovered"),
    "prune": Trouble("prune.failed", "prune.failing", "prune.recovered"),
    "daily": Trouble("daily.failed", "daily.failing", "daily.recovered"),
    "heartbeat": UNHEARD,
    "report": Trouble("report.failed", "report.failing", "report.recovered"),
}
OFTEN = frozenset({"poll", "sweep", "watch", "deliver", "lease", "daily"})
"""They are tried again soon, so they notice when the database is well again."""

_log = Log(__name__)


def trouble_of(job: str, error: PollerError) -> Trouble:
    """What a job has met: jobs that meet the same say it once."""
    if job in OFTEN and isinstance(error, StateBusy | StateFull):
        return STATE
    if job in ("sweep", "watch") and isinstance(error, HarborUnreachable):
        return JOBS["poll"]
    return JOBS[job]


class Turn(msgspec.Struct):
    """When a job may run again, after failures or slow answers, in monotonic seconds: a wall clock may be set back."""

    slow_factor: float = 0
    clock: Callable[[], float] = time.monotonic
    not_before: float = 0
    failures: int = 0
    alive_at: float | None = None  # while it runs: when it got on last

    @property
    def may_run(self) -> bool:
        return self.clock() >= self.not_before

    @property
    def is_stuck(self) -> bool:
        return self.alive_at is not None and self.clock() - self.alive_at > _STUCK_SECONDS

    def gets_on(self) -> None:
        self.alive_at = self.clock()

    def failed(self, *, first: float, most: float) -> float:
        seconds = backoff.pause(self.failures, first=first, most=most)
        self.failures += 1
        self.not_before = self.clock() + seconds
        return seconds

    def succeeded(self, seconds: float) -> None:
        self.failures = 0
        pause = min(seconds * self.slow_factor, _LONGEST_REST) if seconds > 1 else 0
        self.not_before = self.clock() + pause


class Daemon:
    """The only poller of its database as long as it can be, and a standby for another one otherwise."""

    def __init__(
        self,
        config: Config,
        store: Store,
        owner: lease.Owner,
        *,
        new_poller: Callable[[Store], jobs.AuditPoller],
        new_tellers: Callable[[Store, Callable[[], datetime]], Tellers],
        heartbeat: Heartbeat | None = None,
        clock: Callable[[], datetime] = utc_now,
        sink: Sink = measures.ignore,
    ) -> None:
        self._config = config
        self._store = store
        self._owner = owner
        self._sink = sink
        self._heartbeat = heartbeat
        self._new_poller = new_poller
        self._new_tellers = new_tellers
        self._clock = clock
        self._stop = threading.Event()
        self._shift: Shift | None = None
        self._troubles = Troubles()
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)  # a poll that takes long is no news

    def run(self) -> int:
        """Work until SIGTERM or SIGINT; what is in flight is finished first. Returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        standby = Standby(self._store, self._owner, self._clock)
        self._sink(Leads(is_leading=False))
        while (grant := standby.wait(self._stop)) is not None:
            self._work(grant)
            lease.release(self._store, grant)
            self._sink(Leads(is_leading=False))
        _log.info("daemon.stopped", exit_code=DONE)
        return DONE

    def _work(self, grant: Grant) -> None:
        """Nothing is kept in memory from one shift to the next: others have worked in between."""
        held, steady, bell = self._store.under(grant), SteadyClock(self._clock), Bell(self._sink)
        try:
            poller, tellers = self._new_poller(held.measured(bell.heed)), self._new_tellers(held, steady)
        except PollerError as error:
            self._troubles.failed(NOT_STARTED, error)
            self._stop.wait(lease.LOOK_SECONDS)
            return
        self._troubles.went_well(NOT_STARTED)
        self._shift = Shift(
            self._config,
            held,
            grant,
            poller,
            tellers,
            self._clock,
            steady,
            sink=self._sink,
            heartbeat=self._heartbeat,
            bell=bell,
        )
        self._sink(Leads(is_leading=True))
        if self._stop.is_set():
            self._shift.end()
        self._shift.run()

    def hangs(self) -> str:
        """What of it stands still that should not, for people; "" while all gets on."""
        shift = self._shift
        return shift.hangs() if shift is not None else ""

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        _log.info("daemon.stopping", signal=signal.Signals(number).name)
        sdnotify.notify("STOPPING=1")
        self._stop.set()
        if self._shift is not None:
            self._shift.end()


class Bell:
    """Rings when something was recorded that is to be told: delivery begins while the poll still goes on."""

    def __init__(self, sink: Sink = measures.ignore) -> None:
        self._sink = sink
        self._event = threading.Event()

    def heed(self, measure: Measure) -> None:
        self._sink(measure)
        if isinstance(measure, Recorded) and any(state == DeliveryState.PENDING for _, state in measure.decided):
            self.ring()

    @property
    def has_rung(self) -> bool:
        return self._event.is_set()

    def ring(self) -> None:
        self._event.set()

    def wait(self, seconds: float) -> None:
        self._event.wait(seconds)
        self._event.clear()


class Shift:
    """Polls and delivers, each in its own thread, so that neither waits for the other's server."""

    def __init__(
        self,
        config: Config,
        store: Store,
        grant: Grant,
        poller: jobs.AuditPoller,
        tellers: Tellers,
        wall_clock: Callable[[], datetime],
        clock: SteadyClock,
        *,
        sink: Sink = measures.ignore,
        heartbeat: Heartbeat | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        bell: Bell | None = None,
    ) -> None:
        self._config = config
        self._store = store
        self._grant = grant
        self._poller = poller
        self._tellers = tellers
        self._wall_clock = wall_clock
        self._clock = clock
        self._sink = sink
        self._told = 0  # events, since the shift began
        self._stop = threading.Event()
        self._is_over = threading.Event()
        self._who_says_it_is_lost = threading.Lock()
        self._monotonic = monotonic
        self._troubles = Troubles(monotonic)
        self._polling = Turn(_SLOW_FACTOR, monotonic)
        self._sweeping = Turn(_SLOW_FACTOR, monotonic)
        self._watching = Turn(_SLOW_FACTOR, monotonic)
        self._harbors_turn = threading.Lock()  # Harbor is asked one thing at a time
        self._chats_turn = threading.Lock()
        self._delivering = Turn(clock=monotonic)
        self._bell = bell or Bell()
        self._look_in: float = _DELIVER_SECONDS
        self._moving = Turn(clock=monotonic)
        self._heartbeat = heartbeat
        self._beating = Turn(clock=monotonic)
        self._pulse = Pulse(config.heartbeat.every)
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(8)},  # as many as there are jobs: none waits for another
            # APScheduler's own grace time of 1 s would drop runs silently while a worker is busy.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
            timezone=UTC,
        )

    def end(self) -> None:
        self._stop.set()
        self._bell.ring()

    def run(self) -> None:
        """Work until `end` or until the lease is lost; it is kept until what is in flight is finished."""
        keepers = [threading.Thread(target=work, daemon=True) for work in (self._keep_lease, self._watch_clock)]
        for keeper in keepers:
            keeper.start()
        if self._heartbeat is not None:
            # Nobody waits for its end: a switch whose answer drips in holds nothing up.
            threading.Thread(target=self._keep_beating, daemon=True).start()
        self._schedule()
        self._scheduler.start()
        teller = threading.Thread(target=self._keep_delivering)
        teller.start()
        _log.info("daemon.started", harbor=self._config.harbor.url, chat_id=self._config.telegram.chat_id)
        sdnotify.notify("READY=1\nSTATUS=started")
        self._stop.wait()
        self._poller.stop()
        self._scheduler.shutdown(wait=True)
        teller.join()
        if self._tellers.owes_a_note:
            self._run_job("deliver", self._delivering, self._tellers.settle)
        self._is_over.set()
        for keeper in keepers:
            keeper.join()

    def _schedule(self) -> None:
        now = self._wall_clock()
        schedule, add = self._config.schedule, self._scheduler.add_job
        add(self._poll, poll_trigger(schedule, self._config.timezone), next_run_time=now, id="poll")
        step = min(_SWEEP_SECONDS, 3600 / schedule.sweep_requests)
        add(self._sweep, IntervalTrigger(seconds=step), id="sweep")
        add(self._watch, IntervalTrigger(seconds=_WATCH_SECONDS), id="watch")
        prune_every = IntervalTrigger(seconds=round(jobs.PRUNE_EVERY.total_seconds()))
        add(self._prune, prune_every, next_run_time=now + timedelta(minutes=1), id="prune")
        if self._config.delivery.all_quiet is not None:
            # Not before the first poll: what it tells is to be as of now.
            add(self._tell_day, IntervalTrigger(seconds=_DAILY_SECONDS), id="daily")
        # Not before the clock was set: then `reschedule` wakes it.
        add(self._follow_clock, IntervalTrigger(seconds=_CLOCK_SECONDS), next_run_time=None, id="clock")
        watchdog = sdnotify.watchdog_seconds()
        add(self._report, IntervalTrigger(seconds=min(watchdog or 60, 60) / 2), id="report")

    # -- beside the schedule, which hangs on the wall clock --

    def _keep_lease(self) -> None:
        while not self._is_over.wait(lease.BEAT_SECONDS):
            self._run_job("lease", None, lambda: lease.beat(self._store, self._grant, self._wall_clock()))

    def _watch_clock(self) -> None:
        known = 0.0
        while not self._is_over.wait(_CLOCK_SECONDS):
            step = self._clock.step()
            if step and (abs(step - known) > 1 or any_sleeps(self._scheduler.get_jobs())):
                reschedule(self._scheduler.get_jobs(), self._wall_clock())
            known = step

    def _keep_delivering(self) -> None:
        """Not at once: if a crash made Telegram's last answer get lost, the chat's pace counts from that message on."""
        self._stop.wait(_DELIVER_SECONDS)
        while not self._stop.is_set():
            self._deliver()
            self._bell.wait(self._look_in)

    def _keep_beating(self) -> None:
        """Whoever was frozen lets the others learn first what happened meanwhile: another may have taken over."""
        before = self._monotonic()
        while not self._stop.wait(_HEARTBEAT_SECONDS):
            before, was = self._monotonic(), before
            if before - was < lease.BEAT_SECONDS + _HEARTBEAT_SECONDS:
                self._beat_heart()

    # -- the jobs, each behind the wrapper --

    def _poll(self) -> None:
        with self._harbors_turn:
            if self._polling.may_run:
                self._run_job("poll", self._polling, self._poll_and_heed)

    def _poll_and_heed(self) -> None:
        try:
            is_whole = self._poll_to_the_end()
        except PollerError as error:
            self._pulse.poll_failed(str(error), self._monotonic())
            raise
        except Exception:
            self._pulse.poll_failed("a fault of the poller itself: see its log", self._monotonic())
            raise
        if is_whole:
            self._pulse.polled()

    def _poll_to_the_end(self) -> bool:
        """Whether all could be read. Results of scans are read in portions, so that the log does not wait for them."""
        polled = self._poller.poll(self._clock())
        while polled.has_more and not self._stop.is_set():
            self._polling.gets_on()
            polled = replace(polled, has_more=False) + self._poller.poll(self._clock())
        return polled.is_whole

    def _sweep(self) -> None:
        """A page with many large reports may take Harbor long: one at a time, so that polls are not held up."""
        with self._harbors_turn:
            if self._sweeping.may_run and not self._polling.failures and not self._stop.is_set():
                self._run_job("sweep", self._sweeping, lambda: self._poller.sweep(self._clock(), most=1))

    def _watch(self) -> None:
        with self._harbors_turn:
            if self._watching.may_run and not self._polling.failures and not self._stop.is_set():
                self._run_job("watch", self._watching, lambda: self._poller.watch(self._clock()))

    def _deliver(self) -> None:
        self._look_in = _DELIVER_SECONDS
        if self._delivering.may_run:
            self._run_job("deliver", self._delivering, self._deliver_what_may_go)

    def _deliver_what_may_go(self) -> None:
        """Messages that the chat's pace holds up for less than a turn are waited for: a turn later is too late."""
        while not self._stop.is_set():
            with self._chats_turn:
                step = self._tellers.deliver()
            self._delivering.gets_on()
            if isinstance(step, Told):
                self._told += step.events
                continue
            if step.seconds is None or step.seconds > _DELIVER_SECONDS:
                moments = (each for each in (step.seconds, step.look_in) if each is not None)
                self._look_in = min((*moments, _LOOK_SECONDS))
                return
            self._bell.wait(step.seconds)

    def _beat_heart(self) -> None:
        """Tell the dead man's switch how it goes, if that is due."""
        now = self._monotonic()
        self._pulse.chats(self._tellers.troubles, now)
        self._pulse.work(self.hangs() or self._failing(), now)
        ping = self._pulse.due(now)
        if ping is not None and self._beating.may_run:
            self._run_job("heartbeat", self._beating, lambda: self._ping(ping))

    def _ping(self, ping: Ping) -> None:
        assert self._heartbeat is not None
        self._heartbeat.tell(ping.reason)
        self._pulse.sent(ping, self._monotonic())

    def _follow_clock(self) -> None:
        if not self._clock.step():
            self._scheduler.pause_job("clock")
        elif self._moving.may_run:
            self._run_job("clock", self._moving, self._make_step)

    def _make_step(self) -> None:
        """Between two polls and two messages, so that no appointment is made by the one clock and kept by the other."""
        with self._harbors_turn, self._chats_turn:
            step = self._clock.step()
            self._store.move_appointments(timedelta(seconds=step), paced_since=self._clock() - PACE_REMEMBERS)
            self._clock.make(step)
            self._bell.ring()
            _log.warning("clock.stepped", seconds=round(step))

    def _tell_day(self) -> None:
        with self._harbors_turn:
            self._run_job("daily", None, lambda: self._poller.tell_day(self._clock()))

    def _prune(self) -> None:
        self._run_job("prune", None, lambda: jobs.prune(self._store, self._config, self._clock()))

    def _run_job(self, name: str, kept: Turn | None, work: Callable[[], object]) -> None:
        """The one wrapper: nothing that goes wrong in a job may end the daemon; a lost lease ends the shift.

        `kept`: where it is kept when the job may run again; None: when its schedule says so, whatever happens.
        """
        turn = kept or Turn(clock=self._monotonic)
        turn.gets_on()
        started = self._monotonic()
        try:
            measures.run(name, work, self._sink)
        except LeaseTaken as error:
            self._lose_lease(error)
        except PollerError as error:
            seconds = rest_after(error, turn)
            again = round(seconds) if kept else None
            self._troubles.failed(trouble_of(name, error), error, by=name, retry_in=again)
        except Exception as error:  # noqa: BLE001 -- the one place where a bug must not end the daemon; it is logged in full
            seconds = turn.failed(first=30, most=600)
            again = round(seconds) if kept else None
            self._troubles.failed(BUG.of(job=name), error, by=name, is_bug=True, retry_in=again)
        else:
            turn.succeeded(self._monotonic() - started)
            self._troubles.went_well(name)
        finally:
            turn.alive_at = None

    def _lose_lease(self, error: LeaseTaken) -> None:
        """Several jobs may learn it at the same time; it is said once."""
        if self._who_says_it_is_lost.acquire(blocking=False):
            _log.error("daemon.lost_lease", error=error)
        self.end()

    def _report(self) -> None:
        self._run_job("report", None, self._tell_systemd)

    def _tell_systemd(self) -> None:
        """That we are alive, and in a line how things stand."""
        if self._poller.got_on() and self._polling.alive_at is not None:
            self._polling.gets_on()  # a long catch-up is work, not a hang
        if self._stuck():
            return  # let the watchdog do its work
        sdnotify.notify(f"WATCHDOG=1\nSTATUS={self._how_things_stand()}")

    @property
    def _work(self) -> dict[str, Turn]:
        """What this is all for, by the names of the jobs."""
        return {"poll": self._polling, "sweep": self._sweeping, "watch": self._watching, "deliver": self._delivering}

    def _stuck(self) -> list[str]:
        return [name for name, turn in self._work.items() if turn.is_stuck]

    def _failing(self) -> str:
        """What fails beside the polls, for people; "" for nothing."""
        found = [(name, turn.failures) for name, turn in self._work.items() if turn.failures and name != "poll"]
        return ", ".join(f"{name}: failed {times} times in a row; the log says why" for name, times in found)

    def hangs(self) -> str:
        """What stands still that should not; "" while all gets on, and when the shift is over."""
        if self._stop.is_set():
            return ""
        if stuck := self._stuck():
            return f"{', '.join(stuck)}: no progress for {_STUCK_SECONDS // 60} minutes"
        late = overdue(self._scheduler.get_jobs(), self._wall_clock())
        return f"{', '.join(late)}: due for {_LATE // timedelta(minutes=1)} minutes and not begun" if late else ""

    def _how_things_stand(self) -> str:
        """A database that is away is no reason to be killed: with it back, the work goes on."""
        try:
            waiting = sum(backlog.due + backlog.held for backlog in self._store.waiting(self._clock()).values())
        except PollerError:
            return "the state database does not answer"
        trouble = " · Harbor does not answer" if self._polling.failures else ""
        return f"{self._told} told, {waiting} waiting{trouble}"


def rest_after(error: PollerError, turn: Turn) -> float:
    """For how many seconds a job that failed so is left alone."""
    match error:
        case StateFull():  # freed space is to be noticed within a minute
            return turn.failed(first=15, most=45)
        case StateBusy():  # nobody but us waits for it
            return turn.failed(first=2, most=30)
        case HeartbeatUnreachable() | HeartbeatRefused():  # who waits for it will not wait for long
            return turn.failed(first=5, most=60)
        case OperatorError():
            return turn.failed(first=60, most=900)
        case _:
            return turn.failed(first=5, most=300)


def poll_trigger(schedule: Schedule, zone: tzinfo) -> CronTrigger | IntervalTrigger:
    jitter = schedule.jitter or None
    if schedule.cron is None:
        return IntervalTrigger(seconds=schedule.poll, jitter=jitter)
    trigger = CronTrigger.from_crontab(schedule.cron, timezone=zone)
    trigger.jitter = jitter
    return trigger


def overdue(scheduled: Sequence[Job], now: datetime) -> list[str]:
    """The jobs that their schedule has forgotten: one that is still busy has its next run ahead of it."""
    due_at = {job.id: getattr(job, "next_run_time", None) for job in scheduled}  # none before the schedule begins
    return [name for name, at in due_at.items() if at is not None and at < now - _LATE]


def any_sleeps(scheduled: Sequence[Job]) -> bool:
    """Whether a job waits to be woken, as the one that follows the clock: if the machine was halted while that looked,
    it saw no step and lay down, although there is one."""
    return any(getattr(job, "next_run_time", None) is None for job in scheduled)


def reschedule(scheduled: Sequence[Job], now: datetime) -> None:
    """After the clock was set: none stands still until the old time comes again, and none that is due is left out."""
    for job in scheduled:
        is_interval = isinstance(job.trigger, IntervalTrigger)
        fresh = now if is_interval else job.trigger.get_next_fire_time(None, now)
        job.modify(next_run_time=min(fresh, job.next_run_time or fresh))
