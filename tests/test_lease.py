"""One poller per database: real processes take the lease, are killed, and are replaced at once."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from poller import lease
from poller.errors import LeaseTaken
from poller.lease import KEEP, RENEW_SECONDS, Owner
from state import Store
from tests.conftest import NOBODY
from tests.processes import Other, others

HARBOR = "https://harbor.example.com"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ME = Owner.this_process()
TAKEN = 3


def hold(url: str, words: Connection) -> None:
    """Another process that wants to be the only poller, and lives until it is killed."""
    store = Store.open(url, HARBOR, "telegram")
    words.send("ready")
    words.recv()
    try:
        lease.take(store, Owner.this_process(), NOW)
    except LeaseTaken as error:
        words.send(str(error))
    else:
        words.send("taken")
    words.recv()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store.open(url, HARBOR, "telegram")
    yield store
    store.close()


def race(url: str, number: int) -> list[str]:
    """What so many processes are answered that want the lease at the same time, in the order of the alphabet."""
    with others(number, hold, url) as pollers:
        for poller in pollers:
            assert poller.hear() == "ready"
        for poller in pollers:
            poller.say("go")
        return sorted(poller.hear() for poller in pollers)


@pytest.fixture
def holder(url: str) -> Iterator[Other]:
    """A living process that has the lease."""
    with others(1, hold, url) as (poller,):
        assert poller.hear() == "ready"
        poller.say("go")
        assert poller.hear() == "taken"
        yield poller


def holder_of(store: Store) -> str:
    held = store.lease()
    assert held is not None
    return held.owner


# -- living and dead --------------------------------------------------------------------------------


def test_a_living_poller_is_not_replaced(store: Store, holder: Other) -> None:
    """The second one is told which process it is, since when, and what to do."""
    with pytest.raises(LeaseTaken) as caught:
        lease.take(store, ME, NOW + SECOND)
    assert str(holder.pid) in str(caught.value)
    assert "since 2026-11-24T12:00:00+00:00" in str(caught.value)
    assert "Stop it first" in str(caught.value)


def test_a_killed_poller_is_replaced_at_once(store: Store, holder: Other) -> None:
    """After a crash nobody waits for the lease to run out."""
    holder.kill()
    lease.take(store, ME, NOW + SECOND)
    assert holder_of(store) == str(ME)


def test_a_poller_that_is_dead_but_not_buried_is_replaced_at_once(store: Store) -> None:
    """Its parent, such as a container's first process, may never ask for its exit code."""
    with subprocess.Popen(["sleep", "600"]) as process:
        started = Path(f"/proc/{process.pid}/stat").read_text().split()[21]
        lease.take(store, replace(ME, process=f"{process.pid}/{started}"), NOW)
        with pytest.raises(LeaseTaken):
            lease.take(store, ME, NOW)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is dead now, and still in the table
        lease.take(store, ME, NOW)
    assert holder_of(store) == str(ME)


def test_a_poller_that_was_halted_is_alive(store: Store, holder: Other) -> None:
    """It may go on at any moment; only when its lease runs out another takes over."""
    os.kill(holder.pid, signal.SIGSTOP)
    with pytest.raises(LeaseTaken):
        lease.take(store, ME, NOW + KEEP - SECOND)
    lease.take(store, ME, NOW + KEEP)
    assert holder_of(store) == str(ME)


@pytest.mark.parametrize("is_one_dead", [False, True], ids=["free", "of a dead one"])
def test_of_several_that_start_at_once_one_wins(url: str, store: Store, is_one_dead: bool) -> None:
    """The others exit with a reason. Who saw a dead holder last does not take the lease from who replaced it."""
    if is_one_dead:
        lease.take(store, replace(ME, process=f"{os.getpid()}/1"), NOW)
    *refused, taken = race(url, 3)
    assert taken == "taken"
    assert all(answer.startswith("another poller works on this state database") for answer in refused)


# -- who is it? -------------------------------------------------------------------------------------


def test_a_process_is_the_same_as_long_as_it_lives() -> None:
    """Its name holds the host, the boot, and when it was started: a pid alone may be given to another."""
    assert Owner.this_process() == ME
    assert str(ME).endswith(f"{ME.machine} {ME.process}")
    assert ME.process.startswith(f"{os.getpid()}/")


def test_another_process_with_the_dead_ones_pid_does_not_keep_its_lease(store: Store) -> None:
    """The kernel gives pids again, on a small machine soon."""
    before_me = replace(ME, process=f"{os.getpid()}/1")
    lease.take(store, before_me, NOW)
    lease.take(store, ME, NOW)
    assert holder_of(store) == str(ME)


ELSEWHERE = [
    Owner("other-host 5f3a 4026531836", "999999999/1"),
    Owner(f"{ME.machine}1", "999999999/1"),  # another process namespace: a container
    Owner(ME.machine, "unreadable"),
]


@pytest.mark.parametrize("owner", ELSEWHERE, ids=["another host", "another container", "an unknown form"])
def test_who_cannot_be_looked_at_is_taken_for_alive(store: Store, owner: Owner) -> None:
    """Until the lease runs out. When in doubt nothing is told twice."""
    lease.take(store, owner, NOW)
    with pytest.raises(LeaseTaken):
        lease.take(store, ME, NOW + KEEP - SECOND)
    lease.take(store, ME, NOW + KEEP)
    assert holder_of(store) == str(ME)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_process_of_another_user_is_alive(open_folder: Path) -> None:
    """It must not be signalled by us, which proves that it is there."""
    open_folder.chmod(0o777)
    url = f"sqlite:///{open_folder / 'state.db'}"
    store = Store.open(url, HARBOR, "telegram")
    lease.take(store, replace(ME, process=f"{os.getpid()}/1"), NOW)  # to who may look closer, this one is dead
    store.close()
    (open_folder / "state.db").chmod(0o666)
    child = os.fork()
    if child == 0:
        os._exit(_take_as(NOBODY, url))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == TAKEN


def _take_as(user: int, url: str) -> int:
    """What became of it, as an exit code; runs in a child process that must not come back."""
    try:
        os.setuid(user)
        lease.take(Store.open(url, HARBOR, "telegram"), Owner.this_process(), NOW)
    except LeaseTaken:
        return TAKEN
    except BaseException:  # noqa: BLE001 -- the exit code says it
        return 1
    return 0


# -- keeping it -------------------------------------------------------------------------------------


def test_a_renewed_lease_does_not_run_out(store: Store) -> None:
    """It is renewed several times before it would."""
    assert KEEP > 3 * RENEW_SECONDS * SECOND
    lease.take(store, ME, NOW)
    for turn in range(1, 10):
        lease.renew(store, ME, NOW + turn * RENEW_SECONDS * SECOND)
    stranger = replace(ME, machine="other-host")
    with pytest.raises(LeaseTaken):
        lease.take(store, stranger, NOW + 9 * RENEW_SECONDS * SECOND + KEEP - SECOND)


def test_who_slept_too_long_learns_that_it_was_replaced(store: Store) -> None:
    """A suspended laptop or a halted virtual machine wakes up: it must stop, not go on beside the other."""
    lease.take(store, ME, NOW)
    stranger = replace(ME, machine="other-host")
    lease.take(store, stranger, NOW + KEEP)
    with pytest.raises(LeaseTaken, match="other-host"):
        lease.renew(store, ME, NOW + KEEP + SECOND)
    assert holder_of(store) == str(stranger)


def test_who_slept_too_long_goes_on_where_nobody_came(store: Store) -> None:
    """The lease ran out, but it is still there for its owner."""
    lease.take(store, ME, NOW)
    lease.renew(store, ME, NOW + 10 * KEEP)
    assert holder_of(store) == str(ME)


def test_taking_again_is_allowed(store: Store) -> None:
    """By the same process."""
    lease.take(store, ME, NOW)
    lease.take(store, ME, NOW + SECOND)
    store.release_lease(str(ME))
    assert store.lease() is None
