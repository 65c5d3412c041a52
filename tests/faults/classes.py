"""What breaks. Each class has a name for the report and `--only`, and a way to be met."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from demo.harbor import ALWAYS, Fault, Generation
from demo.telegram import Chat, Kind
from tests.faults.databases import NotHere, NotNow
from tests.faults.judge import Cause
from tests.faults.processes import Process
from tests.faults.site import Site

HOUR, DAY = 3600, 86400
TAKEOVER_S = 45
"""A standby takes over within 30 s of silence; what is longer is an objection."""
BACK_AFTER_S = 30
"""So soon a daemon must poll again after its machine's clock was set, or was asleep."""


@dataclass(frozen=True, slots=True)
class FaultClass:
    """`meet` lets it happen once. It raises NotHere where it cannot, and NotNow when nobody has noticed.

    `most`: so often in a season.
    """

    name: str
    meet: Callable[[Site], object]
    most: int = 10**6


# -- killed at any moment -----------------------------------------------------------------------------------


def killed(site: Site) -> None:
    """Nothing else is wrong."""
    site.kill_some(site.dice.randint(2, 5))


def killed_at_the_worst_moment(site: Site) -> None:
    """When Telegram has just accepted a message, and the answer is on its way; and in the middle of a page."""
    daemon = site.keep_running()
    count = len(site.telegram.messages)
    if not _comes(lambda: len(site.telegram.messages) > count or not daemon.is_alive, 15):
        raise NotNow("nothing was to be told")
    if daemon.is_alive:
        site.kill(daemon)
    daemon = site.keep_running()
    site.harbor.fail(Fault.SLOW, times=ALWAYS, seconds=0.2)
    count = len(site.harbor.requests)
    _comes(lambda: len(site.harbor.requests) > count or not daemon.is_alive, 6)
    if daemon.is_alive:
        site.kill(daemon)
    site.harbor.heal()


def _comes(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


# -- Harbor -------------------------------------------------------------------------------------------------


def harbor_fails(fault: Fault, site: Site) -> None:
    """In some answers, while daemons are killed; afterwards it is well."""
    met = site.harbor.faults_met[fault]
    most = 2 if fault is Fault.PARTIAL else 4  # for more of them see below
    times, seconds = site.dice.randint(1, most), site.dice.uniform(0.5, 2.5)
    site.harbor.fail(fault, times=times, seconds=seconds)
    site.kill_until(lambda: site.harbor.faults_met[fault] > met)
    site.live(seconds if fault is Fault.RESTARTED else 0)
    site.harbor.heal()
    if site.harbor.faults_met[fault] == met:
        raise NotNow("no daemon asked in time")


def page_lacks_its_only_row(site: Site) -> None:
    """Where nothing is new, a poll reads the newest row again, as the witness: a list that lacks it says nothing."""
    met = site.harbor.faults_met[Fault.PARTIAL]
    site.keep_running()
    with site.life.paused():
        _all_visible(site)
        if not site.wait_until(site.has_read_all, "reading what there is"):
            return
        site.harbor.fail(Fault.PARTIAL, times=site.dice.randint(1, 12), path="/audit")
        if not _comes(lambda: site.harbor.faults_met[Fault.PARTIAL] > met, 8):
            raise NotNow("no daemon asked in time")
    site.live(1)
    site.harbor.heal()
    site.kill_some(1)


def harbor_is_away(site: Site) -> None:
    site.harbor.fail(Fault.REFUSED)
    site.kill_some(site.dice.randint(1, 3))
    site.harbor.heal()


# -- Harbor's log -------------------------------------------------------------------------------------------


@contextmanager
def _accidents(site: Site, accident: Callable[[], object]) -> Iterator[None]:
    site.life.accident = accident
    try:
        yield
    finally:
        site.life.accident = None


def rows_are_late(site: Site) -> None:
    """Every third row shows itself a second to twenty later, behind rows with higher ids."""
    dice = random.Random(site.dice.random())

    def hold() -> None:
        if dice.random() < 0.35 and not site.life.journal.is_id_used_again:
            site.world.hold_row(seconds=dice.uniform(1, 20))

    with _accidents(site, hold):
        site.kill_some(site.dice.randint(2, 5))
        if not _comes(lambda: bool(site.world.held), 10):
            raise NotNow("no row was late")


def ids_are_skipped(site: Site) -> None:
    """Inserts are rolled back."""
    dice = random.Random(site.dice.random())
    with _accidents(site, lambda: site.world.skip_ids(dice.choice((0, 0, 1, 3, 40)))):
        site.kill_some(site.dice.randint(2, 4))


def log_is_purged(site: Site) -> None:
    """Everything that is older than what was not read yet, and than the last five seconds."""
    site.keep_running()
    with site.life.paused():
        happenings = site.life.journal
        unread = site.unrecorded()
        moments = [_moment(key) for key in unread] + [site.clocks.true_now() - timedelta(seconds=5)]
        site.world.purge(min(moments) - timedelta(milliseconds=1))
        happenings.note()
    site.kill_some(1)


def _moment(key: str) -> datetime:
    return datetime.fromisoformat(key.split(":", 2)[2])


def database_of_harbor_is_restored(site: Site) -> None:
    """To what it was some rows ago. All of them had been read, so that none is lost by Harbor itself."""
    with site.life.paused():
        _all_visible(site)
        if not site.wait_until(site.has_read_all, "reading what there is before a restore"):
            return
        site.life.journal.restored(site.dice.randint(1, 12))
        site.harbor.fail(Fault.REFUSED)  # nobody restores under a running Harbor
        site.live(site.dice.uniform(0.3, 1.5))
        site.harbor.heal()
    site.kill_some(site.dice.randint(0, 2))
    site.wait_until(site.has_read_all, "reading what is new after a restore")


def rows_are_late_after_a_restore(site: Site) -> None:
    """Ids come again, and the row that has one of them now shows itself late."""
    site.wait_until(lambda: site.world.newest_id > 20, "some rows")
    with site.life.paused():
        _all_visible(site)
        if not site.wait_until(site.has_read_all, "reading what there is before a restore"):
            return
        site.life.journal.restored(12)
    with _accidents(site, lambda: site.world.hold_row(seconds=4) if site.dice.random() < 0.3 else None):
        site.live(6)
    _all_visible(site)
    site.wait_until(site.has_read_all, "reading late rows after a restore", timeout_s=20)


def pages_lack_rows_after_a_restore(site: Site) -> None:
    """As above, and the first lists that the restored Harbor gives are not whole."""
    site.keep_running()
    with site.life.paused():
        _all_visible(site)
        if not site.wait_until(site.has_read_all, "reading what there is before a restore"):
            return
        site.life.journal.restored(site.dice.randint(1, 12))
        for _ in range(site.dice.randint(2, 6)):
            site.life.happen()
        site.life.journal.restores += 1  # a list that lacks the newest row looks like another one
        table = site.world.generation.live_table
        site.harbor.fail(Fault.PARTIAL, times=site.dice.randint(1, 4), path=f"/{table}")
    site.live(site.dice.uniform(2, 4))
    site.harbor.heal()
    site.kill_some(1)
    site.wait_until(site.has_read_all, "reading what is new after a restore")


def _all_visible(site: Site) -> None:
    _comes(lambda: not site.world.held, 25)


def harbor_is_upgraded(site: Site) -> None:
    """From 2.12 to 2.16, which has another log. As in reality Harbor is down meanwhile; or not, once."""
    if site.world.generation is Generation.V2_16:
        raise NotHere("it is upgraded already")
    if site.upgrades_quietly:
        with site.life.paused():
            _all_visible(site)
            site.life.journal.upgraded()
        site.kill_some(2)
        # The old log is believed to be the live one for ten minutes: decision 10.
        site.clocks.pass_time(11 * 60)
        _polls_again(site, "the time that is remembered")
        return
    with site.life.paused():
        _all_visible(site)
        site.harbor.fail(Fault.BAD_GATEWAY, times=ALWAYS)
        site.kill_some(1)
        site.life.journal.upgraded()
        site.harbor.heal()
    site.kill_some(1)


# -- Telegram -----------------------------------------------------------------------------------------------


def telegram_fails(kind: Kind, site: Site) -> None:
    """For some messages, which it does not take."""
    asked = len(site.telegram.requests)
    site.telegram.fail(kind, times=site.dice.randint(1, 3), retry_after=site.dice.randint(2, 6))
    site.kill_until(lambda: len(site.telegram.requests) > asked)
    site.telegram.heal()
    if len(site.telegram.requests) == asked:
        raise NotNow("nothing was to be told")


def answers_are_lost(kind: Kind, site: Site) -> None:
    """Telegram takes messages, or edits, and nobody hears of it. Each of them may come once more.

    Nobody sees that an edit is made again; but where the chat has moved meanwhile, what it told is told anew.
    """
    before, edits, times = len(site.telegram.messages), len(site.telegram.edits), site.dice.randint(1, 2)
    site.telegram.fail(kind, times=times, seconds=9)  # longer than the client waits
    met = site.kill_until(lambda: len(site.telegram.messages) > before or len(site.telegram.edits) > edits)
    if kind is Kind.SLOW and met:
        site.live(7)
    sent, changed = site.telegram.messages[before:], site.telegram.edits[edits:]
    site.telegram.heal()
    taken = sorted([*(message.sent_at for message in sent), *(edit.at for edit in changed)])[:times]
    site.causes += [Cause(at, str(kind), at) for at in taken]
    if not met:
        raise NotNow("nothing was to be told")


def telegram_is_away(site: Site) -> None:
    site.telegram.away(behind_gateway=site.dice.random() < 0.5)
    site.kill_some(site.dice.randint(1, 3))
    site.telegram.back()


def _chat(site: Site) -> Chat:
    chat = site.telegram.chats[site.chat]
    while chat.moved_to is not None:
        chat = site.telegram.chats[chat.moved_to]
    return chat


def chat_is_migrated(site: Site) -> None:
    """A group becomes a supergroup: its old id is refused for ever."""
    if site.chat > 0:
        raise NotHere("a private chat does not move")
    site.telegram.migrate(_chat(site), -1_002_000_000_000 - site.dice.randrange(10**9))
    site.kill_some(2)


def chat_refuses(site: Site) -> None:
    """The bot is thrown out, or blocked, and taken back some seconds later."""
    chat = _chat(site)
    chat.bot_status = "kicked" if site.chat < 0 else "blocked"
    site.was_refused = True
    site.kill_some(site.dice.randint(1, 3))
    chat.bot_status = "member"


# -- the database -------------------------------------------------------------------------------------------


@contextmanager
def _without_database(site: Site) -> Iterator[None]:
    """Daemons may end, and a kill may follow an accepted message by long, for nobody could write it down."""
    usual = site.kill_window
    site.may_fail, site.kill_window = True, timedelta(seconds=25)
    try:
        yield
    finally:
        site.may_fail, site.kill_window = False, usual


def disk_is_full(site: Site) -> None:
    first = max(len(site.processes.all) - 1, 0)
    with _without_database(site):
        site.database.fill()
        try:
            site.kill_some(site.dice.randint(0, 2))
            site.keep_running()
            site.live(site.dice.uniform(2, 6))
        finally:
            site.database.free()
        site.keep_running()
    said = "".join(process.text for process in site.processes.all[first:])
    if "is full" not in said and "disk I/O error" not in said:
        raise NotNow("nothing was to be written")


def database_is_locked(site: Site) -> None:
    """Mostly for less, now and then for longer than a statement waits."""
    seconds = site.dice.choice((2, 5, 18))
    site.keep_running()
    with _without_database(site):
        thread = threading.Thread(target=site.database.lock, args=(seconds,))
        thread.start()
        site.kill_some(site.dice.randint(0, 1))
        site.keep_running()
        thread.join()
        site.live(1)


def database_restarts(site: Site) -> None:
    site.keep_running()
    site.live(site.dice.uniform(0, 1.5))
    with _without_database(site):
        site.database.restart(site.dice.choice(("fast", "immediate")))
        site.live(1)


# -- time ---------------------------------------------------------------------------------------------------


def rows_are_late_over_a_clock_step(site: Site) -> None:
    """The clock is set while a row with a lower id than the newest is not visible yet."""
    with _accidents(site, lambda: site.world.hold_row(seconds=12) if len(site.world.held) < 3 else None):
        site.keep_running()
        _comes(lambda: len(site.world.held) > 2, 10)
    site.live(3)
    site.clocks.set_error(HOUR)
    site.clock_steps.append(datetime.now(UTC))
    _polls_again(site, "the clock was set while rows were late")
    _all_visible(site)
    site.live(3)
    site.clocks.set_error(0)
    site.clock_steps.append(datetime.now(UTC))
    _polls_again(site, "the clock was set back")


def clock_is_set(seconds: float, site: Site) -> None:
    """The product's machine believes in another hour for a while. No row is late just then: see above."""
    with site.life.paused():
        _all_visible(site)
    site.keep_running()
    site.live(2)
    for error in (seconds, 0):
        site.clocks.set_error(error)
        site.clock_steps.append(datetime.now(UTC))
        _polls_again(site, f"the clock was set by {seconds if error else -seconds:+g} s")
        site.live(site.dice.uniform(0.5, 4))
    site.kill_some(1)


def clock_is_mended_between_daemons(site: Site) -> None:
    """The chat pauses, the clock is wrong, and it is set right while no daemon runs that could see it."""
    _all_visible(site)
    site.telegram.fail(Kind.TOO_MANY_REQUESTS, times=ALWAYS, retry_after=5)
    said = len(site.telegram.requests)
    site.wait_until(lambda: len(site.telegram.requests) > said, "something to tell")
    site.clocks.set_error(HOUR)
    site.clock_steps.append(datetime.now(UTC))
    site.live(3)
    site.kill(site.keep_running())
    site.clocks.set_error(0)
    site.clock_steps.append(datetime.now(UTC))
    site.telegram.heal()
    said = len(site.telegram.messages)
    site.wait_until(lambda: len(site.telegram.messages) > said, "telling after a pause of 5 s")


def _polls_again(site: Site, after: str) -> None:
    """The daemon that runs, or the one after it."""
    site.keep_running()
    count = len(site.harbor.requests)
    if not _comes(lambda: len(site.harbor.requests) > count + 1, BACK_AFTER_S):
        site.object(f"no poll for {BACK_AFTER_S} s after this: {after}")
        site.kill(site.keep_running())


def machine_sleeps(site: Site) -> None:
    """For a day: the product stands still, Harbor lives on, and all clocks are right."""
    with site.life.paused():
        _all_visible(site)
    daemon = site.keep_running()
    site.live(2)
    if not daemon.is_alive:
        return
    daemon.signal(signal.SIGSTOP)
    site.live(0.5)
    site.clocks.pass_time(DAY)
    site.live(site.dice.uniform(1, 3))
    daemon.signal(signal.SIGCONT)
    now = datetime.now(UTC)
    site.causes.append(Cause(now, "sleep", now - timedelta(seconds=10)))
    _polls_again(site, "a day of sleep")


# -- fail-over ----------------------------------------------------------------------------------------------


def leader_dies(site: Site) -> None:
    _fail_over(site, signal.SIGKILL)


def leader_goes_silent(site: Site) -> None:
    """Stopped for longer than its lease, and continued when another has taken over."""
    _fail_over(site, signal.SIGSTOP)


def _fail_over(site: Site, how: signal.Signals) -> None:
    leader = site.keep_running()
    site.live(site.dice.uniform(1.5, 2.5))
    standby = site.processes.start("run")
    if not _comes(lambda: "daemon.standby" in standby.text or not standby.is_alive, 10) or not standby.is_alive:
        site.object(f"{standby.output.name}: no standby, but exit code {standby.exit_code}")
        standby.kill()
        return
    site.live(site.dice.uniform(0, 2))
    took = _take_over(site, leader, how)
    site.daemon = standby
    if took is None:
        site.object(f"{standby.output.name} has not taken over within {TAKEOVER_S} s")
    else:
        site.failovers.append(took)
    if how is signal.SIGSTOP:
        _continue_stale(site, leader)


def _halt(site: Site, leader: Process) -> None:
    """Not amid a transaction: on SQLite that locks everybody out until it goes on, as docs/decisions.md says (6)."""
    leader.signal(signal.SIGSTOP)
    while site.database.is_locked:
        leader.signal(signal.SIGCONT)
        time.sleep(site.dice.uniform(0.01, 0.1))
        leader.signal(signal.SIGSTOP)


def _take_over(site: Site, leader: Process, how: signal.Signals) -> float | None:
    """Seconds from the leader's end to the first question of the next one."""
    _halt(site, leader) if how is signal.SIGSTOP else leader.signal(how)
    now = datetime.now(UTC)
    site.causes.append(
        Cause(now, "leader killed" if how is signal.SIGKILL else "leader stopped", now - site.kill_window)
    )
    if how is signal.SIGKILL:
        leader.wait()
        site.kills["kill -9 of the leader"] += 1
    began = time.monotonic()
    time.sleep(0.02)  # what the leader had asked for is answered by then
    count = len(site.harbor.requests)
    if not _comes(lambda: len(site.harbor.requests) > count, TAKEOVER_S):
        return None
    return time.monotonic() - began


def _continue_stale(site: Site, stale: Process) -> None:
    """It must notice, and be the standby from then on."""
    site.live(site.dice.uniform(0.5, 3))
    said = stale.text.count("daemon.standby")
    stale.signal(signal.SIGCONT)
    if not _comes(lambda: stale.text.count("daemon.standby") > said or not stale.is_alive, 20):
        site.object(f"{stale.output.name} goes on, though another has taken over")
    site.terminate(stale) if stale.is_alive else stale.wait()


# -- all of them --------------------------------------------------------------------------------------------

_HARBOR = {
    "harbor-500": Fault.INTERNAL,
    "harbor-502": Fault.BAD_GATEWAY,
    "harbor-503": Fault.UNAVAILABLE,
    "harbor-504": Fault.GATEWAY_TIMEOUT,
    "harbor-slow": Fault.SLOW,
    "harbor-dropped": Fault.DROPPED,
    "harbor-reset": Fault.RESET,
    "harbor-truncated": Fault.TRUNCATED,
    "harbor-partial-page": Fault.PARTIAL,
    "harbor-restarted-amid-page": Fault.RESTARTED,
}
TELEGRAM_REFUSES = {
    "telegram-429": Kind.TOO_MANY_REQUESTS,
    "telegram-500": Kind.INTERNAL,
    "telegram-502": Kind.BAD_GATEWAY,
    "telegram-503": Kind.UNAVAILABLE,
    "telegram-dropped-before": Kind.DROP_BEFORE,
}
_LOST_ANSWERS = {
    "telegram-dropped-after": Kind.DROP_AFTER,
    "telegram-garbled": Kind.GARBLED,
    "telegram-hanging": Kind.SLOW,
}

CLASSES: Mapping[str, FaultClass] = {
    each.name: each
    for each in (
        FaultClass("killed", killed),
        FaultClass("killed-at-worst", killed_at_the_worst_moment),
        *(FaultClass(name, partial(harbor_fails, fault)) for name, fault in _HARBOR.items()),
        FaultClass("harbor-empty-page", page_lacks_its_only_row),
        FaultClass("harbor-away", harbor_is_away),
        FaultClass("rows-late", rows_are_late),
        FaultClass("ids-skipped", ids_are_skipped),
        FaultClass("log-purged", log_is_purged),
        FaultClass("harbor-restored", database_of_harbor_is_restored),
        FaultClass("harbor-restored-partial", pages_lack_rows_after_a_restore),
        FaultClass("harbor-restored-late", rows_are_late_after_a_restore),
        FaultClass("harbor-upgraded", harbor_is_upgraded, most=1),
        *(FaultClass(name, partial(telegram_fails, kind)) for name, kind in TELEGRAM_REFUSES.items()),
        *(FaultClass(name, partial(answers_are_lost, kind)) for name, kind in _LOST_ANSWERS.items()),
        FaultClass("telegram-away", telegram_is_away),
        FaultClass("chat-migrated", chat_is_migrated),
        FaultClass("chat-refuses", chat_refuses),
        FaultClass("disk-full", disk_is_full),
        FaultClass("database-locked", database_is_locked),
        FaultClass("database-restarted", database_restarts),
        FaultClass("clock-forth", partial(clock_is_set, HOUR)),
        FaultClass("clock-back", partial(clock_is_set, -HOUR)),
        FaultClass("clock-forth-while-late", rows_are_late_over_a_clock_step),
        FaultClass("clock-mended-unseen", clock_is_mended_between_daemons),
        FaultClass("machine-sleeps", machine_sleeps, most=3),
        FaultClass("leader-dies", leader_dies),
        FaultClass("leader-silent", leader_goes_silent, most=3),
    )
}
