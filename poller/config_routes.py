"""The `[[route]]` tables of conf.toml: which events go where. What a route does not say is as in `[telegram]`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import time, tzinfo
from fnmatch import fnmatchcase
from hashlib import sha256

from poller import config_values as values
from poller import timezones
from poller.config_file import Mistakes, Section, Table, nearest, unknown_key
from poller.config_values import Unfit, duration
from poller.daily import DailyAt
from poller.events import EventType
from poller.routes import ALL_SEVERITIES, DEFAULT, Filter, QuietHours, Route

SEVERITIES = ("critical", "high", "medium", "low")
"""Of findings, worst first."""

FILTERS = ("events", "projects", "repositories", "tags", "operators", "severity")
TARGETS = (
    "chat_id",
    "message_thread_id",
    "language",
    "silent",
    "minimum_severity",
    "quiet_hours",
    "every",
)
ROUTE_KEYS = ("name", *FILTERS, "continue", *TARGETS, "nowhere")

_MOST_LETTERS = 60  # of a name, as the state keeps it
_MOST_WORDS = 50  # letters of a name that is made of what a route says
_HOURS = re.compile(r"(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})(?:\s+(\S+))?")
_DAILY = re.compile(r"(\d{1,2}):(\d{2})(?:\s+(\S+))?")
_HARBORS_NAMES = re.compile(r"[a-z0-9._*?\[\]!/-]+")


@dataclass(frozen=True, slots=True)
class Usual:
    """What holds where a route says nothing else. `chat_id` None: each route that tells has its own."""

    chat_id: int | str | None
    message_thread_id: int | None
    language: str
    silent: frozenset[EventType]
    quiet_hours: QuietHours | None
    timezone: tzinfo


def routes(document: Table, usual: Usual, mistakes: Mistakes) -> tuple[Route, ...]:
    """Those of the file, in their order; where it has none, one to the chat of `[telegram]`."""
    tables = _tables(document.get("route", []), mistakes)
    numbered = enumerate(zip(tables, _names_of(tables), strict=True), 1)
    found = tuple(_route(number, table, name, usual, mistakes) for number, (table, name) in numbered)
    for number, route in enumerate(found):
        if route.name in {other.name for other in found[:number]}:
            mistakes.add(f'[[route]] "{route.name}"', "is there twice: give each a name of its own")
    return found or (_default(usual),)


def all_name_chats(document: Table) -> bool:
    """Whether each route that tells has a chat of its own, and there is one."""
    tables = document.get("route")
    routes = [each for each in tables if isinstance(each, Mapping)] if isinstance(tables, list) else []
    telling = [route for route in routes if route.get("nowhere") is not True]
    return bool(telling) and all(route.get("chat_id", "") != "" for route in telling)


def _default(usual: Usual) -> Route:
    return Route(
        DEFAULT,
        usual.chat_id or 0,
        usual.message_thread_id,
        usual.language,
        usual.silent,
        quiet_hours=usual.quiet_hours,
    )


def _tables(value: object, mistakes: Mistakes) -> list[Table]:
    if isinstance(value, Mapping):
        mistakes.add("[route]", "must have double brackets, for there may be several: [[route]]")
        return [value]
    if isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
        return value
    mistakes.add("route", "must be a table of its own for each: a line [[route]], its keys below it")
    return []


def _names_of(tables: Sequence[Table]) -> list[str]:
    """What routes are called that have no name: what waits belongs to that, wherever the table stands in the file."""
    met = Counter(str(table["name"]) for table in tables if "name" in table)
    names = list[str]()
    for table in tables:
        name = _words(table)
        met[name] += "name" not in table
        names.append(name if met[name] <= 1 else f"{name} ({met[name]})")
    return names


def _words(table: Table) -> str:
    """What a route takes and where that goes, as in "projects lib to -1002"; too long a list ends in a hash of it."""
    taken = [f"{key} {_listed(table[key])}" for key in FILTERS if key in table]
    place = "/".join(str(table[key]) for key in ("chat_id", "message_thread_id") if key in table)
    words = f"{', '.join(taken) or 'all'}{f' to {place}' if place else ''}"
    if len(words) <= _MOST_WORDS and words.isprintable():
        return words
    shown = "".join(letter for letter in words[: _MOST_WORDS - 10] if letter.isprintable())
    return f"{shown}… {sha256(words.encode()).hexdigest()[:8]}"


def _listed(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _route(number: int, table: Table, usual_name: str, usual: Usual, mistakes: Mistakes) -> Route:
    given = table.get("name")
    shown = f'"{given}"' if isinstance(given, str) and given else str(number)
    here = Section("route", table, mistakes, label=f"[[route]] {shown}")
    for key in table:
        if key not in ROUTE_KEYS:
            mistakes.add(f"{here.where(key)}:", unknown_key(key, ROUTE_KEYS))
    is_nowhere = here.read("nowhere", values.switch, False)
    if is_nowhere:
        _note_idle(here)
    name = here.read("name", _name, usual_name)
    return _target(here, usual, name, is_nowhere=is_nowhere)


def _note_idle(here: Section) -> None:
    idle = [key for key in ("continue", *TARGETS) if here.has(key)]
    if idle:
        here.mistakes.add(
            here.where("nowhere"), f"leaves nothing for {' and '.join(idle)} to say: keep the one or other"
        )


def _target(here: Section, usual: Usual, name: str, *, is_nowhere: bool) -> Route:
    chat_id = here.read("chat_id", values.chat_id, usual.chat_id or 0)
    topic = usual.message_thread_id if chat_id == usual.chat_id else None
    return Route(
        name=name,
        chat_id=chat_id,
        message_thread_id=here.read("message_thread_id", values.message_thread_id, topic),
        language=here.read("language", values.one_of("ru", "en"), usual.language),
        silent=here.read("silent", silent, usual.silent),
        minimum_severity=here.read("minimum_severity", values.word(*SEVERITIES, ALL_SEVERITIES), ALL_SEVERITIES),
        quiet_hours=here.read("quiet_hours", hours(usual.timezone), usual.quiet_hours),
        every=here.read("every", duration("1m", "7d"), None),
        takes=_filter(here),
        is_nowhere=is_nowhere,
        goes_on=here.read("continue", values.switch, False),
    )


def _filter(here: Section) -> Filter:
    severity: Callable[[object], str | None] = values.word(*SEVERITIES)
    return Filter(
        types=here.read("events", kinds, frozenset()),
        projects=here.read("projects", _projects, ()),
        repositories=here.read("repositories", _repositories, ()),
        tags=here.read("tags", _tags, ()),
        operators=here.read("operators", _operators, ()),
        severity=here.read("severity", severity, None),
    )


# -- values -----------------------------------------------------------------------------------------


def kinds(value: object) -> frozenset[EventType]:
    """Of a list of kinds of events, or globs of them, in whatever case."""
    found = frozenset[EventType]()
    for item in _texts(value, '["PUSH_ARTIFACT", "SCANNING_*"]'):
        matching = [type_ for type_ in EventType if fnmatchcase(type_, item.strip().upper())]
        if not matching:
            near = nearest(item, list(EventType))
            raise Unfit(f"names no kind of event{f'; did you mean {near}?' if near else ': [events] lists them'}")
        found |= frozenset(matching)
    return found


def silent(value: object) -> frozenset[EventType]:
    """What comes without a sound: all (true), nothing (false), or some kinds."""
    if isinstance(value, bool):
        return frozenset(EventType) if value else frozenset()
    if not isinstance(value, list):
        raise Unfit('must be true, false, or a list of kinds of events such as ["PULL_ARTIFACT"]')
    return kinds(value)


def hours(usual_zone: tzinfo) -> Callable[[object], QuietHours | None]:
    """Of "22:00-07:00", with a time zone behind it or in the usual one; None for "off"."""

    def parse(value: object) -> QuietHours | None:
        if isinstance(value, str) and value.strip().lower() == "off":
            return None
        match = _HOURS.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise Unfit('must be as in "22:00-07:00" or "22:00-07:00 Europe/Berlin", or "off"')
        start, end = _time(match[1], match[2]), _time(match[3], match[4])
        if start == end:
            raise Unfit("must not end when it begins")
        return QuietHours(start, end, _zone(match[5]) if match[5] else usual_zone)

    return parse


def daily(usual_zone: tzinfo) -> Callable[[object], DailyAt | None]:
    """Of "09:00", with a time zone behind it or in the usual one; None for "off"."""

    def parse(value: object) -> DailyAt | None:
        if isinstance(value, str) and value.strip().lower() == "off":
            return None
        match = _DAILY.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise Unfit('must be as in "09:00" or "09:00 Europe/Berlin", or "off"')
        return DailyAt(_time(match[1], match[2]), _zone(match[3]) if match[3] else usual_zone)

    return parse


def _time(hour: str, minute: str) -> time:
    at = int(hour) * 60 + int(minute)
    if int(minute) > 59 or at > 24 * 60:
        raise Unfit("must have times of day, from 00:00 to 24:00")
    return time(at // 60 % 24, at % 60)


def _zone(name: str) -> tzinfo:
    try:
        return timezones.named(name)
    except Unfit as unfit:
        raise Unfit(f"has no time zone behind the hours: it {unfit}") from None


def _name(value: object) -> str:
    name = values.text(value).strip()
    if not 1 <= len(name) <= _MOST_LETTERS or not name.isprintable():
        raise Unfit(f"must have 1 to {_MOST_LETTERS} visible characters")
    if name == DEFAULT:
        raise Unfit("is what the chat of [telegram] is called where there are no routes: choose another")
    return name


def _projects(value: object) -> tuple[str, ...]:
    found = _texts(value, '["team", "lib*"]')
    if any("/" in item for item in found):
        raise Unfit("must name projects, only what stands before the slash; repositories have a key of their own")
    return _harbors(found)


def _repositories(value: object) -> tuple[str, ...]:
    found = _texts(value, '["team/app", "team/*"]')
    if any(re.fullmatch(r"[^/*?\[]+", item) for item in found):
        raise Unfit('must name repositories with their project, as in "team/app" or "team/*"')
    return _harbors(found)


def _harbors(found: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_HARBORS_NAMES.fullmatch(item) for item in found):
        raise Unfit("can never match: names in Harbor have lower-case letters, digits and . _ - only")
    return found


def _tags(value: object) -> tuple[str, ...]:
    found = _texts(value, '["latest", "v*"]')
    if any(mark in item for item in found for mark in ":/@"):
        raise Unfit('must be tags alone, what stands behind the colon, as in "latest" or "v*"')
    return found


def _operators(value: object) -> tuple[str, ...]:
    return _texts(value, '["ann", "robot$ci*"]')


def _texts(value: object, example: str) -> tuple[str, ...]:
    items: Sequence[object] = value if isinstance(value, list) else [None]
    texts = [item.strip() for item in items if isinstance(item, str)]
    if len(texts) != len(items) or not all(texts):
        raise Unfit(f"must be a list such as {example}")
    return tuple(dict.fromkeys(texts))
