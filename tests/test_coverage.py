"""What could not be seen is told: once when it begins, once when it ends, once for what is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.harbor import ADMIN, ALWAYS, Account, Fault, Generation, Outcome, Role, World
from poller import show
from poller.backfill import Backfill, Wanted
from poller.diagnosis import diagnose
from poller.errors import PollerError
from poller.events import SCAN_TYPES, CoverageNews, EventType, Phase, Reason
from poller.here import Here
from poller.show.status import status_page
from poller.standing import standing
from state import Coverage
from tests.harness import NOON, Clock, Site, site
from tests.test_journeys import FIRST_USERS, LAST_OLD, NEW, OF_TEAM, SCOPED, SYSTEM, generations, give, tags

Opened = Callable[..., Site]
AN_HOUR, A_DAY = 3600, 86400
WITH_SCANNER = Account("robot$poller", "demo-secret", Role.SYSTEM_ROBOT_SCANS)


@pytest.fixture
def polled(tmp_path: Path) -> Iterator[Opened]:
    """A Harbor with the projects `team` and `public`, an image in each, and a poller that has polled once."""
    contexts = []

    def open_(generation: Generation = NEW, account: Account = SYSTEM, *, age: float = 0, **more: Any) -> Site:
        clock = Clock()
        world = World(generation, clock=clock.tick)
        world.create_project("team")
        world.create_project("public", public=True)
        world.push("team/app", "old")
        clock.advance(age)
        world.push("public/site", "old")
        context = site(tmp_path, world, clock, account, **more)
        contexts.append(context)
        here = context.__enter__()
        here.poll()
        return here

    yield open_
    for context in contexts:
        context.__exit__(None, None, None)


def live(here: Site, seconds: int, happening: Callable[[], object] = lambda: None, every: int = 30) -> None:
    """Poll, sweep and watch for so long, in spite of errors."""
    for _ in range(seconds // every):
        here.clock.advance(every)
        happening()
        try:
            here.poller.poll(here.clock.now)
            here.poller.sweep(here.clock.now)
            here.poller.watch(here.clock.now)
        except PollerError:
            continue


def said(here: Site) -> list[tuple[Phase, Reason]]:
    """What is to be told of what was not seen, in order."""
    return [(news.phase, news.gaps[0].reason) for news in told(here)]


def told(here: Site) -> list[CoverageNews]:
    return [event.coverage for event in here.news if event.coverage is not None]


def began_and_ended(reason: Reason) -> list[tuple[Phase, Reason]]:
    return [(Phase.BEGAN, reason), (Phase.ENDED, reason)]


# -- rights -------------------------------------------------------------------------------------------


@generations
@pytest.mark.parametrize(
    ("account", "less", "reason"),
    [
        (SYSTEM, Role.SYSTEM_ROBOT_NOTHING, Reason.NO_RIGHTS),
        (SCOPED, Role.SYSTEM_ROBOT_NOTHING, Reason.PROJECT_CLOSED),
        (OF_TEAM, Role.PROJECT_ROBOT_NOLOG, Reason.PROJECT_CLOSED),
    ],
    ids=["system", "all projects", "project"],
)
def test_a_right_is_withdrawn(
    polled: Opened, generation: Generation, account: Account, less: Role, reason: Reason
) -> None:
    """One line when the log is closed, though Harbor goes on answering 200; one when it is read again, all of it."""
    here = polled(generation, account)
    here.world.push("team/app", "before")
    live(here, 60)
    give(here, less)
    here.world.push("team/app", "meanwhile")
    live(here, 1800)
    assert said(here) == [(Phase.BEGAN, reason)]
    give(here, account.role)
    live(here, 300)
    assert said(here) == began_and_ended(reason)
    assert tags(here.news) == ["before", "meanwhile"]
    assert all(gap.closed_at for news in told(here)[1:] for gap in news.gaps)
    said_to_programs = here.news[-1].to_webhook()["event_data"]["coverage"]
    assert said_to_programs["phase"] == "ended"
    assert said_to_programs["gaps"][-1]["from"] < said_to_programs["gaps"][-1]["to"]


def test_several_projects_are_closed_at_once(polled: Opened) -> None:
    """That is one message, which names them."""
    here = polled(NEW, SCOPED)
    live(here, 120)
    give(here, Role.SYSTEM_ROBOT_NOTHING)
    live(here, 600)
    (news,) = told(here)
    assert [gap.project for gap in news.gaps] == ["library", "public", "team"]


def test_one_of_several_projects_is_made_invisible(polled: Opened) -> None:
    """The others are read on; when it is there again, what happened in it meanwhile is told."""
    here = polled(NEW, SCOPED)
    live(here, 120)
    here.standin.fail(Fault.FORBIDDEN, times=ALWAYS, path="/projects/public/")
    here.world.push("team/app", "seen")
    here.world.push("public/site", "hidden")
    live(here, 600)
    assert said(here) == [(Phase.BEGAN, Reason.PROJECT_CLOSED)]
    assert tags(here.news) == ["seen"]
    here.standin.heal()
    live(here, 600)
    assert said(here) == began_and_ended(Reason.PROJECT_CLOSED)
    assert tags(here.news) == ["seen", "hidden"]


def test_a_project_that_is_gone_for_good(polled: Opened) -> None:
    """It cannot be told from one that is hidden: said once, and after a month it is no gap any more."""
    here = polled(NEW, SCOPED)
    here.world.create_project("brief")
    live(here, 180)
    here.world.delete_project("brief")
    live(here, 600)
    assert said(here) == [(Phase.BEGAN, Reason.PROJECT_CLOSED)]
    live(here, 31 * A_DAY, every=6 * AN_HOUR)
    assert said(here) == [(Phase.BEGAN, Reason.PROJECT_CLOSED)]
    assert here.store.open_gaps() == ()


def test_the_whole_log_is_closed_but_not_the_projects(polled: Opened) -> None:
    """What can be read is read on, and it is said that the rest is not."""
    here = polled(NEW, SYSTEM)
    live(here, 60)
    give(here, Role.SYSTEM_ROBOT_ALL_PROJECTS)
    live(here, 900)
    assert said(here) == [(Phase.BEGAN, Reason.NO_RIGHTS)]
    give(here, Role.SYSTEM_ROBOT_FULL)
    live(here, 900)
    assert said(here) == began_and_ended(Reason.NO_RIGHTS)


def test_who_needs_no_whole_log_does_not_miss_it(polled: Opened) -> None:
    """With the projects configured, it is the same whether they are read one by one."""
    here = polled(NEW, SYSTEM, harbor="projects = ['team', 'public']")
    give(here, Role.SYSTEM_ROBOT_ALL_PROJECTS)
    live(here, 900)
    assert said(here) == []


@generations
def test_the_account_is_refused(polled: Opened, generation: Generation) -> None:
    """A robot that has expired: said after some minutes, for a single refusal may be somebody else's typo."""
    here = polled(generation)
    live(here, 60)
    here.standin.fail(Fault.UNAUTHORIZED, times=ALWAYS)
    live(here, 120)
    assert said(here) == []
    live(here, 900)
    assert said(here) == [(Phase.BEGAN, Reason.ACCOUNT_REFUSED)]
    here.standin.heal()
    live(here, 60)
    assert said(here) == began_and_ended(Reason.ACCOUNT_REFUSED)


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.BAD_GATEWAY, Fault.HTML])
def test_harbor_away_is_no_blind_spot(polled: Opened, fault: Fault) -> None:
    """What happens meanwhile is read afterwards."""
    here = polled()
    here.standin.fail(fault, times=ALWAYS)
    live(here, AN_HOUR)
    here.standin.heal()
    live(here, 600)
    assert said(here) == []


def test_a_restart_does_not_say_it_again(polled: Opened) -> None:
    """What goes on is remembered."""
    here = polled(NEW, SYSTEM)
    give(here, Role.SYSTEM_ROBOT_NOTHING)
    live(here, 600)
    here.restart()
    live(here, 600)
    assert said(here) == [(Phase.BEGAN, Reason.NO_RIGHTS)]
    give(here, Role.SYSTEM_ROBOT_FULL)
    here.restart()
    live(here, 600)
    assert said(here) == began_and_ended(Reason.NO_RIGHTS)


def test_it_can_be_switched_off(polled: Opened) -> None:
    """Then it is recorded, as everything is."""
    here = polled(NEW, SYSTEM, more="[events]\nCOVERAGE = false")
    give(here, Role.SYSTEM_ROBOT_NOTHING)
    live(here, 600)
    assert said(here) == []
    assert [event.type for event in here.events if event.coverage] == [EventType.COVERAGE]
    assert [gap.reason for gap in here.store.open_gaps()] == [Reason.NO_RIGHTS]


# -- what Harbor does not log ---------------------------------------------------------------------------


@generations
@pytest.mark.parametrize("account", [SYSTEM, SCOPED], ids=["system", "all projects"])
def test_pulls_are_not_logged_any_more(polled: Opened, generation: Generation, account: Account) -> None:
    """Harbor counts pulls that its log does not have: said once, and once when pulls are logged again."""
    here = polled(generation, account)
    live(here, 900, lambda: here.world.pull("team/app", "old", "bob"), every=60)
    before = len(tags(here.news))
    here.world.log_pulls = False
    live(here, 1800, lambda: here.world.pull("team/app", "old", "bob"), every=60)
    assert said(here) == [(Phase.BEGAN, Reason.PULLS_OFF)]
    here.world.log_pulls = True
    live(here, 300, lambda: here.world.pull("team/app", "old", "bob"), every=60)
    assert said(here) == began_and_ended(Reason.PULLS_OFF)
    assert len(tags(here.news)) == before + 5


@generations
@pytest.mark.parametrize("account", [SYSTEM, SCOPED], ids=["system", "all projects"])
def test_the_audit_database_is_switched_off(polled: Opened, generation: Generation, account: Account) -> None:
    """The registry grows and its log does not: said once, and once when rows are written again."""
    here = polled(generation, account)
    names = iter(range(1000))
    push = lambda: here.world.push("team/app", f"n{next(names)}")  # noqa: E731 -- the same deed, again and again
    live(here, 900, push, every=60)
    here.world.audit_database = False
    live(here, 1800, push, every=60)
    assert said(here) == [(Phase.BEGAN, Reason.LOG_OFF)]
    here.world.audit_database = True
    live(here, 120, push, every=60)
    assert said(here) == began_and_ended(Reason.LOG_OFF)


def test_pulls_that_were_never_logged(polled: Opened) -> None:
    """Also where that was so from the beginning."""
    here = polled()
    here.world.log_pulls = False
    live(here, 1800, lambda: here.world.pull("team/app", "old", "bob"), every=60)
    assert said(here) == [(Phase.BEGAN, Reason.PULLS_OFF)]


@generations
def test_an_ordinary_day_is_no_blind_spot(polled: Opened, generation: Generation) -> None:
    """Bursts and silence, pulls right before a look, deletions, scans: nothing to say."""
    here = polled(generation)
    for round_ in range(12):
        for number in range(4):
            here.world.push("team/app", f"r{round_}.{number}", "ann")
            here.world.pull("team/app", f"r{round_}.{number}", "bob")
        here.world.scan("team/app", f"r{round_}.0", Outcome.SUCCESS)
        here.world.delete_artifact("team/app", f"r{round_}.1", "ann")
        live(here, 420 * (1 + round_ % 3), every=60)
    assert said(here) == []


def test_a_quiet_registry_is_hardly_asked(polled: Opened) -> None:
    """Three small questions every five minutes; where pulls are logged all the time, none."""
    here = polled(more="[schedule]\nsweep = 'off'")
    live(here, AN_HOUR)
    here.standin.clear()
    live(here, AN_HOUR)
    quiet = [request for request in here.standin.requests if request.path.endswith("/repositories")]
    assert len(quiet) <= 39
    here.standin.clear()
    live(here, AN_HOUR, lambda: here.world.pull("team/app", "old", "bob"), every=60)
    busy = [request for request in here.standin.requests if request.path.endswith("/repositories")]
    assert len(busy) <= 3


def test_who_may_read_the_switches_reads_them(polled: Opened) -> None:
    """A system administrator's account sees at once what is switched off, without any deed."""
    here = polled(NEW, ADMIN)
    live(here, 600)
    here.world.log_pulls = False
    live(here, 600)
    assert said(here) == [(Phase.BEGAN, Reason.PULLS_OFF)]
    here.world.audit_database = False
    live(here, 600)
    here.world.audit_database = True
    live(here, 600)
    assert said(here) == [(Phase.BEGAN, Reason.PULLS_OFF), *began_and_ended(Reason.LOG_OFF)]


@pytest.mark.parametrize("every", [600, AN_HOUR])
def test_who_polls_rarely_hears_no_false_alarm(polled: Opened, every: int) -> None:
    """What the registry counts between two polls is in the log, only not read yet."""
    here = polled()
    names = iter(range(1000))
    for _ in range(8):
        for _ in range(every // 60):
            here.clock.advance(60)
            if next(names) % 3 == 0:
                here.world.push("team/app", f"n{next(names)}")
                here.world.pull("team/app", "old", "bob")
            here.poller.watch(here.clock.now)
        here.poller.poll(here.clock.now)
    assert said(here) == []


def test_a_backfill_is_no_sign_that_pulls_are_logged_again(polled: Opened) -> None:
    """It records rows from before."""
    here = polled()
    live(here, 600, lambda: here.world.pull("team/app", "old", "bob"), every=60)
    here.world.log_pulls = False
    live(here, 1200, lambda: here.world.pull("team/app", "old", "bob"), every=60)
    assert said(here) == [(Phase.BEGAN, Reason.PULLS_OFF)]
    job = Backfill(
        here.harbor, here.store, here.poller, Wanted(NOON - timedelta(hours=1), NOON), is_dry=False, is_told=False
    )
    for window in job.windows(here.clock.now):
        job.read(window, here.clock.now)
    live(here, 600, lambda: here.world.pull("team/app", "old", "bob"), every=60)
    assert said(here) == [(Phase.BEGAN, Reason.PULLS_OFF)]


def test_pulls_that_nobody_wants_are_no_witness(polled: Opened) -> None:
    """Who switches them off in conf.toml is not told that Harbor's database was put back."""
    here = polled()
    live(here, 120, lambda: here.world.pull("team/app", "old", "bob"), every=60)
    here.configure(
        more="[events]\nPULL_ARTIFACT = false\n" + "".join(f"{kind} = false\n" for kind in sorted(SCAN_TYPES))
    )
    here.restart()
    live(here, 300, lambda: here.world.pull("team/app", "old", "bob"), every=60)
    here.world.push("team/app", "new")
    live(here, 60)
    assert said(here) == []
    assert tags(here.news)[-1] == "new"


def test_a_right_is_withdrawn_before_the_new_log_in_a_quiet_hour(polled: Opened) -> None:
    """The log is as empty as a purged one; but the registry moves, and what happens is there when the right is back."""
    here = polled(LAST_OLD)
    live(here, 2 * AN_HOUR, every=300)
    give(here, Role.SYSTEM_ROBOT_NOTHING)
    names = iter(range(1000))
    live(here, AN_HOUR, lambda: here.world.push("team/app", f"n{next(names)}"), every=60)
    assert said(here) == [(Phase.BEGAN, Reason.NO_RIGHTS)]
    give(here, Role.SYSTEM_ROBOT_FULL)
    live(here, 300, every=60)
    assert said(here) == began_and_ended(Reason.NO_RIGHTS)
    assert tags(here.news) == [f"n{number}" for number in range(60)]


def test_one_bad_answer_is_no_closed_project(polled: Opened) -> None:
    """Who polls every five minutes looks once more."""
    here = polled(NEW, SCOPED)
    live(here, 600, every=300)
    here.standin.fail(Fault.FORBIDDEN, times=1, path="/projects/public/")
    live(here, 1800, every=300)
    assert said(here) == []


# -- scanners -------------------------------------------------------------------------------------------


@generations
def test_a_scanner_is_disabled(polled: Opened, generation: Generation) -> None:
    """Who may read it is told of it by Harbor."""
    here = polled(generation, WITH_SCANNER)
    here.world.scan("team/app", "old", Outcome.SUCCESS)
    live(here, 600)
    here.world.disable_scanner("team")
    live(here, AN_HOUR)
    assert said(here) == [(Phase.BEGAN, Reason.SCANNER_OFF)]
    here.world.disable_scanner("team", disabled=False)
    live(here, AN_HOUR)
    assert said(here) == began_and_ended(Reason.SCANNER_OFF)


def test_a_scanner_cannot_be_reached(polled: Opened) -> None:
    """Who may not read it notices that all results are gone."""
    here = polled()
    for number in range(4):
        here.world.push("team/app", f"n{number}")
        here.world.scan("team/app", f"n{number}", Outcome.SUCCESS)
    live(here, 2 * AN_HOUR)
    here.world.scanner_reachable = False
    live(here, 3 * AN_HOUR)
    assert said(here) == [(Phase.BEGAN, Reason.SCANNER_OFF)]
    here.world.scanner_reachable = True
    live(here, 3 * AN_HOUR)
    assert said(here) == began_and_ended(Reason.SCANNER_OFF)


# -- what is lost ---------------------------------------------------------------------------------------


@generations
def test_rows_are_purged_before_they_were_read(polled: Opened, generation: Generation) -> None:
    """After a long downtime: how much is missing, from when to when, in one line."""
    here = polled(generation)
    for number in range(7):
        here.world.push("team/app", f"lost{number}")
    here.clock.advance(2 * A_DAY)
    here.world.purge(before=here.clock.now - timedelta(days=1))
    here.world.push("team/app", "left")
    live(here, 300)
    (news,) = told(here)
    (gap,) = news.gaps
    assert (news.phase, gap.reason, gap.rows) == (Phase.FOUND, Reason.PURGED, 7)
    assert gap.ended_at is not None
    assert gap.ended_at - gap.began_at >= timedelta(days=2)
    assert tags(here.news) == ["left"]


@generations
@pytest.mark.parametrize("account", [SYSTEM, SCOPED], ids=["system", "all projects"])
def test_rows_that_were_read_may_be_purged(polled: Opened, generation: Generation, account: Account) -> None:
    """Nothing is lost by that."""
    here = polled(generation, account)
    for number in range(7):
        here.world.push("team/app", f"n{number}")
    live(here, 120)
    live(here, 3 * AN_HOUR, every=600)
    here.world.purge(before=here.clock.now - timedelta(hours=1))
    live(here, 120)
    here.world.push("team/app", "next")
    live(here, 120)
    assert said(here) == []
    assert tags(here.news)[-1] == "next"


def test_a_downtime_without_a_purge(polled: Opened) -> None:
    """It is caught up, so there is no gap."""
    here = polled()
    here.world.push("team/app", "first")
    here.clock.advance(30 * A_DAY)
    here.world.push("team/app", "second")
    live(here, 120)
    assert said(here) == []
    assert tags(here.news) == ["first", "second"]


@generations
@pytest.mark.parametrize("account", [SYSTEM, SCOPED], ids=["system", "all projects"])
@pytest.mark.parametrize("since", [0, 3, 9])
def test_a_database_is_put_back(polled: Opened, generation: Generation, account: Account, since: int) -> None:
    """Said once, however many logs show it; what happens after it is told."""
    here = polled(generation, account)
    kept = here.world.newest_id + 1
    for number in range(5):
        here.world.push("team/app", f"n{number}")
        here.world.push("public/site", f"n{number}")
    live(here, 120)
    here.world.restore(kept)
    names = [f"again{number}" for number in range(since)]
    for name in names:
        here.world.push("team/app", name)
    live(here, 300)
    assert said(here) == [(Phase.FOUND, Reason.RESTORED)]
    assert tags(here.news)[10:] == names


def test_a_log_that_was_hidden_at_first(polled: Opened) -> None:
    """Before 2.13 an account without rights looks like an empty log: the backfill that closes the gap is named."""
    here = polled(FIRST_USERS, Account("robot$poller", "demo-secret", Role.SYSTEM_ROBOT_NOTHING), age=30 * A_DAY)
    here.world.push("team/app", "unseen")
    live(here, 120)
    give(here, Role.SYSTEM_ROBOT_AUDIT)
    live(here, 300)
    assert said(here) == [(Phase.FOUND, Reason.HIDDEN)]
    (gap,) = here.store.gaps(since=here.clock.now - timedelta(days=60))
    assert gap.ended_at is not None
    assert gap.closed_at is None
    wanted = Wanted(gap.began_at - timedelta(minutes=1), gap.ended_at + timedelta(minutes=1))
    job = Backfill(here.harbor, here.store, here.poller, wanted, is_dry=False, is_told=True)
    for window in job.windows(here.clock.now):
        job.read(window, here.clock.now)
    job.note_past(here.clock.now)
    (gap,) = here.store.gaps(since=here.clock.now - timedelta(days=60))
    assert gap.closed_at == here.clock.now
    assert "unseen" in tags(here.events)


def test_an_upgrade_is_no_gap(polled: Opened) -> None:
    """The new log begins where the old one ended."""
    here = polled(LAST_OLD)
    here.world.push("team/app", "old log")
    live(here, 120)
    here.world.upgrade(NEW)
    here.world.push("team/app", "new log")
    live(here, 120)
    assert tags(here.news) == ["old log", "new log"]
    live(here, 1800)
    assert said(here) == []


# -- what status says of it -----------------------------------------------------------------------------


def shown(here: Site, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The lines of `status`, by their name."""
    stands = standing(here.store, here.config, here.clock.now)
    found = diagnose(stands, Here("start", "poller"), UTC, here.clock.now)
    show.write(status_page(stands, found, UTC, here.clock.now))
    return {line[:12].strip(): line[12:] for line in capsys.readouterr().out.splitlines()}


def test_status_says_from_when_to_when_a_log_is_complete(polled: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    """From the first run on, or from further back if a backfill adjoins it."""
    here = polled()
    began = here.store.cursors()["audit_log_ext"].created_at
    live(here, 300)
    assert (
        f"complete from {began:%Y-%m-%d %H:%M:%S} to {here.clock.now:%Y-%m-%d %H:%M:%S}, "
        in shown(here, capsys)["read"]
    )
    here.store.cover(Coverage("past:audit_log_ext", began - timedelta(days=9), began - timedelta(days=7)))
    assert standing(here.store, here.config, here.clock.now).covered[0].since == began
    here.store.cover(Coverage("past:audit_log_ext", began - timedelta(days=7), began + timedelta(minutes=1)))
    assert standing(here.store, here.config, here.clock.now).covered[0].since == began - timedelta(days=9)
    assert shown(here, capsys)["pauses"] == "none in the last 7 days"


def test_status_names_gaps_with_their_reason_and_remedy(polled: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that go on, those that are over, and not those that were closed since."""
    here = polled()
    assert shown(here, capsys)["gaps"] == "none"
    give(here, Role.SYSTEM_ROBOT_NOTHING)
    live(here, 600)
    assert shown(here, capsys)["gaps"].endswith(
        "until now: no right to read the log; closes itself when the right is given back"
    )
    assert "but for the gaps" in shown(here, capsys)["read"]
    give(here, Role.SYSTEM_ROBOT_FULL)
    live(here, 300)
    assert shown(here, capsys)["gaps"] == "none"
    here.clock.advance(2 * A_DAY)
    here.world.push("team/app", "lost")
    here.clock.advance(A_DAY)
    here.world.purge(before=here.clock.now - timedelta(hours=2))
    here.world.push("team/app", "left")
    live(here, 60)
    assert shown(here, capsys)["gaps"].endswith(
        "(at most 1 row): purged before it was read; lost, for Harbor has no rows of it"
    )
    facts = standing(here.store, here.config, here.clock.now).to_json()["gaps"]
    assert [(gap["reason"], gap["rows"], bool(gap["closed"])) for gap in facts] == [
        ("no rights", None, True),
        ("purged", 1, False),
    ]
