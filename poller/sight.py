"""What cannot be seen: when that begins, when it ends, and what was lost by it. Each is told once, in one line.

Harbor says nothing of it: an account without rights is answered an empty list, purged rows are just not there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from poller.errors import PollerError, WrongCredentials
from poller.events import PASSING, CoverageNews, Event, EventType, Gap, Phase, Reason, Source
from poller.knowledge import LONG_AGO
from poller.logs import Log as Logger
from poller.rows import AuditRow
from poller.values import replace
from state import Cursor, Store, Telling

ACCOUNT = "account"
OPERATOR = "harbor-poller"  # what the state names as the doer of what this program noticed itself

GONE_FOR_GOOD = timedelta(days=30)
"""A project that cannot be read for so long was deleted on purpose, or given up."""
SHORTEST_PURGE = timedelta(hours=1)
"""Harbor never purges rows that are younger."""
MANY_MISSING = 33
"""So few ids may be missing because rows were not written, or PostgreSQL was restarted and left some out."""

_log = Logger(__name__)


class Sight:
    """Keeps the gaps in the state, and tells of them: each is written down at once, and told when it is certain."""

    def __init__(self, store: Store, decide: Callable[[Event], Telling], projects: Collection[str]) -> None:
        self._store = store
        self._decide = decide
        self._projects = frozenset(projects)
        self._open: tuple[Gap, ...] | None = None
        self._has_untold = True

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
        """A poll has read the logs of these projects to their end; None: the whole log."""
        self.end([gap for gap in self.open if _is_seen(gap, read)], now)
        if None not in read:
            self._note_closed(read, now)
        self.give_up([gap for gap in self.open if self._is_given_up(gap, read, now)], now)

    def refused(self, error: PollerError, now: datetime) -> None:
        """Harbor answered, and would not let us read a thing."""
        cursors = self._store.cursors().values()
        if not isinstance(error, WrongCredentials):
            self._note_closed((), now)
        elif cursors:
            self.begin([Gap(ACCOUNT, Reason.ACCOUNT_REFUSED, max(cursor.polled_at for cursor in cursors))], now)

    def blind(self, now: datetime) -> None:
        """The log is empty for us, although the registry shows that it cannot be."""
        self._note_closed((), now, is_proven=True)

    def _note_closed(self, read: Collection[str | None], now: datetime, *, is_proven: bool = False) -> None:
        _, detected, _ = self._store.harbor()
        since = datetime.fromisoformat((detected or {}).get("account_since", LONG_AGO.isoformat()))
        cursors = [cursor for cursor in self._store.cursors().values() if cursor.polled_at >= since]
        self.begin(closed(cursors, read, self._projects, now, is_proven=is_proven), now)

    def _is_given_up(self, gap: Gap, read: Collection[str | None], now: datetime) -> bool:
        """What nobody wants to see any more, or what is gone for so long that this was meant."""
        if gap.reason is Reason.NO_RIGHTS:
            return bool(self._projects) and self._projects <= set(read)
        is_unwanted = bool(self._projects) and gap.project not in self._projects
        return gap.reason is Reason.PROJECT_CLOSED and (is_unwanted or now - gap.began_at >= GONE_FOR_GOOD)

    # -- beginnings and ends ------------------------------------------------------------------------

    def begin(self, gaps: Iterable[Gap], now: datetime) -> None:
        """From now on that is not seen; what is known already is not written down again."""
        known = {(gap.source, gap.reason) for gap in self.open}
        fresh = [replace(gap, noticed_at=now) for gap in gaps if (gap.source, gap.reason) not in known]
        for reason, group in _by_reason(fresh):
            _log.warning("coverage.lost", reason=reason, sources=_sources(group), since=group[0].began_at)
        if fresh:
            self._write(fresh, now)

    def end(self, gaps: Iterable[Gap], now: datetime) -> None:
        """That is seen again; of what passes, everything was read meanwhile. What nobody was told of ends silently."""
        ended = [
            replace(gap, ended_at=max(now, gap.began_at), closed_at=now if gap.reason in PASSING else None)
            for gap in gaps
        ]
        for reason, group in _by_reason(ended):
            _log.info("coverage.regained", reason=reason, sources=_sources(group), since=group[0].began_at)
            told = [gap for gap in group if gap.told_at is not None]
            tellings = [self._decide(news_of(Phase.ENDED, told))] if told else []
            self._write([replace(gap, told_at=gap.told_at or now) for gap in group], now, tellings)

    def found(self, gap: Gap, now: datetime) -> None:
        """Something is lost, or was not seen, and that is over."""
        _log.warning("coverage.gap", reason=gap.reason, source=gap.source, since=gap.began_at, until=gap.ended_at)
        self._write([replace(gap, noticed_at=now)], now)

    def give_up(self, gaps: Sequence[Gap], now: datetime) -> None:
        """Nobody can tell any more, or wants to know."""
        if gaps:
            self._write([replace(gap, ended_at=now, told_at=gap.told_at or now) for gap in gaps], now)

    def tell(self, now: datetime, *, is_after_poll: bool = False) -> None:
        """Tell of what is certain by now; what has the same reason in one message.

        That something cannot be read is certain only after a further poll.
        """
        if not self._has_untold:
            return
        untold = self._store.untold_gaps()
        sure = [gap for gap in untold if is_after_poll or gap.reason not in PASSING]
        due = [gap for gap in sure if _is_certain(gap, now) and not self._is_one_of_many(gap)]
        for phase, gaps in (
            (Phase.FOUND, [g for g in due if g.ended_at]),
            (Phase.BEGAN, [g for g in due if not g.ended_at]),
        ):
            for _, group in _by_reason(gaps):
                self._write([replace(gap, told_at=now) for gap in group], now, [self._decide(news_of(phase, group))])
        self._has_untold = bool(untold)

    def _is_one_of_many(self, gap: Gap) -> bool:
        """Of a scanner that serves many projects one is named."""
        is_told = any(each.reason is gap.reason and each.told_at for each in self.open)
        return gap.reason is Reason.SCANNER_OFF and is_told

    def _write(self, gaps: Sequence[Gap], now: datetime, tellings: Sequence[Telling] = ()) -> None:
        self._store.record(tellings, now=now, gaps=gaps)
        self._open, self._has_untold = None, True


CERTAIN_AFTER = {
    Reason.ACCOUNT_REFUSED: timedelta(minutes=5),  # somebody else's failed login locks a name for a while
    Reason.NO_RIGHTS: timedelta(seconds=60),
    Reason.PROJECT_CLOSED: timedelta(seconds=60),
    Reason.SCANNER_OFF: timedelta(minutes=6),  # until it was looked at once more
}


# -- decisions --------------------------------------------------------------------------------------


def closed(
    cursors: Collection[Cursor],
    read: Collection[str | None],
    projects: frozenset[str],
    now: datetime,
    *,
    is_proven: bool = False,
) -> list[Gap]:
    """Logs that this account has read, and does not now. `read`: of which projects the log was read now.

    `projects`: the configured ones, if any: then nobody needs the whole log, as long as those are read. `is_proven`:
    that there are rows which we do not see.
    """
    newest = max((cursor.polled_at for cursor in cursors), default=now)
    known = sorted((c for c in cursors if newest - c.polled_at < GONE_FOR_GOOD), key=lambda cursor: cursor.polled_at)
    last = {_project(cursor.log): cursor for cursor in known}
    whole = last.pop(None, None)
    if whole is None:
        gaps = [Gap(c.log, Reason.PROJECT_CLOSED, c.polled_at) for project, c in last.items() if project not in read]
        return [gap for gap in gaps if not projects or gap.project in projects]
    if projects:
        missing = projects - set(read)
        return [Gap(f"{whole.log}/{name}", Reason.PROJECT_CLOSED, whole.polled_at) for name in sorted(missing)]
    return [Gap(whole.log, Reason.NO_RIGHTS, whole.polled_at)] if is_proven or _is_proven(whole, cursors, now) else []


def _is_proven(whole: Cursor, cursors: Collection[Cursor], now: datetime) -> bool:
    """Up to 2.12 a robot without the right and an empty log look alike: is there a row that should be visible?"""
    if whole.log != Source.OLD_LOG or not may_be_purged(whole, now):
        return True
    return any(c.op_time is not None and whole.op_time and c.op_time > whole.op_time for c in cursors)


def may_be_purged(cursor: Cursor, now: datetime) -> bool:
    """Whether the newest row that was read is so old that Harbor may have purged it."""
    return cursor.op_time is not None and now - cursor.op_time >= SHORTEST_PURGE


def purged(
    cursor: Cursor, first: AuditRow | None, now: datetime, *, sees_every_row: bool, is_there: bool
) -> Gap | None:
    """The gap between the last row that was read and the first that is left, if Harbor may have purged rows in it.

    `is_there`: whether the last row itself is still there, as some kinds of rows are never purged.
    """
    if now - cursor.polled_at < SHORTEST_PURGE or not (cursor.row_id or _follows_another_log(cursor)):
        return None
    missing = first.id - cursor.row_id - 1 if first is not None and sees_every_row else None
    if missing is None and is_there:
        return None
    if missing is not None and missing < (MANY_MISSING if is_there else 1):
        return None
    until = first.op_time if first is not None else now - SHORTEST_PURGE
    return Gap(cursor.log, Reason.PURGED, cursor.polled_at, max(until, cursor.polled_at), rows=missing)


def _follows_another_log(cursor: Cursor) -> bool:
    """After an upgrade the new log is read from its first row on."""
    return not cursor.row_id and cursor.polled_at < cursor.created_at


def restored(cursor: Cursor, newest: AuditRow | None, now: datetime, *, is_again: bool) -> Gap | None:
    """That Harbor's database was put back, if that is what the loss of our newest row means.

    `is_again`: another row has its id. Purging makes no ids come again, and takes no young rows. A project's log may
    also be another one: the project was deleted and made anew.
    """
    assert cursor.op_time is not None
    is_rewound = newest is not None and newest.id <= cursor.row_id
    has_passed = is_rewound and newest is not None and newest.op_time > cursor.op_time
    is_lost_young = now - cursor.op_time < SHORTEST_PURGE and (is_rewound or _project(cursor.log) is None)
    if not (is_again or has_passed or is_lost_young):
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
        subject=f"{told[0].reason} ({phase}): {_sources(told)}",
        coverage=CoverageNews(phase, told),
    )


def _is_seen(gap: Gap, read: Collection[str | None]) -> bool:
    if gap.reason not in PASSING:
        return False
    return gap.reason is Reason.ACCOUNT_REFUSED or None in read or (gap.project or None) in read


def _is_certain(gap: Gap, now: datetime) -> bool:
    noticed_at = gap.noticed_at or now
    return gap.ended_at is not None or not timedelta(0) <= now - noticed_at < CERTAIN_AFTER.get(
        gap.reason, timedelta(0)
    )


def _project(log: str) -> str | None:
    return log.partition("/")[2] or None


def _by_reason(gaps: Iterable[Gap]) -> list[tuple[Reason, list[Gap]]]:
    ordered = sorted(gaps, key=lambda gap: (gap.reason, gap.source))
    return [(reason, list(group)) for reason, group in groupby(ordered, key=lambda gap: gap.reason)]


def _sources(gaps: Iterable[Gap]) -> str:
    return ", ".join(gap.source for gap in gaps)
