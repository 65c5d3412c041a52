"""Telling the past: reads a closed period of the audit log into the state, hour by hour.

Each answer of Harbor counts every row that matches, so the windows are closed and small. A window that was
read to its end is noted in the ledger; whoever interrupts a backfill and starts it again goes on from there.

A poller may be at work beside it. What that has not read is left to it, and what is found here is held back until
the whole period was read, or a hundred summaries would be told of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from poller.events import Event, EventType, Reason, Source
from poller.harbor import Harbor, Log
from poller.jobs import BATCH, AuditPoller
from poller.knowledge import Changes, Knowledge
from poller.normalize import Entry
from poller.rows import AuditRow
from poller.survey import log_name
from state import PAST, Coverage, Cursor, DeliveryState, Mode, Store, Telling

WINDOW = timedelta(hours=1)
SETTLED = timedelta(minutes=5)
"""A window that ended less than this ago may still get a late row, so it is not noted as done."""
HELD = timedelta(hours=1)
"""What a backfill found that was killed is told so much later, by whoever tells."""
MOST_FACTS = 5000
"""Tags that are kept in mind, those used last: 4 MB of them. A period may have millions; the state has the others."""
LONGEST_SEARCH = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read. Nothing named means everything."""

    since: datetime
    until: datetime
    projects: frozenset[str] = frozenset()
    types: frozenset[EventType] = frozenset()

    def takes(self, event: Event) -> bool:
        if self.types and event.type not in self.types:
            return False
        return not self.projects or (event.repository.namespace if event.repository else event.subject) in self.projects

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
    """What a backfill found, by type; `known` events were recorded before.

    `complete_from`: from when on Harbor has the rows of the period, by log; a log without any is not in it.
    """

    rows: int = 0
    known: int = 0
    new: Counter[EventType] = field(default_factory=Counter)
    to_tell: int = 0
    complete_from: dict[Log, datetime] = field(default_factory=dict)


class Backfill:
    """Reads a period. `is_dry` only counts. `is_told` leaves the events to the delivery, as a digest at first.

    They are held back: whoever has read all windows and knows how to tell them releases them.
    """

    def __init__(
        self, harbor: Harbor, store: Store, poller: AuditPoller, wanted: Wanted, *, is_dry: bool, is_told: bool
    ) -> None:
        self._harbor = harbor
        self._store = poller.over_routes(store)
        self._poller = poller
        self._wanted = wanted
        self._is_dry = is_dry
        self._is_told = is_told
        self._knowledge = Knowledge()
        self._held_since: datetime | None = None
        self.found = Found()

    def windows(self, now: datetime) -> list[Window]:
        """The windows to read, oldest first, without those that an earlier backfill has done."""
        reach = self._poller.survey.reach(now)
        live = reach.logs
        old = [Log(Source.OLD_LOG, log.project) for log in live] if reach.table is Source.NEW_LOG else []
        windows = [Window(log, *hour) for log in [*old, *live] for hour in self._hours_of(log)]
        return [window for window in windows if self._is_dry or not self._is_done(window)]

    def read(self, window: Window, now: datetime) -> None:
        """Read one window and record it, batch by batch."""
        self._hold(now)
        cursor = self._store.cursors().get(log_name(window.log))  # a poll may have moved it since the last window
        is_whole = self._is_whole(window) and window.end <= now - SETTLED
        start, end = max(window.start, self._wanted.since), min(window.end, self._wanted.until)
        for batch in self._poller.pages_by_time(window.log, start, end, BATCH):
            is_whole &= self._record(batch, window, cursor, now)
        if is_whole and not self._is_dry:
            self._store.cover(Coverage(self._name(window), window.start, window.end))

    def note_past(self, now: datetime) -> None:
        """When every window was read: from when on everything is recorded. Of a part of it nothing is noted."""
        if self._is_dry or self._scope:
            return
        end = min(self._wanted.until, now)
        for log, start in self.found.complete_from.items():
            name = f"{PAST}{log_name(log)}"
            if start < end and not self._store.is_covered(name, start, end):
                self._store.cover(Coverage(name, start, end))
            self._store.close_gaps(Reason.HIDDEN, log_name(log), self._wanted.since, end, now)

    def _record(self, batch: Sequence[AuditRow], window: Window, cursor: Cursor | None, now: datetime) -> bool:
        """Record what of a batch is ours. Returns whether that was all which is not known."""
        of_period = [row for row in batch if self._is_in(row, window)]
        unknown = self._poller.unknown(of_period)
        entries = [entry for entry in unknown if not _is_for_the_poll(entry.row, cursor)]
        known = len(of_period) - len(unknown)
        self.found.rows += known + len(entries)
        self.found.known += known
        self._recall(entries)
        events = self._poller.events(entries, now, self._knowledge, self._is_worth_asking)
        learnt = self._knowledge.take_changes()
        tellings = [self._telling(event, now) for event in events if self._wanted.takes(event)]
        tellings = self._poller.along(tellings, learnt)
        self._count(tellings)
        self._knowledge.forget_beyond(MOST_FACTS)
        if not self._is_dry and (tellings or learnt != Changes()):
            self._store.record(tellings, now=now, learnt=learnt)
        return len(entries) == len(unknown)

    def _is_in(self, row: AuditRow, window: Window) -> bool:
        """Within the period; a row on the hour belongs to the window that begins then, if there is one."""
        is_last = window.end >= self._wanted.until
        is_before_end = row.op_time < window.end or is_last
        return is_before_end and self._wanted.since <= row.op_time <= self._wanted.until

    def _hold(self, now: datetime) -> None:
        """Hold back for longer what waits, when reading takes so long."""
        if self._held_since is None:
            self._held_since = now
        if self._is_told and not self._is_dry and now - self._held_since >= HELD / 2:
            self._store.hold(Mode.DIGEST, until=now + HELD)
            self._held_since = now

    def _is_worth_asking(self, entry: Entry) -> bool:
        wanted = self._wanted
        is_wanted = (not wanted.types or entry.type in wanted.types) and (
            not wanted.projects or entry.project in wanted.projects
        )
        return is_wanted and not self._is_dry

    def _recall(self, entries: Sequence[Entry]) -> None:
        """What is stored of the time before these rows: by an interrupted backfill, or by this one and forgotten."""
        tags = self._knowledge.tags
        remembered = self._poller.knowledge_for([e for e in entries if (e.repository, e.tag) not in tags])
        begin = min((entry.row.op_time for entry in entries if not entry.row.raw), default=None)
        if begin is not None:
            self._knowledge.recall(remembered, begin)

    def _telling(self, event: Event, now: datetime) -> Telling:
        telling = self._poller.decide(event)
        state, reason, held_until = telling.state, telling.reason, None
        if state is DeliveryState.PENDING and self._is_told:
            held_until = now + HELD
        elif state is DeliveryState.PENDING:
            state, reason = DeliveryState.OFF, "backfill --deliver none"
        return Telling(event, state, reason, Mode.DIGEST, now, held_until=held_until)

    def _count(self, tellings: list[Telling]) -> None:
        self.found.new.update(telling.event.type for telling in tellings)
        self.found.to_tell += sum(map(self._poller.is_told, tellings))

    def _hours_of(self, log: Log) -> list[tuple[datetime, datetime]]:
        """The hours to read of a log, without the empty time before its first row."""
        first = self._first_row(log)
        if first is None:
            return []
        since = self._wanted.since
        self.found.complete_from[log] = since if self._is_unpurged(log, first) else max(since, first.op_time)
        return [hour for hour in _hours(since, self._wanted.until) if hour[1] >= first.op_time]

    def _first_row(self, log: Log) -> AuditRow | None:
        """Looked for in windows that grow, so that Harbor never counts much more than it must."""
        start, span = self._wanted.since, WINDOW
        while start < self._wanted.until:
            end = min(start + span, self._wanted.until)
            found = self._harbor.rows_between(log, start, end)
            if found:
                return found[0]
            start, span = end, min(span * 2, LONGEST_SEARCH)
        return None

    def _is_unpurged(self, log: Log, first: AuditRow) -> bool:
        """Whether Harbor has what there was before the first row of the period: a purge takes the oldest rows."""
        since = self._wanted.since
        return first.id == 1 or any(
            row.op_time < since
            for span in (WINDOW, LONGEST_SEARCH)
            for row in self._harbor.rows_between(log, since - span, since)
        )

    def _is_whole(self, window: Window) -> bool:
        return self._wanted.since <= window.start and window.end <= self._wanted.until

    def _is_done(self, window: Window) -> bool:
        return self._store.is_covered(self._name(window), window.start, window.end)

    @property
    def _scope(self) -> str:
        """What of the log is read; "" for all of it. Where nobody wants pulls, Harbor is not asked for them."""
        return " ".join(filter(None, (self._wanted.scope, "" if self._poller.reads_pulls else "without pulls")))

    def _name(self, window: Window) -> str:
        kind = "backfill" if self._is_told else "backfill-untold"
        scope = sha256(self._scope.encode()).hexdigest()[:12] if self._scope else "all"
        return f"{kind}:{log_name(window.log)}:{scope}"


def _is_for_the_poll(row: AuditRow, cursor: Cursor | None) -> bool:
    """Whether the poll has not read this row, or may still read it as a late one: then it is news, not the past."""
    if cursor is None:
        return False
    may_be_late = row.id > cursor.floor_id and row.op_time > cursor.polled_at - SETTLED
    return row.id > cursor.row_id or may_be_late


def _hours(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Whole hours of the clock that hold the period, so that another backfill cuts it the same way."""
    start = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while start < until:
        yield start, start + WINDOW
        start += WINDOW
