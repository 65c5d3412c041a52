"""What is asked at every poll or every second: put together once, as that takes longer than to run it.

What changes from one time to the next is a parameter, called as the argument that brings it.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, Update, and_, bindparam, case, exists, func, or_, select, update

from poller.events import EventType, Source
from state import schema as t
from state.records import DeliveryState, Grant, Mode, Outcome

ROUTES_OF_CHAT = select(t.routes).where(t.routes.c.chat_id == bindparam("chat_id"))

ACCEPTED_TIMES = (
    select(t.deliveries.c.finished_at)
    .where(
        t.deliveries.c.chat_id == bindparam("chat_id"),
        t.deliveries.c.state == DeliveryState.SENT,
        t.deliveries.c.finished_at >= bindparam("since"),
    )
    .order_by(t.deliveries.c.finished_at)
)
ATTEMPT_TIMES = (
    select(t.attempts.c.at)
    .where(t.attempts.c.chat_id == bindparam("chat_id"), t.attempts.c.at >= bindparam("since"))
    .order_by(t.attempts.c.at)
)
LENGTHEN_LINE = update(t.polls).where(
    t.polls.c.id == bindparam("line"),
    t.polls.c.polls == bindparam("was_polled"),
    t.polls.c.covered_to == bindparam("was_covered_to"),
)


def is_of(grant: Grant) -> ColumnElement[bool]:
    return and_(t.leases.c.name == grant.name, t.leases.c.owner == grant.owner, t.leases.c.epoch == grant.epoch)


@cache
def guard(grant: Grant) -> Select[Any]:
    return select(t.leases.c.epoch).where(is_of(grant)).with_for_update(read=True, key_share=True)


@cache
def beat(grant: Grant) -> Update:
    return update(t.leases).where(is_of(grant)).values(beats=t.leases.c.beats + 1, expires_at=bindparam("until"))


LAST_EVENT = select(func.max(t.events.c.id))
NEW_EVENTS = select(func.nextval("events_id_seq")).select_from(func.generate_series(1, bindparam("count")).alias())
"""PostgreSQL's, so many of them."""


def all_events(*more: Any) -> Select[Any]:
    return select(t.events, t.harbors.c.registry, *more).select_from(
        t.events.join(t.harbors, t.harbors.c.id == t.events.c.harbor_id)
    )


def is_on(routes: tuple[str, ...]) -> ColumnElement[bool]:
    return t.deliveries.c.route == routes[0] if len(routes) == 1 else t.deliveries.c.route.in_(routes)


def _is_due(routes: tuple[str, ...]) -> tuple[ColumnElement[bool], ...]:
    return (
        is_on(routes),
        t.deliveries.c.state == DeliveryState.PENDING,
        or_(t.deliveries.c.held_until.is_(None), t.deliveries.c.held_until <= bindparam("now")),
    )


@cache
def has_due(routes: tuple[str, ...]) -> Select[Any]:
    return select(exists().where(*_is_due(routes)))


@cache
def next_due(routes: tuple[str, ...]) -> Select[Any]:
    """`now` where anything is due; otherwise when the first of what waits will be, if anything does."""
    c = t.deliveries.c
    now: ColumnElement[Any] = bindparam("now", type_=c.held_until.type)
    first = select(func.min(c.held_until)).where(is_on(routes), c.state == DeliveryState.PENDING)
    return select(case((has_due(routes).scalar_subquery(), now), else_=first.scalar_subquery()))


@cache
def due(routes: tuple[str, ...]) -> Select[Any]:
    c = t.deliveries.c
    return (
        all_events(c.id.label("delivery_id"), c.mode, c.since, c.attempts, c.group, c.held_until)
        .join(t.deliveries, c.event_id == t.events.c.id)
        .where(*_is_due(routes))
        .order_by(c.id)
        .limit(bindparam("most"))
    )


@cache
def due_behind(routes: tuple[str, ...], types: Collection[EventType]) -> Select[Any]:
    """What comes after a delivery, and is important or of one of these types."""
    is_important = or_(t.deliveries.c.mode == Mode.IMPORTANT, t.events.c.type.in_(types))
    return due(routes).where(t.deliveries.c.id > bindparam("last"), is_important)


@cache
def of_harbor(table: Table, harbor_id: int) -> Select[Any]:
    return select(table).where(table.c.harbor_id == harbor_id)


@cache
def named(table: Table, columns: tuple[str, ...], column: str, harbor_id: int) -> Select[Any]:
    query = select(*(table.c[name] for name in columns)).where(table.c.harbor_id == harbor_id)
    return query.where(table.c[column].in_(bindparam("names", expanding=True)))


@cache
def tags(columns: tuple[str, ...], column: str, harbor_id: int) -> Select[Any]:
    """Those of a repository, by the tag or by what it points at."""
    query = named(t.known_tags, columns, column, harbor_id)
    return query.where(t.known_tags.c.repository == bindparam("in_repository"))


@cache
def harbor(harbor_id: int) -> Select[Any]:
    c = t.harbors.c
    return select(c.registry, c.detected, c.detected_at).where(c.id == harbor_id)


@cache
def lock_of_harbor(harbor_id: int) -> Select[Any]:
    c = t.harbors.c
    return select(c.id).where(c.id == harbor_id).with_for_update(key_share=True)


@cache
def known_keys(harbor_id: int) -> Select[Any]:
    c = t.events.c
    return select(c.key).where(c.harbor_id == harbor_id, c.key.in_(bindparam("keys", expanding=True)))


@cache
def known_rows(harbor_id: int, source: Source) -> Select[Any]:
    """Ids and times of the recorded rows among these ids."""
    c = t.events.c
    return _rows(harbor_id, source).where(c.source_id.in_(bindparam("ids", expanding=True)))


@cache
def known_rows_between(harbor_id: int, source: Source) -> Select[Any]:
    c = t.events.c
    return _rows(harbor_id, source).where(c.source_id.between(bindparam("first"), bindparam("last")))


def _rows(harbor_id: int, source: Source) -> Select[Any]:
    c = t.events.c
    return select(c.source_id, c.occurred_at).where(c.harbor_id == harbor_id, c.source == source)


@cache
def events_now(harbor_id: int, columns: tuple[str, ...]) -> Any:
    """For events that were recorded just now, and are to be told alike: what is to become of them."""
    same = [bindparam(name, type_=t.deliveries.c[name].type).label(name) for name in columns]
    c = t.events.c
    # Not by an index of the Harbor's events: SQLite would go through all of them.
    new = select(c.id, *same).where(c.harbor_id + 0 == harbor_id, c.id.between(bindparam("first"), bindparam("last")))
    return t.deliveries.insert().from_select(["event_id", *columns], new.order_by(c.id))


@cache
def recent_rows(harbor_id: int, source: Source, *, has_since: bool) -> Select[Any]:
    c = t.events.c
    query = (
        select(c.source_id, c.seen_at)
        .where(
            c.harbor_id == harbor_id,
            c.source == source,
            c.source_id > bindparam("above"),
            c.source_id <= bindparam("up_to"),
        )
        .order_by(c.source_id.desc())
        .limit(bindparam("most"))
    )
    return query.where(c.seen_at >= bindparam("since")) if has_since else query


@cache
def first_fresh(harbor_id: int, source: Source, *, has_since: bool) -> Select[Any]:
    """The lowest id of the recent rows that were seen since then."""
    c = recent_rows(harbor_id, source, has_since=has_since).subquery().c
    return select(func.min(c.source_id)).where(c.seen_at >= bindparam("fresh_since"))


@cache
def last_before(harbor_id: int, source: Source, *, has_since: bool) -> Select[Any]:
    """The id of the recent row before that one."""
    c = recent_rows(harbor_id, source, has_since=has_since).subquery().c
    return select(func.max(c.source_id)).where(c.source_id < bindparam("first"))


@cache
def scans_due(harbor_id: int) -> Select[Any]:
    c = t.scans.c
    return (
        of_harbor(t.scans, harbor_id)
        .where(c.outcome == Outcome.RUNNING, c.repository.is_not(None), c.look_at <= bindparam("now"))
        .order_by(c.look_at)
        .limit(bindparam("most"))
    )


@cache
def unexplained_scans(harbor_id: int, *, is_new: bool) -> Select[Any]:
    c = t.scans.c
    query = of_harbor(t.scans, harbor_id).where(
        c.outcome == Outcome.RUNNING, c.repository.is_(None), c.ended_at >= bindparam("since")
    )
    return query.where(c.looks == 0) if is_new else query


@cache
def has_scans(harbor_id: int) -> Select[Any]:
    """Whether a result may be read, an end explained, or a wave ended."""
    due, unexplained = scans_due(harbor_id).limit(None).order_by(None), unexplained_scans(harbor_id, is_new=True)
    return select(or_(due.exists(), unexplained.exists(), of_harbor(t.waves, harbor_id).exists()))


@cache
def last_line(harbor_id: int) -> Select[Any]:
    """Of the ledger of a log, by the index: it may be long."""
    c = t.polls.c
    mine = of_harbor(t.polls, harbor_id).where(c.log == bindparam("log"))
    return mine.order_by(c.covered_from.desc(), c.id.desc()).limit(1)
