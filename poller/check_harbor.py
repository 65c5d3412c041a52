"""What `check` finds out about Harbor and the account: the way there, the password, the rights, the clock."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from poller import check_log, check_lookups, check_way, versions
from poller.check_lookups import robot_page
from poller.check_way import HARBOR
from poller.config import Config
from poller.errors import NotAllowed, NotFound, OutOfTime, PollerError, WrongCredentials
from poller.events import EventType, Source
from poller.findings import Finding, fine, guarded, listed, unanswered, warning, wrong
from poller.harbor import CurrentUser, Harbor, Log, Reach, ReachKind
from poller.rows import Server

RIGHTS, CLOCK = "rights", "clock"

CLOCK_WARNING = timedelta(seconds=30)
CLOCK_WRONG = timedelta(minutes=5)
OLDEST = (2, 4)

_LOGGED_SINCE: dict[EventType, tuple[int, int]] = {
    EventType.ROBOT_CREATED: (2, 12),
    EventType.ROBOT_DELETED: (2, 12),
    EventType.USER_CREATED: (2, 13),
    EventType.USER_UPDATED: (2, 13),
    EventType.USER_DELETED: (2, 13),
    EventType.LOGIN: (2, 13),
    EventType.LOGIN_REFUSED: (2, 13),
    EventType.LOGOUT: (2, 13),
    EventType.CONFIGURATION_CHANGED: (2, 13),
    EventType.PROJECT_UPDATED: (2, 16),
    EventType.MEMBER_CREATED: (2, 16),
    EventType.MEMBER_UPDATED: (2, 16),
    EventType.MEMBER_DELETED: (2, 16),
}
_OF_THE_SYSTEM = frozenset(
    {EventType.USER_CREATED, EventType.USER_UPDATED, EventType.USER_DELETED, EventType.CONFIGURATION_CHANGED}
    | {EventType.LOGIN, EventType.LOGIN_REFUSED, EventType.LOGOUT}
)


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks whom."""

    user: CurrentUser
    server: Server

    @property
    def version(self) -> versions.Version | None:
        return versions.parse(self.server.version)


def probe(harbor: Harbor, config: Config, now: datetime) -> Iterator[Finding]:
    """Everything about Harbor. Without an answer, or with a wrong password, there is nothing more to ask."""
    started = time.monotonic()
    try:
        _knock(harbor)
        user = _log_in(harbor, config)
    except OutOfTime:
        raise
    except WrongCredentials:
        yield check_way.refused(config.harbor, is_known=_is_known_on_public_paths(harbor))
        return
    except PollerError as error:
        yield check_way.blocked(error, config.harbor)
        return
    server, of_clock = _ask_server(harbor, now, started)
    account = Account(user, server)
    yield from (*_account(account, config), *_version(account, config), *of_clock)
    reach, of_reach = _find_reach(harbor, account, config)
    yield from of_reach
    if reach is not None:
        clock = server.clock or now
        yield from guarded(RIGHTS, lambda: check_lookups.probe(harbor, config, user, reach, clock))
        yield from check_log.probe(harbor, config, user, reach, account.version, clock)
    yield _unseen()


def _ask_server(harbor: Harbor, now: datetime, started: float) -> tuple[Server, list[Finding]]:
    """`now` is this machine's time at `started` (monotonic, s): what was asked since may have taken long."""
    try:
        server = harbor.server()
    except OutOfTime:
        raise
    except PollerError as error:
        return Server(None, None, None, is_authenticated=True), [unanswered(HARBOR, error)]
    return server, [*_clock(server, now + timedelta(seconds=time.monotonic() - started))]


# -- the way there ----------------------------------------------------------------------------------


def _knock(harbor: Harbor) -> None:
    try:
        harbor.ping()
    except NotFound:  # something before Harbor may let only the paths through that are needed
        pass
    except WrongCredentials as error:  # not by Harbor, which asks nobody for a password here
        raise NotAllowed(str(error)) from None


def _log_in(harbor: Harbor, config: Config) -> CurrentUser:
    """Public answers prove nothing, they are given to a wrong password too: ask what strangers are refused."""
    try:
        return harbor.current_user()
    except (NotAllowed, NotFound):
        return CurrentUser(config.harbor.username, is_sysadmin=False, is_robot="$" in config.harbor.username)


def _is_known_on_public_paths(harbor: Harbor) -> bool:
    try:
        return harbor.server().is_authenticated
    except PollerError:
        return False


# -- who and what -----------------------------------------------------------------------------------


def _account(account: Account, config: Config) -> Iterator[Finding]:
    user, version = account.user, account.server.version or "of an unknown version"
    kind = "a robot" if user.is_robot else "a system administrator" if user.is_sysadmin else "a user"
    yield fine(
        "harbor.login",
        HARBOR,
        f"{config.harbor.url} is Harbor {version}; {user.name} is {kind} there, and the password is right",
    )
    if user.is_robot:
        return
    cost = "costs" if (account.version or (0,)) >= (2, 16) else "will cost, from 2.16 on,"
    yield warning(
        "harbor.user_instead_of_robot",
        HARBOR,
        f"{user.name} is a user, not a robot: a user's password {cost} Harbor 100 ms of CPU in every request"
        + (", and may change everything in Harbor" if user.is_sysadmin else ""),
        "Administration → Robot Accounts → New Robot Account: create a robot account (README says with which rights)"
        " and put it into [harbor] username and password",
    )


def _version(account: Account, config: Config) -> Iterator[Finding]:
    version = account.version
    if account.server.is_read_only:
        yield warning(
            "harbor.read_only",
            HARBOR,
            "Harbor is in read-only mode: nobody can push or delete anything, so only pulls are told",
            "after the maintenance, Administration → Configuration → System Settings: switch Repository Read Only off",
        )
    if version is None:
        return
    if version < OLDEST:
        text = f"Harbor {account.server.version} is too old: this needs 2.4 or newer"
        yield wrong("harbor.too_old", HARBOR, text, "upgrade Harbor to 2.4 or newer, step by step as its manual says")
    if version in versions.SILENT_ON_KNOWN_DIGESTS:
        yield warning(
            "harbor.silent_on_known_images",
            HARBOR,
            f"Harbor {account.server.version} logs no push of an image that it has already, under a new tag for"
            " instance: it cannot be told",
            "upgrade Harbor to 2.12.1 or newer",
        )
    for since in sorted(set(_LOGGED_SINCE.values())):
        early = [type_ for type_ in _wanted(config, _LOGGED_SINCE) if _LOGGED_SINCE[type_] == since]
        if early and version[:2] < since:
            yield warning(
                "harbor.logs_it_later",
                HARBOR,
                f"[events] {', '.join(early)}: Harbor logs that only since {since[0]}.{since[1]}",
                "upgrade Harbor, or set it to false",
            )


def _wanted(config: Config, types: Iterable[EventType]) -> list[EventType]:
    return sorted(type_ for type_ in types if type_ in config.events)


def _clock(server: Server, now: datetime) -> Iterator[Finding]:
    if server.clock is None:
        return
    offset = now - server.clock
    if abs(offset) <= CLOCK_WARNING:
        yield fine("clock.agrees", CLOCK, "this machine's clock and Harbor's agree")
        return
    side = "ahead of" if offset > timedelta(0) else "behind"
    text = f"this machine's clock is {_duration(abs(offset))} {side} Harbor's"
    remedy = "let both machines take their time from NTP: timedatectl set-ntp true"
    is_wrong = abs(offset) > CLOCK_WRONG
    yield wrong("clock.wrong", CLOCK, text, remedy) if is_wrong else warning("clock.off", CLOCK, text, remedy)


def _duration(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


# -- what the account can see -----------------------------------------------------------------------


def _find_reach(harbor: Harbor, account: Account, config: Config) -> tuple[Reach | None, list[Finding]]:
    try:
        reach = harbor.reach(config.harbor.projects)
    except OutOfTime:
        raise
    except PollerError as error:
        return None, [unanswered(RIGHTS, error)]
    found = [*_reach(reach, account, config)]
    found += guarded(RIGHTS, lambda: _projects(harbor, reach, account, config))
    return reach, found


def _reach(reach: Reach, account: Account, config: Config) -> Iterator[Finding]:
    name = account.user.name
    if reach.kind is ReachKind.SYSTEM:
        yield fine("rights.whole_log", RIGHTS, f"{name} reads the whole audit log (/api/v2.0{Log(reach.table).path})")
    elif reach.kind is ReachKind.PROJECTS:
        projects = listed(reach.projects)
        yield fine(
            "rights.logs_of_projects",
            RIGHTS,
            f"{name} reads the audit log of {projects}, and of no other project; one request each a poll",
        )
        yield from _not_in_projects(account.user, config)
    else:
        yield _blind(reach, account)


def _not_in_projects(user: CurrentUser, config: Config) -> Iterator[Finding]:
    missing = _wanted(config, _OF_THE_SYSTEM)
    if missing:
        yield warning(
            "rights.not_in_projects",
            RIGHTS,
            f"[events] {', '.join(missing)}: they are not in the projects' logs",
            f'{robot_page(user.name)} → Edit: grant the robot the system permission "Audit Log: List" (audit-log:'
            " list), or set them to false",
        )


def _blind(reach: Reach, account: Account) -> Finding:
    user, is_new = account.user, reach.table is Source.NEW_LOG
    if user.is_robot and not is_new and not reach.unreadable:
        text = (
            f"Harbor shows {user.name} an empty audit log: there is no row yet, or a right is missing; before Harbor"
            " 2.13 the two look the same"
        )
    else:
        text = f"{user.name} sees nothing: Harbor answers with an empty audit log (200 []), whatever happens"
    return wrong("rights.blind", RIGHTS, text, _grant(user, is_new))


def _grant(user: CurrentUser, is_new: bool) -> str:
    """Which right to grant, in the words of Harbor's form and of its API."""
    if user.is_robot and "+" in user.name:
        return f'{robot_page(user.name)} → Edit: grant "Log: List" (log: list) on its project, or use a system robot'
    if user.is_robot:
        return (
            f'{robot_page(user.name)} → Edit: grant the system permission "Audit Log: List" (audit-log: list) to see'
            ' everything, or on its projects "Log: List" (log: list)'
        )
    if is_new:
        return (
            f"Projects → … → Members → {user.name} → Action: make {user.name} a project administrator: since Harbor"
            " 2.13 maintainers, developers and guests may not read the log any more; a robot with the system permission"
            " audit-log: list is better"
        )
    return f"Projects → … → Members → + User: make {user.name} a member (any role), or use a robot with audit-log: list"


def _projects(harbor: Harbor, reach: Reach, account: Account, config: Config) -> Iterator[Finding]:
    """The configured projects that cannot be read, and why."""
    known: tuple[str, ...] | None = None
    for name in config.harbor.projects:
        if reach.kind is not ReachKind.SYSTEM and name not in reach.unreadable:
            continue
        if harbor.project(name) is None:
            known = harbor.project_names() if known is None else known
            yield _unknown_project(name, known, reach, account)
        elif reach.kind is ReachKind.PROJECTS:
            remedy = _grant(account.user, reach.table is Source.NEW_LOG)
            text = f"{account.user.name} may not read the log of the project {name}"
            yield wrong("rights.closed_project", RIGHTS, text, remedy)


def _unknown_project(name: str, known: tuple[str, ...], reach: Reach, account: Account) -> Finding:
    near = difflib.get_close_matches(name, known, n=1)
    remedy = f'correct [harbor] projects: is "{near[0]}" meant?' if near else "correct [harbor] projects"
    if account.user.is_sysadmin:
        return wrong("rights.no_project", RIGHTS, f'[harbor] projects: there is no project "{name}"', remedy)
    text = f'[harbor] projects: there is no project "{name}", or {account.user.name} may not see it'
    if reach.kind is ReachKind.SYSTEM:  # its rows would be seen all the same
        return warning("rights.project_not_seen", RIGHTS, text, remedy)
    return wrong(
        "rights.no_project_or_right",
        RIGHTS,
        text,
        f"{remedy}, or {_grant(account.user, reach.table is Source.NEW_LOG)}",
    )


# -- what nobody can see ----------------------------------------------------------------------------


def _unseen() -> Finding:
    return fine(
        "audit_log.never_logged",
        check_log.LOG,
        "what Harbor never logs cannot be told: images removed by garbage collection, looks without a pull (HEAD),"
        " quotas, replication and retention runs (see the README)",
    )
