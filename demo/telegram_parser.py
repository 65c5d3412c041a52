"""Telegram's own parser of messages, from its library TDLib."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from demo.telegram_failures import Refused

Fields = dict[str, Any]


class ParserMissing(RuntimeError):
    """The package with Telegram's parser is not installed."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A piece of formatting: `type` is bold, code, textUrl, blockQuote, expandableBlockQuote …; UTF-16 units."""

    type: str
    offset: int
    length: int
    url: str = ""


class Parser:
    """Telegram's own `parseTextEntities`."""

    def __init__(self) -> None:
        try:
            import tdjson  # here, for the product itself does without it
        except ImportError:
            raise ParserMissing(
                "the demo checks messages with Telegram's own parser, which is not installed: "
                "pip install -r requirements-demo.txt, or 'harbor-poller[demo]' instead of harbor-poller"
            ) from None
        self._execute: Callable[[bytes], bytes | None] = tdjson.td_execute
        self._ask({"@type": "setLogVerbosityLevel", "new_verbosity_level": 0})

    def parse(self, text: str, parse_mode: str) -> tuple[str, tuple[Entity, ...]]:
        """The text without markup and its entities, or Telegram's refusal."""
        mode = _PARSE_MODES.get(parse_mode.lower())
        if mode is None:
            raise Refused(400, "Bad Request: unsupported parse_mode")
        answer = self._ask({"@type": "parseTextEntities", "text": text, "parse_mode": mode}) if mode else {"text": text}
        if answer.get("@type") == "error":
            said = str(answer["message"])
            raise Refused(400, f"Bad Request: {said[:1].lower()}{said[1:]}")
        return str(answer["text"]), tuple(map(_entity, answer.get("entities", ())))

    def _ask(self, question: Fields) -> Fields:
        answer: Fields = json.loads(self._execute(json.dumps(question).encode()) or b"{}")
        return answer


_PARSE_MODES: dict[str, Fields] = {
    "": {},
    "markdownv2": {"@type": "textParseModeMarkdown", "version": 2},
    "markdown": {"@type": "textParseModeMarkdown", "version": 1},
    "html": {"@type": "textParseModeHTML"},
}


def _entity(raw: Fields) -> Entity:
    name = raw["type"]["@type"].removeprefix("textEntityType")
    return Entity(name[:1].lower() + name[1:], raw["offset"], raw["length"], raw["type"].get("url", ""))


def utf16_units(text: str) -> int:
    """The length as Telegram counts it: an emoji is 2."""
    return len(text.encode("utf-16-le")) // 2
