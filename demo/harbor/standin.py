"""A Harbor that runs on loopback: its API over real HTTP, out of a world or the replay of a recorded day.

It knows its accounts, refuses what Harbor refuses, and can fail in every way that Harbor and the proxies before
it fail.
"""

from __future__ import annotations

import base64
import binascii
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from demo.door import Call, Door, Reply
from demo.harbor.accounts import ADMIN, POLLER, Account
from demo.harbor.api import BASE, MASKED, Answer, Api, Asked, failure
from demo.harbor.replay import RECORDED_ACCOUNTS, Replay
from demo.harbor.robots import Robots
from demo.harbor.world import World

ALWAYS = 10**9
"""For `fail(fault, times=ALWAYS)`: until `heal()`."""

LOCKED = timedelta(seconds=1.5)
"""After a failed login with a user's name, that name is refused for so long, with the right password too."""


class Fault(Enum):
    """How answers go wrong."""

    REFUSED = "no connection"
    DROPPED = "the connection ends without an answer"
    BAD_GATEWAY = "502 with the proxy's page: Harbor is being restarted"
    UNAVAILABLE = "503 with the proxy's page"
    GATEWAY_TIMEOUT = "504 with the proxy's page: Harbor was too slow for its proxy"
    INTERNAL = "500, masked"
    HTML = "200 with a page for people: a login portal, or a wrong address"
    TRUNCATED = "the body is shorter than promised"
    PARTIAL = "a list with the first half of its rows, though it says how many there are"
    RESET = "the connection is reset in the middle of the body"
    RESTARTED = "half a body; then no connection, until it is up again"
    SLOW = "late, but right"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    REDIRECTED = "308 to another address"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was answered. `user`: as it was named, right or not; "" when anonymous."""

    method: str
    path: str
    query: str
    user: str
    status: int

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(slots=True)
class _Broken:
    """A fault that is on: for how many requests more, and for which paths."""

    fault: Fault
    left: int
    path: str
    seconds: float
    spared: int


class HarborStandIn:
    """Listens on a port of 127.0.0.1 while it is open, as a context or between `start()` and `stop()`.

    `world` is acted upon from Python; `replay` stands in its place if the day is a recorded one.
    """

    def __init__(
        self,
        source: World | Replay | None = None,
        accounts: Iterable[Account] = (ADMIN, POLLER),
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.source: World | Replay = source if source is not None else World()
        self.accounts = {account.name: account for account in accounts}
        self.faults_met: Counter[Fault] = Counter()
        """How many answers went wrong, and how. Refused connections cannot be counted."""
        self._requests: list[Request] = []
        self._broken: _Broken | None = None
        self._locked_until: dict[str, datetime] = {}
        self._lock = threading.RLock()
        self._api = Api(self.source)
        self.robots = Robots(self.source, self.accounts)
        self.robots.join(self._api)
        self._door = Door(self._answer, port, tls=tls)

    @classmethod
    def from_recording(
        cls, folder: Path, *, as_it_was: bool = True, accounts: Iterable[Account] = RECORDED_ACCOUNTS, port: int = 0
    ) -> HarborStandIn:
        return cls(Replay(folder, as_it_was=as_it_was), accounts, port=port)

    @property
    def world(self) -> World:
        assert isinstance(self.source, World)
        return self.source

    @property
    def replay(self) -> Replay:
        assert isinstance(self.source, Replay)
        return self.source

    # -- being there ------------------------------------------------------------------------------------

    def start(self) -> Self:
        self._door.open()
        return self

    def stop(self) -> None:
        self._door.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"{'https' if self._door.tls else 'http'}://127.0.0.1:{self._door.port}"

    # -- what was asked ---------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Request]:
        """All of them so far, or since `clear()`: a copy."""
        with self._lock:
            return list(self._requests)

    def clear(self) -> None:
        with self._lock:
            self._requests.clear()

    # -- faults -----------------------------------------------------------------------------------------

    def fail(self, fault: Fault, *, times: int = 1, path: str = "", seconds: float = 1.0, after: int = 0) -> None:
        """Let the next requests go wrong, if their path contains `path`; `after` so many that are answered rightly.

        `seconds`: how late a slow answer is, and how long a restart takes.

        Refused connections ignore `times` and `path`: nothing is asked, so nothing can be counted.
        """
        with self._lock:
            self._broken = _Broken(fault, times, path, seconds, after)
        if fault is Fault.REFUSED:
            self._door.close()

    def heal(self) -> None:
        with self._lock:
            self._broken = None
        self._door.open()

    def _fault_for(self, path: str) -> _Broken | None:
        with self._lock:
            broken = self._broken
            if broken is None or broken.left < 1 or broken.path not in path:
                return None
            if broken.spared > 0:
                broken.spared -= 1
                return None
            broken.left -= 1
            self.faults_met[broken.fault] += 1
            return broken

    # -- answering --------------------------------------------------------------------------------------

    def _answer(self, call: Call) -> Reply:
        broken = self._fault_for(call.path)
        if broken is not None and broken.fault is Fault.SLOW:
            time.sleep(broken.seconds)
        reply = self._right_reply(call)
        if broken is not None:
            reply = _FAULTS[broken.fault](reply)
        self._write_down(call, reply)
        if broken is not None and broken.fault is Fault.RESTARTED:
            threading.Thread(target=self._restart, args=(broken.seconds,), daemon=True).start()
        return reply

    def _restart(self, seconds: float) -> None:
        self._door.close()
        time.sleep(seconds)
        with self._lock:
            is_refusing = self._broken is not None and self._broken.fault is Fault.REFUSED
        if not is_refusing:
            self._door.open()

    def _write_down(self, call: Call, reply: Reply) -> None:
        url, user = urlsplit(call.path), _credentials(call)[0]
        with self._lock:
            self._requests.append(Request(call.method, url.path, url.query, user, reply.status))

    def _right_reply(self, call: Call) -> Reply:
        account = self._authenticated(*_credentials(call))
        is_name = call.headers.get("x-is-resource-name", "").lower() == "true"
        if not urlsplit(call.path).path.startswith(("/api/", "/v2/", "/service/")):
            return _PORTAL
        if call.method != "GET" and "sid=" in call.headers.get("cookie", ""):
            answer = failure(403, "FORBIDDEN", "CSRF token not found in request")
        elif ";" in urlsplit(call.path).query:
            answer = failure(400, "BAD_REQUEST", "invalid semicolon separator in query")
        else:
            asked = Asked.of(call.path, account, is_name=is_name, method=call.method, body=call.body)
            with self.source.lock:
                answer = self._api.answer(asked)
        return _reply(answer, call)

    def _authenticated(self, name: str, password: str) -> Account | None:
        """None: anonymous. Robots are known by their secret before anybody looks at locked names."""
        account = self.accounts.get(name)
        is_right = account is not None and account.password == password and account.is_in_force(self.source.now)
        if not name or (account and account.is_robot and is_right):
            return account
        with self._lock:
            now = self.source.now()
            if now < self._locked_until.get(name, now):
                return None
            if not is_right:
                self._locked_until[name] = now + LOCKED
        return account if is_right else None


def _credentials(call: Call) -> tuple[str, str]:
    """(name, password); both empty when there are none."""
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, password = base64.b64decode(token).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


def _reply(answer: Answer, call: Call) -> Reply:
    headers = {"X-Request-Id": call.headers.get("x-request-id") or str(uuid4()), **answer.headers}
    if "sid=" not in call.headers.get("cookie", ""):
        headers["Set-Cookie"] = f"sid={uuid4().hex}; Path=/; HttpOnly"
    content_type = headers.pop("Content-Type", "application/json")
    body = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":")) + "\n"
    if content_type == "text/plain":
        body = str(answer.body)
    return Reply(answer.status, body.encode(), content_type, headers)


_PORTAL = Reply(
    200,
    b"<!doctype html><html><head><title>Harbor</title></head><body><harbor-app></harbor-app></body></html>",
    "text/html",
)
"""What its nginx gives for every path that is not the API's."""

# -- how answers go wrong -----------------------------------------------------------------------------------


def _proxy_page(status: int, reason: str) -> Callable[[Reply], Reply]:
    page = (
        f"<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n"
        f"<center><h1>{status} {reason}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return lambda _: Reply(status, page.encode(), "text/html")


def _instead(answer: Answer) -> Callable[[Reply], Reply]:
    body = json.dumps(answer.body).encode()
    return lambda _: Reply(answer.status, body, "application/json; charset=utf-8")


def _truncated(right: Reply) -> Reply:
    """Half the body, and then the end of the connection."""
    headers = {**right.headers, "Content-Length": str(len(right.body) + 100), "Connection": "close"}
    return Reply(right.status, right.body[: len(right.body) // 2], right.content_type, headers)


def _cut_off(right: Reply) -> Reply:
    """Half the body, and then a reset."""
    headers = {**right.headers, "Content-Length": str(len(right.body))}
    return Reply(right.status, right.body[: len(right.body) // 2], right.content_type, headers, is_reset=True)


def _partial(right: Reply) -> Reply:
    """Whole JSON: nothing but the count in the header tells that rows are missing. What is no list stays whole."""
    if right.status != 200 or not right.body.startswith(b"["):
        return right
    rows = json.loads(right.body)
    return replace(right, body=json.dumps(rows[: len(rows) // 2]).encode())


def _redirected(_: Reply) -> Reply:
    return Reply(308, b"", "text/html", {"Location": f"https://harbor.example.com{BASE}/"})


_FAULTS: dict[Fault, Callable[[Reply], Reply]] = {
    Fault.REFUSED: lambda _: Reply(0),  # a connection that was there already
    Fault.SLOW: lambda right: right,
    Fault.DROPPED: lambda _: Reply(0),
    Fault.BAD_GATEWAY: _proxy_page(502, "Bad Gateway"),
    Fault.UNAVAILABLE: _proxy_page(503, "Service Temporarily Unavailable"),
    Fault.GATEWAY_TIMEOUT: _proxy_page(504, "Gateway Time-out"),
    Fault.INTERNAL: _instead(MASKED),
    Fault.HTML: lambda _: Reply(200, b"<!DOCTYPE html><html><body>Please log in</body></html>", "text/html"),
    Fault.TRUNCATED: _truncated,
    Fault.PARTIAL: _partial,
    Fault.RESET: _cut_off,
    Fault.RESTARTED: _cut_off,
    Fault.UNAUTHORIZED: _instead(failure(401, "UNAUTHORIZED", "unauthorized")),
    Fault.FORBIDDEN: _instead(failure(403, "FORBIDDEN", "forbidden")),
    Fault.REDIRECTED: _redirected,
}
