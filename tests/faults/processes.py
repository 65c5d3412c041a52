"""The product's processes: started, killed, ended, stopped, and what each of them wrote."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.harness import Nursery, is_alive, wait_for

CHILD = "tests.faults.child"
PATIENCE_S = 30
"""As long as a process may take to end that was asked to: what is in flight is finished first."""


@dataclass(slots=True)
class Process:
    """`command`: `run`, `once` …"""

    pid: int
    command: str
    output: Path
    started_at: datetime
    ended_at: datetime | None = None

    @property
    def is_alive(self) -> bool:
        return self.ended_at is None and is_alive(self.pid)

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    @property
    def exit_code(self) -> int | None:
        """None as long as it runs, and when it was killed."""
        last = (self.text.splitlines() or [""])[-1].split()
        return int(last[1]) if last[:1] == ["exit"] and last[1].isdecimal() else None

    def signal(self, number: signal.Signals) -> None:
        if self.is_alive:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def end(self) -> int | None:
        """Ask it to end, and tell its exit code. Raises AssertionError when it does not."""
        self.signal(signal.SIGTERM)
        self.wait()
        return self.exit_code

    def wait(self, timeout_s: float = PATIENCE_S) -> None:
        wait_for(lambda: not is_alive(self.pid), timeout_s, every_s=0.002)
        self.ended_at = self.ended_at or datetime.now(UTC)


class Processes:
    """Starts them in the environment of the harness, and keeps all that they wrote."""

    def __init__(self, nursery: Nursery, conf: Path, folder: Path, environment: Mapping[str, str]) -> None:
        self.all: list[Process] = []
        self._nursery = nursery
        self._conf = conf
        self._folder = folder
        self._environment = dict(environment)

    def start(self, *args: str) -> Process:
        output = self._folder / f"{len(self.all):05}-{args[0]}.log"
        pid = self._nursery.start("--config", self._conf, *args, env=self._environment, output=output)
        process = Process(pid, args[0], output, datetime.now(UTC))
        self.all.append(process)
        return process

    def run(self, *args: str, timeout_s: float = 60) -> Process:
        """To its end."""
        process = self.start(*args)
        process.wait(timeout_s)
        return process

    def kill_all(self) -> None:
        for process in self.all:
            if process.is_alive:
                process.signal(signal.SIGCONT)
                process.kill()

    def leaks(self, secrets: Sequence[str]) -> Iterator[str]:
        """Tracebacks and secrets in what was written."""
        for process in self.all:
            text = process.text
            yield from (f"{process.output.name} holds a secret" for secret in secrets if secret in text)
            if "Traceback" in text:
                yield f"{process.output.name}: {_traceback(text)}"

    def around(self, moment: datetime) -> list[Process]:
        """Those that lived at a moment, or just before."""
        margin = timedelta(seconds=3)
        return [p for p in self.all if p.started_at <= moment + margin and (p.ended_at or moment) >= moment - margin]


def _traceback(text: str) -> str:
    lines = text[text.index("Traceback") :].splitlines()
    ends = [line for line in lines[1:] if line and not line.startswith((" ", "Traceback"))]
    return ends[0] if ends else lines[0]
