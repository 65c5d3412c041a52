"""How the product is run on this machine, as far as its files tell: to say by which command it is started."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec

STATE_FOLDER = Path("/var/lib/harbor-poller")
"""Of the service; systemd makes it at its first start (StateDirectory=)."""

SERVICE, TIMER = "harbor-poller.service", "harbor-poller-once.timer"
_UNITS = ("etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system")
_WANTED_TIMER = f"etc/systemd/system/timers.target.wants/{TIMER}"
_GROUPS = ("sys/fs/cgroup/system.slice", "sys/fs/cgroup/systemd/system.slice")
"""Where the kernel shows the processes of a unit that is active."""


class Here(msgspec.Struct, frozen=True):
    """`start`: the command that starts it. `program`: how its other commands are called.

    `is_active`: the service runs on this machine, be it at work or standing by. `is_timed`: a timer starts its runs.
    """

    start: str
    program: str
    is_active: bool = False
    is_timed: bool = False


def look(program: str, config: Path | None, root: Path = Path("/")) -> Here:
    """`program`: as it was called now; `config`: the file that was named then."""
    called = f"{program} --config {shlex.quote(str(config))}" if config else program
    is_timed = (root / _WANTED_TIMER).is_symlink()
    return Here(
        start=f"systemctl start {TIMER}" if is_timed else _start(root, called),
        program=called,
        is_active=any((root / group / SERVICE).is_dir() for group in _GROUPS),
        is_timed=is_timed,
    )


def _start(root: Path, called: str) -> str:
    if any((root / folder / SERVICE).exists() for folder in _UNITS):
        return f"systemctl start {SERVICE.removesuffix('.service')}"
    return f"{called} run"
