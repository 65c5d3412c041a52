"""Delivery by a command that ends by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from poller import jobs, measures
from poller.commands import clients
from poller.commands.context import say
from poller.config import Config
from poller.errors import StateBusy, StateError
from poller.exit_codes import DONE, MISTAKE, TRY_AGAIN
from poller.foreground import Foreground
from poller.measures import Sink
from poller.telling import Teller, Told, Wait
from poller.times import utc_now
from poller.turns import Tellers
from state import Store


def tellers(
    config: Config, store: Store, clock: Callable[[], datetime] = utc_now, sink: Sink = measures.ignore
) -> Tellers:
    """One for each route, for whoever tells alone; what waits on routes of another day goes to these."""
    jobs.route_anew(store, config)
    telegram = clients.telegram(config, sink=sink)
    routes = config.telling_routes
    return Tellers({route.name: Teller(telegram, store, config, clock, route, sink) for route in routes})


def deliver_all(
    tellers: Tellers, work: Foreground, at_most: timedelta, on_told: Callable[[int], object] = lambda _events: None
) -> int:
    """Deliver until nothing is due, or until waiting longer would not be worth it."""
    end = utc_now() + at_most
    while True:
        step = _deliver_and_note(tellers, work, end)
        if isinstance(step, Told):
            on_told(step.events)
            work.go_on()
        elif step.seconds is None:
            return DONE
        elif step.needs_operator:
            return say(f"Telegram refuses ({step.reason}); everything is kept until that is mended", MISTAKE)
        elif utc_now() + timedelta(seconds=step.seconds) > end:
            return say(f"not everything could be told now ({step.reason}); the next run goes on", TRY_AGAIN)
        else:
            work.sleep(step.seconds)


def _deliver_and_note(tellers: Tellers, work: Foreground, end: datetime) -> Told | Wait:
    """What Telegram has taken would be told again by the next run if it were not noted: try for as long as we may."""
    while True:
        try:
            return tellers.deliver(is_patient=False)  # nothing more will come while this runs
        except (StateError, StateBusy):
            if not tellers.owes_a_note or utc_now() >= end:
                raise
            work.sleep(1)
