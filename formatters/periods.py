"""When it was: from the first to the last of many events, as a chat's clock shows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo

import msgspec

from formatters.markdown import ABSENT, visible
from formatters.texts import Style


class Span(msgspec.Struct):
    """The first and the last moment of those that were added, in any order."""

    first: datetime | None = None
    last: datetime | None = None

    def add(self, moment: datetime) -> None:
        self.first = min(self.first or moment, moment)
        self.last = max(self.last or moment, moment)

    def told(self, style: Style) -> str:
        return period([moment for moment in (self.first, self.last) if moment], style)


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
