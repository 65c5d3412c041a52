"""Which events go to which chat, and how they are told there. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from poller.events import EventType

DEFAULT = "telegram"
"""The only route where the configuration has none of its own: the chat of `[telegram]`, for everything."""


@dataclass(frozen=True, slots=True)
class QuietHours:
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


@dataclass(frozen=True, slots=True)
class Filter:
    """What a route takes; what is empty takes everything. Patterns are globs. `severity`: of scans, at least."""

    types: frozenset[EventType] = frozenset()
    projects: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    severity: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
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
    takes: Filter = field(default_factory=Filter)
    is_nowhere: bool = False
    goes_on: bool = False
