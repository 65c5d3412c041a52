"""A scan of everything, told once: counters and the few worst images, however many were scanned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from formatters.groups import short_digest
from formatters.markdown import ABSENT, LIMIT, bold, escape, fit, labelled, plain, quotation, shorten, units, visible
from formatters.news import Difference, changed, difference
from formatters.periods import Span
from formatters.scans import (
    WORST_FIRST,
    Figures,
    count,
    figures,
    image_of,
    is_sbom_run,
    listed_levels,
    rank,
    report,
    summed_levels,
    worst,
)
from formatters.texts import EMOJI, Label, Style, Texts
from poller.events import SCAN_TYPES, Event, EventType, Scan, Since

_EMOJI = "🔎"
_NEW = "🆕"
_MOST_IMAGES = 10
_MOST_IDS = 10
_LONGEST_NAME = 255
_LONGEST_ID = 40
_FOUND_NOTHING = "none"

_Place = tuple[list[int], list[int], str]
"""What is new and bad, what was found, the name: sorts the worst first."""


class _Image(msgspec.Struct, frozen=True):
    """What is kept of a bad result: the first `ids` of its critical and high findings, and how many `more`."""

    place: _Place  # the worst first
    name: str
    levels: Mapping[str, int]
    new: Mapping[str, int]  # critical and high only
    ids: tuple[str, ...] = ()
    more: int = 0
    are_new: bool = False


class _Worst:
    """The worst few of any number of images; of an image that comes again, the worse result."""

    def __init__(self) -> None:
        self._images: dict[str, _Image] = {}

    def add(self, image: _Image) -> None:
        known = self._images.get(image.name)
        if known is not None and known.place <= image.place:
            return
        self._images[image.name] = image
        if len(self._images) > _MOST_IMAGES:
            del self._images[max(self._images.values(), key=_place).name]

    def __iter__(self) -> Iterator[_Image]:
        return iter(sorted(self._images.values(), key=_place))


class MassScan:
    """Takes in any number of scans, of 100,000 images too, and tells them in one message.

    Platforms of an index are images of their own here. SBOM runs and what is no scan are not counted.
    """

    def __init__(self) -> None:
        self._span = Span()
        self._kinds: Counter[EventType] = Counter()
        self._severities: dict[str, int] = {}
        self._found_nothing = 0
        self._without_figures = 0
        self._total = Figures()
        self._changed: Difference | None = None
        self._worst = _Worst()
        self._failed: Counter[str] = Counter()
        self._mended = 0  # failures of images whose next scan was completed

    def add(self, event: Event) -> None:
        """Count one scan."""
        if event.type not in SCAN_TYPES or is_sbom_run(event):
            return
        self._kinds[event.type] += 1
        self._span.add(event.occurred_at)
        if event.type is EventType.SCANNING_COMPLETED:
            self._mended += self._failed.pop(_name(event), 0)
            self._add_result(event)
        elif event.type is EventType.SCANNING_FAILED:
            self._add_failure(_name(event))

    def message(self, style: Style) -> str:
        """The summary in MarkdownV2: what was counted, and behind a quotation the worst images and the failures."""
        heading = "\n".join(self._heading(style))
        listed = list(self._listed(style.texts))
        if not listed:
            return heading
        lines = fit(listed, LIMIT - units(plain(heading)) - len(listed))
        return f"{heading}\n{quotation([escape(line, style.extra_escapes) for line in lines])}"

    def _add_result(self, event: Event) -> None:
        found = figures(event.scan)
        self._add_severity(report(event.scan).severity, found)
        if found is not None:
            self._total += found
        if event.scan is not None:
            self._add_change(difference(event.scan, Since.SCAN))
        if event.scan is not None and found is not None and found.levels:
            self._worst.add(_image(event, event.scan, found))

    def _add_change(self, change: Difference | None) -> None:
        if change is not None:
            self._changed = self._changed + change if self._changed else change

    def _add_severity(self, said: str, found: Figures | None) -> None:
        severity = worst([said]) or next(iter(found.levels if found else ()), "")
        if _is_nothing(severity, found):
            self._found_nothing += 1
        elif severity:
            self._severities = summed_levels((self._severities, {severity: 1}))
        else:
            self._without_figures += 1

    def _add_failure(self, name: str) -> None:
        if name in self._failed or len(self._failed) < _MOST_IMAGES:
            self._failed[name] += 1

    def _heading(self, style: Style) -> Iterator[str]:
        texts, extra = style.texts, style.extra_escapes
        yield f"{_EMOJI} {bold(texts.mass_title, extra)}"
        for label, value in self._facts(style):
            yield labelled(texts.labels[label], escape(value, extra), extra)
            if label is Label.COUNT:
                yield from (escape(line, extra) for line in self._outcomes(texts))

    def _facts(self, style: Style) -> Iterator[tuple[Label, str]]:
        texts = style.texts
        yield Label.PERIOD, self._span.told(style)
        yield Label.COUNT, texts.scans(self._kinds.total())
        if self._kinds[EventType.SCANNING_COMPLETED]:
            yield Label.BY_SEVERITY, ", ".join(self._by_severity(texts))
            yield Label.TOTAL, str(self._total.total)
            yield Label.FIXABLE, str(self._total.fixable)
        if self._changed is not None:
            yield Label.SINCE_RESULTS, changed(self._changed, texts)

    def _outcomes(self, texts: Texts) -> Iterator[str]:
        """`🔍 Scans completed: 4998`, a line per outcome."""
        for kind in EventType:
            if self._kinds[kind]:
                yield f"{EMOJI[kind]} {texts.kinds[kind]}: {self._kinds[kind]}"

    def _by_severity(self, texts: Texts) -> Iterator[str]:
        if self._severities:
            yield listed_levels(self._severities)
        if self._without_figures:
            yield f"{self._without_figures} {texts.no_figures}"
        if self._found_nothing:
            yield f"{self._found_nothing} {texts.nothing_found}"

    def _listed(self, texts: Texts) -> Iterator[str]:
        images = [_told(image, texts) for image in self._worst]
        if images:
            yield texts.worst_images
            yield from images
        failed = self._kinds[EventType.SCANNING_FAILED] - self._mended
        if failed:
            yield texts.failed_images
            yield from (f"{name} ×{times}" if times > 1 else name for name, times in self._failed.items())
        if failed > self._failed.total():
            yield f"+{failed - self._failed.total()}"


def _is_nothing(severity: str, found: Figures | None) -> bool:
    """Whether a result says that there are no findings. Harbor counts negligible ones under None, too."""
    if found is None:
        return severity.casefold() == _FOUND_NOTHING
    return not found.total and severity.casefold() in ("", _FOUND_NOTHING)


def _image(event: Event, scan: Scan, found: Figures) -> _Image:
    name, nearest = _name(event), difference(scan, Since.SCAN) or difference(scan, Since.IMAGE)
    new = nearest.new_and_bad if nearest else {}
    ids = list(dict.fromkeys(shorten(visible(finding.id), _LONGEST_ID) for finding in scan.named))
    return _Image(
        place=(_negated(new), _negated(found.levels), name),
        name=name,
        levels=found.levels,
        new=new,
        ids=tuple(ids[:_MOST_IDS]),
        more=len(ids[_MOST_IDS:]) + count(scan.unnamed),
        are_new=scan.are_new,
    )


def _name(event: Event) -> str:
    """`team/app:1.27`, of a platform `team/app:1.27 (linux/arm64)`; of what has no tag, the start of its digest."""
    image, index = image_of(event), event.scan.index if event.scan else None
    repository = image.repository.full_name if image.repository else ABSENT
    reference = f":{image.tag}" if image.tag else f"@{short_digest(image.digest or '')}"
    platform = f" ({shorten(visible(index.platform), _LONGEST_ID)})" if index and index.platform else ""
    return shorten(visible(f"{repository}{reference}"), _LONGEST_NAME) + platform


def _told(image: _Image, texts: Texts) -> str:
    """`🆕 team/app:1.27: 3 Critical, 5 High; new 1 (1 Critical): CVE-2026-1234`"""
    said = f"{image.name}: {listed_levels(image.levels)}"
    if not image.new:
        return said
    said = f"{_NEW} {said}; {changed(Difference(image.new, {}), texts)}"
    return f"{said}: {_ids(image, texts)}" if image.ids else said


def _ids(image: _Image, texts: Texts) -> str:
    names = ", ".join([*image.ids, f"+{image.more}"] if image.more else image.ids)
    return names if image.are_new else texts.perhaps.format(names=names)


def _place(image: _Image) -> _Place:
    return image.place


def _negated(counts: Mapping[str, int]) -> list[int]:
    """The numbers below zero, from worst to least, the made-up severities last."""
    numbers = [0] * (len(WORST_FIRST) + 1)
    for level, number in counts.items():
        numbers[rank(level)] -= number
    return numbers
