"""What people must be able to see in the chat, whatever its language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from demo.telegram import Message

SIGNED = re.compile(r"\bsigned\b|подпис", re.IGNORECASE)
FAILED = re.compile(r"⚠|fail|не удал|ошибк", re.IGNORECASE)

_BETWEEN_THOUSANDS = re.compile(r"(?<=\d)[ ,.\u00a0\u202f](?=\d{3}\b)")

Pattern = str | re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Fact:
    """One message says all of `patterns`, and names none of `others`."""

    what: str
    patterns: tuple[Pattern, ...]
    others: tuple[str, ...] = ()

    def is_seen(self, messages: Sequence[Message]) -> bool:
        """In the messages as they are in the end."""
        return any(
            _says(message.text, self.patterns) and not any(other in message.text for other in self.others)
            for message in messages
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """Each name stands in an expandable quotation: who wants to know opens it."""

    what: str
    names: tuple[str, ...]

    def is_seen(self, messages: Sequence[Message]) -> bool:
        quoted = "\n".join(text for message in messages for text in _quotations(message))
        return all(_says(quoted, [name]) for name in self.names)


def together(what: str, *patterns: Pattern) -> Fact:
    return Fact(what, patterns)


def alone(what: str, *patterns: Pattern, others: Iterable[str]) -> Fact:
    return Fact(what, patterns, tuple(sorted(others)))


def number(*numbers: int) -> re.Pattern[str]:
    """One of these numbers, and no part of a time, a tag or another number."""
    any_of = "|".join(map(str, numbers))
    return re.compile(rf"(?<![\d.:/-])(?:{any_of})(?!\d|[:.]\d)")


def _says(text: str, patterns: Iterable[Pattern]) -> bool:
    """A name that goes on after the pattern is another name."""
    plain = _BETWEEN_THOUSANDS.sub("", text)
    return all(
        re.search(rf"{re.escape(each)}(?![\w-])", text) if isinstance(each, str) else each.search(plain)
        for each in patterns
    )


def _quotations(message: Message) -> list[str]:
    """Entities count UTF-16 units."""
    units = message.text.encode("utf-16-le")
    return [
        units[2 * entity.offset : 2 * (entity.offset + entity.length)].decode("utf-16-le")
        for entity in message.entities
        if entity.type == "expandableBlockQuote"
    ]
