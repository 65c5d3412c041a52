"""A scan report in words. Reports come from scanners of all kinds: nothing about their types is certain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from formatters.markdown import ABSENT, MARK, shorten, visible
from poller.events import SCAN_TYPES, Event, Scan
from poller.values import replace

WORST_FIRST = ("critical", "high", "medium", "low", "negligible", "none", "unknown")
"""The severities of scanners, in lower case."""

NAMED_RANK = WORST_FIRST.index("high")
"""Findings up to this rank are so bad that messages name them."""

LONGEST_LEVEL = 40  # units of a severity's name; those that scanners use are a word

_MOST_LEVELS = 20  # Telegram shows 100 entities a message; a label is one
_TOO_MANY = 1 << 31  # no image has so many findings: somebody's mistake, or worse


class Report(msgspec.Struct, frozen=True):
    """What a message says of a scan, as text; what is absent or no single value is `—`."""

    status: str = ABSENT
    duration: str = ABSENT
    severity: str = ABSENT
    total: str = ABSENT
    fixable: str = ABSENT
    levels: tuple[tuple[str, str], ...] = ()  # (severity, count), worst first
    scanner: str = ABSENT


class Figures(msgspec.Struct, frozen=True):
    """The numbers of a scan, or the sum of several: findings, how many have a fix, {severity: findings}."""

    total: int = 0
    fixable: int = 0
    levels: Mapping[str, int] = msgspec.field(default_factory=dict)

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.total + other.total, self.fixable + other.fixable, summed_levels((self.levels, other.levels))
        )


def report(scan: Scan | None) -> Report:
    """The first report of a scan's overview, whatever it is made of."""
    found = _found(scan)
    summary = _mapping(found.get("summary"))
    return Report(
        status=_text(found.get("scan_status")),
        duration=_duration(found.get("duration")),
        severity=_text(found.get("severity")),
        total=_text(summary.get("total")),
        fixable=_text(summary.get("fixable")),
        levels=tuple(_levels(_mapping(summary.get("summary")))),
        scanner=_scanner(_mapping(found.get("scanner"))),
    )


def figures(scan: Scan | None) -> Figures | None:
    """The numbers of a scan's report; None where it has none."""
    summary = _found(scan).get("summary")
    if not isinstance(summary, Mapping):
        return None
    by_level = levels(summary.get("summary"))
    total = summary.get("total")
    return Figures(
        total=count(total) if total is not None else sum(by_level.values()),
        fixable=count(summary.get("fixable")),
        levels=by_level,
    )


def levels(counts: object) -> dict[str, int]:
    """{severity: how many} of anything, worst first, without zeros, and without what is no number."""
    return summed_levels({_level(level): count(number)} for level, number in _mapping(counts).items())


def summed_levels(many: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum, severity by severity, worst first; a flood of made-up severities ends in `…`."""
    total: dict[str, int] = {}
    for counts in many:
        for level, number in counts.items():
            known = level if level in total or len(total) < _MOST_LEVELS else MARK
            total[known] = total.get(known, 0) + number
    return {level: total[level] for level in sorted(total, key=rank) if total[level]}


def listed_levels(counts: Mapping[str, int]) -> str:
    """`1 Critical, 2 High`"""
    return ", ".join(f"{number} {level}" for level, number in counts.items())


def count(value: object) -> int:
    """A number of things; 0 for what cannot be one."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and isinstance(value, int) and 0 <= value < _TOO_MANY else 0


def rank(severity: str) -> int:
    """Place among the severities, worst first; words that we do not know come last."""
    word = severity.casefold()
    return WORST_FIRST.index(word) if word in WORST_FIRST else len(WORST_FIRST)


def worst(severities: Iterable[str]) -> str:
    """The worst of them, fit to be shown; "" if there is none."""
    found = {severity for severity in severities if severity not in ("", ABSENT)}
    said = min(found, key=lambda word: (rank(word), word), default="")
    return _level(said) if said else ""


def image_of(event: Event) -> Event:
    """The event as one of the image that people know: of a platform, the index that it belongs to."""
    index = event.scan.index if event.scan else None
    return replace(event, tag=index.tag, digest=index.digest) if index else event


def is_sbom_run(event: Event) -> bool:
    """Whether the event is about an SBOM rather than about vulnerabilities."""
    return event.type in SCAN_TYPES and event.scan is not None and event.scan.is_sbom


def _found(scan: Scan | None) -> Mapping[Any, Any]:
    overview = _mapping(scan.overview if scan else None)
    return _mapping(next(iter(overview.values()), None))


def _level(value: object) -> str:
    """A severity as it is shown: those that are known with a capital, as Harbor writes them."""
    word = _text(value)
    place = rank(word)
    return WORST_FIRST[place].capitalize() if place < len(WORST_FIRST) else shorten(visible(word), LONGEST_LEVEL)


def _levels(counts: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    ordered = sorted(((_text(level), _text(count)) for level, count in counts.items()), key=lambda item: rank(item[0]))
    yield from islice(ordered, _MOST_LEVELS)
    if len(ordered) > _MOST_LEVELS:
        yield MARK, f"+{len(ordered) - _MOST_LEVELS}"


def _scanner(scanner: Mapping[Any, Any]) -> str:
    words = (_text(scanner.get("name")), _text(scanner.get("version")))
    return " ".join(word for word in words if word != ABSENT) or ABSENT


def _duration(value: object) -> str:
    text = _text(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{text}s" if text != ABSENT and (is_number or text.isdecimal()) else text


def _text(value: object) -> str:
    """A single value as text. Numbers beyond 64 bits are refused: Python will not print the longest of them."""
    if isinstance(value, int) and value.bit_length() > 64:
        return ABSENT
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value) if isinstance(value, str | int) and value != "" else ABSENT


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
