"""Whether Harbor still writes its audit log, and its scanner works: nothing but silence says that they do not.

What the registry counts is compared with the log. A repository that was pulled more often although no pull was
logged, or that has more artifacts although nothing was logged, says that the log is switched off, in part or
altogether. Rows may come late, so it must say so twice, each time after a poll. Where there are rows, Harbor is asked
nothing. Administrators may read the settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from poller.activity import RepositoryFacts
from poller.config import Config
from poller.errors import NotAllowed, NotFound
from poller.events import SCAN_TYPES, EventType, Gap, Reason, Source
from poller.harbor import Harbor, Reach, ReachKind
from poller.rows import Scanner
from poller.sight import Sight
from poller.survey import Survey, table_of
from state import Cursor, Store

LOOK = timedelta(minutes=5) - timedelta(seconds=10)  # whoever comes by every minute is not to be late by one
CONFIRM = timedelta(minutes=2)
"""A row that has not come so long after what it tells will not come."""
COUNTED_LATE = timedelta(minutes=1)
"""Harbor counts a pull up to 10 s after it has logged it."""
LOOK_AT_SCANNER = timedelta(minutes=30)
ASK_AGAIN = timedelta(days=1)
"""A right that the account lacked may have been given."""
SAME_PUSH = timedelta(seconds=5)
"""A repository is made just before the row of its first push is written."""
MOST_REPOSITORIES = 20
PULLS, LOG, SCANS = "pulls", "log", "scans"


class Counted(msgspec.Struct, frozen=True):
    """What Harbor counts of a repository."""

    pulls: int
    artifacts: int


class Seen(msgspec.Struct, frozen=True):
    """What the registry said of itself, and how far the logs were read then.

    `since`: when that was; `looked_at`: when it was compared last. `view`: what of the registry was seen. `counted`: by
    the repository's id; empty where there was no need to ask. `suspected`: what was seen once and must be seen again
    to be believed. `lost_at`: how far the logs had been read when something was found to be off, by reason. `off`: what
    the settings said is off.
    """

    since: datetime
    looked_at: datetime
    view: str = ""
    positions: dict[str, int] = {}
    counted: dict[str, Counted] = {}
    suspected: tuple[Reason, ...] = ()
    lost_at: dict[str, dict[str, int]] = {}
    off: tuple[Reason, ...] = ()
    asked_at: datetime | None = None  # when the rights below were found out
    may_configure: bool = True
    may_read_scanner: bool = True
    scanner_at: datetime | None = None


class Watch:
    """Looks from time to time. Raises Temporary when Harbor is away."""

    def __init__(self, harbor: Harbor, store: Store, sight: Sight, survey: Survey, config: Config) -> None:
        self._harbor = harbor
        self._store = store
        self._sight = sight
        self._survey = survey
        self._wants_pulls = bool(config.events & {EventType.PULL_ARTIFACT, *SCAN_TYPES})
        self._wants_scans = bool(config.events & SCAN_TYPES)

    def heed_rows(self, now: datetime) -> None:
        """A row that may not be there tells that what was switched off is on again."""
        lasting = [gap for gap in self._sight.open if gap.reason in _KINDS]
        seen = self._load() if lasting else None
        for gap in lasting:
            is_by_setting = seen is not None and gap.reason in seen.off
            if not is_by_setting and self._has_rows_again(gap, seen.lost_at if seen else {}):
                self._sight.end([gap], now)

    def _has_rows_again(self, gap: Gap, lost_at: Mapping[str, Mapping[str, int]]) -> bool:
        cursors = self._store.cursors()
        before = lost_at.get(gap.reason, {name: cursor.row_id for name, cursor in cursors.items()})
        tables = {table_of(name): max(_of_table(before, table_of(name)), default=0) for name in cursors}
        return any(self._store.has_row_above(table, row_id, _KINDS[gap.reason]) for table, row_id in tables.items())

    def look(self, now: datetime) -> None:
        """Compare the registry with the log, if it is time to."""
        self._survey.notice_upgrade(now)
        seen = self._load()
        if seen is not None and timedelta(0) <= now - seen.looked_at < (CONFIRM if seen.suspected else LOOK):
            return
        reach, cursors = self._survey.reach(now), self._store.cursors()
        if seen is not None and reach.kind is not ReachKind.BLIND and not _was_polled(cursors, seen.looked_at):
            return  # what the registry counts may be in the log, only not read yet
        seen = self._with_rights(seen or Seen(now, now), now)
        seen = self._look_at_scanner(self._read_settings(seen, now), now)
        self._save(self._compare(seen, reach, cursors, now))

    # -- the log ------------------------------------------------------------------------------------

    def _compare(self, seen: Seen, reach: Reach, cursors: Mapping[str, Cursor], now: datetime) -> Seen:
        view = f"{reach.kind} {reach.table} {' '.join(reach.projects)}"
        positions = {name: cursor.row_id for name, cursor in cursors.items()}
        fresh = replace(seen, since=now, looked_at=now, view=view, positions=positions, counted={}, suspected=())
        if self._is_alive(seen, positions, now) or self._sight.is_open(Reason.LOG_OFF):
            return fresh
        found = self._repositories(reach)
        suspected = self._suspected(seen, found, cursors, is_same=view == seen.view and positions == seen.positions)
        confirmed = [reason for reason in suspected if reason in seen.suspected]
        if suspected and not confirmed:
            self._survey.doubt()  # Harbor may have been upgraded, and write another log
            return replace(seen, looked_at=now, suspected=suspected)
        if Reason.LOG_OFF in confirmed and reach.kind is ReachKind.BLIND:
            self._sight.blind(now)
        else:
            self._sight.begin(
                [Gap(_SOURCES[reason], reason, self._last_proof(reason, seen, now)) for reason in confirmed], now
            )
        lost_at = seen.lost_at | {str(reason): positions for reason in confirmed}
        return replace(fresh, counted=_counted(found), lost_at=lost_at)

    def _last_proof(self, reason: Reason, seen: Seen, now: datetime) -> datetime:
        """When a row of the kind was last seen, if that is not too long ago to mean anything."""
        kind = _KINDS[reason]
        last = self._store.last_recorded(kind, since=now - ASK_AGAIN)
        return min(last, seen.since) if last is not None else seen.since

    @property
    def _watches_pulls(self) -> bool:
        return self._wants_pulls and not self._sight.is_open(Reason.PULLS_OFF)

    def _is_alive(self, seen: Seen, positions: Mapping[str, int], now: datetime) -> bool:
        """Whether the log itself has shown what we would ask for."""
        if not self._watches_pulls:
            return positions != seen.positions
        last = self._store.last_recorded(EventType.PULL_ARTIFACT, since=now - ASK_AGAIN)
        return last is not None and last >= seen.since - COUNTED_LATE

    def _suspected(
        self, seen: Seen, found: Iterable[RepositoryFacts], cursors: Mapping[str, Cursor], *, is_same: bool
    ) -> tuple[Reason, ...]:
        """What the counts speak for. `is_same`: there was no row, and what of the registry we see has not changed."""
        before = seen.counted
        known = [(before[str(each.id)], each) for each in found if str(each.id) in before]
        newest = max((c.op_time for c in cursors.values() if c.op_time is not None), default=None)
        is_made = newest is not None and any(c.created_at and c.created_at > newest + SAME_PUSH for c in found)
        if is_same and before and (is_made or any(now.artifact_count > was.artifacts for was, now in known)):
            return (Reason.LOG_OFF,)
        return (Reason.PULLS_OFF,) if self._watches_pulls and any(n.pull_count > w.pulls for w, n in known) else ()

    def _repositories(self, reach: Reach) -> list[RepositoryFacts]:
        """Those that moved last, those that are pulled most, and the newest."""
        found: dict[int, RepositoryFacts] = {}
        for sort, most in (
            ("-update_time", MOST_REPOSITORIES),
            ("-pull_count", MOST_REPOSITORIES),
            ("-creation_time", 1),
        ):
            found |= {each.id: each for each in self._list(sort, most)}
        reads_all = reach.kind is not ReachKind.PROJECTS
        return [each for each in found.values() if reads_all or each.project in reach.projects]

    def _list(self, sort: str, most: int) -> Iterable[RepositoryFacts]:
        try:
            return self._harbor.repositories(sort=sort, most=most)
        except (NotAllowed, NotFound):
            return ()

    # -- for those who may read the switches --------------------------------------------------------

    def _with_rights(self, seen: Seen, now: datetime) -> Seen:
        if seen.asked_at is not None and timedelta(0) <= now - seen.asked_at < ASK_AGAIN:
            return seen
        return replace(seen, asked_at=now, may_configure=True, may_read_scanner=True)

    def _read_settings(self, seen: Seen, now: datetime) -> Seen:
        """What they say is off is off until they say that it is on."""
        settings = self._harbor.configuration() if seen.may_configure else None
        if settings is None:
            return replace(seen, may_configure=False)
        wanted = {Reason.LOG_OFF} | ({Reason.PULLS_OFF} if self._wants_pulls else set())
        off = switched_off(settings) & wanted
        self._sight.begin([Gap(_SOURCES[reason], reason, now) for reason in off], now)
        self._sight.end([gap for gap in self._sight.open if gap.reason in set(seen.off) - off], now)
        return replace(seen, off=tuple(sorted(off)))

    # -- the scanner --------------------------------------------------------------------------------

    def _look_at_scanner(self, seen: Seen, now: datetime) -> Seen:
        """That of the project that was scanned last, and of those whose scanner was off."""
        if not (self._wants_scans and seen.may_read_scanner):
            return seen
        hidden = {gap.project: gap for gap in self._sight.open if gap.source.startswith(f"{SCANS}/")}
        is_time = seen.scanner_at is None or not timedelta(0) <= now - seen.scanner_at < LOOK_AT_SCANNER
        last = (self._store.last_scanned() or "").partition("/")[0] if is_time else ""
        for project in sorted({*hidden, last} - {""}):
            try:
                is_off = _is_off(self._harbor.scanner_of(project))
            except (NotAllowed, NotFound):
                self._sight.give_up([gap for name, gap in hidden.items() if name == project], now)
                seen = replace(seen, may_read_scanner=seen.may_read_scanner and project in hidden)
                continue
            if is_off:
                self._sight.begin([Gap(f"{SCANS}/{project}", Reason.SCANNER_OFF, seen.scanner_at or now)], now)
            elif project in hidden:
                self._sight.end([hidden[project]], now)
        return replace(seen, scanner_at=now) if is_time else seen

    # -- keeping ------------------------------------------------------------------------------------

    def _load(self) -> Seen | None:
        try:
            return msgspec.convert(self._store.registry_seen(), Seen | None)
        except msgspec.ValidationError:  # another version's
            return None

    def _save(self, seen: Seen) -> None:
        self._store.save_registry_seen(msgspec.to_builtins(seen))


_SOURCES = {Reason.LOG_OFF: LOG, Reason.PULLS_OFF: PULLS}
_KINDS = {Reason.LOG_OFF: None, Reason.PULLS_OFF: EventType.PULL_ARTIFACT}
"""The rows that are there again when it ends; None: any."""


def switched_off(settings: Mapping[str, Any]) -> set[Reason]:
    """What Harbor's settings say is not logged."""
    off = {Reason.LOG_OFF} if is_database_off(settings) else set()
    return off | ({Reason.PULLS_OFF} if "pull_artifact" in disabled_types(settings) else set())


def is_database_off(settings: Mapping[str, Any]) -> bool:
    """Whether Harbor writes no audit log at all (harbor-api.md 3.2)."""
    return str(settings.get("skip_audit_log_database", "")).lower() == "true"


def disabled_types(settings: Mapping[str, Any]) -> list[str]:
    """Kinds of rows that Harbor does not write, such as `pull_artifact` (since 2.13)."""
    said = str(settings.get("disabled_audit_log_event_types") or "")
    return sorted({name.strip().lower() for name in said.split(",")} - {""})


def _counted(found: Iterable[RepositoryFacts]) -> dict[str, Counted]:
    return {str(each.id): Counted(each.pull_count, each.artifact_count) for each in found}


def _was_polled(cursors: Mapping[str, Cursor], since: datetime) -> bool:
    return max((cursor.polled_at for cursor in cursors.values()), default=since) > since


def _of_table(positions: Mapping[str, int], table: Source) -> list[int]:
    return [row_id for name, row_id in positions.items() if table_of(name) is table]


def _is_off(scanner: Scanner | None) -> bool:
    return scanner is None or scanner.is_disabled or not scanner.is_healthy
