"""Cron's five fields, checked where they are written, and put into words that every scheduler reads alike."""

from __future__ import annotations

import re

import msgspec

from poller.config_values import Unfit

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_TERM = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?", re.ASCII)


class _Field(msgspec.Struct, frozen=True):
    title: str
    least: int
    most: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _DAYS),
)


def expression(value: object) -> str:
    """The five fields; months and days of the week by name, since schedulers number the days differently.

    (0 is Sunday for cron and Monday for APScheduler.) Raises Unfit.
    """
    fields = value.lower().split() if isinstance(value, str) else []
    if len(fields) != len(_FIELDS):
        raise Unfit('must be five fields (minute, hour, day, month, day of the week) such as "*/5 * * * *"')
    _, _, days, months, weekdays = (_numbers(*pair) for pair in zip(fields, _FIELDS, strict=True))
    if min(days) > max(_LONGEST[month - 1] for month in months):
        raise Unfit("must name a day that exists")
    named_months = fields[3] if fields[3] == "*" else ",".join(_MONTHS[month - 1] for month in sorted(months))
    named_days = (
        fields[4] if fields[4] == "*" else ",".join(_DAYS[day] for day in sorted({day % 7 for day in weekdays}))
    )
    return " ".join([*fields[:3], named_months, named_days])


def _numbers(text: str, field: _Field) -> set[int]:
    """Every number that the field stands for."""
    return {number for term in text.split(",") for number in _term(term, field)}


def _term(term: str, field: _Field) -> range:
    match = _TERM.fullmatch(term)
    if match is None:
        raise Unfit(f'has "{term}" as {field.title}: allowed are *, numbers, ranges (1-5), lists (1,3) and steps (*/5)')
    first, last = _bounds(match, field)
    step = int(match["step"] or 1)
    if first > last or step < 1 or (match["step"] and step > last - first):
        raise Unfit(f'has "{term}" as {field.title}: the range or step leaves nothing to count')
    return range(first, last + 1, step)


def _bounds(match: re.Match[str], field: _Field) -> tuple[int, int]:
    highest = 6 if field.names is _DAYS else field.most
    if match["first"] is None:
        return field.least, highest
    first = _number(match["first"], field)
    if match["last"] is None:
        return first, highest if match["step"] else first
    last = _number(match["last"], field)
    return first, 7 if match["last"] == "sun" else last  # a week may end with Sunday: sat-sun


def _number(word: str, field: _Field) -> int:
    if word in field.names:
        return field.names.index(word) + field.least
    if not word.isdigit() or not field.least <= int(word) <= field.most:
        names = f" or {field.names[0]}-{field.names[-1]}" if field.names else ""
        raise Unfit(f'has "{word}" as {field.title}: allowed is {field.least}-{field.most}{names}')
    return int(word)
