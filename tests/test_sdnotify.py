"""What systemd hears, on real datagram sockets."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from poller import sdnotify


class Systemd:
    """The receiving end: a socket as systemd opens one for each service."""

    def __init__(self, address: str, environ_name: str) -> None:
        self.environ = {"NOTIFY_SOCKET": environ_name}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(2)

    def heard(self) -> str:
        return self._socket.recv(4096).decode()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    path = str(tmp_path / "notify")
    abstract = f"harbor-poller-test-{secrets.token_hex(8)}"
    address, name = {"path": (path, path), "abstract": (f"\0{abstract}", f"@{abstract}")}[request.param]
    receiver = Systemd(address, name)
    yield receiver
    receiver.close()


def test_states_arrive_as_one_datagram_each(systemd: Systemd) -> None:
    """Both kinds of socket names, a path and an abstract `@` name, reach systemd."""
    assert sdnotify.notify("READY=1\nSTATUS=started", systemd.environ)
    assert sdnotify.notify("WATCHDOG=1", systemd.environ)

    assert systemd.heard() == "READY=1\nSTATUS=started"
    assert systemd.heard() == "WATCHDOG=1"


def test_status_is_utf8(systemd: Systemd) -> None:
    """A status line may be in any language."""
    assert sdnotify.notify("STATUS=сообщений: 3 · ждут: 0", systemd.environ)

    assert systemd.heard() == "STATUS=сообщений: 3 · ждут: 0"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_a_socket_nothing_is_said(environ: dict[str, str]) -> None:
    """From a terminal, from cron, or with a kind of address that we do not speak, it is a quiet no."""
    assert not sdnotify.notify("READY=1", environ)


def test_a_dead_socket_does_not_stop_the_daemon(tmp_path: Path) -> None:
    """Nobody listens, or nothing is there: the answer is no, not an exception."""
    gone = tmp_path / "gone"
    left_over = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    left_over.bind(str(tmp_path / "left-over"))
    left_over.close()

    assert not sdnotify.notify("WATCHDOG=1", {"NOTIFY_SOCKET": str(gone)})
    assert not sdnotify.notify("WATCHDOG=1", {"NOTIFY_SOCKET": str(tmp_path / "left-over")})


def test_a_full_queue_does_not_hang_the_daemon(systemd: Systemd) -> None:
    """systemd may be too busy to read: the call comes back and says that it was not heard."""
    most = 10_000
    heard = next(i for i in range(most) if not sdnotify.notify("WATCHDOG=1", systemd.environ))

    assert 0 < heard < most
    assert systemd.heard() == "WATCHDOG=1"
    assert sdnotify.notify("WATCHDOG=1", systemd.environ), "room again: heard again"


def test_the_watchdog_interval_is_in_seconds() -> None:
    """systemd gives microseconds."""
    mine = {"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": str(os.getpid())}

    assert sdnotify.watchdog_seconds(mine) == 120.0
    assert sdnotify.watchdog_seconds({"WATCHDOG_USEC": "1500000"}) == 1.5, "no pid: meant for whoever reads it"


def test_a_watchdog_for_another_process_is_not_ours() -> None:
    """A child inherits the environment of the service, but not its duty."""
    assert sdnotify.watchdog_seconds({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": str(os.getpid() + 1)}) is None


@pytest.mark.parametrize("microseconds", ["", "0", "-5", "soon", "1.5", "²"])
def test_an_interval_that_is_none_is_no_watchdog(microseconds: str) -> None:
    """Nothing, zero or nonsense: nobody watches."""
    assert sdnotify.watchdog_seconds({"WATCHDOG_USEC": microseconds}) is None
