"""Scans of an index: its platforms' results in one message about the image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from formatters.lines import Line, artifact_lines, composed
from formatters.markdown import ABSENT, shorten, visible
from formatters.news import news, news_lines
from formatters.scans import LONGEST_LEVEL, Figures, figures, image_of, is_sbom_run, listed_levels, rank, report, worst
from formatters.texts import EMOJI, Label, Style, Texts
from poller.events import Event, EventType, Scan

_WORST_FIRST = (EventType.SCANNING_FAILED, EventType.SCANNING_STOPPED, EventType.SCANNING_COMPLETED)

_MOST_PLATFORMS = 40  # Telegram shows 100 entities a message; a label is one
_MOST_NAMES = 3


def image_message(events: Sequence[Event], style: Style) -> str:
    """One message in MarkdownV2 about the scans of an index's platforms; there is at least one.

    Of a platform that occurs twice, the later event counts.
    """
    platforms = _latest(events)
    kind = min((event.type for event in platforms), key=_outcome)
    title = style.texts.scan_title(kind, is_sbom=all(map(is_sbom_run, platforms)))
    return composed(EMOJI[kind], title, list(_lines(platforms, style)), style)


def _latest(events: Sequence[Event]) -> list[Event]:
    """Each manifest's last event, the worst first."""
    latest: dict[tuple[str | None, str, bool], Event] = {}
    for event in sorted(events, key=lambda event: event.occurred_at):
        latest[event.digest, platform_of(event), is_sbom_run(event)] = event  # two may be called windows/amd64
    return sorted(latest.values(), key=badness)


def badness(event: Event) -> tuple[int, int, int, str]:
    """To sort scans by. Smallest is worst."""
    known = figures(event.scan)
    return _outcome(event.type), rank(report(event.scan).severity), -known.total if known else 0, platform_of(event)


def _outcome(kind: EventType) -> int:
    return _WORST_FIRST.index(kind) if kind in _WORST_FIRST else len(_WORST_FIRST)


def platform_of(event: Event) -> str:
    """By its digest, where the scan is not one of an index."""
    index = event.scan.index if event.scan else None
    return (index.platform if index else "") or event.digest or ""


def _lines(platforms: Sequence[Event], style: Style) -> Iterator[Line]:
    texts, image, portal = style.texts, image_of(platforms[0]), style.portal
    reports = [report(event.scan) for event in platforms]
    results = [event.scan for event in platforms if has_result(event) and event.scan]
    yield from artifact_lines(image, style)
    yield from _known(Label.LONGEST, max((each.duration for each in reports), key=_seconds), style)
    yield from _totals(results, portal.vulnerabilities(image) if portal else "", style)
    yield from _platform_lines(platforms, texts)
    yield from _known(Label.SCANNER, names_of(each.scanner for each in reports), style)
    yield from news_lines(news(results), style)
    yield Line(texts.labels[Label.USER], names_of(event.operator for event in platforms))


def has_result(event: Event) -> bool:
    return event.type is EventType.SCANNING_COMPLETED and not is_sbom_run(event)


def _known(label: Label, value: str, style: Style, address: str = "") -> Iterator[Line]:
    if value != ABSENT:
        yield Line(style.texts.labels[label], visible(value), address=address)


def _totals(results: Sequence[Scan], address: str, style: Style) -> Iterator[Line]:
    labels = style.texts.labels
    yield from _known(Label.SEVERITY, worst(report(scan).severity for scan in results) or ABSENT, style, address)
    found = [known for scan in results if (known := figures(scan))]
    if found:
        total = sum(found, Figures())
        yield Line(labels[Label.SUM], counted(total), address=address)
        yield Line(labels[Label.FIXABLE], str(total.fixable))


def _platform_lines(platforms: Sequence[Event], texts: Texts) -> Iterator[Line]:
    for event in islice(platforms, _MOST_PLATFORMS):
        yield Line(shorten(visible(platform_of(event)), LONGEST_LEVEL), result_of(event, texts))
    if len(platforms) > _MOST_PLATFORMS:
        yield Line("", texts.more.format(events=len(platforms) - _MOST_PLATFORMS))


def result_of(event: Event, texts: Texts) -> str:
    """`Success, 43 (2 Critical, 41 Low), fixable 17`; of what has no figures, the status alone."""
    status, known = visible(report(event.scan).status), figures(event.scan)
    if known is None or not has_result(event):
        return status
    if not known.total:
        return f"{status}, {texts.nothing_found}"
    return f"{status}, {counted(known)}, {texts.fixable.format(count=known.fixable)}"


def counted(known: Figures) -> str:
    return f"{known.total} ({listed_levels(known.levels)})" if known.levels else str(known.total)


def names_of(names: Iterable[str]) -> str:
    """`ann, bob`: each once; platforms hardly ever differ in them."""
    distinct = list(dict.fromkeys(name for name in names if name not in ("", ABSENT)))
    shown = [visible(name) for name in distinct[:_MOST_NAMES]]
    return ", ".join([*shown, f"+{len(distinct) - _MOST_NAMES}"] if len(distinct) > _MOST_NAMES else shown) or ABSENT


def _seconds(duration: str) -> float:
    try:
        seconds = float(duration.removesuffix("s"))
    except ValueError:
        return -math.inf
    return -math.inf if math.isnan(seconds) else seconds
