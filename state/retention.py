"""What the state forgets, and what it keeps of that for ever: a bit for each row that has been told.

Functions of an open transaction. Each forgets a portion at most, so that a poll never waits long for the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, and_, bindparam, delete, func, or_, select, tuple_, update

from poller.events import LOGS, RowName, Source
from state import bitmap
from state import schema as t
from state.records import PAST, DeliveryState, Outcome

PORTION = 5000
_READ_AGAIN = 2500
"""Rows so near to their log's cursor may be read again: more than `reading.MOST_GAP`."""
_ID_PARTS = 500


class Retention(msgspec.Struct, frozen=True):
    """What is older than `before` may be forgotten. `is_swept`: whether the sweep goes on meeting artifacts.

    `threads_before`: the same of threads, which nothing joins any more after days.
    """

    harbor_id: int
    before: datetime
    is_swept: bool = True
    threads_before: datetime | None = None

    def forget_events(self, connection: Connection) -> int:
        """Forget events that are told and cannot be news again: their rows' bits stay. Returns how many they were."""
        conditions = self._passed_events(connection)
        if conditions is None:
            return 0
        events = t.events.c
        found = connection.execute(
            select(events.id, events.source, events.source_id).where(*conditions).limit(PORTION)
        ).all()
        self._raise_horizon(connection)
        self._remember_rows(connection, found)
        _delete_events(connection, [row.id for row in found])
        return len(found)

    def forget_the_rest(self, connection: Connection) -> int:
        """A portion of each other table. Returns the largest one."""
        self._raise_horizon(connection)
        return max(_delete(connection, table, conditions) for table, *conditions in self._rest())

    def _passed_events(self, connection: Connection) -> tuple[Any, ...] | None:
        """An audit row can be met by a poll only near its log's cursor; None before the first poll."""
        events, cursors = t.events.c, t.cursors.c
        places = connection.execute(
            select(cursors.log, cursors.row_id).where(cursors.harbor_id == self.harbor_id)
        ).all()
        if not places:
            return None
        newest: dict[str, int] = {}  # of each table, over all projects
        for log, row_id in places:
            table = log.partition("/")[0]
            newest[table] = max(row_id, newest.get(table, row_id))
        pending = select(t.deliveries.c.event_id).where(t.deliveries.c.state == DeliveryState.PENDING)
        is_witness = events.source_id.in_([place.row_id for place in places])  # read again at every poll
        passed = (
            and_(events.source == log, events.source_id < row_id - _READ_AGAIN, ~is_witness)
            for log, row_id in newest.items()
        )
        return (
            events.harbor_id == self.harbor_id,
            events.occurred_at < self.before,
            events.seen_at < self.before,
            events.id.not_in(pending),
            or_(events.source.not_in(LOGS), *passed),
        )

    def _rest(self) -> Iterator[tuple[Any, ...]]:
        """Each table with the conditions under which its rows may go."""
        tags, repositories, scans = t.known_tags.c, t.known_repositories.c, t.scans.c
        is_window = t.polls.c.log.not_like(f"{PAST}%")  # what backfills have read is a line for each, and stays
        yield t.polls, self._is_mine(t.polls), t.polls.c.covered_to < self.before, is_window
        yield t.gaps, self._is_mine(t.gaps), t.gaps.c.closed_at < self.before
        is_done = or_(scans.outcome != Outcome.RUNNING, scans.repository.is_(None))
        yield t.scans, self._is_mine(t.scans), is_done, scans.look_at < self.before
        yield t.known_reports, *self._unmet_reports()
        yield t.known_tags, self._is_mine(t.known_tags), tags.digest.is_(None), tags.at < self.before
        is_gone = and_(repositories.created_at.is_(None), repositories.deleted_at < self.before)
        yield t.known_repositories, self._is_mine(t.known_repositories), is_gone
        is_old = t.known_projects.c.checked_at < self.before  # it would be asked for anew anyway
        yield t.known_projects, self._is_mine(t.known_projects), is_old
        yield t.known_platforms, *self._lost_platforms()
        yield t.known_accessories, *self._lost_accessories()
        yield t.threads, self._is_mine(t.threads), t.threads.c.last_at < (self.threads_before or self.before)
        yield t.attempts, t.attempts.c.at < self.before

    def _unmet_reports(self) -> tuple[Any, ...]:
        """Results of artifacts that a whole round of the sweep has not met, or that nobody has met for so long.

        Met again they are no news: they ended before the horizon, too, by whichever clock.
        """
        reports, sweeps = t.known_reports.c, t.sweeps.c
        rounds = select(sweeps.round_before_at).where(sweeps.harbor_id == self.harbor_id).scalar_subquery()
        is_old = and_(reports.seen_at < self.before, reports.ended_at < self.before)
        is_mine = self._is_mine(t.known_reports)
        return (is_mine, is_old, reports.seen_at < rounds) if self.is_swept else (is_mine, is_old)

    def _lost_platforms(self) -> tuple[Any, ...]:
        """Platforms of images that no tag points at, nor did before: whoever asks for one has it learnt again."""
        platforms, tags = t.known_platforms.c, t.known_tags.c
        old = select(platforms.repository, platforms.index_digest).where(
            self._is_mine(t.known_platforms), platforms.at < self.before
        )
        pointed = (
            select(tags.repository, digest).where(self._is_mine(t.known_tags))
            for digest in (tags.digest, tags.previous)
        )
        lost = old.except_(*pointed)  # in one go: image by image would take long where a repository has many tags
        return self._is_mine(t.known_platforms), tuple_(platforms.repository, platforms.index_digest).in_(lost)

    def _lost_accessories(self) -> tuple[Any, ...]:
        """What was attached to images that no tag points at, nor did before, and that are no platform of one."""
        accessories, tags, platforms = t.known_accessories.c, t.known_tags.c, t.known_platforms.c
        old = select(accessories.repository, accessories.subject).where(
            self._is_mine(t.known_accessories), accessories.at < self.before
        )
        images = (
            *(
                select(tags.repository, digest).where(self._is_mine(t.known_tags))
                for digest in (tags.digest, tags.previous)
            ),
            select(platforms.repository, platforms.digest).where(self._is_mine(t.known_platforms)),
        )
        lost = old.except_(*images)
        is_lost = tuple_(accessories.repository, accessories.subject).in_(lost)
        return self._is_mine(t.known_accessories), accessories.at < self.before, is_lost

    def _is_mine(self, table: Table) -> Any:
        return table.c.harbor_id == self.harbor_id

    def _raise_horizon(self, connection: Connection) -> None:
        """It never goes back, whatever `keep` is set to."""
        is_lower = func.coalesce(t.harbors.c.pruned_before < self.before, True)
        mine = update(t.harbors).where(t.harbors.c.id == self.harbor_id, is_lower)
        connection.execute(mine.values(pruned_before=self.before))

    def _remember_rows(self, connection: Connection, events: Collection[Any]) -> None:
        for source in LOGS:
            ids = (row.source_id for row in events if row.source == source)
            for block, rows in bitmap.by_block(ids).items():
                self._add_bits(connection, source, block, rows)

    def _add_bits(self, connection: Connection, source: Source, block: int, ids: Collection[int]) -> None:
        values = {"harbor_id": self.harbor_id, "source": source, "block": block}
        here = and_(*(t.pruned_rows.c[name] == value for name, value in values.items()))
        known = connection.scalar(select(t.pruned_rows.c.bits).where(here))
        bits = bitmap.with_ids(known, ids)
        if known is None:
            connection.execute(t.pruned_rows.insert().values(**values, bits=bits))
        else:
            connection.execute(update(t.pruned_rows).where(here).values(bits=bits))


def horizon(connection: Connection, harbor_id: int) -> datetime | None:
    """What is older may have been forgotten."""
    found: datetime | None = connection.scalar(select(t.harbors.c.pruned_before).where(t.harbors.c.id == harbor_id))
    return found


def forgotten(connection: Connection, harbor_id: int, rows: Collection[RowName]) -> Iterator[RowName]:
    """Those of the rows whose events were recorded and forgotten.

    Only what is older than the horizon is looked for: ids come again after Harbor was restored or installed anew.
    """
    before = horizon(connection, harbor_id)
    old = [row for row in rows if before is not None and row.op_time < before]
    bits = _bits(connection, harbor_id, {(row.source, row.id // bitmap.BLOCK) for row in old})
    for row in old:
        found = bits.get((row.source, row.id // bitmap.BLOCK))
        if found is not None and bitmap.held(found, [row.id]):
            yield row


def _bits(
    connection: Connection, harbor_id: int, blocks: Collection[tuple[Source, int]]
) -> dict[tuple[Source, int], bytes]:
    rows = t.pruned_rows.c
    query = select(rows.source, rows.block, rows.bits).where(rows.harbor_id == harbor_id)
    found = [
        connection.execute(query.where(rows.source == source, rows.block == block)).one_or_none()
        for source, block in blocks
    ]
    return {(Source(row.source), row.block): row.bits for row in found if row is not None}


def _delete_events(connection: Connection, ids: Sequence[int]) -> None:
    for start in range(0, len(ids), _ID_PARTS):
        part = ids[start : start + _ID_PARTS]
        connection.execute(delete(t.deliveries).where(t.deliveries.c.event_id.in_(part)))
        connection.execute(delete(t.events).where(t.events.c.id.in_(part)))


def _delete(connection: Connection, table: Table, conditions: Collection[Any]) -> int:
    """At most a portion of the rows that meet all of the conditions, each by its key: SQLite would go through all."""
    key = tuple(table.primary_key)
    found = connection.execute(select(*key).where(*conditions).limit(PORTION)).all()
    if found:
        mine = (column == bindparam(f"of_{column.name}") for column in key)
        names = [f"of_{column.name}" for column in key]
        connection.execute(delete(table).where(*mine), [dict(zip(names, row, strict=True)) for row in found])
    return len(found)
