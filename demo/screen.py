"""The chat in the terminal, as people would see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo.replays import Result
from demo.telegram import Message

_STYLES = {
    "bold": "bold",
    "code": "cyan",
    "blockQuote": "dim",
    "expandableBlockQuote": "dim",
    "italic": "italic",
}


class Screen:
    """Shows steps and messages. Colours only on a terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def say(self, text: str) -> None:
        self._console.print(f"[bold blue]»[/bold blue] {text}" if self._console.is_terminal else f"» {text}")

    def show(self, message: Message) -> None:
        number = f"{message.message_id}"
        width = min(self._console.width, 78)
        self._console.print(Panel(styled(message), title="Telegram", subtitle=number, title_align="left", width=width))

    def table(self, results: Iterable[Result]) -> None:
        """A line as soon as each is known would be wider or narrower than the next: the table comes at the end."""
        table = Table("replay", title_justify="left")
        for column in ("raw events", "messages", "at most", "edits", "429"):
            table.add_column(column, justify="right")
        table.add_column("visible")
        for result in results:
            table.add_row(*_cells(result))
        self._console.print(table)

    def plain(self, text: str) -> None:
        self._console.print(Panel(Text(text), title="Telegram", title_align="left", width=min(self._console.width, 78)))


def _cells(result: Result) -> Iterator[str]:
    scenario, unseen = result.scenario, result.unseen
    yield scenario.name
    for number in (result.raw, len(result.messages), scenario.most, len(result.edits), result.refused):
        yield f"{number:,}"
    yield f"✓ {scenario.visible}" if not unseen else f"✗ {len(unseen)} of {len(scenario.facts)} missing: {unseen[0]}"


def styled(message: Message) -> Text:
    """The text with its entities, whose offsets count UTF-16 units."""
    text = Text(message.text)
    units = [0]
    for character in message.text:
        units.append(units[-1] + (2 if ord(character) > 0xFFFF else 1))
    place = {unit: index for index, unit in enumerate(units)}
    for entity in message.entities:
        start, end = place.get(entity.offset), place.get(entity.offset + entity.length)
        if start is not None and end is not None and entity.type in _STYLES:
            text.stylize(_STYLES[entity.type], start, end)
    return text
