"""Repeated pulls of an image, told once: how many, from when to when, and by whom."""

from __future__ import annotations

from collections.abc import Iterator

from formatters.groups import Tally, name_of
from formatters.lines import Line, artifact_lines, composed
from formatters.messages import message
from formatters.periods import Span
from formatters.texts import EMOJI, Label, Style
from poller.events import Event, EventType

_MOST_KEPT = 100
_MOST_TOLD = 10


class Pulls:
    """Takes in any number of pulls of one image, usually by one operator, and tells them in one message.

    A single one is told as ever. The message is that of the earliest, with what the others add.
    """

    def __init__(self) -> None:
        self._first: Event | None = None
        self._count = 0
        self._span = Span()
        self._references = Tally(_MOST_KEPT)
        self._operators = Tally(_MOST_KEPT)

    def add(self, event: Event) -> None:
        """Count one pull."""
        if self._first is None or event.occurred_at < self._first.occurred_at:
            self._first = event
        self._count += 1
        self._span.add(event.occurred_at)
        self._references.add(name_of(event))
        self._operators.add(event.operator)

    def message(self, style: Style) -> str:
        """The message in MarkdownV2."""
        if self._first is not None and self._count == 1:
            return message(self._first, style)
        kind = self._first.type if self._first else EventType.PULL_ARTIFACT
        return composed(EMOJI[kind], style.texts.titles[kind], list(self._lines(style)), style)

    def _lines(self, style: Style) -> Iterator[Line]:
        labels = style.texts.labels
        if self._first is not None:
            references = "" if self._references.is_one else self._references.told(_MOST_TOLD)
            yield from artifact_lines(self._first, style, references)
            yield Line(labels[Label.USER], self._operators.summary(_MOST_TOLD))
        yield Line(labels[Label.PULLS], f"×{self._count}")
        yield Line(labels[Label.PERIOD], self._span.told(style))
