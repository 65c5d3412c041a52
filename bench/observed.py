"""The product's command line, which answers each line on its standard input: how many CPU seconds it took so far."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from poller.__main__ import cli


class Observed:
    """A daemon that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def cpu_seconds(self) -> float:
        assert self._process.stdin
        assert self._process.stdout
        print(file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())


@contextmanager
def daemon(conf: Path) -> Iterator[Observed]:
    """`python -m poller run`, in a process of its own, as long as this is open."""
    command = [sys.executable, "-m", "bench.observed", "--config", str(conf), "--log-level", "error", "run"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Observed(process)
        finally:
            process.terminate()
            process.communicate()


def wait_until(is_so: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"nothing came within {timeout_s} s"
        time.sleep(0.02)


def _answer() -> None:
    for _ in sys.stdin:
        print(time.process_time(), flush=True)


if __name__ == "__main__":
    threading.Thread(target=_answer, daemon=True).start()
    cli()
