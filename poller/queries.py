"""Harbor's query language and paths, with the traps they hold. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import quote

from poller.errors import OperatorError
from poller.rows import PAGE, AuditRow

OLD_LOG_LAST_ID = 2**31 - 1  # the old table's ids are int4: a greater one is answered with 500

NEVER = datetime(2999, 1, 1, tzinfo=UTC)
"""A bound that no row meets: a question with it asks for the right to ask, and makes Harbor count nothing."""


def segment(text: str) -> str:
    return quote(text, safe="")


def repository_path(repository: str) -> str:
    """The slashes of a repository's name are encoded twice: the proxy before Harbor decodes once."""
    project, _, name = repository.partition("/")
    return f"/projects/{segment(project)}/repositories/{segment(segment(name))}"


KINDS = (
    ("log", r"/audit-logs|/auditlog-exts|/projects/[^/]+/(logs|auditlog-exts)"),
    ("artifacts", r".*/artifacts"),
    ("artifact", r".*/artifacts/[^/]+"),
    ("vulnerabilities", r".*/additions/vulnerabilities"),
    ("repositories", r"/repositories|/projects/[^/]+/repositories(/[^/]+)?"),
    ("projects", r"/projects(/[^/]+)?"),
)
"""What is asked for, by its price for Harbor, and the paths that do so."""
OTHER_KIND = "other"


@lru_cache(100)
def kind_of(path: str) -> str:
    """The word for a path below the API's that names nothing of the registry."""
    return next((kind for kind, pattern in KINDS if re.fullmatch(pattern, path)), OTHER_KIND)


def q(**filters: str) -> str:
    """Harbor's filter. It is decoded twice, so a literal `%` or `+` is encoded here, and again on its way."""
    return ",".join(f"{key}={value.replace('%', '%25').replace('+', '%2B')}" for key, value in filters.items())


def between(start: datetime, end: datetime | None) -> str:
    """A closed range of time in whole seconds, widened: Harbor cuts fractions off, which would lose rows at the end."""
    last = (end + timedelta(seconds=1, microseconds=-1)) if end else None
    return f"[{_seconds(start)}~{_seconds(last) if last else ''}]"


def _seconds(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")


_UNSORTED = "Harbor does not sort its audit log: this needs Harbor 2.3 or later"


def by_time(page: tuple[AuditRow, ...]) -> tuple[AuditRow, ...]:
    """The page as it came, sorted by time. Rows without a readable time stand where Harbor put them.

    Unsorted it holds the newest rows of its window, and whoever goes on behind its last row loses what lies before.
    """
    times = [row.op_time for row in page if not row.raw]
    if len(page) >= PAGE and times != sorted(times):
        raise OperatorError(_UNSORTED)
    return page


def by_id(page: tuple[AuditRow, ...]) -> tuple[AuditRow, ...]:
    """The page in the order of ids; rows without a readable id come first.

    Harbor before 2.3 cannot sort: a full page of it holds the newest rows, and what lies before them would be lost.
    """
    readable = [row.id for row in page if row.id > 0]
    if len(page) >= PAGE and readable != sorted(readable):
        raise OperatorError(_UNSORTED)
    return tuple(sorted(page, key=lambda row: row.id))
