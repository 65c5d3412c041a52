"""What a scan's result has that an earlier one had not. Pure.

Counts come with every overview. Which findings they count is asked for only when a message has to name them,
because Harbor's list of vulnerabilities is long: so the findings of an earlier result are often not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from formatters.scans import rank
from poller.events import Change, Event, EventType, Finding, Since
from poller.knowledge import ReportFact

NAMED_RANK = rank("high")
"""Critical and high findings are named in messages; of the others people want the counts."""

MOST_NAMED = 10
LONGEST = 200
"""What is kept of a name that is longer; the state holds no more."""
MOST_KEPT = 1000
"""An image with more critical and high findings than this is compared by counts alone."""


def report_fact(event: Event, seen_at: datetime, findings: Sequence[Finding] | None = None) -> ReportFact:
    """What is to be remembered of a scan's result."""
    assert event.scan is not None
    assert event.digest is not None
    return fact(event.digest, event.scan.report, event.occurred_at, seen_at, findings)


def fact(
    digest: str,
    report: Mapping[str, Any],
    ended_at: datetime,
    seen_at: datetime,
    findings: Sequence[Finding] | None = None,
) -> ReportFact:
    scanner = report.get("scanner")
    return ReportFact(
        digest=digest,
        scanner=str(scanner.get("name") or "")[:LONGEST] if isinstance(scanner, Mapping) else "",
        report_id=str(report.get("report_id") or ended_at.isoformat())[:LONGEST],
        ended_at=ended_at,
        seen_at=seen_at,
        counts=counts(report) if report.get("scan_status") == "Success" else None,
        findings=_kept(findings),
    )


def counts(report: Mapping[str, Any]) -> dict[str, int]:
    """{severity: findings} of a report summary; what is no number is left out."""
    summary = report.get("summary")
    by_severity = summary.get("summary") if isinstance(summary, Mapping) else None
    if not isinstance(by_severity, Mapping):
        return {}
    return {str(severity): count for severity, count in by_severity.items() if _is_count(count)}


def change(since: Since, before: ReportFact, now: ReportFact) -> Change:
    """How two results differ: exactly where the findings of both are known, otherwise by their counts."""
    new, fixed = _difference(before.counts or {}, now.counts or {})
    if before.findings is not None and now.findings is not None:
        exact_new = _by_severity(set(now.findings) - set(before.findings))
        exact_fixed = _by_severity(set(before.findings) - set(now.findings))
        new = {severity: n for severity, n in new.items() if not _is_named(severity)} | exact_new
        fixed = {severity: n for severity, n in fixed.items() if not _is_named(severity)} | exact_fixed
    return Change(since, new, fixed)


def has_findings_to_name(fact: ReportFact) -> bool:
    return any(_is_named(severity) and count for severity, count in (fact.counts or {}).items())


def is_list_of(findings: Sequence[Finding], fact: ReportFact) -> bool:
    """Whether these can be the findings that a result counts: the list may be that of another scan by now."""
    listed: dict[str, int] = {}
    for finding in findings:
        listed[finding.severity.casefold()] = listed.get(finding.severity.casefold(), 0) + 1
    counted = {severity.casefold(): count for severity, count in (fact.counts or {}).items()}
    return all(
        listed.get(severity, 0) == counted.get(severity, 0) for severity in {**listed, **counted} if _is_named(severity)
    )


def brings_worse(changes: Iterable[Change], severity: str | None) -> bool:
    """Whether the result has new findings of that severity or worse, by the nearest comparison there is."""
    nearest = next(iter(changes), None)
    if nearest is None or severity is None:
        return False
    return any(rank(word) <= rank(severity) and count for word, count in nearest.new.items())


def new_findings(findings: Sequence[Finding], before: ReportFact | None) -> list[Finding]:
    """Critical and high findings that the earlier result had not, worst first; without one: all of them."""
    known = set(before.findings or ()) if before else set()
    fresh = {_identity(each): each for each in findings if _is_named(each.severity)}
    new = [each for identity, each in fresh.items() if identity not in known]
    return sorted(new, key=lambda each: (rank(each.severity), not each.fix_version, each.id, each.package))


def is_changed(event: Event) -> bool:
    """Whether the result differs from the nearest earlier one; one without any is new."""
    changes = event.scan.changes if event.scan else ()
    return not changes or bool(changes[0].new or changes[0].fixed)


def severity_of(event: Event) -> str:
    """The worst severity of a completed scan, as Harbor says it; "" for any other event."""
    if event.type is not EventType.SCANNING_COMPLETED or event.scan is None or event.scan.is_sbom:
        return ""
    return str(event.scan.report.get("severity") or "")


def fixable(event: Event) -> int:
    summary = event.scan.report.get("summary") if event.scan else None
    count = summary.get("fixable") if isinstance(summary, Mapping) else None
    return count if isinstance(count, int) and _is_count(count) else 0


def _kept(findings: Sequence[Finding] | None) -> tuple[str, ...] | None:
    if findings is None:
        return None
    named = sorted({_identity(each) for each in findings if _is_named(each.severity)})
    return tuple(named) if len(named) <= MOST_KEPT else None


def _identity(finding: Finding) -> str:
    return f"{finding.severity}|{finding.id}|{finding.package}"


def _by_severity(identities: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for identity in identities:
        severity = identity.partition("|")[0]
        found[severity] = found.get(severity, 0) + 1
    return found


def _difference(before: Mapping[str, int], now: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    delta = {severity: now.get(severity, 0) - before.get(severity, 0) for severity in {**before, **now}}
    new = {severity: count for severity, count in delta.items() if count > 0}
    return new, {severity: -count for severity, count in delta.items() if count < 0}


def _is_named(severity: str) -> bool:
    return rank(severity) <= NAMED_RANK


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
