"""What a benchmark found, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure was to be, and whether it is. `is_reached` None: it was not measured, `found` says why."""

    figure: str
    found: str
    goal: str
    is_reached: bool | None
    why: str = ""  # it is not reached

    @property
    def verdict(self) -> str:
        return {True: "yes", False: "no", None: "not measured"}[self.is_reached] + (f": {self.why}" if self.why else "")


def at_least(figure: str, found: float, goal: float, shown: Callable[[float], str], why: str = "") -> Goal:
    return _goal(figure, found, goal, shown, why, word="or more", is_reached=found >= goal)


def at_most(figure: str, found: float, goal: float, shown: Callable[[float], str], why: str = "") -> Goal:
    return _goal(figure, found, goal, shown, why, word="or less", is_reached=found <= goal)


def _goal(
    figure: str, found: float, goal: float, shown: Callable[[float], str], why: str, *, word: str, is_reached: bool
) -> Goal:
    return Goal(figure, shown(found), f"{shown(goal)} {word}", is_reached, "" if is_reached else why)


def not_measured(figure: str, goal: str, why: str) -> Goal:
    return Goal(figure, "–", goal, None, why)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table. The first column names what was measured; `notes` stand below it, and the `goals` below them."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = field(default=())
    goals: tuple[Goal, ...] = field(default=())


_GOALS = ("figure", "measured", "goal", "reached")


def goals_table(goals: Iterable[Goal]) -> list[tuple[str, ...]]:
    return [(each.figure, each.found, each.goal, each.verdict) for each in goals]


def show(sheet: Sheet, console: Console) -> None:
    parts: list[RenderableType] = [_table(sheet.columns, sheet.rows, sheet.title)]
    parts += [Text(note, style="dim") for note in sheet.notes]
    if sheet.goals:
        parts.append(_table(_GOALS, goals_table(sheet.goals)))
    console.print(Group(*parts), end="\n\n")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        is_text = _is_text(number, column)
        table.add_column(column, justify="left" if is_text else "right", no_wrap=not is_text)
    for row in rows:
        table.add_row(*row)
    return table


def _is_text(number: int, column: str) -> bool:
    """Whether a column is one of words, which may take several lines; figures are never cut or broken."""
    return number == 0 or column == _GOALS[-1]


def markdown(sheets: Sequence[Sheet], head: Sequence[str]) -> str:
    """A page of them all: `head` first, then every goal, then each sheet."""
    goals = [goal for sheet in sheets for goal in sheet.goals]
    parts = ["# Benchmarks", "\n".join(f"- {line}" for line in head)]
    if goals:
        parts += ["## Goals", _lines(_GOALS, goals_table(goals))]
    for sheet in sheets:
        parts += [f"## {sheet.title}", _lines(sheet.columns, sheet.rows), *sheet.notes]
    return "\n\n".join(parts) + "\n"


def _lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    ruler = ["---" if _is_text(number, column) else "---:" for number, column in enumerate(columns)]
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in (columns, ruler, *rows))
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


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


def times(value: float) -> str:
    return ratio(value, 1)


def percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"
