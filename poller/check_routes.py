"""What `check` finds out about the routes: which of them can never take anything, or tell the same twice. Pure.

Only what can be proven is said: of two patterns that they are alike, that one takes all, or that it fits a plain name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import time
from fnmatch import fnmatchcase

from formatters.scans import rank
from poller.config import Config
from poller.events import EventType
from poller.findings import Finding, fine, warning
from poller.routes import NEVER_HIDDEN, Filter, Route

CONFIGURATION = "configuration"

_SCANS = frozenset({EventType.SCANNING_COMPLETED})
_ABOUT_REPOSITORIES = frozenset(EventType) - {
    EventType.USER_CREATED,
    EventType.USER_UPDATED,
    EventType.USER_DELETED,
    EventType.LOGIN,
    EventType.LOGIN_REFUSED,
    EventType.LOGOUT,
    EventType.CONFIGURATION_CHANGED,
    EventType.COVERAGE,
    EventType.DAILY,
}
"""What may have a project, a repository or a tag."""
_ANYTHING = "*"
_A_DAY, _LEAST_TOLD = 24 * 60, 2 * 60  # minutes


def probe(config: Config) -> Iterator[Finding]:
    """Which routes there are, and those that can never match."""
    if len(config.routes) > 1 or config.routes[0].takes != Filter():
        names = ", ".join(route.name for route in config.routes)
        is_complete = any(route.takes == Filter() for route in config.routes)
        rest = "" if is_complete else "; what none of them takes is not told"
        yield fine(
            "configuration.routes", CONFIGURATION, f"routes, in the order in which they are asked: {names}{rest}"
        )
    for number, route in enumerate(config.routes):
        if config.events and (why := never(route, config.routes[:number], config)):
            text = f'route "{route.name}" can never take anything: {why[0]}'
            yield warning("configuration.route_takes_nothing", CONFIGURATION, text, why[1])
        if other := told_again(route, config.routes[number + 1 :], config.events):
            yield warning(
                "configuration.told_twice",
                CONFIGURATION,
                f'routes "{route.name}" and "{other.name}" lead to the same place: what both take is told there twice',
                f'remove continue from "{route.name}", or give one of them another chat or topic',
            )
    yield from _always_quiet(config.telling_routes)


def _always_quiet(routes: Sequence[Route]) -> Iterator[Finding]:
    """Hours that leave next to nothing of the day: meant was probably the other part of it."""
    for quiet in dict.fromkeys(route.quiet_hours for route in routes if route.quiet_hours is not None):
        minutes = _minutes(quiet.end) - _minutes(quiet.start)
        if minutes % _A_DAY > _A_DAY - _LEAST_TOLD:
            hours, left = f"{quiet.start:%H:%M}-{quiet.end:%H:%M}", _A_DAY - minutes % _A_DAY
            yield warning(
                "configuration.always_quiet",
                CONFIGURATION,
                f'quiet_hours = "{hours}" leaves {left} minutes of the day in which anything is told',
                f'was "{quiet.end:%H:%M}-{quiet.start:%H:%M}" meant? Correct it, or remove quiet_hours',
            )


def _minutes(at: time) -> int:
    return at.hour * 60 + at.minute


def told_again(route: Route, later: Sequence[Route], told: frozenset[EventType]) -> Route | None:
    """The next route to the same place, if it may take what this one hands on."""
    if not route.goes_on:
        return None
    place, kinds = (route.chat_id, route.message_thread_id), kinds_of(route.takes) & told
    here = (other for other in later if not other.is_nowhere and (other.chat_id, other.message_thread_id) == place)
    return next((other for other in here if kinds & kinds_of(other.takes) and not _are_apart(route, other)), None)


def _are_apart(one: Route, other: Route) -> bool:
    """Whether it is certain that no event is taken by both. An image may have a tag for each."""
    a, b = one.takes, other.takes
    pairs = (
        (a.projects or _projects_of(a.repositories), b.projects or _projects_of(b.repositories)),
        (a.repositories, b.repositories),
        (a.operators, b.operators),
    )
    return any(x and y and not any(_may_meet(p, q) for p in x for q in y) for x, y in pairs)


def _may_meet(one: str, other: str) -> bool:
    """Whether a name may fit both patterns: as far as they begin alike, or one is a plain name that the other fits."""
    if not _is_pattern(one):
        return fnmatchcase(one, other)
    if not _is_pattern(other):
        return fnmatchcase(other, one)
    beginnings = [re.split(r"[*?\[]", name, maxsplit=1)[0] for name in (one, other)]
    return beginnings[0].startswith(beginnings[1]) or beginnings[1].startswith(beginnings[0])


def never(route: Route, earlier: Sequence[Route], config: Config) -> tuple[str, str] | None:
    """Why a route can never match, and what to do; None where it may."""
    kinds = kinds_of(route.takes)
    if not kinds & config.events:
        return _no_kind(route.takes, kinds)
    if strange := _outside_of_projects(route.takes):
        return strange, "keep one of the two keys, or let them name the same projects"
    if closed := _closed_projects(route.takes, config.harbor.projects):
        return f"[harbor] projects names none that matches {closed}", "correct the route, or name the project there"
    hiding = _hiding(route, [other for other in earlier if not other.goes_on], sorted(kinds & config.events))
    if not hiding:
        return None
    names = " and ".join(f'"{name}"' for name in hiding)
    return f"{names} before it takes all of that", "move it up, or set continue = true there"


def _hiding(route: Route, earlier: Sequence[Route], kinds: Sequence[EventType]) -> list[str]:
    """The routes that leave it nothing of these kinds, as few as can be; none, if it may get something."""
    for other in earlier:
        if all(takes_all_of(other, route, kind) for kind in kinds):
            return [other.name]
    first = [next((each.name for each in earlier if takes_all_of(each, route, kind)), None) for kind in kinds]
    found = [name for name in first if name is not None]
    return list(dict.fromkeys(found)) if len(found) == len(kinds) else []


def kinds_of(filter_: Filter) -> frozenset[EventType]:
    """The kinds of events that a filter can match at all."""
    kinds = filter_.types or frozenset(EventType)
    if filter_.severity is not None:
        kinds &= _SCANS
    if filter_.projects or filter_.repositories or filter_.tags:
        kinds &= _ABOUT_REPOSITORIES
    return kinds


def _no_kind(filter_: Filter, kinds: frozenset[EventType]) -> tuple[str, str]:
    if kinds:
        names = ", ".join(sorted(kinds))
        return f"[events] has {names} switched off", "switch on what the route is to tell, or remove it"
    if filter_.severity is not None and not filter_.types & _SCANS:
        return "only SCANNING_COMPLETED has a severity, and its events do not name that", "correct events or severity"
    return "what its events name has no project, repository or tag", "correct events, or remove these filters"


def _outside_of_projects(filter_: Filter) -> str:
    """Why its projects and its repositories exclude each other; "" if one of these may be in one of those."""
    homes = _projects_of(filter_.repositories)
    if not filter_.projects or not homes or any(_may_meet(p, home) for p in filter_.projects for home in homes):
        return ""
    return f"of repositories = {', '.join(filter_.repositories)} none is in projects = {', '.join(filter_.projects)}"


def _closed_projects(filter_: Filter, read: Sequence[str]) -> str:
    """The patterns, if none of them fits a project that is read; "" if one may."""
    heads = [name.partition("/")[0] for name in filter_.repositories if "/" in name]
    plain_heads = [head for head in heads if "*" not in head]  # a star may stand for the slash, too
    is_known = len(plain_heads) == len(filter_.repositories)
    for patterns in (filter_.projects, plain_heads if is_known else ()):
        if read and patterns and not any(fnmatchcase(name, pattern) for name in read for pattern in patterns):
            return ", ".join(patterns)
    return ""


# -- which route takes all that another takes ---------------------------------------------------------


def takes_all_of(wide: Route, narrow: Route, kind: EventType) -> bool:
    """Whether it is certain that the one route takes every event of a kind that the other one takes."""
    if wide.is_nowhere and kind in NEVER_HIDDEN - wide.takes.types:
        return False  # such a route passes over that
    a, b = wide.takes, narrow.takes
    return (
        kind in kinds_of(a)
        and _severity_covers(a.severity, b.severity)
        and _names_cover(a.projects, b.projects or _projects_of(b.repositories))
        and _names_cover(a.repositories, b.repositories)
        and _names_cover(a.tags, b.tags)
        and (_ANYTHING in a.operators or _names_cover(a.operators, b.operators))
    )


def _severity_covers(wide: str | None, narrow: str | None) -> bool:
    return wide is None or (narrow is not None and rank(narrow) <= rank(wide))


def _names_cover(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    if not wide:
        return True
    return bool(narrow) and all(any(_covers(each, name) for each in wide) for name in narrow)


def _covers(wide: str, narrow: str) -> bool:
    """Whether a pattern surely fits all that another one fits: the same, anything, or a plain name or beginning."""
    if wide in (narrow, _ANYTHING):
        return True
    if not _is_pattern(narrow):
        return fnmatchcase(narrow, wide)
    beginning = wide.removesuffix("*")
    return wide.endswith("*") and not _is_pattern(beginning) and narrow.startswith(beginning)


def _is_pattern(name: str) -> bool:
    return any(mark in name for mark in "*?[")


def _projects_of(repositories: Sequence[str]) -> list[str]:
    """The projects that patterns of repositories are about; none, if that is not certain of each."""
    heads = [name.partition("/")[0] for name in repositories]
    return [] if any(_is_pattern(head) for head in heads) else heads
