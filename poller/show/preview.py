"""`preview`: how each message will look in the chat."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

import formatters
from formatters.calm_examples import calm_examples
from formatters.examples import coverage_examples, examples, scan_examples
from poller.events import WEBHOOK_TYPES, EventType
from poller.show.page import Message, Page


def preview_page(kind: EventType | None, language: str) -> Page:
    """Of one kind, or of all that are told by default and what becomes of them together."""
    style = formatters.Style(language, UTC)
    return [Message(name, tuple(formatters.pieces(text))) for name, text in _texts(kind, style)]


def _texts(kind: EventType | None, style: formatters.Style) -> Iterator[tuple[str, str]]:
    if kind is EventType.COVERAGE:
        yield from ((kind, text) for text in coverage_examples(style))
    for event in examples():
        if (event.type == kind is not EventType.COVERAGE) or (kind is None and event.type in WEBHOOK_TYPES):
            yield event.type, formatters.message(event, style)
    if kind in (None, EventType.SCANNING_COMPLETED):
        yield from scan_examples(style)
    if kind is None:
        yield from calm_examples(style)
