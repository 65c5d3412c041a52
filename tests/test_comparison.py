"""What a result has that an earlier one had not, and what may be asked for to say so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from poller import comparison, scans
from poller.allowance import RESERVE, Allowance, Need
from poller.events import Change, Finding, Since
from poller.knowledge import ReportFact

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CRITICAL = Finding("CVE-1", "Critical", "openssl", "3.0.1", "3.0.2")
HIGH = Finding("CVE-2", "High", "zlib", "1.2")


def fact(counts: Mapping[str, int], *findings: Finding, are_known: bool = True, **report: Any) -> ReportFact:
    said = {"report_id": "r", "scan_status": "Success", "summary": {"summary": dict(counts)}, "scanner": {"name": "T"}}
    return comparison.fact("sha256:a", said | report, NOW, NOW, findings if are_known else None)


def test_counts_alone_tell_only_the_difference() -> None:
    """Two new and one fixed of a severity look like one new."""
    change = comparison.change(Since.SCAN, fact({"High": 3, "Low": 5}, are_known=False), fact({"High": 4}, HIGH))
    assert change == Change(Since.SCAN, {"High": 1}, {"Low": 5})


def test_findings_tell_what_counts_do_not() -> None:
    """One new and one fixed of a severity are not nothing; of low ones the counts must do."""
    other = Finding("CVE-9", "High", "curl")
    change = comparison.change(Since.SCAN, fact({"High": 1, "Low": 2}, other), fact({"High": 1, "Low": 1}, HIGH))
    assert change == Change(Since.SCAN, {"High": 1}, {"Low": 1, "High": 1})


def test_a_finding_that_became_worse_is_new_where_it_is_worse() -> None:
    worse = Finding(HIGH.id, "Critical", HIGH.package)
    change = comparison.change(Since.IMAGE, fact({"High": 1}, HIGH), fact({"Critical": 1}, worse))
    assert (change.new, change.fixed) == ({"Critical": 1}, {"High": 1})


@pytest.mark.parametrize(
    "summary", [None, [], "x", {"summary": None}, {"summary": {"High": "3", "Low": -1, "X": True}}]
)
def test_a_summary_of_odd_types_counts_nothing(summary: object) -> None:
    assert comparison.counts({"summary": summary}) == {}


def test_the_same_finding_in_two_packages_is_two() -> None:
    """As Harbor counts them."""
    twice = Finding(CRITICAL.id, "Critical", "libssl")
    assert comparison.new_findings([CRITICAL, twice], fact({"Critical": 1}, CRITICAL)) == [twice]


def test_named_findings_stand_worst_first_and_fixable_before_others() -> None:
    fixable = Finding("CVE-3", "High", "bash", "5.1", "5.2")
    low = Finding("CVE-4", "Low", "tar")
    assert comparison.new_findings([HIGH, low, fixable, CRITICAL], None) == [CRITICAL, fixable, HIGH]


def test_an_image_with_too_many_findings_is_compared_by_counts() -> None:
    """The state does not keep thousands of names of one image."""
    many = [Finding(f"CVE-{number}", "High", "p") for number in range(comparison.MOST_KEPT + 1)]
    assert fact({"High": len(many)}, *many).findings is None


def test_a_failed_scan_has_no_counts_and_no_scanner() -> None:
    failed = fact({}, are_known=False, scan_status="Error", summary=None, scanner=None)
    assert (failed.scanner, failed.counts) == ("", None)


def test_a_report_without_an_id_is_known_by_its_end() -> None:
    """Otherwise every such report would be the same one."""
    assert fact({}, report_id="").report_id == NOW.isoformat()


@pytest.mark.parametrize(
    ("new", "threshold", "is_worse"),
    [
        ({"Critical": 1}, "critical", True),
        ({"High": 1}, "critical", False),
        ({"High": 1}, "high", True),
        ({"Low": 9}, "medium", False),
        ({"Critical": 1}, None, False),
        ({}, "low", False),
    ],
)
def test_news_is_what_is_new_and_bad_enough(new: dict[str, int], threshold: str | None, is_worse: bool) -> None:
    assert comparison.brings_worse([Change(Since.SCAN, new, {})], threshold) is is_worse


def test_only_the_nearest_comparison_is_news() -> None:
    """What the image had at its own last scan is no news, however clean the tag's previous image was."""
    same, worse = Change(Since.SCAN, {}, {}), Change(Since.IMAGE, {"Critical": 1}, {})
    assert not comparison.brings_worse([same, worse], "critical")


def test_the_allowance_is_earned_and_spent() -> None:
    """What is urgent may overdraw it, to a limit; what is merely wanted may not."""
    allowance = Allowance(most=6, per_hour=1, per_result=0.5)  # to begin with there is a third of it
    assert [allowance.spend(Need.WANTED) for _ in range(3)] == [True, True, False]
    assert not allowance.spend(Need.NONE)
    assert [allowance.spend(Need.URGENT) for _ in range(int(RESERVE) + 1)] == [True] * int(RESERVE) + [False]
    allowance.earn(2 * (int(RESERVE) + 1), NOW)
    assert allowance.spend(Need.WANTED)
    allowance.earn(0, NOW + timedelta(hours=99))
    assert allowance.left == 6


@pytest.mark.parametrize(
    ("durations", "seconds"),
    [([], 5), ([1], 5), ([20], 22), ([20, 30], 32), ([10] * 19 + [500], 12), ([1000] * 20, 300)],
)
def test_when_a_running_scan_is_looked_at(durations: list[int], seconds: int) -> None:
    """Before 2.12: when most of the last ones had ended."""
    known = scans.Durations()
    for number, each in enumerate(durations):
        known.add(f"team/{number}", timedelta(seconds=each))
    assert known.look_after("team/app") == timedelta(seconds=seconds)


def test_a_scan_takes_about_as_long_as_others_in_its_repository() -> None:
    """A quarter more than the longest of the last five there; but no longer than most anywhere."""
    known = scans.Durations()
    for each in (5, 20, 30, 10):
        known.add("team/app", timedelta(seconds=each))
    for _ in range(96):
        known.add("team/large", timedelta(seconds=100))
    assert known.look_after("team/app") == timedelta(seconds=39.5)
    assert known.look_after("team/new") == timedelta(seconds=102)


@pytest.mark.parametrize(
    ("findings", "counts", "fits"),
    [
        ([CRITICAL, HIGH], {"Critical": 1, "High": 1, "Low": 9}, True),
        ([CRITICAL], {"critical": 1}, True),  # scanners write severities as they like
        ([], {"Low": 3}, True),
        ([], {"Critical": 1}, False),
        ([CRITICAL, HIGH], {"Critical": 1}, False),
    ],
)
def test_a_list_of_findings_must_be_that_of_the_result(
    findings: list[Finding], counts: dict[str, int], fits: bool
) -> None:
    """It is asked for later, and may be that of the next scan. Of low findings the scanner may list what it likes."""
    assert comparison.is_list_of(findings, fact(counts, are_known=False)) is fits
