"""`python -m tests.faults`: seasons of faults on SQLite, PostgreSQL or both, and what the judge says."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.faults import report
from tests.faults.classes import CLASSES
from tests.faults.databases import database
from tests.faults.report import Summary
from tests.faults.season import Plan, run

DATABASES = ("sqlite", "postgresql")
KILLS_A_SEASON = 250
ROOT = Path(__file__).parent.parent.parent


def main(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    options.seed = seed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that processes and the small disk are cleared away
    if not options.summary:
        print(f"seed {seed}", flush=True)
    if options.database == "both":
        return _both(options)
    summary = _one(options)
    if options.summary:
        Path(options.summary).write_text(json.dumps(summary.to_json()))
    else:
        print(report.text([summary]))
    return 0 if summary.is_good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="in all, over the databases")
    parser.add_argument("--seed", type=int, help="of everything that is random; by default any, and printed")
    parser.add_argument("--database", choices=(*DATABASES, "both"), default="both")
    parser.add_argument("--seconds", type=float, default=7200, help="end a database's seasons after so long")
    parser.add_argument("--seasons", type=int, help=f"by default one for {KILLS_A_SEASON} kills, at least one")
    parser.add_argument("--only", nargs="+", choices=CLASSES, metavar="CLASS", default=[])
    parser.add_argument("--without", nargs="+", choices=CLASSES, metavar="CLASS", default=[])
    parser.add_argument("--failovers", type=int, help="measure so many fail-overs instead")
    parser.add_argument("--folder", type=Path, help="where outputs are kept that were objected to")
    parser.add_argument("--quiet", action="store_true", help="no line for each fault")
    parser.add_argument("--summary", help=argparse.SUPPRESS)
    return parser


def _both(options: argparse.Namespace) -> int:
    """Each in a process of its own, at the same time."""
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: Path(folder) / kind for kind in DATABASES}
        running = [subprocess.Popen(_command(options, kind, file), cwd=ROOT) for kind, file in files.items()]
        try:
            for each in running:
                each.wait()
        finally:
            for each in running:
                each.terminate()
        summaries = [Summary.from_json(json.loads(file.read_text())) for file in files.values() if file.exists()]
        missing = [kind for kind, file in files.items() if not file.exists()]
    print(report.text(summaries))
    print(*(f"{kind}: the harness itself has failed, see above" for kind in missing), sep="\n", end="")
    return 0 if len(summaries) == len(DATABASES) and all(each.is_good for each in summaries) else 1


def _command(options: argparse.Namespace, kind: str, summary: Path) -> list[str]:
    command = [sys.executable, "-m", "tests.faults", "--database", kind, "--seed", str(options.seed)]
    command += ["--kills", str(options.kills // 2), "--seconds", str(options.seconds), "--summary", str(summary)]
    command += ["--seasons", str(options.seasons)] if options.seasons else []
    command += ["--folder", str(options.folder)] if options.folder else []
    command += ["--failovers", str(options.failovers // 2)] if options.failovers else []
    command += ["--quiet"] if options.quiet else []
    for name in ("only", "without"):
        command += [f"--{name}", *getattr(options, name)] if getattr(options, name) else []
    return command


def _one(options: argparse.Namespace) -> Summary:
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir=options.folder))
    folder.chmod(0o755)
    seasons = 1 if options.failovers else options.seasons or max(1, round(options.kills / KILLS_A_SEASON))
    summary = Summary(options.seed, options.database, _again(options), str(folder))
    end = time.monotonic() + options.seconds
    for number in range(seasons):
        with database(options.database, folder / f"database-{number}") as place:
            plan = _plan(options, number, seasons, end - time.monotonic())
            outcome = run(plan, place, folder / f"season-{number}", _speaker(options))
        summary.add(outcome)
    if summary.is_good:
        shutil.rmtree(folder, ignore_errors=True)
    return summary


def _speaker(options: argparse.Namespace) -> Callable[[str], None]:
    def say(text: str) -> None:
        if not options.quiet:
            print(f"{time.strftime('%H:%M:%S')}  {options.database:10}  {text}", flush=True)

    return say


def _plan(options: argparse.Namespace, number: int, seasons: int, seconds: float) -> Plan:
    """The two databases differ in everything that there is only one of in a season, and so do two seasons."""
    is_odd = (options.seed + number + DATABASES.index(options.database)) % 2 == 1
    return Plan(
        seed=options.seed * 1000 + number * 10 + DATABASES.index(options.database),
        kills=options.kills // seasons,
        seconds=seconds / (seasons - number),
        names=[name for name in options.only or CLASSES if name not in options.without],
        is_private=is_odd,
        upgrades_quietly=is_odd,
        failovers=options.failovers or 0,
    )


def _again(options: argparse.Namespace) -> str:
    """The command that repeats it."""
    parts = [f"python -m tests.faults --seed {options.seed} --database {options.database} --kills {options.kills}"]
    parts += [f"--{name} {getattr(options, name)}" for name in ("seasons", "failovers") if getattr(options, name)]
    parts += [f"--{name} {' '.join(getattr(options, name))}" for name in ("only", "without") if getattr(options, name)]
    return " ".join(parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
