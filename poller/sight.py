"""What cannot be seen: when that begins, when it ends, and what was lost by it. Each is told once, in one line.

Harbor says nothing of it: an account without rights is answered an empty list, purged rows are just not there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby

from poller.errors import PollerError, WrongCredentials
from poller.events import PASSING, CoverageNews, Event, EventType, Gap, Phase, Reason, Source
from poller.logs import Log as Logger
from poller.rows import AuditRow
from state import Cursor, Store, Telling

ACCOUNT = "account"
OPERATOR = "harbor-poller"  # what the state names as the doer of what this program noticed itself

CLOSED_FOR = timedelta(seconds=60)
"""A log that was not read for so long, although others were or Harbor answered, is closed to us."""
GONE_FOR_GOOD = timedelta(days=30)
REFUSED_FOR = timedelta(minutes=5)
"""A name may be refused for a while after somebody else's failed login."""
READ_TOGETHER = timedelta(minutes=10)
"""A log that was last read so long before the others was given up on purpose, such as with another account."""
SHORTEST_PURGE = timedelta(hours=1)
"""Harbor never purges rows that are younger."""
MANY_MISSING = 10
"""So few ids may be missing because writing their rows failed."""

_log = Logger(__name__)


class Sight:
    """Keeps the gaps in the state, and tells of them."""

    def __init__(self, store: Store, decide: Callable[[Event], Telling], projects: Collection[str]) -> None:
        self._store = store
        self._decide = decide
        self._projects = frozenset(projects)
        self._open: tuple[Gap, ...] | None = None

    @property
    def open(self) -> tuple[Gap, ...]:
        """What is not seen now."""
        if self._open is None:
            self._open = self._store.open_gaps()
        return self._open

    def is_open(self, reason: Reason) -> bool:
        return any(gap.reason is reason for gap in self.open)

    # -- what the polls see -------------------------------------------------------------------------

    def polled(self, read: Collection[str | None], now: datetime) -> None:
        """A poll has read the logs of these projects; None: the whole log."""
        self.end([gap for gap in self.open if _is_seen(gap, read)], now, now)
        if None not in read:
            self._note_closed(read, now)
        self.end([gap for gap in self.open if self._is_given_up(gap, now)], now, now, is_told=False)

    def _is_given_up(self, gap: Gap, now: datetime) -> bool:
        """A project that nobody wants any more, or that is gone for so long that it was deleted on purpose."""
        is_unwanted = bool(self._projects) and gap.project not in self._projects
        return gap.reason is Reason.PROJECT_CLOSED and (is_unwanted or now - gap.began_at >= GONE_FOR_GOOD)

    def refused(self, error: PollerError, now: datetime) -> None:
        """Harbor answered, and would not let us read a thing."""
        cursors = self._store.cursors().values()
        if not isinstance(error, WrongCredentials):
            self._note_closed((), now)
        elif cursors and now - (last := max(cursor.polled_at for cursor in cursors)) >= REFUSED_FOR:
            self.begin([Gap(ACCOUNT, Reason.ACCOUNT_REFUSED, last)], now)

    def _note_closed(self, read: Collection[str | None], now: datetime) -> None:
        self.begin(closed(self._store.cursors(), read, self._projects, now), now)

    # -- beginnings and ends ------------------------------------------------------------------------

    def begin(self, gaps: Iterable[Gap], now: datetime) -> None:
        """From now on that is not seen; what is known already is not told again."""
        known = {(gap.source, gap.reason) for gap in self.open}
        fresh = [gap for gap in gaps if (gap.source, gap.reason) not in known]
        for reason, group in _by_reason(fresh):
            _log.warning("coverage.lost", reason=reason, sources=_sources(group), since=group[0].began_at)
            self._save(Phase.BEGAN, group, now)

    def end(self, gaps: Iterable[Gap], ended_at: datetime, now: datetime, *, is_told: bool = True) -> None:
        """That is seen again. Of what passes, everything was read meanwhile."""
        ended = [
            replace(gap, ended_at=max(ended_at, gap.began_at), closed_at=now if gap.reason in PASSING else None)
            for gap in gaps
        ]
        for reason, group in _by_reason(ended):
            _log.info("coverage.regained", reason=reason, sources=_sources(group), since=group[0].began_at)
            self._save(Phase.ENDED, group, now, is_told=is_told)

    def found(self, gap: Gap, now: datetime) -> None:
        """Something is lost, or was not seen, and that is over."""
        _log.warning("coverage.gap", reason=gap.reason, source=gap.source, since=gap.began_at, until=gap.ended_at)
        self._save(Phase.FOUND, [gap], now)

    def _save(self, phase: Phase, gaps: list[Gap], now: datetime, *, is_told: bool = True) -> None:
        tellings = [self._decide(news_of(phase, gaps))] if is_told else []
        self._store.record(tellings, now=now, gaps=gaps)
        self._open = None


# -- decisions --------------------------------------------------------------------------------------


def closed(
    cursors: Mapping[str, Cursor], read: Collection[str | None], projects: frozenset[str], now: datetime
) -> list[Gap]:
    """Logs that were read until a while ago, and are not any more. `read`: of which projects the log was read now.

    `projects`: the configured ones, if any: then nobody needs the whole log, as long as those are read.
    """
    newest = max((cursor.polled_at for cursor in cursors.values()), default=now)
    lately = sorted(cursors.values(), key=lambda cursor: cursor.polled_at)
    places = {_project(c.log): c for c in lately if newest - c.polled_at < READ_TOGETHER}
    whole = places.pop(None, None)
    gaps = [Gap(c.log, Reason.PROJECT_CLOSED, c.polled_at) for name, c in places.items() if name not in read]
    if whole is not None and projects:
        gaps = [Gap(f"{whole.log}/{name}", Reason.PROJECT_CLOSED, whole.polled_at) for name in projects - set(read)]
    elif whole is not None:
        gaps = [Gap(whole.log, Reason.NO_RIGHTS, whole.polled_at)] if _is_proven(whole, cursors, now) else []
    return [gap for gap in gaps if now - gap.began_at >= CLOSED_FOR and (not projects or gap.project in projects)]


def _is_proven(whole: Cursor, cursors: Mapping[str, Cursor], now: datetime) -> bool:
    """Up to 2.12 a robot without the right and an empty log look alike: is there a row that should be visible?"""
    if whole.log != Source.OLD_LOG or not may_be_purged(whole, now):
        return True
    return any(c.op_time is not None and whole.op_time and c.op_time > whole.op_time for c in cursors.values())


def may_be_purged(cursor: Cursor, now: datetime) -> bool:
    """Whether the newest row that was read is so old that Harbor may have purged it."""
    return cursor.op_time is not None and now - cursor.op_time >= SHORTEST_PURGE


def purged(
    cursor: Cursor, first: AuditRow | None, now: datetime, *, sees_every_row: bool, is_there: bool
) -> Gap | None:
    """The gap between the last row that was read and the first that is left, if Harbor may have purged rows in it.

    `is_there`: whether the last row itself is still there, as some kinds of rows are never purged.
    """
    if now - cursor.polled_at < SHORTEST_PURGE or not cursor.row_id:
        return None
    missing = first.id - cursor.row_id - 1 if first is not None and sees_every_row else None
    if missing is None and is_there:
        return None
    if missing is not None and missing < (MANY_MISSING if is_there else 1):
        return None
    until = first.op_time if first is not None else now - SHORTEST_PURGE
    return Gap(cursor.log, Reason.PURGED, cursor.polled_at, max(until, cursor.polled_at), rows=missing)


def restored(cursor: Cursor, newest: AuditRow | None, now: datetime) -> Gap | None:
    """That Harbor's database was put back, if that is what the loss of our newest row means: rows so young are not
    purged, and purging makes no ids come again."""
    assert cursor.op_time is not None
    is_again = newest is not None and newest.id <= cursor.row_id and newest.op_time > cursor.op_time
    if not is_again and now - cursor.op_time >= SHORTEST_PURGE:
        return None
    return Gap(cursor.log.partition("/")[0], Reason.RESTORED, cursor.polled_at, now)


def news_of(phase: Phase, gaps: Iterable[Gap]) -> Event:
    """The event that tells of gaps with the same reason."""
    told = tuple(gaps)
    last = max(gap.ended_at or gap.began_at for gap in told)
    return Event(
        type=EventType.COVERAGE,
        occurred_at=last,
        operator=OPERATOR,
        source=Source.WATCH,
        source_id=0,
        subject=f"{told[0].reason}: {_sources(told)}",
        coverage=CoverageNews(phase, told),
    )


def _is_seen(gap: Gap, read: Collection[str | None]) -> bool:
    if gap.reason not in PASSING:
        return False
    return gap.reason is Reason.ACCOUNT_REFUSED or None in read or (gap.project or None) in read


def _project(log: str) -> str | None:
    return log.partition("/")[2] or None


def _by_reason(gaps: Iterable[Gap]) -> list[tuple[Reason, list[Gap]]]:
    ordered = sorted(gaps, key=lambda gap: (gap.reason, gap.source))
    return [(reason, list(group)) for reason, group in groupby(ordered, key=lambda gap: gap.reason)]


def _sources(gaps: Iterable[Gap]) -> str:
    return ", ".join(gap.source for gap in gaps)
