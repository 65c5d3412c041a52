"""A loopback HTTP server whose door can be closed and opened again, for stand-ins of what lives far away."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it arrived; `path` with its query, `headers` with lower-case names."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes over the wire; status 0 drops the connection instead. `is_reset`: it ends with a TCP reset."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    is_reset: bool = False


_TLS_HANDSHAKE = b"\x16"
_PLAIN = "400 The plain HTTP request was sent to HTTPS port"
_PLAIN_HTTP = Reply(
    400, f"<html>\r\n<head><title>{_PLAIN}</title></head>\r\n<body>\r\n</body>\r\n</html>".encode(), "text/html"
)


class Door:
    """The listening socket on a port that stays the same; port 0: any that is free. `tls`: it speaks HTTPS."""

    def __init__(self, answer: Callable[[Call], Reply], port: int = 0, *, tls: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self.tls = tls
        self._server: _Server | None = None
        self._lock = threading.Lock()
        self.port = port

    def open(self) -> None:
        with self._lock:
            if self._server is not None:
                return
            self._server = _Server(("127.0.0.1", self.port), self._answer, self.tls)
            self.port = self._server.server_address[1]
            # A short poll, for closing waits for it.
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections from now on, and end those that are kept alive."""
        with self._lock:
            if self._server is None:
                return
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a kept-alive connection would hold it up

    def __init__(
        self, address: tuple[str, int], answer: Callable[[Call], Reply], tls: ssl.SSLContext | None = None
    ) -> None:
        self.answer = answer
        self.tls = tls
        self._connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def hang_up(self) -> None:
        for connection in tuple(self._connections):
            _cut(connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """No traceback for callers that hang up: tests and demo provoke them."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise the last packet of an answer waits 40 ms for the first one's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        """Whoever does not speak TLS to a port of HTTPS is answered in plain HTTP, as nginx does."""
        if self.server.tls is not None and self.request.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        is_plain = self.server.tls is not None and not isinstance(self.connection, ssl.SSLSocket)
        call = Call(self.path, headers, body, self.command)
        reply = _PLAIN_HTTP if is_plain else self.server.answer(call)
        if reply.status == 0:
            self.close_connection = True
            _cut(self.connection)
        else:
            self._write(reply)

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST

    def _write(self, reply: Reply) -> None:
        self.send_response(reply.status)
        headers = {"Content-Type": reply.content_type, "Content-Length": str(len(reply.body)), **reply.headers}
        if self.close_connection:  # as it was asked for; otherwise the caller would try this connection again
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)
        if reply.is_reset:
            self.wfile.flush()
            self.close_connection = True
            _reset(self.connection)

    def log_message(self, format: str, *args: object) -> None:
        """Silent, for paths may hold secrets."""


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _reset(connection: socket.socket) -> None:
    """End it as a crash does: not with a FIN, but with an RST. The kernel sends one if nothing may linger."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(connection.detach())
