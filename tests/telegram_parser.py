"""Telegram's own parser of MarkdownV2, from its library: what people would see of a message."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import tdjson


@dataclass(frozen=True, slots=True)
class Entity:
    """A stretch of marked text. Kinds are Telegram's: `Bold`, `Code`, `ExpandableBlockQuote`."""

    kind: str
    text: str
    url: str = ""  # of a `TextUrl`


@dataclass(frozen=True, slots=True)
class Parsed:
    text: str
    entities: tuple[Entity, ...]


def parse(markdown: str) -> Parsed:
    """What Telegram makes of a message; raises ValueError with its words if it refuses."""
    mode = {"@type": "textParseModeMarkdown", "version": 2}
    answer = _execute({"@type": "parseTextEntities", "text": markdown, "parse_mode": mode})
    if answer["@type"] == "error":
        raise ValueError(f"{answer['message']}: {markdown!r}")
    return Parsed(answer["text"], tuple(_entity(answer["text"], entity) for entity in answer["entities"]))


def stored(text: str) -> str:
    """The text as Telegram keeps it: control characters are spaces, some others are gone."""
    request = {"@type": "getMarkdownText", "text": {"@type": "formattedText", "text": text, "entities": []}}
    return str(_execute(request)["text"])


def _entity(text: str, entity: dict[str, Any]) -> Entity:
    raw = text.encode("utf-16-le")
    start, end = 2 * entity["offset"], 2 * (entity["offset"] + entity["length"])
    kind, url = entity["type"]["@type"].removeprefix("textEntityType"), entity["type"].get("url", "")
    return Entity(kind, raw[start:end].decode("utf-16-le"), url)


def _execute(request: dict[str, Any]) -> dict[str, Any]:
    answer = tdjson.td_execute(json.dumps(request).encode())
    return dict(json.loads(answer or b"{}"))


_execute({"@type": "setLogVerbosityLevel", "new_verbosity_level": 0})  # it would log every request
