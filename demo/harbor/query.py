"""Harbor's query language: `q`, `sort`, `page` and `page_size`, with the oddities that running Harbors show.

`q` is unescaped twice, unknown keys are ignored, a value of the wrong type is an error of the database (500), and
a page size of 0 or less means: everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Generic, TypeVar
from urllib.parse import unquote_plus, urlencode

T = TypeVar("T")
Value = int | str | bool | datetime
LARGEST_PAGE = 100
_INT4 = 2**31 - 1


class BadQuery(Exception):
    """Answered 400."""


class Unprocessable(Exception):
    """Answered 422."""


class DatabaseFailed(Exception):
    """Answered 500, without a word of what it was."""


class Kind(Enum):
    """The type of a column."""

    INT4 = "integer"
    INT8 = "bigint"
    TEXT = "text"
    TIME = "timestamp"
    BOOL = "boolean"


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    kind: Kind
    value: Callable[[T], Value]


Columns = Mapping[str, Column[T]]


# -- patterns -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exact:
    value: str


@dataclass(frozen=True, slots=True)
class Fuzzy:
    value: str


@dataclass(frozen=True, slots=True)
class Range:
    """Both ends belong to it; an empty end is open."""

    low: str
    high: str


@dataclass(frozen=True, slots=True)
class OneOf:
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Understood, but of no effect on what is listed here."""


Pattern = Exact | Fuzzy | Range | OneOf | AllOf


def parse_q(text: str) -> dict[str, Pattern]:
    """The filters of a `q` that was unescaped once. Of a key that comes twice the last one counts."""
    filters: dict[str, Pattern] = {}
    for part in _unescaped(text).split(",") if text else ():
        key, equals, pattern = part.partition("=")
        if not (key.strip() and equals and pattern.strip()):
            raise BadQuery('the query string must contain "=" and the key/value cannot be empty')
        filters[key.strip()] = _pattern(pattern.strip())
    return filters


def _unescaped(text: str) -> str:
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise BadQuery("invalid URL escape")
    return unquote_plus(text)


def _pattern(text: str) -> Pattern:
    match text[0]:
        case "~":
            return Fuzzy(text[1:])
        case "[":
            return _range(_inside(text, "]"))
        case "{":
            return OneOf(tuple(map(_unquoted, _inside(text, "}").split())))
        case "(":
            _inside(text, ")")
            return AllOf()
    return Exact(text.removeprefix("\\"))


def _inside(text: str, end: str) -> str:
    if not text.endswith(end) or len(text) < 2:
        raise BadQuery(f'"{text[0]}" must be closed by "{end}"')
    return text[1:-1]


def _range(text: str) -> Range:
    low, tilde, high = text.partition("~")
    if not tilde or "~" in high or not (low.strip() or high.strip()):
        raise BadQuery('a range must contain exactly one "~" and a bound')
    return Range(_unquoted(low.strip()), _unquoted(high.strip()))


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] in "\"'" else text


# -- comparing ----------------------------------------------------------------------------------------


def predicate(pattern: Pattern, kind: Kind) -> Callable[[Value], bool]:
    """Whether a column's value matches. Raises DatabaseFailed if the pattern is not of the column's type."""
    match pattern:
        case Exact(value):
            wanted = convert(value, kind)
            return lambda said: said == wanted
        case Fuzzy(value):
            return lambda said: value.lower() in str(said).lower()
        case OneOf(values):
            allowed = {convert(value, kind) for value in values}
            return lambda said: said in allowed
        case Range(low, high):
            return _within(convert(low, kind) if low else None, convert(high, kind) if high else None)
        case AllOf():
            return lambda _: True


def _within(low: Value | None, high: Value | None) -> Callable[[Value], bool]:
    def is_within(said: Value) -> bool:
        return (low is None or low <= said) and (high is None or said <= high)  # type: ignore[operator]  # one column: one type

    return is_within


def convert(text: str, kind: Kind) -> Value:
    try:
        match kind:
            case Kind.INT4 | Kind.INT8:
                number = int(text)
                if kind is Kind.INT4 and abs(number) > _INT4:
                    raise DatabaseFailed(text)
                return number
            case Kind.TIME:
                return _time(text)
            case Kind.BOOL:
                return {"true": True, "false": False}[text.lower()]
            case Kind.TEXT:
                return text
    except (ValueError, KeyError):
        raise DatabaseFailed(text) from None


def _time(text: str) -> datetime:
    """Without `Z`, fractions of a second are cut off on their way to the database; zones are ignored."""
    parsed = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return parsed if text.endswith("Z") else parsed.replace(microsecond=0)


# -- a list's question ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list was asked for. `sort`: keys, `-` for descending."""

    filters: Mapping[str, Pattern] = field(default_factory=dict)
    sort: tuple[str, ...] = ()
    page: int = 1
    page_size: int = 10

    def select(self, items: Iterable[T], columns: Columns[T], default_sort: Sequence[str]) -> tuple[list[T], int]:
        """The page, and how many there are on all pages."""
        tests = [
            (columns[key].value, predicate(pattern, columns[key].kind))
            for key, pattern in self.filters.items()
            if key in columns
        ]
        found = [item for item in items if all(matches(value(item)) for value, matches in tests)]
        known = [key for key in self.sort if key.lstrip("-") in columns]
        for key in reversed(known or default_sort):
            found.sort(key=columns[key.lstrip("-")].value, reverse=key.startswith("-"))
        return self._page(found), len(found)

    def _page(self, found: list[T]) -> list[T]:
        if self.page_size <= 0:
            return found
        start = (max(self.page, 1) - 1) * self.page_size
        return found[start : start + self.page_size]


def listing(params: Mapping[str, str]) -> Listing:
    """Raises Unprocessable for pages that Harbor refuses, BadQuery for a malformed `q`."""
    page, page_size = _integer(params, "page", 1), _integer(params, "page_size", 10)
    if page_size > LARGEST_PAGE:
        raise Unprocessable(
            f"validation failure list:\npage_size in query should be less than or equal to {LARGEST_PAGE}"
        )
    sort = tuple(key.strip() for key in params.get("sort", "").split(",") if key.strip())
    return Listing(parse_q(params.get("q", "")), sort, page, page_size)


def _integer(params: Mapping[str, str], key: str, default: int) -> int:
    text = params.get(key) or str(default)
    try:
        return int(text)
    except ValueError:
        raise Unprocessable(f'validation failure list:\n{key} in query must be of type int64: "{text}"') from None


def links(path: str, params: Mapping[str, str], asked: Listing, total: int) -> str:
    """The `Link` header, which Harbor leaves unescaped; empty when there is but one page."""
    found = []
    if asked.page > 1 and (asked.page - 1) * asked.page_size <= total:
        found.append(_link(path, params, asked, asked.page - 1, "prev"))
    if asked.page_size != 0 and asked.page * asked.page_size < total:
        found.append(_link(path, params, asked, asked.page + 1, "next"))
    return " , ".join(found)


def _link(path: str, params: Mapping[str, str], asked: Listing, page: int, relation: str) -> str:
    query = dict(sorted({**params, "page": str(page), "page_size": str(asked.page_size)}.items()))
    return f'<{path}?{unquote_plus(urlencode(query))}>; rel="{relation}"'
