"""Which events go to which chat, and how they are told there. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from fnmatch import fnmatchcase

import msgspec

from formatters.scans import rank
from poller.comparison import severity_of
from poller.events import PROJECT_TYPES, Event, EventType
from poller.scans import ROBOT_TYPES, project_of_robot
from poller.values import replace
from state import DeliveryState, Telling

ALL_SEVERITIES = "none"
NO_ROUTE = "no route takes it"
"""Why what matches no route is not told."""

DEFAULT = "telegram"
"""The only route where the configuration has none of its own: the chat of `[telegram]`, for everything."""


NEVER_HIDDEN = frozenset({EventType.COVERAGE, EventType.NOT_UNDERSTOOD, EventType.DAILY})
"""That something cannot be seen or understood is told, and what was asked for every day, whatever filters say; only a
route that names it may hide it."""


class QuietHours(msgspec.Struct, frozen=True):
    """From `start` to `end` of every day in `zone`, over midnight where `end` is earlier."""

    start: time
    end: time
    zone: tzinfo

    def until(self, now: datetime) -> datetime | None:
        """When the quiet hours end in which this moment lies (UTC); None: it lies in none.

        An hour that the clocks skip, or show twice, is the one by the clocks as they were before.
        """
        today = now.astimezone(self.zone).date()
        for day in (today - timedelta(days=1), today):
            end = self._moment(day + timedelta(days=self.end <= self.start), self.end)
            if self._moment(day, self.start) <= now < end:
                return end
        return None

    def _moment(self, day: date, at: time) -> datetime:
        return datetime.combine(day, at, self.zone).astimezone(UTC)


class Filter(msgspec.Struct, frozen=True):
    """What a route takes; what is empty takes everything. Patterns are globs. `severity`: of scans, at least."""

    types: frozenset[EventType] = frozenset()
    projects: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    severity: str | None = None

    @property
    def takes_all(self) -> bool:
        return not (self.types or self.projects or self.repositories or self.tags or self.operators or self.severity)

    def takes(self, event: Event) -> bool:
        return not self.why_not(event)

    def why_not(self, event: Event) -> str:
        """The key of the configuration that does not match the event, and why; "" for what is taken."""
        if self.takes_all:
            return ""
        if self.types and event.type not in self.types:
            return f"events does not name {event.type}"
        globs = (
            ("projects", self.projects, project_of(event)),
            ("repositories", self.repositories, event.repository.full_name if event.repository else None),
            ("tags", self.tags, tag_of(event)),
            ("operators", self.operators, event.operator),
        )
        return next(filter(None, (_mismatch(*each) for each in globs)), "") or self._too_harmless(event)

    def _too_harmless(self, event: Event) -> str:
        if self.severity is None:
            return ""
        worst = severity_of(event)
        if not worst:
            return f"severity = {self.severity}: only completed scans have one"
        return f"severity = {self.severity}: the worst finding is {worst}" if rank(worst) > rank(self.severity) else ""


class Route(msgspec.Struct, frozen=True):
    """A chat, or a topic of one, and what is told there in which way.

    `silent`: what comes without a sound. `every`: seconds; all comes as a digest so often. `is_nowhere`: what it
    takes is not told. `goes_on`: the routes after it are asked too.
    """

    name: str
    chat_id: int | str
    message_thread_id: int | None = None
    language: str = "ru"
    silent: frozenset[EventType] = frozenset()
    minimum_severity: str = "none"
    quiet_hours: QuietHours | None = None
    every: float | None = None
    takes: Filter = msgspec.field(default_factory=Filter)
    is_nowhere: bool = False
    goes_on: bool = False

    def why_off(self, event: Event) -> str:
        """Why what the route takes is not told there; "" for what is."""
        if self.is_nowhere:
            return f'route "{self.name}": nowhere'
        severity = severity_of(event)
        is_too_little = severity and self.minimum_severity != ALL_SEVERITIES and _is_below(severity, self)
        return f'route "{self.name}": minimum_severity = {self.minimum_severity}' if is_too_little else ""

    def must_not_hide(self, event: Event) -> bool:
        """Whether this route passes over what it takes: that something is not seen is hidden only by name."""
        return self.is_nowhere and event.type in NEVER_HIDDEN - self.takes.types


# -- which routes an event takes ----------------------------------------------------------------------


class Asked(msgspec.Struct, frozen=True):
    """What came of asking a route for an event. `why_not`: "" where it takes it."""

    route: Route
    why_not: str = ""


def ask(event: Event, routes: Sequence[Route]) -> tuple[Asked, ...]:
    """The routes that are asked for an event, in order, up to the one behind which nobody is."""
    asked = list[Asked]()
    for route in routes:
        hides = f"{event.type} is told, unless nowhere names it" if route.must_not_hide(event) else ""
        asked.append(Asked(route, route.takes.why_not(event) or hides))
        if not asked[-1].why_not and not route.goes_on:
            break
    if event.type in NEVER_HIDDEN and all(each.why_not for each in asked):
        asked = _with_first_that_tells(asked)
    return tuple(asked)


def _with_first_that_tells(asked: Sequence[Asked]) -> list[Asked]:
    """That something cannot be seen is told somewhere, whatever the filters of projects say."""
    first = next((each for each in asked if not each.route.is_nowhere), None)
    return [replace(each, why_not="") if each is first else each for each in asked]


def ask_of_all(events: Sequence[Event], routes: Sequence[Route]) -> tuple[Asked, ...]:
    """The same of something that goes where these go: a route takes it that takes one of them."""
    if len(events) == 1:
        return ask(events[0], routes)
    found = dict[str, Asked]()
    for each in (asked for event in events for asked in ask(event, routes)):
        if each.route.name not in found or not each.why_not:
            found[each.route.name] = each
    return tuple(found[route.name] for route in routes if route.name in found)


def spread(telling: Telling, routes: Sequence[Route]) -> tuple[Telling, ...]:
    """What is to become of an event on each route that takes it; where none does, that, once.

    What is not told anyway needs no route, unless it belongs to a group: then it goes where the group is told.
    """
    is_pending = telling.state is DeliveryState.PENDING
    if telling.route is not None or not (is_pending or telling.group):
        return (telling,)
    asked = ask_of_all(telling.along or (telling.event,), routes)
    takers = [each.route for each in asked if not each.why_not]
    telling_ones = [route for route in takers if not route.is_nowhere] or takers
    if not is_pending:
        return tuple(replace(telling, route=route.name) for route in telling_ones) or (telling,)
    found = tuple(_on(telling, route) for route in telling_ones)
    return found or (replace(telling, state=DeliveryState.OFF, reason=NO_ROUTE),)


def _on(telling: Telling, route: Route) -> Telling:
    reason = route.why_off(telling.event)
    state = DeliveryState.OFF if reason else DeliveryState.PENDING
    return replace(telling, route=route.name, state=state, reason=reason)


# -- what filters look at -----------------------------------------------------------------------------


def project_of(event: Event) -> str | None:
    """The project that an event is about; None where it is about no single one, or cannot be told."""
    if event.repository is not None:
        return event.repository.namespace
    if event.type in PROJECT_TYPES:
        return event.subject
    return project_of_robot(event.subject) if event.type in ROBOT_TYPES else None


def tag_of(event: Event) -> str | None:
    """The tag that people know it by: a platform of an image has that of the image."""
    if event.tag is None and event.scan is not None and event.scan.index is not None:
        return event.scan.index.tag
    return event.tag


def _mismatch(key: str, globs: Sequence[str], name: str | None) -> str:
    if not globs or (name is not None and any(fnmatchcase(name, glob) for glob in globs)):
        return ""
    return f"{key} does not match {name}" if name is not None else f"{key}: the event has none"


def _is_below(severity: str, route: Route) -> bool:
    return rank(severity) > rank(route.minimum_severity)
