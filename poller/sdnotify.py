"""Tells systemd how we are. Outside systemd every call does nothing.

The protocol is a datagram of `NAME=value` lines to the socket named in the environment; see sd_notify(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

_MICROSECONDS = 1_000_000


def notify(state: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send `state`, such as `READY=1` or `WATCHDOG=1\\nSTATUS=idle`. Returns whether systemd took it; never raises."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # an abstract socket: Linux wants a zero byte in front
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(1)  # a full queue of systemd must not hold up the daemon
            sender.sendto(state.encode(), address)
    except OSError:
        return False
    return True


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """Within how many seconds systemd wants to hear `WATCHDOG=1`. None: it does not watch this process."""
    microseconds = _positive(environ.get("WATCHDOG_USEC", ""))
    if microseconds is None or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return microseconds / _MICROSECONDS


def _positive(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and int(text) > 0 else None
