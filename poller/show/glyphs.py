"""What a terminal can show: no control characters in names, and no marks that its encoding lacks."""

from __future__ import annotations

from collections.abc import Callable

from poller import logs

Say = Callable[[str], str]
"""The text on one line, in characters that can be shown."""

ASCII = {
    "✓": "+",
    "✗": "x",
    "→": "->",
    "●": "*",
    "○": "o",
    "◐": "~",
    "…": "...",
    "▌": "|",
    "─": "-",
    "—": "-",
    "·": "-",
}
"""What stands for our own marks where there is nothing but letters."""


def sayer(encoding: str | None) -> Say:
    """Characters of names that the encoding lacks are spelt out by the stream itself."""
    lacking = str.maketrans({mark: word for mark, word in ASCII.items() if not _has(encoding or "utf-8", mark)})
    return lambda text: logs.visible(text).translate(lacking)


def _has(encoding: str, mark: str) -> bool:
    try:
        mark.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
