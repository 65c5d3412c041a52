"""Many events, one message: how many of each type, and the list behind an expandable quotation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from itertools import islice

from formatters.markdown import ABSENT, LIMIT, bold, escape, labelled, plain, quotation, shorten, units, visible
from formatters.scans import image_of, report, worst
from formatters.texts import EMOJI, OCCASION_EMOJI, Label, Occasion, Style
from poller.events import Event, EventType


@dataclass(slots=True)
class _Group:
    """Events of one type in one repository, in the order in which they were met."""

    type: EventType
    name: str
    items: Counter[str] = field(default_factory=Counter)
    operators: Counter[str] = field(default_factory=Counter)

    def add(self, event: Event) -> None:
        self.items[_item(event)] += 1
        self.operators[event.operator] += 1

    @property
    def count(self) -> int:
        return self.operators.total()


@dataclass(frozen=True, slots=True)
class _Detail:
    """How much a line of the list says: at most so many names, each of so many units."""

    names: int
    length: int


_STEPS = (_Detail(LIMIT, LIMIT), _Detail(20, 255), _Detail(5, 128), _Detail(1, 64))
"""From everything to little; when even little is too much for all, the last lines go."""

_SHORT_DIGEST = len("sha256:") + 12 + len("…")


def digest(events: Sequence[Event], style: Style, occasion: Occasion) -> str:
    """One message in MarkdownV2 about any number of events. Its counts cover all of them."""
    heading = "\n".join(_heading(events, style, occasion))
    room = LIMIT - units(plain(heading)) - 1
    listed = [escape(line, style.extra_escapes) for line in _listed(_grouped(events, style), room, style)]
    return f"{heading}\n{quotation(listed)}" if listed else heading


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


def period(times: Sequence[datetime], style: Style) -> str:
    """From the first to the last moment, in the style's time zone, which is named."""
    if not times:
        return ABSENT
    first, last = local(min(times), style.timezone), local(max(times), style.timezone)
    zone = visible(last.tzname() or last.strftime("UTC%z"))
    start, end = f"{first:{style.texts.date} %H:%M}", f"{last:{style.texts.date} %H:%M}"
    if start == end:
        return f"{start} {zone}"
    return f"{start}–{last:%H:%M} {zone}" if first.date() == last.date() else f"{start} – {end} {zone}"


def local(moment: datetime, zone: tzinfo) -> datetime:
    try:
        return moment.astimezone(zone)
    except OverflowError:  # the first or last day of the calendar: a broken clock is no reason to say nothing
        return moment


def _grouped(events: Sequence[Event], style: Style) -> list[_Group]:
    groups: dict[tuple[EventType, str], _Group] = {}
    for event in events:
        name = event.repository.full_name if event.repository else style.texts.kinds[event.type]
        groups.setdefault((event.type, name), _Group(event.type, name)).add(event)
    return list(groups.values())


def _item(event: Event) -> str:
    """What a line names of an event: its tag, the start of its digest, or what it is about."""
    event = image_of(event)
    return event.tag or (short_digest(event.digest) if event.digest else event.subject)


def short_digest(digest: str) -> str:
    """`sha256:50bd50bd50bd…`"""
    return shorten(visible(digest), _SHORT_DIGEST)


def _listed(groups: list[_Group], room: int, style: Style) -> list[str]:
    """The list's lines with as much detail as fits, or as many lines as fit with the least."""
    for detail in _STEPS:
        lines = _lines_within(groups, room, detail)
        if len(lines) == len(groups):
            return lines
    return _cut(groups, room, style)


def _cut(groups: list[_Group], room: int, style: Style) -> list[str]:
    """As many lines as fit, and how many events are in none of them."""
    left = sum(group.count for group in groups)
    lines = _lines_within(groups, room - units(_more(left, style)) - 1, _STEPS[-1])
    left -= sum(group.count for group in groups[: len(lines)])
    return [*lines, _more(left, style)]


def _more(count: int, style: Style) -> str:
    return style.texts.more.format(events=style.texts.events(count))


def _lines_within(groups: list[_Group], room: int, detail: _Detail) -> list[str]:
    lines: list[str] = []
    for group in groups:
        line = _line(group, detail)
        room -= units(line) + 1
        if room < 0:
            break
        lines.append(line)
    return lines


def _line(group: _Group, detail: _Detail) -> str:
    """`📦 team/app: v1, v2 ×3 (ann, bob)`"""
    head = f"{EMOJI[group.type]} {shorten(visible(group.name), detail.length)}"
    operators = _joined((_name(name, 1, detail) for name in group.operators), len(group.operators), detail)
    if set(group.items) == {""}:  # nothing to name, as of a deleted repository
        return f"{head}{_times(group.count)} ({operators})"
    items = _joined((_name(name, times, detail) for name, times in group.items.items()), len(group.items), detail)
    return f"{head}: {items} ({operators})"


def _joined(names: Iterator[str], total: int, detail: _Detail) -> str:
    """`v1, v2, +3`"""
    shown = list(islice(names, detail.names))
    return ", ".join([*shown, f"+{total - len(shown)}"] if total > len(shown) else shown)


def _name(name: str, times: int, detail: _Detail) -> str:
    return shorten(visible(name), detail.length) + _times(times)


def _times(count: int) -> str:
    return f" ×{count}" if count > 1 else ""
