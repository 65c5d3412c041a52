"""What is new in a scan's result, in lines: how it compares, which findings are new, what was missed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from formatters.lines import Line
from formatters.markdown import ABSENT, visible
from formatters.scans import NAMED_RANK, count, levels, listed_levels, rank, summed_levels
from formatters.texts import Label, Style, Texts
from poller.events import Finding, Scan, Since

_MOST_NAMED = 20

_SINCE: Mapping[Since, Label] = {Since.SCAN: Label.SINCE_SCAN, Since.IMAGE: Label.SINCE_IMAGE}


class Difference(msgspec.Struct, frozen=True):
    """{severity: how many} that are new and that are gone, worst first."""

    new: Mapping[str, int]
    fixed: Mapping[str, int]

    def __add__(self, other: Difference) -> Difference:
        return Difference(summed_levels((self.new, other.new)), summed_levels((self.fixed, other.fixed)))

    @property
    def new_and_bad(self) -> Mapping[str, int]:
        """What is new of critical and high findings."""
        return {severity: number for severity, number in self.new.items() if rank(severity) <= NAMED_RANK}


class News(msgspec.Struct, frozen=True):
    """What is new in one result, or in those of an image's platforms together.

    `total`: how many critical and high findings there are to name; where platforms leave some unnamed, those may be
    the same ones, so that it is a lower bound: `is_bound`.
    """

    differences: Mapping[Since, Difference]
    named: Sequence[Finding]
    total: int
    are_new: bool
    is_bound: bool
    unread: int


def news(scans: Sequence[Scan]) -> News:
    """Sums over the results; a comparison that one of them lacks is left out, a finding is named once."""
    named = _distinct(finding for scan in scans for finding in scan.named)
    totals = [len(scan.named) + count(scan.unnamed) for scan in scans]
    return News(
        differences={since: sum(found[1:], found[0]) for since in Since if (found := _differences(scans, since))},
        named=named,
        total=max([len(named), *totals]),
        are_new=all(scan.are_new for scan in scans if scan.named),
        is_bound=len(scans) > 1 and any(count(scan.unnamed) for scan in scans),
        unread=sum(count(scan.unread) for scan in scans),
    )


def difference(scan: Scan, since: Since) -> Difference | None:
    """How a result compares with that earlier one, if it was compared."""
    change = next((change for change in scan.changes if change.since is since), None)
    return Difference(levels(change.new), levels(change.fixed)) if change else None


def news_lines(told: News, style: Style) -> Iterator[Line]:
    """Nothing for what is not known."""
    labels = style.texts.labels
    for since, found in told.differences.items():
        yield Line(labels[_SINCE[since]], changed(found, style.texts))
    if told.named:
        yield from _named(told, style)
    if told.unread:
        yield Line(labels[Label.MISSED], style.texts.missed(told.unread))


def changed(found: Difference, texts: Texts) -> str:
    """`new 3 (1 Critical, 2 High), fixed 5 (5 Low)`"""
    sides = ((texts.new, found.new), (texts.fixed, found.fixed))
    said = [f"{word} {sum(counts.values())} ({listed_levels(counts)})" for word, counts in sides if counts]
    return ", ".join(said) or texts.unchanged


def _differences(scans: Sequence[Scan], since: Since) -> list[Difference]:
    found = [known for scan in scans if (known := difference(scan, since))]
    return found if len(found) == len(scans) else []


def _distinct(findings: Iterable[Finding]) -> list[Finding]:
    """Worst first. What is found on several platforms is one finding, as bad as the worst of them says."""
    ordered = sorted(findings, key=lambda finding: rank(finding.severity))
    distinct: dict[tuple[str, str], Finding] = {}
    for finding in ordered:
        distinct.setdefault((finding.id, finding.package), finding)
    return list(distinct.values())


def _named(told: News, style: Style) -> Iterator[Line]:
    texts, shown = style.texts, told.named[:_MOST_NAMED]
    total = texts.at_least.format(count=told.total) if told.is_bound else str(told.total)
    yield Line(texts.labels[_named_label(told)], total)
    for finding in shown:
        yield Line("", _finding(finding, texts))
    if told.total > len(shown):
        yield Line("", texts.more.format(events=told.total - len(shown)))


def _named_label(told: News) -> Label:
    if told.are_new:
        return Label.NEW_FINDINGS
    has_new = any(found.new_and_bad for found in told.differences.values())
    return Label.FINDINGS_SOME_NEW if has_new else Label.FINDINGS


def _finding(finding: Finding, texts: Texts) -> str:
    """`CVE-2026-1234 (Critical) openssl 3.0.1 → 3.0.2`"""
    severity = f"({finding.severity})" if finding.severity else ""
    parts = (finding.id or ABSENT, severity, finding.package, finding.version)
    end = f" → {finding.fix_version}" if finding.fix_version else f", {texts.no_fix}"
    return visible(" ".join(filter(None, parts)) + end)
