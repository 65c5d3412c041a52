"""Audit rows to events: pure functions over both generations of Harbor's audit log.

Two stages. `read` takes a row apart: what does it say by itself? `complete` joins that with facts that the
row does not hold (digest, tag of a deletion, the repository's type and age) to the event of the webhook.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from poller.events import Event, EventType, Repository, Source
from poller.rows import AuditRow

_DIGEST = re.compile(r"(?:@|:)((?:sha256|sha512):[0-9a-fA-F]{32,128})$")
_REPOSITORY = re.compile(r"[^/:@]+(?:/[^/:@]+)+")
"""A project and a name in it; neither ever holds a `:` or `@`."""

_TEXTS_IN_MIND = 1000
"""Most rows of a busy log are pulls of the same images."""

_TYPES: dict[tuple[str, str], EventType] = {
    ("create", "artifact"): EventType.PUSH_ARTIFACT,
    ("pull", "artifact"): EventType.PULL_ARTIFACT,
    ("delete", "artifact"): EventType.DELETE_ARTIFACT,
    ("create", "tag"): EventType.TAG_CREATED,
    ("delete", "tag"): EventType.TAG_DELETED,
    ("delete", "repository"): EventType.REPOSITORY_DELETED,
    ("create", "project"): EventType.PROJECT_CREATED,
    ("update", "project"): EventType.PROJECT_UPDATED,
    ("delete", "project"): EventType.PROJECT_DELETED,
    ("create", "robot"): EventType.ROBOT_CREATED,
    ("delete", "robot"): EventType.ROBOT_DELETED,
    ("create", "user"): EventType.USER_CREATED,
    ("update", "user"): EventType.USER_UPDATED,
    ("delete", "user"): EventType.USER_DELETED,
    ("create", "member"): EventType.MEMBER_CREATED,
    ("update", "member"): EventType.MEMBER_UPDATED,
    ("delete", "member"): EventType.MEMBER_DELETED,
    ("login", "user"): EventType.LOGIN,
    ("logout", "user"): EventType.LOGOUT,
    ("update", "configuration"): EventType.CONFIGURATION_CHANGED,
}
_WITH_REFERENCE = frozenset(
    {
        EventType.PUSH_ARTIFACT,
        EventType.PULL_ARTIFACT,
        EventType.DELETE_ARTIFACT,
        EventType.TAG_CREATED,
        EventType.TAG_DELETED,
    }
)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What one audit row says by itself."""

    row: AuditRow
    type: EventType
    repository: str | None = None
    tag: str | None = None
    digest: str | None = None
    subject: str = ""

    @property
    def project(self) -> str:
        """The project that the row is about: derived from the resource, rows do not carry it."""
        return (self.repository or self.row.project or "").partition("/")[0]


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What a row does not say: remembered or looked up. None: could not be found out."""

    registry: str = ""
    repository: Repository | None = None
    tag: str | None = None
    digest: str | None = None


def read(row: AuditRow) -> Entry:
    """Take a row apart. A row that cannot be understood is an entry too, and says so."""
    kind = _TYPES.get((row.operation, row.resource_type))
    if kind is None:
        return _not_understood(row)
    if kind in _WITH_REFERENCE:
        return _read_reference(row, kind)
    if kind is EventType.REPOSITORY_DELETED:
        is_name = is_repository(row.resource)
        return Entry(row, kind, repository=row.resource) if is_name else _not_understood(row)
    if kind is EventType.LOGIN and not row.operation_result:
        kind = EventType.LOGIN_REFUSED
    return Entry(row, kind, subject=row.resource)


def complete(entry: Entry, facts: Facts) -> Event:
    """Join a row and the facts it lacks to the event that Harbor's webhook would have told."""
    return Event(
        type=entry.type,
        occurred_at=entry.row.op_time,
        operator=entry.row.username,
        source=entry.row.table,
        source_id=entry.row.id,
        registry=facts.registry,
        repository=facts.repository or (Repository(entry.repository) if entry.repository else None),
        tag=entry.tag or facts.tag,
        digest=entry.digest or facts.digest,
        subject=entry.subject,
    )


@lru_cache(_TEXTS_IN_MIND)
def split_resource(resource: str) -> tuple[str, str | None, str | None]:
    """`project/repo:tag`, `project/repo@digest`, or up to Harbor 2.10 `project/repo:sha256:…`.

    Returns repository, tag, digest. The digest is cut off first: before 2.11 it stands behind a colon too.
    """
    digest = _DIGEST.search(resource)
    if digest:
        return resource[: digest.start()], None, digest[1]
    repository, colon, tag = resource.rpartition(":")
    if not colon or "/" in tag:
        return resource, None, None
    return repository, tag, None


@lru_cache(_TEXTS_IN_MIND)
def is_repository(name: str) -> bool:
    return _REPOSITORY.fullmatch(name) is not None


@lru_cache(_TEXTS_IN_MIND)
def _described(description: str) -> str | None:
    """The digest that a description ends with."""
    found = _DIGEST.search(description)
    return found[1] if found else None


def unneeded_operations(wanted: frozenset[EventType], *, scans_wanted: bool) -> frozenset[str]:
    """Operations whose rows nobody wants. Only pulls are worth leaving out: they are most of a busy log."""
    return frozenset() if EventType.PULL_ARTIFACT in wanted or scans_wanted else frozenset({"pull"})


def known_operations() -> frozenset[str]:
    return frozenset(operation for operation, _ in _TYPES)


def _read_reference(row: AuditRow, kind: EventType) -> Entry:
    repository, tag, digest = split_resource(row.resource)
    if not is_repository(repository) or not (tag or digest):
        return _not_understood(row)
    if digest is None and row.table is Source.NEW_LOG:
        digest = _described(row.operation_description)
    return Entry(row, kind, repository, tag, digest)


def _not_understood(row: AuditRow) -> Entry:
    said = " ".join(filter(None, (row.operation, row.resource_type, row.resource)))
    return Entry(row, EventType.NOT_UNDERSTOOD, subject=said or row.raw)
