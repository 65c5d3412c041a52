"""A small HTTP server for who watches the program: a few pages to be read, and nothing that can be done."""

from __future__ import annotations

import errno
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from poller.config_values import Address
from poller.errors import ConfigError
from poller.logs import Log

TEXT = "text/plain; charset=utf-8"
MOST_CONNECTIONS = 8
"""At once. Who comes then takes the place of the one that is there for longest."""
_SILENCE_SECONDS = 10
_REMEDIES = {
    errno.EADDRINUSE: "another program, or another poller, listens there: choose another port",
    errno.EACCES: "this user may not listen there: choose a port above 1023",
    errno.EADDRNOTAVAIL: "this machine does not have that address: use 127.0.0.1, or one that `ip address` shows",
}

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    body: bytes
    content_type: str = TEXT
    status: int = HTTPStatus.OK

    @classmethod
    def of_json(cls, content: Mapping[str, object], status: int = HTTPStatus.OK) -> Page:
        return cls(f"{json.dumps(content, ensure_ascii=False)}\n".encode(), "application/json", status)


Pages = Mapping[str, Callable[[str], Page]]
"""What there is, by path; each page is made for the request's Accept header."""


class Server:
    """Listens from its making on, and answers while it is entered. Raises ConfigError where it cannot listen."""

    def __init__(self, address: Address, pages: Pages) -> None:
        self._server = _listening(address, pages)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True)
        self.address = Address(address.host, self._server.server_address[1])

    def __enter__(self) -> Server:
        self._thread.start()
        _log.info("metrics.listening", address=str(self.address))
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _listening(address: Address, pages: Pages) -> _Server:
    try:
        family, *_, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        return _Server(family, where, pages)
    except OSError as error:
        said = _REMEDIES.get(error.errno or 0, "correct the address")
        raise ConfigError(f"[metrics] listen = {address}: {error.strerror or error}; {said}") from None


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 2 * MOST_CONNECTIONS

    def __init__(self, family: socket.AddressFamily, where: Any, pages: Pages) -> None:
        self.address_family = family
        self.pages = pages
        self._open: dict[socket.socket, None] = {}  # in the order of their coming
        self._opening = threading.Lock()
        super().__init__(where, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._opening:
            while len(self._open) >= MOST_CONNECTIONS:
                eldest = next(iter(self._open))
                del self._open[eldest]
                with suppress(OSError):
                    eldest.shutdown(socket.SHUT_RDWR)  # its thread reads an end, and closes it
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._opening:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 -- socketserver's signature
        """Mostly somebody who hung up; in any case no reason to print a traceback on standard error."""
        _log.debug("metrics.request_broken")


class _Handler(BaseHTTPRequestHandler):
    """One answer a connection, in HTTP/1.0."""

    server: _Server
    timeout = _SILENCE_SECONDS

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        self._reply(page(self.headers.get("Accept", "")) if page else Page(b"no such page\n", status=404))

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 -- the library's signature
        """What the library refuses itself; what it has no method for, it calls not implemented."""
        code = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else code
        self._reply(Page(f"{HTTPStatus(code).phrase.lower()}\n".encode(), status=code))

    def _reply(self, page: Page) -> None:
        """Without a word on which software this is."""
        self.send_response_only(page.status)
        headers = {"Content-Type": page.content_type, "Content-Length": len(page.body), "Cache-Control": "no-store"}
        headers |= {"Allow": "GET, HEAD"} if page.status == HTTPStatus.METHOD_NOT_ALLOWED else {}
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nobody wants to read of every scrape."""
