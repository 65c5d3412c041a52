"""Telegram's MarkdownV2: the only place where text becomes markup, or stops being it.

The order is always the same: `visible` (what Telegram would drop or people could not see), `shorten`
(by UTF-16 units, as Telegram counts), and only then `escape`, `bold` or `code`. Markup is never cut.
The rules were run against Telegram's own parser.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

import msgspec

from poller.values import replace

LIMIT = 4096
"""UTF-16 units of a message after parsing (an emoji is two)."""

ABSENT = "—"
MARK = "…"

_SPECIAL = frozenset("_*[]()~`>#+-=|{}.!\\")

_ZWJ = "\u200d"
_EMOJI_STYLE = "\ufe0f"
_KEYCAP = "\u20e3"
_DROPPED_BY_TELEGRAM = "\u030a\u0333\u033f"
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
_HIDDEN = frozenset(_DROPPED_BY_TELEGRAM + _BLANK)
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_TOKEN = re.compile(
    r"`(?P<code>(?:\\[\x01-\x7e]|[^`\\])*)`|\\(?P<escaped>[\x01-\x7e])|^(?:\*\*)?>|\|\||\*"
    r"|\[|\]\((?:\\[\x01-\x7e]|[^)\\])*\)",
    re.MULTILINE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\([\x01-\x7e])", re.DOTALL)


def escape(text: str, extra: str = "") -> str:
    """Text that MarkdownV2 shows as it stands. `extra`: characters to escape besides Telegram's own set."""
    return text.translate(_escapes(extra))


def bold(text: str, extra: str = "") -> str:
    return f"*{escape(text, extra)}*"


def labelled(label: str, value: str, extra: str = "") -> str:
    """`*Label:* value`; the value is markup already."""
    return f"{bold(f'{label}:', extra)} {value}"


def code(text: str) -> str:
    """A code span. In it, only the backtick and the backslash may be escaped."""
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"


def link(text: str, address: str) -> str:
    """A link; the text is markup already. In the address, only the closing bracket and the backslash may be escaped."""
    return f"[{text}](" + address.replace("\\", "\\\\").replace(")", "\\)") + ")"


def quotation(lines: Sequence[str]) -> str:
    """An expandable quotation of lines that are markup already."""
    return "**>" + "\n>".join(lines) + "||"


def plain(markdown: str) -> str:
    """The text that people would see of our own messages: without markup and escapes."""
    return _TOKEN.sub(_bare, markdown)


class Piece(msgspec.Struct, frozen=True):
    """Text of a message as people see it, without a change of how it looks."""

    text: str
    is_bold: bool = False
    is_code: bool = False
    is_link: bool = False
    is_quoted: bool = False


def pieces(markdown: str) -> Iterator[Piece]:
    """The text of our own messages, as `plain` has it, with how it looks. A line break belongs to no quotation."""
    now, place = Piece(""), 0
    for token in _TOKEN.finditer(markdown):
        between = markdown[place : token.start()]
        yield from _of_lines(now, between)
        now, place = replace(now, is_quoted=now.is_quoted and "\n" not in between), token.end()
        if text := _bare(token):
            yield replace(now, text=text, is_code=token["code"] is not None)
        now = _turned(now, token[0])
    yield from _of_lines(now, markdown[place:])


def _of_lines(now: Piece, text: str) -> Iterator[Piece]:
    """A quotation goes on in the next line only where that begins as one."""
    head, newline, rest = text.partition("\n") if now.is_quoted else (text, "", "")
    if head:
        yield replace(now, text=head)
    if newline:
        yield replace(now, text=newline + rest, is_quoted=False)


def _turned(now: Piece, token: str) -> Piece:
    """How the text behind a token looks."""
    if token == "*":
        return replace(now, is_bold=not now.is_bold)
    if token == "[" or token.startswith("]("):
        return replace(now, is_link=token == "[")
    return replace(now, is_quoted=True) if token in (">", "**>") else now


def units(text: str) -> int:
    """Length as Telegram counts it, in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def visible(text: str) -> str:
    """The text as people can see it, on one line; empty: `—`.

    Printable characters stay. What Telegram drops or what shows nothing is drawn, so that no value can fake
    a line, a label, an order of reading or another name: a newline is `␊`, a space at an edge `␠`, and
    whatever has no control picture its number, `\\u{202e}`. Emoji made of several characters stay whole.
    """
    if not text:
        return ABSENT
    if text.isascii() and text.isprintable() and text[0] != " " and text[-1] != " ":
        return text
    start = len(text) - len(text.lstrip())
    end = max(len(text.rstrip()), start)
    return "".join(
        char if start <= index < end and _can_be_seen(text, index) else _drawn(char) for index, char in enumerate(text)
    )


def shorten(text: str, limit: int) -> str:
    """At most `limit` units, with `…` for what is missing. A character made of several is not cut apart."""
    if units(text) <= limit:
        return text
    room = max(limit - units(MARK), 0)
    head = text.encode("utf-16-le", "surrogatepass")[: 2 * room].decode("utf-16-le", "ignore")
    cut = len(head)
    while cut and _continues(text, cut):
        cut -= 1
    return text[: cut or len(head)] + MARK


def fit(values: Sequence[str], room: int) -> list[str]:
    """The values, the longest shortened as much as it takes for all of them together to need `room` units."""
    lengths = sorted(map(units, values))
    if sum(lengths) <= room:
        return list(values)
    left = room
    for index, length in enumerate(lengths):
        share = left // (len(lengths) - index)
        if length > share:
            return [shorten(value, share) for value in values]
        left -= length
    return list(values)


@lru_cache(maxsize=8)
def _escapes(extra: str) -> dict[int, str]:
    # Telegram lets ASCII 1-126 be escaped, and shows the backslash before anything else.
    wanted = _SPECIAL | {char for char in extra if 1 <= ord(char) <= 126}
    return {ord(char): "\\" + char for char in wanted}


def _bare(token: re.Match[str]) -> str:
    if token["code"] is not None:
        return _ESCAPED.sub(r"\1", token["code"])
    return token["escaped"] or ""


def _can_be_seen(text: str, index: int) -> bool:
    char = text[index]
    if char == _ZWJ:
        return _is_emoji(text, index - 1) and _is_emoji(text, index + 1)
    if char == _EMOJI_STYLE:
        return index > 0 and (not text[index - 1].isalnum() or text[index + 1 : index + 2] == _KEYCAP)
    if char in _HIDDEN or _is_variation(char):
        return False
    return unicodedata.category(char) not in _HIDDEN_CATEGORIES


def _drawn(char: str) -> str:
    number = ord(char)
    if number <= 0x20:
        return chr(0x2400 + number)
    return "␡" if number == 0x7F else f"\\u{{{number:x}}}"


def _is_variation(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0e" or "\U000e0100" <= char <= "\U000e01ef"


def _is_emoji(text: str, index: int) -> bool:
    char = text[index : index + 1] if index >= 0 else ""
    return char == _EMOJI_STYLE or _is_skin_tone(char) or (bool(char) and unicodedata.category(char) == "So")


def _is_skin_tone(char: str) -> bool:
    return "\U0001f3fb" <= char <= "\U0001f3ff"


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _continues(text: str, index: int) -> bool:
    """Whether the character at `index` belongs to the one before it."""
    char, before = text[index], text[index - 1]
    if _is_flag_letter(char):
        letters = 0
        while letters < index and _is_flag_letter(text[index - 1 - letters]):
            letters += 1
        return letters % 2 == 1
    return _ZWJ in (char, before) or _is_skin_tone(char) or unicodedata.category(char) in {"Mn", "Mc", "Me"}
