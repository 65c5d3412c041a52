"""One poller per database: who we are, and whether who holds the lease is still alive."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from poller.errors import LeaseTaken
from state import Lease, Store

KEEP = timedelta(seconds=60)
RENEW_SECONDS = 15
_START_TIME = 19
"""The field of /proc/PID/stat, counted from the state, that tells when the process began: a pid alone may be reused."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process: `machine` names host, boot and process namespace; `process` the pid and its start time."""

    machine: str
    process: str

    @classmethod
    def this_process(cls) -> Owner:
        pid, stat = os.getpid(), _stat(os.getpid())
        return cls(_machine(), f"{pid}/{stat[_START_TIME] if stat else secrets.token_hex(4)}")

    def __str__(self) -> str:
        return f"{self.machine} {self.process}"


def take(store: Store, owner: Owner, now: datetime) -> None:
    """Become the only poller. A dead holder on this machine is replaced at once, others when they run out."""
    holder = store.take_lease(str(owner), now, KEEP)
    if holder is not None and _is_dead(holder.owner):
        holder = store.take_lease(str(owner), now, KEEP, instead_of=holder.owner)
    if holder is not None:
        raise LeaseTaken(_taken(holder))


def renew(store: Store, owner: Owner, now: datetime) -> None:
    holder = store.take_lease(str(owner), now, KEEP)
    if holder is not None:
        raise LeaseTaken(_taken(holder))


def _taken(holder: Lease) -> str:
    since = holder.acquired_at.isoformat(timespec="seconds")
    return f"another poller works on this state database since {since}: {place(holder.owner)}. Stop it first."


def place(owner: str) -> str:
    """Where the owner runs, for people."""
    host, pid = owner.partition(" ")[0], owner.rpartition(" ")[2].partition("/")[0]
    return f"process {pid} on {host}" if pid.isdigit() else owner


def _is_dead(owner: str) -> bool:
    """Whether the owner ran on this machine and runs no more. When in doubt: no."""
    machine, _, process = owner.rpartition(" ")
    pid, _, started = process.partition("/")
    if machine != _machine() or not _boot_or_host_id() or not pid.isdigit():
        return False
    return not _is_running(int(pid), started)


def _is_running(pid: int, started: str) -> bool:
    """Asks the kernel first: a hardened service does not see other users' files in /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it lives, under another user
    stat = _stat(pid)
    if not stat:
        return True
    return stat[0] != "Z" and stat[_START_TIME] == started


def _machine() -> str:
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {_boot_or_host_id()} {namespace}".strip()


def _boot_or_host_id() -> str:
    return _read(Path("/proc/sys/kernel/random/boot_id")) or _read(Path("/etc/machine-id"))


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the process's state on; empty where it cannot be read."""
    return _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
