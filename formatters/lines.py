"""A message's lines: `*Label:* value`, or a value alone, fitted together into Telegram's limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from formatters.markdown import ABSENT, LIMIT, bold, code, escape, fit, labelled, link, units, visible
from formatters.texts import Label, Style
from poller.events import Event


class Line(msgspec.Struct, frozen=True):
    """`value` is visible text, never markup. Without a label it stands alone. `address`: what the value links to."""

    label: str
    value: str
    is_code: bool = False
    address: str = ""

    @property
    def frame(self) -> int:
        """Units of everything but the value."""
        return units(f"\n{self.label}: ") if self.label else 1


def artifact_lines(image: Event, style: Style, references: str = "") -> Iterator[Line]:
    """Repository, tag and URL. `references`: its tags in words, where there are several."""
    labels, portal = style.texts.labels, style.portal
    repository = visible(image.repository.full_name if image.repository else "")
    yield Line(labels[Label.REPOSITORY], repository, address=portal.repository(image) if portal else "")
    label, reference = (Label.TAGS, references) if references else (Label.TAG, visible(image.reference or ""))
    yield Line(labels[label], reference, address=portal.artifact(image) if portal else "")
    yield Line(labels[Label.URL], visible(image.resource_url or ""), is_code=True)


def composed(emoji: str, title: str, lines: Sequence[Line], style: Style, limit: int = LIMIT) -> str:
    """The message in MarkdownV2. Values are shown whole as long as that fits; if not, the longest are shortened."""
    room = limit - units(f"{emoji} {title}") - sum(line.frame for line in lines)
    values = fit([line.value for line in lines], room)
    heading = f"{emoji} {bold(title, style.extra_escapes)}"
    return "\n".join([heading, *(_markup(line, value, style) for line, value in zip(lines, values, strict=True))])


def _markup(line: Line, value: str, style: Style) -> str:
    shown = code(value) if line.is_code and value != ABSENT else escape(value, style.extra_escapes)
    if line.address and value != ABSENT:
        shown = link(shown, line.address)
    return labelled(line.label, shown, style.extra_escapes) if line.label else shown
