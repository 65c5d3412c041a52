"""Who may ask, and what each may see: the table of rights that was seen on running Harbors."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from demo.harbor.generation import Generation


class Role(Enum):
    """Accounts by what they may do. Those of a project need `Account.project`."""

    ADMIN = "system administrator"
    SYSTEM_ROBOT_AUDIT = "system robot with audit-log:list only"
    SYSTEM_ROBOT_ALL_PROJECTS = "system robot with log:list and reading in all projects"
    SYSTEM_ROBOT_FULL = "system robot with both"
    SYSTEM_ROBOT_SCANS = "system robot with both, scan-all:read and scanner:read"
    SYSTEM_ROBOT_NOTHING = "system robot with rights that are of no use here"
    PROJECT_ROBOT = "robot of a project, with log:list"
    PROJECT_ROBOT_NOLOG = "robot of a project, without log:list"
    PROJECT_ADMIN = "administrator of a project"
    MAINTAINER = "maintainer of a project"
    GUEST = "guest of a project"
    NO_MEMBER = "user without a project"
    GRANTED_ROBOT = "robot with exactly the rights that it was created with"


_BOTH_READERS = {Role.ADMIN, Role.SYSTEM_ROBOT_FULL, Role.SYSTEM_ROBOT_SCANS}
_SYSTEM_READERS = _BOTH_READERS | {Role.SYSTEM_ROBOT_AUDIT}
_ALL_PROJECTS_READERS = _BOTH_READERS | {Role.SYSTEM_ROBOT_ALL_PROJECTS}
_SYSTEM_ROBOTS = {
    Role.SYSTEM_ROBOT_AUDIT,
    Role.SYSTEM_ROBOT_ALL_PROJECTS,
    Role.SYSTEM_ROBOT_FULL,
    Role.SYSTEM_ROBOT_SCANS,
    Role.SYSTEM_ROBOT_NOTHING,
}
_PROJECT_ROBOTS = {Role.PROJECT_ROBOT, Role.PROJECT_ROBOT_NOLOG}
_ROLE_IDS = {Role.PROJECT_ADMIN: 1, Role.GUEST: 3, Role.MAINTAINER: 4}


@dataclass(frozen=True, slots=True)
class Grant:
    """A right of a robot. `namespace`: a project, "*" for all of them, or "/" for the system."""

    namespace: str
    resource: str
    action: str


@dataclass(frozen=True, slots=True)
class Account:
    """`project`: where the roles of a project hold. `grants`: what a GRANTED_ROBOT may do.

    `lacks`: rights, such as "artifact: read", that it has not though its role has them. `is_disabled`, `expires_at`:
    of robots, which are refused then as if their secret were wrong.
    """

    name: str
    password: str
    role: Role
    project: str = "team"
    grants: Set[Grant] = frozenset()
    lacks: Set[str] = frozenset()
    is_disabled: bool = False
    expires_at: datetime | None = None

    def is_in_force(self, clock: Callable[[], datetime]) -> bool:
        """The clock is asked only where it matters, for that of some tests moves with each asking."""
        return not self.is_disabled and (self.expires_at is None or clock() < self.expires_at)

    @property
    def is_robot(self) -> bool:
        return self.role is Role.GRANTED_ROBOT or self.role in _SYSTEM_ROBOTS | _PROJECT_ROBOTS

    def is_granted(self, namespace: str, resource: str, action: str) -> bool:
        every = "/" if namespace == "/" else "*"
        return not self.grants.isdisjoint({Grant(namespace, resource, action), Grant(every, resource, action)})

    @property
    def sees_all_projects(self) -> bool:
        """In the list of projects, which needs no right to read any of them."""
        covers_all = any(grant.namespace == "*" for grant in self.grants)
        return covers_all or self.role is Role.ADMIN or self.role in _SYSTEM_ROBOTS

    @property
    def lists_whole_log(self) -> bool:
        return self.role in _SYSTEM_READERS or self.is_granted("/", "audit-log", "list")

    @property
    def lists_own_rows(self) -> bool:
        """Whether the whole log shows the rows of own projects: only users get that, robots get an empty list."""
        return self.role in _ROLE_IDS

    def reads_scan_all(self, generation: Generation) -> bool:
        """`scan-all:read`, for the progress of a scan of everything."""
        if self.role is Role.SYSTEM_ROBOT_SCANS or self.is_granted("/", "scan-all", "read"):
            return generation.lets_robots_read_scan_all
        return self.role is Role.ADMIN

    def reads_scanner(self, project: str) -> bool:
        """`scanner:read` of a project: robots have it only if they were given it."""
        if self.is_granted(project, "scanner", "read"):
            return True
        return self.role in (Role.ADMIN, Role.SYSTEM_ROBOT_SCANS) or (self.is_member(project) and not self.is_robot)

    def is_member(self, project: str) -> bool:
        if self.role is Role.GRANTED_ROBOT:
            return any(grant.namespace == project for grant in self.grants)
        return project == self.project and (self.role in _PROJECT_ROBOTS or self.role in _ROLE_IDS)

    def role_id(self, project: str) -> int | None:
        """Harbor's number of the role in a project, as answers about projects show it."""
        if self.role is Role.ADMIN:
            return 1
        return _ROLE_IDS.get(self.role) if project == self.project else None

    def lists_log(self, project: str, generation: Generation) -> bool:
        if self.role is Role.GRANTED_ROBOT:
            return self.is_granted(project, "log", "list")
        if self.role in _ALL_PROJECTS_READERS:
            return True
        if generation.log_needs_project_admin and self.role in (Role.MAINTAINER, Role.GUEST):
            return False
        return self.is_member(project) and self.role is not Role.PROJECT_ROBOT_NOLOG

    def reads(self, project: str, resource: str, action: str) -> bool:
        """Repositories, artifacts and their additions of a private project; those of a public one everybody may read.

        All roles but robots that were created have all of these rights or none, except for what the account lacks.
        """
        if self.role is Role.GRANTED_ROBOT:
            return self.is_granted(project, resource, action)
        if f"{resource}: {action}" in self.lacks:
            return False
        return self.role in _ALL_PROJECTS_READERS or self.is_member(project)

    def manages_robots(self, project: str | None) -> bool:
        """Of a project, or of the system (None)."""
        is_of_project = project is not None and self.role is Role.PROJECT_ADMIN and self.is_member(project)
        return self.role is Role.ADMIN or is_of_project

    def lists_accessories(self, project: str) -> bool:
        """`accessory:list` of a project: robots have it only if they were given it."""
        if self.role is Role.GRANTED_ROBOT:
            return self.is_granted(project, "accessory", "list")
        return self.role is Role.ADMIN or (self.is_member(project) and not self.is_robot)

    def reads_project(self, project: str) -> bool:
        """`project:read`, which robots have only if they were given it."""
        if self.role is Role.GRANTED_ROBOT:
            return self.is_granted(project, "project", "read")
        if self.role in _BOTH_READERS:
            return True
        return self.is_member(project) and not self.is_robot


ADMIN = Account("admin", "Harbor12345", Role.ADMIN)
POLLER = Account("robot$poller", "demo-secret", Role.SYSTEM_ROBOT_FULL)
"""The robot that is recommended: it lists the audit log, and reads projects, repositories and artifacts."""
