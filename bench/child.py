"""The product's command line in a process of its own, which tells at its end how much memory it took at most."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from poller.__main__ import cli


def peak_bytes(*arguments: str | Path) -> int:
    """The peak of a run of `python -m poller` with these arguments, in resident memory."""
    return peak_and_output(*arguments)[0]


def peak_and_output(*arguments: str | Path, watch: Callable[[int], object] = lambda _resident: None) -> tuple[int, str]:
    """The same, and what the run said on standard output. `watch` gets its resident bytes ten times a second."""
    command = [sys.executable, "-m", "bench.child", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            watch(_memory(process.pid, "VmRSS"))
            time.sleep(0.1)
        said, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {errors}")
    said, _, peak = said.rstrip().rpartition("\n")
    return int(peak), said


def _memory(pid: int | str, name: str) -> int:
    """0 where Linux does not tell it, and of a process that has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


def _own_peak() -> int:
    """Linux' ru_maxrss is at least that of the process which started this one, so there it is not asked."""
    elsewhere = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return _memory("self", "VmHWM") or elsewhere


if __name__ == "__main__":
    try:
        cli()
    finally:
        print(_own_peak())
