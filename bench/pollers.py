"""The usual ways of polling an audit log, written as well as a page of code allows.

Each keeps in memory or in a file what such a script keeps, and notes the ids that it would tell.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from demo.harbor import Account

Row = dict[str, Any]
FULL_PAGE = 100


class Api:
    """Asks Harbor over one connection that is kept."""

    def __init__(self, url: str, account: Account) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
        token = b64encode(f"{account.name}:{account.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"}

    def get(self, path: str, **params: str | int) -> Any:
        self._connection.request("GET", f"/api/v2.0{path}?{urlencode(params)}", headers=self._headers)
        return json.loads(self._connection.getresponse().read())


class AuditLog:
    """Asks for pages of the log."""

    def __init__(self, url: str, account: Account) -> None:
        self._api = Api(url, account)

    def page(self, **params: str | int) -> list[Row]:
        found: list[Row] = self._api.get("/auditlog-exts", **params)
        return found

    def since(self, start: datetime) -> Iterator[Row]:
        """Every row of a time from `start` on, in the order of time."""
        bound = start.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
        number = 0
        found: list[Row] | None = None
        while found is None or len(found) == FULL_PAGE:
            number += 1
            found = self.page(q=f"op_time=[{bound}~]", sort="op_time,id", page=number, page_size=FULL_PAGE)
            yield from found


class Peer(Protocol):
    """A way of polling."""

    @property
    def name(self) -> str: ...

    @property
    def told(self) -> Sequence[int]:
        """Ids of rows, as often as they would be told."""

    def start(self, now: datetime) -> None: ...
    def poll(self, now: datetime) -> None: ...
    def restart(self, now: datetime) -> None: ...


class NewestPages:
    """Reads the newest rows, unfiltered, page by page until one that is known. What is known is in memory."""

    name = "newest pages"

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._known: set[int] = set()
        self.told: list[int] = []

    def start(self, now: datetime) -> None:  # noqa: ARG002 -- this one needs no clock
        self._known = {row["id"] for row in self._log.page(page_size=10)}

    def poll(self, now: datetime) -> None:  # noqa: ARG002 -- this one needs no clock
        new = list(self._until_known())
        self._known.update(new)
        self.told += reversed(new)

    def restart(self, now: datetime) -> None:
        self.start(now)

    def _until_known(self) -> Iterator[int]:
        number = 0
        while True:
            number += 1
            for row in self._log.page(page=number, page_size=10):
                if row["id"] in self._known:
                    return
                yield row["id"]


class AfterNewestTime:
    """Reads what is newer than the newest row told. Its only memory is that time, which is in a file."""

    name = "after last op_time"

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._newest = ""
        self.told: list[int] = []

    def start(self, now: datetime) -> None:
        self._newest = max((row["op_time"] for row in self._log.since(now - timedelta(hours=1))), default="")

    def poll(self, now: datetime) -> None:
        start = datetime.fromisoformat(self._newest) if self._newest else now
        new = [row for row in self._log.since(start) if row["op_time"] > self._newest]
        self.told += [row["id"] for row in new]
        self._newest = max((row["op_time"] for row in new), default=self._newest)

    def restart(self, now: datetime) -> None:
        """The file is still there."""


class TimeWindow:
    """Reads the last two minutes again every time, and tells the ids that it has not met. They are in memory."""

    name = "last 2 minutes"
    WINDOW = timedelta(minutes=2)

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._known: set[int] = set()
        self.told: list[int] = []

    def start(self, now: datetime) -> None:
        self._known = {row["id"] for row in self._log.since(now - self.WINDOW)}

    def poll(self, now: datetime) -> None:
        new = [row["id"] for row in self._log.since(now - self.WINDOW) if row["id"] not in self._known]
        self._known.update(new)
        self.told += new

    def restart(self, now: datetime) -> None:  # noqa: ARG002 -- nothing is read: it begins with an empty memory
        self._known = set()
