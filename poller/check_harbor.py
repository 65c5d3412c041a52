"""What `check` finds out about Harbor and the account: the way there, the password, the rights, the clock."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from poller import check_log, normalize
from poller.config import Config
from poller.errors import (
    HarborUnreachable,
    NotAllowed,
    NotFound,
    PollerError,
    Temporary,
    UntrustedCertificate,
    WrongCredentials,
)
from poller.events import EventType, Source
from poller.findings import Finding, failure, fine, guarded, warning, wrong
from poller.harbor import CurrentUser, Harbor, Log, Reach, ReachKind
from poller.rows import EPOCH, Server

HARBOR, RIGHTS, CLOCK = "Harbor", "rights", "clock"

CLOCK_WARNING = timedelta(seconds=30)
CLOCK_WRONG = timedelta(minutes=5)
OLDEST = (2, 4)
SILENT_ON_KNOWN_DIGESTS = ((2, 11, 1), (2, 11, 2), (2, 12, 0))
MOST_PROJECTS = 3  # that look-ups are tried in
RECENT = timedelta(days=7)

Version = tuple[int, ...]

_LOGGED_SINCE: dict[EventType, Version] = {
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
    def version(self) -> Version | None:
        found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", self.server.version or "")
        return tuple(int(part or 0) for part in found.groups()) if found else None


def probe(harbor: Harbor, config: Config, now: datetime) -> list[Finding]:
    """Everything about Harbor. Without an answer, or with a wrong password, there is nothing more to ask."""
    started = time.monotonic()
    try:
        _knock(harbor)
        user = _log_in(harbor, config)
    except WrongCredentials:
        return [_wrong_credentials(harbor, config)]
    except PollerError as error:
        return [failure(HARBOR, error, _way_to_harbor(error, config))]
    found: list[Finding] = []
    server = Server(None, None, None, is_authenticated=True)
    try:
        server = harbor.server()
        found += _clock(server, now + timedelta(seconds=time.monotonic() - started))
    except PollerError as error:
        found.append(failure(HARBOR, error))
    account = Account(user, server)
    found[:0] = [*_account(account, config), *_version(account, config)]
    reach, of_reach = _find_reach(harbor, account, config)
    found += of_reach
    if reach is not None:
        found += guarded(RIGHTS, lambda: _lookups(harbor, account, config, reach, server.clock or now))
        found += check_log.probe(harbor, config, user, reach, account.version, server.clock or now)
    found.append(_unseen())
    return found


# -- the way there ----------------------------------------------------------------------------------


def _knock(harbor: Harbor) -> None:
    with suppress(NotFound):  # something before Harbor may let only the paths through that are needed
        harbor.ping()


def _log_in(harbor: Harbor, config: Config) -> CurrentUser:
    """Public answers prove nothing, they are given to a wrong password too: ask what strangers are refused."""
    try:
        return harbor.current_user()
    except (NotAllowed, NotFound):
        return CurrentUser(config.harbor.username, is_sysadmin=False, is_robot="$" in config.harbor.username)


_WAYS = (
    (r"name or service|name resolution|nodename", "correct the host in [harbor] url, or this machine's DNS"),
    (r"refused", "nothing listens there: correct the port in [harbor] url, or start Harbor"),
    (
        r"no connection within|no whole answer|timed out|unreachable|no route",
        "is a firewall in between? A proxy goes into [harbor] proxy; a slow Harbor needs a longer [harbor] timeout",
    ),
    (r"the proxy", "correct [harbor] proxy, or start the proxy"),
    (r"tls", "is it https that Harbor speaks on this port? Correct [harbor] url"),
)


def _way_to_harbor(error: PollerError, config: Config) -> str:
    if isinstance(error, UntrustedCertificate) and config.harbor.ca_file is not None:
        return f"is {config.harbor.ca_file} the certificate of the one who issued Harbor's? Correct [harbor] ca_file"
    if not isinstance(error, HarborUnreachable):
        return "is Harbor being started or upgraded? Try again in a minute" if isinstance(error, Temporary) else ""
    said = str(error).lower()
    return next((remedy for pattern, remedy in _WAYS if re.search(pattern, said)), "")


def _wrong_credentials(harbor: Harbor, config: Config) -> Finding:
    name = config.harbor.username
    if _is_known_on_public_paths(harbor):
        return wrong(
            HARBOR,
            f"Harbor knows {name}, but not for the audit log: the CLI secret of a user who logs in by OIDC is only good"
            " for a few requests",
            "use a robot account in [harbor] username and password",
        )
    return wrong(
        HARBOR,
        f"Harbor refuses {name} with this password (401, also after a pause)",
        "correct [harbor] username (a robot's with its prefix, as in 'robot$poller') and password; an expired or"
        " disabled robot is refused in the same way: look at it in Administration, Robot Accounts",
    )


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
        HARBOR, f"{config.harbor.url} is Harbor {version}; {user.name} is {kind} there, and the password is right"
    )
    if user.is_robot:
        return
    cost = "costs" if (account.version or (0,)) >= (2, 16) else "will cost, from 2.16 on,"
    yield warning(
        HARBOR,
        f"{user.name} is a user, not a robot: a user's password {cost} Harbor 100 ms of CPU in every request"
        + (", and may change everything in Harbor" if user.is_sysadmin else ""),
        "create a robot account (README) and put it into [harbor] username and password",
    )


def _version(account: Account, config: Config) -> Iterator[Finding]:
    version = account.version
    if version is None:
        return
    if version < OLDEST:
        yield wrong(HARBOR, f"Harbor {account.server.version} is too old: this needs 2.4 or newer", "upgrade Harbor")
    if version in SILENT_ON_KNOWN_DIGESTS:
        yield warning(
            HARBOR,
            f"Harbor {account.server.version} logs no push of an image that it has already, under a new tag for"
            " instance: it cannot be told",
            "upgrade Harbor to 2.12.1 or newer",
        )
    for since in sorted(set(_LOGGED_SINCE.values())):
        early = [type_ for type_ in _wanted(config, _LOGGED_SINCE) if _LOGGED_SINCE[type_] == since]
        if early and version[:2] < since:
            yield warning(
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
        yield fine(CLOCK, "this machine's clock and Harbor's agree")
        return
    side = "ahead of" if offset > timedelta(0) else "behind"
    text = f"this machine's clock is {_duration(abs(offset))} {side} Harbor's"
    found = wrong if abs(offset) > CLOCK_WRONG else warning
    yield found(CLOCK, text, "let both machines take their time from NTP: timedatectl set-ntp true")


def _duration(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


# -- what the account can see -----------------------------------------------------------------------


def _find_reach(harbor: Harbor, account: Account, config: Config) -> tuple[Reach | None, list[Finding]]:
    try:
        reach = harbor.reach(config.harbor.projects)
    except PollerError as error:
        return None, [failure(RIGHTS, error)]
    found = [*_reach(reach, account, config)]
    found += guarded(RIGHTS, lambda: _projects(harbor, reach, account, config))
    return reach, found


def _reach(reach: Reach, account: Account, config: Config) -> Iterator[Finding]:
    name = account.user.name
    if reach.kind is ReachKind.SYSTEM:
        yield fine(RIGHTS, f"{name} reads the whole audit log (/api/v2.0{Log(reach.table).path})")
    elif reach.kind is ReachKind.PROJECTS:
        projects = _listed(reach.projects)
        yield fine(
            RIGHTS, f"{name} reads the audit log of {projects}, and of no other project; one request each a poll"
        )
        yield from _not_in_projects(config)
    else:
        yield _blind(reach, account)


def _not_in_projects(config: Config) -> Iterator[Finding]:
    missing = _wanted(config, _OF_THE_SYSTEM)
    if missing:
        yield warning(
            RIGHTS,
            f"[events] {', '.join(missing)}: they are not in the projects' logs",
            'grant the robot the system permission "Audit Log: List" (audit-log: list), or set them to false',
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
    return wrong(RIGHTS, text, _grant(user, is_new))


def _grant(user: CurrentUser, is_new: bool) -> str:
    """Which right to grant, in the words of Harbor's form and of its API."""
    if user.is_robot and "+" in user.name:
        return f'grant {user.name} "Log: List" (log: list) on its project, or use a system robot'
    if user.is_robot:
        return (
            f'grant {user.name} the system permission "Audit Log: List" (audit-log: list) to see everything, or on its'
            ' projects "Log: List" (log: list)'
        )
    if is_new:
        return (
            f"make {user.name} a project administrator: since Harbor 2.13 maintainers, developers and guests may not"
            " read the log any more; a robot with the system permission audit-log: list is better"
        )
    return f"make {user.name} a member of the projects (any role), or use a robot with audit-log: list"


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
            yield wrong(RIGHTS, f"{account.user.name} may not read the log of the project {name}", remedy)


def _unknown_project(name: str, known: tuple[str, ...], reach: Reach, account: Account) -> Finding:
    near = difflib.get_close_matches(name, known, n=1)
    remedy = f'correct [harbor] projects: is "{near[0]}" meant?' if near else "correct [harbor] projects"
    if account.user.is_sysadmin:
        return wrong(RIGHTS, f'[harbor] projects: there is no project "{name}"', remedy)
    text = f'[harbor] projects: there is no project "{name}", or {account.user.name} may not see it'
    if reach.kind is ReachKind.SYSTEM:  # its rows would be seen all the same
        return warning(RIGHTS, text, remedy)
    return wrong(RIGHTS, text, f"{remedy}, or {_grant(account.user, reach.table is Source.NEW_LOG)}")


# -- what rows do not say ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sample:
    """Something to try look-ups on. It was there a while ago; whether it still is does not matter for the rights."""

    repository: str
    reference: str = "latest"

    @property
    def project(self) -> str:
        return self.repository.partition("/")[0]


def _lookups(harbor: Harbor, account: Account, config: Config, reach: Reach, now: datetime) -> Iterator[Finding]:
    if reach.kind is ReachKind.BLIND:
        return
    samples = _samples(harbor, config, reach, now)
    if not samples:
        yield fine(RIGHTS, "there is no repository yet to try look-ups on")
        return
    lacking: dict[str, list[str]] = {}
    for sample in samples:
        for right in _lacking(harbor, sample, reach):
            lacking.setdefault(right, []).append(sample.project)
    if lacking:
        yield _missing_rights(lacking, account, reach)
    else:
        yield fine(
            RIGHTS, f"look-ups of projects, repositories and artifacts work (tried in {_listed(_names(samples))})"
        )


def _names(samples: list[_Sample]) -> tuple[str, ...]:
    return tuple(sample.project for sample in samples)


def _samples(harbor: Harbor, config: Config, reach: Reach, now: datetime) -> list[_Sample]:
    """One repository each of some projects; private ones first, for everybody may look into public ones."""
    by_project: dict[str, _Sample] = {}
    for sample in (*_logged(harbor, reach, now), *_listed_repositories(harbor)):
        if not config.harbor.projects or sample.project in config.harbor.projects:
            by_project.setdefault(sample.project, sample)
    candidates = list(by_project.values())[: 3 * MOST_PROJECTS]
    projects = {sample.project: harbor.project(sample.project) for sample in candidates}
    there = [sample for sample in candidates if projects[sample.project] is not None]
    there.sort(key=lambda sample: bool((project := projects[sample.project]) and project.is_public))
    return (there or candidates[:1])[:MOST_PROJECTS]


def _listed_repositories(harbor: Harbor) -> list[_Sample]:
    try:
        return [_Sample(each.name) for each in harbor.repositories(sort="-creation_time", most=50)]
    except (NotAllowed, NotFound):
        return []


def _logged(harbor: Harbor, reach: Reach, now: datetime) -> Iterator[_Sample]:
    for log in reach.logs[:MOST_PROJECTS]:
        for row in harbor.rows_since(log, now - RECENT, most=50, resource_type="artifact"):
            entry = normalize.read(row)
            if entry.repository and row.operation != "delete":
                yield _Sample(entry.repository, entry.tag or entry.digest or "latest")


def _lacking(harbor: Harbor, sample: _Sample, reach: Reach) -> Iterator[str]:
    """The rights that the account lacks there, in the words of Harbor's API."""
    if harbor.project(sample.project) is None:
        yield "project: read"
    try:
        harbor.repository_created(sample.repository)
    except NotAllowed:
        yield "repository: read"
    try:
        harbor.artifact(sample.repository, sample.reference)
    except NotAllowed:
        yield "artifact: read"
    if reach.table is Source.OLD_LOG:
        try:
            harbor.artifacts_pushed(sample.repository, EPOCH, EPOCH)
        except NotAllowed:
            yield "artifact: list"


def _missing_rights(lacking: dict[str, list[str]], account: Account, reach: Reach) -> Finding:
    losses = {
        "project: read": "whether a repository is public or private",
        "repository: read": "the repository's creation date",
        "artifact: read": "scan results",
        "artifact: list": "the digest of a tag that moved on",
    }
    if reach.table is Source.OLD_LOG:
        losses["artifact: read"] = "the digest behind a tag, the tag of a deletion, and scan results"
    where = _listed(tuple(dict.fromkeys(name for names in lacking.values() for name in names)))
    remedy = f"grant {account.user.name} on its projects: {', '.join(_as_in_the_form(right) for right in lacking)}"
    if not account.user.is_robot:
        remedy = f"make {account.user.name} a member of the projects"
    return warning(RIGHTS, f"events of {where} will lack {'; '.join(losses[right] for right in lacking)}", remedy)


def _as_in_the_form(right: str) -> str:
    return f'"{right.title()}" ({right})'


# -- what nobody can see ----------------------------------------------------------------------------


def _unseen() -> Finding:
    return fine(
        check_log.LOG,
        "what Harbor never logs cannot be told: images removed by garbage collection, looks without a pull (HEAD),"
        " quotas, replication and retention runs (see the README)",
    )


def _listed(names: tuple[str, ...], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
