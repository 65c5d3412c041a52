"""A past period, read and told."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta

from poller import jobs, lease, pacing, show, times
from poller.backfill import Backfill, Wanted
from poller.commands import clients, delivering, opening
from poller.commands.context import Context, note
from poller.config import Config
from poller.errors import ConfigError, LeaseTaken
from poller.events import SCAN_TYPES, EventType
from poller.exit_codes import DONE
from poller.foreground import Foreground
from poller.jobs import AuditPoller
from poller.pacing import limits_for
from poller.show.backfill import backfill_page
from poller.times import utc_now
from state import POLLER, Mode, Store

FITS_WITHIN = timedelta(minutes=10)
"""A backfill is told singly if the chat's pace allows that within so long."""


def run(
    context: Context,
    since: str,
    until: str | None,
    projects: tuple[str, ...],
    types: tuple[EventType, ...],
    deliver: str | None,
    *,
    is_dry: bool,
) -> int:
    config, now = opening.config(context), utc_now()
    start = times.of_option("--since", since, now, config.timezone)
    end = times.of_option("--until", until, now, config.timezone) if until else now
    if start >= end:
        raise ConfigError(f"--since {since} is not before --until {until or 'now'}")
    if SCAN_TYPES & frozenset(types):
        raise ConfigError("--event: scans are not in the audit log, so a backfill cannot find them")
    wanted = Wanted(start, end, frozenset(projects), frozenset(types))
    with opening.store(config) as opened, opening.foreground(opened, lease.BACKFILL) as (store, work):
        harbor = clients.harbor(config)
        poller = AuditPoller(harbor, store, config)
        job = Backfill(harbor, store, poller, wanted, is_dry=is_dry, is_told=deliver != "none")
        seconds = _read_windows(job, work)
        show.write(backfill_page(job.found, wanted, config, seconds, is_dry=is_dry))
        if deliver == "none":
            return DONE
        return _tell_backfill(config, store, work, deliver, job.found.to_tell if is_dry else None)


def _read_windows(job: Backfill, work: Foreground) -> float:
    """Returns how many seconds that took."""
    started = time.monotonic()
    windows = job.windows(utc_now())
    with show.progress("reading", len(windows)) as advance:
        for window in windows:
            work.go_on()
            job.read(window, utc_now())
            advance(1)
    work.go_on()
    job.note_past(utc_now())
    return time.monotonic() - started


def _tell_backfill(config: Config, store: Store, work: Foreground, deliver: str | None, dry: int | None) -> int:
    """Tell what waits, also what an interrupted backfill left. `dry`: only say how so many would be told."""
    store = jobs.over_routes(store, config)
    waiting = _by_chat(store, config) if dry is None else {config.telling_routes[0].chat_id: dry} if dry else {}
    events = sum(waiting.values())
    if not events:
        note("nothing to tell")
        return DONE
    room = {
        chat_id: pacing.room((), utc_now(), FITS_WITHIN.total_seconds(), limits_for(chat_id)) for chat_id in waiting
    }
    fits = all(count <= room[chat_id] for chat_id, count in waiting.items())
    is_single = deliver == "messages" or (deliver is None and fits)
    minutes = max(1, *(round(count / limits_for(chat).per_minute) for chat, count in waiting.items()))
    note(f"{'would tell' if dry is not None else 'telling'} {_how(events, minutes, is_single, deliver)}")
    if dry is not None:
        return DONE
    if is_single:
        store.set_mode(Mode.DIGEST, Mode.SINGLE)
    else:
        store.hold(Mode.DIGEST, until=None)
    with ExitStack() as stack:
        try:
            held = stack.enter_context(opening.holding(store, POLLER, work))
        except LeaseTaken:
            note(f"{_who_tells(store)} will tell them, at the chat's pace")
            return DONE
        advance = stack.enter_context(show.progress("telling", events))
        at_most = max(FITS_WITHIN, timedelta(minutes=2 * minutes))
        return delivering.deliver_all(delivering.tellers(config, held), work, at_most, advance)


def _by_chat(store: Store, config: Config) -> dict[int | str, int]:
    """How much waits for which chat."""
    waiting = Counter[int | str]()
    for route in config.telling_routes:
        waiting[route.chat_id] += store.for_route(route.name).counts().pending
    return dict(+waiting)


def _who_tells(store: Store) -> str:
    holder = store.lease()
    return f"the poller at work ({lease.place(holder.owner)})" if holder else "another poller"


def _how(events: int, minutes: int, is_single: bool, deliver: str | None) -> str:
    plural = "" if events == 1 else "s"
    if is_single:
        return f"{events} event{plural} in single messages, which takes about {minutes} min"
    why = "" if deliver else f"; single messages would take about {minutes} min (--deliver messages)"
    return f"{events} event{plural} in a digest{why}"
