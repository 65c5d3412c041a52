"""What a benchmark found, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table. The first column names what was measured; `notes` stand below it."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = field(default=())


def show(sheet: Sheet, console: Console) -> None:
    table = Table(title=sheet.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for number, column in enumerate(sheet.columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    for row in sheet.rows:
        table.add_row(*row)
    console.print(Group(table, *(Text(note, style="dim") for note in sheet.notes)), end="\n\n")


def ratio(value: float, base: float) -> str:
    """How many times `base` it is."""
    if not base:
        return "–"
    times = value / base
    return f"×{times:,.0f}" if times >= 10 else f"×{times:.1f}" if times >= 0.95 else f"×{times:.2g}"


def shares(values: Sequence[float], of: float) -> list[str]:
    """The first value per one of `of`, and how many times that the others are."""
    ours, *others = values
    return [number(ours / of), *(ratio(value, ours) for value in others)]


def number(value: float) -> str:
    """Three digits are more than a benchmark knows."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def milliseconds(seconds: float) -> str:
    return f"{number(seconds * 1000)} ms"
