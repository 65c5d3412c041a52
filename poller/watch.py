"""Whether Harbor still writes its audit log, and its scanner works: nothing but silence says that they do not.

What the registry counts is compared with the log. A repository that was pulled more often although no pull was
logged, or that has more artifacts although nothing was logged, says that the log is switched off, in part or
altogether. Rows may come late, so it must say so twice. Where there are rows, Harbor is asked nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from poller.activity import RepositoryFacts
from poller.config import Config
from poller.errors import NotAllowed, NotFound
from poller.events import SCAN_TYPES, EventType, Gap, Reason
from poller.harbor import Harbor, Reach, ReachKind
from poller.logs import Log as Logger
from poller.rows import Scanner
from poller.sight import Sight
from poller.survey import Survey
from state import Store

LOOK = timedelta(minutes=5)
CONFIRM = timedelta(minutes=2)
"""A row that has not come so long after what it tells will not come."""
COUNTED_LATE = timedelta(minutes=1)
"""Harbor counts a pull up to 10 s after it has logged it."""
LOOK_AT_SCANNER = timedelta(minutes=30)
MOST_REPOSITORIES = 20
PULLS, LOG, SCANS = "pulls", "log", "scans"

_log = Logger(__name__)


class Counted(msgspec.Struct, frozen=True):
    """What Harbor counts of a repository."""

    pulls: int
    artifacts: int


class Seen(msgspec.Struct, frozen=True):
    """What the registry said of itself, and how far the logs were read then.

    `since`: when that was; `looked_at`: when it was compared last. `counted`: by the repository's id; empty where
    there was no need to ask. `suspected`: what was seen once and must be seen again to be believed.
    """

    since: datetime
    looked_at: datetime
    positions: dict[str, int] = {}
    counted: dict[str, Counted] = {}
    suspected: tuple[Reason, ...] = ()
    may_configure: bool | None = None
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
        kinds = {Reason.PULLS_OFF: EventType.PULL_ARTIFACT, Reason.LOG_OFF: None}
        for gap in self._sight.open:
            if gap.reason in kinds and (at := self._store.first_row_after(gap.began_at, kinds[gap.reason])):
                self._sight.end([gap], at, now)

    def look(self, now: datetime) -> None:
        """Compare the registry with the log, if it is time to."""
        self._survey.notice_upgrade(now)
        seen = self._load()
        if seen is not None and timedelta(0) <= now - seen.looked_at < (CONFIRM if seen.suspected else LOOK):
            return
        seen = self._read_settings(seen or Seen(now, now), now)
        seen = self._look_at_scanner(seen, now)
        self._save(self._compare(seen, self._survey.reach(now), now))

    # -- the log ------------------------------------------------------------------------------------

    def _compare(self, seen: Seen, reach: Reach, now: datetime) -> Seen:
        if self._sight.is_open(Reason.LOG_OFF) or reach.kind is ReachKind.BLIND:
            return msgspec.structs.replace(seen, looked_at=now, suspected=())
        positions = {name: cursor.row_id for name, cursor in self._store.cursors().items()}
        has_rows = positions != seen.positions
        watches_pulls = self._wants_pulls and not self._sight.is_open(Reason.PULLS_OFF)
        fresh = msgspec.structs.replace(seen, since=now, looked_at=now, positions=positions, counted={}, suspected=())
        if self._has_pulls(seen, now) if watches_pulls else has_rows:
            return fresh
        counted = self._count(reach)
        suspected = _suspected(seen, counted, has_rows=has_rows, watches_pulls=watches_pulls)
        confirmed = [reason for reason in suspected if reason in seen.suspected]
        self._sight.begin([Gap(_SOURCES[reason], reason, seen.since) for reason in confirmed], now)
        if suspected and not confirmed:
            self._survey.doubt()  # Harbor may have been upgraded, and write another log
            return msgspec.structs.replace(seen, looked_at=now, suspected=suspected)
        return msgspec.structs.replace(fresh, counted=counted)

    def _has_pulls(self, seen: Seen, now: datetime) -> bool:
        last = self._store.last_recorded(EventType.PULL_ARTIFACT, since=now - timedelta(days=1))
        return last is not None and last >= seen.since - COUNTED_LATE

    def _count(self, reach: Reach) -> dict[str, Counted]:
        """Of the repositories that moved last, and of those that are pulled most."""
        found: dict[str, Counted] = {}
        for sort in ("-update_time", "-pull_count"):
            found |= {
                str(each.id): Counted(each.pull_count, each.artifact_count)
                for each in self._repositories(sort)
                if reach.kind is ReachKind.SYSTEM or each.project in reach.projects
            }
        return found

    def _repositories(self, sort: str) -> Iterable[RepositoryFacts]:
        try:
            return self._harbor.repositories(sort=sort, most=MOST_REPOSITORIES)
        except (NotAllowed, NotFound):
            return ()

    # -- for those who may read the switches --------------------------------------------------------

    def _read_settings(self, seen: Seen, now: datetime) -> Seen:
        if seen.may_configure is False:
            return seen
        settings = self._harbor.configuration()
        if settings is None:
            return msgspec.structs.replace(seen, may_configure=False)
        off = switched_off(settings)
        wanted = {Reason.LOG_OFF} | ({Reason.PULLS_OFF} if self._wants_pulls else set())
        self._sight.begin([Gap(_SOURCES[reason], reason, seen.looked_at) for reason in off & wanted], now)
        if Reason.LOG_OFF not in off:
            self._sight.end([gap for gap in self._sight.open if gap.reason is Reason.LOG_OFF], now, now)
        return msgspec.structs.replace(seen, may_configure=True)

    # -- the scanner --------------------------------------------------------------------------------

    def _look_at_scanner(self, seen: Seen, now: datetime) -> Seen:
        is_early = seen.scanner_at is not None and timedelta(0) <= now - seen.scanner_at < LOOK_AT_SCANNER
        hidden = next((gap for gap in self._sight.open if gap.source.startswith(f"{SCANS}/")), None)
        project = hidden.project if hidden else self._scanned_project()
        if not (self._wants_scans and seen.may_read_scanner and project) or (is_early and not hidden):
            return seen
        try:
            scanner = self._harbor.scanner_of(project)
        except (NotAllowed, NotFound):
            return msgspec.structs.replace(seen, may_read_scanner=False)
        if hidden is None and _is_off(scanner):
            self._sight.begin([Gap(f"{SCANS}/{project}", Reason.SCANNER_OFF, seen.scanner_at or now)], now)
        elif hidden is not None and not _is_off(scanner):
            self._sight.end([hidden], now, now)
        return msgspec.structs.replace(seen, scanner_at=now)

    def _scanned_project(self) -> str:
        return (self._store.last_scanned() or "").partition("/")[0]

    # -- keeping ------------------------------------------------------------------------------------

    def _load(self) -> Seen | None:
        try:
            return msgspec.convert(self._store.registry_seen(), Seen | None)
        except msgspec.ValidationError:  # another version's
            return None

    def _save(self, seen: Seen) -> None:
        self._store.save_registry_seen(msgspec.to_builtins(seen))


_SOURCES = {Reason.LOG_OFF: LOG, Reason.PULLS_OFF: PULLS}


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


def _suspected(
    seen: Seen, counted: Mapping[str, Counted], *, has_rows: bool, watches_pulls: bool
) -> tuple[Reason, ...]:
    """What the counts speak for, when there was no row or no row of a pull since they were taken before."""
    if not seen.counted or not counted:
        return ()
    if not has_rows and _has_pushes(seen.counted, counted):
        return (Reason.LOG_OFF,)
    return (Reason.PULLS_OFF,) if watches_pulls and _was_pulled(seen.counted, counted) else ()


def _has_pushes(before: Mapping[str, Counted], now: Mapping[str, Counted]) -> bool:
    """Whether there are more artifacts, or repositories that are newer than all that were known."""
    newest = max(map(int, before))
    return any(int(name) > newest for name in now) or any(
        counted.artifacts > before[name].artifacts for name, counted in now.items() if name in before
    )


def _was_pulled(before: Mapping[str, Counted], now: Mapping[str, Counted]) -> bool:
    return any(counted.pulls > before[name].pulls for name, counted in now.items() if name in before)


def _is_off(scanner: Scanner | None) -> bool:
    return scanner is None or scanner.is_disabled or not scanner.is_healthy
