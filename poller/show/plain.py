"""A page for pipes and files: a record a line, whole, without colour, the same whatever the terminal is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch

from poller import logs
from poller.show.glyphs import Say
from poller.show.page import Block, Facts, Headline, Item, Items, Line, Message, Page, Part, Table

NAME_WIDTH = 12
"""Of what stands before each line of facts."""


def lines(page: Page, say: Say = logs.visible) -> Iterator[str]:
    """The text, line by line. No name can forge one: `say` spells out what is no printable character."""
    for block in page:
        yield from _lines(block, say)


@singledispatch
def _lines(block: Block, say: Say) -> Iterator[str]:
    raise NotImplementedError(block)


@_lines.register
def _(block: Line, say: Say) -> Iterator[str]:
    yield _joined(block.parts, say)


@_lines.register
def _(block: Headline, say: Say) -> Iterator[str]:
    yield say(f"{block.mark.text} {block.text}{_arrow(block.remedy)}")
    yield from (say(f"  {part.text}") for part in block.below)


@_lines.register
def _(block: Facts, say: Say) -> Iterator[str]:
    """Each with its name before it, so that a search for the name finds all of them."""
    for fact in block.facts:
        yield from (say(f"{fact.name:{NAME_WIDTH}}{line.text}") for line in fact.lines)


@_lines.register
def _(block: Items, say: Say) -> Iterator[str]:
    yield from (say(_item(item)) for item in block.items)
    yield _joined(block.total, say)


@_lines.register
def _(block: Table, say: Say) -> Iterator[str]:
    """Tabs between the values, and none in them."""
    for row in block.rows:
        yield "\t".join(say(cell.text) for cell in row)


@_lines.register
def _(block: Message, say: Say) -> Iterator[str]:  # noqa: ARG001 -- the formatters have made its text harmless
    yield "".join(piece.text for piece in block.pieces)
    yield ""


def _item(item: Item) -> str:
    code = f" [{item.code}]" if item.code else ""
    return f"{item.mark.text} {item.area}: {item.text}{code}{_arrow(item.remedy)}"


def _joined(parts: tuple[Part, ...], say: Say) -> str:
    return say("".join(part.text for part in parts))


def _arrow(remedy: str) -> str:
    return f" → {remedy}" if remedy else ""
