"""One poll and one round of delivery."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import click

import formatters
from poller import jobs, logs, times
from poller.commands import clients, delivering, opening
from poller.commands.context import Context, note, say
from poller.config import Config
from poller.errors import ConfigError, LeaseTaken, OperatorError, PollerError
from poller.exit_codes import DONE, MISTAKE, TRY_AGAIN
from poller.foreground import Foreground
from poller.heartbeat import UNHEARD, Heartbeat
from poller.jobs import AuditPoller
from poller.pulse import ChatTrouble, after_a_run
from poller.times import utc_now
from poller.troubles import Troubles
from poller.turns import Tellers
from state import POLLER, Store


def run(context: Context, *, is_printing: bool, told_until: str | None) -> int:
    config, now = opening.config(context), utc_now()
    told_before = times.of_option("--told-until", told_until, now, config.timezone) if told_until else None
    if told_before and told_before > now:
        raise ConfigError(f"--told-until {told_until} is still to come: nothing of it can have been told")
    with (
        _heart(None if is_printing else clients.heartbeat(config)) as heart,
        opening.store(config) as opened,
        opening.foreground(opened, POLLER) as (store, work),
    ):
        tellers = delivering.tellers(config, store)
        poller = AuditPoller(clients.harbor(config), store, config)
        trouble = _attempt(lambda: _poll_to_the_end(poller, work, heart), heart)
        trouble = trouble or _attempt(lambda: _look_around(poller), heart)
        work.go_on()
        if told_before:
            if trouble:
                return trouble  # what was not read yet may have been told, too
            _leave_untold(store, told_before)
        poller.tell_day(utc_now())
        if is_printing:
            _print_messages(tellers, config)
            return trouble
        trouble = max(trouble, delivering.deliver_all(tellers, work, timedelta(seconds=config.delivery.max_delay)))
        heart.chats = tellers.troubles
        jobs.prune_if_due(store, config, utc_now())
        return trouble


@dataclass(slots=True)
class _Heart:
    """What a run has to tell the dead man's switch. `is_whole`: whether all logs could be read."""

    error: PollerError | None = None
    is_whole: bool = True
    chats: Sequence[ChatTrouble] = ()

    def tell(self, heartbeat: Heartbeat) -> None:
        needs_operator = isinstance(self.error, OperatorError)
        ping = after_a_run(str(self.error or ""), self.chats, needs_operator=needs_operator, is_whole=self.is_whole)
        try:
            if ping is not None:
                heartbeat.tell(ping.reason)
        except PollerError as error:
            Troubles().failed(UNHEARD, error)


@contextmanager
def _heart(heartbeat: Heartbeat | None) -> Iterator[_Heart]:
    """Tells the switch at the end. While another works on the database, that one does."""
    heart = _Heart()
    try:
        yield heart
    except LeaseTaken:
        raise
    except PollerError as error:
        heart.error = error
        if heartbeat is not None:
            heart.tell(heartbeat)
        raise
    if heartbeat is not None:
        heart.tell(heartbeat)


def _poll_to_the_end(poller: AuditPoller, work: Foreground, heart: _Heart) -> None:
    while True:
        polled = poller.poll(utc_now())
        heart.is_whole &= polled.is_whole
        if not polled.has_more:
            return
        work.go_on()


def _look_around(poller: AuditPoller) -> None:
    poller.sweep(utc_now())
    poller.watch(utc_now())


def _attempt(work: Callable[[], object], heart: _Heart) -> int:
    """Harbor may be away while messages go out: say so, and go on."""
    try:
        work()
    except LeaseTaken:
        raise
    except OperatorError as error:
        heart.error = error
        return say(f"nothing could be read: {error}", MISTAKE)
    except PollerError as error:
        heart.error = error
        return say(f"nothing could be read now, the next run tries again: {error}", TRY_AGAIN)
    return DONE


def _print_messages(tellers: Tellers, config: Config) -> None:
    """Where there are several routes, each with the name of its own above it."""
    found = list(tellers.texts())
    for route, text in found:
        head = f"[{logs.visible(route)}]\n" if len(config.telling_routes) > 1 else ""
        click.echo(f"{head}{formatters.plain(text)}\n")
    if not found:
        note("nothing waits to be told")


def _leave_untold(store: Store, before: datetime) -> None:
    """Also what waited in the state that was put back: it has been told since."""
    count = store.leave_untold("told before the state was put back", before=before, now=utc_now())
    note(f"{count} event{'' if count == 1 else 's'} will not be told again; `events` shows them as off")
