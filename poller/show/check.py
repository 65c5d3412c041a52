"""What `check` found, with the remedies, and what it comes to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from poller.findings import FINE, WARNING, WRONG, Finding, Report
from poller.show.page import Item, Items, Page, Part, Tone
from poller.words import number

_TONES = {FINE: Tone.GOOD, WARNING: Tone.DOUBTFUL, WRONG: Tone.BAD}


def check_page(report: Report) -> Page:
    return [Items(tuple(map(_item, report.findings)), tuple(_total(report.findings)))]


def _item(finding: Finding) -> Item:
    """What is fine has a code, too, which nobody looks for."""
    code = "" if finding.mark == FINE else finding.code
    return Item(Part(finding.mark, _TONES[finding.mark]), finding.area, finding.text, finding.remedy, code)


def _total(findings: Sequence[Finding]) -> Iterator[Part]:
    """`2 mistakes to correct, 1 warning, 14 fine`: what there is none of is left out, but for the last."""
    wrong = [finding for finding in findings if finding.mark == WRONG]
    away = sum(finding.is_passing for finding in wrong)
    warnings = sum(finding.mark == WARNING for finding in findings)
    fine = sum(finding.mark == FINE for finding in findings)
    if mistakes := len(wrong) - away:
        yield Part(f"{number(mistakes, 'mistake')} to correct, ", Tone.BAD)
    if away:
        yield Part(f"{away} away now and tried again, ", Tone.BAD)
    if warnings:
        yield Part(f"{number(warnings, 'warning')}, ", Tone.DOUBTFUL)
    yield Part(f"{fine} fine", Tone.GOOD)
