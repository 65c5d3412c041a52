"""Telling the past: reads a closed period of the audit log into the state, hour by hour.

Each answer of Harbor counts every row that matches, so the windows are closed and small. A window that was
read to its end is noted in the ledger; whoever interrupts a backfill and starts it again goes on from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from poller.events import Event, EventType, Source
from poller.harbor import Harbor, Log
from poller.jobs import AuditPoller
from poller.knowledge import Knowledge
from poller.normalize import Entry
from poller.rows import AuditRow
from poller.survey import log_name
from state import Coverage, DeliveryState, Mode, Store, Telling

WINDOW = timedelta(hours=1)
SETTLED = timedelta(minutes=5)
"""A window that ended less than this ago may still get a late row, so it is not noted as done."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read. Nothing named means everything."""

    since: datetime
    until: datetime
    projects: frozenset[str] = frozenset()
    types: frozenset[EventType] = frozenset()

    def takes(self, event: Event) -> bool:
        project = event.repository.namespace if event.repository else event.subject
        return (not self.types or event.type in self.types) and (not self.projects or project in self.projects)

    @property
    def scope(self) -> str:
        return " ".join([*sorted(self.projects), *sorted(self.types)])


@dataclass(frozen=True, slots=True)
class Window:
    log: Log
    start: datetime
    end: datetime


@dataclass(slots=True)
class Found:
    """What a backfill found, by type; `known` events were recorded before."""

    rows: int = 0
    known: int = 0
    new: Counter[EventType] = field(default_factory=Counter)
    to_tell: int = 0


class Backfill:
    """Reads a period. `is_dry` only counts. `is_told` leaves the events to the delivery, as a digest at first."""

    def __init__(
        self, harbor: Harbor, store: Store, poller: AuditPoller, wanted: Wanted, *, is_dry: bool, is_told: bool
    ) -> None:
        self._harbor = harbor
        self._store = store
        self._poller = poller
        self._wanted = wanted
        self._is_dry = is_dry
        self._is_told = is_told
        self._knowledge = Knowledge()
        self._cursors = store.cursors()
        self.found = Found()

    def windows(self, now: datetime) -> list[Window]:
        """The windows to read, oldest first, without those that an earlier backfill has done."""
        reach = self._poller.survey.reach(now)
        live = reach.logs
        old = [Log(Source.OLD_LOG, log.project) for log in live] if reach.table is Source.NEW_LOG else []
        windows = [Window(log, *hour) for log in [*old, *live] for hour in self._hours_of(log)]
        return [window for window in windows if self._is_dry or not self._is_done(window)]

    def read(self, window: Window, now: datetime) -> None:
        """Read one window and record it, page by page."""
        for rows in self._poller.pages_by_time(window.log, window.start, window.end):
            mine = [row for row in rows if self._is_mine(row, window.log)]
            entries = self._poller.unknown(mine)
            self.found.rows += len(mine)
            self.found.known += len(mine) - len(entries)
            self._recall(entries, window)
            events = self._poller.events(entries, now, self._knowledge, self._is_worth_asking)
            tellings = [self._telling(event, now) for event in events if self._wanted.takes(event)]
            self._count(tellings)
            learnt = self._knowledge.take_changes()
            if not self._is_dry:
                self._store.record(tellings, now=now, learnt=learnt)
        if not self._is_dry and self._is_whole(window) and window.end <= now - SETTLED:
            self._store.cover(Coverage(self._name(window), window.start, window.end))

    def _is_mine(self, row: AuditRow, log: Log) -> bool:
        """Of the period, and not for the next poll: what that has not read yet is news, not the past."""
        cursor = self._cursors.get(log_name(log))
        is_past = cursor is None or row.id <= cursor.row_id
        return is_past and self._wanted.since <= row.op_time <= self._wanted.until

    def _is_worth_asking(self, entry: Entry) -> bool:
        wanted = self._wanted
        is_wanted = (not wanted.types or entry.type in wanted.types) and (
            not wanted.projects or entry.project in wanted.projects
        )
        return is_wanted and not self._is_dry

    def _recall(self, entries: Sequence[Entry], window: Window) -> None:
        """What an interrupted backfill had learnt of the time before this window."""
        for place, fact in self._poller.knowledge_for(entries).tags.items():
            if fact.at <= window.start and place not in self._knowledge.tags:
                self._knowledge.tags[place] = fact

    def _telling(self, event: Event, now: datetime) -> Telling:
        telling = replace(self._poller.decide(event), since=now, mode=Mode.DIGEST)
        if telling.state is DeliveryState.PENDING and not self._is_told:
            return replace(telling, state=DeliveryState.OFF, reason="backfill --deliver none")
        return telling

    def _count(self, tellings: list[Telling]) -> None:
        self.found.new.update(telling.event.type for telling in tellings)
        self.found.to_tell += sum(telling.state is DeliveryState.PENDING for telling in tellings)

    def _hours_of(self, log: Log) -> list[tuple[datetime, datetime]]:
        """The hours to read of a log, without the empty time before its first row."""
        first = self._first_row_at(log)
        if first is None:
            return []
        return [hour for hour in _hours(self._wanted.since, self._wanted.until) if hour[1] >= first]

    def _first_row_at(self, log: Log) -> datetime | None:
        """Looked for in windows that grow, so that Harbor never counts more than it must."""
        start, span = self._wanted.since, WINDOW
        while start < self._wanted.until:
            end = min(start + span, self._wanted.until)
            rows = self._harbor.rows_between(log, start, end)
            if rows:
                return rows[0].op_time
            start, span = end, span * 2
        return None

    def _is_whole(self, window: Window) -> bool:
        return self._wanted.since <= window.start and window.end <= self._wanted.until

    def _is_done(self, window: Window) -> bool:
        return self._store.is_covered(self._name(window), window.start, window.end)

    def _name(self, window: Window) -> str:
        kind = "backfill" if self._is_told else "backfill-untold"
        scope = sha256(self._wanted.scope.encode()).hexdigest()[:12] if self._wanted.scope else "all"
        return f"{kind}:{log_name(window.log)}:{scope}"


def _hours(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Whole hours of the clock that hold the period, so that another backfill cuts it the same way."""
    start = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while start < until:
        yield start, start + WINDOW
        start += WINDOW
