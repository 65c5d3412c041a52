"""How much of Harbor's audit log an account can see, and in which of the two logs to look.

Harbor does not say so: an account without rights is answered 200 and an empty list. So it is concluded from
probes that touch no rows, and this module is the conclusion.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from poller.events import Source
from poller.rows import EPOCH

if TYPE_CHECKING:  # harbor.py imports this module
    from poller.harbor import Harbor


class Log(msgspec.Struct, frozen=True):
    """One audit log that can be read: of all of Harbor, or of one project."""

    table: Source
    project: str | None = None

    @property
    def path(self) -> str:
        is_new = self.table is Source.NEW_LOG
        if self.project is None:
            return "/auditlog-exts" if is_new else "/audit-logs"
        return f"/projects/{quote(self.project, safe='')}/{'auditlog-exts' if is_new else 'logs'}"


class ReachKind(StrEnum):
    SYSTEM = "system"  # every row
    PROJECTS = "projects"  # the rows of some projects, each from the project's own log
    BLIND = "blind"  # nothing that we could tell from silence


class Reach(msgspec.Struct, frozen=True):
    """What the account can see. `unreadable`: configured projects that are not there or not for this account."""

    kind: ReachKind
    table: Source
    projects: tuple[str, ...] = ()  # only where they are read one by one
    version: str | None = None
    registry: str | None = None
    unreadable: tuple[str, ...] = ()

    @property
    def logs(self) -> tuple[Log, ...]:
        """What to read. The blind keep looking at the log of all: rights may be given at any time."""
        if self.kind is ReachKind.PROJECTS:
            return tuple(Log(self.table, project) for project in self.projects)
        return (Log(self.table),)


def detect(harbor: Harbor, projects: tuple[str, ...]) -> Reach:
    """Find out what the account can see. `projects`: the configured ones; none means all that it knows of."""
    server = harbor.server()
    sees_all = harbor.may_read_whole_new_log()
    table = Source.OLD_LOG if sees_all is None else Source.NEW_LOG
    if sees_all is None:
        user = harbor.current_user()
        # Users with few rights get rows here too, robots without this right never get any.
        sees_all = user.is_sysadmin or (
            user.is_robot and harbor.newest_row(Log(table), server.clock or EPOCH) is not None
        )
    if sees_all:
        return Reach(ReachKind.SYSTEM, table, version=server.version, registry=server.registry)
    readable = tuple(name for name in projects or harbor.project_names() if harbor.may_read(Log(table, name)))
    return Reach(
        ReachKind.PROJECTS if readable else ReachKind.BLIND,
        table,
        readable,
        server.version,
        server.registry,
        unreadable=tuple(name for name in projects if name not in readable),
    )
