"""What `check` finds out about the state database, without touching it: could it be used, and what is in it?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime

from poller import here, lease
from poller.config import Config
from poller.events import Gap
from poller.findings import WRONG, Finding, fine, warning, wrong
from poller.jobs import over_routes
from poller.routes import DEFAULT
from poller.values import replace
from poller.words import number
from state import RouteState, Store
from state.look import Age, Hitch, Look, Trouble, look

DATABASE, TELEGRAM = "database", "Telegram"

LEAST_ROOM = 16 * 2**20
"""A file may be opened on a full disk, and small things written for a while."""


def probe(config: Config, now: datetime) -> Iterator[Finding]:
    with look(config.state.url.reveal()) as seen:
        if seen.hitches:
            yield from (_hitch(hitch, seen, config) for hitch in seen.hitches)
        elif seen.free is not None and seen.free < LEAST_ROOM:
            yield _little_room(seen)
        elif seen.age is Age.NONE:
            yield fine(
                "database.not_made_yet", DATABASE, f"{seen.place} is not there yet: `run` or `once` will make it"
            )
        elif seen.age is Age.OLDER:
            yield _older(seen, config)
        if store := seen.store(config.harbor.url, DEFAULT):
            yield from _content(store, seen, config, now)


def late(seconds: float) -> Finding:
    return Finding(
        "database.too_slow",
        WRONG,
        DATABASE,
        f"the state database did not answer in time ({seconds:.1f} s)",
        "a server behind a firewall: correct [state] url; a slow disk or link: `check --timeout 30`",
        is_passing=True,
    )


def _older(seen: Look, config: Config) -> Finding:
    is_copied = config.state.file is not None
    before = "a copy is made then, if there is room; one of your own" if is_copied else "take a copy before"
    return warning(
        "database.older",
        DATABASE,
        f"{seen.place} was written by an older version (schema {seen.revision}): the next start of `run` or `once`"
        " brings it up to date, and the older version cannot use it any more",
        f"{before}: {_copy(seen, config)}",
    )


def _copy(seen: Look, config: Config) -> str:
    if config.state.file is None:
        return f"pg_dump --file=harbor-poller.sql {_libpq(seen)}"
    return f"sqlite3 {seen.place} \".backup '{seen.place}.{seen.revision}'\""


def _libpq(seen: Look) -> str:
    return seen.place.replace("postgresql+psycopg://", "postgresql://")


def _little_room(seen: Look) -> Finding:
    return wrong(
        "database.little_room",
        DATABASE,
        f"only {(seen.free or 0) >> 20} MiB are free where {seen.place} is",
        f"free space on the file system of {seen.place} (df -h, du -xh)",
    )


# -- what is wrong with it --------------------------------------------------------------------------

_OF_FILE: dict[Trouble, tuple[str, str, str]] = {
    Trouble.IS_FOLDER: (
        "database.is_folder",
        "{place} is a directory",
        'name a file in it: [state] url = "sqlite:///{place}/state.db"',
    ),
    Trouble.NO_FILE: (
        "database.no_file",
        "{place} is no ordinary file",
        'name a file: [state] url = "sqlite:///state.db"',
    ),
    Trouble.NO_FOLDER: (
        "database.no_folder",
        "the directory of {place} does not exist",
        "mkdir -p {about}; or name another in [state] url",
    ),
    Trouble.LOOP: (
        "database.link_to_itself",
        "{place} is a symbolic link that leads back to itself",
        "rm {place} (the next start makes a new one); or correct [state] url",
    ),
    Trouble.CLOSED: (
        "database.closed_folder",
        "this user ({user}) may not go through {about}, which is on the way to {place}",
        "chmod a+x {about}; or name a file elsewhere in [state] url",
    ),
    Trouble.NOT_ALLOWED: (
        "database.not_allowed",
        "{about} may not be read and written by this user ({user}); SQLite writes the file and others beside it",
        "chown {user} {about} && chmod u+rwX {about}; or run `check` as the user that the poller runs as",
    ),
    Trouble.READ_ONLY: (
        "database.read_only",
        "{about} is on a file system that can only be read",
        "mount -o remount,rw $(findmnt -n -o TARGET -T {folder}); or name a file elsewhere in [state] url",
    ),
    Trouble.FULL: (
        "database.full",
        "there is no room to write: the disk of {about} is full, or the user's quota used up",
        "free space on the file system of {place} (df -h; df -i counts files), or raise the quota; what waits is told"
        " then",
    ),
    Trouble.NO_DATABASE: (
        "database.not_a_database",
        "{place} is something else than a database",
        "mv {place} {place}.bad (the next start makes a new one); or correct [state] url",
    ),
    Trouble.FOREIGN: (
        "database.foreign",
        "{place} holds tables of something else",
        "name a file of its own in [state] url; it is made at the next start",
    ),
    Trouble.DAMAGED: (
        "database.damaged",
        "{place} is damaged: {about}",
        "stop the poller and put the last backup in its place; without one: mv {place} {place}.bad, and the next start"
        " makes a new one (tell the gap with `backfill`)",
    ),
    Trouble.LOCKED: (
        "database.locked",
        "{place} is held by the process {about}, so that nothing can be written",
        "look what it is (ps -fp {about}), and end it: kill {about}",
    ),
}
_OF_SERVER: dict[Trouble, tuple[str, str, str]] = {
    Trouble.AWAY: (
        "database.away",
        "{place} does not answer: {about}",
        "start PostgreSQL there (systemctl start postgresql), or correct host and port in [state] url",
    ),
    Trouble.LOGIN: (
        "database.login_refused",
        "{place} does not let the poller in: {about}",
        "correct user and password in [state] url; or in psql: ALTER ROLE … LOGIN PASSWORD '…' (and pg_hba.conf)",
    ),
    Trouble.NOT_THERE: (
        "database.not_there",
        "{place}: {about}",
        "createdb it, owned by the poller's role; or correct the name in [state] url",
    ),
    Trouble.NO_RIGHTS: (
        "database.no_rights",
        "{place}: the role may not write: {about}",
        "in psql, as the owner of the database: GRANT ALL ON SCHEMA public TO the role; and GRANT ALL ON ALL TABLES IN"
        " SCHEMA public TO the role",
    ),
    Trouble.READ_ONLY: (
        "database.server_read_only",
        "{place} can only be read: {about}",
        "name the primary server in [state] url: this one is a standby, or has default_transaction_read_only on",
    ),
    Trouble.FULL: ("database.server_full", "{place} has no room: {about}", "free space on the server's disk"),
    Trouble.LOCKED: (
        "database.server_locked",
        "{place}: another session holds a table: {about}",
        "find and end it in psql: SELECT pid, query FROM pg_stat_activity WHERE state LIKE 'idle in%';"
        " SELECT pg_terminate_backend(pid)",
    ),
    Trouble.FOREIGN: (
        "database.server_foreign",
        "{place} holds tables of something else",
        "make a database of its own (createdb harbor_poller) and name that in [state] url",
    ),
}
_OF_BOTH: dict[Trouble, tuple[str, str, str]] = {
    Trouble.NEWER: (
        "database.newer",
        "{place} was written by a newer version of harbor-poller (schema {about})",
        "install the newer harbor-poller again, or stop it and put the copy from before the upgrade back in its place",
    ),
    Trouble.UNUSABLE: ("database.unusable", "{place} cannot be used: {about}", "correct [state] url"),
}
_PASSING = frozenset({Trouble.AWAY, Trouble.LOCKED, Trouble.FULL})
"""The work goes on by itself once these are over."""


def _hitch(hitch: Hitch, seen: Look, config: Config) -> Finding:
    if hitch.trouble is Trouble.NO_FOLDER and hitch.about == str(here.STATE_FOLDER):
        return _before_first_start(hitch.about)
    own = _OF_SERVER if config.state.file is None else _OF_FILE
    code, text, remedy = (own | _OF_BOTH).get(hitch.trouble, _OF_BOTH[Trouble.UNUSABLE])
    words = {
        "place": seen.place,
        "about": hitch.about,
        "user": os.geteuid(),
        "folder": config.state.file.parent if config.state.file else "",
    }
    is_passing = hitch.trouble in _PASSING
    found = wrong(code, DATABASE, text.format(**words), remedy.format(**words))
    return replace(found, is_passing=True) if is_passing else found


def _before_first_start(folder: str) -> Finding:
    return warning(
        "database.service_not_started_yet",
        DATABASE,
        f"{folder} is not there yet: the systemd service makes it at its first start",
        f"systemctl start harbor-poller; or, without systemd: mkdir -p {folder}",
    )


# -- what is in it ----------------------------------------------------------------------------------


def _content(store: Store, seen: Look, config: Config, now: datetime) -> Iterator[Finding]:
    counts = over_routes(store, config).counts()
    events = counts.pending + counts.sent + counts.folded + counts.refused + counts.off
    if not seen.hitches:
        yield fine("database.usable", DATABASE, f"{seen.place} can be written; it holds {number(events, 'event')}")
    yield _lease(store, now)
    yield from map(_gap, store.open_gaps())
    for route in config.telling_routes:
        mine = store.for_route(route.name)
        yield from _route(mine.route(str(route.chat_id), route.message_thread_id), mine.counts().pending, now)


def _gap(gap: Gap) -> Finding:
    """What the poller has noticed while running."""
    since = gap.began_at.isoformat(timespec="seconds")
    text = f"not seen since {since}: {gap.source} ({gap.reason})"
    return warning("database.gap", DATABASE, text, "`status` says what closes it")


def _lease(store: Store, now: datetime) -> Finding:
    holder = store.lease()
    if holder is None or holder.expires_at <= now or lease.is_dead(holder.owner):
        return fine("database.no_poller", DATABASE, "no poller is at work on it at this moment")
    since = holder.acquired_at.isoformat(timespec="seconds")
    at_work = f"a poller is at work on it since {since}: {lease.place(holder.owner)}"
    return fine("database.poller_at_work", DATABASE, at_work)


def _route(route: RouteState, pending: int, now: datetime) -> Iterator[Finding]:
    """What was learnt of the chat while telling."""
    home, of = ("[telegram]", "") if route.name == DEFAULT else (f'[[route]] "{route.name}"', f'route "{route.name}": ')
    if route.moved_to is not None:
        yield warning(
            "telegram.chat_has_moved",
            TELEGRAM,
            f"{of}the group {route.chat_id} was upgraded to a supergroup; messages go to its new number"
            f" {route.moved_to}",
            f'put chat_id = "{route.moved_to}" into {home}',
        )
    if route.topic_lost:
        yield warning(
            "telegram.topic_was_lost",
            TELEGRAM,
            f"{of}the topic {route.thread_id} was gone or closed when last written to; messages go to the chat itself",
            f"open the topic again, or correct {home} message_thread_id; `check --send` tries it",
        )
    if route.blocked_until is not None and route.blocked_until > now:
        until = route.blocked_until.isoformat(timespec="seconds")
        yield warning(
            "telegram.last_not_accepted",
            TELEGRAM,
            f"{of}the last message was not accepted ({route.reason}); {number(pending, 'event')}"
            f" {'waits' if pending == 1 else 'wait'} until {until}",
            "mend what is said of the chat above, if anything is: the poller tries again by itself",
        )
