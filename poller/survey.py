"""Which audit log is alive and what the account can see of it, remembered so that an idle poll is one request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from logging import WARNING
from typing import Any

import msgspec

from poller import versions
from poller.config import HarborConfig
from poller.errors import NotAllowed
from poller.events import Source
from poller.harbor import Harbor, Log, Reach, ReachKind
from poller.knowledge import LONG_AGO
from poller.sight import may_be_purged
from poller.troubles import Trouble, Troubles
from state import Cursor, Store

DETECT_AGAIN = timedelta(minutes=10)
"""An upgrade of Harbor moves the live audit log; the old one goes on answering, without new rows."""

LOOK_FOR_NEW_LOG = timedelta(seconds=50)
"""Less than the minute from one watch to the next, so that the first one after a start asks already."""

LOOK_FOR_PROJECTS = timedelta(minutes=1)
"""Where projects are read one by one, a new project or right must be noticed soon."""

PROBE = timedelta(seconds=5)
"""Each project costs a request to ask again, so the more there are, the rarer."""

BLIND = (
    "Harbor answers this account with an empty audit log, whatever happens. Grant the robot the system permission "
    '"audit log: list", or "log: list" on its projects'
)


NOTHING_VISIBLE = Trouble("audit.nothing_visible", "audit.nothing_visible_still", "audit.visible", WARNING)


class KnownServer(msgspec.Struct, frozen=True):
    """What the state knows of Harbor: the registry's host, and the version where Harbor tells it."""

    registry: str
    version: str | None
    table: Source | None = None

    @property
    def has_robot_rows(self) -> bool:
        """Whether the coming and going of robots is logged: since 2.12, and where there is the new log."""
        known = versions.parse(self.version)
        return self.table is Source.NEW_LOG or (known is not None and known >= versions.ROBOT_ROWS)


class Survey:
    """What was detected of the server, asked again from time to time and after every outage."""

    def __init__(self, harbor: Harbor, store: Store, config: HarborConfig) -> None:
        self._harbor = harbor
        self._store = store
        self._config = config
        self._probed_at: datetime | None = None
        self._troubles = Troubles()

    def reach(self, now: datetime) -> Reach:
        """Which audit log is alive and what of it this account can see; asked again from time to time."""
        self._probed_at = self._probed_at or now  # what is remembered at the start may be of before an upgrade
        _, detected, at = self._store.harbor()
        if detected is None or at is None:
            return self.detect(now)
        reach = _reach_of(detected)
        believed = DETECT_AGAIN if reach.kind is ReachKind.SYSTEM else LOOK_FOR_PROJECTS + PROBE * len(reach.projects)
        return reach if timedelta(0) <= now - at < believed else self.detect(now)

    def notice_upgrade(self, now: datetime) -> None:
        """Ask an old Harbor from time to time whether it has the new log by now. The question touches no table."""
        if self.server().table is not Source.OLD_LOG:
            return
        asked_at = self._probed_at = self._probed_at or now
        if not timedelta(0) <= now - asked_at < LOOK_FOR_NEW_LOG:
            self._probed_at = now
            if self._harbor.may_read_whole_new_log() is not None:
                self.doubt()

    def detect(self, now: datetime) -> Reach:
        reach = self._harbor.reach(self._config.projects)
        registry = reach.registry or self._config.url.partition("://")[2]
        if reach.kind is ReachKind.BLIND:
            self._refuse_blindness(reach, now)
        else:
            self._troubles.went_well(NOTHING_VISIBLE)
        self._store.save_harbor(registry, self._detected(reach, now), now)
        return reach

    def _account_since(self, before: Mapping[str, Any] | None, now: datetime) -> datetime:
        """Since when it is this account that looks; another one may be meant to see less."""
        is_same = before is not None and before.get("account", self._config.username) == self._config.username
        return datetime.fromisoformat(before.get("account_since", LONG_AGO.isoformat())) if before and is_same else now

    def _detected(self, reach: Reach, now: datetime) -> dict[str, object]:
        """What is kept of a detection, with the newest row that was known at the one before."""
        _, before, _ = self._store.harbor()
        rows = [cursor.row_id for cursor in self._store.cursors().values() if table_of(cursor.log) is reach.table]
        return {
            "kind": str(reach.kind),
            "table": str(reach.table),
            "projects": list(reach.projects),
            "unreadable": list(reach.unreadable),
            "version": reach.version,
            "account": self._config.username,
            "account_since": self._account_since(before, now).isoformat(),
            "position": max(rows, default=None),
            "known_position": before.get("position") if before else None,
        }

    def _refuse_blindness(self, reach: Reach, now: datetime) -> None:
        """An empty answer is silence only where there need not be a row. Before 2.13 one cannot tell."""
        has_rows = any(cursor.row_id and not may_be_purged(cursor, now) for cursor in self._store.cursors().values())
        if reach.table is Source.NEW_LOG or has_rows:
            raise NotAllowed(BLIND)
        self._troubles.failed(NOTHING_VISIBLE, kind="blind", remedy=BLIND)

    def server(self) -> KnownServer:
        registry, detected, _ = self._store.harbor()
        if detected is None:
            return KnownServer(registry, None)
        return KnownServer(registry, detected["version"], Source(detected["table"]))

    def doubt(self) -> None:
        """Look again before the next poll: something was wrong."""
        registry, detected, at = self._store.harbor()
        if detected is not None and at != LONG_AGO:
            self._store.save_harbor(registry, detected, LONG_AGO)


def alive(cursors: Iterable[Cursor], detected: Mapping[str, Any]) -> list[Cursor]:
    """Those of the logs that are polled now: an old log, or that of a project that is gone, stands still for ever."""
    known, table = list(cursors), str(detected.get("table"))
    names = {f"{table}/{name}" for name in detected.get("projects", ())} or {table}
    return [cursor for cursor in known if cursor.log in names] or known


def log_name(log: Log) -> str:
    """The name of a log in the state."""
    return f"{log.table}/{log.project}" if log.project else str(log.table)


def table_of(name: str) -> Source:
    return Source(name.partition("/")[0])


def _reach_of(detected: Mapping[str, Any]) -> Reach:
    return Reach(
        ReachKind(detected["kind"]),
        Source(detected["table"]),
        tuple(detected["projects"]),
        detected["version"],
        unreadable=tuple(detected["unreadable"]),
    )
