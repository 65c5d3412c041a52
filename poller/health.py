"""What `/healthz` answers: whether this process gets on with its work, by what it has measured. Pure but for the clock.

Whoever probes it has one remedy, a restart. So it fails for what a restart may mend: a job that hangs, a schedule that
stands still, a bug that repeats, a database that stays silent for as long as a hang would. That Harbor or Telegram is
away, or refuses us, is mended by no restart, which would only forget how long to leave them in peace: it is named in
the answer, as are the other troubles, and the answer is still 200. A standby is as healthy as who works.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from poller.measures import Failure, Leads, Measure, Ran

LONG = 900.0
"""Seconds: as long as a job may hang before it counts as stuck."""
UNPOLLED = 300.0
SILENT = 30.0
WORK = ("poll", "sweep", "watch", "deliver")


@dataclass(slots=True)
class Job:
    """How a job fared since the start; monotonic seconds."""

    succeeded_at: float | None = None
    failures: int = 0  # in a row
    broken_since: float | None = None  # by a bug each time


@dataclass(slots=True)
class Pulse:
    """A sink: remembers of the jobs what tells whether they get on."""

    clock: Callable[[], float] = time.monotonic
    role: str = "starting"
    jobs: dict[str, Job] = field(default_factory=lambda: {name: Job() for name in WORK})

    def heed(self, measure: Measure) -> None:
        match measure:
            case Ran(job, _, failure) if job in self.jobs:
                self._ran(self.jobs[job], failure)
            case Leads(is_leading):
                self.role = "leader" if is_leading else "standby"
                self.jobs.update((name, Job()) for name in WORK)

    def _ran(self, job: Job, failure: Failure | None) -> None:
        if failure is None:
            job.succeeded_at, job.failures = self.clock(), 0
        else:
            job.failures += 1
        job.broken_since = (job.broken_since or self.clock()) if failure is Failure.BUG else None

    def ago(self, job: str) -> float | None:
        """Seconds since it last succeeded."""
        at = self.jobs[job].succeeded_at
        return None if at is None else round(self.clock() - at, 1)


@dataclass(frozen=True, slots=True)
class Facts:
    """`hangs`: what stands still, as the daemon says. `silence`: seconds without an answer of the database.

    `poll_every`: seconds; None where cron decides. `refused`: routes whose chat needs a person.
    """

    hangs: str
    silence: float
    poll_every: float | None
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """`content`: for the answer, as JSON: names and shapes stay as they are."""

    is_failing: bool
    content: Mapping[str, object]


def judge(pulse: Pulse, facts: Facts) -> Health:
    failing, troubles = _what_a_restart_may_mend(pulse, facts), _troubles(pulse, facts)
    content = {
        "status": "failing" if failing else "degraded" if troubles else "ok",
        "reasons": [*failing, *troubles],
        "role": pulse.role,
        "seconds_since_success": {name: pulse.ago(name) for name in WORK},
        "failures_in_a_row": {name: pulse.jobs[name].failures for name in WORK},
        "seconds_since_state_answered": round(facts.silence, 1),
    }
    return Health(bool(failing), content)


def _what_a_restart_may_mend(pulse: Pulse, facts: Facts) -> list[str]:
    now = pulse.clock()
    broken = [
        f"{name}: nothing but bugs for {_minutes(now - job.broken_since)}; please report the traceback in the log"
        for name, job in pulse.jobs.items()
        if job.broken_since is not None and now - job.broken_since >= LONG
    ]
    silent = [f"the state database does not answer for {_minutes(facts.silence)}"] if facts.silence >= LONG else []
    return [*([facts.hangs] if facts.hangs else []), *silent, *broken]


def _troubles(pulse: Pulse, facts: Facts) -> list[str]:
    found = [f"{name}: failed {job.failures} times in a row" for name, job in pulse.jobs.items() if job.failures]
    unpolled = pulse.ago("poll")
    if facts.poll_every and unpolled is not None and unpolled > max(3 * facts.poll_every, UNPOLLED):
        found.append(f"no complete poll for {_minutes(unpolled)}: see the log, or `check`")
    if SILENT <= facts.silence < LONG:
        found.append(f"the state database does not answer for {round(facts.silence)} s; the work goes on when it does")
    found += [f"route {name}: Telegram refuses; `check` says why" for name in facts.refused]
    return found


def _minutes(seconds: float) -> str:
    return f"{round(seconds / 60)} minutes"
