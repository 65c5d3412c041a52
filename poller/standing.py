"""How things stand, for `status`: what was read, what waits, what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from poller.config import Config
from poller.events import Gap
from poller.jobs import EVERYTHING, over_routes
from poller.lease import is_dead
from poller.routes import Route
from poller.values import replace
from state import PAST, SHORT_PAUSE, Counts, Coverage, Cursor, Lease, Outcome, RouteState, Store, SweepPlace

LEDGER_SPAN = timedelta(days=7)
_FEW = 4
"""Fewer polls say nothing of how far they usually are apart."""


@dataclass(frozen=True, slots=True)
class Covered:
    """A log, and between which moments it was read."""

    log: str
    since: datetime
    until: datetime
    position: int


@dataclass(frozen=True, slots=True)
class RouteStanding:
    """What waits on a route, and how its chat is. `silent_until`: when that is tried again."""

    name: str
    chat_id: int | str
    counts: Counts
    held: int
    state: RouteState

    @property
    def silent_until(self) -> datetime | None:
        return self.state.blocked_until

    def to_json(self) -> dict[str, Any]:
        return {
            "route": self.name,
            "chat_id": self.chat_id,
            "message_thread_id": self.state.thread_id,
            "pending": self.counts.pending,
            "oldest_pending": _iso(self.counts.oldest_pending),
            "held": self.held,
            "silent_until": _iso(self.silent_until),
            "reason": self.state.reason,
            "topic_lost": self.state.topic_lost,
        }


@dataclass(frozen=True, slots=True)
class Standing:
    """`covered`: each log, with the moment from which on all of it was read, but for the gaps.

    `gaps`: what was not seen, whatever became of it. `pauses`: how long nothing was polled, caught up afterwards.
    `failure`: the last one, of the last days.
    `chat_id`, `route`: of the first of the `routes` that tell.
    `poller`: who is at work; `last_lease`: who is, or was last (owner "": and has gone in peace).
    `spacing`: how far a poll usually is from the one before; None where there were too few to tell.
    `poll_every`: by the schedule; None: that is a cron expression.
    `held`: how many of what is pending waits for what is told together with it. `scans`: of the last days, by outcome.
    """

    harbor: str
    registry: str
    version: str | None
    detected_at: datetime | None
    covered: tuple[Covered, ...]
    gaps: tuple[Gap, ...]
    pauses: tuple[Coverage, ...]
    failure: Coverage | None
    counts: Counts
    held: int
    scans: Mapping[Outcome, int]
    sweep: SweepPlace | None
    is_sweep_off: bool
    chat_id: int | str
    route: RouteState
    routes: tuple[RouteStanding, ...]
    poller: Lease | None
    schedule: str
    next_run: datetime | None
    last_lease: Lease | None = None
    spacing: timedelta | None = None
    poll_every: timedelta | None = None

    @property
    def is_mended(self) -> bool:
        """Whether the log was read after the last failure, which is of all logs. (One that ended is read no more.)"""
        failed_at = self.failure.covered_to if self.failure else None
        return failed_at is None or (self.last_poll is not None and self.last_poll > failed_at)

    @property
    def last_poll(self) -> datetime | None:
        """The last one that succeeded."""
        return max((covered.until for covered in self.covered), default=None)

    @property
    def open_gaps(self) -> tuple[Gap, ...]:
        """What is missing, now and of the past: not what was read after all."""
        return tuple(gap for gap in self.gaps if gap.closed_at is None)

    @property
    def silent_until(self) -> datetime | None:
        return self.route.blocked_until

    def to_json(self) -> dict[str, Any]:
        """For programs: names and shapes stay as they are."""
        counts, route = self.counts, self.route
        return {
            "harbor": self.harbor,
            "registry": self.registry,
            "version": self.version,
            "detected_at": _iso(self.detected_at),
            "covered": [
                {"log": c.log, "from": _iso(c.since), "until": _iso(c.until), "position": c.position}
                for c in self.covered
            ],
            "gaps": [gap.to_json() for gap in self.gaps],
            "pauses": [{"log": p.log, "from": _iso(p.covered_from), "to": _iso(p.covered_to)} for p in self.pauses],
            "pending": counts.pending,
            "oldest_pending": _iso(counts.oldest_pending),
            "sent": counts.sent,
            "folded": counts.folded,
            "refused": counts.refused,
            "off": counts.off,
            "held": self.held,
            "scans": {str(outcome): self.scans.get(outcome, 0) for outcome in Outcome},
            "sweep": _sweep_json(self.sweep),
            "chat": {
                "chat_id": self.chat_id,
                "silent_until": _iso(self.silent_until),
                "reason": route.reason,
                "topic_lost": route.topic_lost,
            },
            "routes": [route.to_json() for route in self.routes],
            "last_error": {"at": _iso(self.failure.covered_to), "error": self.failure.error} if self.failure else None,
            "poller": {"owner": self.poller.owner, "since": _iso(self.poller.acquired_at)} if self.poller else None,
            "schedule": self.schedule,
            "next_run": _iso(self.next_run),
        }


def standing(store: Store, config: Config, now: datetime) -> Standing:
    registry, detected, detected_at = store.harbor()
    ledger, last = store.ledger(since=now - LEDGER_SPAN), store.last_lease()
    store = over_routes(store, config)
    routes = tuple(_of_route(store, route, now) for route in config.telling_routes)
    cursors = tuple(cursor for _, cursor in sorted(store.cursors().items()))
    holder = last if last and last.owner and last.expires_at > now and not is_dead(last.owner) else None
    failures = [line for line in ledger if line.error]
    return Standing(
        harbor=config.harbor.url,
        registry=registry,
        version=detected.get("version") if detected else None,
        detected_at=detected_at,
        covered=tuple(covered(cursor, store.past_read(cursor.log)) for cursor in cursors),
        gaps=store.gaps(since=now - config.state.keep),
        pauses=pauses(ledger),
        failure=failures[-1] if failures else None,
        counts=store.counts(),
        held=store.held(now),
        scans=store.scan_outcomes(since=now - LEDGER_SPAN),
        sweep=store.sweep(),
        is_sweep_off=config.schedule.sweep is None,
        chat_id=routes[0].chat_id if routes else config.telegram.chat_id,
        route=routes[0].state if routes else _NO_ROUTE,
        routes=routes,
        poller=holder,
        schedule=_schedule(config),
        next_run=_next_run(config, cursors, now) if holder else None,
        last_lease=last,
        spacing=_spacing(ledger),
        poll_every=timedelta(seconds=config.schedule.poll) if config.schedule.poll is not None else None,
    )


def unrecorded(config: Config) -> Standing:
    """Where nobody has polled yet."""
    return Standing(
        harbor=config.harbor.url,
        registry="",
        version=None,
        detected_at=None,
        covered=(),
        gaps=(),
        pauses=(),
        failure=None,
        counts=Counts(0, None, 0, 0, 0, 0),
        held=0,
        scans={},
        sweep=None,
        is_sweep_off=config.schedule.sweep is None,
        chat_id=config.telegram.chat_id,
        route=_NO_ROUTE,
        routes=(),
        poller=None,
        schedule=_schedule(config),
        next_run=None,
    )


def _schedule(config: Config) -> str:
    return config.schedule.cron or f"every {config.schedule.poll:g} s"


_NO_ROUTE = RouteState("", "", None)


def _of_route(store: Store, route: Route, now: datetime) -> RouteStanding:
    mine = store.for_route(route.name)
    state = mine.route(str(route.chat_id), route.message_thread_id)
    is_blocked = state.blocked_until is not None and state.blocked_until > now
    return RouteStanding(
        name=route.name,
        chat_id=state.moved_to or route.chat_id,
        counts=mine.counts(),
        held=mine.held(now),
        state=state if is_blocked else replace(state, blocked_until=None),
    )


def covered(cursor: Cursor, past: Sequence[tuple[datetime, datetime]]) -> Covered:
    """`past`: what backfills have read, the latest end first. What adjoins the first run makes the record longer."""
    since = cursor.created_at
    for start, end in past:
        if start < since <= end:
            since = start
    return Covered(cursor.log, since, cursor.polled_at, cursor.row_id)


def pauses(ledger: Sequence[Coverage]) -> tuple[Coverage, ...]:
    """Periods without a poll, thrice as long as usual or more. Caught up afterwards, unless Harbor lost the rows."""
    lines = [line for line in ledger if _is_of_a_poll(line)]
    if not lines:
        return ()
    longest = max(SHORT_PAUSE, 3 * _usual(lines))
    return tuple(line for line in lines if line.polls == 1 and line.covered_to - line.covered_from > longest)


def _usual(lines: Sequence[Coverage]) -> timedelta:
    """How far a poll usually is from the one before: the median of all, as a line may stand for many."""
    apart = sorted(((line.covered_to - line.covered_from) / line.polls, line.polls) for line in lines)
    middle, passed = sum(polls for _, polls in apart) / 2, 0
    for span, polls in apart:
        passed += polls
        if passed >= middle:
            return span
    return timedelta(0)


def _spacing(ledger: Sequence[Coverage]) -> timedelta | None:
    lines = [line for line in ledger if _is_of_a_poll(line)]
    return _usual(lines) if sum(line.polls for line in lines) >= _FEW else None


def _is_of_a_poll(line: Coverage) -> bool:
    return not line.error and not line.log.startswith(("backfill", PAST)) and line.log != EVERYTHING


def _next_run(config: Config, cursors: Sequence[Cursor], now: datetime) -> datetime:
    """When the schedule has the next poll, jitter and pauses after failures apart."""
    from poller.daemon import poll_trigger  # the scheduler takes long to load, and only this needs it here

    trigger = poll_trigger(replace(config.schedule, jitter=0), config.timezone)
    last = max((cursor.polled_at for cursor in cursors), default=None)
    due: datetime = trigger.get_next_fire_time(last if config.schedule.cron is None else None, now)
    return max(due, now)


def _sweep_json(place: SweepPlace | None) -> dict[str, Any] | None:
    if place is None:
        return None
    return {
        "baseline": _iso(place.baseline_at),
        "round_began": _iso(place.round_began_at),
        "last_round_began": _iso(place.round_before_at),
        "looked_for_changes": _iso(place.looked_at),
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
