"""One poller per database: real processes take the lease, are killed or halted, and are replaced."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Barrier

import pytest

from poller import lease
from poller.errors import LeaseTaken, StateBusy
from poller.events import Event
from poller.lease import BACKFILL, BEAT_SECONDS, KEEP, KEEP_SECONDS, LOOK_SECONDS, Candidate, Owner
from poller.values import replace
from state import POLLER, DeliveryState, Grant, Lease, Store, Telling
from tests.conftest import NOBODY
from tests.processes import Other, others

HARBOR = "https://harbor.example.com"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
ME = Owner.this_process()
STRANGER = Owner("other-host 5f3a 4026531836", "999999999/1")
TAKEN = 3


class Watch:
    """A monotonic clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def hold(url: str, words: Connection) -> None:
    """Another process that wants to be the only poller, and then tries to work at every word, until it is killed."""
    store = Store.open(url, HARBOR, "telegram")
    words.send("ready")
    words.recv()
    try:
        grant = take(store, Owner.this_process(), NOW)
    except LeaseTaken as error:
        words.send(str(error))
        return
    words.send("taken")
    while words.recv():
        words.send(work(store, grant))


def work(store: Store, grant: Grant) -> str:
    """What becomes of a poll's record, of a message that is to go, and of a sign of life."""
    held = store.under(grant)
    telling = Telling(Event.example(), DeliveryState.PENDING)
    tries: list[Callable[[], object]] = [
        lambda: held.record([telling], now=NOW),
        lambda: held.claim("-100", NOW),
        lambda: lease.beat(store, grant, NOW),
    ]
    return " ".join(_becomes(each) for each in tries)


def _becomes(deed: Callable[[], object]) -> str:
    try:
        deed()
    except LeaseTaken:
        return "refused"
    return "done"


def take(store: Store, owner: Owner, now: datetime, watch: Watch | None = None, name: str = POLLER) -> Grant:
    """As `once` does. The clock stands still unless a watch is given, which then both clocks follow."""
    watch = watch or Watch()
    began = watch()
    return lease.take(
        Candidate(store, owner, name, watch),
        clock=lambda: now + timedelta(seconds=watch() - began),
        sleep=watch.sleep,
    )


def stand_by(
    store: Store, seconds: float, owner: Owner = ME, *, when_looked: Callable[[], object] = lambda: None
) -> Grant | Lease:
    """What is answered to who looks again and again, for so long. `when_looked`: called after the first look."""
    watch = Watch()
    candidate = Candidate(store, owner, POLLER, watch)
    answer = candidate.ask(NOW)
    when_looked()
    while isinstance(answer, Lease) and watch.seconds < 100 + seconds:
        watch.sleep(LOOK_SECONDS)
        answer = candidate.ask(NOW)
    return answer


@pytest.fixture
def store(state_url: str) -> Iterator[Store]:
    store = Store.open(state_url, HARBOR, "telegram")
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
def holder(state_url: str) -> Iterator[Other]:
    """A living process that has the lease."""
    with others(1, hold, state_url) as (poller,):
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
        take(store, ME, NOW + SECOND)
    assert "another poller works on" in str(caught.value)
    assert str(holder.pid) in str(caught.value)
    assert "since 2026-11-24T12:00:00+00:00" in str(caught.value)
    assert "Stop it first" in str(caught.value)


def test_a_killed_poller_is_replaced_at_once(store: Store, holder: Other) -> None:
    """After a crash nobody waits for the lease to run out."""
    holder.kill()
    take(store, ME, NOW + SECOND)
    assert holder_of(store) == str(ME)


def test_a_poller_that_is_dead_but_not_buried_is_replaced_at_once(store: Store) -> None:
    """Its parent, such as a container's first process, may never ask for its exit code."""
    with subprocess.Popen(["sleep", "600"]) as process:
        started = Path(f"/proc/{process.pid}/stat").read_text().split()[21]
        take(store, replace(ME, process=f"{process.pid}/{started}"), NOW)
        with pytest.raises(LeaseTaken):
            take(store, ME, NOW)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is dead now, and still in the table
        take(store, ME, NOW)
    assert holder_of(store) == str(ME)


def test_who_wakes_up_after_it_was_replaced_does_nothing(store: Store, holder: Other) -> None:
    """A halted process counts as alive until it was silent for long; then it can neither write nor send."""
    holder.say("work")
    assert holder.hear() == "done done done"
    os.kill(holder.pid, signal.SIGSTOP)
    assert isinstance(stand_by(store, KEEP_SECONDS - LOOK_SECONDS), Lease)
    assert isinstance(stand_by(store, KEEP_SECONDS), Grant)
    os.kill(holder.pid, signal.SIGCONT)
    holder.say("work")
    assert holder.hear() == "refused refused refused"
    assert len(store.attempt_times("-100", since=NOW)) == 1


@pytest.mark.parametrize("is_one_dead", [False, True], ids=["free", "of a dead one"])
def test_of_several_that_start_at_once_one_wins(state_url: str, store: Store, is_one_dead: bool) -> None:
    """The others exit with a reason. Who saw a dead holder last does not take the lease from who replaced it."""
    if is_one_dead:
        take(store, replace(ME, process=f"{os.getpid()}/1"), NOW)
    *refused, taken = race(state_url, 3)
    assert taken == "taken"
    assert all(answer.startswith("another poller works on this state database") for answer in refused)


def test_of_several_that_stand_by_one_wins(store: Store, state_url: str) -> None:
    """They notice the silence at the same moment; the others stand by for the winner."""
    take(store, STRANGER, NOW)
    stores = [Store.open(state_url, HARBOR, "telegram") for _ in range(3)]
    owners = [replace(ME, machine=f"host-{number}") for number in range(3)]
    all_have_looked = Barrier(3)  # their clocks go on at once: who began later would see the winner silent for as long
    stand = partial(stand_by, seconds=KEEP_SECONDS, when_looked=all_have_looked.wait)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda each: stand(each[0], owner=each[1]), zip(stores, owners, strict=True)))
    for each in stores:
        each.close()
    (winner,) = (answer for answer in answers if isinstance(answer, Grant))
    assert {answer.owner for answer in answers} == {winner.owner}
    assert winner.epoch == 2


def test_a_backfill_runs_beside_the_poller(store: Store) -> None:
    """But not beside another backfill."""
    take(store, STRANGER, NOW)
    take(store, STRANGER, NOW, name=BACKFILL)
    with pytest.raises(LeaseTaken, match="another backfill works on"):
        take(store, ME, NOW, name=BACKFILL)


# -- clocks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [-HOUR, -SECOND - KEEP, HOUR], ids=["behind", "just run out", "ahead"])
def test_a_living_holder_with_another_clock_is_not_replaced(store: Store, ahead: timedelta) -> None:
    """Its date makes no sense here, so it is watched; it gives a sign of life within seconds."""
    grant = take(store, STRANGER, NOW + ahead)
    watch = Watch()

    def sleep(seconds: float) -> None:
        watch.sleep(seconds)
        if watch.seconds >= 100 + BEAT_SECONDS:
            lease.beat(store, grant, NOW + ahead)

    with pytest.raises(LeaseTaken, match="other-host"):
        lease.take(Candidate(store, ME, POLLER, watch), clock=lambda: NOW, sleep=sleep)
    assert watch.seconds <= 100 + BEAT_SECONDS + LOOK_SECONDS


@pytest.mark.parametrize("ahead", [-HOUR, HOUR], ids=["behind", "ahead"])
def test_a_silent_holder_with_another_clock_is_replaced(store: Store, ahead: timedelta) -> None:
    """After it was watched for as long as any other."""
    take(store, STRANGER, NOW + ahead)
    watch = Watch()
    lease.take(Candidate(store, ME, POLLER, watch), clock=lambda: NOW, sleep=watch.sleep)
    assert holder_of(store) == str(ME)
    assert KEEP_SECONDS <= watch.seconds - 100 <= KEEP_SECONDS + LOOK_SECONDS


def test_a_standby_does_not_look_at_the_clock(store: Store) -> None:
    """As long as the holder lives, whatever the time is said to be."""
    grant, watch = take(store, STRANGER, NOW), Watch()
    candidate = Candidate(store, ME, POLLER, watch)
    for turn in range(40):
        watch.sleep(LOOK_SECONDS)
        if turn % 5 == 0:
            lease.beat(store, grant, NOW)
        assert isinstance(candidate.ask(NOW + turn * HOUR), Lease)


def test_the_watch_begins_anew_after_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database was away, the holder could not show that it lives, either."""
    take(store, STRANGER, NOW)
    watch = Watch()
    candidate = Candidate(store, ME, POLLER, watch)
    for _ in range(9):
        assert isinstance(candidate.ask(NOW), Lease)
        watch.sleep(LOOK_SECONDS)
    with monkeypatch.context() as patch:
        patch.setattr(store, "lease", _away)
        with pytest.raises(StateBusy):
            candidate.ask(NOW)
    for _ in range(10):
        assert isinstance(candidate.ask(NOW), Lease)
        watch.sleep(LOOK_SECONDS)
    assert isinstance(candidate.ask(NOW), Grant)


def _away(_name: str) -> Lease | None:
    raise StateBusy("the server does not answer")


def test_who_was_halted_itself_has_seen_nothing(store: Store) -> None:
    """Both may have been suspended together; the holder gets the time to show that it lives."""
    take(store, STRANGER, NOW)
    watch = Watch()
    candidate = Candidate(store, ME, POLLER, watch)
    candidate.ask(NOW)
    watch.sleep(3600)
    assert isinstance(candidate.ask(NOW), Lease)


# -- who is it? -------------------------------------------------------------------------------------


def test_a_process_is_the_same_as_long_as_it_lives() -> None:
    """Its name holds the host, the boot, and when it was started: a pid alone may be given to another."""
    assert Owner.this_process() == ME
    assert str(ME).endswith(f"{ME.machine} {ME.process}")
    assert ME.process.startswith(f"{os.getpid()}/")


def test_another_process_with_the_dead_ones_pid_does_not_keep_its_lease(store: Store) -> None:
    """The kernel gives pids again, on a small machine soon."""
    before_me = replace(ME, process=f"{os.getpid()}/1")
    take(store, before_me, NOW)
    take(store, ME, NOW)
    assert holder_of(store) == str(ME)


ELSEWHERE = [
    STRANGER,
    Owner(f"{ME.machine}1", "999999999/1"),  # another process namespace: a container
    Owner(ME.machine, "unreadable"),
]


@pytest.mark.parametrize("owner", ELSEWHERE, ids=["another host", "another container", "an unknown form"])
def test_who_cannot_be_looked_at_is_taken_for_alive(store: Store, owner: Owner) -> None:
    """Until it was silent for long. When in doubt nothing is told twice."""
    take(store, owner, NOW)
    with pytest.raises(LeaseTaken):
        take(store, ME, NOW + KEEP - SECOND)
    take(store, ME, NOW + KEEP)
    assert holder_of(store) == str(ME)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_process_of_another_user_is_alive(open_folder: Path) -> None:
    """It must not be signalled by us, which proves that it is there."""
    open_folder.chmod(0o777)
    url = f"sqlite:///{open_folder / 'state.db'}"
    store = Store.open(url, HARBOR, "telegram")
    take(store, replace(ME, process=f"{os.getpid()}/1"), NOW)  # to who may look closer, this one is dead
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
        take(Store.open(url, HARBOR, "telegram"), Owner.this_process(), NOW)
    except LeaseTaken:
        return TAKEN
    except BaseException:  # noqa: BLE001 -- the exit code says it
        return 1
    return 0


# -- keeping it -------------------------------------------------------------------------------------


def test_there_are_several_beats_before_a_lease_is_lost() -> None:
    """One may fail, and the next one wait for a database that is busy."""
    assert KEEP_SECONDS >= 3 * BEAT_SECONDS
    assert LOOK_SECONDS < BEAT_SECONDS
    assert KEEP_SECONDS + 2 * LOOK_SECONDS < 30


def test_who_slept_too_long_goes_on_where_nobody_came(store: Store) -> None:
    """The lease is still there for its owner."""
    grant = take(store, ME, NOW)
    lease.beat(store, grant, NOW + 10 * KEEP)
    assert holder_of(store) == str(ME)


def test_who_was_replaced_learns_it(store: Store) -> None:
    """At its next sign of life; and it does not end the lease of the other."""
    grant = take(store, ME, NOW)
    store.take_lease(POLLER, str(STRANGER), NOW, KEEP, instead_of=store.lease())
    with pytest.raises(LeaseTaken):
        lease.beat(store, grant, NOW)
    lease.release(store, grant)
    assert holder_of(store) == str(STRANGER)


def test_taking_again_is_allowed(store: Store) -> None:
    """By the same process."""
    take(store, ME, NOW)
    grant = take(store, ME, NOW + SECOND)
    lease.release(store, grant)
    assert store.lease() is None


def test_a_lease_that_cannot_be_released_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The work is done, and the next one will see that the holder is dead."""
    with closing(Store.open(f"sqlite:///{tmp_path / 'state.db'}", HARBOR, "telegram")) as store:
        grant = take(store, ME, NOW)
        monkeypatch.setattr(store, "release_lease", _away)
        lease.release(store, grant)
    assert "lease.not_released" in caplog.text
