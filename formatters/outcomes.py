"""What came of an image's scans, in one line: those of its platforms together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from formatters.groups import short_digest, tally
from formatters.images import counted, has_result, result_of
from formatters.markdown import shorten, visible
from formatters.scans import LONGEST_LEVEL, Figures, figures, report, worst
from formatters.texts import EMOJI, Texts
from poller.events import Event, EventType

_UNFINISHED = (EventType.SCANNING_FAILED, EventType.SCANNING_STOPPED)
_MOST_NAMES = 5


def outcome(scans: Sequence[Event], texts: Texts) -> str:
    """`Success, 43 (2 Critical, 41 Low), fixable 17`, or the sum of several; and which of them brought no result.

    `scans`: each artifact's latest; there is at least one.
    """
    results = [event for event in scans if has_result(event)]
    told = [_one(results[0], texts)] if len(results) == 1 else [", ".join(_sum(results, texts))] if results else []
    for kind in _UNFINISHED:
        events = [event for event in scans if event.type is kind]
        if events:
            told.append(f"{EMOJI[kind]} {texts.outcomes[kind]}{_which(events, is_only=len(scans) == 1)}")
    return "; ".join(told)


def _one(event: Event, texts: Texts) -> str:
    severity = worst([report(event.scan).severity])
    said = result_of(event, texts)
    return said if figures(event.scan) or not severity else f"{said}, {severity}"


def _sum(results: Sequence[Event], texts: Texts) -> Iterator[str]:
    """`Success ×2`, `worst severity: Critical`, `86 (4 Critical, 82 Low)`, `fixable 34`"""
    yield tally(report(event.scan).status for event in results).told(_MOST_NAMES, LONGEST_LEVEL)
    found = [known for event in results if (known := figures(event.scan))]
    total = sum(found, Figures())
    severity = worst(report(event.scan).severity for event in results) or next(iter(total.levels), "")
    if severity and (total.total or len(found) < len(results)):
        yield texts.worst.format(severity=severity)
    if found and not total.total:
        yield texts.nothing_found
    elif found:
        yield counted(total)
        yield texts.fixable.format(count=total.fixable)
    if len(found) < len(results):
        yield f"{len(results) - len(found)} {texts.no_figures}"


def _which(events: Sequence[Event], *, is_only: bool) -> str:
    """`: linux/s390x (Error)`; of a single scan only how it ended: ` (Error)`."""
    if is_only:
        return _status(events[0])
    named = (f"{_platform(event)}{_status(event)}" for event in events)
    return f": {tally(named).told(_MOST_NAMES)}"


def _status(event: Event) -> str:
    return f" ({shorten(visible(report(event.scan).status), LONGEST_LEVEL)})"


def _platform(event: Event) -> str:
    index = event.scan.index if event.scan else None
    return shorten(visible(index.platform), LONGEST_LEVEL) if index else short_digest(event.digest or "")
