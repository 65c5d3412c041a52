"""Whether somebody is at work, since when, and what is wrong with it: the headline of `status`.

Nothing here asks anybody: it is concluded from what was recorded. In doubt it does not cry wolf.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any

from poller import errors, exit_codes, gap_words, lease
from poller.events import Reason
from poller.here import Here
from poller.standing import RouteStanding, Standing
from poller.words import span
from state import Lease

LATE = timedelta(minutes=5)
"""Nobody needs to be told of less."""
_RUNS_APART = timedelta(seconds=50)
"""Cron and timers start a run each minute at most; the daemon polls more often."""
_UNKNOWN_RHYTHM = timedelta(hours=1)
"""So long after one of the first runs the next one may still come."""
_REQUEST = re.compile(r" \(request [\w-]+\)")
"""Its number is for Harbor's log, not for a headline."""
_HABIT = 3
"""A pause that was there so often in the last days is one that is meant."""


class State(StrEnum):
    """Who is at work."""

    RUNNING = "running"
    STANDBY = "standby"  # another machine is at work, and the service here waits for its death
    BETWEEN_RUNS = "between_runs"  # nobody is, and runs come often enough
    STOPPED = "stopped"
    NEVER_STARTED = "never_started"


@dataclass(frozen=True, slots=True)
class Complaint:
    """`is_passing`: it is tried again and may mend itself; otherwise a person must act."""

    text: str
    remedy: str
    is_passing: bool

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "remedy": self.remedy, "is_passing": self.is_passing}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`since`: when who is at work began; or when there was the last sign of life. `why`: it is not at work.

    `remedy`: what to do about the state, or about the worst of the troubles, which stand in order.
    `next_run`: when the next run is to be expected, between two.
    """

    state: State
    since: datetime | None = None
    why: str = ""
    remedy: str = ""
    troubles: tuple[Complaint, ...] = ()
    next_run: datetime | None = None

    @property
    def exit_code(self) -> int:
        """What monitoring is told: 0 all is well, 1 something is away and tried again, 2 a person must act."""
        if self.state in (State.STOPPED, State.NEVER_STARTED) or not all(t.is_passing for t in self.troubles):
            return exit_codes.MISTAKE
        return exit_codes.TRY_AGAIN if self.troubles else exit_codes.DONE

    def to_json(self) -> dict[str, Any]:
        """For programs: names and shapes stay as they are."""
        return {
            "state": str(self.state),
            "since": self.since.isoformat() if self.since else None,
            "why": self.why,
            "remedy": self.remedy,
            "troubles": [trouble.to_json() for trouble in self.troubles],
            "exit_code": self.exit_code,
        }


def diagnose(standing: Standing, here: Here, zone: tzinfo, now: datetime) -> Diagnosis:
    """What there is to say of it in a sentence."""
    if standing.poller is not None:
        return _at_work(standing, standing.poller, here, zone, now)
    if standing.last_poll is None:
        return Diagnosis(State.NEVER_STARTED, remedy=here.start)
    if now - standing.last_poll <= _patience(standing, here):
        troubles = tuple(_troubles(standing, here, zone, now))
        due = standing.last_poll + standing.spacing if standing.spacing else None
        next_run = due if due is not None and due > now else None
        return Diagnosis(State.BETWEEN_RUNS, standing.last_poll, "", _remedy(troubles), troubles, next_run)
    return _stopped(standing, here, now)


def _at_work(standing: Standing, holder: Lease, here: Here, zone: tzinfo, now: datetime) -> Diagnosis:
    is_elsewhere = not lease.is_of_this_machine(holder.owner)
    state = State.STANDBY if here.is_active and is_elsewhere else State.RUNNING
    troubles = (*_lags(standing, holder, here, now), *_troubles(standing, here, zone, now))
    return Diagnosis(state, holder.acquired_at, "", _remedy(troubles), troubles)


def _stopped(standing: Standing, here: Here, now: datetime) -> Diagnosis:
    last, ended = standing.last_lease, standing.last_poll
    if last is None or not last.owner:
        why = "it was stopped"
    else:
        why = "it ended without a word: killed, crashed, or its machine went down"
        beat = last.expires_at - lease.KEEP
        ended = max(ended or beat, beat) if beat <= now else ended
    if standing.failure is not None and not standing.is_mended:
        why += f"; the last error: {error_text(standing.failure.error)}"
    return Diagnosis(State.STOPPED, ended, why, here.start)


# -- runs from cron or a timer ----------------------------------------------------------------------


def _patience(standing: Standing, here: Here) -> timedelta:
    """How long the next run may take to come; nothing where a daemon was at work, which does not pause."""
    if not here.is_timed and not _are_runs(standing):
        return timedelta(0)
    if standing.spacing is None:
        return _UNKNOWN_RHYTHM
    pauses = sorted((pause.covered_to - pause.covered_from for pause in standing.pauses), reverse=True)
    meant = pauses[_HABIT - 1] if len(pauses) >= _HABIT else timedelta(0)
    return max(3 * standing.spacing, meant + standing.spacing)


def _are_runs(standing: Standing) -> bool:
    """Whether who was at work last was a single run: it came as long after others as no daemon polls, and was short."""
    last, usual = standing.last_lease, standing.spacing
    if last is None or (usual is not None and usual < _RUNS_APART):
        return False
    worked = last.expires_at - lease.KEEP - last.acquired_at
    return worked < (usual or _RUNS_APART) and (usual is not None or not last.owner)


# -- troubles ---------------------------------------------------------------------------------------


def _remedy(troubles: tuple[Complaint, ...]) -> str:
    return troubles[0].remedy if troubles else ""


def _troubles(standing: Standing, here: Here, zone: tzinfo, now: datetime) -> Iterator[Complaint]:
    """The worst first."""
    found = [*_failing(standing, here, now), *_blind(standing, zone), *_silent(standing, here, now)]
    yield from sorted(found, key=lambda trouble: trouble.is_passing)


def _lags(standing: Standing, holder: Lease, here: Here, now: datetime) -> Iterator[Complaint]:
    if standing.poll_every is None or (standing.failure is not None and not standing.is_mended):
        return
    last = max(holder.acquired_at, standing.last_poll or holder.acquired_at)
    if now - last > LATE + 3 * standing.poll_every:
        text = "it holds the lease, but has read nothing for long: Harbor answers slowly, or it hangs"
        yield Complaint(text, f"`{here.program} check` says how Harbor answers; its log says what it waits for", True)


def _failing(standing: Standing, here: Here, now: datetime) -> Iterator[Complaint]:
    if standing.failure is None or standing.is_mended:
        return
    kind = getattr(errors, str(standing.failure.error).partition(":")[0], None)
    is_mistake = isinstance(kind, type) and issubclass(kind, errors.OperatorError)
    lasting = f" for {span(now - standing.last_poll)}" if standing.last_poll else ""
    text = f"Harbor could not be read{lasting}: {_REQUEST.sub('', error_text(standing.failure.error))}"
    waits = "nothing has to be done here: it is tried again, and what happens meanwhile is read then"
    yield Complaint(text, f"`{here.program} check` says what to mend" if is_mistake else waits, not is_mistake)


def _blind(standing: Standing, zone: tzinfo) -> Iterator[Complaint]:
    """Gaps that go on, but for those that the failing polls are about."""
    for gap in standing.open_gaps:
        is_said = gap.reason is Reason.ACCOUNT_REFUSED and not standing.is_mended
        if gap.ended_at is None and not is_said:
            text = f"it does not see everything: {gap.source}: {gap_words.why(gap)}"
            yield Complaint(text, gap_words.remedy(gap, zone), is_passing=False)


def _silent(standing: Standing, here: Here, now: datetime) -> Iterator[Complaint]:
    for route in standing.routes:
        state = route.state
        if state.topic_lost:
            text = f"{_chat(route)}: its topic is gone or closed; messages go to the chat itself"
            yield Complaint(text, "correct message_thread_id", is_passing=False)
        oldest = route.counts.oldest_pending
        if state.failures and oldest is not None and (state.needs_operator or now - oldest > LATE):
            text = f"{_chat(route)} takes no message: {state.reason}"
            remedy = f"`{here.program} check` says what to mend; nothing is lost, and what waits goes out then"
            waits = "nothing has to be done here: it is tried again, and nothing is lost"
            yield Complaint(text, remedy if state.needs_operator else waits, not state.needs_operator)


def _chat(route: RouteStanding) -> str:
    return f"the chat {route.chat_id}"


def error_text(said: str | None) -> str:
    """Without the name of its class."""
    kind, _, text = str(said).partition(": ")
    return text or kind
