"""A scan report in words. Reports come from scanners of all kinds: nothing about their types is certain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from formatters.markdown import ABSENT
from poller.events import Scan

WORST_FIRST = ("critical", "high", "medium", "low", "negligible", "none", "unknown")

_MOST_LEVELS = 20  # Telegram shows 100 entities a message; a label is one


@dataclass(frozen=True, slots=True)
class Report:
    """What a message says of a scan, as text; what is absent or no single value is `—`."""

    status: str = ABSENT
    duration: str = ABSENT
    severity: str = ABSENT
    total: str = ABSENT
    fixable: str = ABSENT
    levels: tuple[tuple[str, str], ...] = ()  # (severity, count), worst first
    scanner: str = ABSENT


def report(scan: Scan | None) -> Report:
    """The first report of a scan's overview, whatever it is made of."""
    overview = _mapping(scan.overview if scan else None)
    found = _mapping(next(iter(overview.values()), None))
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


def rank(severity: str) -> int:
    """Place among the severities, worst first; words that we do not know come last."""
    word = severity.casefold()
    return WORST_FIRST.index(word) if word in WORST_FIRST else len(WORST_FIRST)


def _levels(counts: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    ordered = sorted(((_text(level), _text(count)) for level, count in counts.items()), key=lambda item: rank(item[0]))
    yield from ordered[:_MOST_LEVELS]
    if len(ordered) > _MOST_LEVELS:
        yield "…", f"+{len(ordered) - _MOST_LEVELS}"


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
