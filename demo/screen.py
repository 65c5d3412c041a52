"""The chat in the terminal, as people would see it."""

from __future__ import annotations

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

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

    def plain(self, text: str) -> None:
        self._console.print(Panel(Text(text), title="Telegram", title_align="left", width=min(self._console.width, 78)))


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
