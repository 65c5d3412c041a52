"""`python -m bench`: all benchmarks, or those that are named."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from bench import (
    backlog,
    burden,
    discovery,
    formatting,
    growth,
    idle,
    latency,
    machine,
    memory,
    pace,
    past,
    recording,
    scans,
    startup,
    year,
)
from bench.report import Sheet, markdown, show
from bench.sizes import FULL, QUICK, Sizes
from poller import __version__

BENCHMARKS: dict[str, Callable[[Sizes], Sheet]] = {
    "burden": burden.run,
    "growth": growth.run,
    "memory": memory.run,
    "formatting": formatting.run,
    "backlog": backlog.run,
    "scans": scans.run,
    "year": year.run,
    "past": past.run,
    "recording": recording.run,
    "idle": idle.run,
    "latency": latency.run,
    "pace": pace.run,
    "startup": startup.run,
    "discovery": discovery.run,
}


@click.command()
@click.option("--quick", is_flag=True, help="Smaller sizes: to see that everything runs. The figures are rougher.")
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the tables to a file in this folder, too; its name is the date and the kind of machine.",
)
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
def main(quick: bool, results: Path | None, names: tuple[str, ...]) -> None:
    """Measure the product against its peers; without NAMES everything. Compare ratios, not seconds."""
    console = Console()
    started, began = time.monotonic(), datetime.now(UTC)
    head = [
        f"{began:%Y-%m-%d}, harbor-poller {__version__}{', quick and rough' if quick else ''}",
        *machine.described(),
    ]
    sheets = list[Sheet]()
    for name in names or BENCHMARKS:
        with console.status(f"{name} …"):
            sheets.append(BENCHMARKS[name](QUICK if quick else FULL))
        show(sheets[-1], console)
        if results:  # after each, for the next may take long
            results.mkdir(parents=True, exist_ok=True)
            file = results / f"{began:%Y-%m-%dT%H%M}Z-{machine.slug()}.md"
            file.write_text(markdown(sheets, head), encoding="utf-8")
    console.print("\n".join([*head, f"{time.monotonic() - started:.0f} s"]), style="dim", highlight=False)


if __name__ == "__main__":
    main()
