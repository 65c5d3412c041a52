"""What a command says, as values: which words, in which tone. How that looks is for `plain` and `terminal`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from formatters import Piece


class Tone(StrEnum):
    """What a part of a line means; a terminal has a colour for it."""

    USUAL = ""
    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "bad"
    STRONG = "strong"
    FAINT = "faint"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Part:
    """Words of one tone. The text may come from anywhere: it is made harmless when it is shown."""

    text: str
    tone: Tone = Tone.USUAL


@dataclass(frozen=True, slots=True)
class Line:
    """A line by itself."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Headline:
    """The first line, which says what matters, and what stands below it."""

    mark: Part
    text: str
    below: tuple[Part, ...] = ()
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """Lines with a name before them."""

    name: str
    lines: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """Something found, in an area, and what mends it."""

    mark: Part
    area: str
    text: str
    remedy: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Items:
    """What was found, in its order, and what it comes to."""

    items: tuple[Item, ...]
    total: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """Of a table. `share`: long values are shortened in their middle where there is no room for all of them, and
    so the room is divided. `is_note`: a narrow terminal lists its different values below the table.
    """

    name: str
    share: int = 0
    is_note: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """`short`: what a terminal shows instead, and of a note below its table. A pipe gets the whole text."""

    text: str
    tone: Tone = Tone.USUAL
    short: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it will be in the chat. `name`: what kind it is."""

    name: str
    pieces: tuple[Piece, ...]


Block = Line | Headline | Facts | Items | Table | Message
Page = Sequence[Block]
