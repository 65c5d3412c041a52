"""The robot account that the product reads with: exactly the rights that it needs. Pure; shapes are Harbor's API's."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

SYSTEM, PROJECT, EVERY = "system", "project", "*"
DESCRIPTION = "harbor-poller: reads the audit log and scan results for Telegram"


class Right(msgspec.Struct, frozen=True):
    resource: str
    action: str

    def __str__(self) -> str:
        return f"{self.resource}: {self.action}"


OF_SYSTEM: tuple[Right, ...] = (Right("audit-log", "list"),)
OF_PROJECTS: tuple[Right, ...] = (
    Right("log", "list"),
    Right("project", "read"),
    Right("repository", "list"),
    Right("repository", "read"),
    Right("artifact", "list"),
    Right("artifact", "read"),
    Right("artifact-addition", "read"),
)


class Permission(msgspec.Struct, frozen=True):
    """`namespace`: "/" for the system, a project's name, or "*" for all projects."""

    kind: str
    namespace: str
    access: tuple[Right, ...]


class Grantable(msgspec.Struct, frozen=True):
    """What this Harbor lets a robot have. A project's administrator is told nothing of the system."""

    system: tuple[Right, ...] = ()
    project: tuple[Right, ...] = ()


class WantedRobot(msgspec.Struct, frozen=True):
    """`name` is without the prefix, and without the project where it is a project's own robot."""

    name: str
    level: str
    permissions: tuple[Permission, ...]
    description: str = DESCRIPTION
    duration: int = -1  # it never expires
    disable: bool = False

    @property
    def project(self) -> str | None:
        """Whose robot it is; None: the system's."""
        return self.permissions[0].namespace if self.level == PROJECT else None

    @property
    def stored_name(self) -> str:
        """What Harbor keeps, and puts its prefix before."""
        return f"{self.project}+{self.name}" if self.project else self.name


class Robot(msgspec.Struct, frozen=True):
    """`name` is what it logs in with."""

    id: int
    name: str


def wanted_robot(name: str, projects: Sequence[str], grantable: Grantable | None) -> tuple[WantedRobot, list[Right]]:
    """The robot, and the rights that it lacks because this Harbor does not know them.

    One project: a robot of its own. Several: one of the system with rights in these alone. None: all projects, and the
    whole log. `grantable` None: Harbor before 2.10 takes any.
    """
    of_projects = _known(OF_PROJECTS, grantable.project if grantable else None)
    permissions = tuple(Permission(PROJECT, project, of_projects) for project in projects or (EVERY,))
    of_system = OF_SYSTEM
    if not projects:
        of_system = _known(OF_SYSTEM, grantable.system if grantable else None)
        permissions = (Permission(SYSTEM, "/", of_system), *permissions) if of_system else permissions
    lacking = [right for right in (*OF_SYSTEM, *OF_PROJECTS) if right not in (*of_system, *of_projects)]
    return WantedRobot(name, PROJECT if len(projects) == 1 else SYSTEM, permissions), lacking


def _known(needed: tuple[Right, ...], grantable: tuple[Right, ...] | None) -> tuple[Right, ...]:
    return needed if grantable is None else tuple(right for right in needed if right in grantable)
