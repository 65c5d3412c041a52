"""The state: every SQL statement of the product, behind one exception border."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from copy import copy
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    Connection,
    Engine,
    Interval,
    Row,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    update,
)

from poller.errors import LeaseTaken, PollerError, StateError
from poller.events import LOGS, CoverageNews, Day, Event, EventType, Gap, Reason, Repository, RowName, Scan, Source
from poller.knowledge import (
    ROBOT_LIVES,
    SAME_DELETION,
    AccessoryFact,
    Changes,
    Knowledge,
    PlatformFact,
    ProjectFact,
    ReportFact,
    RepositoryFact,
    TagFact,
)
from poller.measures import Delivered, Recorded, ScanEnded, Sink, ignore
from poller.values import as_dict, field_names, replace
from state import bulk, database, refusals, retention, statements
from state import schema as t
from state.records import (
    CLOCKS_APART,
    MADE_ANEW,
    PAST,
    SCANNERS_OWN,
    SHORT_PAUSE,
    Backlog,
    Counts,
    Coverage,
    Cursor,
    DeliveryRecord,
    DeliveryState,
    Due,
    Fate,
    Grant,
    GroupMessage,
    Lease,
    Member,
    Mode,
    NoticedScan,
    Outcome,
    RouteState,
    Seen,
    SweepPlace,
    Telling,
    Thread,
    Waiting,
    Wave,
)

_T = TypeVar("_T")

Along = Callable[[Sequence[Telling]], Sequence[Telling]]
"""The same with what they go along with."""
Spread = Callable[[Telling], Sequence[Telling]]
"""What is to become of an event on each route, from what is to become of it at all."""
POLLER = "poller"
"""The lease of who reads and tells."""
_ATTEMPTS_KEPT = timedelta(minutes=10)
"""Longer than they count for the chat's pace."""
_HELD_AT_ONCE = 20_000
_FEW_OF_GROUP = 100
_JUST_RECORDED = 2000
_MADE_BEFORE = timedelta(hours=1)
_WRITTEN_AFTER = timedelta(seconds=2)
"""The row of a list's push may be that of a moment after the robot's end."""
_LONGEST_LINE = timedelta(hours=1)
"""A line of the ledger in which something happened says when to the hour."""
_TOLD = (DeliveryState.SENT, DeliveryState.FOLDED)
_PLAIN = ("type", "source", "source_id", "operator", "tag", "digest", "subject")
_ROW_COLUMNS = (
    *("id", "harbor_id", "seen_at", "occurred_at"),
    *("repository", "is_public", "repository_created_at"),
    *_PLAIN,
)
_as_they_are = attrgetter(*_PLAIN)
_FATE = ("route", "state", "reason", "mode", "group", "since", "held_until", "finished_at")
"""What is to become of an event; its times come last."""
_TIMES = 3
_SAME_TIME = timedelta(microseconds=999)
"""A key has milliseconds, and a row that is not as promised may have more."""
_SCAN_KEPT = frozenset({"harbor_id", "robot", "looks", "outcome", "look_at"})


class Store:
    """The state of one Harbor in one database.

    Raises StateBusy and StateError; LeaseTaken at a write under a lease that has gone to another; nothing else.
    """

    def __init__(self, engine: Engine, harbor_url: str, route: str, *, is_only_read: bool = False) -> None:
        self._engine = engine
        self._writer = database.writer(engine)
        self._where = database.display(engine.url)
        self._route = route
        self._routes: tuple[str, ...] = (route,)
        self._spread: Spread = _as_it_is
        self._grant: Grant | None = None
        self._sink: Sink = ignore
        self._last_lines: dict[str, tuple[int, Coverage]] = {}  # of the ledger, by log, as this process left them
        # Of a Harbor that is not known nothing is found under the number of none.
        self._harbor_id = self._known_harbor(harbor_url) or (0 if is_only_read else self._new_harbor(harbor_url))

    @classmethod
    def open(cls, url: str, harbor_url: str, route: str) -> Store:
        """Open the database and bring its schema up to date.

        `harbor_url` tells the state of several Harbors apart; `route` is the name of the chat to tell.
        """
        return cls(database.open_engine(url), harbor_url, route)

    @classmethod
    def look(cls, url: str, harbor_url: str, route: str) -> Store:
        """The state as it is, only to be read: nothing is made, migrated or held up, whoever is at work on it.

        Raises NothingRecorded where there is none, and StateError for a schema that is not this program's.
        """
        engine = database.look(url)
        try:
            store = cls(engine, harbor_url, route, is_only_read=True)
        except PollerError:
            engine.dispose()
            raise
        if not store._harbor_id:
            engine.dispose()
            raise refusals.nothing_recorded(f"{store._where} knows nothing of {harbor_url}")
        return store

    @classmethod
    def looked(cls, url: str, harbor_url: str, route: str, ask: Callable[[Store], _T]) -> _T:
        """What `ask` makes of the state as it is; asked again where somebody began to write meanwhile.

        Raises as `look`.
        """
        for is_last in (False, False, True):
            before = database.stamp(url)
            try:
                with closing(cls.look(url, harbor_url, route)) as store:
                    answer = ask(store)
            except StateError:  # in SQLite, its files may just have come or gone
                if is_last or not before:
                    raise
            else:
                if is_last or database.stamp(url) == before:
                    return answer
        raise AssertionError("the last time is the last")

    def under(self, grant: Grant | None) -> Store:
        """The same state, for the holder of a lease: whoever has lost it cannot write a thing. None: for anybody."""
        bound = copy(self)
        bound._grant = grant
        return bound

    def measured(self, sink: Sink) -> Store:
        """The same state, which tells the sink what was written into it."""
        bound = copy(self)
        bound._sink = sink
        return bound

    def for_route(self, name: str) -> Store:
        """The same state, with the deliveries of another route."""
        bound = copy(self)
        bound._route, bound._routes, bound._spread = name, (name,), _as_it_is
        return bound

    def for_routes(self, names: Iterable[str], spread: Spread) -> Store:
        """The same state over several routes: what is asked for is of all of them.

        `spread`: what is to become, on each of them, of what is recorded.
        """
        bound = copy(self)
        bound._routes = tuple(dict.fromkeys((*names, self._route)))
        bound._spread = spread
        return bound

    def close(self) -> None:
        self._engine.dispose()

    # -- reading the audit log ------------------------------------------------------------------

    def cursors(self) -> dict[str, Cursor]:
        with self._reading() as connection:
            rows = connection.execute(statements.of_harbor(t.cursors, self._harbor_id))
            return {row.log: Cursor(**_without(row, "harbor_id")) for row in rows}

    def save_cursor(self, cursor: Cursor) -> None:
        with self._writing() as connection:
            self._save_cursor(connection, cursor)

    def known_keys(self, keys: Collection[str]) -> frozenset[str]:
        """Those of the keys whose events are recorded already."""
        with self._reading() as connection:
            known = self._known_events(connection, [RowName.of_key(key) or key for key in keys])
            return frozenset(each if isinstance(each, str) else each.key for each in known)

    def met(self, rows: Collection[RowName]) -> frozenset[RowName]:
        """Those of the rows whose events were recorded, whether they have been forgotten since or not."""
        if not rows:
            return frozenset()
        with self._reading() as connection:
            known = self._known_rows(connection, rows)
            unknown = [row for row in rows if row not in known] if known else rows
            return known.union(retention.forgotten(connection, self._harbor_id, unknown))

    def recent_rows(
        self,
        source: Source,
        *,
        above: int,
        up_to: int,
        most: int,
        since: datetime | None = None,
        fresh_since: datetime | None = None,
    ) -> tuple[tuple[int, datetime], ...]:
        """Ids of the newest known rows, of those seen since a moment, and when each first was; ascending by id.

        `fresh_since`: only from the last row on before the first of them that was seen since then; none if none was.
        """
        which, has_since = (self._harbor_id, source), since is not None
        bounds = {"above": above, "up_to": up_to, "most": most, **({"since": since} if has_since else {})}
        with self._reading() as connection:
            if fresh_since is not None:
                first_fresh = statements.first_fresh(*which, has_since=has_since)
                first = connection.scalar(first_fresh, bounds | {"fresh_since": fresh_since})
                if first is None:
                    return ()
                before = connection.scalar(
                    statements.last_before(*which, has_since=has_since), bounds | {"first": first}
                )
                bounds["above"] = (first if before is None else before) - 1
            rows = connection.execute(statements.recent_rows(*which, has_since=has_since), bounds).all()
            return tuple((row.source_id, row.seen_at) for row in reversed(rows))

    def record(
        self,
        tellings: Sequence[Telling],
        *,
        now: datetime,
        cursor: Cursor | None = None,
        coverage: Coverage | None = None,
        learnt: Changes | None = None,
        scans: Sequence[NoticedScan] = (),
        wave: Wave | None = None,
        place: SweepPlace | None = None,
        gaps: Sequence[Gap] = (),
        threads: Sequence[Thread] = (),
        regrouped: Mapping[str, str] | None = None,
        along: Mapping[str, tuple[Event, ...]] | None = None,
        held: Mapping[str, datetime] | None = None,
        scanners: Collection[str] = (),
    ) -> int:
        """Write events, what is to become of them, how far we read and what was learnt: in one transaction.

        An event that is known already is left alone; one may be told on several routes. Returns how many were new.
        `regrouped`: {key: group} of events that wait and were found to belong to others; `along`: to which of them, by
        key, where they are to go where those go. `held`: until when what waits of a group goes on waiting. `scanners`:
        keys of what waits and was found to be part of a scan.
        """
        with self._recording() as connection:
            recorded = self._record_all(connection, tellings, now)
            if learnt is not None:
                self._learn(connection, learnt)
            self._forget_attached(connection, [telling.event for telling in tellings])
            self._notice(connection, scans)
            if cursor is not None:
                self._save_cursor(connection, cursor)
            if coverage is not None:
                self._cover(connection, coverage)
            if wave is not None:
                self._upsert(connection, t.waves, ["harbor_id"], self._own(wave))
            if place is not None:
                self._upsert(connection, t.sweeps, ["harbor_id"], self._own(place))
            for gap in gaps:
                self._save_gap(connection, gap, now)
            self._upsert(connection, t.threads, ["harbor_id", "about"], *map(self._own, threads))
            for key, group in (regrouped or {}).items():
                self._move(connection, key, group, (along or {}).get(key, ()))
            own = {"state": DeliveryState.FOLDED, "reason": SCANNERS_OWN, "group": None, "finished_at": now}
            for key in scanners:
                self._change_pending(connection, self._is_key(key), **own)
            for group, until in (held or {}).items():
                connection.execute(update(t.deliveries).where(*_waits_in(group)).values(held_until=until))
        self._sink(recorded)
        return recorded.events.total()

    def cover(self, coverage: Coverage) -> None:
        with self._writing() as connection:
            self._cover(connection, coverage)

    def is_covered(self, log: str, start: datetime, end: datetime) -> bool:
        """Whether this closed window was read to its end before: its line may have grown by its neighbours."""
        query = select(func.count()).where(
            t.polls.c.harbor_id == self._harbor_id,
            t.polls.c.log == log,
            t.polls.c.covered_from <= start,
            t.polls.c.covered_to >= end,
            t.polls.c.error.is_(None),
        )
        with self._reading() as connection:
            return bool(connection.scalar(query))

    def ledger(self, *, since: datetime) -> tuple[Coverage, ...]:
        query = (
            select(t.polls)
            .where(t.polls.c.harbor_id == self._harbor_id, t.polls.c.covered_to >= since)
            .order_by(t.polls.c.covered_from, t.polls.c.id)
        )
        with self._reading() as connection:
            return tuple(_coverage(row) for row in connection.execute(query))

    def past_read(self, log: str) -> tuple[tuple[datetime, datetime], ...]:
        """The periods of a log that backfills have read in full, the latest end first."""
        query = select(t.polls.c.covered_from, t.polls.c.covered_to).where(
            t.polls.c.harbor_id == self._harbor_id, t.polls.c.log == f"{PAST}{log}"
        )
        with self._reading() as connection:
            rows = connection.execute(query.order_by(t.polls.c.covered_to.desc()))
            return tuple((row.covered_from, row.covered_to) for row in rows)

    # -- what was not seen ----------------------------------------------------------------------

    def gaps(self, *, since: datetime) -> tuple[Gap, ...]:
        """Gaps that go on, or ended since then, oldest first."""
        return self._gaps(or_(t.gaps.c.ended_at.is_(None), t.gaps.c.ended_at >= since))

    def open_gaps(self) -> tuple[Gap, ...]:
        """Those that go on."""
        return self._gaps(t.gaps.c.ended_at.is_(None))

    def untold_gaps(self) -> tuple[Gap, ...]:
        """Those that nobody was told of yet."""
        return self._gaps(t.gaps.c.told_at.is_(None))

    def close_gaps(self, reason: Reason, log: str, start: datetime, end: datetime, now: datetime) -> None:
        """Note that what happened in gaps of a log within that time was read after all."""
        within = and_(t.gaps.c.began_at >= start, t.gaps.c.ended_at <= end, t.gaps.c.closed_at.is_(None))
        mine = and_(t.gaps.c.harbor_id == self._harbor_id, t.gaps.c.source == log, t.gaps.c.reason == reason)
        with self._writing() as connection:
            connection.execute(update(t.gaps).where(mine, within).values(closed_at=now))

    def last_recorded(self, kind: EventType | None, *, since: datetime) -> datetime | None:
        """When an audit row of that time was recorded last, of any type or of one."""
        query = select(func.max(t.events.c.seen_at)).where(
            t.events.c.harbor_id == self._harbor_id,
            t.events.c.occurred_at >= since,
            t.events.c.source.in_(LOGS),
            *([t.events.c.type == kind] if kind else []),
        )
        with self._reading() as connection:
            found: datetime | None = connection.scalar(query)
            return found

    def has_row_above(self, source: Source, row_id: int, kind: EventType | None = None) -> bool:
        """Whether a row of a table with a higher id was recorded, of any type or of one."""
        query = select(t.events.c.id).where(
            t.events.c.harbor_id == self._harbor_id, t.events.c.source == source, t.events.c.source_id > row_id
        )
        with self._reading() as connection:
            return connection.scalar((query.where(t.events.c.type == kind) if kind else query).limit(1)) is not None

    def newest_row_but(
        self, source: Source, kind: EventType, *, up_to: int, project: str | None
    ) -> tuple[int, datetime] | None:
        """Id and time of the newest recorded row of a table that is not of that type; of one project, if named."""
        query = select(t.events.c.source_id, t.events.c.occurred_at).where(
            t.events.c.harbor_id == self._harbor_id,
            t.events.c.source == source,
            t.events.c.source_id <= up_to,
            t.events.c.type != kind,
        )
        if project is not None:
            query = query.where(t.events.c.repository.startswith(f"{project}/", autoescape=True))
        with self._reading() as connection:
            row = connection.execute(query.order_by(t.events.c.source_id.desc()).limit(1)).one_or_none()
            return (row.source_id, row.occurred_at) if row is not None else None

    def registry_seen(self) -> Mapping[str, Any] | None:
        """What the registry said of itself when the log was last compared with it."""
        query = select(t.harbors.c.registry_seen).where(t.harbors.c.id == self._harbor_id)
        with self._reading() as connection:
            return connection.scalar(query)

    def save_registry_seen(self, seen: Mapping[str, Any]) -> None:
        values = {"registry_seen": dict(seen)}
        with self._writing() as connection:
            connection.execute(update(t.harbors).where(t.harbors.c.id == self._harbor_id).values(values))

    # -- what is known of the registry ----------------------------------------------------------

    def knowledge(
        self,
        repositories: Collection[str],
        *,
        tags: Collection[tuple[str, str]] = (),
        digests: Collection[tuple[str, str]] = (),
    ) -> Knowledge:
        """What is known of these repositories and their projects; of their tags only what is asked for.

        `tags`: where these point, {(repository, tag)}. `digests`: which tags point at these, {(repository, digest)}.
        A repository may have thousands of tags.
        """
        projects = {name.partition("/")[0] for name in repositories}
        with self._reading() as connection:
            facts = [
                *self._known_tags(connection, "tag", tags),
                *self._known_tags(connection, "digest", digests),
            ]
            return Knowledge.of(
                facts,
                self._known(connection, t.known_repositories, RepositoryFact, "name", repositories),
                self._known(connection, t.known_projects, ProjectFact, "name", projects),
            )

    def tag(self, repository: str, tag: str) -> TagFact | None:
        with self._reading() as connection:
            return next(self._known_tags(connection, "tag", [(repository, tag)]), None)

    def tag_before(self, repository: str, digest: str, at: datetime) -> str | None:
        """A tag that pointed at this image then, and has moved on since."""
        query = select(t.known_tags.c.tag).where(
            t.known_tags.c.harbor_id == self._harbor_id,
            t.known_tags.c.repository == repository,
            t.known_tags.c.previous == digest,
            t.known_tags.c.at > at,
        )
        with self._reading() as connection:
            return connection.scalar(query.order_by(t.known_tags.c.at.desc()).limit(1))

    def tags_of(self, repository: str, digests: Collection[str]) -> frozenset[str]:
        """The tags of these images, those of deleted ones that they had last."""
        c = t.known_tags.c
        query = select(c.tag).where(
            c.harbor_id == self._harbor_id,
            c.repository == repository,
            or_(c.digest.in_(digests), and_(c.digest.is_(None), c.previous.in_(digests))),
        )
        with self._reading() as connection:
            return frozenset(connection.scalars(query))

    def project(self, name: str) -> ProjectFact | None:
        with self._reading() as connection:
            return next(self._known(connection, t.known_projects, ProjectFact, "name", [name]), None)

    def harbor(self) -> tuple[str, Mapping[str, Any] | None, datetime | None]:
        """The registry's host, what was detected of the server, and when."""
        with self._reading() as connection:
            row = connection.execute(statements.harbor(self._harbor_id)).one()
            return row.registry, row.detected, row.detected_at

    def allowance(self) -> tuple[float, datetime] | None:
        """What was left of an `Allowance`, and when."""
        query = select(t.harbors.c.allowance, t.harbors.c.allowance_at).where(t.harbors.c.id == self._harbor_id)
        with self._reading() as connection:
            row = connection.execute(query).one()
            return (row.allowance, row.allowance_at) if row.allowance_at is not None else None

    def save_allowance(self, left: float, at: datetime) -> None:
        with self._writing() as connection:
            values = {"allowance": left, "allowance_at": at}
            connection.execute(update(t.harbors).where(t.harbors.c.id == self._harbor_id).values(values))

    def has_seen(self, kind: EventType, *, since: datetime) -> bool:
        """Whether there was an event of that type since then."""
        query = select(t.events.c.id).where(
            t.events.c.harbor_id == self._harbor_id, t.events.c.occurred_at >= since, t.events.c.type == kind
        )
        with self._reading() as connection:
            return connection.scalar(query.limit(1)) is not None

    def save_harbor(self, registry: str, detected: Mapping[str, Any], at: datetime) -> None:
        values = {"registry": registry, "detected": dict(detected), "detected_at": at}
        with self._writing() as connection:
            connection.execute(update(t.harbors).where(t.harbors.c.id == self._harbor_id).values(values))

    # -- scans --------------------------------------------------------------------------------

    def scans_due(self, now: datetime, *, most: int) -> tuple[NoticedScan, ...]:
        """Scans whose result should be looked at, those that have waited longest first."""
        return self._scans(statements.scans_due(self._harbor_id), now=now, most=most)

    def has_scans(self, now: datetime, *, ended_since: datetime) -> bool:
        """Whether anything is to be done about a scan: a result is due, an end unexplained, or a wave goes on."""
        with self._reading() as connection:
            found = {"now": now, "since": ended_since}
            return bool(connection.scalar(statements.has_scans(self._harbor_id), found))

    def finish_look(
        self,
        scan: NoticedScan,
        tellings: Sequence[Telling],
        now: datetime,
        learnt: Changes | None = None,
        *,
        wave: Wave | None = None,
        hold_until: datetime | None = None,
    ) -> int:
        """Write what a look at a scan's result brought, together with the event that it told.

        `hold_until`: what waits already of its group waits until then, too.
        """
        names = ("outcome", "looks", "look_at", "repository", "digest", "ended_at")
        mine = and_(t.scans.c.harbor_id == self._harbor_id, t.scans.c.robot == scan.robot)
        with self._recording() as connection:
            connection.execute(update(t.scans).where(mine).values({name: getattr(scan, name) for name in names}))
            if learnt is not None:
                self._learn(connection, learnt)
            if wave is not None:
                self._upsert(connection, t.waves, ["harbor_id"], self._own(wave))
            self._tell_of_no_scanner(connection, scan)
            recorded = self._record_all(connection, tellings, now)
            for telling in tellings:
                self._follow(connection, scan, telling.event)
            if hold_until is not None:
                for group in {telling.group for telling in tellings if telling.group}:
                    connection.execute(
                        update(t.deliveries).where(*self._pending_in(group)).values(held_until=hold_until)
                    )
        self._sink(recorded)
        if scan.outcome is not Outcome.RUNNING:
            self._sink(ScanEnded(scan.outcome))
        return recorded.events.total()

    def scans_of(self, digest: str) -> tuple[NoticedScan, ...]:
        """The scans of an artifact, in whatever repository."""
        return self._scans(select(t.scans).where(t.scans.c.harbor_id == self._harbor_id, t.scans.c.digest == digest))

    def rivals(self, digest: str) -> tuple[NoticedScan, ...]:
        """Those whose results are still to be read."""
        return tuple(scan for scan in self.scans_of(digest) if scan.outcome is Outcome.RUNNING)

    def last_scanned(self) -> str | None:
        """The repository of the scan whose result was read last."""
        query = select(t.scans.c.repository).where(
            t.scans.c.harbor_id == self._harbor_id,
            t.scans.c.outcome == Outcome.TOLD,
            t.scans.c.repository.is_not(None),
        )
        with self._reading() as connection:
            return connection.scalar(query.order_by(t.scans.c.look_at.desc()).limit(1))

    def scan_durations(self, *, most: int) -> tuple[tuple[str, timedelta], ...]:
        """In which repository, and how long, the scans took that were read last: from the scanner's pull to the end."""
        query = (
            select(t.scans.c.repository, t.scans.c.started_at, t.scans.c.ended_at)
            .where(t.scans.c.harbor_id == self._harbor_id, t.scans.c.outcome == Outcome.TOLD)
            .where(t.scans.c.repository.is_not(None), t.scans.c.started_at <= t.scans.c.ended_at)
            .order_by(t.scans.c.look_at.desc())
            .limit(most)
        )
        with self._reading() as connection:
            return tuple((row.repository, row.ended_at - row.started_at) for row in connection.execute(query))

    def is_no_scanner(self, robot: str) -> bool:
        """Whether that turned out to be a person's robot with a name like a scanner's."""
        mine = and_(t.scans.c.harbor_id == self._harbor_id, t.scans.c.robot == robot)
        with self._reading() as connection:
            return connection.scalar(select(t.scans.c.outcome).where(mine)) == Outcome.NO_SCAN

    def lists_of(self, digests: Collection[str]) -> Mapping[str, str]:
        """The lists of materials that scanners pushed of these images not long ago: {list: image}, by digest."""
        query = select(t.scans.c.list_digest, t.scans.c.digest).where(
            t.scans.c.harbor_id == self._harbor_id,
            t.scans.c.digest.in_(digests),
            t.scans.c.list_digest.is_not(None),
        )
        with self._reading() as connection:
            return {row.list_digest: row.digest for row in connection.execute(query)}

    def open_scans(self, digests: Collection[str]) -> frozenset[str]:
        """Those of the artifacts that are being scanned in some repository, as far as we noticed."""
        query = select(t.scans.c.digest).where(
            t.scans.c.harbor_id == self._harbor_id,
            t.scans.c.outcome == Outcome.RUNNING,
            t.scans.c.digest.in_(digests),
        )
        with self._reading() as connection:
            return frozenset(digest for digest in connection.scalars(query) if digest)

    def unasked_scans(self, *, since: datetime, most: int) -> tuple[NoticedScan, ...]:
        """Scans that run since then, or that were not looked at yet, and that nobody asked for by hand."""
        query = (
            select(t.scans)
            .where(
                t.scans.c.harbor_id == self._harbor_id,
                t.scans.c.outcome == Outcome.RUNNING,
                t.scans.c.repository.is_not(None),
                t.scans.c.asked_by.is_(None),
                or_(t.scans.c.started_at >= since, t.scans.c.looks == 0),
            )
            .order_by(t.scans.c.started_at.desc())
            .limit(most)
        )
        return self._scans(query)

    def unexplained_scans(self, *, since: datetime, is_new: bool = False) -> tuple[NoticedScan, ...]:
        """Scans that have ended, and nothing says of what: their pull was not logged. `is_new`: never thought about."""
        return self._scans(statements.unexplained_scans(self._harbor_id, is_new=is_new), since=since)

    def unread_results(self, repository: str, digest: str, *, since: datetime, until: datetime) -> int:
        """How many scans of the artifact ended in that time and were replaced before their result was read."""
        query = select(func.count()).where(
            t.scans.c.harbor_id == self._harbor_id,
            t.scans.c.outcome == Outcome.OVERWRITTEN,
            t.scans.c.repository == repository,
            t.scans.c.digest == digest,
            t.scans.c.ended_at.between(since, until),
        )
        with self._reading() as connection:
            return connection.scalar(query) or 0

    def scan_outcomes(self, *, since: datetime) -> dict[Outcome, int]:
        """How the scans of that time came out, as far as they were noticed in the log."""
        query = (
            select(t.scans.c.outcome, func.count())
            .where(
                t.scans.c.harbor_id == self._harbor_id, func.coalesce(t.scans.c.ended_at, t.scans.c.started_at) >= since
            )
            .group_by(t.scans.c.outcome)
        )
        with self._reading() as connection:
            return {Outcome(outcome): count for outcome, count in connection.execute(query)}

    def reports(self, digests: Collection[str]) -> dict[tuple[str, str], ReportFact]:
        """The last results that are known of these artifacts, by (digest, scanner)."""
        with self._reading() as connection:
            facts = self._known(connection, t.known_reports, ReportFact, "digest", digests)
            return {(fact.digest, fact.scanner): _with_tuples(fact) for fact in facts}

    def platforms(self, repository: str, digests: Collection[str]) -> dict[str, PlatformFact]:
        """The indexes that these artifacts belong to, by digest, as far as known."""
        return {fact.digest: fact for fact in self._platforms(repository, t.known_platforms.c.digest, digests)}

    def platforms_of(self, repository: str, index_digest: str) -> tuple[PlatformFact, ...]:
        return tuple(self._platforms(repository, t.known_platforms.c.index_digest, [index_digest]))

    # -- what belongs together --------------------------------------------------------------------

    def accessories(self, repository: str, digests: Collection[str]) -> dict[str, AccessoryFact]:
        """What these artifacts were attached to, by digest, as far as known."""
        return {fact.digest: fact for fact in self._accessories(repository, t.known_accessories.c.digest, digests)}

    def accessories_of(self, repository: str, subjects: Collection[str]) -> tuple[AccessoryFact, ...]:
        """What was attached to these artifacts, in the order in which it was learnt."""
        found = self._accessories(repository, t.known_accessories.c.subject, subjects)
        return tuple(sorted(found, key=lambda fact: (fact.at, fact.digest)))

    def kin(self, digests: Mapping[str, Collection[str]]) -> tuple[tuple[PlatformFact, ...], tuple[AccessoryFact, ...]]:
        """What artifacts of several repositories belong to, as far as known: {repository: digests}."""
        names, wanted = sorted(digests), sorted({each for some in digests.values() for each in some})
        found: dict[Any, list[Any]] = {PlatformFact: [], AccessoryFact: []}
        with self._reading() as connection:
            for table, fact in ((t.known_platforms, PlatformFact), (t.known_accessories, AccessoryFact)):
                for part in _parts(wanted):
                    mine = and_(table.c.harbor_id == self._harbor_id, table.c.repository.in_(names))
                    for row in connection.execute(select(table).where(mine, table.c.digest.in_(part))):
                        if row.digest in digests[row.repository]:
                            found[fact].append(fact(**_without(row, "harbor_id")))
        return tuple(found[PlatformFact]), tuple(found[AccessoryFact])

    def threads(self, abouts: Collection[str]) -> dict[str, Thread]:
        """The threads about these, whether they still go on or not."""
        with self._reading() as connection:
            threads = self._known(connection, t.threads, Thread, "about", abouts)
            return {thread.about: thread for thread in threads}

    def waiting_pushes(
        self, *, since: datetime, repositories: Collection[str] = (), project: str | None = None
    ) -> tuple[Waiting, ...]:
        """Pushes that were recorded just before and are not told yet: into these repositories, or into the project.

        As far as they are among the last `_JUST_RECORDED` events. What a backfill found is told in its own way.
        """
        place: Any = t.events.c.repository.in_(repositories)
        if project is not None:
            place = or_(place, t.events.c.repository.startswith(f"{project}/", autoescape=True))
        query = (
            statements.all_events(t.deliveries.c.group)
            .join(t.deliveries, t.deliveries.c.event_id == t.events.c.id)
            .where(
                t.events.c.harbor_id + 0 == self._harbor_id,  # not by an index: all events of a Harbor are in those
                t.events.c.id > _before_the_last_events(),
                t.events.c.seen_at >= since,
                t.events.c.type == EventType.PUSH_ARTIFACT,
                place,
                t.deliveries.c.state == DeliveryState.PENDING,
                t.deliveries.c.mode == Mode.AUTO,
            )
            .order_by(t.events.c.id)
        )
        with self._reading() as connection:
            found = {row.id: Waiting(_event(row), row.group) for row in connection.execute(query)}
            return tuple(found.values())

    def waiting_deletions(self, digests: Collection[str], *, since: datetime) -> tuple[Event, ...]:
        """Of artifacts, since then, that are not told yet."""
        is_pending = and_(t.deliveries.c.state == DeliveryState.PENDING, t.deliveries.c.mode == Mode.AUTO)
        query = self._events().where(
            t.events.c.type == EventType.DELETE_ARTIFACT,
            t.events.c.digest.in_(digests),
            t.events.c.occurred_at >= since,
            t.events.c.id.in_(select(t.deliveries.c.event_id).where(is_pending)),
        )
        with self._reading() as connection:
            return tuple(_event(row) for row in connection.execute(query))

    def told_groups(self, groups: Collection[str]) -> frozenset[str]:
        """Those of the groups of which something was told just before."""
        c = t.deliveries.c
        just_recorded = c.event_id > _before_the_last_events()
        query = select(c.group).where(just_recorded, c.state == DeliveryState.SENT)
        with self._reading() as connection:
            found = (connection.scalars(query.where(c.group.in_(part))) for part in _parts(sorted(groups)))
            return frozenset(group for part in found for group in part if group)

    def pushed_by(
        self, operators: Collection[str], projects: Collection[str], *, since: datetime, until: datetime
    ) -> tuple[Event, ...]:
        """What any of these pushed into any of these projects in that time."""
        places = (t.events.c.repository.startswith(f"{name}/", autoescape=True) for name in sorted(projects))
        query = self._events().where(
            t.events.c.type == EventType.PUSH_ARTIFACT,
            t.events.c.operator.in_(operators),
            or_(*places),
            t.events.c.occurred_at.between(since, until),
        )
        with self._reading() as connection:
            return tuple(_event(row) for row in connection.execute(query))

    # -- scans that belong together ---------------------------------------------------------------

    def wave(self) -> Wave | None:
        with self._reading() as connection:
            row = connection.execute(statements.of_harbor(t.waves, self._harbor_id)).one_or_none()
            return Wave(**_without(row, "harbor_id")) if row is not None else None

    def save_wave(self, wave: Wave) -> None:
        with self._writing() as connection:
            self._upsert(connection, t.waves, ["harbor_id"], self._own(wave))

    def end_wave(self, wave: Wave, *, as_one: bool) -> None:
        """What was held is due from now on: as one message, or each for itself."""
        with self._writing() as connection:
            values = {"held_until": None} | ({} if as_one else {"group": None})
            connection.execute(update(t.deliveries).where(*self._pending_in(wave.group)).values(values))
            connection.execute(delete(t.waves).where(t.waves.c.harbor_id == self._harbor_id))

    def loosen(self, group: str, *, attempt: int | None = None) -> None:
        """Tell the events of a group like any others."""
        with self._writing() as connection:
            values = {"group": None, "held_until": None}
            connection.execute(update(t.deliveries).where(*self._pending_in(group)).values(values))
            self._settle(connection, attempt)

    def in_group(
        self, group: str, *, is_waiting: bool = False, or_told_by: tuple[str, int] | None = None
    ) -> Iterator[Member]:
        """Every event of a group, one by one: there may be a hundred thousand. `is_waiting`: those to be told yet.

        `or_told_by`: and those that this message of a chat tells.
        """
        waits = and_(*self._pending_in(group))
        is_one_route = len(self._routes) == 1
        query = (
            statements.all_events(t.deliveries.c.id.label("delivery_id"), t.deliveries.c.state, waits.label("waits"))
            .join(t.deliveries, t.deliveries.c.event_id == t.events.c.id)
            .where(statements.is_on(self._routes), t.deliveries.c.group == group)
            .order_by(*([] if is_one_route else [t.events.c.id]), t.deliveries.c.id)
        )
        with self._reading() as connection:
            if is_waiting:
                query = query.where(or_(waits, _is_told_by(*or_told_by)) if or_told_by else waits)
            rows = connection.execution_options(yield_per=500).execute(query)
            for _, same in groupby(rows, key=lambda row: row.id):  # on several routes it is one event all the same
                of_event = list(same)
                is_off = all(row.state == DeliveryState.OFF for row in of_event)
                yield Member(
                    of_event[0].delivery_id, _event(of_event[0]), any(row.waits for row in of_event), is_off=is_off
                )

    def in_group_of(
        self, group: str, repository: str, digests: Collection[str], *, routes: Collection[str]
    ) -> tuple[Event, ...]:
        """The events of a group that are about these artifacts and name a tag, the newest last; a few at most."""
        query = (
            self._events()
            .join(t.deliveries, t.deliveries.c.event_id == t.events.c.id)
            .where(
                t.deliveries.c.route.in_(routes),
                t.deliveries.c.group == group,
                t.events.c.repository == repository,
                t.events.c.digest.in_(digests),
                t.events.c.tag.is_not(None),
            )
            .order_by(t.events.c.id.desc())
            .limit(_FEW_OF_GROUP)
        )
        with self._reading() as connection:
            found = {row.id: _event(row) for row in connection.execute(query)}
            return tuple(reversed(found.values()))

    def regroup(self, event: Event, group: str) -> None:
        """Tell an event together with others than it was held for."""
        with self._writing() as connection:
            self._change_pending(connection, self._is_key(event.key), group=group, held_until=None)

    def complete_scan(self, event: Event, *, mode: Mode | None = None) -> None:
        """Write what is known of a scan by now; with a mode, the event is told in that way, whatever its group does."""
        mine = self._is_key(event.key)
        with self._writing() as connection:
            connection.execute(update(t.events).where(mine).values(scan_details=_details(event)))
            if mode is not None:
                self._change_pending(connection, mine, mode=mode, held_until=None)

    # -- the sweep --------------------------------------------------------------------------------

    def sweep(self) -> SweepPlace | None:
        with self._reading() as connection:
            row = connection.execute(statements.of_harbor(t.sweeps, self._harbor_id)).one_or_none()
        if row is None:
            return None
        values = _without(row, "harbor_id")
        pages = {name: tuple((name_, page) for name_, page in values[name]) for name in ("changed", "ahead")}
        return SweepPlace(**values | pages)

    def pusher_of(self, repository: str, digests: Collection[str], *, since: datetime, until: datetime) -> str | None:
        """Who pushed one of these artifacts last in that time."""
        query = (
            select(t.events.c.operator)
            .where(
                t.events.c.harbor_id == self._harbor_id,
                t.events.c.type == EventType.PUSH_ARTIFACT,
                t.events.c.repository == repository,
                t.events.c.digest.in_(digests),
                t.events.c.occurred_at.between(since, until),
            )
            .order_by(t.events.c.occurred_at.desc())
            .limit(1)
        )
        with self._reading() as connection:
            return connection.scalar(query)

    def pushed(self, *, since: datetime, until: datetime) -> frozenset[tuple[str, str]]:
        """(repository, digest) of what was pushed in that time."""
        query = select(t.events.c.repository, t.events.c.digest).where(
            t.events.c.harbor_id == self._harbor_id,
            t.events.c.type == EventType.PUSH_ARTIFACT,
            t.events.c.digest.is_not(None),
            t.events.c.occurred_at.between(since, until),
        )
        with self._reading() as connection:
            return frozenset((row.repository, row.digest) for row in connection.execute(query))

    # -- deliveries: the outbox -----------------------------------------------------------------

    def due(self, now: datetime, *, most: int, and_all: Collection[EventType] = ()) -> tuple[Due, ...]:
        """Pending deliveries of the route or routes, oldest first, also those of a Harbor that has another address now.

        What waits for the rest of its group is not due. `and_all`: types of which, and of what is important, so many
        more are in it, however much is older.
        """
        found = {"now": now, "most": most}
        with self._reading() as connection:
            due = tuple(map(_due, connection.execute(statements.due(self._routes), found)))
            if not and_all or len(due) < most:
                return due
            behind = statements.due_behind(self._routes, tuple(and_all))
            return due + tuple(map(_due, connection.execute(behind, found | {"last": due[-1].id})))

    def has_due(self, now: datetime) -> bool:
        """Whether anything is due."""
        with self._reading() as connection:
            return bool(connection.scalar(statements.has_due(self._routes), {"now": now}))

    def next_due(self, now: datetime) -> datetime | None:
        """When the next of what is pending is due: `now` where something is. None: nothing is pending."""
        with self._reading() as connection:
            found: datetime | None = connection.scalar(statements.next_due(self._routes), {"now": now})
            return found

    def claim(self, chat_id: str, at: datetime) -> int:
        """Note, before a message goes, that one goes. Whoever cannot write that must not send it, either.

        Returns the attempt, which is to be handed in with what came of it.
        """
        with self._writing() as connection:
            connection.execute(delete(t.attempts).where(t.attempts.c.at < at - _ATTEMPTS_KEPT))
            insert = t.attempts.insert().values(chat_id=chat_id, at=at).returning(t.attempts.c.id)
            return int(connection.execute(insert).scalar_one())

    def attempted(
        self,
        ids: Sequence[int],
        reason: str,
        *,
        attempt: int | None = None,
        maybe_at: datetime | None = None,
        route: RouteState | None = None,
    ) -> None:
        """Note that telling these was tried in vain; they stay pending.

        `maybe_at`: the answer was lost, so the message may have come, as late as that.
        """
        with self._writing() as connection:
            for part in _parts(ids):
                values = {"attempts": t.deliveries.c.attempts + 1, "reason": reason}
                connection.execute(update(t.deliveries).where(t.deliveries.c.id.in_(part)).values(values))
            if maybe_at is None:
                self._settle(connection, attempt)
            else:
                connection.execute(update(t.attempts).where(t.attempts.c.id == attempt).values(at=maybe_at))
            if route is not None:
                self._upsert(connection, t.routes, ["name"], as_dict(route))

    def told(
        self,
        ids: Sequence[int],
        *,
        chat_id: str,
        message_id: int,
        now: datetime,
        reason: str = "",
        attempt: int | None = None,
        route: RouteState | None = None,
        leave_group: Sequence[int] = (),
    ) -> None:
        """Telegram accepted one message for these: the first is sent, the others are folded into it.

        `leave_group`: those of which it is not the message of their group, as of a digest's.
        """
        with self._writing() as connection:
            first = {"state": DeliveryState.SENT, "reason": reason}
            self._finish(connection, ids[:1], **first, **_told_with(chat_id, message_id, now))
            self._finish(connection, ids[1:], **_folded_into(message_id), **_told_with(chat_id, message_id, now))
            self._finish(connection, leave_group, group=None)
            self._settle(connection, attempt)
            if route is not None:
                self._upsert(connection, t.routes, ["name"], as_dict(route))
        self._ended(DeliveryState.SENT, ids[:1])
        self._ended(DeliveryState.FOLDED, ids[1:])

    def told_by_edit(
        self,
        ids: Sequence[int],
        *,
        chat_id: str,
        message_id: int,
        now: datetime,
        attempt: int,
        route: RouteState | None = None,
    ) -> None:
        """These are now told by a message that was there before. Telegram counts the edit: its attempt stays."""
        with self._writing() as connection:
            self._finish(connection, ids, **_folded_into(message_id), **_told_with(chat_id, message_id, now))
            connection.execute(update(t.attempts).where(t.attempts.c.id == attempt).values(at=now))
            if route is not None:
                self._upsert(connection, t.routes, ["name"], as_dict(route))
        self._ended(DeliveryState.FOLDED, ids)

    def fold_into(self, ids: Sequence[int], *, chat_id: str, message_id: int, now: datetime) -> None:
        """These need not be told: this message tells what they belong to. It is not the message of their group."""
        with self._writing() as connection:
            values = _folded_into(message_id) | {"chat_id": chat_id, "message_id": message_id, "finished_at": now}
            self._finish(connection, ids, group=None, **values)
        self._ended(DeliveryState.FOLDED, ids)

    def refused(self, ids: Sequence[int], reason: str, now: datetime, *, attempt: int | None = None) -> None:
        with self._writing() as connection:
            self._finish(connection, ids, state=DeliveryState.REFUSED, reason=reason, finished_at=now)
            self._settle(connection, attempt)
        self._ended(DeliveryState.REFUSED, ids)

    def leave_untold(self, reason: str, *, before: datetime, now: datetime) -> int:
        """Let nothing wait that happened before then, on any route. Returns how many deliveries that were."""
        e, d = t.events.c, t.deliveries.c
        old = select(e.id).where(e.harbor_id == self._harbor_id, e.occurred_at < before)
        mine = and_(d.state == DeliveryState.PENDING, d.event_id.in_(old))
        off = {"state": DeliveryState.OFF, "reason": reason, "finished_at": now}
        with self._writing() as connection:
            return connection.execute(update(t.deliveries).where(mine).values(off)).rowcount

    def postpone(self, ids: Sequence[int], until: datetime) -> None:
        """Tell these not before then."""
        with self._writing() as connection:
            self._finish(connection, ids, held_until=until)

    def release(self, *, held_beyond: datetime) -> None:
        """Let go what is put off for so long.

        What waits for the end of its wave, or until a backfill has ended, goes on waiting.
        """
        d = t.deliveries.c
        wave = self.wave()
        whose = or_(d.group.is_(None), d.group != wave.group) if wave is not None else true()
        mine = and_(d.route == self._route, d.state == DeliveryState.PENDING, d.mode.in_([Mode.AUTO, Mode.IMPORTANT]))
        with self._writing() as connection:
            connection.execute(
                update(t.deliveries).where(mine, whose, d.held_until > held_beyond).values(held_until=None)
            )

    def messages_of(self, groups: Collection[str], chat_id: str) -> dict[str, GroupMessage]:
        """The newest message of each group that has one in this chat."""
        d = t.deliveries.c
        query = (
            select(d.group, d.message_id, func.min(d.finished_at), func.max(d.finished_at))
            .where(d.route == self._route, d.chat_id == chat_id, d.state.in_(_TOLD))
            .group_by(d.group, d.message_id)
            .order_by(d.message_id)
        )
        found: dict[str, GroupMessage] = {}
        with self._reading() as connection:
            for part in _parts(sorted(groups)):
                rows = connection.execute(query.where(d.group.in_(part)))
                found |= {group: GroupMessage(*rest) for group, *rest in rows}
        return found

    def message_of_push(
        self, repository: str, digests: Collection[str], chat_id: str, *, since: datetime
    ) -> int | None:
        """The newest message in this chat that tells the push of one of these artifacts."""
        query = (
            select(func.max(t.deliveries.c.message_id))
            .join(t.events, t.deliveries.c.event_id == t.events.c.id)
            .where(
                t.events.c.harbor_id == self._harbor_id,
                t.events.c.type == EventType.PUSH_ARTIFACT,
                t.events.c.repository == repository,
                t.events.c.digest.in_(digests),
                t.events.c.occurred_at >= since,
                t.deliveries.c.route == self._route,
                t.deliveries.c.chat_id == chat_id,
                t.deliveries.c.state.in_(_TOLD),
            )
        )
        with self._reading() as connection:
            found: int | None = connection.scalar(query)
            return found

    def tell_singly(self, ids: Sequence[int], *, attempt: int | None = None) -> None:
        """Telegram would not take these as one message."""
        with self._writing() as connection:
            self._finish(connection, ids, mode=Mode.SINGLE, group=None)
            self._settle(connection, attempt)

    def set_mode(self, old: Mode, new: Mode) -> None:
        """Tell what is pending in another way, and hold it back no longer."""
        with self._writing() as connection:
            connection.execute(update(t.deliveries).where(*self._pending(old)).values(mode=new, held_until=None))

    def hold(self, mode: Mode, *, until: datetime | None) -> None:
        """Tell nothing before then that is pending in this way; None: it is due from now on.

        In portions, each its own transaction: what Telegram has accepted meanwhile must not wait long to be noted.
        """
        last: int | None = 0
        while last is not None:
            with self._writing() as connection:
                last = self._hold_some(connection, mode, last, until)

    def _hold_some(self, connection: Connection, mode: Mode, after: int, until: datetime | None) -> int | None:
        """Returns the last that it was done for, if there may be more."""
        some = and_(*self._pending(mode), t.deliveries.c.id > after)
        query = select(t.deliveries.c.id).where(some).order_by(t.deliveries.c.id).limit(_HELD_AT_ONCE)
        last: int | None = connection.scalar(select(func.max(query.subquery().c.id)))
        if last is not None:
            connection.execute(update(t.deliveries).where(some, t.deliveries.c.id <= last).values(held_until=until))
        return last

    def accepted_times(self, chat_id: str, *, since: datetime) -> tuple[datetime, ...]:
        """When Telegram accepted messages for this chat, ascending: what the pace is computed from."""
        with self._reading() as connection:
            return tuple(connection.scalars(statements.ACCEPTED_TIMES, {"chat_id": chat_id, "since": since}))

    def attempt_times(self, chat_id: str, *, since: datetime) -> tuple[datetime, ...]:
        """When messages went of which it is not known whether they came. Telegram counts them too."""
        with self._reading() as connection:
            return tuple(connection.scalars(statements.ATTEMPT_TIMES, {"chat_id": chat_id, "since": since}))

    def route(self, chat_id: str, thread_id: int | None) -> RouteState:
        """What is remembered of the chat; nothing, when another chat or topic is configured now.

        A pause of the chat is one for all routes that lead to it.
        """
        with self._reading() as connection:
            of_chat = connection.execute(statements.ROUTES_OF_CHAT, {"chat_id": chat_id}).all()
        found = (row for row in of_chat if row.name == self._route and row.thread_id == thread_id)
        mine = next((RouteState(**row._mapping) for row in found), RouteState(self._route, chat_id, thread_id))
        others = [row for row in of_chat if row.name != self._route and row.blocked_until is not None]
        longest = max(others, key=lambda row: row.blocked_until, default=None)
        if longest is None or (mine.blocked_until is not None and mine.blocked_until >= longest.blocked_until):
            return mine
        shared = ("blocked_until", "blocked_at", "needs_operator", "reason")
        return replace(mine, **{name: longest._mapping[name] for name in shared})

    def save_route(self, route: RouteState) -> None:
        with self._writing() as connection:
            self._upsert(connection, t.routes, ["name"], as_dict(route))

    def counts(self) -> Counts:
        """Of the route; over all routes also of those that are gone."""
        c = t.deliveries.c
        query = select(c.state, func.count(), func.min(c.since)).group_by(c.state)
        if self._spread is _as_it_is:
            query = query.where(statements.is_on(self._routes))
        with self._reading() as connection:
            rows = {row[0]: (row[1], row[2]) for row in connection.execute(query)}
        number = {state: rows.get(state, (0, None))[0] for state in DeliveryState}
        oldest = rows.get(DeliveryState.PENDING, (0, None))[1]
        return Counts(oldest_pending=oldest, **number)

    def seen_by_type(
        self, kinds: Collection[EventType], *, since: datetime, until: datetime
    ) -> tuple[dict[EventType, int], int]:
        """How many events of these kinds happened that were told or are to be, and in how many messages so far.

        Without what is told as part of a scan.
        """
        e, d = t.events.c, t.deliveries.c
        told = and_(d.event_id == e.id, d.state != DeliveryState.OFF, not_(d.reason.startswith(SCANNERS_OWN)))
        which = (e.harbor_id == self._harbor_id, e.occurred_at > since, e.occurred_at <= until, e.type.in_(kinds))
        by_type = select(e.type, func.count()).where(*which, exists().where(told)).group_by(e.type)
        messages = select(d.chat_id, d.message_id).where(*which, told, d.message_id.is_not(None)).distinct()
        with self._reading() as connection:
            counts = {EventType(kind): count for kind, count in connection.execute(by_type)}
            return counts, connection.scalar(select(func.count()).select_from(messages.subquery())) or 0

    def held(self, now: datetime) -> int:
        """How many pending deliveries wait for the rest of their group."""
        query = select(func.count()).where(
            statements.is_on(self._routes),
            t.deliveries.c.state == DeliveryState.PENDING,
            t.deliveries.c.held_until > now,
        )
        with self._reading() as connection:
            return connection.scalar(query) or 0

    def waiting(self, now: datetime) -> dict[str, Backlog]:
        """What waits, by route, whichever Harbor's. Costs as much as there is of it, however much was told."""
        c = t.deliveries.c
        is_held = func.coalesce(c.held_until > now, false())
        query = (
            select(c.route, is_held, func.count(), func.min(c.since))
            .where(c.state == DeliveryState.PENDING)
            .group_by(c.route, is_held)
        )
        found: dict[str, Backlog] = {}
        with self._reading() as connection:
            for route, held, count, oldest in connection.execute(query):
                before = found.get(route, Backlog())
                found[route] = replace(before, held=count) if held else replace(before, due=count, oldest_due=oldest)
        return found

    def running_scans(self) -> int:
        """How many scans were noticed whose result is not known yet."""
        query = select(func.count()).where(
            t.scans.c.harbor_id == self._harbor_id,
            t.scans.c.outcome == Outcome.RUNNING,
            t.scans.c.repository.is_not(None),
        )
        with self._reading() as connection:
            return connection.scalar(query) or 0

    def stray(self, telling: Collection[str]) -> Mapping[str, int]:
        """How many deliveries are pending on which routes that are none of these."""
        query = select(t.deliveries.c.route, func.count()).where(_is_stray(telling)).group_by(t.deliveries.c.route)
        with self._reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def route_anew(self, telling: Collection[str], along: Along) -> None:
        """Spread what is pending on routes that are none of these."""
        has_more = True
        while has_more:
            with self._writing() as connection:
                has_more = self._spread_again(connection, _is_stray(telling), along) > 0

    # -- looking back ---------------------------------------------------------------------------

    def seen(
        self,
        *,
        since: datetime | None = None,
        types: Collection[EventType] = (),
        repository: str | None = None,
        limit: int | None = None,
    ) -> tuple[Seen, ...]:
        """Recorded events, newest last; with a limit, the newest so many."""
        query = self._events().order_by(t.events.c.occurred_at.desc(), t.events.c.id.desc()).limit(limit)
        if since is not None:
            query = query.where(t.events.c.occurred_at >= since)
        if types:
            query = query.where(t.events.c.type.in_(list(types)))
        if repository is not None:
            query = query.where(t.events.c.repository == repository)
        with self._reading() as connection:
            rows = list(reversed(connection.execute(query).all()))
            told = self._deliveries_of(connection, [row.id for row in rows])
        return tuple(Seen(_event(row), row.seen_at, told.get(row.id, ())) for row in rows)

    def event(self, key: str) -> tuple[Seen, tuple[Fate, ...]] | None:
        """An event, and all that is known of what became of it."""
        with self._reading() as connection:
            row = connection.execute(self._events().where(self._is_key(key))).first()
            if row is None:
                return None
            deliveries = t.deliveries.c
            query = select(t.deliveries).where(deliveries.event_id == row.id).order_by(deliveries.id)
            fates = tuple(_fate(each) for each in connection.execute(query))
        return Seen(_event(row), row.seen_at, tuple(fate.record for fate in fates)), fates

    def keys_with(self, part: str, *, most: int) -> tuple[str, ...]:
        """Keys of recorded events that hold this text, the newest first."""
        c = t.events.c
        query = select(c.key, c.source, c.source_id, c.occurred_at).where(c.harbor_id == self._harbor_id)
        with self._reading() as connection:
            rows = connection.execute(query.order_by(c.id.desc()).execution_options(yield_per=_JUST_RECORDED))
            keys = (row.key or RowName(Source(row.source), row.source_id, row.occurred_at).key for row in rows)
            return tuple(islice((key for key in keys if part in key), most))

    # -- when the clock was set -------------------------------------------------------------------

    def move_appointments(self, by: timedelta, *, paced_since: datetime) -> None:
        """What waits for a moment of the wall clock waits for another one, as much later as the clock is now.

        Messages that were taken after `paced_since`, by the old clock, go on to count for the chat's pace, and rows
        that were seen since then are as fresh as they were: others may still come late among them.
        """
        pending, running = t.deliveries.c.state == DeliveryState.PENDING, t.scans.c.outcome == Outcome.RUNNING
        moments = [
            (t.deliveries.c.held_until, pending),
            (t.routes.c.blocked_until, true()),
            (t.routes.c.blocked_at, true()),
            (t.routes.c.digest_at, true()),
            (t.scans.c.look_at, running),
            (t.attempts.c.at, true()),
            (
                t.events.c.seen_at,
                and_(t.events.c.occurred_at > paced_since - CLOCKS_APART, t.events.c.seen_at >= paced_since),
            ),
            (t.cursors.c.floor_at, t.cursors.c.floor_at >= paced_since),
            (t.cursors.c.polled_at, t.cursors.c.polled_at >= paced_since - timedelta(days=1)),
        ]
        sent = and_(t.deliveries.c.state == DeliveryState.SENT, t.deliveries.c.finished_at >= paced_since)
        taken = select(t.deliveries.c.chat_id, self._moved(t.deliveries.c.finished_at, by)).where(sent)
        with self._writing() as connection:
            for column, condition in moments:
                moved = {column.name: self._moved(column, by)}
                connection.execute(update(column.table).where(column.is_not(None), condition).values(moved))
            connection.execute(t.attempts.insert().from_select(["chat_id", "at"], taken))

    def _moved(self, column: Any, by: timedelta) -> Any:
        if self._engine.dialect.name == "sqlite":  # it keeps times as text, with microseconds
            return func.strftime("%Y-%m-%d %H:%M:%f000", column, f"{by.total_seconds():+.3f} seconds")
        return column + literal(by, Interval)

    # -- one poller at a time -------------------------------------------------------------------

    def lease(self, name: str = POLLER) -> Lease | None:
        with self._reading() as connection:
            return _lease(connection.execute(_leases(name)).one_or_none())

    def last_lease(self, name: str = POLLER) -> Lease | None:
        """As `lease`, and also when its holder has given it back: then the owner is ""."""
        with self._reading() as connection:
            row = connection.execute(_leases(name)).one_or_none()
        return None if row is None else _lease_of(row)

    def take_lease(
        self, name: str, owner: str, now: datetime, keep: timedelta, *, instead_of: Lease | None = None
    ) -> Grant | Lease:
        """Take the lease when it is free, ours, or still as it was seen in `instead_of`. Who has it otherwise.

        PostgreSQL makes this wait for the transactions under the lease, and those begun meanwhile for this.
        """
        free = {"name": name, "owner": "", "acquired_at": now, "expires_at": now}
        with self._writing() as connection:
            connection.execute(self._insert(t.leases).values(free).on_conflict_do_nothing(index_elements=["name"]))
            row = connection.execute(_leases(name).with_for_update()).one()
            holder = _lease(row)
            is_seen = holder is not None and instead_of is not None and holder.pulse == instead_of.pulse
            if holder is not None and holder.owner != owner and not is_seen:
                return holder
            grant = Grant(name, owner, row.epoch + 1)
            values = {"owner": owner, "acquired_at": now, "expires_at": now + keep, "epoch": grant.epoch, "beats": 0}
            connection.execute(update(t.leases).where(t.leases.c.name == name).values(values))
            return grant

    def beat(self, grant: Grant, now: datetime, keep: timedelta) -> None:
        """Show that the holder lives. Raises LeaseTaken when it is the holder no more."""
        with self.under(None)._writing() as connection:
            if not connection.execute(statements.beat(grant), {"until": now + keep}).rowcount:
                raise _taken(grant)

    def release_lease(self, grant: Grant) -> None:
        """The row stays, for its epoch must never come twice."""
        with self._writing() as connection:
            connection.execute(update(t.leases).where(statements.is_of(grant)).values(owner=""))

    # -- retention ------------------------------------------------------------------------------

    def prune(self, *, before: datetime, is_swept: bool = True, threads_before: datetime | None = None) -> int:
        """Forget what is told and older than that, in portions. Returns how many events.

        `is_swept`: whether the sweep goes on meeting the artifacts that there are. `threads_before`: what nothing
        joined since then does not go on.
        """
        old = retention.Retention(self._harbor_id, before, is_swept, threads_before or before)
        self._forget(old.forget_the_rest)
        return self._forget(old.forget_events)

    def _forget(self, forget: Callable[[Connection], int]) -> int:
        """Each portion in its own transaction, so that a poll never waits long."""
        total = 0
        while True:
            with self._writing() as connection:
                count = forget(connection)
            total += count
            if count < retention.PORTION:
                return total

    def pruned_before(self) -> datetime | None:
        """What is older may have been forgotten; None where nothing was yet."""
        with self._reading() as connection:
            return retention.horizon(connection, self._harbor_id)

    # -- inside ---------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with database.border(self._where), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with database.border(self._where), self._writer.begin() as connection:
            if self._grant is not None:
                _guard(connection, self._grant)
            yield connection

    @contextmanager
    def _recording(self) -> Iterator[Connection]:
        """For whoever writes events: one at a time, so that what is not recorded yet stays so until it is written.

        On SQLite every transaction that writes has that to itself.
        """
        with self._writing() as connection:
            if connection.dialect.name != "sqlite":
                connection.execute(statements.lock_of_harbor(self._harbor_id))
            yield connection

    def _insert(self, table: Any) -> Any:
        # Imported here: the engine has loaded the dialect that it speaks, and the other one takes 2 MB.
        if self._engine.dialect.name == "sqlite":
            from sqlalchemy.dialects import sqlite

            return sqlite.insert(table)
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)

    def _upsert(
        self,
        connection: Connection,
        table: Any,
        key: list[str],
        *rows: Mapping[str, Any],
        unless_newer: str | None = None,
    ) -> None:
        """Write these rows over those with the same key; not over one that is newer, by the column so named."""
        if rows:
            names = tuple(rows[0])
            connection.execute(self._upsert_into(table, tuple(key), names, unless_newer), [dict(row) for row in rows])

    @cache  # noqa: B019 -- a store lives as long as the program; building these takes longer than running them
    def _upsert_into(self, table: Any, key: tuple[str, ...], names: tuple[str, ...], unless_newer: str | None) -> Any:
        statement = self._insert(table)
        changed = {name: statement.excluded[name] for name in names if name not in key}
        where = table.c[unless_newer] <= statement.excluded[unless_newer] if unless_newer else None
        return statement.on_conflict_do_update(index_elements=list(key), set_=changed, where=where)

    @cache  # noqa: B019 -- as above
    def _upsert_tags(self) -> Any:
        """Over what is not newer. What a tag pointed at before is known here, whoever says where it points now."""
        statement, known = self._insert(t.known_tags), t.known_tags.c
        new = statement.excluded
        before = func.coalesce(new.previous, known.previous)
        previous = case((known.digest != new.digest, known.digest), else_=before)
        return statement.on_conflict_do_update(
            index_elements=["harbor_id", "repository", "tag"],
            set_={"digest": new.digest, "at": new.at, "previous": previous},
            where=known.at <= new.at,
        )

    @cache  # noqa: B019 -- as above
    def _upsert_projects(self) -> Any:
        """What a project's number is does not change; not every answer tells it."""
        statement, known = self._insert(t.known_projects), t.known_projects.c
        new = statement.excluded
        number = func.coalesce(new.project_id, known.project_id)
        changed = {"is_public": new.is_public, "checked_at": new.checked_at, "project_id": number}
        return statement.on_conflict_do_update(index_elements=["harbor_id", "name"], set_=changed)

    def _own(self, record: Any) -> dict[str, Any]:
        """A record's columns, with the Harbor that it is about."""
        return {"harbor_id": self._harbor_id, **as_dict(record)}

    def _known_harbor(self, url: str) -> int | None:
        with self._reading() as connection:
            return connection.scalar(select(t.harbors.c.id).where(t.harbors.c.url == url))

    def _new_harbor(self, url: str) -> int:
        with self._writing() as connection:
            connection.execute(self._insert(t.harbors).values(url=url).on_conflict_do_nothing(index_elements=["url"]))
            return int(connection.execute(select(t.harbors.c.id).where(t.harbors.c.url == url)).scalar_one())

    def _save_cursor(self, connection: Connection, cursor: Cursor) -> None:
        self._upsert(connection, t.cursors, ["harbor_id", "log"], self._own(cursor))

    def _record_all(self, connection: Connection, tellings: Sequence[Telling], now: datetime) -> Recorded:
        """In few statements, however many events there are: one for each would be most of a backlog's time."""
        if not tellings:
            return Recorded()
        named = [(telling.event.identity, each) for telling in tellings for each in self._spread(telling)]
        # Deliveries are told in the order of their ids; of an event that is there twice the first counts.
        events = dict[RowName | str, Event]()
        for identity, each in named:
            events.setdefault(identity, each.event)
        ids = self._write_events(connection, events, now)
        fresh: dict[tuple[int, str], Telling] = {}
        for identity, each in named:
            if (event_id := ids.get(identity)) is not None:
                fresh.setdefault((event_id, each.route or self._route), each)
        self._write_deliveries(connection, fresh, now)
        types = Counter(events[identity].type for identity in ids)
        return Recorded(types, Counter((route, telling.state) for (_, route), telling in fresh.items()))

    def _write_events(
        self, connection: Connection, events: Mapping[RowName | str, Event], now: datetime
    ) -> dict[RowName | str, int]:
        """The ids of those that were not recorded, by identity; ascending in the order in which they are to be told."""
        known = self._known_events(connection, events.keys())
        fresh = [identity for identity in events if identity not in known] if known else list(events)
        ids = dict(zip(fresh, self._new_ids(connection, len(fresh)), strict=True))
        at = bulk.moments(connection)
        seen_at, of_repository = at(now), cache(partial(_of_repository, at))  # few repositories make many rows
        rows = [
            (
                id_,
                self._harbor_id,
                seen_at,
                at(identity.op_time),
                *of_repository(event.repository),
                *_as_they_are(event),
            )
            for identity, id_ in ids.items()
            if isinstance(identity, RowName) and (event := events[identity])
        ]
        bulk.insert(connection, t.events, _ROW_COLUMNS, rows)
        common = {"harbor_id": self._harbor_id, "seen_at": now}
        others = [
            common | {"id": id_, "key": identity} | _columns(events[identity])
            for identity, id_ in ids.items()
            if isinstance(identity, str)
        ]
        if others:
            connection.execute(t.events.insert(), others)
        return ids

    def _new_ids(self, connection: Connection, count: int) -> Sequence[int]:
        if connection.dialect.name == "sqlite":
            last = connection.scalar(statements.LAST_EVENT) or 0
            return range(last + 1, last + 1 + count)
        return connection.scalars(statements.NEW_EVENTS, {"count": count}).all() if count else ()

    def _write_deliveries(
        self, connection: Connection, tellings: Mapping[tuple[int, str], Telling], now: datetime
    ) -> None:
        """What is alike for all of them is written by one statement."""
        fates = [self._fate(route, telling, now) for (_, route), telling in tellings.items()]
        ids = [event_id for event_id, _ in tellings]
        if fates and fates.count(fates[0]) == len(fates):
            same = dict(zip(_FATE, fates[0], strict=True))
            statement = statements.events_now(self._harbor_id, _FATE)
            connection.execute(statement, {"first": ids[0], "last": ids[-1], **same})
        elif fates:
            at = bulk.moments(connection)
            rows = [
                (event_id, *fate[:-_TIMES], *map(at, fate[-_TIMES:])) for event_id, fate in zip(ids, fates, strict=True)
            ]
            bulk.insert(connection, t.deliveries, ("event_id", *_FATE), rows)

    def _fate(self, route: str, telling: Telling, now: datetime) -> tuple[Any, ...]:
        finished_at = None if telling.state is DeliveryState.PENDING else now
        told_as = (route, telling.state, telling.reason, telling.mode, telling.group)
        return (*told_as, telling.since or now, telling.held_until, finished_at)

    def _delivery(self, event_id: int, telling: Telling, now: datetime) -> dict[str, Any]:
        fate = self._fate(telling.route or self._route, telling, now)
        return {"event_id": event_id, **dict(zip(_FATE, fate, strict=True))}

    def _known_events(self, connection: Connection, identities: Collection[RowName | str]) -> frozenset[RowName | str]:
        """Those that are recorded."""
        rows = [each for each in identities if isinstance(each, RowName)]
        keys = [each for each in identities if isinstance(each, str)]
        found = connection.scalars(statements.known_keys(self._harbor_id), {"keys": keys}) if keys else ()
        return frozenset(found) | self._known_rows(connection, rows)

    def _known_rows(self, connection: Connection, rows: Collection[RowName]) -> frozenset[RowName]:
        found = set[RowName]()
        for source in {row.source for row in rows}:
            ids = sorted({row.id for row in rows if row.source is source})
            for part in _parts(ids, 10_000):
                found |= {
                    RowName(source, row.source_id, row.occurred_at) for row in self._rows_with(connection, source, part)
                }
        return frozenset(found.intersection(rows))

    def _rows_with(self, connection: Connection, source: Source, ids: Sequence[int]) -> Iterable[Row[Any]]:
        """Ids and times of recorded rows, these at least. Ids in a row are found as a range, much quicker."""
        if ids[-1] - ids[0] < 2 * len(ids) + _FEW_OF_GROUP:
            between = statements.known_rows_between(self._harbor_id, source)
            return connection.execute(between, {"first": ids[0], "last": ids[-1]})
        return connection.execute(statements.known_rows(self._harbor_id, source), {"ids": ids})

    def _learn(self, connection: Connection, learnt: Changes) -> None:
        if learnt.tags:
            tags = sorted(learnt.tags, key=lambda tag: (tag.repository, tag.tag))
            connection.execute(self._upsert_tags(), [self._own(tag) for tag in tags])
        for repository in sorted(learnt.repositories, key=lambda each: each.name):
            self._upsert(connection, t.known_repositories, ["harbor_id", "name"], self._own(repository))
            if repository.deleted_at is not None:
                self._forget_creation(connection, repository.name, repository.deleted_at)
        projects = sorted(learnt.projects, key=lambda each: each.name)
        if projects:
            connection.execute(self._upsert_projects(), [self._own(project) for project in projects])
        reports = map(self._own, learnt.reports)
        self._upsert(connection, t.known_reports, ["harbor_id", "digest", "scanner"], *reports, unless_newer="ended_at")
        platforms = map(self._own, learnt.platforms)
        key = ["harbor_id", "repository", "digest"]
        self._upsert(connection, t.known_platforms, key, *platforms, unless_newer="at")
        self._upsert(connection, t.known_accessories, key, *map(self._own, learnt.accessories))

    def _forget_attached(self, connection: Connection, events: Iterable[Event]) -> None:
        """What was attached to a deleted image, or to a platform of it, is gone; so is what was itself deleted."""
        deletions = [
            {"in_repository": event.repository.full_name, "gone": event.digest, "gone_at": event.occurred_at}
            for event in events
            if event.type is EventType.DELETE_ARTIFACT and event.repository and event.digest
        ]
        if deletions:
            connection.execute(self._delete_attached(), deletions)

    @cache  # noqa: B019 -- a store lives as long as the program; building these takes longer than running them
    def _delete_attached(self) -> Any:
        attached, listed = t.known_accessories.c, t.known_platforms.c
        gone: Any = bindparam("gone")
        platforms = select(listed.digest).where(
            listed.harbor_id == self._harbor_id,
            listed.repository == bindparam("in_repository"),
            listed.index_digest == gone,
        )
        return delete(t.known_accessories).where(
            attached.harbor_id == self._harbor_id,
            attached.repository == bindparam("in_repository"),
            or_(attached.digest == gone, attached.subject == gone, attached.subject.in_(platforms)),
            attached.at <= bindparam("gone_at", type_=attached.at.type),
        )

    def _notice(self, connection: Connection, scans: Sequence[NoticedScan]) -> None:
        """Join what rows tell of scans with what is known; a scan that is done with stays as it is."""
        if not scans:
            return
        statement = self._insert(t.scans)
        new, known = statement.excluded, t.scans.c
        joined: dict[str, Any] = {
            column.name: func.coalesce(column, new[column.name]) for column in known if column.name not in _SCAN_KEPT
        }
        is_earlier = new.started_at < known.started_at
        joined["started_at"] = case((is_earlier, new.started_at), else_=joined["started_at"])
        is_of_robot = and_(new.repository.is_(None), new.ended_at.is_(None))  # its creation says nothing of when
        is_kept = or_(known.ended_at.is_not(None), and_(is_of_robot, known.look_at.is_not(None)))
        joined["look_at"] = case((is_kept, known.look_at), else_=func.coalesce(new.look_at, known.look_at))
        joined["outcome"] = case((new.outcome == Outcome.NO_SCAN, new.outcome), else_=known.outcome)
        statement = statement.on_conflict_do_update(
            index_elements=["harbor_id", "robot"], set_=joined, where=known.outcome == Outcome.RUNNING
        )
        connection.execute(statement, [self._own(scan) for scan in scans])
        for scan in scans:
            self._tell_of_no_scanner(connection, scan)

    def _tell_of_no_scanner(self, connection: Connection, scan: NoticedScan) -> None:
        """What a robot did that is no scanner's is told after all."""
        first = scan.started_at or scan.ended_at
        if scan.outcome is not Outcome.NO_SCAN or first is None:
            return
        its_own = select(t.events.c.id).where(
            t.events.c.harbor_id == self._harbor_id,
            t.events.c.occurred_at >= first - ROBOT_LIVES,
            or_(t.events.c.operator == scan.robot, t.events.c.subject == scan.robot),
        )
        self._spread_again(connection, and_(_FOLDED_INTO_SCAN, t.deliveries.c.event_id.in_(its_own)))

    def _move(self, connection: Connection, key: str, group: str, along: tuple[Event, ...]) -> None:
        """Tell what is pending of an event with another group, and where that goes."""
        if not along:
            self._change_pending(connection, self._is_key(key), group=group)
            return
        pending = and_(self._is_key(key), t.deliveries.c.state == DeliveryState.PENDING)
        self._spread_again(
            connection, pending, lambda tellings: [replace(each, group=group, along=along) for each in tellings]
        )

    def _spread_again(self, connection: Connection, which: Any, along: Along = list) -> int:
        """Let deliveries be pending on the routes that take their events, a portion at most. Returns how many.

        What was told on a route is not told there again.
        """
        of_delivery = ("mode", "since", "group", "held_until")
        columns = [t.deliveries.c[name] for name in ("route", *of_delivery)]
        query = statements.all_events(t.deliveries.c.id.label("delivery_id"), *columns).join(
            t.deliveries, t.deliveries.c.event_id == t.events.c.id
        )
        rows = connection.execute(query.where(which).order_by(t.deliveries.c.id).limit(_HELD_AT_ONCE)).all()
        fresh, moved = list[dict[str, Any]](), list[int]()
        facts = [{name: row._mapping[name] for name in of_delivery} for row in rows]
        pending = [Telling(_event(row), DeliveryState.PENDING, **f) for row, f in zip(rows, facts, strict=True)]
        for row, telling in zip(rows, along(pending), strict=True):
            tellings = self._spread(telling)
            found = {each["route"]: each for each in (self._delivery(row.id, each, row.seen_at) for each in tellings)}
            if (same := found.pop(row.route, None)) is not None:
                connection.execute(update(t.deliveries).where(t.deliveries.c.id == row.delivery_id).values(same))
            else:
                moved.append(row.delivery_id)
            fresh += found.values()
        for part in _parts(moved):
            connection.execute(delete(t.deliveries).where(t.deliveries.c.id.in_(part)))
        if fresh:
            insert = self._insert(t.deliveries).on_conflict_do_nothing(index_elements=["event_id", "route"])
            connection.execute(insert, fresh)
        return len(rows)

    def _follow(self, connection: Connection, scan: NoticedScan, result: Event) -> None:
        """What the scan's robot did, and what became of a list of materials before, is told by the result.

        If that is told nowhere, they are not told by the same setting.
        """
        d = t.deliveries.c
        told_by = connection.scalar(select(t.events.c.id).where(self._is_key(result.key)))
        told = connection.execute(select(d.state, d.reason).where(d.event_id == told_by).order_by(d.id)).all()
        values: dict[str, Any] = {"follows": told_by}
        if told and all(row.state == DeliveryState.OFF for row in told):
            values = {"state": DeliveryState.OFF, "reason": f"{SCANNERS_OWN}: {told[0].reason}"}
        for part in _parts(self._work_of(connection, scan, result)):
            found = connection.execute(select(d.id, d.follows).where(_FOLDED_INTO_SCAN, d.event_id.in_(part)))
            self._finish(connection, [row.id for row in found if row.follows is None], **values)

    def _work_of(self, connection: Connection, scan: NoticedScan, result: Event) -> list[int]:
        """The events of what the robot did, and of the lists' end. With an OR in between neither went by the times."""
        mine = select(t.events.c.id).where(t.events.c.harbor_id == self._harbor_id)
        is_robot = or_(t.events.c.operator == scan.robot, t.events.c.subject == scan.robot)
        lists = select(t.scans.c.list_digest).where(
            t.scans.c.harbor_id == self._harbor_id, t.scans.c.digest == scan.digest, t.scans.c.list_digest.is_not(None)
        )
        began = scan.started_at or result.occurred_at
        ended_lists = mine.where(
            t.events.c.type == EventType.DELETE_ARTIFACT,
            t.events.c.digest.in_(lists),
            t.events.c.occurred_at.between(began - MADE_ANEW, began),
        )
        return [
            *connection.scalars(mine.where(_when_at_work(scan), is_robot)),
            *connection.scalars(ended_lists),
        ]

    def _forget_creation(self, connection: Connection, repository: str, deleted_at: datetime) -> None:
        """Artifacts deleted with their repository have no creation date in the webhook, and rows come in any order."""
        connection.execute(
            update(t.events)
            .where(
                t.events.c.harbor_id == self._harbor_id,
                t.events.c.repository == repository,
                t.events.c.type == EventType.DELETE_ARTIFACT,
                t.events.c.occurred_at.between(deleted_at - SAME_DELETION, deleted_at + SAME_DELETION),
            )
            .values(repository_created_at=None)
        )

    def _cover(self, connection: Connection, coverage: Coverage) -> None:
        """Add a line to the ledger; a poll that follows the last line without a gap only makes that longer."""
        known = self._last_lines.pop(coverage.log, None)  # in vain if another one, or a transaction undone, changed it
        if known is not None and self._lengthen(connection, *known, coverage):
            return
        found = connection.execute(statements.last_line(self._harbor_id), {"log": coverage.log}).one_or_none()
        if found is not None and self._lengthen(connection, found.id, _coverage(found), coverage):
            return
        values = as_dict(coverage)
        values["duration_ms"] = round(values.pop("seconds") * 1000)
        connection.execute(t.polls.insert().values(harbor_id=self._harbor_id, **values))

    def _lengthen(self, connection: Connection, line: int, last: Coverage, more: Coverage) -> bool:
        """Whether the line could be made longer: it is still as it was, and says no more than the two together."""
        if not _continues(last, more):
            return False
        longer = replace(
            last,
            covered_to=more.covered_to,
            polls=last.polls + 1,
            rows=last.rows + more.rows,
            new=last.new + more.new,
            seconds=last.seconds + more.seconds,
        )
        is_as_it_was = {"line": line, "was_polled": last.polls, "was_covered_to": last.covered_to}
        if not connection.execute(statements.LENGTHEN_LINE, is_as_it_was | _columns_of_line(longer)).rowcount:
            return False
        self._last_lines[more.log] = line, longer
        return True

    def _gaps(self, which: Any) -> tuple[Gap, ...]:
        names = ("source", "reason", "began_at", "ended_at", "rows", "closed_at", "noticed_at", "told_at")
        query = select(*(t.gaps.c[name] for name in names)).where(t.gaps.c.harbor_id == self._harbor_id, which)
        with self._reading() as connection:
            rows = connection.execute(query.order_by(t.gaps.c.began_at, t.gaps.c.id))
            return tuple(Gap(**dict(row._mapping) | {"reason": Reason(row.reason)}) for row in rows)

    def _save_gap(self, connection: Connection, gap: Gap, now: datetime) -> None:
        """A gap is known by what is not seen, why, and since when."""
        mine = [
            t.gaps.c.harbor_id == self._harbor_id,
            t.gaps.c.source == gap.source,
            t.gaps.c.reason == gap.reason,
            t.gaps.c.began_at == gap.began_at,
        ]
        values = as_dict(gap) | {"noticed_at": gap.noticed_at or now}
        found = connection.scalar(select(t.gaps.c.id).where(*mine))
        if found is None:
            connection.execute(t.gaps.insert().values(harbor_id=self._harbor_id, **values))
        else:
            connection.execute(update(t.gaps).where(t.gaps.c.id == found).values(values))

    def _known(
        self, connection: Connection, table: Any, fact: type[_T], column: str, names: Collection[str]
    ) -> Iterator[_T]:
        """The facts with these names, each made of the columns that are called as its fields."""
        query = statements.named(table, field_names(fact), column, self._harbor_id)
        for part in _parts(sorted(names)):
            yield from (fact(*row) for row in connection.execute(query, {"names": part}))

    def _known_tags(
        self, connection: Connection, column: str, places: Collection[tuple[str, str]]
    ) -> Iterator[TagFact]:
        """By repository and a column; a repository at a time, or each would be looked for in all of them."""
        query = statements.tags(field_names(TagFact), column, self._harbor_id)
        for repository, some in groupby(sorted(places), key=itemgetter(0)):
            for part in _parts([value for _, value in some]):
                rows = connection.execute(query, {"in_repository": repository, "names": part})
                yield from (TagFact(*row) for row in rows)

    def _scans(self, query: Select[Any], **parameters: object) -> tuple[NoticedScan, ...]:
        with self._reading() as connection:
            return tuple(_scan(row) for row in connection.execute(query, parameters))

    def _platforms(self, repository: str, column: Any, values: Collection[str]) -> Iterator[PlatformFact]:
        mine = and_(t.known_platforms.c.harbor_id == self._harbor_id, t.known_platforms.c.repository == repository)
        with self._reading() as connection:
            for part in _parts(sorted(values)):
                for row in connection.execute(select(t.known_platforms).where(mine, column.in_(part))):
                    yield PlatformFact(**_without(row, "harbor_id"))

    def _accessories(self, repository: str, column: Any, values: Collection[str]) -> Iterator[AccessoryFact]:
        c = t.known_accessories.c
        with self._reading() as connection:
            for part in _parts(sorted(values)):
                query = select(t.known_accessories).where(
                    c.harbor_id == self._harbor_id, c.repository == repository, column.in_(part)
                )
                yield from (AccessoryFact(**_without(row, "harbor_id")) for row in connection.execute(query))

    def _pending_in(self, group: str) -> tuple[Any, ...]:
        """The deliveries that wait for their group: not those that are told for themselves."""
        return (statements.is_on(self._routes), *_waits_in(group))

    def _pending(self, mode: Mode) -> tuple[Any, ...]:
        return (
            statements.is_on(self._routes),
            t.deliveries.c.state == DeliveryState.PENDING,
            t.deliveries.c.mode == mode,
        )

    def _is_key(self, key: str) -> Any:
        c = t.events.c
        row = RowName.of_key(key)
        if row is None:
            return and_(c.harbor_id == self._harbor_id, c.key == key)
        is_then = c.occurred_at.between(row.op_time, row.op_time + _SAME_TIME)
        return and_(c.harbor_id == self._harbor_id, c.source == row.source, c.source_id == row.id, is_then)

    def _change_pending(self, connection: Connection, mine: Any, **values: Any) -> None:
        """Of the pending deliveries, on all routes, of the events that meet the condition."""
        told = t.deliveries.c.event_id.in_(select(t.events.c.id).where(mine))
        pending = t.deliveries.c.state == DeliveryState.PENDING
        connection.execute(update(t.deliveries).where(told, pending).values(values))

    def _events(self) -> Select[Any]:
        return statements.all_events().where(t.events.c.harbor_id == self._harbor_id)

    def _settle(self, connection: Connection, attempt: int | None) -> None:
        """What came of an attempt is known."""
        if attempt is not None:
            connection.execute(delete(t.attempts).where(t.attempts.c.id == attempt))

    def _finish(self, connection: Connection, ids: Sequence[int], **values: Any) -> None:
        for part in _parts(ids):
            connection.execute(update(t.deliveries).where(t.deliveries.c.id.in_(part)).values(values))

    def _ended(self, state: DeliveryState, ids: Sequence[int]) -> None:
        if ids:
            self._sink(Delivered(self._route, state, len(ids)))

    def _deliveries_of(self, connection: Connection, ids: Sequence[int]) -> dict[int, tuple[DeliveryRecord, ...]]:
        """By event. One that another tells of has the message of that, on the same route if it is told there."""
        answer: dict[int, tuple[DeliveryRecord, ...]] = {}
        query = select(t.deliveries).order_by(t.deliveries.c.id)
        for part in _parts(ids):
            rows = connection.execute(query.where(t.deliveries.c.event_id.in_(part))).all()
            told = self._messages_of(connection, {row.follows for row in rows if row.follows and not row.message_id})
            for row in rows:
                found = told.get(row.follows, {})
                chat_id, message_id = found.get(row.route) or next(iter(found.values()), (row.chat_id, row.message_id))
                record = replace(_delivery_record(row), chat_id=chat_id, message_id=message_id)
                answer[row.event_id] = (*answer.get(row.event_id, ()), record)
        return answer

    def _messages_of(self, connection: Connection, ids: Collection[int]) -> dict[int, dict[str, tuple[str, int]]]:
        """The chat and message that told of an event, {event: {route: …}}."""
        query = select(t.deliveries).where(t.deliveries.c.event_id.in_(ids), t.deliveries.c.message_id.is_not(None))
        found: dict[int, dict[str, tuple[str, int]]] = {}
        for row in connection.execute(query.order_by(t.deliveries.c.id)) if ids else ():
            found.setdefault(row.event_id, {})[row.route] = (row.chat_id, row.message_id)
        return found


def _told_with(chat_id: str, message_id: int, now: datetime) -> dict[str, Any]:
    attempts = t.deliveries.c.attempts + 1
    return {"chat_id": chat_id, "message_id": message_id, "finished_at": now, "attempts": attempts}


def _folded_into(message_id: int) -> dict[str, Any]:
    return {"state": DeliveryState.FOLDED, "reason": f"folded into message {message_id}"}


def _as_it_is(telling: Telling) -> Sequence[Telling]:
    return (telling,)


def _due(row: Row[Any]) -> Due:
    rest = (row.since, row.attempts, row.group, row.seen_at, row.held_until)
    return Due(row.delivery_id, _event(row), Mode(row.mode), *rest)


def _delivery_record(row: Row[Any]) -> DeliveryRecord:
    return DeliveryRecord(row.route, DeliveryState(row.state), row.reason, row.chat_id, row.message_id)


def _fate(row: Row[Any]) -> Fate:
    names = ("since", "attempts", "finished_at", "group", "held_until")
    return Fate(_delivery_record(row), Mode(row.mode), **{name: row._mapping[name] for name in names})


def _guard(connection: Connection, grant: Grant) -> None:
    """Refuse to write for who has lost the lease, and keep it from being lost until this transaction ends.

    PostgreSQL's lock is the weakest that holds up `take_lease`: beats pass, however long a transaction takes.
    """
    if connection.scalar(statements.guard(grant)) is None:
        raise _taken(grant)


def _taken(grant: Grant) -> LeaseTaken:
    return LeaseTaken(f"another process has taken over the work of the {grant.name} on this state database")


def _leases(name: str) -> Select[Any]:
    columns = (t.leases.c[column] for column in ("owner", "acquired_at", "expires_at", "epoch", "beats"))
    return select(*columns).where(t.leases.c.name == name)


def _lease(row: Row[Any] | None) -> Lease | None:
    return None if row is None or not row.owner else _lease_of(row)


def _lease_of(row: Row[Any]) -> Lease:
    return Lease(row.owner, row.acquired_at, row.expires_at, row.epoch, row.beats)


_FOLDED_INTO_SCAN = and_(
    t.deliveries.c.state.in_([DeliveryState.FOLDED, DeliveryState.OFF]),  # as it was called at first
    t.deliveries.c.reason.startswith(SCANNERS_OWN),  # with a setting by which it is not told
)


def _before_the_last_events() -> Any:
    """An id that so many events follow: what was recorded just before is found without a look at the rest."""
    return select(func.max(t.events.c.id) - _JUST_RECORDED).scalar_subquery()


def _when_at_work(scan: NoticedScan) -> Any:
    """When the scan's robot has left rows: by the index, as a scan-all has many results and there are many events.

    Its pull and its end say exactly when they were; its making, and the push of a list, only about when.
    """
    times = [time for time in (scan.started_at, scan.ended_at) if time is not None]
    occurred_at = t.events.c.occurred_at
    if not times or not (scan.asked_by or scan.list_digest):
        return occurred_at.in_(times)
    return occurred_at.between(min(times) - _MADE_BEFORE, max(times) + _WRITTEN_AFTER)


def _is_stray(telling: Collection[str]) -> Any:
    """Whether it waits on none of these routes."""
    return and_(t.deliveries.c.state == DeliveryState.PENDING, t.deliveries.c.route.not_in(sorted(telling)))


def _waits_in(group: str) -> tuple[Any, ...]:
    """What waits on any route for its group."""
    return (
        t.deliveries.c.group == group,
        t.deliveries.c.state == DeliveryState.PENDING,
        t.deliveries.c.mode != Mode.SINGLE,
    )


def _is_told_by(chat_id: str, message_id: int) -> Any:
    d = t.deliveries.c
    return and_(d.chat_id == chat_id, d.message_id == message_id, d.state.in_(_TOLD))


def _of_repository(at: bulk.Moments, repository: Repository | None) -> tuple[Any, ...]:
    if repository is None:
        return None, None, None
    return repository.full_name, repository.is_public, at(repository.created_at)


def _columns(event: Event) -> dict[str, Any]:
    """The columns of any other event."""
    repository = event.repository
    return {
        "type": event.type,
        "occurred_at": event.occurred_at,
        "source": event.source,
        "operator": event.operator,
        "repository": repository.full_name if repository else None,
        "is_public": repository.is_public if repository else None,
        "repository_created_at": repository.created_at if repository else None,
        "tag": event.tag,
        "digest": event.digest,
        "subject": event.subject,
        "scan_type": event.scan.scan_type if event.scan else None,
        "scan_overview": event.scan.overview if event.scan else None,
        "scan_details": _details(event),
        "coverage": msgspec.to_builtins(event.coverage or event.day),
    }


def _details(event: Event) -> dict[str, Any] | None:
    """What the webhook does not say of a scan, as far as there is anything."""
    if event.scan is None:
        return None
    bare = replace(event.scan, overview={}, scan_type=None)
    details = {} if bare == Scan({}, None) else msgspec.to_builtins(bare)
    return {name: value for name, value in details.items() if value and name != "overview"} or None


def _scan_of(row: Row[Any]) -> Scan | None:
    if row.scan_overview is None:
        return None
    said = {"overview": row.scan_overview, "scan_type": row.scan_type}
    return msgspec.convert((row.scan_details or {}) | said, Scan)


def _event(row: Row[Any]) -> Event:
    repository = Repository(row.repository, row.is_public, row.repository_created_at) if row.repository else None
    kind = _type_of(row.type)
    return Event(
        type=kind,
        occurred_at=row.occurred_at,
        operator=row.operator,
        source=Source(row.source),
        source_id=row.source_id or 0,
        registry=row.registry,
        repository=repository,
        tag=row.tag,
        digest=row.digest,
        subject=row.subject if kind == row.type else f"{row.type} {row.subject}".rstrip(),
        scan=_scan_of(row),
        coverage=msgspec.convert(row.coverage, CoverageNews) if row.coverage and kind is EventType.COVERAGE else None,
        day=msgspec.convert(row.coverage, Day) if row.coverage and kind is EventType.DAILY else None,
    )


def _type_of(word: str) -> EventType:
    """What a later version has recorded that was put back for this one is not understood, and no reason to fail."""
    return EventType(word) if word in EventType.__members__ else EventType.NOT_UNDERSTOOD


def _scan(row: Row[Any]) -> NoticedScan:
    values = _without(row, "harbor_id")
    return NoticedScan(**values | {"outcome": Outcome(row.outcome)})


def _with_tuples(fact: ReportFact) -> ReportFact:
    """As it was before JSON made lists of them."""
    return replace(fact, findings=tuple(fact.findings) if fact.findings is not None else None)


def _columns_of_line(line: Coverage) -> dict[str, Any]:
    """Those that change when it is made longer."""
    names = ("covered_to", "polls", "rows", "new")
    return {name: getattr(line, name) for name in names} | {"duration_ms": round(line.seconds * 1000)}


def _coverage(row: Row[Any]) -> Coverage:
    seconds = row.duration_ms / 1000
    return Coverage(row.log, row.covered_from, row.covered_to, row.rows, row.new, seconds, row.error, row.polls)


def _continues(last: Coverage, now: Coverage) -> bool:
    """Whether two lines say no more than one: silence, however long, or an hour's polls without a pause."""
    if last.error != now.error or last.covered_to != now.covered_from:
        return False
    is_quiet = last.new == 0 == now.new
    return is_quiet or (not _may_be_pause(last) and not _may_be_pause(now) and _span(last, now) <= _LONGEST_LINE)


def _may_be_pause(line: Coverage) -> bool:
    return line.polls == 1 and line.covered_to - line.covered_from > SHORT_PAUSE


def _span(first: Coverage, last: Coverage) -> timedelta:
    return last.covered_to - first.covered_from


def _without(row: Row[Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name not in names}


def _parts(values: Sequence[Any], size: int = 500) -> Iterable[Sequence[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))
