"""One poller per database: who we are, and whether who holds the lease is still alive.

The clocks of two machines may differ, and each may be set. So the holder's heartbeats are counted, and whoever wants
the lease watches by its own monotonic clock whether the count goes up. The dates in the lease are for people.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from poller.errors import LeaseTaken, PollerError
from poller.logs import Log
from state import Grant, Lease, Store

BACKFILL = "backfill"
"""The lease of who reads a past period; it may be another process than the poller."""
BEAT_SECONDS = 5
KEEP_SECONDS = 20
"""Who was silent for so long has lost the lease to whoever wants it."""
KEEP = timedelta(seconds=KEEP_SECONDS)
LOOK_SECONDS = 2
_LONGEST_BLINK = 10
"""Who did not look for so long, as a machine that was suspended, has seen nothing."""
_START_TIME = 19
"""The field of /proc/PID/stat, counted from the state, that tells when the process began: a pid alone may be reused."""

_log = Log(__name__)


class Owner(msgspec.Struct, frozen=True):
    """A process: `machine` names host, boot and process namespace; `process` the pid and its start time."""

    machine: str
    process: str

    @classmethod
    def this_process(cls) -> Owner:
        pid, stat = os.getpid(), _stat(os.getpid())
        return cls(_machine(), f"{pid}/{stat[_START_TIME] if stat else secrets.token_hex(4)}")

    def __str__(self) -> str:
        return f"{self.machine} {self.process}"


class Candidate:
    """Wants a lease, and watches its holder meanwhile. `monotonic` is in seconds, as of `time.monotonic`."""

    def __init__(self, store: Store, owner: Owner, name: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._owner = owner
        self.name = name
        self._monotonic = monotonic
        self._silence: _Silence | None = None

    def ask(self, now: datetime) -> Grant | Lease:
        """The lease, if it is free or its holder dead or silent for long; otherwise who has it.

        To be asked every few seconds. After an error the watch begins anew: the holder may have had the same trouble.
        """
        seen, self._silence = self._silence, None
        holder = self._store.lease(self.name)
        if holder is None or self._may_replace(holder) or self._is_silent(holder, seen):
            return self._store.take_lease(self.name, str(self._owner), now, KEEP, instead_of=holder)
        return holder

    def _may_replace(self, holder: Lease) -> bool:
        return holder.owner == str(self._owner) or is_dead(holder.owner)

    def _is_silent(self, holder: Lease, seen: _Silence | None) -> bool:
        at = self._monotonic()
        goes_on = seen is not None and seen.pulse == holder.pulse and at - seen.looked_at <= _LONGEST_BLINK
        self._silence = _Silence(holder.pulse, seen.since if seen and goes_on else at, at)
        return at - self._silence.since >= KEEP_SECONDS


class _Silence(msgspec.Struct, frozen=True):
    """Since when, by our monotonic clock, a holder gave no sign of life."""

    pulse: tuple[int, int]
    since: float
    looked_at: float


def take(
    candidate: Candidate,
    *,
    clock: Callable[[], datetime],
    sleep: Callable[[float], object] = time.sleep,
) -> Grant:
    """For who will not wait long: take the lease, or raise LeaseTaken as soon as its holder seems to live.

    A holder is watched only when the date in its lease makes no sense: it has passed, or is too far ahead.
    """
    first: Lease | None = None
    while isinstance(holder := candidate.ask(clock()), Lease):
        first = first or holder
        if holder.pulse != first.pulse or timedelta(0) < holder.expires_at - clock() <= KEEP:
            raise LeaseTaken(_taken(candidate.name, holder))
        sleep(LOOK_SECONDS)
    return holder


def beat(store: Store, grant: Grant, now: datetime) -> None:
    """Show that we live. Raises LeaseTaken when another has taken over."""
    store.beat(grant, now, KEEP)


def release(store: Store, grant: Grant) -> None:
    """Leave the lease to the next. Where that cannot be written, the next one sees that we are dead, or silent."""
    try:
        store.release_lease(grant)
    except PollerError as error:
        _log.warning("lease.not_released", error=error)


def _taken(name: str, holder: Lease) -> str:
    since = holder.acquired_at.isoformat(timespec="seconds")
    return f"another {name} works on this state database since {since}: {place(holder.owner)}. Stop it first."


def place(owner: str) -> str:
    """Where the owner runs, for people."""
    host, pid = owner.partition(" ")[0], owner.rpartition(" ")[2].partition("/")[0]
    return f"process {pid} on {host}" if pid.isdigit() else owner


def is_of_this_machine(owner: str) -> bool:
    return owner.rpartition(" ")[0] == _machine()


def is_dead(owner: str) -> bool:
    """Whether the owner ran on this machine and runs no more. When in doubt: no."""
    pid, _, started = owner.rpartition(" ")[2].partition("/")
    if not is_of_this_machine(owner) or not _boot_or_host_id() or not pid.isdigit():
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
