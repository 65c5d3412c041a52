"""Many events, one message: how many of each type, and the list behind an expandable quotation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from formatters.groups import Groups, Place
from formatters.listing import listed
from formatters.markdown import LIMIT, bold, escape, labelled, plain, quotation, units
from formatters.periods import period
from formatters.scans import report, worst
from formatters.texts import EMOJI, OCCASION_EMOJI, Label, Occasion, Style
from poller.events import Event, EventType


def digest(events: Sequence[Event], style: Style, occasion: Occasion) -> str:
    """One message in MarkdownV2 about any number of events. Its counts cover all of them."""
    heading = "\n".join(_heading(events, style, occasion))
    room = LIMIT - units(plain(heading)) - 1
    lines = [escape(line, style.extra_escapes) for line in _listed(events, room, style)]
    return f"{heading}\n{quotation(lines)}" if lines else heading


def _listed(events: Sequence[Event], room: int, style: Style) -> list[str]:
    """What must be seen comes first and is cut last; a quarter of the room is left to what comes after it."""
    groups = Groups()
    for event in events:
        groups.add(event)
    found, lines = list(groups), list[str]()
    for most in (Place.CRITICAL, Place.HIGH, Place.ORDINARY):
        section = [group for group in found if group.place <= most]
        found = found[len(section) :]
        left = room - sum(units(line) + 1 for line in lines)
        lines += listed(section, left - left // 4 if found else left, style)
    return lines


def _heading(events: Sequence[Event], style: Style, occasion: Occasion) -> Iterator[str]:
    texts, extra = style.texts, style.extra_escapes
    yield f"{OCCASION_EMOJI[occasion]} {bold(texts.occasions[occasion], extra)}"
    times = [event.occurred_at for event in events]
    yield labelled(texts.labels[Label.PERIOD], escape(period(times, style), extra), extra)
    yield labelled(texts.labels[Label.COUNT], escape(texts.events(len(events)), extra), extra)
    yield from (escape(line, extra) for line in _counts(events, style))


def _counts(events: Sequence[Event], style: Style) -> Iterator[str]:
    """`📦 Pushes: 12`, a line per type; of scans also the worst that was found."""
    counts = Counter(event.type for event in events)
    for kind in sorted(counts, key=list(EventType).index):
        worst = _worst(events) if kind is EventType.SCANNING_COMPLETED else ""
        note = f" ({style.texts.worst.format(severity=worst)})" if worst else ""
        yield f"{EMOJI[kind]} {style.texts.kinds[kind]}: {counts[kind]}{note}"


def _worst(events: Sequence[Event]) -> str:
    return worst(report(event.scan).severity for event in events if event.type is EventType.SCANNING_COMPLETED)
