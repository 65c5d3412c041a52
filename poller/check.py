"""`check`: find what would keep events from being told, and say who can mend it and how.

Each probe is on its own: what one finds wrong hides nothing of the others. Nothing is changed, except that the
state database is created or brought up to date, and with `--send` a message is sent.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from urllib.parse import urlsplit

import formatters
from poller import check_harbor, check_routes, check_telegram, lease
from poller.config import Config
from poller.events import Gap
from poller.findings import Finding, Report, fine, guarded, warning, wrong
from poller.harbor import Harbor
from poller.jobs import over_routes
from poller.routes import DEFAULT
from poller.telegram import Telegram
from state import RouteState, Store

__all__ = ["Finding", "Report", "check"]

CONFIGURATION, DATABASE, TELEGRAM = "configuration", "database", "Telegram"

LEAST_ROOM = 16 * 2**20

OpenStore = Callable[[], AbstractContextManager[Store]]


def check(
    config: Config, harbor: Harbor, telegram: Telegram, open_store: OpenStore, *, is_sending: bool, now: datetime
) -> Report:
    """Everything that can be found out now. `is_sending`: send a test message to the chat as well."""

    def test_message(language: str) -> str:
        return formatters.test_message(formatters.Style(language, config.timezone, config.escape_chars))

    routes = config.telling_routes
    return Report(
        (
            *_configuration(config, now),
            *check_routes.probe(config),
            *check_harbor.probe(harbor, config, now),
            *check_telegram.probe(telegram, config.telegram, routes, test_message if is_sending else None),
            *guarded(DATABASE, lambda: _database(open_store, config, now)),
        )
    )


def _configuration(config: Config, now: datetime) -> Iterator[Finding]:
    local = now.astimezone(config.timezone)
    yield fine(CONFIGURATION, f"{config.path} can be read; times are told in {_zone(config)}, now {local:%H:%M}")
    for text in config.warnings:
        what, _, remedy = text.partition("; ")
        yield warning(CONFIGURATION, what, remedy)
    if config.missing_escapes:
        lacking = " ".join(config.missing_escapes)
        yield warning(
            CONFIGURATION,
            f"[markdown] escape_chars lacks {lacking} which Telegram wants escaped; it is escaped all the same",
            "nothing has to be done; add them so that the list says what happens",
        )


def _zone(config: Config) -> str:
    return str(config.timezone)


# -- the database -----------------------------------------------------------------------------------


def _database(open_store: OpenStore, config: Config, now: datetime) -> Iterator[Finding]:
    with open_store() as store:
        counts = over_routes(store, config).counts()
        events = counts.pending + counts.sent + counts.folded + counts.refused + counts.off
        yield _room(config) or fine(DATABASE, f"{_place(config)} can be written; it holds {_number(events, 'event')}")
        yield _lease(store, now)
        yield from map(_gap, store.open_gaps())
        for route in config.telling_routes:
            mine = store.for_route(route.name)
            state = mine.route(str(route.chat_id), route.message_thread_id)
            yield from _route(state, mine.counts().pending, now)


def _room(config: Config) -> Finding | None:
    """A file may be opened on a full disk, and small things written for a while."""
    file = config.state.file
    free = shutil.disk_usage(file.parent).free if file is not None else LEAST_ROOM
    if free >= LEAST_ROOM:
        return None
    return wrong(
        DATABASE, f"only {free >> 20} MiB are free where {file} is", f"free space on the file system of {file}"
    )


def _gap(gap: Gap) -> Finding:
    """What the poller has noticed while running."""
    since = gap.began_at.isoformat(timespec="seconds")
    return warning(DATABASE, f"not seen since {since}: {gap.source} ({gap.reason})", "`status` says what closes it")


def _place(config: Config) -> str:
    """Where the state is, without a password."""
    url = config.state.url.reveal()
    scheme, _, path = url.partition(":///")
    if scheme.startswith("sqlite"):
        return path
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _lease(store: Store, now: datetime) -> Finding:
    holder = store.lease()
    if holder is None or holder.expires_at <= now or lease.is_dead(holder.owner):
        return fine(DATABASE, "no poller is at work on it at this moment")
    since = holder.acquired_at.isoformat(timespec="seconds")
    return fine(DATABASE, f"a poller is at work on it since {since}: {lease.place(holder.owner)}")


def _route(route: RouteState, pending: int, now: datetime) -> Iterator[Finding]:
    """What was learnt of the chat while telling."""
    home, of = ("[telegram]", "") if route.name == DEFAULT else (f'[[route]] "{route.name}"', f'route "{route.name}": ')
    if route.moved_to is not None:
        yield warning(
            TELEGRAM,
            f"{of}the group {route.chat_id} was upgraded to a supergroup; messages go to its new number"
            f" {route.moved_to}",
            f'put chat_id = "{route.moved_to}" into {home}',
        )
    if route.topic_lost:
        yield warning(
            TELEGRAM,
            f"{of}the topic {route.thread_id} was gone or closed when last written to; messages go to the chat itself",
            f"correct {home} message_thread_id",
        )
    if route.blocked_until is not None and route.blocked_until > now:
        until = route.blocked_until.isoformat(timespec="seconds")
        yield warning(
            TELEGRAM,
            f"{of}the last message was not accepted ({route.reason}); {_number(pending, 'event')} wait until {until}",
        )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
