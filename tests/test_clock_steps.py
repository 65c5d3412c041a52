"""The clock is set, or a machine sleeps: nothing stands still, nothing waits longer, and nothing is told twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from demo.harbor import HarborStandIn, World
from demo.telegram import Kind, TelegramStandIn
from poller.clock_steps import SteadyClock
from poller.daemon import any_sleeps, overdue, reschedule
from tests.harness import NOON, ROOT, TOKEN, run_poller, wait_for, write_conf

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Clocks:
    """A wall clock and a monotonic one, which go on together unless somebody sets the first."""

    def __init__(self) -> None:
        self.wall, self.seconds, self.halt = NOON, 0.0, 0.0

    def go_on(self, seconds: float = 1) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds

    def read_wall(self) -> datetime:
        self.go_on(self.halt)
        return self.wall

    def read_monotonic(self) -> float:
        return self.seconds


@pytest.mark.parametrize("step", [HOUR, -HOUR, timedelta(seconds=-6), DAY])
def test_a_step_is_made_when_all_is_ready(step: timedelta) -> None:
    """Until then the old time goes on; the size is known, whichever way it goes."""
    clocks = Clocks()
    steady = SteadyClock(clocks.read_wall, clocks.read_monotonic)
    clocks.go_on()
    assert steady.step() == 0
    clocks.wall += step
    clocks.go_on()
    assert steady.step() == pytest.approx(step.total_seconds())
    assert steady() == clocks.wall - step
    steady.make(steady.step())
    assert steady() == clocks.wall
    assert steady.step() == 0


def test_a_clock_that_is_kept_right_is_followed() -> None:
    """When it was corrected by a minute, little by little, so were we."""
    clocks = Clocks()
    steady = SteadyClock(clocks.read_wall, clocks.read_monotonic)
    for _ in range(200):
        clocks.go_on()
        clocks.wall += timedelta(seconds=0.3)
        assert steady.step() == 0
    assert abs(steady() - clocks.wall) < timedelta(milliseconds=1)


def test_a_halt_between_the_clocks_is_no_step() -> None:
    """They were read a minute apart; but a step before it is found afterwards."""
    clocks = Clocks()
    steady = SteadyClock(clocks.read_wall, clocks.read_monotonic)
    clocks.halt = 60
    clocks.wall += HOUR
    assert steady.step() == 0
    clocks.halt = 0
    assert steady.step() == pytest.approx(3600)


@pytest.fixture
def scheduler() -> Iterator[BackgroundScheduler]:
    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.start(paused=True)
    yield scheduler
    scheduler.shutdown()


def next_run(
    scheduler: BackgroundScheduler, trigger: IntervalTrigger | CronTrigger, due: datetime, now: datetime
) -> datetime:
    """When a job runs that was due then, after the clock was set to `now`."""
    job = scheduler.add_job(int, trigger, next_run_time=due)
    reschedule([job], now)
    result: datetime = job.next_run_time
    return result


def test_what_runs_at_intervals_runs_now(scheduler: BackgroundScheduler) -> None:
    """The clock was set back an hour: it does not stand still until the old time comes again."""
    assert next_run(scheduler, IntervalTrigger(seconds=10), NOON + 10 * HOUR / 3600, NOON - HOUR) == NOON - HOUR


def test_what_runs_by_the_calendar_runs_at_its_next_time(scheduler: BackgroundScheduler) -> None:
    """By the new clock; and if that went past a run, it is made up for."""
    nightly = CronTrigger.from_crontab("0 3 * * *", timezone=UTC)
    night = datetime(2026, 11, 25, 3, tzinfo=UTC)
    assert next_run(scheduler, nightly, night, NOON - DAY) == night - DAY
    assert next_run(scheduler, nightly, night, NOON + DAY) == night


def test_a_job_that_sleeps_is_woken(scheduler: BackgroundScheduler) -> None:
    """So that a step over which it fell asleep is followed."""
    job = scheduler.add_job(int, IntervalTrigger(seconds=1), next_run_time=NOON)
    assert not any_sleeps(scheduler.get_jobs())
    job.pause()
    assert any_sleeps(scheduler.get_jobs())
    reschedule(scheduler.get_jobs(), NOON + HOUR)
    assert not any_sleeps(scheduler.get_jobs())
    assert job.next_run_time == NOON + HOUR


def test_a_job_that_is_forgotten_is_noticed(scheduler: BackgroundScheduler) -> None:
    """Due for more than five minutes and not begun. A little late is none, nor what has not been scheduled yet."""
    for name, late in (("forgotten", 301), ("late", 299), ("early", -60)):
        scheduler.add_job(int, IntervalTrigger(days=9), id=name, next_run_time=NOON - timedelta(seconds=late))
    assert overdue(scheduler.get_jobs(), NOON) == ["forgotten"]
    assert overdue(BackgroundScheduler().get_jobs(), NOON) == []
    waiting = BackgroundScheduler()
    waiting.add_job(int, IntervalTrigger(seconds=1))
    assert overdue(waiting.get_jobs(), NOON) == []


# -- a real daemon ----------------------------------------------------------------------------------

PROGRAM = """
import datetime, sys, threading
import time_machine
from poller.__main__ import cli

with time_machine.travel(datetime.datetime.now(datetime.UTC), tick=True) as clock:
    def obey():
        for line in sys.stdin:
            clock.shift(float(line))
    threading.Thread(target=obey, daemon=True).start()
    cli(sys.argv[1:])
"""


@dataclass
class Site:
    """The stand-ins, and a daemon whose wall clock can be set; its monotonic one cannot."""

    harbor: HarborStandIn
    telegram: TelegramStandIn
    process: subprocess.Popen[str]
    log: Path

    def set_clock(self, by: timedelta) -> None:
        assert self.process.stdin
        print(by.total_seconds(), file=self.process.stdin, flush=True)

    def happen(self, tag: str) -> None:
        self.harbor.world.push("team/app", tag, "ann")

    def told(self, tag: str) -> int:
        return sum(tag in text for text in self.telegram.texts)

    def steps(self) -> list[int]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]
        return [line["seconds"] for line in lines if line["event"] == "clock.stepped"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with HarborStandIn(World()) as harbor, TelegramStandIn(TOKEN) as telegram:
        harbor.world.create_project("team")
        more = f"api_url = '{telegram.url}'\n[schedule]\npoll = '1s'\njitter = '0s'\n"
        conf = write_conf(tmp_path, harbor.url, chat="1001", more=more)
        assert run_poller("--config", conf, "once").returncode == 0
        command = [sys.executable, "-c", PROGRAM, "--config", str(conf), "--log-format", "json", "run"]
        log = tmp_path / "log"
        with log.open("w") as file:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={"PATH": os.environ.get("PATH", "")},
                stdin=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        opened = Site(harbor, telegram, process, log)
        try:
            opened.happen("v1.")
            wait_for(lambda: opened.told("v1.") == 1)
            yield opened
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("step", [-HOUR, HOUR], ids=["back", "ahead"])
def test_the_daemon_works_on_when_the_clock_is_set(site: Site, step: timedelta) -> None:
    """Within seconds, not in an hour; and who was told to wait for some seconds waits for these."""
    site.telegram.fail(Kind.TOO_MANY_REQUESTS, retry_after=6)
    site.happen("v2.")
    wait_for(lambda: len(site.telegram.requests) == 2)
    site.set_clock(step)
    wait_for(lambda: site.told("v2.") == 1, timeout_s=12)
    site.happen("v3.")
    wait_for(lambda: site.told("v3.") == 1, timeout_s=8)
    assert site.steps() == [step.total_seconds()]
    assert [site.told(tag) for tag in ("v1.", "v2.", "v3.")] == [1, 1, 1]


def test_a_day_of_sleep_is_caught_up(site: Site) -> None:
    """A suspended machine wakes up a day later: what happened meanwhile is told, once."""
    site.process.send_signal(signal.SIGSTOP)
    site.set_clock(DAY)
    site.happen("v2.")
    site.process.send_signal(signal.SIGCONT)
    wait_for(lambda: site.told("v2.") == 1, timeout_s=15)
    site.process.send_signal(signal.SIGTERM)
    assert site.process.wait(20) == 0
    assert site.steps() == [DAY.total_seconds()]
    assert (site.told("v1."), site.told("v2.")) == (1, 1)
