"""What `check` finds out about Harbor's audit log itself: is it written, and are pulls?

Only a system administrator may read the switches, and one of them nobody. So it is concluded: what the registry says
of itself (pushes, pulls, finished scans) must have a row in the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from poller import check_lookups, scans
from poller.activity import Moment, RepositoryFacts
from poller.config import Config
from poller.errors import NotAllowed, NotFound, OutOfTime, PollerError
from poller.events import SCAN_TYPES, EventType
from poller.findings import Finding, fine, guarded, has_wrong, unanswered, warning, wrong
from poller.harbor import CurrentUser, Harbor, Log, Reach, ReachKind
from poller.rows import AuditRow
from poller.sight import SHORTEST_PURGE
from poller.watch import disabled_types, is_database_off

LOG = "audit log"

MOST_REPOSITORIES = 3
"""Of those that moved last, and of the newest: each costs Harbor two questions."""
SETTLED = timedelta(seconds=60)
"""A row that is not there so long after the deed will not come: the usual delay is some milliseconds."""

SLACK = timedelta(seconds=5)
"""How far a row's time may lie before the time that the artifact remembers."""

MAY_BE_QUIET = timedelta(minutes=10)
LOOK_BACK = timedelta(days=30)
COUNTED_WITHIN = timedelta(seconds=30)
PUSHES_MOVE_REPOSITORIES = (2, 15, 2)  # since then update_time tells no pulls any more

_SWITCHED = {
    "create_artifact": EventType.PUSH_ARTIFACT,
    "pull_artifact": EventType.PULL_ARTIFACT,
    "delete_artifact": EventType.DELETE_ARTIFACT,
    "create_tag": EventType.TAG_CREATED,
    "delete_tag": EventType.TAG_DELETED,
    "delete_repository": EventType.REPOSITORY_DELETED,
    "create_project": EventType.PROJECT_CREATED,
    "update_project": EventType.PROJECT_UPDATED,
    "delete_project": EventType.PROJECT_DELETED,
    "create_robot": EventType.ROBOT_CREATED,
    "delete_robot": EventType.ROBOT_DELETED,
    "create_user": EventType.USER_CREATED,
    "update_user": EventType.USER_UPDATED,
    "delete_user": EventType.USER_DELETED,
    "create_member": EventType.MEMBER_CREATED,
    "update_member": EventType.MEMBER_UPDATED,
    "delete_member": EventType.MEMBER_DELETED,
    "login_user": EventType.LOGIN,
    "logout_user": EventType.LOGOUT,
    "update_configuration": EventType.CONFIGURATION_CHANGED,
}
_DATABASE_OFF = (
    'an administrator has to switch off "Skip Audit Log Database" in Harbor (Administration → Configuration → System'
    " Settings; skip_audit_log_database)"
)
_PULLS_OFF = (
    "an administrator has to remove pull_artifact from the disabled audit log events (Administration → Configuration;"
    " disabled_audit_log_event_types, 2.13 and newer), and PULL_AUDIT_LOG_DISABLE from the environment of Harbor's core"
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something that happened in the registry, hence must be in the log. `what` is a clause without the time."""

    what: str
    at: datetime
    log: Log


def probe(
    harbor: Harbor, config: Config, user: CurrentUser, reach: Reach, version: tuple[int, ...] | None, now: datetime
) -> list[Finding]:
    """`now` is Harbor's clock."""
    found = guarded(LOG, lambda: _settings(harbor, config)) if user.is_sysadmin else []
    if reach.kind is ReachKind.BLIND or has_wrong(found):
        return found
    try:
        repositories = _repositories(harbor, reach)
    except OutOfTime:
        raise
    except PollerError as error:
        return [*found, unanswered(LOG, error)]
    found += guarded(LOG, lambda: _is_written(harbor, reach, repositories, now))
    is_known = has_wrong(found) or any("pull_artifact" in finding.text for finding in found)
    if config.events & {EventType.PULL_ARTIFACT, *SCAN_TYPES} and not is_known:
        found += guarded(LOG, lambda: _are_pulls_written(harbor, reach, repositories, version, now))
    return found


# -- the switches, for those who may read them ------------------------------------------------------


def _settings(harbor: Harbor, config: Config) -> Iterator[Finding]:
    settings = harbor.configuration()
    if settings is None:
        return
    if is_database_off(settings):
        text = "Harbor writes no audit log into its database: nothing can be told"
        yield wrong("audit_log.database_off", LOG, text, _DATABASE_OFF)
    disabled = disabled_types(settings)
    wanted = [name for name in disabled if _SWITCHED.get(name) in config.events]
    if "pull_artifact" in disabled and "pull_artifact" not in wanted and config.events & SCAN_TYPES:
        wanted.append("pull_artifact")
    if wanted:
        yield warning(
            "audit_log.events_off",
            LOG,
            f"Harbor does not log {', '.join(wanted)} (disabled_audit_log_event_types): it cannot be told",
            "an administrator has to log them again in Harbor (Administration → Configuration), or set them to false in"
            " [events]",
        )


# -- what the registry says of itself ---------------------------------------------------------------


def _repositories(harbor: Harbor, reach: Reach) -> list[RepositoryFacts]:
    """Those that moved last and those that are the newest, as far as the account may list them and read their log."""
    found: dict[str, RepositoryFacts] = {}
    for listed in (_moved_lately(harbor), check_lookups.newest(harbor)[:MOST_REPOSITORIES]):
        for each in listed:
            if reach.kind is ReachKind.SYSTEM or each.project in reach.projects:
                found.setdefault(each.name, each)
    return list(found.values())


def _moved_lately(harbor: Harbor) -> tuple[RepositoryFacts, ...]:
    try:
        return harbor.repositories(sort="-update_time", most=MOST_REPOSITORIES)
    except (NotAllowed, NotFound):
        return ()


def _log_of(reach: Reach, project: str) -> Log:
    return Log(reach.table, None if reach.kind is ReachKind.SYSTEM else project)


def _time(harbor: Harbor, repository: str, field: Moment, since: datetime) -> datetime | None:
    try:
        return harbor.newest_time(repository, field, since)
    except (NotAllowed, NotFound):
        return None


def _pushes(harbor: Harbor, reach: Reach, repositories: Iterable[RepositoryFacts], now: datetime) -> Iterator[Evidence]:
    for each in repositories:
        pushed = _time(harbor, each.name, "push_time", now - LOOK_BACK)
        times = [time for time in (pushed, each.created_at) if time is not None]
        if times:
            yield Evidence(f"{each.name} was pushed to at", max(times), _log_of(reach, each.project))


def _pulls(
    harbor: Harbor,
    reach: Reach,
    repositories: Iterable[RepositoryFacts],
    version: tuple[int, ...] | None,
    now: datetime,
) -> Iterator[Evidence]:
    for each in repositories:
        log = _log_of(reach, each.project)
        pulled = _time(harbor, each.name, "pull_time", now - LOOK_BACK)
        if pulled is not None:
            yield Evidence(f"{each.name} was pulled at", pulled, log)
        elif counted := _counted_at(each, version) or _counted_since(harbor, each, log, now):
            yield Evidence(f"{each.name} was pulled (Harbor counts it), later than", counted, log)
    for log in reach.logs[:MOST_REPOSITORIES]:
        yield from _scans(harbor, log, now)


def _counted_at(repository: RepositoryFacts, version: tuple[int, ...] | None) -> datetime | None:
    """When a pull was counted, as far as only pulls move the repository's time."""
    created, updated = repository.created_at, repository.updated_at
    if not repository.pull_count or version is None or version >= PUSHES_MOVE_REPOSITORIES:
        return None
    if created is None or updated is None or updated - created < timedelta(minutes=1):
        return None
    return updated - COUNTED_WITHIN


def _counted_since(harbor: Harbor, repository: RepositoryFacts, log: Log, now: datetime) -> datetime | None:
    """The repository's beginning, if it was pulled since and the log still has the rows of that time."""
    created = repository.created_at
    if not repository.pull_count or created is None or created < now - LOOK_BACK:
        return None
    return created if harbor.rows_between(log, created - SLACK, created + SETTLED) else None


def _scans(harbor: Harbor, log: Log, now: datetime) -> Iterator[Evidence]:
    """A scanner's robot is deleted after its scan (2.12+), and pulled what it scanned after it was made."""
    for row in harbor.rows_since(log, now - LOOK_BACK, most=20, operation="delete", resource_type="robot"):
        if scans.looks_like_scanner(row.resource, row.op_time):
            yield Evidence("a scan began at", _made_at(row.resource), log)
            return


def _made_at(robot: str) -> datetime:
    """When a scanner's robot was made: its name ends in a version-1 UUID, which holds the time in 100 ns."""
    return datetime(1582, 10, 15, tzinfo=UTC) + timedelta(microseconds=UUID(robot[-36:]).time // 10)


# -- conclusions ------------------------------------------------------------------------------------


def _is_written(harbor: Harbor, reach: Reach, repositories: list[RepositoryFacts], now: datetime) -> Iterator[Finding]:
    push = _latest(_pushes(harbor, reach, repositories, now))
    since = harbor.rows_since(push.log, push.at - SLACK) if push is not None else ()
    if push is not None and not since and now - push.at > SETTLED:
        newest = harbor.newest_row(push.log, now)
        last = f"its newest row is of {_said(newest.op_time)}" if newest else "it has no row"
        text = f"the log stands still while the registry moves: {push.what} {_said(push.at)}, but {last}"
        if newest is not None or now - push.at < SHORTEST_PURGE:
            yield wrong("audit_log.stands_still", LOG, text, _DATABASE_OFF)
        else:
            yield warning("audit_log.empty", LOG, f"{text}; it may have been purged", _DATABASE_OFF)
        return
    logs = () if since else reach.logs[:MOST_REPOSITORIES]
    rows = [*since, *(row for log in logs if (row := harbor.newest_row(log, now)) is not None)]
    yield _newest(rows, now, is_compared=bool(since))


def _newest(rows: Iterable[AuditRow], now: datetime, *, is_compared: bool) -> Finding:
    newest = max(rows, key=lambda row: row.op_time, default=None)
    if newest is None:
        text = "the log has no row yet, and the registry shows nothing that would have to be in it"
        return fine("audit_log.nothing_yet", LOG, text)
    at = _said(newest.op_time)
    if is_compared:
        return fine("audit_log.keeps_up", LOG, f"the log keeps up with the registry; its newest row is of {at}")
    if newest.resource_type == "configuration" and now - newest.op_time > MAY_BE_QUIET:
        return warning(
            "audit_log.configuration_changed",
            LOG,
            f"the newest row, of {at}, is a change of Harbor's configuration: if it switched the audit database off,"
            " nothing more will come",
            _DATABASE_OFF,
        )
    text = f"the newest row is of {at}; there is no push old enough to compare it with, or no right to see it"
    return fine("audit_log.not_compared", LOG, text)


def _are_pulls_written(
    harbor: Harbor, reach: Reach, repositories: list[RepositoryFacts], version: tuple[int, ...] | None, now: datetime
) -> Iterator[Finding]:
    evidence = (each for each in _pulls(harbor, reach, repositories, version, now) if now - each.at > SETTLED)
    pull = _latest(evidence)
    rows = list(harbor.rows_since(pull.log, pull.at - SLACK, operation="pull")) if pull is not None else []
    if pull is not None and not rows and _must_be_there(harbor, pull, now):
        purged = "" if now - pull.at < SHORTEST_PURGE else ", unless its row was purged"
        yield warning(
            "audit_log.pulls_off",
            LOG,
            f"pulls seem not to be logged: {pull.what} {_said(pull.at)}, and the log has no pull since{purged};"
            " PULL_ARTIFACT cannot be told",
            _PULLS_OFF,
        )
        return
    if not rows:
        logs = reach.logs[:MOST_REPOSITORIES]
        rows = [row for log in logs for row in harbor.rows_since(log, now - LOOK_BACK, operation="pull")]
    if rows:
        yield fine(
            "audit_log.pulls_logged",
            LOG,
            f"pulls are logged, the last one at {_said(max(row.op_time for row in rows))}",
        )
    else:
        text = "nothing was pulled lately that could prove whether pulls are logged"
        yield fine("audit_log.pulls_not_proven", LOG, text)


def _must_be_there(harbor: Harbor, pull: Evidence, now: datetime) -> bool:
    """Whether the log was not purged altogether since a pull."""
    return now - pull.at < SHORTEST_PURGE or harbor.newest_row(pull.log, now) is not None


def _latest(evidence: Iterable[Evidence]) -> Evidence | None:
    return max(evidence, key=lambda each: each.at, default=None)


def _said(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
