"""Troubles in the log: a line when one starts, few while it lasts, one when it ends; none while all is well."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.harbor import Fault, World
from demo.telegram import Kind, TelegramStandIn
from poller import lease
from poller.clock_steps import SteadyClock
from poller.daemon import BUG, JOBS, STATE, Bell, Shift
from poller.episodes import CALM, FIRST_REMINDER, FORGOTTEN, REMIND_EVERY, Episodes, News, Said
from poller.errors import HarborBusy, HarborUnreachable, StateBusy, WrongCredentials
from poller.heartbeat import Heartbeat
from poller.measures import Measure, Recorded
from poller.secret import Secret
from poller.telegram import Telegram
from poller.telling import ROUTE, Teller
from poller.troubles import Trouble, Troubles
from poller.turns import Tellers
from state import POLLER, DeliveryState, Grant
from tests.harness import TOKEN, Clock, Site, site

HOUR = 3600
DOWN = "down"

# -- when to say what -------------------------------------------------------------------------------


def said(episodes: Episodes[str], *attempts: tuple[float, str]) -> list[tuple[float, News]]:
    """What one who tries at these times says; with the kind of error, "" for an attempt that went well."""
    found = list[tuple[float, Said]]()
    for at, kind in attempts:
        news = episodes.failed("x", kind, at, "me") if kind else None
        found += [(at, news)] if news else []
        found += [(at, each) for _, each in episodes.went_well("me", at)] if not kind else []
    return [(at, each.news) for at, each in found]


def test_a_long_trouble_is_said_at_its_start_then_seldom_then_at_its_end() -> None:
    """After ten minutes that it goes on, then every hour, however often it was tried."""
    attempts = [(float(at), DOWN) for at in range(0, 3 * HOUR, 5)]
    assert said(Episodes(), *attempts, (3.0 * HOUR, ""), (3.0 * HOUR + 5, "")) == [
        (0, News.STARTED),
        (600, News.GOES_ON),
        (600 + HOUR, News.GOES_ON),
        (600 + 2 * HOUR, News.GOES_ON),
        (3 * HOUR, News.ENDED),
    ]


def test_the_end_says_how_often_and_for_how_long() -> None:
    episodes = Episodes[str]()
    for at in (10, 20, 40):
        episodes.failed("x", DOWN, at, "me")
    assert episodes.went_well("me", 70) == [("x", Said(News.ENDED, 3, 60))]


def test_each_kind_of_error_is_said_once() -> None:
    """A server that starts refuses connections, then answers 503, by turns: that is no news each time."""
    attempts = [(0.0, "refused"), (5.0, "503"), (10.0, "refused"), (15.0, "503"), (20.0, "")]
    assert said(Episodes(), *attempts) == [(0, News.STARTED), (5, News.CHANGED), (20, News.ENDED)]


def test_what_fails_and_works_by_turns_is_no_storm() -> None:
    """On and off every ten seconds for an hour: its first end is said at once, its last after it was calm for long."""
    flapping = [(float(at), DOWN if at % 20 == 0 else "") for at in range(0, HOUR, 10)]
    well = [(float(at), "") for at in range(HOUR, HOUR + 1000, 10)]
    assert said(Episodes(), *flapping, *well) == [
        (0, News.STARTED),
        (10, News.ENDED),
        (20, News.STARTED),
        (620, News.GOES_ON),
        (HOUR - 10 + CALM, News.ENDED),
    ]


def test_what_comes_again_after_long_is_a_trouble_of_its_own() -> None:
    """Also where nobody tried in between, so that the end of a shaky one was never said."""
    late = 20 + CALM
    attempts = [(0.0, DOWN), (5.0, ""), (10.0, DOWN), (15.0, ""), (late, DOWN), (late + 5, "")]
    assert said(Episodes(), *attempts)[2:] == [(10, News.STARTED), (late, News.STARTED), (late + 5, News.ENDED)]


def test_what_is_not_tried_any_more_is_forgotten() -> None:
    """A project was refused and is deleted: nobody gets on with it, and it must not be remembered for years."""
    episodes = Episodes[str]()
    for number in range(100):
        episodes.failed(f"project {number}", DOWN, number, f"project {number}")
    assert episodes.failed("another", DOWN, FORGOTTEN + 98, "another") is not None
    assert set(episodes._open) == {"project 99", "another"}


def test_a_trouble_that_several_meet_is_over_when_all_get_on() -> None:
    """A full disk: those who read get on, and that is no end of it."""
    episodes = Episodes[str]()
    assert episodes.failed("x", DOWN, 0, "writer") is not None
    assert episodes.failed("x", DOWN, 1, "another writer") is None
    assert episodes.went_well("reader", 2) == []
    assert episodes.went_well("writer", 3) == []
    assert [what for what, _ in episodes.went_well("another writer", 4)] == ["x"]


@given(st.lists(st.tuples(st.sampled_from([1, 5, 30, 700]), st.sampled_from(["", "a", "b"])), max_size=300))
def test_whatever_happens_there_are_few_lines(steps: list[tuple[int, str]]) -> None:
    """A beginning, an end, a second beginning: then nothing for at least ten minutes but other kinds of errors."""
    at, attempts = 0.0, list[tuple[float, str]]()
    for pause, kind in steps:
        at += pause
        attempts.append((at, kind))
    lines = [(at, news) for at, news in said(Episodes(), *attempts) if news is not News.CHANGED]
    for first, last in zip(lines, lines[4:], strict=False):
        assert last[0] - first[0] >= min(FIRST_REMINDER, CALM, REMIND_EVERY)
    assert all(one != two for (_, one), (_, two) in pairwise(lines) if one is News.ENDED)


# -- what is logged ---------------------------------------------------------------------------------

WORDS = Trouble("x.failed", "x.failing", "x.recovered")


def test_a_line_names_whose_trouble_it_is_and_who_must_act(caplog: pytest.LogCaptureFixture) -> None:
    """What passes by itself is a warning; what a person must mend, and a bug, is an error."""
    caplog.set_level(logging.INFO)
    now = [0.0]
    troubles = Troubles(lambda: now[0])
    mine = WORDS.of(project="team")
    troubles.failed(mine, HarborBusy("503"), retry_in=5)
    troubles.failed(WORDS.of(project="other"), WrongCredentials("401"))
    now[0] = 700
    troubles.failed(mine, HarborBusy("503"), retry_in=80)
    troubles.went_well(mine)
    lines = [
        (each.levelname, each.message, {k: str(v) for k, v in vars(each)["values"].items()}) for each in caplog.records
    ]
    assert lines == [
        ("WARNING", "x.failed", {"project": "team", "error": "503", "retry_in": "5"}),
        ("ERROR", "x.failed", {"project": "other", "error": "401"}),
        (
            "WARNING",
            "x.failing",
            {"project": "team", "error": "503", "retry_in": "80", "failures": "2", "seconds": "700"},
        ),
        ("INFO", "x.recovered", {"project": "team", "failures": "2", "seconds": "700"}),
    ]


def test_a_bug_shows_its_traceback_once(caplog: pytest.LogCaptureFixture) -> None:
    """The same one at every poll would fill the log."""
    troubles = Troubles(lambda: 0.0)
    for _ in range(3):
        try:
            raise ZeroDivisionError
        except ZeroDivisionError as error:
            troubles.failed(WORDS, error, is_bug=True)
    (line,) = caplog.records
    assert line.levelname == "ERROR"
    assert line.exc_info


# -- a daemon, with an hour that takes seconds --------------------------------------------------------


class Patient(threading.Event):
    """Who waits for it lets the test's time pass."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.advance(timeout or 0)
        return self.is_set()


class PatientBell(Bell):
    """The same."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, seconds: float) -> None:
        self._clock.advance(seconds)


class Stage:
    """A site, its chat, and a daemon's shift whose jobs the test calls at the daemon's rhythm."""

    def __init__(self, opened: Site, telegram: TelegramStandIn, heartbeat: Heartbeat | None) -> None:
        clock, config = opened.clock, opened.config
        self.site, self.telegram = opened, telegram
        self._has_heart = heartbeat is not None
        self._began = clock.now

        def monotonic() -> float:
            return (clock.now - self._began).total_seconds()

        grant = opened.store.take_lease(POLLER, "me", clock.now, lease.KEEP, instead_of=None)
        assert isinstance(grant, Grant)
        client = Telegram(Secret(TOKEN), api_url=telegram.url, timeout=(1, 2))
        teller = Teller(client, opened.store, config, clock, monotonic=monotonic)
        steady = SteadyClock(clock, monotonic)
        self.shift = Shift(
            config,
            opened.store,
            grant,
            opened.poller,
            Tellers({ROUTE: teller}),
            clock,
            steady,
            heartbeat=heartbeat,
            monotonic=monotonic,
            bell=PatientBell(clock),
        )
        self.shift._stop = Patient(clock)

    def live(self, seconds: int, happening: Callable[[int], object] = lambda _second: None) -> None:
        """Let time pass, as a daemon passes it that polls every half minute."""
        shift = self.shift
        for second in range(0, seconds, 10):
            self.site.clock.advance(10)
            happening(second)
            if second % 30 == 0:
                shift._poll()
            shift._sweep()
            shift._deliver()
            if self._has_heart:
                shift._beat_heart()
            if second % 60 == 0:
                shift._tell_day()
                shift._watch()
                shift._report()

    def fail(self, job: str, error: Exception | None, seconds: int = 0) -> None:
        def work() -> None:
            if error is not None:
                raise error

        self.site.clock.advance(seconds)
        self.shift._run_job(job, self.shift._delivering, work)


@contextmanager
def staged(folder: Path, *, more: str = "", heartbeat: Heartbeat | None = None) -> Iterator[Stage]:
    clock = Clock()
    with TelegramStandIn(TOKEN, clock=clock) as telegram:
        world = World(clock=clock.tick)
        world.create_project("team")
        with site(folder, world, clock, more=f"api_url = '{telegram.url}'\n{more}") as opened:
            opened.poll()
            yield Stage(opened, telegram, heartbeat)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as opened:
        yield opened


@pytest.fixture
def words(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The words of the lines at INFO and above since this was asked last."""
    caplog.set_level(logging.INFO)

    def since_then() -> list[str]:
        found = [record.message for record in caplog.records]
        caplog.clear()
        return found

    return since_then


Words = Callable[[], list[str]]


def test_an_hour_in_which_nothing_happens_makes_no_line(stage: Stage, words: Words) -> None:
    """With a sweep that goes round and a watch that looks: who reads the log finds what happened."""
    for number in range(3):
        stage.site.world.push("team/app", f"v{number}", "ann")
    stage.live(600)
    assert "audit.polled" in words()
    before = len(stage.site.standin.requests)
    stage.live(HOUR + 300)
    asked = Counter(each.path.rpartition("/")[2] for each in stage.site.standin.requests[before:])
    assert asked["artifacts"] > 0
    assert asked["repositories"] > 5
    assert words() == []


def test_a_poll_that_found_something_makes_one_line(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """With what it was, by type, and how long that took."""
    caplog.set_level(logging.INFO)
    for number in range(2):
        stage.site.world.push("team/app", f"v{number}", "ann")
    stage.site.world.pull("team/app", "v1", "bob")
    stage.shift._poll()
    (line,) = caplog.records
    values = dict(vars(line)["values"])
    assert values.pop("seconds") >= 0
    assert values.pop("rows") >= 3
    assert (line.message, values) == ("audit.polled", {"new": 3, "PUSH_ARTIFACT": 2, "PULL_ARTIFACT": 1})


def test_harbor_away_for_an_hour(stage: Stage, words: Words) -> None:
    """Once when it starts, twice while it lasts, once when it ends: polls, sweep and watch together."""
    stage.site.standin.fail(Fault.UNAVAILABLE, times=10_000)
    stage.live(HOUR + 900)
    stage.site.standin.heal()
    stage.live(900)
    found = Counter(words())
    assert found == {"poll.failed": 1, "poll.failing": 2, "poll.recovered": 1}


def test_harbor_that_comes_and_goes(stage: Stage, words: Words) -> None:
    """For an hour it is there at one poll and away at the next."""
    healing = stage.site.standin.heal

    def flap(second: int) -> None:
        healing()
        if second % 60 < 30:
            stage.site.standin.fail(Fault.UNAVAILABLE, times=10_000)

    stage.live(HOUR, flap)
    healing()
    stage.live(900)
    assert len(words()) < 12


def test_a_bot_that_was_kicked_is_an_error_once(stage: Stage, words: Words, caplog: pytest.LogCaptureFixture) -> None:
    """Each message is tried for hours, and all of them are told in the end."""
    stage.telegram.fail(Kind.KICKED, times=10_000)
    stage.site.world.push("team/app", "v1", "ann")
    stage.live(3 * HOUR)
    levels = [record.levelname for record in caplog.records if record.message.startswith("message.")]
    assert set(levels) == {"ERROR"}
    stage.telegram.heal()
    stage.live(HOUR)
    found = [word for word in words() if word.startswith("message.")]
    assert found[0] == "message.kept"
    assert found[-2:] == ["message.taken_again", "message.sent"]
    assert 1 <= found.count("message.still_kept") <= 4
    assert len(found) == found.count("message.still_kept") + 3


def test_a_database_that_is_away_is_one_trouble(stage: Stage, words: Words) -> None:
    """However many jobs meet it; it is over when the last of them gets on."""
    for _ in range(60):
        for job in ("poll", "deliver", "lease"):
            stage.fail(job, StateBusy("away"), seconds=20)
    stage.fail("lease", None)
    stage.fail("deliver", None)
    assert words() == [STATE.failed, STATE.failing]
    stage.fail("poll", None)
    assert words() == [STATE.recovered]


def test_a_job_that_waits_for_its_schedule_does_not_say_when_it_tries_again(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Old events are forgotten every six hours, whatever happened at the last time."""

    def away() -> None:
        raise StateBusy("away")

    stage.shift._run_job("prune", None, away)
    stage.fail("deliver", StateBusy("away"))
    assert [(each.message, "retry_in" in vars(each)["values"]) for each in caplog.records] == [
        ("prune.failed", False),
        ("state.failed", True),
    ]


def test_each_job_has_its_own_trouble(stage: Stage, words: Words) -> None:
    """What the sweep meets at one page does not hide what the polls meet."""
    stage.fail("poll", HarborBusy("503"))
    stage.fail("watch", HarborBusy("503"))
    stage.fail("sweep", HarborUnreachable("away"))
    stage.fail("sweep", ZeroDivisionError())
    assert words() == [JOBS["poll"].failed, JOBS["watch"].failed, JOBS["poll"].failed, BUG.failed]


# -- who is woken -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "is_rung"), [(DeliveryState.PENDING, True), (DeliveryState.OFF, False)])
def test_delivery_is_woken_by_what_is_to_be_told(state: DeliveryState, is_rung: bool) -> None:
    """And whoever counts what is recorded hears of it all the same."""
    heard = list[Measure]()
    bell, recorded = Bell(heard.append), Recorded(decided=Counter({(ROUTE, state): 1}))
    bell.heed(recorded)
    assert (bell.has_rung, heard) == (is_rung, [recorded])
    bell.wait(0)
    assert not bell.has_rung
