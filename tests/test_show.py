"""Pages and how they look: whatever names come from Harbor, whatever the terminal is."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

import formatters
from formatters.calm_examples import calm_examples
from formatters.examples import examples, scan_examples
from poller import lease
from poller.backfill import Found, Wanted
from poller.config import Config, load
from poller.diagnosis import Diagnosis, State, diagnose
from poller.errors import HarborUnreachable
from poller.events import Event, EventType, Gap, Reason, Repository
from poller.findings import Report, failure, fine, warning, wrong
from poller.here import SERVICE, TIMER, Here, look
from poller.show import glyphs, plain, terminal
from poller.show.backfill import backfill_page
from poller.show.check import check_page
from poller.show.events import events_page
from poller.show.page import Block, Fact, Facts, Headline, Item, Items, Line, Message, Page, Part, Tone
from poller.show.preview import preview_page
from poller.show.status import status_page
from poller.standing import Covered, RouteStanding, Standing, unrecorded
from poller.values import replace
from state import Counts, Coverage, DeliveryRecord, DeliveryState, Lease, RouteState, Seen
from tests.harness import write_conf
from tests.telegram_parser import parse

NOW = datetime(2026, 11, 26, 8, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))
HERE = Here("systemctl start harbor-poller", "harbor-poller")
ELSEWHERE, ALIVE = "other-host 5f3a 4026531836 999/1", str(lease.Owner.this_process())
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return load(write_conf(tmp_path_factory.mktemp("conf"), "https://registry.example.org"), {})


def drawn(page: Page, width: int = 80, encoding: str = "utf-8", **environ: str) -> str:
    """As a terminal gets it."""
    file = io.StringIO()
    size = os.terminal_size((width, 25))
    terminal.show(page, terminal.console(file, {"TERM": "xterm-256color"} | environ, size), glyphs.sayer(encoding))
    return file.getvalue()


def read(page: Page, width: int = 80) -> list[str]:
    """Without its colours."""
    return [line.rstrip() for line in ESCAPE.sub("", drawn(page, width)).splitlines()]


# -- who is at work ---------------------------------------------------------------------------------


@pytest.fixture
def nothing(config: Config) -> Standing:
    return unrecorded(config)


def polled(standing: Standing, ago: timedelta, **changes: Any) -> Standing:
    """Last polled so long ago, every 5 s before that, and at rest since."""
    covered = (Covered("audit_log_ext", NOW - DAY, NOW - ago, 7),)
    rest = Lease("", NOW - DAY, NOW - ago + lease.KEEP)
    facts: dict[str, Any] = {"covered": covered, "last_lease": rest, "spacing": 5 * SECOND, "poll_every": 5 * SECOND}
    return replace(standing, **facts | changes)


def at_work(standing: Standing, owner: str = ALIVE, ago: timedelta = 3 * SECOND, **changes: Any) -> Standing:
    holder = Lease(owner, NOW - DAY, NOW + 15 * SECOND)
    return polled(standing, ago, poller=holder, last_lease=holder, **changes)


def found(standing: Standing, here: Here = HERE, now: datetime = NOW) -> Diagnosis:
    return diagnose(standing, here, UTC, now)


def headline(standing: Standing, here: Here = HERE) -> str:
    """All of it, in a line."""
    block = status_page(standing, found(standing, here), UTC, NOW)[0]
    return " ".join(line.strip() for line in read([block], 1000))


def test_all_is_well(nothing: Standing) -> None:
    standing = at_work(nothing)
    assert headline(standing) == "● running since 2026-11-25 08:00 (24 h), complete up to 3 s ago, nothing waits"
    assert found(standing).exit_code == 0


def test_a_standby_says_for_whom(nothing: Standing) -> None:
    """The service runs here, and the work is done on another machine; from anywhere else that is just running."""
    standing = at_work(nothing, ELSEWHERE)
    assert headline(standing, replace(HERE, is_active=True)).startswith(
        "● standing by for process 999 on other-host, which runs since 2026-11-25 08:00 (24 h), complete up to 3 s ago"
    )
    assert found(standing).state is State.RUNNING
    assert found(at_work(nothing), replace(HERE, is_active=True)).state is State.RUNNING


def test_never_started(nothing: Standing) -> None:
    assert headline(nothing) == (
        "○ never started nothing is recorded of https://registry.example.org; the first run tells nothing old"
        " → start it: `systemctl start harbor-poller`"
    )
    assert (found(nothing).since, found(nothing).exit_code) == (None, 2)


def test_a_clean_stop_is_told_from_a_crash(nothing: Standing) -> None:
    """By the lease, which a process that was killed has not given back; its last beat is its last sign of life."""
    stopped = polled(nothing, 8 * HOUR)
    assert headline(stopped) == (
        "○ not running since 2026-11-26 00:00 (8 h) it was stopped"
        " Nothing is lost: it goes on where it was, as long as Harbor keeps its log."
        " → start it: `systemctl start harbor-poller`"
    )
    killed = replace(stopped, last_lease=Lease(ELSEWHERE, NOW - DAY, NOW - 7 * HOUR + lease.KEEP))
    assert found(killed).since == NOW - 7 * HOUR
    assert "killed, crashed, or its machine went down" in found(killed).why
    assert found(killed).exit_code == 2


def test_what_failed_last_is_named_as_a_reason(nothing: Standing) -> None:
    failed = Coverage("*", NOW - 7 * HOUR, NOW - 7 * HOUR, error="WrongCredentials: the robot has expired")
    assert found(polled(nothing, 8 * HOUR, failure=failed)).why.endswith("; the last error: the robot has expired")
    mended = polled(nothing, 6 * HOUR, failure=failed)
    assert found(mended).why == "it was stopped"


def runs(standing: Standing, ago: timedelta, every: timedelta = 5 * MINUTE, **changes: Any) -> Standing:
    """By `once`: each run took two seconds, and gave its lease back."""
    last = Lease("", NOW - ago, NOW - ago + lease.KEEP)
    return polled(standing, ago, **{"spacing": every, "last_lease": last} | changes)


def test_between_two_runs_all_is_well(nothing: Standing) -> None:
    standing = runs(nothing, 2 * MINUTE)
    assert headline(standing).startswith(
        "● between two runs, the last one at 2026-11-26 07:58 (2 min ago), the next one is due about 08:03, complete"
    )
    assert found(standing).exit_code == 0
    assert found(runs(nothing, 14 * MINUTE)).state is State.BETWEEN_RUNS
    assert found(runs(nothing, 16 * MINUTE)).state is State.STOPPED


def test_the_first_runs_have_no_rhythm_yet(nothing: Standing) -> None:
    """And a daemon that was killed in its first seconds is none of them."""
    first = runs(nothing, 20 * MINUTE, spacing=None)
    assert found(first).state is State.BETWEEN_RUNS
    assert found(runs(nothing, 2 * HOUR, spacing=None)).state is State.STOPPED
    killed = replace(first, last_lease=Lease(ELSEWHERE, NOW - 20 * MINUTE, NOW - 20 * MINUTE + lease.KEEP))
    assert found(killed).state is State.STOPPED


def test_runs_that_pause_each_night_are_not_missed_at_night(nothing: Standing) -> None:
    """Three nights make a habit; one long outage does not."""
    nights = tuple(Coverage("audit_log_ext", NOW - n * DAY - 12 * HOUR, NOW - n * DAY) for n in range(3))
    assert found(runs(nothing, 11 * HOUR, pauses=nights)).state is State.BETWEEN_RUNS
    assert found(runs(nothing, 13 * HOUR, pauses=nights)).state is State.STOPPED
    assert found(runs(nothing, 11 * HOUR, pauses=nights[:1])).state is State.STOPPED


def test_a_timer_says_that_there_will_be_runs(nothing: Standing) -> None:
    """Also where a daemon ran until now, whose polls were seconds apart."""
    timed = Here("systemctl start harbor-poller-once.timer", "harbor-poller", is_timed=True)
    assert found(runs(nothing, 10 * SECOND, spacing=5 * SECOND), timed).state is State.BETWEEN_RUNS
    assert found(runs(nothing, 2 * HOUR), timed).remedy == "systemctl start harbor-poller-once.timer"


def test_a_daemon_that_polls_seldom_is_missed_at_once(nothing: Standing) -> None:
    """It has held its lease for longer than from one poll to the next; a run does not."""
    assert found(polled(nothing, 2 * MINUTE, spacing=10 * MINUTE)).state is State.STOPPED


# -- troubles ---------------------------------------------------------------------------------------


def failing(error: str) -> Coverage:
    return Coverage("*", NOW - MINUTE, NOW - MINUTE, error=error)


def route(waiting_for: timedelta = HOUR, **changes: Any) -> RouteStanding:
    counts = Counts(3, NOW - waiting_for, 0, 0, 0, 0)
    return RouteStanding("telegram", -1001, counts, 0, replace(RouteState("telegram", "-1001", None), **changes))


def test_what_passes_by_itself_is_told_from_what_does_not(nothing: Standing) -> None:
    away = at_work(nothing, ago=5 * MINUTE, failure=failing("HarborUnreachable: h: refused (request ab-1)"))
    assert headline(away) == (
        "◐ running since 2026-11-25 08:00 (24 h), but Harbor could not be read for 5 min: h: refused"
        " → nothing has to be done here: it is tried again, and what happens meanwhile is read then"
    )
    assert found(away).exit_code == 1
    refused = at_work(nothing, ago=5 * MINUTE, failure=failing("WrongCredentials: 401"))
    assert found(refused).remedy == "`harbor-poller check` says what to mend"
    assert found(refused).exit_code == 2


def test_no_time_is_named_for_the_next_run_after_a_failure(nothing: Standing) -> None:
    """The schedule's would be wrong: pauses grow."""
    away = at_work(nothing, ago=5 * MINUTE, failure=failing("HarborUnreachable: h: refused"), next_run=NOW)
    for standing, said in ((away, "after a pause"), (replace(away, failure=None), f"{NOW:%Y-%m-%d}")):
        page = status_page(standing, found(standing), UTC, NOW)
        (line,) = (line for line in plain.lines(page, glyphs.sayer("utf-8")) if line.startswith("next run"))
        assert said in line


def test_the_worst_comes_first(nothing: Standing) -> None:
    """What a person must mend, before what is tried again; the rest is told below it."""
    silent = route(needs_operator=True, failures=1, reason="telegram.kicked")
    standing = at_work(nothing, ago=MINUTE * 5, failure=failing("HarborBusy: 503"), routes=(silent,))
    assert "but the chat -1001 takes no message: telegram.kicked also: Harbor could not be read" in headline(standing)


@pytest.mark.parametrize(
    ("standing", "text"),
    [
        ({"routes": (route(topic_lost=True),)}, "its topic is gone or closed"),
        ({"routes": (route(failures=3, reason="telegram.unreachable"),)}, "takes no message: telegram.unreachable"),
        ({"gaps": (Gap("pulls", Reason.PULLS_OFF, NOW - HOUR),)}, "pulls: Harbor did not log pulls"),
        ({"ago": 10 * MINUTE}, "has read nothing for long"),
    ],
    ids=["topic", "chat", "gap", "hangs"],
)
def test_each_trouble_is_named_with_a_remedy(nothing: Standing, standing: dict[str, Any], text: str) -> None:
    [trouble] = found(at_work(nothing, **standing)).troubles
    assert text in trouble.text
    assert trouble.remedy


@pytest.mark.parametrize(
    "standing",
    [
        {"routes": (route(2 * MINUTE, failures=1, reason="telegram.unreachable"),)},
        {"routes": (route(8 * HOUR),)},  # quiet hours
        {"gaps": (Gap("audit_log_ext", Reason.PURGED, NOW - 2 * DAY, NOW - DAY),)},
        {"failure": Coverage("*", NOW - HOUR, NOW - HOUR, error="HarborBusy: 503")},
        {"ago": 10 * MINUTE, "poll_every": None},  # by cron
        {"ago": 10 * MINUTE, "poll_every": 10 * MINUTE},
    ],
    ids=["just failed", "held", "of the past", "mended", "cron", "seldom"],
)
def test_nobody_cries_wolf(nothing: Standing, standing: dict[str, Any]) -> None:
    assert found(at_work(nothing, **standing)).troubles == ()


# -- how it is started here -------------------------------------------------------------------------


def touch(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).touch()


def test_the_command_that_starts_it_is_that_of_this_machine(tmp_path: Path) -> None:
    """A timer that is switched on, a service that is installed, otherwise what was typed just now."""
    assert look("python -m poller", None, tmp_path).start == "python -m poller run"
    named = look("harbor-poller", Path("/etc/my conf.toml"), tmp_path)
    assert (named.start, named.program) == (f"{named.program} run", "harbor-poller --config '/etc/my conf.toml'")
    touch(tmp_path, f"usr/lib/systemd/system/{SERVICE}")
    assert look("harbor-poller", None, tmp_path).start == "systemctl start harbor-poller"
    touch(tmp_path, f"etc/systemd/system/{TIMER}")
    assert not look("harbor-poller", None, tmp_path).is_timed
    wanted = tmp_path / "etc/systemd/system/timers.target.wants"
    wanted.mkdir()
    (wanted / TIMER).symlink_to(f"/etc/systemd/system/{TIMER}")
    assert look("harbor-poller", None, tmp_path).start == f"systemctl start {TIMER}"


def test_an_active_service_is_seen(tmp_path: Path) -> None:
    assert not look("harbor-poller", None, tmp_path).is_active
    (tmp_path / "sys/fs/cgroup/system.slice" / SERVICE).mkdir(parents=True)
    assert look("harbor-poller", None, tmp_path).is_active


# -- names from anywhere ----------------------------------------------------------------------------

NASTY = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "[red]x[/red]",
            "[link=https://e.example]x[/link]",
            ":smile:",
            "a\nsent  b",
            "\x1b[31mred\x1b[0m",
            "\x1b]8;;https://e.example\x07x",
            "\u202egnp.exe",
            "服务器" * 20,
            "👩\u200d💻🇩🇪⚠️" * 9,
            "x" * 500,
            "a\tb\rc\x85d\u2028e",
        ]
    ),
)


def seen(name: str, tag: str, operator: str, reason: str) -> Seen:
    event = Event.example(repository=Repository(name, is_public=False), tag=tag, operator=operator)
    return Seen(event, NOW, (DeliveryRecord("telegram", DeliveryState.REFUSED, reason, None, None),))


def is_harmless(text: str) -> bool:
    """Nothing but lines of visible characters, once our own colours are away."""
    return all(line.isprintable() for line in ESCAPE.sub("", text).split("\n"))


@given(NASTY, NASTY, NASTY, NASTY, st.sampled_from([40, 80, 130]))
@example("team/app", "1.27", "robot$ci", "", 80)
def test_no_name_can_forge_a_row(name: str, tag: str, operator: str, reason: str, width: int) -> None:
    """In a pipe a line with its five tabs, on a terminal a row that fits it."""
    page = events_page([seen(name, tag, operator, reason), seen("team/app", "1", "ann", "")], UTC)
    first, second = plain.lines(page)
    assert first.count("\t") == second.count("\t") == 5
    assert first.replace("\t", "").isprintable()
    shown = drawn(page, width)
    assert is_harmless(shown)
    head, rule, *rows = read(page, width)
    assert head.startswith("time")
    assert set(rule) == {"─"}
    assert [row[:14] for row in rows[:2]] == ["11-24 12:00:00"] * 2
    if width >= 80:
        assert max(map(cell_len, (head, *rows[:2]))) <= width
    told = [part for part in (*ESCAPE.findall(shown),) if part not in OURS]
    assert told == []


OURS = {f"\x1b[{code}m" for code in ("0", "1", "2", "31", "32", "33", "36", "1;31", "1;32", "1;33", "1;2")}


@given(NASTY, NASTY)
def test_no_text_can_forge_a_line(text: str, remedy: str) -> None:
    """Nor a colour, nor markup, in any kind of page."""
    mark = Part("✗", Tone.BAD)
    blocks: list[Block] = [
        Line((Part(text), Part(remedy, Tone.BAD))),
        Headline(mark, text, (Part(text),), remedy),
        Facts((Fact("gaps", (Part(text), Part(remedy, Tone.FAINT))),)),
        Items((Item(mark, "Harbor", text, remedy, "code"),), (Part("1 mistake"),)),
    ]
    assert [len(list(plain.lines([block]))) for block in blocks] == [1, 2, 2, 2]
    assert all(line.isprintable() for line in plain.lines(blocks))
    shown = drawn(blocks)
    assert is_harmless(shown)
    assert set(ESCAPE.findall(shown)) <= OURS
    words = "".join(ESCAPE.sub("", shown).split())
    assert "".join(glyphs.sayer("utf-8")(text).split()) in words


@given(st.text(max_size=40), st.integers(8, 30))
def test_the_middle_is_left_out(text: str, width: int) -> None:
    """As much as has to be, and both ends stay."""
    text = glyphs.sayer("utf-8")(text)
    cut = terminal.middle(text, width, "…")
    assert cell_len(cut) <= width
    if cell_len(text) <= width:
        assert cut == text
    else:
        head, mark, tail = cut.rpartition("…")
        assert mark
        assert text.startswith(head)
        assert text.endswith(tail)


def test_tag_and_project_survive_a_cut() -> None:
    assert terminal.middle("team/platform/services/checkout:2026.11.24", 21, "…") == "team/platf…2026.11.24"


# -- terminals --------------------------------------------------------------------------------------


CHECKED = Report(
    (
        fine("harbor.version", "Harbor", "it answers"),
        wrong("telegram.muted", "Telegram", "the bot may not write", "add it to the chat"),
        wrong("rights.log", "rights", "it may not read the log", "grant Audit Log: List"),
        failure("harbor.away", "Harbor", HarborUnreachable("no connection")),
        warning("telegram.topic", "Telegram", "the topic is closed", "open it"),
    )
)


def test_findings_are_grouped_and_summed_up() -> None:
    assert read(check_page(CHECKED)) == [
        "Harbor",
        "  ✓ it answers",
        "  ✗ no connection  [harbor.away]",
        "    → try again in a minute; if it stays, look into the logs of the other side",
        "",
        "Telegram",
        "  ✗ the bot may not write  [telegram.muted]",
        "    → add it to the chat",
        "  ! the topic is closed  [telegram.topic]",
        "    → open it",
        "",
        "Rights",
        "  ✗ it may not read the log  [rights.log]",
        "    → grant Audit Log: List",
        "",
        "2 mistakes to correct, 1 away now and tried again, 1 warning, 1 fine",
    ]
    assert list(plain.lines(check_page(CHECKED)))[1:3] == [
        "✗ Telegram: the bot may not write [telegram.muted] → add it to the chat",
        "✗ rights: it may not read the log [rights.log] → grant Audit Log: List",
    ]


def test_a_dumb_terminal_gets_no_escapes() -> None:
    """And one whose owner wants no colours; with any other value than nothing."""
    page = check_page(CHECKED)
    assert "\x1b[31m✗" in drawn(page)
    assert "\x1b" not in drawn(page, TERM="dumb")
    assert "\x1b" not in drawn(page, NO_COLOR="1")
    assert "\x1b" in drawn(page, NO_COLOR="")


@pytest.mark.parametrize("encoding", ["ascii", "koi8-r", "iso8859-1"])
def test_marks_that_cannot_be_written_are_letters(encoding: str, nothing: Standing) -> None:
    """On a terminal and in a pipe; in the encodings that have them they stay."""
    pages = [*check_page(CHECKED), *status_page(nothing, found(nothing), UTC, NOW)]
    pages += events_page([seen("team/" + "x" * 100, "1", "ann", "no")], UTC)
    for text in (drawn(pages, encoding=encoding), "\n".join(plain.lines(pages, glyphs.sayer(encoding)))):
        assert text.encode(encoding)
        assert "x" in text
        assert "->" in text


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.integers(20, 100))
def test_lines_end_between_words(text: str, room: int) -> None:
    """None is wider than the terminal but for a single word, and no word is lost or cut."""
    words = glyphs.sayer("utf-8")(text).split()
    lines = read([Line((Part(" ".join(words)),))], max(room, 40))
    assert [word for line in lines for word in line.split()] == words
    assert all(cell_len(line) <= max(room, 40) or len(line.split()) == 1 for line in lines)


# -- the other commands -----------------------------------------------------------------------------


def test_a_backfill_is_summed_up(config: Config) -> None:
    wanted = Wanted(NOW - DAY, NOW)
    result = Found(rows=7, known=2)
    result.new.update({EventType.PUSH_ARTIFACT: 4, EventType.ROBOT_CREATED: 1})
    page = backfill_page(result, wanted, config, 2.0, is_dry=True)
    assert list(plain.lines(page)) == [
        "7 rows read in 2.0 s (4 rows/s): 2 known already, 5 new events, not recorded in a dry run",
        "  PUSH_ARTIFACT                4",
        "  ROBOT_CREATED                1   not told: events.ROBOT_CREATED = false",
        "Harbor has no rows between 2026-11-25 08:00 and 2026-11-26 08:00: they were purged, or nothing happened",
    ]
    assert len(read(page)) == 6  # two are longer than the terminal


def texts() -> Iterator[str]:
    style = formatters.Style("en", UTC)
    yield from (formatters.message(event, style) for event in examples())
    yield from (text for _, text in (*scan_examples(style), *calm_examples(style)))
    portal = formatters.Style("en", UTC, portal=formatters.Portal("https://harbor.example.com", lambda _: 7))
    yield from (formatters.message(event, portal) for event in examples())


@pytest.mark.parametrize("text", list(texts()))
def test_a_preview_looks_as_the_chat(text: str) -> None:
    """What is bold, code, a link or quoted is what Telegram's own parser says; a line break is neither."""
    pieces = list(formatters.pieces(text))
    said = parse(text)
    assert "".join(piece.text for piece in pieces) == said.text == formatters.plain(text)
    kinds = {"Bold": "is_bold", "Code": "is_code", "TextUrl": "is_link", "ExpandableBlockQuote": "is_quoted"}
    assert {entity.kind for entity in said.entities} <= kinds.keys()
    for kind, looks in kinds.items():
        ours = "".join(piece.text for piece in pieces if getattr(piece, looks))
        theirs = "".join(entity.text for entity in said.entities if entity.kind == kind)
        assert ours.replace("\n", "") == theirs.replace("\n", "")


def test_a_preview_on_a_terminal_has_a_bar_beside_quotations() -> None:
    messages = [each for each in preview_page(None, "en") if isinstance(each, Message)]
    [retention] = [each for each in messages if each.name == "calm.retention"]
    title, *lines = read([retention])
    assert title.startswith("calm.retention ───")
    assert any(line.startswith("▌ ") for line in lines)
    assert not lines[0].startswith("▌")
    assert "\x1b[1m" in drawn([retention])
