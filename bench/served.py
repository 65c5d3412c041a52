"""A Harbor in a process of its own that serves a log from pages prepared beforehand.

`python -m bench.served ROWS START APART` prints its url once the rows are there. An answer is one slice of them and one
`sendall`, so that next to nothing of the time measured is the server's. What is no question for the log is answered
by the stand-in, as a registry that has the log's repositories and no past of its own.

Questions for ids, for times, for both, by page, in either order; what else a log can be asked is refused with 501.
"""

from __future__ import annotations

import mmap
import re
import socket
import subprocess
import sys
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from socketserver import BaseRequestHandler, ThreadingTCPServer
from tempfile import TemporaryFile
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from bench.log import APART, START, RowLog
from bench.material import BusyRegistry, Clock
from demo.door import Call, Reply
from demo.harbor import POLLER, HarborStandIn
from poller.rows import PAGE

OLD_LOG = "/old-log"
"""Below this path the same rows are at `/api/v2.0/audit-logs` too, for who knows no other log."""
LOG_PATHS = frozenset({"/api/v2.0/auditlog-exts", f"{OLD_LOG}/api/v2.0/audit-logs"})
_CONTROL = "/bench/"
_RANGE = re.compile(r"(id|op_time)=\[([^~\]]*)~([^\]]*)\](?:,|$)")
_END = b"\r\n\r\n"


class Meter(msgspec.Struct, frozen=True):
    """What was asked and answered so far; `traffic`: bytes in both directions, heads included."""

    requests: int = 0
    traffic: int = 0
    rows: int = 0
    pages: int = 0  # of the log

    def __sub__(self, other: Meter) -> Meter:
        return Meter(*(getattr(self, name) - getattr(other, name) for name in self.__struct_fields__))


# -- from outside -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Served:
    """The server as the benchmark sees it, from whichever process."""

    url: str

    def show(self, rows: int) -> None:
        """So many rows are in the log from now on."""
        self._tell("PUT", f"visible/{rows}")

    def meter(self) -> Meter:
        return msgspec.json.decode(self._tell("GET", "meter"), type=Meter)

    def _tell(self, method: str, what: str) -> bytes:
        connection = HTTPConnection(urlsplit(self.url).netloc)
        connection.request(method, _CONTROL + what)
        answer = connection.getresponse().read()
        connection.close()
        return answer


@contextmanager
def served(rows: int, *, start: datetime = START, apart: timedelta = APART) -> Iterator[Served]:
    """A log of so many rows, all of them visible, as long as this is open."""
    command = [sys.executable, "-m", "bench.served", str(rows), start.isoformat(), repr(apart / timedelta(seconds=1))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield Served(process.stdout.readline().strip())
        finally:
            process.communicate()  # its standard input ends, and so does it


# -- inside -----------------------------------------------------------------------------------------


class Rows:
    """All rows one behind the other, so that a page is a slice. They are in a file, and so nobody's memory."""

    def __init__(self, log: RowLog, count: int) -> None:
        self._ends = array("Q", [0])
        with TemporaryFile() as file:
            for number in range(1, count + 1):
                self._ends.append(self._ends[-1] + file.write(log.row(number) + b","))
            file.flush()
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def between(self, first: int, last: int) -> bytes:
        """Rows with a comma between two of them; both ends belong to it."""
        return self._text[self._ends[first - 1] : self._ends[last] - 1] if first <= last else b""

    def backwards(self, first: int, last: int) -> bytes:
        return b",".join(self.between(number, number) for number in range(last, first - 1, -1))


class PreparedHarbor(HarborStandIn):
    def __init__(self, log: RowLog, rows: int) -> None:
        super().__init__(BusyRegistry(Clock(log.start)).world, [POLLER])
        self._log = log
        self._rows = Rows(log, rows)
        self._visible = rows
        self._met = [0, 0, 0, 0]

    def answered(self, head: bytes) -> bytes:
        """The whole answer to a request without a body."""
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        path, _, query = target.partition("?")
        if path.startswith(_CONTROL):
            return _whole(self._controlled(path.removeprefix(_CONTROL)))
        rows = 0
        if path in LOG_PATHS:
            answer, rows = self._page(path, dict(parse_qsl(query)))
        else:
            answer = _whole(self._answer(Call(target, _headers(head), b"", method)))
        for number, count in enumerate((1, len(head) + len(_END) + len(answer), rows, path in LOG_PATHS)):
            self._met[number] += count
        return answer

    def _controlled(self, what: str) -> Reply:
        name, _, value = what.partition("/")
        if name == "visible":
            assert int(value) <= len(self._rows)
            self._visible = int(value)
        return Reply(200, msgspec.json.encode(Meter(*self._met)))

    def _page(self, path: str, asked: Mapping[str, str]) -> tuple[bytes, int]:
        """The answer, and how many rows are on it."""
        question, page, size = asked.get("q", ""), int(asked.get("page", "1")), int(asked.get("page_size", "10"))
        if _RANGE.sub("", question) or not 0 < size <= PAGE:
            return _whole(Reply(501, b"[]")), 0
        first, last = self._matching(question)
        total = max(0, last - first + 1)
        if asked.get("sort", "").startswith("-"):
            last -= (page - 1) * size
            body = self._rows.backwards(max(first, last - size + 1), last)
        else:
            first += (page - 1) * size
            body = self._rows.between(first, min(first + size - 1, last))
        count = max(0, min(size, total - (page - 1) * size))
        return _whole(Reply(200, b"[%b]" % body, headers=_paging(path, asked, page, size, total))), count

    def _matching(self, question: str) -> tuple[int, int]:
        """The numbers of the first and the last row, by what ids and times are asked for."""
        first, last = 1, self._visible
        for name, low, high in _RANGE.findall(question):
            if low:
                first = max(first, int(low) if name == "id" else self._log.first_since(_moment(low)))
            if high:
                last = min(last, int(high) if name == "id" else self._log.last_until(_moment(high)))
        return first, last


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _paging(path: str, asked: Mapping[str, str], page: int, size: int, total: int) -> dict[str, str]:
    """As Harbor says it: unescaped, and with the path that it is known by itself."""
    more = "".join(f"&{name}={asked[name]}" for name in ("q", "sort") if name in asked)
    path = path.removeprefix(OLD_LOG)
    links = [(page - 1, "prev")] if page > 1 else []
    links += [(page + 1, "next")] if page * size < total else []
    text = " , ".join(f'<{path}?page={number}&page_size={size}{more}>; rel="{word}"' for number, word in links)
    return {"X-Total-Count": str(total)} | ({"Link": text} if text else {})


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.partition(": ") for line in head.decode().split("\r\n")[1:])
    return {name.lower(): value for name, _, value in lines}


def _whole(reply: Reply) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
    return (
        f"HTTP/1.1 {reply.status} \r\nContent-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n"
        f"{more}\r\n"
    ).encode() + reply.body


class _Connection(BaseRequestHandler):
    request: socket.socket
    server: _Server

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        while True:
            head, end, received = received.partition(_END)
            while not end:
                more = self.request.recv(2**16)
                if not more:
                    return
                head, end, received = (head + more).partition(_END)
            self.request.sendall(self.server.harbor.answered(head))


class _Server(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, harbor: PreparedHarbor) -> None:
        self.harbor = harbor
        super().__init__(("127.0.0.1", 0), _Connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that hang up are no news; our own mistakes are."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def main() -> None:
    rows, start, apart = sys.argv[1:]
    log = RowLog(datetime.fromisoformat(start), timedelta(seconds=float(apart)))
    server = _Server(PreparedHarbor(log, int(rows)))
    Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
