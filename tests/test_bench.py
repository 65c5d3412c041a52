"""The benchmarks run and show their ratios. How fast anything is, is not for tests to say."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner
from rich.console import Console

from bench import burden, pace, plans, recording, scans
from bench.__main__ import BENCHMARKS, main
from bench.client import Took
from bench.log import START, RowLog
from bench.material import NOWHERE, load, write_conf
from bench.report import Sheet, at_least, markdown, not_measured, ratio, show, times
from bench.scan_script import Kind
from bench.served import PreparedHarbor
from bench.sizes import Sizes
from poller.events import Source
from poller.rows import audit_rows

TINY = Sizes(
    history=300,
    busy_polls=50,
    idle_polls=3,
    in_state=(200, 400),
    in_postgres=(200, 400),
    idle_ticks=3,
    idle_seconds=0,
    messages=1,
    pages=2,
    small_backlog=120,
    large_backlog=250,
    few_in_digest=20,
    many_in_digest=200,
    repetitions=1,
    with_postgres=False,
    scanned_repositories=12,
    scanned_images=15,
    scan_minutes=20,
    idle_scan_minutes=10,
    scan_all_images=50,
    events_a_day=20,
    past=(300, 3_000),
    past_told=300,
    recorded=300,
    recording_repetitions=1,
    pages_at_once=(10,),
    with_peers=False,
    waiting_messages=20,
    starts=1,
    rest_polls=1,
    registries=(1, 2),
    scanning_minutes=5,
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[burden.Result], int]:
    """What each way of polling cost and missed, ours first, and how many events there were."""
    return burden.measure(TINY, tmp_path_factory.mktemp("burden"))


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> scans.Hour:
    """What each way of finding the results of scans cost and missed, ours first."""
    return scans.measure(TINY, tmp_path_factory.mktemp("scans"))


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
def test_each_benchmark_shows_its_ratios(benchmark: Callable[[Sizes], Sheet]) -> None:
    """A small run of each ends in a table with a row per measurement, and with ratios or what was to be reached."""
    sheet = benchmark(TINY)
    assert all(len(row) == len(sheet.columns) for row in sheet.rows)
    printed = io.StringIO()
    show(sheet, Console(file=printed, width=120))
    assert sheet.title in printed.getvalue()
    assert "×" in printed.getvalue() or "reached" in printed.getvalue()


def test_the_peers_err_where_the_product_does_not(measured: tuple[list[burden.Result], int]) -> None:
    """With late rows, rows of one time and a restart, each usual way misses events or tells some twice."""
    (ours, *peers), events = measured
    assert events > TINY.busy_polls
    assert (ours.missed, ours.repeated) == (0, 0)
    assert [peer.name for peer in peers if not peer.missed + peer.repeated] == []


def test_an_idle_poll_costs_harbor_one_request_and_one_row(measured: tuple[list[burden.Result], int]) -> None:
    """The row is the newest one known, which witnesses that the log is the same."""
    (ours, *_), _ = measured
    assert ours.idle == burden.Cost(requests=TINY.idle_polls, rows=TINY.idle_polls, counted=TINY.idle_polls)


def test_only_results_that_were_replaced_before_the_next_poll_are_missed(scanned: scans.Hour) -> None:
    """Through a restart, failures, platforms and scans without a pull. Each usual way misses more, and errs besides."""
    ours, *peers = scanned.results
    assert {each.kind for each in ours.missed} <= {Kind.AT_ONCE, Kind.REPLACED}
    replaced = [each for each in ours.missed if each.kind is Kind.REPLACED]
    assert scanned.while_down(replaced) == len(replaced)
    assert ours.wrong == 0
    assert [peer.name for peer in peers if len(peer.missed) <= len(ours.missed) or not peer.wrong] == []


def test_a_result_costs_harbor_about_one_question(scanned: scans.Hour) -> None:
    """Besides there is the sweep's one a minute, of which ten may have been saved up: idleness costs no more."""
    ours, *_ = scanned.results
    assert ours.busy.looks <= 1.3 * len(scanned.ended) + TINY.scan_minutes + 10
    assert ours.idle.looks <= TINY.idle_scan_minutes + 10


@pytest.mark.parametrize(
    ("chats", "messages", "latency_s"),
    [
        ([pace.GROUP], 60, pace.LATENCY_S),
        ([pace.PRIVATE], 40, pace.LATENCY_S),
        (range(pace.PRIVATE, pace.PRIVATE + 40), 120, (0, 0)),
    ],
)
def test_a_backlog_uses_the_pace_and_is_never_refused(
    chats: list[int], messages: int, latency_s: tuple[float, float]
) -> None:
    """However long messages and answers are on their way; and to more chats than a bot may write to in a second."""
    found = pace.measure(chats, messages, latency_s)
    assert found.refused == 0
    assert found.share >= pace.GOAL


def test_the_command_measures_what_is_named() -> None:
    """`python -m bench NAME` prints that table alone, and on which kind of machine."""
    done = CliRunner().invoke(main, ["--quick", "formatting"])
    assert done.exit_code == 0, done.output
    assert "4. Messages" in done.output
    assert "burden" not in done.output
    assert "cores" in done.output


def asked(harbor: PreparedHarbor, **params: str) -> tuple[list[int], str]:
    """The ids on a page of the prepared log, and the head of the answer."""
    target = f"/api/v2.0/auditlog-exts?{urlencode(params)}"
    head, _, body = harbor.answered(f"GET {target} HTTP/1.1\r\nHost: harbor".encode()).partition(b"\r\n\r\n")
    return [row.id for row in audit_rows(body, Source.NEW_LOG, None)], head.decode()


def test_the_prepared_log_answers_as_harbor_does() -> None:
    """By id, by time with both ends, by both, page by page and backwards; what is not visible is not there."""
    harbor = PreparedHarbor(RowLog(START, timedelta(seconds=1)), 250)
    harbor.answered(b"PUT /bench/visible/240 HTTP/1.1\r\n")
    ids, head = asked(harbor, q="id=[131~]", sort="id", page_size="100")
    assert ids == list(range(131, 231))
    assert "X-Total-Count: 110\r\n" in f"{head}\r\n"
    assert 'page=2&page_size=100&q=id=[131~]&sort=id>; rel="next"' in head
    minute = "op_time=[2025-06-02T00:01:00~2025-06-02T00:01:59]"
    assert asked(harbor, q=minute, sort="op_time,id", page="2", page_size="50")[0] == list(range(111, 121))
    assert asked(harbor, q=f"id=[100~],{minute}", sort="-id", page_size="100")[0] == list(range(120, 99, -1))
    assert asked(harbor, q="id=[238~]", page_size="100")[0] == [238, 239, 240]
    assert asked(harbor, q="id=[241~]", page_size="100")[0] == []


def test_the_prepared_log_refuses_what_it_cannot_answer_rightly() -> None:
    """A filter that it would have to overlook ends a benchmark instead of making it easier."""
    harbor = PreparedHarbor(RowLog(), 1)
    assert "501" in asked(harbor, q="id=[1~],operation=pull", page_size="100")[1]
    assert "501" in asked(harbor, page_size="0")[1]


def test_results_name_goals_that_were_not_reached() -> None:
    """The page of a run begins with every goal, and says no where that is so, with the reason."""
    goals = (at_least("speed", 1.2, 1.5, times, "a busy disk"), not_measured("peer", "×6", "it is not installed"))
    page = markdown([Sheet("A", ("", "b"), [("c", "d|e")], goals=goals)], ["some machine"])
    assert "| speed | ×1.2 | ×1.5 or more | no: a busy disk |" in page
    assert "| peer | – | ×6 | not measured: it is not installed |" in page
    assert r"| c | d\|e |" in page


def test_recording_hides_no_peer() -> None:
    """Each has its line, whether it is beaten, or not, or not installed."""
    best = {
        recording.LIMIT: Took(1_000, 0.1),
        recording.SAME: Took(1_000, 0.2),
        recording.HARBORAPI: Took(1_000, 1.5),
        "ours": Took(1_000, 1.0),
    }
    ours = recording.Client("ours", lambda: best["ours"], is_ours=True, has_goals=True)
    assert [(goal.found, goal.verdict) for goal in recording.goals(ours, best, 1_000)] == [
        ("×1.5", "yes"),
        ("–", "not measured: `make bench` installs it"),
        ("20%", "no: 800 µs a row for recording"),
        ("10%", "no: 800 µs a row for recording"),
    ]


@pytest.mark.parametrize(
    ("value", "base", "text"),
    [(2, 2, "×1.0"), (1, 1.02, "×1.0"), (1, 4, "×0.25"), (12345, 1, "×12,345"), (25, 10, "×2.5"), (1, 0, "–")],
)
def test_a_ratio_has_no_more_digits_than_it_deserves(value: float, base: float, text: str) -> None:
    """Two digits; none behind the point from ten on."""
    assert ratio(value, base) == text


# -- how the database answers -------------------------------------------------------------------------


def test_a_plan_that_reads_everything_is_noticed() -> None:
    """All events of a Harbor are nearly all there are; what is pending has an index of its own."""
    by_harbor = "SEARCH events USING INDEX ix_events_occurred_at (harbor_id=?)"
    by_time = "SEARCH events USING INDEX ix_events_occurred_at (harbor_id=? AND occurred_at>?)"
    pending = "SCAN deliveries USING INDEX ix_deliveries_pending"
    assert plans.scanned([by_harbor, "SCAN deliveries", "SCAN routes"]) == {"events", "deliveries"}
    assert plans.scanned([by_time, pending]) == set()


def test_nothing_that_is_asked_often_reads_a_table_that_grows(tmp_path: Path) -> None:
    """However long the product runs: at a poll, at telling, and at the looks in between."""
    found = plans.explained(load(write_conf(tmp_path, NOWHERE, state_url=f"sqlite:///{tmp_path}/state.db")), 400)
    assert {name for name, statements in found.items() if statements} >= {"a poll with new rows", "telling"}
    often = {
        text: plan for name, statements in found.items() if name != "forgetting" for text, plan in statements.items()
    }
    assert {text: plan for text, plan in often.items() if plans.scanned(plan)} == {}
