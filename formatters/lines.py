"""A message's lines: `*Label:* value`, or a value alone, fitted together into Telegram's limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from formatters.markdown import ABSENT, LIMIT, bold, code, escape, fit, labelled, units
from formatters.texts import Style


@dataclass(frozen=True, slots=True)
class Line:
    """`value` is visible text, never markup. Without a label it stands alone."""

    label: str
    value: str
    is_code: bool = False

    @property
    def frame(self) -> int:
        """Units of everything but the value."""
        return units(f"\n{self.label}: ") if self.label else 1


def composed(emoji: str, title: str, lines: Sequence[Line], style: Style) -> str:
    """The message in MarkdownV2. Values are shown whole as long as that fits; if not, the longest are shortened."""
    room = LIMIT - units(f"{emoji} {title}") - sum(line.frame for line in lines)
    values = fit([line.value for line in lines], room)
    heading = f"{emoji} {bold(title, style.extra_escapes)}"
    return "\n".join([heading, *(_markup(line, value, style) for line, value in zip(lines, values, strict=True))])


def _markup(line: Line, value: str, style: Style) -> str:
    shown = code(value) if line.is_code and value != ABSENT else escape(value, style.extra_escapes)
    return labelled(line.label, shown, style.extra_escapes) if line.label else shown
