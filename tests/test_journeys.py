"""The poller's way through everything that may happen to a Harbor, its log, its network and its rights.

In process, on SQLite, against the HTTP stand-in; a clock that the test moves. What is checked throughout: which events
are to be told, once each and in order, and that no question to Harbor was rude.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests

from demo.door import Call, Door, Reply
from demo.harbor import ALWAYS, Account, Fault, Generation, HarborStandIn, Outcome, Role, World
from poller.backfill import Backfill, Wanted
from poller.errors import HarborUnreachable, NotAllowed, PollerError, Temporary, WrongCredentials
from poller.events import Event, EventType
from poller.values import replace
from state import SCANNERS_OWN, Mode
from tests.harness import NOON, Clock, Site, site

SYSTEM = Account("robot$poller", "demo-secret", Role.SYSTEM_ROBOT_FULL)
SCOPED = Account("robot$poller", "demo-secret", Role.SYSTEM_ROBOT_ALL_PROJECTS)
OF_TEAM = Account("robot$team+poller", "demo-secret", Role.PROJECT_ROBOT)
BLIND = Account("robot$poller", "demo-secret", Role.SYSTEM_ROBOT_NOTHING)

NEW, LAST_OLD, FIRST_USERS = Generation.V2_16, Generation.V2_12, Generation.V2_8
generations = pytest.mark.parametrize("generation", list(Generation), ids=lambda generation: generation.name)
readers = pytest.mark.parametrize("account", [SYSTEM, SCOPED, OF_TEAM], ids=["system", "all projects", "project"])
some = pytest.mark.parametrize(
    ("generation", "account"),
    [(NEW, SYSTEM), (NEW, SCOPED), (LAST_OLD, OF_TEAM), (FIRST_USERS, SYSTEM)],
    ids=["V2_16-system", "V2_16-all projects", "V2_12-project", "V2_8-system"],
)

Opened = Callable[..., Site]
NO_SWEEP = "[schedule]\nsweep = 'off'"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Opens a Harbor with the projects `team` and `public`, and a poller that has not polled yet."""
    contexts = []

    def open_(generation: Generation = NEW, account: Account = SYSTEM, **more: Any) -> Site:
        clock = Clock()
        world = World(generation, clock=clock.tick)
        world.create_project("team")
        world.create_project("public", public=True)
        context = site(tmp_path, world, clock, account, **more)
        contexts.append(context)
        return context.__enter__()

    yield open_
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture
def polled(opened: Opened) -> Opened:
    """The same, with a push of `team/app:old`, and polled once after that."""

    def open_(generation: Generation = NEW, account: Account = SYSTEM, **more: Any) -> Site:
        here = opened(generation, account, **more)
        here.world.push("team/app", "old")
        here.poll()
        return here

    return open_


def tags(events: list[Event]) -> list[str | None]:
    """Of what happened in Harbor, that is: what was not seen of it is told in tests/test_coverage.py."""
    return [event.tag for event in events if event.type is not EventType.COVERAGE]


def push_many(here: Site, number: int, first: int = 0) -> list[str | None]:
    """Push so many artifacts, and return their tags."""
    names: list[str | None] = []
    for n in range(first, first + number):
        names.append(f"n{n}")
        here.world.push("team/app", f"n{n}")
    return names


# -- the beginning --------------------------------------------------------------------------------------


@generations
@readers
def test_the_first_run_tells_nothing_old(opened: Opened, generation: Generation, account: Account) -> None:
    """What happened before the first run is not told, nor recorded; what happens after it is."""
    here = opened(generation, account)
    here.world.push("team/app", "old")
    here.world.pull("team/app", "old", "ann")
    here.clock.advance(10)
    here.poll()
    assert here.events == []
    here.world.push("team/app", "new")
    here.poll()
    assert tags(here.news) == ["new"]


@generations
@pytest.mark.parametrize("role", [Role.SYSTEM_ROBOT_FULL, Role.SYSTEM_ROBOT_ALL_PROJECTS, Role.SYSTEM_ROBOT_AUDIT])
def test_a_log_that_is_empty_at_first(tmp_path: Path, generation: Generation, role: Role) -> None:
    """On a Harbor where nothing ever happened, the very first event is told."""
    clock = Clock()
    account = Account("robot$poller", "demo-secret", role)
    with site(tmp_path, World(generation, clock=clock.tick), clock, account) as here:
        here.poll()
        here.poll()
        here.world.push("library/app", "first")
        here.poll(after=100)
        here.poll(after=100)
        assert tags(here.news) == ["first"]


def test_a_restart_tells_what_was_missed(polled: Opened) -> None:
    """What happened while no poller was there is told when one comes back, however late."""
    here = polled()
    here.stop()
    names = push_many(here, 3)
    here.clock.advance(3 * 86400)
    here.start()
    here.poll()
    assert tags(here.news) == names


# -- nothing new ----------------------------------------------------------------------------------------


@generations
def test_nothing_new_is_one_request(polled: Opened, generation: Generation) -> None:
    """A poll that finds nothing costs Harbor one request: at once, after news, after a restart, later that hour."""
    here = polled(generation, more=NO_SWEEP)
    for busy in (False, True):
        if busy:
            here.world.push("team/app", "new")
            here.poll()
        for after in (1, 5, 60):
            assert len(here.requests_of_poll(after)) == 1
            here.restart()
            assert len(here.requests_of_poll(after)) == 1
    assert tags(here.news) == ["new"]


def test_nothing_new_is_one_request_where_nothing_ever_happened(opened: Opened) -> None:
    """Also on a log without rows."""
    here = opened()
    here.world.purge(before=here.clock.now + timedelta(days=1))
    here.poll()
    here.restart()
    assert [len(here.requests_of_poll()) for _ in range(3)] == [1, 1, 1]


def test_a_failed_look_up_does_not_make_idle_polls_dearer(polled: Opened) -> None:
    """What could not be looked up is not asked for again and again."""
    here = polled(LAST_OLD)
    here.world.push("team/app", "new")
    here.standin.fail(Fault.BAD_GATEWAY, times=ALWAYS, path="/repositories/")
    here.poll()
    here.standin.heal()
    assert [len(here.requests_of_poll()) for _ in range(3)] == [1, 1, 1]


def test_the_server_is_looked_at_again_every_ten_minutes(polled: Opened) -> None:
    """That is what notices an upgrade: a handful of requests, and then one a poll again."""
    here = polled()
    assert 1 < len(here.requests_of_poll(after=601)) < 6
    assert len(here.requests_of_poll()) == 1


# -- rows that come late or go --------------------------------------------------------------------------


@readers
@pytest.mark.parametrize(("generation", "delay"), [(NEW, 105), (LAST_OLD, 60), (FIRST_USERS, 1)])
def test_a_row_that_becomes_visible_late(
    polled: Opened, generation: Generation, account: Account, delay: float
) -> None:
    """A row that shows up to 110 s after rows with higher ids is told, once."""
    here = polled(generation, account)
    here.world.push("team/app", "before")
    here.poll(after=1)
    here.world.hold_row()
    here.world.push("team/app", "late")
    here.world.push("team/app", "after")
    here.poll(after=1)
    for _ in range(3):
        here.poll(after=delay / 3)
    assert tags(here.news) == ["before", "after"]
    here.world.release()
    here.poll(after=1)
    here.restart()
    here.poll()
    assert tags(here.news) == ["before", "after", "late"]


def test_late_rows_in_the_midst_of_a_flood(polled: Opened) -> None:
    """Hundreds of rows after the hidden one do not push it out of sight."""
    here = polled()
    here.world.hold_row()
    here.world.push("team/app", "late")
    names = push_many(here, 350)
    here.poll(after=1)
    here.world.release()
    here.poll(after=30)
    assert tags(here.news) == [*names, "late"]


def test_ids_that_were_skipped_for_good(polled: Opened) -> None:
    """An insert that was rolled back leaves a gap. It is read again for two minutes, and costs nothing after that."""
    here = polled()
    here.world.hold_row()
    here.world.push("team/app", "lost")
    here.world.push("team/app", "new")
    here.poll()
    assert len(here.requests_of_poll()) == 1
    here.poll(after=150)
    before = here.harbor.requests_sent
    here.poll()
    assert here.harbor.requests_sent == before + 1
    assert tags(here.news) == ["new"]


@pytest.mark.parametrize(("generation", "pushed_since"), [(NEW, 1), (NEW, 5), (NEW, 9), (FIRST_USERS, 3)])
def test_a_restored_database(polled: Opened, generation: Generation, pushed_since: int) -> None:
    """Ids go backwards and come again with other rows: none of these is lost, nothing is told again."""
    here = polled(generation)
    kept = here.world.newest_id + 2
    before = push_many(here, 5)
    here.poll()
    here.world.restore(kept)
    since = push_many(here, pushed_since, first=100)
    here.poll()
    here.poll()
    more = push_many(here, 2, first=200)
    here.poll()
    assert tags(here.news) == [*before, *since, *more]
    assert len(here.requests_of_poll()) == 1


def test_a_stop_while_the_place_is_found_again(polled: Opened) -> None:
    """A daemon that is told to stop in the middle of that has not skipped what it had not read."""
    here = polled(NEW)
    kept = here.world.newest_id + 2
    before = push_many(here, 5)
    here.poll()
    here.world.restore(kept)
    since = push_many(here, 250, first=100)
    here.poller.stop()
    here.poll()
    here.restart()
    here.poll()
    assert tags(here.news) == [*before, *since]


def test_a_place_is_found_again_by_closed_windows_and_first_pages(polled: Opened) -> None:
    """However many rows there are since: Harbor counts no hour twice as a whole, and reads no deep page."""
    here = polled(NEW)
    kept = here.world.newest_id + 2
    before = push_many(here, 5)
    here.poll()
    here.world.restore(kept)
    here.clock.advance(7200)
    since = push_many(here, 250, first=100)
    asked = [each for each in here.requests_of_poll() if "op_time" in each.params.get("sort", "")]
    assert tags(here.news) == [*before, *since]
    assert all("~]" not in each.params["q"] for each in asked)
    assert {each.params["page"] for each in asked} == {"1"}


@pytest.mark.parametrize("is_late_at_once", [True, False])
def test_a_late_row_whose_id_comes_again_after_a_restore(polled: Opened, is_late_at_once: bool) -> None:
    """What was known of that id before the restore does not hide it, whether or not it is late when that is noticed."""
    here = polled(NEW)
    push_many(here, 10)
    here.poll()
    here.world.restore(here.world.newest_id - 3)
    if not is_late_at_once:
        here.world.push("team/app", "first")
        here.poll()
    here.world.hold_row()
    here.world.push("team/app", "late")
    here.world.push("team/app", "next")
    here.poll()
    here.world.release()
    here.poll()
    here.poll()
    assert tags(here.news)[-2:] == ["next", "late"]


def test_a_restored_database_for_a_reader_of_projects(polled: Opened) -> None:
    """The same, where projects are read one by one."""
    here = polled(NEW, SCOPED)
    kept = here.world.newest_id + 2
    before = push_many(here, 5)
    here.poll()
    here.world.restore(kept)
    since = push_many(here, 3, first=100)
    here.poll()
    here.poll()
    assert tags(here.news) == [*before, *since]


@readers
def test_rows_are_purged_while_it_is_quiet(polled: Opened, account: Account) -> None:
    """That the newest known row vanishes is nothing to tell, and what comes next is told."""
    here = polled(NEW, account)
    here.world.push("team/app", "new")
    here.poll()
    here.clock.advance(2 * 86400)
    here.world.purge(before=here.clock.now)
    here.poll()
    here.poll()
    assert tags(here.news) == ["new"]
    here.world.push("team/app", "newer")
    here.poll()
    assert tags(here.news) == ["new", "newer"]


def test_rows_are_purged_but_for_the_newest(polled: Opened) -> None:
    """The usual purge takes old rows only, and goes unnoticed."""
    here = polled()
    push_many(here, 30)
    here.poll()
    here.clock.advance(86400)
    here.world.push("team/app", "new")
    here.poll()
    told = len(here.news)
    here.world.purge(before=here.clock.now - timedelta(hours=1))
    assert len(here.requests_of_poll()) == 1
    assert len(here.news) == told


# -- another Harbor than before -------------------------------------------------------------------------


@readers
def test_an_upgrade_to_the_new_log(polled: Opened, account: Account) -> None:
    """Rows written just before the upgrade are told first, then those of the new log, whose ids begin at 1 again.

    While old cores still run, both logs get rows.
    """
    here = polled(LAST_OLD, account)
    here.world.push("team/app", "seen")
    here.poll()
    here.world.push("team/app", "last of the old")
    here.world.upgrade(NEW)
    here.world.push("team/app", "first of the new")
    here.poll(after=700)
    assert tags(here.news) == ["seen", "last of the old", "first of the new"]
    here.world.upgrade(LAST_OLD)
    here.world.push("team/app", "by an old core")
    here.world.upgrade(NEW)
    here.world.push("team/app", "by a new core")
    here.poll()
    assert sorted(tags(here.news)[3:], key=str) == ["by a new core", "by an old core"]
    here.poll(after=4000)
    if account is SYSTEM:
        assert len(here.requests_of_poll()) == 1


def test_an_upgrade_of_a_quiet_harbor_is_noticed(polled: Opened) -> None:
    """The old log goes on answering, without new rows; within ten minutes the new one is found and read."""
    here = polled(LAST_OLD)
    here.world.upgrade(NEW)
    names = push_many(here, 3)
    here.poll()
    assert here.news == []
    here.poll(after=605)
    assert tags(here.news) == names


def test_an_upgrade_during_an_outage_is_noticed_at_once(polled: Opened) -> None:
    """After every failure the server is looked at anew."""
    here = polled(LAST_OLD)
    here.standin.fail(Fault.REFUSED)
    with pytest.raises(HarborUnreachable):
        here.poll()
    here.world.upgrade(NEW)
    here.standin.heal()
    here.world.push("team/app", "new")
    here.poll()
    assert tags(here.news) == ["new"]


def test_an_upgrade_while_nobody_polled_is_noticed_by_the_first_watch(polled: Opened) -> None:
    """What is remembered at the start may be of before it: the first look, a minute later, asks for the new log."""
    here = polled(LAST_OLD)
    here.world.upgrade(NEW)
    names = push_many(here, 3)
    here.restart()
    here.poll()
    here.poll(after=60)
    here.poller.watch(here.clock.now)
    here.poll()
    assert tags(here.news) == names


def test_an_upgrade_that_is_taken_back(polled: Opened) -> None:
    """The new log's path is unknown then: an error once, and then the old log is read on from where it was left."""
    here = polled(LAST_OLD)
    here.world.upgrade(NEW)
    here.world.push("team/app", "in the new log")
    here.poll(after=700)
    here.world.upgrade(LAST_OLD)
    here.world.push("team/app", "in the old log")
    with pytest.raises(PollerError):
        here.poll(after=5)
    here.poll(after=5)
    here.poll(after=5)
    assert tags(here.news) == ["in the new log", "in the old log"]


def test_another_harbor_at_the_same_address_that_is_older(polled: Opened) -> None:
    """Its old log was never read: it begins now, its past is not told."""
    here = polled(NEW)
    here.world.upgrade(LAST_OLD)
    here.world.push("team/app", "long ago")
    here.clock.advance(3 * 3600)
    here.world.push("team/app", "a while ago")
    here.clock.advance(60)
    here.poll()
    here.world.push("team/app", "new")
    here.poll()
    assert tags(here.news) == ["new"]


# -- projects and rights --------------------------------------------------------------------------------


@generations
def test_a_project_created_after_the_start(polled: Opened, generation: Generation) -> None:
    """A reader of projects finds a new one within a minute or so, and tells all that happened in it."""
    here = polled(generation, SCOPED)
    here.poll()
    here.world.create_project("fresh")
    here.world.push("fresh/app", "first")
    here.world.push("team/app", "meanwhile")
    here.poll(after=5)
    here.world.push("fresh/app", "second")
    here.poll(after=80)
    here.poll(after=5)
    assert sorted(tags(here.news), key=str) == ["first", "meanwhile", "second"]


def test_a_project_that_is_deleted(polled: Opened) -> None:
    """The others are read on."""
    here = polled(NEW, SCOPED)
    here.world.create_project("brief")
    here.poll(after=90)
    here.world.delete_project("brief")
    here.world.push("team/app", "new")
    for _ in range(3):
        poll_in_spite_of_errors(here, after=5)
    assert tags(here.news) == ["new"]


def poll_in_spite_of_errors(here: Site, after: float = 5) -> PollerError | None:
    try:
        here.poll(after)
    except PollerError as error:
        return error
    return None


def give(here: Site, role: Role) -> None:
    """Change what the poller's account may do."""
    name = here.account.name
    here.standin.accounts[name] = replace(here.standin.accounts[name], role=role)


@generations
@pytest.mark.parametrize(
    ("account", "less"),
    [(SYSTEM, Role.SYSTEM_ROBOT_NOTHING), (SCOPED, Role.SYSTEM_ROBOT_NOTHING), (OF_TEAM, Role.PROJECT_ROBOT_NOLOG)],
    ids=["system", "all projects", "project"],
)
def test_a_right_is_lost_and_comes_back(polled: Opened, generation: Generation, account: Account, less: Role) -> None:
    """That the log may not be read any more is an error at every poll, never silence.

    When the right is back, what happened meanwhile is told, and nothing twice.
    """
    here = polled(generation, account)
    here.world.push("team/app", "before")
    here.poll()
    give(here, less)
    here.world.push("team/app", "meanwhile")
    errors = [poll_in_spite_of_errors(here) for _ in range(3)]
    assert all(isinstance(error, NotAllowed) for error in errors)
    assert tags(here.news) == ["before"]
    give(here, account.role)
    here.poll()
    here.poll()
    assert tags(here.news) == ["before", "meanwhile"]


@generations
def test_from_the_whole_log_to_projects_and_back(polled: Opened, generation: Generation) -> None:
    """An account that loses the whole log but not its projects is read on there, and the other way round."""
    here = polled(generation, SYSTEM)
    here.world.push("team/app", "1")
    here.poll()
    give(here, Role.SYSTEM_ROBOT_ALL_PROJECTS)
    here.world.push("team/app", "2")
    here.poll()
    here.world.push("team/app", "3")
    here.poll()
    give(here, Role.SYSTEM_ROBOT_FULL)
    here.world.push("team/app", "4")
    here.poll(after=100)
    here.world.push("team/app", "5")
    here.poll(after=100)
    assert tags(here.news) == ["1", "2", "3", "4", "5"]


def test_a_blind_account_is_an_error_on_the_new_log(opened: Opened) -> None:
    """Harbor answers it 200 and an empty list; the poll says which right to grant, every time."""
    here = opened(NEW, BLIND)
    for _ in range(3):
        with pytest.raises(NotAllowed, match="audit log: list"):
            here.poll()
    give(here, Role.SYSTEM_ROBOT_FULL)
    here.world.push("team/app", "old")
    here.poll()
    here.world.push("team/app", "new")
    here.poll()
    assert tags(here.news) == ["new"]


def test_a_blind_account_before_the_new_log(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    """There it cannot be told from a Harbor where nothing ever happened: a warning, with the remedy.

    When the right is granted later, the history that shows then is not told as news.
    """
    here = opened(FIRST_USERS, BLIND)
    here.world.push("team/app", "long ago")
    here.clock.advance(30 * 86400)
    here.world.push("team/app", "old")
    here.poll()
    assert "audit.nothing_visible" in caplog.text
    here.poll()
    give(here, Role.SYSTEM_ROBOT_AUDIT)
    here.poll(after=100)
    here.poll(after=100)
    assert tags(here.news) == []
    here.world.push("team/app", "new")
    here.poll()
    assert tags(here.news) == ["new"]


def test_a_project_that_is_configured_but_closed_to_us(polled: Opened) -> None:
    """The others are read on; one that is opened later is told from then on."""
    here = polled(NEW, OF_TEAM, harbor="projects = ['team', 'public']")
    here.world.push("team/app", "new")
    here.world.push("public/site", "unseen")
    here.poll()
    assert tags(here.news) == ["new"]


# -- rows that cannot be understood ---------------------------------------------------------------------

EVERY_EVENT = "[events]\n" + "\n".join(f"{name} = true" for name in EventType)


@pytest.mark.parametrize(
    ("operation", "resource_type", "resource"),
    [
        ("pull", "artifact", "no-slash:1"),
        ("create", "artifact", "team/app"),
        ("create", "artifact", ""),
        ("delete", "repository", "no-slash"),
        ("replicate", "artifact", "team/app:1"),
        ("create", "spaceship", "team/app:1"),
        ("", "", ""),
        ("\u202e<b>*_", "artifact", "team/app:1"),
    ],
)
def test_an_odd_row_is_told_as_such(polled: Opened, operation: str, resource_type: str, resource: str) -> None:
    """A row that nobody has heard of becomes an event that says so, and does not block the line."""
    here = polled(NEW, more=EVERY_EVENT)
    here.world.push("team/app", "before")
    here.world.write_row(operation, resource_type, resource, "ann")
    here.world.push("team/app", "after")
    here.poll()
    here.poll()
    assert [event.type for event in here.news] == ["PUSH_ARTIFACT", "NOT_UNDERSTOOD", "PUSH_ARTIFACT"]
    assert here.news[1].subject.split() == f"{operation} {resource_type} {resource}".split() or not operation


class Meddler:
    """Stands between the poller and Harbor, and changes rows of the audit log, told by their id, on their way."""

    def __init__(self, standin: HarborStandIn) -> None:
        self.changes: dict[int, dict[str, Any]] = {}
        self._standin = standin
        self._session = requests.Session()
        self._door = Door(self._answer)

    def __enter__(self) -> Meddler:
        self._door.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()
        self._session.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._door.port}"

    def _answer(self, call: Call) -> Reply:
        headers = {"Authorization": call.headers.get("authorization", "")}
        said = self._session.get(self._standin.url + call.path, headers=headers, timeout=5)
        content = said.content
        if call.path.partition("?")[0].endswith(("logs", "auditlog-exts")) and said.status_code == 200:
            content = json.dumps([self._changed(row) for row in said.json()]).encode()
        return Reply(said.status_code, content)

    def _changed(self, row: dict[str, Any]) -> dict[str, Any]:
        changed = {**row, **self.changes.get(row["id"], {})}
        return {key: value for key, value in changed.items() if value is not ...}


@pytest.mark.parametrize("generation", [FIRST_USERS, NEW], ids=["V2_8", "V2_16"])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"id": ...}, "PUSH_ARTIFACT"),
        ({"id": "not a number"}, "PUSH_ARTIFACT"),
        ({"op_time": ...}, "PUSH_ARTIFACT"),
        ({"op_time": "yesterday"}, "PUSH_ARTIFACT"),
        ({"operation": None, "resource": None, "resource_type": None, "username": None}, "NOT_UNDERSTOOD"),
        ({"resource": {"name": "team/app"}}, "NOT_UNDERSTOOD"),
        ({"operation": 7}, "NOT_UNDERSTOOD"),
        ({"username": None}, "PUSH_ARTIFACT"),
        ({"a new field": [1, 2]}, "PUSH_ARTIFACT"),
    ],
    ids=lambda value: json.dumps(value, default=str) if isinstance(value, dict) else "",
)
def test_a_row_that_is_not_as_promised(
    tmp_path: Path, generation: Generation, change: dict[str, Any], expected: str
) -> None:
    """Whatever is missing or odd in a row: it is told once, as well as may be, and the rows around it as ever."""
    clock = Clock()
    world = World(generation, clock=clock.tick)
    world.create_project("team")
    with HarborStandIn(world, [SYSTEM]) as standin, Meddler(standin) as meddler:
        here = Site(standin, clock, tmp_path, SYSTEM, more=EVERY_EVENT, url=meddler.url)
        here.poll()
        world.push("team/app", "before")
        meddler.changes[world.newest_id + 1] = change
        world.push("team/app", "odd")
        world.push("team/app", "after")
        for _ in range(3):
            here.poll()
            here.restart()
        world.push("team/app", "later")
        here.poll()
        here.stop()
    pushes = [event.tag for event in here.news if event.tag != "odd"]
    assert pushes.count(None) == (expected == "NOT_UNDERSTOOD")
    assert [tag for tag in pushes if tag] == ["before", "after", "later"]
    odd = [event for event in here.news if event.tag in ("odd", None)]
    assert [event.type for event in odd] == [expected]


# -- floods and faults ----------------------------------------------------------------------------------


@some
def test_more_rows_than_a_page_holds(polled: Opened, generation: Generation, account: Account) -> None:
    """All are told in their order, with one request for every hundred."""
    here = polled(generation, account)
    for _ in range(250):
        here.world.pull("team/app", "old", "ann")
    polled_requests = here.requests_of_poll()
    assert len([each for each in polled_requests if each.path.endswith(("logs", "-exts"))]) <= 3 + 2
    assert [event.source_id for event in here.news] == sorted(event.source_id for event in here.news)
    assert len(here.news) == 250
    assert len(here.requests_of_poll()) <= 3  # one for each log


FAULTS = [
    Fault.BAD_GATEWAY,
    Fault.GATEWAY_TIMEOUT,
    Fault.INTERNAL,
    Fault.HTML,
    Fault.TRUNCATED,
    Fault.DROPPED,
    Fault.SLOW,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_between_two_pages(polled: Opened, fault: Fault) -> None:
    """What came before it is kept, the rest is read at the next poll; nothing is lost, nothing told twice."""
    here = polled(NEW, timeout=0.3)
    names = push_many(here, 250)
    second_page = f"q=id%3D%5B{here.world.newest_id - 250 + 100}~"
    here.standin.fail(fault, times=2, path=second_page, seconds=0.7)
    with pytest.raises(PollerError):
        here.poll()
    assert tags(here.news) == names[:99]
    here.standin.heal()
    here.restart()
    here.poll()
    here.poll()
    assert tags(here.news) == names


@some
def test_faults_at_every_request(polled: Opened, generation: Generation, account: Account) -> None:
    """Wherever in a poll Harbor fails, the polls after it make up for it."""
    here = polled(generation, account)
    names: list[str | None] = []
    for number, fault in enumerate([Fault.BAD_GATEWAY, Fault.HTML, Fault.TRUNCATED, Fault.UNAVAILABLE]):
        for path in ("/systeminfo", "log", "/repositories/", "/projects?"):
            names += push_many(here, 2, first=len(names))
            here.standin.fail(fault, times=1 + number % 2, path=path)
            poll_in_spite_of_errors(here)
            here.standin.heal()
            here.poll(after=1)
    assert tags(here.news) == names


def test_harbor_is_away_for_an_hour(polled: Opened) -> None:
    """Each poll says so; afterwards everything is told in its order."""
    here = polled()
    here.standin.fail(Fault.REFUSED)
    names: list[str | None] = []
    for _ in range(12):
        names += push_many(here, 5, first=len(names))
        with pytest.raises(HarborUnreachable):
            here.poll(after=300)
    here.standin.heal()
    here.poll()
    assert tags(here.news) == names


@generations
def test_a_passing_401(polled: Opened, generation: Generation) -> None:
    """Somebody else's typo locks the name for a moment: the poll waits, and goes on."""
    here = polled(generation)
    here.world.push("team/app", "new")
    here.standin.fail(Fault.UNAUTHORIZED, times=2)
    here.poll()
    assert tags(here.news) == ["new"]


def test_a_lasting_401(polled: Opened) -> None:
    """The password was changed: an error that the operator must mend; after that nothing is lost."""
    here = polled()
    here.world.push("team/app", "new")
    here.standin.fail(Fault.UNAUTHORIZED, times=ALWAYS)
    with pytest.raises(WrongCredentials):
        here.poll()
    here.standin.heal()
    here.poll()
    assert tags(here.news) == ["new"]


@pytest.mark.parametrize("generation", [FIRST_USERS, LAST_OLD], ids=["V2_8", "V2_12"])
@pytest.mark.parametrize("fault", [Fault.BAD_GATEWAY, Fault.HTML, Fault.TRUNCATED, Fault.INTERNAL])
def test_look_ups_that_fail(polled: Opened, generation: Generation, fault: Fault) -> None:
    """The events are told without their digests, and Harbor is left alone after a few failures, however many rows."""
    here = polled(generation)
    names = push_many(here, 220)
    here.standin.fail(fault, times=ALWAYS, path="/repositories/")
    asked = [each for each in here.requests_of_poll() if "/repositories/" in each.path]
    assert len(asked) <= 5
    assert tags(here.news) == names
    assert {event.digest for event in here.news} == {None}
    here.standin.heal()
    here.world.push("team/app", "new")
    here.poll()
    assert here.news[-1].digest is not None


def test_look_ups_that_are_not_allowed(polled: Opened) -> None:
    """A robot that may list the log and nothing else tells every event; each right is asked for once a poll."""
    here = polled(LAST_OLD, Account("robot$poller", "demo-secret", Role.SYSTEM_ROBOT_AUDIT), more=NO_SWEEP)
    names = push_many(here, 20)
    asked = [each.path for each in here.requests_of_poll() if "/repositories/" in each.path]
    assert len(asked) == len(set(asked)) == 2
    assert tags(here.news) == names
    assert {event.repository.is_public for event in here.news if event.repository} == {False}


def test_look_ups_of_what_is_gone(polled: Opened) -> None:
    """What was pushed and deleted between two polls is told, with what is known."""
    here = polled(LAST_OLD)
    for number in range(5):
        here.world.push(f"team/brief{number}", "1")
        here.world.delete_repository(f"team/brief{number}")
    here.poll()
    assert [event.type for event in here.news] == ["PUSH_ARTIFACT", "DELETE_ARTIFACT"] * 5


# -- what is told, and what is not ----------------------------------------------------------------------


@pytest.mark.parametrize("account", [SYSTEM, SCOPED], ids=["system", "projects"])
def test_only_the_configured_projects_are_told(polled: Opened, account: Account) -> None:
    """`harbor.projects` limits what is told, what is looked up, and where it can be, what is read."""
    here = polled(LAST_OLD, account, harbor="projects = ['team']")
    before = len(here.standin.requests)
    here.world.push("team/app", "ours")
    here.world.push("public/site", "theirs")
    here.poll()
    assert tags(here.news) == ["ours"]
    paths = [each.path for each in here.standin.requests[before:]]
    assert not [path for path in paths if "/projects/public" in path]
    if account is SYSTEM:
        assert here.reasons() == {"theirs": "harbor.projects does not name its project"}


def test_events_that_are_switched_off(polled: Opened) -> None:
    """They are recorded with the setting's name, and not told."""
    here = polled(more="[events]\nPULL_ARTIFACT = false")
    here.world.push("team/app", "new")
    here.world.pull("team/app", "old", "ann")
    here.poll()
    assert tags(here.news) == ["new"]
    assert here.reasons() == {"old": "events.PULL_ARTIFACT = false"}


@some
def test_pulls_that_nobody_wants_are_not_fetched(polled: Opened, generation: Generation, account: Account) -> None:
    """With pulls and scans off, Harbor is asked for the other operations only; all that is wanted is still told."""
    off = ("PULL_ARTIFACT", "SCANNING_COMPLETED", "SCANNING_STOPPED", "SCANNING_FAILED")
    here = polled(generation, account, more="[events]\n" + "\n".join(f"{name} = false" for name in off))
    names: list[str | None] = []
    for number in range(4):
        for _ in range(30):
            here.world.pull("team/app", "old", "ann")
        names += push_many(here, 3, first=3 * number)
        here.poll()
        if number == 1:
            here.restart()
    assert tags(here.news) == names
    assert {event.type for event in here.events} == {EventType.PUSH_ARTIFACT}
    asked = here.requests_of_poll()
    assert all("operation={" in each.params["q"] and "pull" not in each.params["q"] for each in asked)
    assert len([each for each in asked if "/projects/public/" not in each.path and "/library/" not in each.path]) == 1


@generations
def test_scanners_at_work_are_not_told(polled: Opened, generation: Generation) -> None:
    """A scanner's pull and its robot are parts of the scan: recorded, with the reason, and not told. The result is."""
    here = polled(generation, more=EVERY_EVENT)
    here.world.scan("team/app", "old", Outcome.SUCCESS, {"High": 1}, asked_by="ann")
    here.poll(after=6)
    here.poll(after=70)  # before 2.12 nothing says that somebody asked: it may be one of many
    assert [event.type for event in here.news] == ["SCANNING_COMPLETED"]
    robots = {EventType.ROBOT_CREATED, EventType.ROBOT_DELETED} if generation is not FIRST_USERS else set()
    assert {event.type for event in here.events} == {EventType.SCANNING_COMPLETED, EventType.PULL_ARTIFACT} | robots
    assert set(here.reasons().values()) == {SCANNERS_OWN}


UUID_OF_LONG_AGO = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
RANDOM_UUID = UUID("0b5ad2cf-4a8a-4b52-9a5c-5c0fd6c4a5ab")


@pytest.mark.parametrize(
    "name",
    [
        f"robot$team+kqzvbnwt-Trivy-{UUID_OF_LONG_AGO}",
        f"robot$team+kqzvbnwt-Trivy-{RANDOM_UUID}",
        "robot$team+kqzvbnwt-Trivy-nightly",
        "robot$team+scanner",
        "robot$scanner-Trivy",
    ],
)
def test_a_persons_robot_that_looks_like_a_scanners(polled: Opened, name: str) -> None:
    """Names are free. Only a name made for this scan, minutes ago, is a scanner's: the pulls of others are told."""
    here = polled()
    here.world.pull("team/app", "old", name)
    here.poll()
    assert [event.operator for event in here.news] == [name]


def test_a_robot_of_another_project_is_no_scanner(polled: Opened) -> None:
    """A scanner's robot belongs to the project that it scans."""
    here = polled()
    [scan] = here.world.start_scan("team/app", "old")
    here.world.push("public/site", "1")
    here.world.pull("public/site", "1", scan.robot)
    here.poll()
    assert [(event.type, event.operator) for event in here.news][-1] == ("PULL_ARTIFACT", scan.robot)


# -- what rows do not say -------------------------------------------------------------------------------


def repository_types(here: Site) -> list[bool | None]:
    return [event.repository.is_public for event in here.news if event.repository]


def test_a_project_is_made_public(polled: Opened) -> None:
    """The newest Harbor logs the change, and it is heeded from then on."""
    here = polled(NEW)
    here.world.push("team/app", "1")
    here.poll()
    here.world.update_project("team", public=True)
    here.world.push("team/app", "2")
    here.poll()
    assert repository_types(here) == [False, True]


@generations
def test_a_project_is_made_public_without_a_trace(polled: Opened, generation: Generation) -> None:
    """Where no row tells, the change is found within ten minutes."""
    here = polled(generation)
    here.world.push("team/app", "1")
    here.poll()
    here.world.audit_database = False
    here.world.update_project("team", public=True)
    here.world.audit_database = True
    here.clock.advance(601)
    here.world.push("team/app", "2")
    here.poll()
    assert repository_types(here) == [False, True]


@generations
@pytest.mark.parametrize("is_polled_often", [True, False])
def test_tags_of_deletions(polled: Opened, generation: Generation, is_polled_often: bool) -> None:
    """A deletion names only a digest; told is the tag that was pushed last, of those that were left.

    Also where pushes and deletions are read at once, if the digests can still be known.
    """
    here = polled(generation)

    def settle() -> None:
        if is_polled_often or generation is not NEW:
            here.poll(after=1)

    world = here.world
    first = world.push("team/app", "v1", content="first")
    settle()
    second = world.push("team/app", "v1", content="second")  # takes the tag away
    settle()
    third = world.push("team/app", "v2", content="third")
    world.push("team/app", "latest", content="third")
    settle()
    fourth = world.push("team/app", "v3", content="fourth")
    world.push("team/app", "v4", content="fourth")
    settle()
    world.delete_tag("team/app", "v4")
    for digest in (first, second, third, fourth):
        world.delete_artifact("team/app", digest)
    here.poll()
    deletions = [event for event in here.news if event.type is EventType.DELETE_ARTIFACT]
    assert [event.reference for event in deletions] == [first, "v1", "latest", "v3"]


@generations
def test_a_tag_from_the_user_interface(polled: Opened, generation: Generation) -> None:
    """It is no event that is told by default, but a later deletion names it."""
    here = polled(generation)
    digest = here.world.push("team/app", None)
    here.world.create_tag("team/app", digest, "release")
    here.poll()
    here.world.delete_artifact("team/app", digest)
    here.poll()
    assert [(event.type, event.tag) for event in here.news][-1] == ("DELETE_ARTIFACT", "release")


# -- the past -------------------------------------------------------------------------------------------


def backfill(
    here: Site,
    since: datetime,
    *,
    is_dry: bool = False,
    is_told: bool = True,
    windows: int | None = None,
    **wanted: frozenset[Any],
) -> Backfill:
    """Read the past, or as many windows of it before somebody interrupts."""
    job = Backfill(
        here.harbor, here.store, here.poller, Wanted(since, here.clock.now, **wanted), is_dry=is_dry, is_told=is_told
    )
    for window in job.windows(here.clock.now)[:windows]:
        job.read(window, here.clock.now)
    if windows is None:
        here.store.hold(Mode.DIGEST, until=None)
    return job


@pytest.fixture
def with_a_past(opened: Opened) -> Opened:
    """A Harbor on which somebody pushes every hour for two days, polled once at the end."""

    def open_(generation: Generation = NEW, account: Account = SYSTEM) -> Site:
        here = opened(generation, account)
        for number in range(48):
            here.world.push("team/app", f"past{number}")
            here.world.pull("team/app", f"past{number}", "ann")
            here.clock.advance(3600)
        here.poll()
        return here

    return open_


PAST = [f"past{number}" for number in range(48)]


@generations
@pytest.mark.parametrize("account", [SYSTEM, SCOPED], ids=["system", "projects"])
def test_the_past_is_told(with_a_past: Opened, generation: Generation, account: Account) -> None:
    """All of it, in order, each once, by closed windows that never hold much more than they must."""
    here = with_a_past(generation, account)
    before = len(here.standin.requests)
    job = backfill(here, NOON)
    assert job.found.to_tell == 96
    assert tags(here.news) == [tag for tag in PAST for _ in range(2)]
    assert {event.digest for event in here.news} != {None}
    asked = [each for each in here.standin.requests[before:] if each.path.endswith(("logs", "-exts"))]
    assert all("~]" not in each.params["q"] for each in asked)


def test_the_past_is_not_told_again(with_a_past: Opened) -> None:
    """A second backfill finds nothing new, and does not even ask for the windows that were read to their end."""
    here = with_a_past()
    backfill(here, NOON)
    before = len(here.standin.requests)
    job = backfill(here, NOON)
    assert job.found.to_tell == 0
    assert len(here.standin.requests) - before < 10
    assert len(here.news) == 96


def test_what_was_polled_is_not_told_again(with_a_past: Opened) -> None:
    """A backfill over a time that was polled leaves alone what is known; a poll after it finds nothing."""
    here = with_a_past()
    names = push_many(here, 3)
    here.poll()
    job = backfill(here, here.clock.now - timedelta(hours=2))
    assert tags(here.news)[:3] == names
    assert job.found.known == 3
    assert len(here.news) == 3 + job.found.to_tell
    assert here.poll().new == 0


def test_an_interrupted_backfill_goes_on(with_a_past: Opened) -> None:
    """It goes on behind the last window that was read to its end, in another process too."""
    here = with_a_past()
    backfill(here, NOON, windows=20)
    assert 0 < len(here.events) < 96
    here.restart()
    before = len(here.standin.requests)
    backfill(here, NOON)
    assert tags(here.news) == [tag for tag in PAST for _ in range(2)]
    asked = [each for each in here.standin.requests[before:] if each.path.endswith("-exts")]
    assert len(asked) < 48


def test_a_backfill_that_is_broken_off_by_harbor(with_a_past: Opened) -> None:
    """The error is raised; what was read is kept, and the next attempt reads the rest."""
    here = with_a_past()
    job = Backfill(here.harbor, here.store, here.poller, Wanted(NOON, here.clock.now), is_dry=False, is_told=True)
    windows = job.windows(here.clock.now)
    for window in windows[:10]:
        job.read(window, here.clock.now)
    here.standin.fail(Fault.BAD_GATEWAY)
    with pytest.raises(Temporary):
        job.read(windows[10], here.clock.now)
    here.standin.heal()
    backfill(here, NOON)
    assert tags(here.news) == [tag for tag in PAST for _ in range(2)]


def test_a_backfill_that_is_not_to_be_told(with_a_past: Opened) -> None:
    """`--deliver none` records everything, and tells nothing."""
    here = with_a_past()
    job = backfill(here, NOON, is_told=False)
    assert job.found.to_tell == 0
    assert here.news == []
    assert tags([event for event in here.events if event.repository]) == [tag for tag in PAST for _ in range(2)]


def test_a_dry_backfill_changes_nothing(with_a_past: Opened) -> None:
    """It counts what would be told."""
    here = with_a_past()
    job = backfill(here, NOON, is_dry=True)
    assert job.found.to_tell == 96
    assert here.events == []
    assert backfill(here, NOON).found.to_tell == 96


def test_a_backfill_of_one_project_and_type(with_a_past: Opened) -> None:
    """Only what is asked for is recorded; a wider backfill later finds the rest."""
    here = with_a_past()
    kinds = frozenset({EventType.PULL_ARTIFACT})
    backfill(here, NOON, types=kinds, projects=frozenset({"team"}))
    assert {event.type for event in here.news} == kinds
    assert len(here.news) == 48
    backfill(here, NOON)
    assert len(here.news) == 96


def test_a_backfill_over_an_upgrade(opened: Opened) -> None:
    """The past lies in the old log, its end in the new one."""
    here = opened(LAST_OLD)
    here.world.push("team/app", "in the old log")
    here.clock.advance(7200)
    here.world.upgrade(NEW)
    here.world.push("team/app", "in the new log")
    here.clock.advance(3600)
    here.poll()
    backfill(here, NOON)
    assert tags(here.news) == ["in the old log", "in the new log"]


def test_a_backfill_knows_the_tags_of_deletions(with_a_past: Opened) -> None:
    """Deletions of long ago get their tags from the rows before them."""
    here = with_a_past()
    digest = here.world.push("team/app", "brief")
    here.world.delete_artifact("team/app", digest)
    here.clock.advance(4000)
    here.poll()
    backfill(here, here.clock.now - timedelta(hours=3))
    deletions = [event for event in here.news if event.type is EventType.DELETE_ARTIFACT]
    assert tags(deletions) == ["brief"]
