"""A page on a terminal, by rich: colours, tables, lines broken between words at its width."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import singledispatch
from itertools import groupby
from typing import TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.rule import Rule
from rich.table import Table as RichTable
from rich.text import Text

from formatters import Piece
from poller.show.glyphs import Say
from poller.show.page import Block, Cell, Column, Facts, Headline, Item, Items, Line, Message, Page, Part, Table, Tone
from poller.show.plain import NAME_WIDTH

WIDE = 110
"""From so many columns on, tables have all of theirs."""
_NARROWEST = 40
_MOST_NOTES = 8
_GAP = 2  # between two columns
_LEAST = 8  # of a column that shrinks
_WORD = re.compile(r"\s*\S+\s*|\s+")
_STYLES = {
    Tone.GOOD: "green",
    Tone.DOUBTFUL: "yellow",
    Tone.BAD: "red",
    Tone.STRONG: "bold",
    Tone.FAINT: "dim",
    Tone.NAME: "cyan",
}


def console(file: TextIO, environ: Mapping[str, str], size: os.terminal_size) -> Console:
    """For a terminal. NO_COLOR and TERM=dumb: no escape sequences at all."""
    is_dumb = bool(environ.get("NO_COLOR")) or environ.get("TERM") in ("dumb", "unknown")
    return Console(
        file=file,
        force_terminal=True,
        color_system=None if is_dumb else "auto",
        width=max(_NARROWEST, size.columns),
        height=size.lines,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


def show(page: Page, console: Console, say: Say) -> None:
    for number, block in enumerate(page):
        if number and not isinstance(block, Line | Message):
            console.print()
        _show(block, console, say)


@singledispatch
def _show(block: Block, console: Console, say: Say) -> None:
    raise NotImplementedError(block)


@_show.register
def _(block: Line, console: Console, say: Say) -> None:
    _write(console, "", _text(block.parts, say))


@_show.register
def _(block: Headline, console: Console, say: Say) -> None:
    _write(console, "", Text(say(f"{block.mark.text} {block.text}"), f"bold {_STYLES.get(block.mark.tone, '')}"), 2)
    for part in block.below:
        _write(console, "  ", _text([part], say), 4)
    if block.remedy:
        _write(console, "  ", Text(say(f"→ {block.remedy}"), "bold"), 4)


@_show.register
def _(block: Facts, console: Console, say: Say) -> None:
    for fact in block.facts:
        for number, line in enumerate(fact.lines):
            head = Text(f"{'' if number else fact.name:{NAME_WIDTH}}", "bold")
            _write(console, head, _text([line], say), NAME_WIDTH)


@_show.register
def _(block: Items, console: Console, say: Say) -> None:
    """By areas, in the order in which the first of each was found."""
    areas = list(dict.fromkeys(item.area for item in block.items))
    for area, items in groupby(sorted(block.items, key=lambda item: areas.index(item.area)), lambda item: item.area):
        _write(console, "", Text(say(area[:1].upper() + area[1:]), "bold"))
        for item in items:
            _show_item(item, console, say)
        console.print()
    _write(console, "", _text(block.total, say))


def _show_item(item: Item, console: Console, say: Say) -> None:
    code = [Part(f"  [{item.code}]", Tone.FAINT)] if item.code else []
    mark = Text.assemble("  ", (say(item.mark.text), _STYLES[item.mark.tone]), " ")
    _write(console, mark, _text([Part(item.text), *code], say), 4)
    if item.remedy:
        _write(console, "    ", Text(say(f"→ {item.remedy}"), "bold"), 6)


@_show.register
def _(block: Message, console: Console, say: Say) -> None:
    """A rule with the kind of the message above it, and a bar beside what is quoted."""
    console.print(Rule(Text(say(block.name), "dim"), style="dim", align="left", characters=say("─")))
    for line in _lines_of(block.pieces):
        is_quoted = any(piece.is_quoted for piece in line)
        text = Text.assemble(*((say(piece.text), _style(piece)) for piece in line))
        _write(console, Text(say("▌ "), "cyan") if is_quoted else "", text, is_quoted=is_quoted)
    console.print()


def _lines_of(pieces: Sequence[Piece]) -> list[list[Piece]]:
    lines: list[list[Piece]] = [[]]
    for piece in pieces:
        for number, text in enumerate(piece.text.split("\n")):
            if number:
                lines.append([])
            lines[-1].append(Piece(text, piece.is_bold, piece.is_code, piece.is_link, piece.is_quoted))
    return lines


def _style(piece: Piece) -> str:
    looks = {"bold": piece.is_bold, "cyan": piece.is_code, "underline": piece.is_link}
    return " ".join(name for name, is_so in looks.items() if is_so)


# -- tables -----------------------------------------------------------------------------------------


@_show.register
def _(block: Table, console: Console, say: Say) -> None:
    is_wide = console.width >= WIDE
    shown = [index for index, column in enumerate(block.columns) if is_wide or not column.is_note]
    columns = [block.columns[index] for index in shown]
    rows = [[say(_shown(row[index], block.columns[index])) for index in shown] for row in block.rows]
    widths = _widths(columns, rows, console.width)
    has_rule = say("─") == "─"  # which brings a column between two others with it
    table = RichTable(
        box=box.SIMPLE_HEAD if has_rule else None,
        padding=(0, _GAP - has_rule, 0, 0),
        width=sum(widths) + _GAP * (len(widths) - 1),
        show_edge=False,
        pad_edge=False,
    )
    for column, width in zip(columns, widths, strict=True):
        table.add_column(Text(column.name, "bold"), width=width, no_wrap=True, overflow="crop")
    for row, texts in zip(block.rows, rows, strict=True):
        tones = [_STYLES.get(row[index].tone, "") for index in shown]
        cut = [middle(text, width, say("…")) for text, width in zip(texts, widths, strict=True)]
        table.add_row(*map(Text, cut, tones))
    console.print(table, crop=False)
    for index in set(range(len(block.columns))) - set(shown):
        _show_notes([row[index] for row in block.rows], console, say)


def _shown(cell: Cell, column: Column) -> str:
    """The short form of a note is for below the table."""
    return cell.text if column.is_note else cell.short or cell.text


def _show_notes(cells: Sequence[Cell], console: Console, say: Say) -> None:
    """What has no column here: each different value once, the most frequent first."""
    counts = Counter(cell.short or cell.text for cell in cells if cell.text).most_common()
    if counts:
        console.print()
    for text, count in counts[:_MOST_NOTES]:
        _write(console, "", Text(say(f"{text}{f' ({count} times)' if count > 1 else ''}"), "dim"), 2)
    if len(counts) > _MOST_NOTES:
        _write(console, "", Text(say(f"… and {len(counts) - _MOST_NOTES} more, in a wider terminal"), "dim"))


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """Each column as wide as its widest value, but for those that may shrink: they share what is left."""
    widths = [max(map(cell_len, (column.name, *texts))) for column, *texts in zip(columns, *rows, strict=True)]
    left = (
        room - _GAP * (len(columns) - 1) - sum(w for w, column in zip(widths, columns, strict=True) if not column.share)
    )
    shares = sum(column.share for column in columns)
    for index in sorted(range(len(columns)), key=lambda index: widths[index] / (columns[index].share or 1)):
        if share := columns[index].share:
            widths[index] = max(_LEAST, min(widths[index], left * share // shares))
            left, shares = left - widths[index], shares - share
    return widths


def middle(text: str, width: int, mark: str) -> str:
    """At most so many cells wide, with the mark for what is left out of its middle."""
    if cell_len(text) <= width:
        return text
    room = width - len(mark)
    tail = _fitting(lambda length: text[len(text) - length :], room // 2)
    return _fitting(lambda length: text[:length], room - cell_len(tail)) + mark + tail


def _fitting(part: Callable[[int], str], room: int) -> str:
    """The longest part that is no wider."""
    return next((part(length) for length in range(room, 0, -1) if cell_len(part(length)) <= room), "")


# -- lines ------------------------------------------------------------------------------------------


def _text(parts: Sequence[Part], say: Say) -> Text:
    return Text.assemble(*((say(part.text), _STYLES.get(part.tone, "")) for part in parts))


def _write(console: Console, head: str | Text, text: Text, indent: int = 0, *, is_quoted: bool = False) -> None:
    """A line, broken between its words: a path, a command or a digest stays whole, to be copied.

    `indent`: where it goes on; what is quoted goes on with the same head.
    """
    first = Text(head) if isinstance(head, str) else head
    after = first if is_quoted else Text(" " * max(indent, 0))
    room = max(_LEAST, console.width - max(first.cell_len, after.cell_len))
    for number, line in enumerate(text.divide(_breaks(text.plain, room))):
        line.rstrip()
        console.print(Text.assemble(after if number else first, line), soft_wrap=True)


def _breaks(text: str, room: int) -> list[int]:
    """Where a line of so many cells has to end: before which characters. No word is cut, however long it is."""
    breaks, used = list[int](), 0
    for word in _WORD.finditer(text):
        if used and used + cell_len(word[0].rstrip()) > room:
            breaks.append(word.start())
            used = 0
        used += cell_len(word[0])
    return breaks
