"""How long the product takes to start, and how much memory it has when it rests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.growth import postgres
from bench.material import write_conf
from bench.report import Goal, Sheet, at_most, milliseconds, number, ratio
from bench.served import Served, served
from bench.sizes import Sizes
from demo.telegram import TelegramStandIn
from poller.exit_codes import TRY_AGAIN

MOST_SECONDS = 0.5
MOST_BYTES = 60_000_000
ROWS = 40
"""They come while the daemon is at work, and are told: what that needs is loaded then."""
COMMANDS = {"--help": "Usage:", "status": "Harbor", "check": "the bot may write", "once": ""}
"""And of what each says; `check` asks more of a log than the stand-in's prepared one can answer, and says that, too."""
LIBRARIES = "import apscheduler.schedulers.background, click, msgspec, requests, sqlalchemy.dialects.sqlite"
_OWN_MEMORY = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')))"
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True, slots=True)
class Start:
    """Of a process, and how much CPU time it had had by then."""

    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Rest:
    """`shared`: the same, but what other processes have too counts by its share."""

    resident: int
    shared: int


def run(sizes: Sizes) -> Sheet:
    alone, resident = _libraries(sizes)
    rows = [("Python that loads the same libraries", *_times(alone, alone), _megabytes(resident), "")]
    goals = list[Goal]()
    with TemporaryDirectory() as folder, postgres(Path(folder) / "server", wanted=sizes.with_postgres) as urls:
        for database, url in (("SQLite", "sqlite:///state.db"), *((("PostgreSQL", urls[0]),) if urls else ())):
            with _site(Path(folder), url) as (conf, log, telegram):
                starts = _commands(conf, sizes) if database == "SQLite" else {}
                starts["run, to the first poll"] = _fastest(_start_daemon(conf, log) for _ in range(sizes.starts))
                rest = _rest(conf, log, telegram, sizes)
            for command, start in starts.items():
                rows.append((f"{command}, {database}", *_times(start, alone), "", ""))
                goals.append(at_most(f"j) {command}, {database}", start.seconds, MOST_SECONDS, milliseconds))
            above = ratio(rest.resident, resident)
            rows.append(
                (f"run, at rest, {database}", "", "", above, _megabytes(rest.resident), _megabytes(rest.shared))
            )
            goals.append(at_most(f"j) at rest, {database}", rest.resident, MOST_BYTES, _megabytes, _why(database)))
    return Sheet(
        "13. Starting and resting",
        ("", "time", "CPU", "against the libraries", "resident", "its share"),
        rows,
        (
            f"The fastest of {sizes.starts} starts each, with Python's compiled files in place, as pip leaves them. At "
            f"rest: {ROWS} rows were told, then {sizes.rest_polls} polls found nothing. Resident memory is what the "
            "kernel shows as VmRSS; where other processes use the same pages, its share is a part of them.",
        ),
        tuple(goals),
    )


def _times(start: Start, alone: Start) -> tuple[str, str, str]:
    return milliseconds(start.seconds), milliseconds(start.cpu), ratio(start.cpu, alone.cpu)


def _libraries(sizes: Sizes) -> tuple[Start, int]:
    """What they take by themselves, of time and of memory: less cannot be had with them."""
    command = [sys.executable, "-c", f"{LIBRARIES}\n{_OWN_MEMORY}"]
    runs = [_run_through(command) for _ in range(sizes.starts)]
    return _fastest(start for start, _ in runs), int(runs[-1][1].stdout) * 1024


def _why(database: str) -> str:
    return "psycopg and the libraries that it brings" if database == "PostgreSQL" else ""


@contextmanager
def _site(folder: Path, state_url: str) -> Iterator[tuple[Path, Served, TelegramStandIn]]:
    """With a state on which something has polled before: a daemon starts anew more often than for the first time."""
    start = datetime.now(UTC) - timedelta(seconds=ROWS)
    with TelegramStandIn() as telegram, served(ROWS, start=start, apart=timedelta(seconds=1)) as log:
        log.show(1)
        more = "[schedule]\npoll = '1s'\njitter = '0s'\n"
        conf = write_conf(folder, log.url, telegram=telegram, state_url=state_url, more=more)
        subprocess.run(_command(conf, "once"), env=_ENVIRONMENT, check=True, capture_output=True)
        yield conf, log, telegram


def _command(conf: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "poller", "--config", str(conf), *arguments]


def _commands(conf: Path, sizes: Sizes) -> dict[str, Start]:
    return {
        command: _fastest(_start(conf, command, word) for _ in range(sizes.starts))
        for command, word in COMMANDS.items()
    }


def _fastest(starts: Iterator[Start]) -> Start:
    found = list(starts)
    return Start(min(each.seconds for each in found), min(each.cpu for each in found))


def _start(conf: Path, command: str, word: str) -> Start:
    """Of a command that ends by itself: until its end."""
    start, done = _run_through(_command(conf, command))
    assert word in done.stdout, done
    assert done.returncode <= TRY_AGAIN, done
    return start


def _run_through(command: list[str]) -> tuple[Start, subprocess.CompletedProcess[str]]:
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(command, env=_ENVIRONMENT, check=False, capture_output=True, text=True)
    seconds, after = time.perf_counter() - began, os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Start(seconds, cpu), done


@contextmanager
def _daemon(conf: Path) -> Iterator[int]:
    """Its process id."""
    with subprocess.Popen(_command(conf, "run"), env=_ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()
    if process.returncode:
        raise RuntimeError(f"the daemon ended with {process.returncode}")


def _start_daemon(conf: Path, log: Served) -> Start:
    before, began = log.meter().requests, time.perf_counter()
    with _daemon(conf) as pid:
        while log.meter().requests == before:
            time.sleep(0.001)
        seconds = time.perf_counter() - began
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return Start(seconds, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"))


def _rest(conf: Path, log: Served, telegram: TelegramStandIn, sizes: Sizes) -> Rest:
    with _daemon(conf) as pid:
        log.show(ROWS)
        while not telegram.messages:
            time.sleep(0.1)
        polls = log.meter().requests + sizes.rest_polls
        while log.meter().requests < polls:
            time.sleep(0.1)
        facts = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
        return Rest(*(int(facts[name].split()[0]) * 1024 for name in ("Rss", "Pss")))


def _megabytes(size: float) -> str:
    return f"{number(size / 1e6)} MB"
