"""Pictures of messages in the chat, drawn from what the formatters write: docs/messages.svg and its Russian sister.

`python -m demo.screenshots` draws them anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

from rich.cells import cell_len

import formatters
from formatters import Occasion, Piece, Style
from formatters.examples import examples, scan_examples
from poller.events import Event, EventType, Repository
from poller.values import replace

DOCS = Path(__file__).parent.parent / "docs"
PICTURES = {"en": DOCS / "messages.svg", "ru": DOCS / "messages.ru.svg"}
_TITLES = {
    "en": "Messages in the chat: a push, a pull, a deletion, scans, and one summary after a downtime",
    "ru": "Сообщения в чате: пуш, пул, удаление, сканы и одна сводка после простоя",
}
_WIDTH, _MARGIN, _GAP, _PAD, _LINE = 900, 24, 20, 16, 21
_LEFT, _RIGHT = 356, 476
"""How wide the bubbles of each side are."""
_TOP, _BETWEEN = 64, 12
_CELL = 7.6
"""Pixels of a character, on average and rather too many."""
_MORNING = datetime(2026, 11, 24, 8, tzinfo=UTC)
_PAGE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" \
aria-label="{title}">
  <title>{title}</title>
  <style>
    text {{ font: 14px -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif, "Apple Color Emoji", \
"Segoe UI Emoji", "Noto Color Emoji"; fill: #1c2733; }}
    .b {{ font-weight: 700; }}
    .c {{ font-family: ui-monospace, Consolas, "DejaVu Sans Mono", monospace; font-size: 13px; fill: #2f6ea5; }}
    .l {{ fill: #2f6ea5; text-decoration: underline; }}
    .time {{ font-size: 11px; fill: #8a97a5; }}
  </style>
  <rect width="{width}" height="{height}" rx="14" fill="#dfe8f0"/>
  <rect width="{width}" height="44" rx="14" fill="#2f6ea5"/>
  <rect y="28" width="{width}" height="16" fill="#2f6ea5"/>
  <text x="24" y="28" style="fill:#ffffff;font-weight:700">Harbor</text>
{bubbles}
</svg>
"""

Row = Sequence[Piece]


@dataclass(frozen=True, slots=True)
class Bubble:
    """A message, broken into rows that fit."""

    rows: tuple[Row, ...]
    time: str

    @property
    def height(self) -> int:
        return len(self.rows) * _LINE + 32


def svg(language: str) -> str:
    style = Style(language, UTC)
    columns = (_MARGIN, _LEFT, _left(style)), (_MARGIN + _LEFT + _GAP, _RIGHT, _right(style))
    bubbles, bottom = list[str](), 0
    for x, width, messages in columns:
        y = _TOP
        for text, at in messages:
            bubble = Bubble(tuple(_rows(text, width - 2 * _PAD)), f"{at:%H:%M}")
            bubbles += _drawn(bubble, x, y, width)
            y += bubble.height + _BETWEEN
        bottom = max(bottom, y)
    height, title = bottom + _BETWEEN, escape(_TITLES[language])
    return _PAGE.format(width=_WIDTH, height=height, title=title, bubbles="\n".join(f"  {line}" for line in bubbles))


# -- what is told -----------------------------------------------------------------------------------


def _left(style: Style) -> Iterator[tuple[str, datetime]]:
    hello = Repository("public/hello", is_public=True)
    failed = replace(_example(EventType.SCANNING_FAILED), repository=hello, tag="1", operator="bob")
    for event, minutes in (
        (Event.example(), 12),
        (Event.example(type=EventType.PULL_ARTIFACT, operator="robot$team+ci"), 13),
        (Event.example(type=EventType.DELETE_ARTIFACT, tag="1.25", operator="harbor-jobservice"), 30),
        (failed, 41),
    ):
        yield formatters.message(event, style), _MORNING + timedelta(hours=2, minutes=minutes)


def _right(style: Style) -> Iterator[tuple[str, datetime]]:
    yield dict(scan_examples(style))["scan.changes"], _MORNING + timedelta(hours=2, minutes=12)
    yield formatters.digest(list(_downtime()), style, Occasion.CATCH_UP), _MORNING + timedelta(hours=4, minutes=41)


def _example(kind: EventType) -> Event:
    return next(event for event in examples() if event.type is kind)


def _downtime() -> Iterator[Event]:
    web, app = Repository("team/web", is_public=False), Repository("team/app", is_public=False)
    push, pull = EventType.PUSH_ARTIFACT, EventType.PULL_ARTIFACT
    deeds = (
        (push, app, "1.28", "ann"),
        (pull, app, "1.28", "robot$team+ci"),
        (pull, app, "1.28", "robot$team+ci"),
        (push, web, "2.4", "bob"),
        (push, app, "1.29", "ann"),
        (pull, app, "1.29", "robot$team+ci"),
        (EventType.DELETE_ARTIFACT, app, "1.26", "harbor-jobservice"),
    )
    for number, (kind, repository, tag, operator) in enumerate(deeds):
        at = _MORNING + timedelta(hours=3, minutes=2 + 16 * number)
        yield Event.example(type=kind, repository=repository, tag=tag, operator=operator, occurred_at=at)


# -- drawing ----------------------------------------------------------------------------------------


def _rows(markdown: str, room: int) -> Iterator[Row]:
    """Broken at line breaks, and between words where a line is too long for its bubble."""
    row, used = list[Piece](), 0.0
    for piece in formatters.pieces(markdown):
        for number, text in enumerate(piece.text.split("\n")):
            if number:
                yield row
                row, used = [], 0.0
            for word in _words(text):
                if row and used + cell_len(word.rstrip()) * _CELL > room:
                    yield row
                    row, used = [], 0.0
                row.append(replace(piece, text=word))
                used += cell_len(word) * _CELL
    yield row


def _words(text: str) -> list[str]:
    """Each with the space behind it."""
    parts = text.split(" ")
    return [part for part in (*(f"{part} " for part in parts[:-1]), parts[-1]) if part]


def _drawn(bubble: Bubble, x: int, y: int, width: int) -> Iterator[str]:
    yield f'<rect x="{x}" y="{y}" width="{width}" height="{bubble.height}" rx="12" fill="#ffffff" stroke="#d5dde5"/>'
    for number, row in enumerate(bubble.rows):
        base = y + 30 + number * _LINE
        is_quoted = any(piece.is_quoted for piece in row)
        if is_quoted:
            yield f'<rect x="{x + _PAD}" y="{base - 15}" width="{width - 2 * _PAD}" height="{_LINE}" fill="#eef4fa"/>'
            yield f'<rect x="{x + _PAD}" y="{base - 15}" width="3" height="{_LINE}" fill="#2f6ea5"/>'
        spans = "".join(map(_span, row))
        yield f'<text xml:space="preserve" x="{x + _PAD + (12 if is_quoted else 0)}" y="{base}">{spans}</text>'
    at = f'x="{x + width - _PAD}" y="{y + bubble.height - 8}" text-anchor="end" class="time"'
    yield f"<text {at}>{bubble.time}</text>"


def _span(piece: Piece) -> str:
    looks = {"b": piece.is_bold, "c": piece.is_code, "l": piece.is_link}
    names = " ".join(name for name, is_so in looks.items() if is_so)
    text = escape(piece.text)
    return f'<tspan class="{names}">{text}</tspan>' if names else text
