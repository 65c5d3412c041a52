"""The poller's way through everything that may happen to a Harbor, its log, its network and its rights.

In process, on SQLite, against the HTTP stand-in; a clock that the test moves. What is checked throughout: which events
are to be told, once each and in order, and that no question to Harbor was rude.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests

from demo.door import Call, Door, Reply
from demo.harbor import ALWAYS, Account, Fault, Generation, HarborStandIn, Outcome, Role, World
from poller.backfill import Backfill, Wanted
from poller.errors import HarborUnreachable, NotAllowed, OperatorError, PollerError, Temporary, WrongCredentials
from poller.events import Event, EventType
from tests.harness import NOON, Clock, Site, site

SYSTEM = Account("robot$poller", "demo-secret", Role.SYSTEM_ROBOT_FULL)
SCOPED = Account("robot$poller", "demo-secret", Role.SYSTEM_ROBOT_ALL_PROJECTS)
OF_TEAM = Account("robot$team+poller", "demo-secret", Role.PROJECT_ROBOT)
BLIND = Account("robot$poller", "demo-secret", Role.SYSTEM_ROBOT_NOTHING)

NEW, LAST_OLD, FIRST_USERS = Generation.V2_16, Generation.V2_12, Generation.V2_8
generations = pytest.mark.parametrize("generation", list(Generation), ids=lambda generation: generation.name)
readers = pytest.mark.parametrize("account", [SYSTEM, SCOPED, OF_TEAM], ids=["system", "all projects", "project"])

Opened = Callable[..., Site]


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
    return [event.tag for event in events]


def push_many(here: Site, number: int, first: int = 0) -> list[str | None]:
    """Push so many artifacts, and return their tags."""
    names: list[str | None] = []
    for n in range(first, first + number):
        names.append(f"n{n}")
        here.world.push("team/app", f"n{n}")
    return names


def log_requests(here: Site) -> list[str]:
    return [each.path for each in here.standin.requests if each.path.endswith(("logs", "auditlog-exts"))]


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
    here = polled(generation)
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


@generations
@readers
@pytest.mark.parametrize("delay", [1, 60, 105])
def test_a_row_that_becomes_visible_late(polled: Opened, generation: Generation, account: Account, delay: float) -> None:
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


@generations
@pytest.mark.parametrize("pushed_since", [1, 5, 9])
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
    """The old log goes on answering, without new rows; within ten minutes the new one is found and read from its start."""
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
    with pytest.raises(PollerError):
        here.poll()
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
def test_a_right_is_lost_and_comes_back(
    polled: Opened, generation: Generation, account: Account, less: Role
) -> None:
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
