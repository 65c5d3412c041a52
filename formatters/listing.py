"""The list of many events: a line per group, with as much detail as there is room for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from formatters.groups import Group, Tally, times
from formatters.markdown import LIMIT, shorten, units, visible
from formatters.texts import EMOJI, Style
from poller.values import replace


class _Detail(msgspec.Struct, frozen=True):
    """How much a line of the list says: at most so many names, each of so many units."""

    names: int
    length: int


_STEPS = (_Detail(LIMIT, LIMIT), _Detail(20, 255), _Detail(5, 128), _Detail(1, 64))
"""From everything to little; when even little is too much for all, the last lines go."""


def listed(
    groups: Sequence[Group], room: int, style: Style, *, rest: int = 0, with_operators: bool = True
) -> list[str]:
    """Lines with as much detail as fits, or as many as fit with the least, and how many events are in none of them.

    `rest`: events that are in none of the groups.
    """
    lister = _Lister(groups, style, with_operators)
    end = units(_more(rest + sum(group.count for group in groups), style)) + 1
    for detail in _STEPS:
        lines = lister.within(room - end if rest else room, detail)
        if len(lines) == len(groups):
            break
    else:
        lines = lister.within(room - end, _STEPS[-1])
    left = rest + sum(group.count for group in groups[len(lines) :])
    return [*lines, _more(left, style)] if left else lines


class _Lister(msgspec.Struct, frozen=True):
    groups: Sequence[Group]
    style: Style
    with_operators: bool

    def within(self, room: int, detail: _Detail) -> list[str]:
        lines: list[str] = []
        for group in self.groups:
            line = self._line(group, detail)
            room -= units(line) + 1
            if room < 0:
                break
            lines.append(line)
        return lines

    def _line(self, group: Group, detail: _Detail) -> str:
        """`📦 team/app: v1, v2 ×3 (ann, bob)`"""
        name = self.style.texts.kinds[group.type] if group.repository is None else visible(group.repository)
        line = f"{EMOJI[group.type]} {shorten(name, detail.length)}"
        if set(group.items.names) == {""}:  # nothing to name, as of a deleted repository
            line += times(group.count)
        else:
            line += f": {group.items.told(detail.names, detail.length)}"
        return f"{line} ({_names(group.operators, detail)})" if self.with_operators else line


def _names(operators: Tally, detail: _Detail) -> str:
    """Each once, however much they did."""
    return replace(operators, names=dict.fromkeys(operators.names, 1)).told(detail.names, detail.length)


def _more(count: int, style: Style) -> str:
    return style.texts.more.format(events=style.texts.events(count))
