"""`python -m bench`: all benchmarks, or those that are named."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable

import click
from rich.console import Console

from bench import backlog, burden, formatting, growth, memory, past, scans, year
from bench.report import Sheet, show
from bench.sizes import FULL, QUICK, Sizes

BENCHMARKS: dict[str, Callable[[Sizes], Sheet]] = {
    "burden": burden.run,
    "growth": growth.run,
    "memory": memory.run,
    "formatting": formatting.run,
    "backlog": backlog.run,
    "scans": scans.run,
    "year": year.run,
    "past": past.run,
}


@click.command()
@click.option("--quick", is_flag=True, help="Smaller sizes: to see that everything runs. The figures are rougher.")
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
def main(quick: bool, names: tuple[str, ...]) -> None:
    """Measure the product against its peers; without NAMES everything. Compare ratios, not seconds."""
    console = Console()
    started = time.monotonic()
    for name in names or BENCHMARKS:
        with console.status(f"{name} …"):
            sheet = BENCHMARKS[name](QUICK if quick else FULL)
        show(sheet, console)
    machine = f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
    console.print(f"{time.monotonic() - started:.0f} s on {machine}", style="dim", highlight=False)


if __name__ == "__main__":
    main()
