"""The product's command line in a process of its own, which tells at its end how much memory it took at most."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from poller.__main__ import cli

_STATUS = Path("/proc/self/status")


def peak_bytes(*arguments: str | Path) -> int:
    """The peak of a run of `python -m poller` with these arguments, in resident memory."""
    return peak_and_output(*arguments)[0]


def peak_and_output(*arguments: str | Path) -> tuple[int, str]:
    """The same, and what the run said on standard output."""
    command = [sys.executable, "-m", "bench.child", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr}")
    said, _, peak = done.stdout.rstrip().rpartition("\n")
    return int(peak), said


def _own_peak() -> int:
    """Linux' ru_maxrss is at least that of the process which started this one, so there it is not asked."""
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    try:
        cli()
    finally:
        print(_own_peak())
