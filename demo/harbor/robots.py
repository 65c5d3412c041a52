"""Robots that administrators create through the API: with which rights, under which name, and what Harbor refuses."""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from demo.harbor.accounts import Account, Grant, Role
from demo.harbor.api import Answer, Api, Asked, Refused, Source
from demo.harbor.generation import Generation
from demo.harbor.query import Column, Columns, Exact, Kind, Listing, listing
from demo.harbor.registry import Project
from demo.harbor.rows import api_time
from demo.harbor.world import World

SYSTEM, PROJECT = "system", "project"
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_LONGEST = 2**31

_EVERYTHING = "create read update delete list"
_GRANTABLE: Mapping[str, Mapping[str, str]] = {
    PROJECT: {
        "log": "list",
        "project": "read delete update",
        "metadata": _EVERYTHING,
        "repository": "read update delete list pull push",
        "artifact": "read create list delete",
        "scan": "create read stop",
        "sbom": "create stop read",
        "tag": "create list delete",
        "accessory": "list",
        "artifact-addition": "read",
        "artifact-label": "create delete",
        "scanner": "create read",
        "preheat-policy": _EVERYTHING,
        "immutable-tag": "create delete list update",
        "notification-policy": _EVERYTHING,
        "tag-retention": _EVERYTHING,
        "label": _EVERYTHING,
        "quota": "read",
        "robot": "create read list delete",
        "export-cve": "create read",
        "member": _EVERYTHING,
    },
    SYSTEM: {
        "audit-log": "list",
        "preheat-instance": _EVERYTHING,
        "project": "list create",
        "replication-policy": _EVERYTHING,
        "replication": "read create list",
        "replication-adapter": "list",
        "registry": _EVERYTHING,
        "scan-all": "read update stop create",
        "system-volumes": "read",
        "garbage-collection": "read create list update stop",
        "purge-audit": "read create list update stop",
        "jobservice-monitor": "list stop",
        "scanner": _EVERYTHING,
        "label": "read create delete update",
        "security-hub": "read list",
        "catalog": "read",
        "quota": "read list update",
        "robot": "create read list delete",
        "user": _EVERYTHING,
        "ldap-user": "create list",
        "user-group": _EVERYTHING,
    },
}
"""What 2.12 and 2.16 list."""


@dataclass(frozen=True, slots=True)
class Robot:
    """`name`: without the prefix, which is put before it whenever it is shown; of a project `team+ci`."""

    id: int
    name: str
    level: str
    project: Project | None
    permissions: tuple[Mapping[str, Any], ...]
    duration: int
    description: str
    created_at: datetime
    secret: str
    is_disabled: bool = False

    @property
    def expires_at(self) -> datetime | None:
        """Counted from its creation, also when the duration is changed later."""
        return None if self.duration == -1 else self.created_at + timedelta(days=self.duration)

    @property
    def grants(self) -> frozenset[Grant]:
        return frozenset(
            Grant(block["namespace"], access["resource"], access["action"])
            for block in self.permissions
            for access in block["access"]
        )


@dataclass(slots=True)
class Robots:
    """`accounts`: where they become accounts like others. `withheld`: pairs that this Harbor does not know, such as
    ("artifact-addition", "read"), as its next or last version may. `ignored`: keys of filters that it does not know."""

    source: Source
    accounts: dict[str, Account]
    withheld: set[tuple[str, str]] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)
    made: dict[int, Robot] = field(default_factory=dict)
    _last_id: int = 20

    def join(self, api: Api) -> None:
        for method, path, answer in (
            ("GET", "/permissions", self._permissions),
            ("GET", "/robots", self._list),
            ("POST", "/robots", self._create),
            ("GET", "/robots/{id}", lambda asked: Answer(200, self._json(self._known(asked)))),
            ("PUT", "/robots/{id}", self._update),
            ("PATCH", "/robots/{id}", self._refresh),
            ("DELETE", "/robots/{id}", self._delete),
        ):
            api.add(method, path, answer)

    def full_name(self, robot: Robot) -> str:
        return f"{self.source.settings.get('robot_name_prefix', 'robot$')}{robot.name}"

    @property
    def names(self) -> list[str]:
        return [self.full_name(robot) for robot in self.made.values()]

    # -- asking

    def _permissions(self, asked: Asked) -> Answer:
        if not self._generation.lists_permissions:
            raise Refused(404, "NOT_FOUND", f"path {asked.path} was not found")
        account = _logged_in(asked)
        if not account.manages_robots(account.project):
            raise Refused(403, "FORBIDDEN", "only admins(system and project) can access permissions")
        scopes = (PROJECT, SYSTEM) if account.role is Role.ADMIN else (PROJECT,)
        return Answer(200, {scope: [*self._grantable(scope)] for scope in scopes})

    def _grantable(self, scope: str) -> Iterable[dict[str, str]]:
        for resource, actions in _GRANTABLE[scope].items():
            for action in actions.split():
                if (resource, action) not in self.withheld:
                    yield {"action": action, "resource": resource}

    def _list(self, asked: Asked) -> Answer:
        account, wanted = _logged_in(asked), listing(asked.params)
        level = _exact(wanted, "Level") or SYSTEM
        if level not in (SYSTEM, PROJECT):
            raise _bad("bad request error level input")
        project_id = _exact(wanted, "ProjectID")
        if level == PROJECT and project_id is None:
            raise _bad("must with project ID when to query project robots")
        project = self.source.registry().project(project_id) if project_id and level == PROJECT else None
        self._must_manage(account, project.name if project else None)
        here = [robot for robot in self.made.values() if robot.level == level and robot.project == project]
        columns = {key: column for key, column in _COLUMNS.items() if key not in self.ignored}
        found, total = wanted.select(here, columns, ("-id",))
        return Answer(200, [self._json(robot) for robot in found], {"X-Total-Count": str(total)})

    def _json(self, robot: Robot) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "creation_time": api_time(robot.created_at),
            "description": robot.description,
            "disable": robot.is_disabled,
            "duration": robot.duration,
            "editable": True,
            "expires_at": _expiry(robot),
            "id": robot.id,
            "level": robot.level,
            "name": self.full_name(robot),
            "permissions": list(robot.permissions),
            "update_time": api_time(robot.created_at),
        }
        return answer | ({"creator_ref": 1, "creator_type": "local"} if self._generation.names_creators else {})

    # -- changing

    def _create(self, asked: Asked) -> Answer:
        wanted = _object(asked)
        name = str(wanted.get("name", ""))
        if not _NAME.fullmatch(name):
            raise _bad("robot name is not in lower case or contains illegal characters")
        permissions = self._validated(wanted)
        account = _logged_in(asked)
        project = self._project_of(wanted["level"], permissions, account)
        self._last_id += 1
        robot = Robot(
            id=self._last_id,
            name=f"{project.name}+{name}" if project else name,
            level=wanted["level"],
            project=project,
            permissions=permissions,
            duration=wanted.get("duration") or 30,
            description=str(wanted.get("description", "")),
            created_at=self.source.now(),
            secret=_secret(),
        )
        if any((each.name, each.project) == (robot.name, robot.project) for each in self.made.values()):
            project_id = project.id if project else 0
            raise Refused(409, "CONFLICT", f"robot account {project_id}:{robot.name} already exists")
        self._seat(robot)
        if isinstance(self.source, World):
            self.source.create_robot(self.full_name(robot), account.name)
        body = {
            "creation_time": api_time(robot.created_at),
            "expires_at": _expiry(robot),
            "id": robot.id,
            "name": self.full_name(robot),
            "secret": robot.secret,
        }
        return Answer(201, body, {"Location": f"{asked.path}/{robot.id}"})

    def _validated(self, wanted: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
        duration, level = wanted.get("duration", 0), wanted.get("level")
        least = 1 if self._generation.lists_permissions else 0
        if duration != -1 and not (isinstance(duration, int) and least <= duration < _LONGEST):
            raise _bad(f"bad request error duration input: {duration}")
        if level not in (SYSTEM, PROJECT):
            raise _bad(f"bad request error level input: {level}")
        permissions = tuple(wanted.get("permissions") or ())
        if not permissions:
            raise _bad("bad request empty permission")
        if not all(block.get("access") for block in permissions):
            raise _bad("bad request empty access")
        if level == PROJECT and len(permissions) > 1:
            raise _bad("bad request permission")
        if self._generation.lists_permissions:
            self._check_pairs(permissions)
        return permissions

    def _check_pairs(self, permissions: Iterable[Mapping[str, Any]]) -> None:
        for block in permissions:
            if block["kind"] not in (SYSTEM, PROJECT):
                raise _bad(f"bad request permission level: {block['kind']}")
            known = {(each["resource"], each["action"]) for each in self._grantable(block["kind"])}
            for access in block["access"]:
                if (access["resource"], access["action"]) not in known:
                    raise _bad(f"bad request permission: {access['resource']}:{access['action']}")

    def _project_of(self, level: str, permissions: Iterable[Mapping[str, Any]], account: Account) -> Project | None:
        """The project of a project's robot, None of the system's. All that are named must be there."""
        named = [block["namespace"] for block in permissions if block["kind"] == PROJECT and block["namespace"] != "*"]
        of_project = level == PROJECT
        self._must_manage(account, named[0] if of_project and named else None)
        for name in named:
            if self.source.registry().project(name, is_name=True) is None:
                raise Refused(404, "NOT_FOUND", f"project {name} not found")
        return self.source.registry().project(named[0], is_name=True) if of_project else None

    def _seat(self, robot: Robot) -> None:
        """From now on it can log in, if it is not disabled and until it expires."""
        self.made[robot.id] = robot
        name = self.full_name(robot)
        self.accounts[name] = Account(
            name,
            robot.secret,
            Role.GRANTED_ROBOT,
            grants=robot.grants,
            is_disabled=robot.is_disabled,
            expires_at=robot.expires_at,
        )

    def _update(self, asked: Asked) -> Answer:
        robot, wanted = self._known(asked), _object(asked)
        permissions = self._validated(wanted)
        if wanted["level"] != robot.level or wanted.get("name") != self.full_name(robot):
            raise _bad("cannot update the level or name of robot")
        changed = replace(
            robot,
            permissions=permissions,
            duration=wanted["duration"],
            description=str(wanted.get("description", "")),
            is_disabled=bool(wanted.get("disable")),
        )
        self._seat(changed)
        return Answer(200, "", {"Content-Type": "text/plain"})

    def _refresh(self, asked: Asked) -> Answer:
        robot = self._known(asked)
        if _object(asked).get("secret"):
            raise _bad("the stand-in draws secrets itself")
        self._seat(replace(robot, secret=_secret()))
        return Answer(200, {"secret": self.made[robot.id].secret})

    def _delete(self, asked: Asked) -> Answer:
        robot = self._known(asked)
        name = self.full_name(robot)
        del self.made[robot.id]
        self.accounts.pop(name, None)
        if isinstance(self.source, World):
            self.source.delete_robot(name, _logged_in(asked).name)
        return Answer(200, "", {"Content-Type": "text/plain"})

    def _known(self, asked: Asked) -> Robot:
        """The path's robot, if the caller may touch it."""
        account = _logged_in(asked)
        robot = self.made.get(int(asked.part["id"]) if asked.part["id"].isdecimal() else 0)
        if robot is None:
            raise Refused(404, "NOT_FOUND", f"robot with id {asked.part['id']} not found")
        self._must_manage(account, robot.project.name if robot.project else None)
        return robot

    def _must_manage(self, account: Account, project: str | None) -> None:
        if not account.manages_robots(project):
            raise Refused(403, "FORBIDDEN", "forbidden")

    @property
    def _generation(self) -> Generation:
        return self.source.generation


def _logged_in(asked: Asked) -> Account:
    if asked.account is None:
        raise Refused(401, "UNAUTHORIZED", "unauthorized")
    return asked.account


def _bad(message: str) -> Refused:
    return Refused(400, "BAD_REQUEST", message)


def _object(asked: Asked) -> Mapping[str, Any]:
    try:
        found = json.loads(asked.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused(422, "UNPROCESSABLE_ENTITY", "parsing robot body failed")
    return found


def _exact(wanted: Listing, key: str) -> str | None:
    pattern = wanted.filters.get(key)
    return pattern.value if isinstance(pattern, Exact) else None


def _expiry(robot: Robot) -> int:
    return int(robot.expires_at.timestamp()) if robot.expires_at else -1


def _secret() -> str:
    """32 letters and digits, of each kind at least one."""
    while True:
        drawn = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32))
        if any(map(str.islower, drawn)) and any(map(str.isupper, drawn)) and any(map(str.isdigit, drawn)):
            return drawn


_COLUMNS: Columns[Robot] = {
    "id": Column(Kind.INT8, lambda robot: robot.id),
    "name": Column(Kind.TEXT, lambda robot: robot.name),
}
