"""The administrator's calls to Harbor, which `setup` makes once: creating the robot, and deleting it again.

Unlike the client in poller/harbor.py this one changes things. It keeps no cookie: with Harbor's session cookie a change
would need a token against forged requests. Its password is in no text that leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TypeVar

import msgspec
import requests
import urllib3
from requests.auth import HTTPBasicAuth

from poller.answers import Answer, refusal
from poller.config_values import leads_here
from poller.errors import HarborGarbled, HarborUnreachable, NotFound, OperatorError
from poller.harbor import IN_HASTE, CurrentUser, Harbor
from poller.logs import Redactor
from poller.queries import q
from poller.robots import Grantable, Robot, WantedRobot
from poller.rows import Project, Server
from poller.secret import Secret

_API = "/api/v2.0"
_T = TypeVar("_T")
_HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "harbor-poller",
    "Connection": "close",  # a person takes minutes to answer, and a change cannot simply be sent again
}


class RobotExists(OperatorError):
    """Harbor has a robot of that name."""


class _Created(msgspec.Struct, frozen=True):
    id: int
    name: str
    secret: str


class _Renewed(msgspec.Struct, frozen=True):
    secret: str


class Administrator:
    """One login, to be closed as soon as possible. Errors are those of poller/errors.py."""

    def __init__(
        self,
        url: str,
        name: str,
        password: Secret,
        *,
        ca_file: Path | None,
        proxy: str | None,
        timeout: float,
        sleep: Callable[[float], None],
    ) -> None:
        self.name = name
        self._reader = Harbor(
            url, name, password, ca_file=ca_file, proxy=proxy, timeout=timeout, sleep=sleep, pauses=IN_HASTE
        )
        self._url = url
        self._verify: bool | str = str(ca_file) if ca_file else True
        self._proxies = {"http": proxy, "https": proxy} if proxy else None
        self._timeout = timeout
        self._redactor = Redactor((password, Secret(f"{name}:{password.reveal()}")))
        self._session = requests.Session()
        self._session.auth = HTTPBasicAuth(name.encode(), password.reveal().encode())
        self._session.trust_env = not leads_here(url)
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def close(self) -> None:
        """And forget the login."""
        self._reader.close()
        self._session.close()
        self._session.auth = None

    # -- looking

    def user(self) -> CurrentUser:
        """Who this is. Raises WrongCredentials."""
        return self._reader.current_user()

    def server(self) -> Server:
        return self._reader.server()

    def project(self, name: str) -> Project | None:
        return self._reader.project(name)

    def grantable(self) -> Grantable | None:
        """What a robot can be given; None: anything, as Harbor before 2.10 has no list."""
        try:
            return self._ask("GET", "/permissions", Grantable)
        except NotFound:
            return None

    def find(self, wanted: WantedRobot) -> Robot | None:
        """The robot that has this one's name already."""
        where = {"name": wanted.stored_name}
        if wanted.project is not None:
            project = self.project(wanted.project)
            where |= {"Level": "project", "ProjectID": str(project.project_id if project else 0)}
        found = self._ask("GET", "/robots", tuple[Robot, ...], params={"q": q(**where)})
        return next((robot for robot in found if self._is_it(robot, wanted)), None)

    def _is_it(self, robot: Robot, wanted: WantedRobot) -> bool:
        """Whether it has exactly that name: `my-poller` is somebody else's.

        Harbor compares the stored name exactly (src/lib/orm/query.go), but ignores a filter whose key it does not
        know. It stores `name`, or `project+name`, and shows that behind its prefix (src/controller/robot/controller.go:
        Create, populate), which only an administrator of the system may read. To one of a project it lists that
        project's robots alone (src/server/v2.0/handler/robot.go: ListRobot), and no name has a `+` of its own.
        """
        prefix = (self._reader.configuration() or {}).get("robot_name_prefix")
        if prefix is not None:
            return robot.name == f"{prefix}{wanted.stored_name}"
        return wanted.project is not None and robot.name.endswith(wanted.stored_name)

    # -- changing

    def create(self, wanted: WantedRobot) -> tuple[Robot, Secret]:
        """Raises RobotExists when the name is taken."""
        made = self._ask("POST", "/robots", _Created, wanted)
        return Robot(made.id, made.name), Secret(made.secret)

    def change(self, robot: Robot, wanted: WantedRobot) -> None:
        """Give a robot that exists these rights instead of its own."""
        self._call("PUT", f"/robots/{robot.id}", msgspec.structs.replace(wanted, name=robot.name))

    def renew(self, robot: Robot) -> Secret:
        """A new secret; the old one ends."""
        return Secret(self._ask("PATCH", f"/robots/{robot.id}", _Renewed, {}).secret)

    def delete(self, robot: Robot) -> None:
        self._call("DELETE", f"/robots/{robot.id}")

    # -- asking

    def _ask(
        self, method: str, path: str, kind: type[_T], body: object = None, params: Mapping[str, str] | None = None
    ) -> _T:
        answer = self._call(method, path, body, params)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except msgspec.MsgspecError as error:
            raise HarborGarbled(f"{answer.where}: the answer is not what Harbor's API promises: {error}") from None

    def _call(self, method: str, path: str, body: object = None, params: Mapping[str, str] | None = None) -> Answer:
        answer = self._exchange(method, path, None if body is None else msgspec.json.encode(body), params)
        if answer.status == 409:
            raise RobotExists(
                f"{answer.where}: Harbor has a robot of that name already, which is not listed: another name with"
                " --robot-name"
            )
        if answer.status not in (200, 201):
            raise refusal(answer, self.name, self._redactor.redact)
        return answer

    def _exchange(self, method: str, path: str, body: bytes | None, params: Mapping[str, str] | None) -> Answer:
        where = f"{self._url.partition('://')[2]}{_API}{path}"
        try:
            with self._session.request(
                method,
                self._url + _API + path,
                params=dict(params or {}),
                data=body,
                headers=_HEADERS,
                timeout=self._timeout,
                allow_redirects=False,
                verify=self._verify,
                proxies=self._proxies,
            ) as response:
                return Answer(where, response.url, "", response.status_code, response.headers, response.content)
        except (OSError, urllib3.exceptions.HTTPError) as error:
            failed = type(error).__name__
        raise HarborUnreachable(f"{where}: Harbor gave no answer ({failed})")  # outside: the exception has the login
