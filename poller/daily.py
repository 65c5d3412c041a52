"""What is told once a day, and when. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo

import msgspec

from poller.events import NEARLY, Day, Event, EventType, Gap, Source

OPERATOR = "harbor-poller"
DAY = timedelta(days=1)


class DailyAt(msgspec.Struct, frozen=True):
    """A time of each day, by the clocks of `zone`."""

    at: time
    zone: tzinfo

    def passed_today(self, now: datetime) -> tuple[date, datetime] | None:
        """Today's date and that moment (UTC), if it has passed. What was missed yesterday is told no more."""
        today = now.astimezone(self.zone).date()
        moment = datetime.combine(today, self.at, self.zone).astimezone(UTC)
        return (today, moment) if moment <= now else None


def since(first_run: datetime, now: datetime) -> datetime:
    """From when on the day is told: a record that is younger is told from its beginning."""
    return max(first_run, now - DAY)


def event_of(
    day: date,
    since: datetime,
    now: datetime,
    *,
    read_until: datetime,
    counts: Mapping[EventType, int],
    messages: int,
    gaps: Collection[Gap],
    waiting: int,
    waiting_since: datetime | None,
) -> Event:
    """`gaps`: all that are known; what was read after all is none. `waiting`: what nothing holds back."""
    is_late = waiting > 0 and waiting_since is not None and now - waiting_since > NEARLY
    told = Day(
        date=day.isoformat(),
        since=since,
        until=now,
        read_until=read_until,
        counts={str(kind): counts[kind] for kind in EventType if counts.get(kind)},
        messages=messages,
        gaps=tuple(gap for gap in gaps if gap.closed_at is None and (gap.ended_at is None or gap.ended_at >= since)),
        waiting=waiting if is_late else 0,
        waiting_since=waiting_since if is_late else None,
    )
    return Event(
        type=EventType.DAILY,
        occurred_at=now,
        operator=OPERATOR,
        source=Source.WATCH,
        source_id=0,
        subject=day.isoformat(),
        day=told,
    )
