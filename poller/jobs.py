"""The story: what the product does, from Harbor's audit log to the message in the chat.

Every entry point (`run`, `once`, `backfill`) calls these jobs. The two halves meet only in the state:
`poll` writes events and what is to become of them; `deliver` tells what is due.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from logging import WARNING

import msgspec

from formatters.scans import rank
from poller import comparison, daily, normalize, reading, scans, sight, walk
from poller.config import Config
from poller.enrich import Enricher, ForScanners, Patience
from poller.errors import NotAllowed, NotFound, PollerError, WrongCredentials
from poller.events import OF_OURSELVES, SCAN_TYPES, Event, EventType, Gap, Reason, Source, day_key
from poller.folding import Folded, Folder
from poller.harbor import Harbor, Log, Reach, ReachKind
from poller.knowledge import Changes, Knowledge
from poller.logs import Log as Logger
from poller.measures import RowsRead, Sink, ignore
from poller.normalize import Entry
from poller.projects import Projects
from poller.reading import Recent, SeenRow
from poller.reporting import Reporter
from poller.results import RECENT, Looked, ResultReader
from poller.routes import project_of, spread
from poller.rows import PAGE, AuditRow
from poller.survey import Survey, alive, log_name, table_of
from poller.sweep import Sweep
from poller.threads import REMEMBERED
from poller.troubles import Trouble, Troubles
from poller.values import replace
from poller.watch import Watch
from poller.waves import Waves
from poller.wholes import Wholes
from state import (
    CLOCKS_APART,
    SCANNERS_OWN,
    Coverage,
    Cursor,
    DeliveryState,
    NoticedScan,
    Outcome,
    Store,
    Telling,
)

NOTHING_FOUND = "none"

DRAIN_OLD_LOG = timedelta(hours=1)
"""In a rolling upgrade old cores go on writing the old log for a while."""

MOST_LOGS_ASKED = 5

BATCH = 1000
"""Rows in a transaction: each has its price, and what a kill undoes is read again."""

EVERYTHING = "*"  # the ledger's name for "no log could be read"

LOG_REFUSED = Trouble("audit.log_refused", "audit.log_still_refused", "audit.log_readable", WARNING)

_log = Logger(__name__)


class Polled(msgspec.Struct, frozen=True):
    """What a poll brought. `has_more`: it is worth polling again at once, as results wait that could be read.

    `is_whole`: whether every log could be read that is to be; an empty answer may be blindness.
    """

    rows: int = 0
    new: int = 0
    has_more: bool = False
    is_whole: bool = True

    def __add__(self, other: Polled) -> Polled:
        return Polled(
            self.rows + other.rows,
            self.new + other.new,
            self.has_more or other.has_more,
            self.is_whole and other.is_whole,
        )


class LogChanged(PollerError):
    """The newest row that we knew is gone: the database was restored or purged, or a right was taken away.

    `is_again`: another row has its id.
    """

    def __init__(self, text: str, *, is_again: bool) -> None:
        super().__init__(text)
        self.is_again = is_again


class HistoryShown(PollerError):
    """A log that seemed to be empty shows rows from before the first run."""


# -- routes -----------------------------------------------------------------------------------------


def over_routes(store: Store, config: Config) -> Store:
    """The state over all routes: what is recorded in it goes to each of them that takes it."""
    return store.for_routes([route.name for route in config.routes], partial(spread, routes=config.routes))


def route_anew(store: Store, config: Config) -> None:
    """Let what waits on routes of another day, or on one that tells nothing any more, go where it belongs today."""
    telling = {route.name for route in config.telling_routes}
    here = over_routes(store, config)
    stray = here.stray(telling)
    if stray:
        here.route_anew(telling, Wholes(here, config.routes, also_on=stray).of_stored)
    for name, count in stray.items():
        _log.warning("route.gone", route=name, events=count, note="they are told by the routes of today")


# -- polling ----------------------------------------------------------------------------------------


class AuditPoller:
    """Records every audit-log entry that was not met before."""

    def __init__(
        self,
        harbor: Harbor,
        store: Store,
        config: Config,
        sink: Sink = ignore,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._sink = sink
        self._monotonic = monotonic
        self._harbor = harbor
        self._store = store = self.over_routes(store)
        self.survey = Survey(harbor, store, config.harbor)
        unneeded = normalize.unneeded_operations(config.events, scans_wanted=bool(config.events & SCAN_TYPES))
        self._projects = config.harbor.projects
        is_push_needed = EventType.DELETE_ARTIFACT in config.events
        self._looked_up = config.events | ({EventType.PUSH_ARTIFACT} if is_push_needed else set())
        self._operations = normalize.known_operations() - unneeded if unneeded else frozenset[str]()
        self._is_stopping = False
        projects = Projects(harbor, store)
        reporter = Reporter(harbor, store, self.survey, projects, config, self.decide)
        self._folder = Folder(harbor, store, config.delivery)
        self._wholes = Wholes(store, config.routes)
        self._results = ResultReader(harbor, store, reporter, self.survey, lambda: self._is_stopping)
        self._waves = Waves(harbor, store, reporter, self.survey, config.scans)
        self._sight = sight.Sight(store, self.decide, config.harbor.projects)
        self._sweep = Sweep(harbor, store, reporter, self._sight, config, lambda: self._is_stopping)
        self._allowance, self._spent = reporter.comparer.allowance, 0
        if (left := store.allowance()) is not None:
            self._allowance.resume(*left)
        self._watch = Watch(harbor, store, self._sight, self.survey, config)
        self._for_scanners = ForScanners(projects)
        self._troubles = Troubles()
        self._found = Counter[str]()  # by the poll that goes on: rows, events by type, results of scans
        self._patience = self._new_patience()
        self._recent: dict[str, Recent] = {}  # by log
        self._filtered: set[str] = set()  # logs whose witness is one that the filter shows
        self._requests_known = 0

    def _new_patience(self) -> Patience:
        return Patience(for_scanners=self._for_scanners, troubles=self._troubles)

    @property
    def reads_pulls(self) -> bool:
        """Whether pulls are asked for at all."""
        return not self._operations

    def stop(self) -> None:
        """Finish the page that is being read, and no more: the next run goes on from there."""
        self._is_stopping = True

    def got_on(self) -> bool:
        """Whether Harbor was asked anything since this was asked last."""
        before, self._requests_known = self._requests_known, self._harbor.requests_sent
        return self._requests_known != before

    def poll(self, now: datetime) -> Polled:
        """Read what is new in every log that the account can see, and the results of scans that have ended.

        Raises Temporary when Harbor is away, OperatorError when a person must act; nothing is lost by it.
        """
        self._for_scanners.allowance.earn(0, now)
        self._patience = self._new_patience()
        self._found.clear()
        started = self._monotonic()
        try:
            polled = self._poll_or_resync(now)
            self._watch.heed_rows(now)
            looked = self._heed_scans(now)
            self._save_allowance()
            self._sight.tell(now, is_after_poll=True)
            return polled + Polled(0, looked.new, has_more=looked.has_more and not self._is_stopping)
        except PollerError as error:
            self.survey.doubt()
            if isinstance(error, NotAllowed | NotFound | WrongCredentials):
                self._sight.refused(error, now)
                self._sight.tell(now, is_after_poll=True)
            self._store.cover(Coverage(EVERYTHING, now, now, error=f"{type(error).__name__}: {error}"))
            raise
        finally:
            self._say_what_was_found(self._monotonic() - started)

    def _heed_scans(self, now: datetime) -> Looked:
        """Mostly there is none, which is one question."""
        if not self._store.has_scans(now, ended_since=now - RECENT):
            return Looked(0, has_more=False)
        looked = self._results.read(now)
        self._found["scans"] += looked.new
        self._waves.end_if_over(now)
        return looked

    def _say_what_was_found(self, seconds: float) -> None:
        """A line for a poll that brought something, by type of event; none for an idle one."""
        if self._found["new"] or self._found["scans"]:
            _log.info(
                "audit.polled",
                **{name: self._found[name] for name in ("rows", "new")} | +self._found,
                seconds=round(seconds, 3),
            )

    def sweep(self, now: datetime, *, most: int | None = None) -> int:
        """Look for results of scans that no log tells, as far as the budget goes; with at most so many requests.

        Returns how many were new. Raises as `poll` does, and is to be called when that has succeeded.
        """
        new = self._sweep.go_on(now, most=most)
        self._sight.tell(now)
        self._save_allowance()
        return new

    def watch(self, now: datetime) -> None:
        """Look whether Harbor still logs what happens. Raises as `poll` does, and is to be called after it."""
        self._watch.look(now)
        self._sight.tell(now)

    def tell_day(self, now: datetime) -> None:
        """Tell what the last day was like, once a day at the time that was asked for, or as soon as it may be after."""
        at = self._config.delivery.all_quiet
        passed = at.passed_today(now) if at is not None else None
        cursors = self._store.cursors().values() if passed else ()
        if passed is None or not cursors:
            return
        day, moment = passed
        first_run = min(cursor.created_at for cursor in cursors)
        if moment <= first_run or self._store.known_keys([day_key(day.isoformat())]):
            return
        since = daily.since(first_run, now)
        seen, messages = self._store.seen_by_type(self._config.events - OF_OURSELVES, since=since, until=now)
        waiting = self._store.waiting(now).values()
        event = daily.event_of(
            day,
            since,
            now,
            read_until=self._read_until(cursors),
            counts=seen,
            messages=messages,
            gaps=self._store.gaps(since=since),
            waiting=sum(each.due for each in waiting),
            waiting_since=min((each.oldest_due for each in waiting if each.oldest_due), default=None),
        )
        self._store.record([self.decide(event)], now=now)

    def _read_until(self, cursors: Collection[Cursor]) -> datetime:
        """As far as the log that lags most."""
        _, detected, _ = self._store.harbor()
        return min(cursor.polled_at for cursor in alive(cursors, detected or {}))

    def _save_allowance(self) -> None:
        """So that a program which is started every minute has no more than one that runs."""
        if self._allowance.spent != self._spent and self._allowance.updated_at is not None:
            self._spent = self._allowance.spent
            self._store.save_allowance(self._allowance.left, self._allowance.updated_at)

    def _poll_or_resync(self, now: datetime) -> Polled:
        try:
            return self._poll(self.survey.reach(now), now)
        except LogChanged:
            return self._poll(self.survey.detect(now), now, is_checked=True)

    def _poll(self, reach: Reach, now: datetime, *, is_checked: bool = False) -> Polled:
        cursors = self._store.cursors()
        total = Polled()
        for log in _old_logs_to_drain(reach, cursors, now):
            with suppress(NotAllowed, NotFound):  # what is gone by now has nothing more to tell
                total += self._poll_log(log, cursors[log_name(log)], reach, now, is_checked=is_checked)
        read, refused = list[str | None](), list[PollerError]()
        logs = _known(reach.logs, cursors) if reach.kind is ReachKind.BLIND and cursors else reach.logs
        for log in logs:
            cursor = cursors.get(log_name(log)) or self._first_cursor(log, cursors, now)
            try:
                total += self._poll_log(log, cursor, reach, now, is_checked=is_checked)
                read.append(log.project)
                self._troubles.went_well(LOG_REFUSED.of(log=log_name(log)))
            except (NotAllowed, NotFound) as error:
                self._troubles.failed(LOG_REFUSED.of(log=log_name(log)), error)
                refused.append(error)
        if refused:
            self._look_closer(refused, reach)
            total += Polled(is_whole=False)
        if reach.kind is ReachKind.BLIND or reach.unreadable:
            total += Polled(is_whole=False)
        if reach.kind is not ReachKind.BLIND and not self._is_stopping:
            self._sight.polled(read, now)
        return total

    def _look_closer(self, refused: list[PollerError], reach: Reach) -> None:
        """A project that is gone must not stop the others; when nothing could be read, a person must know."""
        if len(refused) == len(reach.logs):
            raise refused[-1]
        self.survey.doubt()

    def _poll_log(self, log: Log, cursor: Cursor, reach: Reach, now: datetime, *, is_checked: bool) -> Polled:
        cursor = self._seen_through_filter(cursor, log)
        try:
            return self._record_pages(self._new_pages(log, cursor, reach, now), log, cursor, now)
        except HistoryShown:
            self._sight.found(Gap(cursor.log, Reason.HIDDEN, cursor.created_at, now), now)
            self._begin_now(log, now)
            return Polled()
        except LogChanged as changed:
            if not is_checked:
                raise  # first make sure that we may still see this log
            return self._resync(log, cursor, reach, now, is_again=changed.is_again)

    def _seen_through_filter(self, cursor: Cursor, log: Log) -> Cursor:
        """Where pulls are left out, a pull cannot be the witness: the newest row that is none takes its place."""
        if not self._operations or cursor.log in self._filtered or cursor.op_time is None:
            return cursor
        self._filtered.add(cursor.log)
        row = self._store.newest_row_but(log.table, EventType.PULL_ARTIFACT, up_to=cursor.row_id, project=log.project)
        return replace(cursor, row_id=row[0], op_time=row[1]) if row else replace(cursor, op_time=None)

    def _new_pages(self, log: Log, cursor: Cursor, reach: Reach, now: datetime) -> Iterator[tuple[AuditRow, ...]]:
        """Pages from the position on, oldest first. The first ones must hold the newest row that we knew."""
        bound = reading.lower_bound(cursor, is_project=log.project is not None)
        start = self._first_id(log, cursor, reach)
        is_changed: bool | None = None
        first: AuditRow | None = None
        while True:
            rows = self._harbor.rows_from(log, start, since=bound, operations=self._operations)
            if is_changed is None:
                is_changed = reading.is_changed(cursor, rows)
            if is_changed and not rows and self._is_empty(log, cursor, now):
                if log.table is Source.NEW_LOG or log.project is not None:
                    yield ()  # it is; up to 2.12 the whole log may as well be closed to us
                return
            if is_changed:
                is_again = any(row.id == cursor.row_id for row in rows)
                raise LogChanged(f"{log_name(log)}: row {cursor.row_id} is gone", is_again=is_again)
            if rows and not cursor.row_id and not start and self._is_history(log, cursor, rows[0], now):
                raise HistoryShown(log_name(log))
            if first is None and (first := next((row for row in rows if row.id > cursor.row_id), None)):
                self._note_purged(cursor, first, reach, now, is_there=True)
            yield rows
            following = max((row.id for row in rows), default=start) + 1
            if len(rows) < PAGE or self._is_stopping or following <= start:
                return
            start = following

    def _is_empty(self, log: Log, cursor: Cursor, now: datetime) -> bool:
        """Whether nothing is left in the log, or shown of it: then the place is kept until something is."""
        if cursor.op_time is None or not sight.may_be_purged(cursor, now):
            return False
        return not self._harbor.rows_since(log, cursor.op_time)

    def _first_id(self, log: Log, cursor: Cursor, reach: Reach) -> int:
        recent = self._recent.get(cursor.log)
        if recent is None or recent.position != cursor:
            recent = self._recent[cursor.log] = self._remembered(log, cursor)
        return reading.first_id(cursor, recent.rows(), sees_every_row=self._sees_every_row(reach))

    def _remembered(self, log: Log, cursor: Cursor) -> Recent:
        rows = self._store.recent_rows(
            log.table,
            above=cursor.floor_id,
            up_to=cursor.row_id,
            most=reading.MOST_RECENT,
            fresh_since=cursor.polled_at - reading.OVERLAP,
            since=cursor.floor_at if cursor.floor_at and cursor.floor_at <= cursor.polled_at else None,
        )
        return Recent.of(cursor, (SeenRow(*row) for row in rows))

    def _sees_every_row(self, reach: Reach) -> bool:
        return reach.kind is ReachKind.SYSTEM and not self._operations

    def _note_purged(
        self, cursor: Cursor, first: AuditRow | None, reach: Reach, now: datetime, *, is_there: bool
    ) -> None:
        """Before the position moves on: afterwards nobody could tell any more what is missing."""
        gap = sight.purged(cursor, first, now, sees_every_row=self._sees_every_row(reach), is_there=is_there)
        if gap is not None and (gap.rows is not None or not self._has_older_rows(cursor, reach)):
            self._sight.found(gap, now)

    def _has_older_rows(self, cursor: Cursor, reach: Reach) -> bool:
        """Whether rows from before our last poll are left: a purge takes the oldest, so none after it is gone."""
        until = cursor.polled_at - CLOCKS_APART
        return any(self._harbor.newest_row(log, until, until=until) for log in reach.logs[:MOST_LOGS_ASKED])

    def _record_pages(
        self,
        pages: Iterator[tuple[AuditRow, ...]],
        log: Log,
        cursor: Cursor,
        now: datetime,
        *,
        is_old: Callable[[AuditRow], bool] | None = None,
    ) -> Polled:
        """Record what was read, some pages at once, each time together with the position behind it."""
        total = Polled()
        covered_from = cursor.polled_at
        floor = cursor.floor_id
        is_old = is_old or (lambda row: 0 < row.id <= floor)
        for rows, is_last in walk.gathered(pages, BATCH):
            recent = self._recent.get(cursor.log)
            fresh = [row for row in rows if not is_old(row) and not (recent and recent.knows(row))]
            cursor = reading.advanced(cursor, rows)
            if is_last:
                cursor = replace(cursor, polled_at=now)
            if fresh or self._folder.has_unasked:
                new = self._record(fresh, cursor, covered_from, now, read=len(rows))
            else:
                new = self._move_on(cursor, covered_from, read=len(rows))
            if recent:
                recent.note((row.id for row in fresh), cursor, now)
            total += Polled(len(rows), new)
            self._sink(RowsRead(log.table, len(rows), new))
        if total.new:
            _log.debug("audit.log_read", log=log_name(log), rows=total.rows, new=total.new, position=cursor.row_id)
        return total

    def _move_on(self, cursor: Cursor, covered_from: datetime, *, read: int) -> int:
        """Nothing is new: only how far the log was read is written down."""
        coverage = Coverage(cursor.log, covered_from, cursor.polled_at, rows=read, new=0)
        self._found.update(rows=read)
        return self._store.record((), now=cursor.polled_at, cursor=cursor, coverage=coverage)

    def _record(
        self, rows: Sequence[AuditRow], cursor: Cursor, covered_from: datetime, now: datetime, *, read: int
    ) -> int:
        entries = self.unknown(rows)
        knowledge = self.knowledge_for(entries)
        events = self.events(entries, now, knowledge)
        tellings = [replace(self.decide(event), since=_tellable_since(event, covered_from, now)) for event in events]
        folded = self._folder.fold(tellings, self._patience, now)
        coverage = Coverage(cursor.log, covered_from, cursor.polled_at, rows=read, new=len(tellings))
        learnt = knowledge.take_changes()
        page = self.along(folded.of(tellings), learnt, folded)
        new = self._store.record(
            page,
            now=now,
            cursor=cursor,
            coverage=coverage,
            learnt=learnt + folded.learnt,
            scans=self._noticed(entries, now) if entries else (),
            threads=folded.threads,
            regrouped=folded.regrouped,
            along=self._wholes.of_regrouped(page, folded),
            held=folded.held,
            scanners=folded.scanners,
        )
        self._found.update(str(event.type) for event in events)
        self._found.update(rows=read, new=len(events))
        return new

    def _noticed(self, entries: Sequence[Entry], now: datetime) -> list[NoticedScan]:
        """Scans whose results may be told, and what turns out to be none."""
        found = scans.noticed(entries, now, self._results.look_after)
        return [scan for scan in found if scan.outcome is Outcome.NO_SCAN or self._is_wanted_scan(scan)]

    def _is_wanted_scan(self, scan: NoticedScan) -> bool:
        wanted = self._config.harbor.projects
        is_in_projects = not wanted or any(scans.is_robot_of(scan.robot, project) for project in wanted)
        return is_in_projects and bool(self._config.events & SCAN_TYPES)

    def unknown(self, rows: Sequence[AuditRow]) -> list[Entry]:
        named = {row.name: row for row in rows}
        met = self._store.met(named.keys())
        return [normalize.read(row) for name, row in named.items() if name not in met]

    def events(
        self,
        entries: Sequence[Entry],
        now: datetime,
        knowledge: Knowledge,
        is_worth_asking: Callable[[Entry], bool] = lambda _: True,
    ) -> list[Event]:
        """Complete entries to events, in the order of the log, with what is remembered or can be looked up."""
        if not entries:
            return []
        enricher = Enricher(self._harbor, knowledge, self.survey.server(), now, self._patience)
        wanted = [is_worth_asking(entry) and self._is_wanted(entry) for entry in entries]
        return [normalize.complete(e, enricher.facts(e, is_wanted=w)) for e, w in zip(entries, wanted, strict=True)]

    def knowledge_for(self, entries: Sequence[Entry]) -> Knowledge:
        """What is remembered of that which the entries name. Only deletions ask which tags a digest had."""
        return self._store.knowledge(
            {entry.repository for entry in entries if entry.repository},
            tags={(entry.repository, entry.tag) for entry in entries if entry.repository and entry.tag},
            digests={
                (entry.repository, entry.digest)
                for entry in entries
                if entry.type is EventType.DELETE_ARTIFACT and entry.repository and entry.digest
            },
        )

    def _is_wanted(self, entry: Entry) -> bool:
        """Whether look-ups for this entry are worth their price. Deletions need what pushes teach."""
        return entry.type in self._looked_up and (not self._projects or entry.project in self._projects)

    def over_routes(self, store: Store) -> Store:
        """The state, to be written by somebody else who records what this poller decides."""
        return over_routes(store, self._config)

    def along(self, tellings: Sequence[Telling], learnt: Changes, folded: Folded | None = None) -> list[Telling]:
        """The tellings with what they go along with. `learnt`: what was learnt by their events."""
        return self._wholes.of_page(tellings, folded or Folded(), learnt.tags)

    def is_told(self, telling: Telling) -> bool:
        """Whether any route tells it."""
        is_pending = telling.state is DeliveryState.PENDING or telling.group is not None
        return is_pending and any(each.state is DeliveryState.PENDING for each in spread(telling, self._config.routes))

    def decide(self, event: Event) -> Telling:
        """What is to become of an event: told, told by another one, or off, and by which setting."""
        if event.type not in self._config.events:
            return Telling(event, DeliveryState.OFF, f"events.{event.type} = false")
        if self._projects and (project := project_of(event)) is not None and project not in self._projects:
            return Telling(event, DeliveryState.OFF, "harbor.projects does not name its project")
        if self._config.delivery.is_calm and self._is_scanners_own(event):
            if not self._config.events & SCAN_TYPES:
                reason = f"{SCANNERS_OWN}: events.{EventType.SCANNING_COMPLETED} = false"
                return Telling(event, DeliveryState.OFF, reason)
            return Telling(event, DeliveryState.FOLDED, SCANNERS_OWN)
        reason = self._too_little(event)
        return Telling(event, DeliveryState.OFF, reason) if reason else Telling(event, DeliveryState.PENDING)

    def _is_scanners_own(self, event: Event) -> bool:
        """A scanner's pull, the coming and going of its robot, a list that it made: parts of what is told by itself."""
        robot = scans.robot_at_work(event)
        return robot is not None and not self._store.is_no_scanner(robot)

    def _too_little(self, event: Event) -> str:
        """The setting by which a scan's result is not worth a message; "" for what is."""
        scans_config = self._config.scans
        if event.scan is not None and event.scan.is_sbom:
            return "" if scans_config.sbom else "scans.sbom = false"
        severity = comparison.severity_of(event)
        if not severity or event.scan is None:
            return ""
        least = scans_config.minimum_severity
        if least != NOTHING_FOUND and rank(severity) > rank(least):
            return f"scans.minimum_severity = {least}"
        if scans_config.only_fixable and not comparison.fixable(event):
            return "scans.only_fixable = true"
        if scans_config.only_changed and not comparison.is_changed(event):
            return "scans.only_changed = true"
        return ""

    # -- positions --

    def _first_cursor(self, log: Log, cursors: dict[str, Cursor], now: datetime) -> Cursor:
        """Where to begin with a log that was never read.

        A Harbor that was never polled: now, so that nothing old is told. A log that is new to a Harbor that we
        know: its first row after an upgrade, otherwise (a new project, other rights) the newest row that was
        known when we last looked which logs there are. Ids count up over all projects.
        """
        name = log_name(log)
        polled = [cursor.polled_at for cursor in cursors.values()]
        if polled and not any(table_of(cursor.log) is log.table for cursor in cursors.values()):
            return Cursor(name, 0, None, 0, max(polled), now)
        if polled:
            _, detected, _ = self._store.harbor()
            position = detected.get("known_position") if detected else None
            if position is None:
                position = max(c.floor_id for c in cursors.values() if table_of(c.log) is log.table)
            return Cursor(name, position, None, position, max(polled), now)
        return self._begin_now(log, now)

    def _begin_now(self, log: Log, now: datetime) -> Cursor:
        name = log_name(log)
        newest = self._harbor.newest_row(log, now, operations=self._operations)
        row_id = newest.id if newest else 0
        cursor = Cursor(name, row_id, newest.op_time if newest else None, row_id, now, now)
        self._store.save_cursor(cursor)
        note = "what happened before this moment is not told; backfill tells it"
        _log.info("audit.first_run", log=name, position=row_id, note=note)
        return cursor

    def _is_history(self, log: Log, cursor: Cursor, first: AuditRow, now: datetime) -> bool:
        """Whether a log that was empty at the first run was only hidden from us, and shows its past now.

        Before 2.13 the two look alike. Rows that span more time than has passed since cannot all be new.
        """
        if log.table is not Source.OLD_LOG:
            return False
        newest = self._harbor.newest_row(log, now)
        return newest is not None and newest.op_time - first.op_time > now - cursor.created_at + timedelta(hours=1)

    def _resync(self, log: Log, cursor: Cursor, reach: Reach, now: datetime, *, is_again: bool) -> Polled:
        """Find the place again by time, after a restored or purged database."""
        newest = self._harbor.newest_row(log, now, operations=self._operations)
        start = (cursor.op_time or cursor.polled_at) - reading.OVERLAP
        is_rewound = newest is not None and newest.id < cursor.row_id
        self._recent.pop(log_name(log), None)
        _log.warning("audit.ids_rewound" if is_rewound else "audit.rows_gone", log=cursor.log, known=cursor.row_id)
        if gap := sight.restored(cursor, newest, now, is_again=is_again):
            self._sight.found(gap, now)
        floor = self._last_kept(log, cursor) if gap else min(cursor.row_id, newest.id if newest else 0)
        position = Cursor(cursor.log, 0, None, floor, cursor.polled_at, cursor.created_at, floor_at=now)
        end = max(start, now, newest.op_time if newest else now)
        answers = (self._rows_by_time(log, *window) for window in walk.windows(start, end))
        pages = walk.in_batches(chain.from_iterable(answers), PAGE)
        pages = self._with_loss_noted(pages, cursor, reach, now, is_restored=gap is not None)
        total = self._record_pages(pages, log, position, now, is_old=lambda row: _is_before_first_run(row, cursor))
        if newest is not None:
            found = self._store.cursors()[cursor.log]
            place = found if found.row_id >= newest.id else replace(found, row_id=newest.id, op_time=newest.op_time)
            self._store.save_cursor(place)
        return total

    def _last_kept(self, log: Log, cursor: Cursor) -> int:
        """An id that has not come again: above it, rows may become visible late, and have ids that we knew.

        Harbor compares whole seconds; what was kept of the last one is known by its key.
        """
        assert cursor.op_time is not None
        until = cursor.op_time - timedelta(seconds=1)
        kept = self._harbor.newest_row(log, until, until=until, operations=self._operations)
        return kept.id if kept is not None and kept.id < cursor.row_id else 0

    def _with_loss_noted(
        self, pages: Iterator[tuple[AuditRow, ...]], cursor: Cursor, reach: Reach, now: datetime, *, is_restored: bool
    ) -> Iterator[tuple[AuditRow, ...]]:
        """The pages, the first of them after it was noted what is missing before it."""
        assert cursor.op_time is not None
        for number, rows in enumerate(pages):
            if not number and not is_restored:
                first = next((row for row in rows if row.op_time > cursor.op_time), None)
                self._note_purged(cursor, first, reach, now, is_there=False)
            yield rows

    def pages_by_time(
        self, log: Log, start: datetime, end: datetime, size: int = PAGE
    ) -> Iterator[tuple[AuditRow, ...]]:
        """The rows of a closed window by time, so many at once. A batch that is not full is the last."""
        return walk.in_batches(self._rows_by_time(log, start, end), size)

    def _rows_by_time(self, log: Log, start: datetime, end: datetime) -> Iterator[tuple[AuditRow, ...]]:
        def ask(since: datetime, page: int) -> tuple[AuditRow, ...]:
            return self._harbor.rows_between(log, since, end, page, operations=self._operations)

        return walk.new_rows(ask, start)


def _tellable_since(event: Event, covered_from: datetime, now: datetime) -> datetime:
    """From when on the event could have been told: it waits for us, not for the poll before it happened."""
    return min(max(covered_from, event.occurred_at), now)


def _known(logs: Sequence[Log], cursors: Mapping[str, Cursor]) -> tuple[Log, ...]:
    """Those that were read before: what is closed to us now must not get a place of its own."""
    return tuple(log for log in logs if log_name(log) in cursors)


def _old_logs_to_drain(reach: Reach, cursors: dict[str, Cursor], now: datetime) -> list[Log]:
    """After an upgrade to 2.13 the last rows of the old log are only there; read them first."""
    if reach.table is not Source.NEW_LOG:
        return []
    switched = min((c.created_at for c in cursors.values() if table_of(c.log) is Source.NEW_LOG), default=now)
    if now - switched > DRAIN_OLD_LOG:
        return []
    old = [name for name in cursors if table_of(name) is Source.OLD_LOG]
    return [Log(Source.OLD_LOG, name.partition("/")[2] or None) for name in old]


def _is_before_first_run(row: AuditRow, cursor: Cursor) -> bool:
    """Where ids may have come again: then only the time tells whether it is the row that was there at the start."""
    return 0 < row.id <= cursor.floor_id and row.op_time <= cursor.created_at


# -- housekeeping -----------------------------------------------------------------------------------


PRUNE_EVERY = timedelta(hours=6)
THREADS_KEPT = REMEMBERED + CLOCKS_APART


def prune(store: Store, config: Config, now: datetime) -> int:
    """Forget what is told and old. Met again, it is still known not to be news."""
    threads_before = now - THREADS_KEPT
    deleted = store.prune(before=now - config.state.keep, is_swept=config.is_swept, threads_before=threads_before)
    if deleted:
        _log.info("state.pruned", events=deleted)
    return deleted


def prune_if_due(store: Store, config: Config, now: datetime) -> int:
    """For a program that is started every minute."""
    pruned = store.pruned_before()
    is_due = pruned is None or now - config.state.keep - pruned >= PRUNE_EVERY or pruned > now  # by a wrong clock
    return prune(store, config, now) if is_due else 0
