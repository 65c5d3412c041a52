"""The tables. Times are UTC; the names of columns are the words of `poller.events`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.compiler import DDLCompiler


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time; SQLite keeps no zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 -- SQLAlchemy's signature
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 -- SQLAlchemy's signature
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only an INTEGER PRIMARY KEY


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of the rows where that is so. As `postgresql_where` it would load that dialect on SQLite, too: 2 MB."""
    return Index(name, *columns, unique=unique, info={"where": where})


@compiles(CreateIndex)
def _create_index(create: CreateIndex, compiler: DDLCompiler, **options: Any) -> str:
    """Both databases have the same words for it."""
    made, where = compiler.visit_create_index(create, **options), create.element.info.get("where")  # type: ignore[no-untyped-call] # SQLAlchemy's
    return f"{made} WHERE {where}" if where else str(made)


def _harbor(**options: Any) -> Column[Any]:
    return Column("harbor_id", Id, ForeignKey("harbors.id"), nullable=False, **options)


harbors = Table(
    "harbors",
    metadata,
    Column("id", Id, primary_key=True),
    Column("url", String(1024), nullable=False, unique=True),
    Column("registry", String(512), nullable=False, server_default=""),
    Column("detected", JSON),  # the live audit log and the account's reach, as the client found them
    Column("detected_at", UtcTime),
    Column("allowance", Float),  # of requests beyond one for each scan, and as of when
    Column("allowance_at", UtcTime),
    Column("pruned_before", UtcTime),  # events that are older may have been forgotten
    Column("registry_seen", JSON(none_as_null=True)),  # what the registry said of itself, to compare the log with
)

events = Table(
    "events",
    metadata,
    Column("id", Id, primary_key=True),
    _harbor(),
    Column("key", String(700)),  # of what no row of a log tells: a row is known by its table, id and time
    Column("type", String(40), nullable=False),
    Column("occurred_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("source", String(20), nullable=False),
    Column("source_id", BigInteger),  # the row's, if it is one
    Column("operator", Text, nullable=False),
    Column("repository", Text),
    Column("is_public", Boolean),
    Column("repository_created_at", UtcTime),
    Column("tag", Text),
    Column("digest", Text),
    Column("subject", Text, nullable=False),
    Column("scan_type", String(40)),
    Column("scan_overview", JSON(none_as_null=True)),
    Column("scan_details", JSON(none_as_null=True)),  # what people are to know of a scan and no webhook says
    Column(
        "coverage", JSON(none_as_null=True)
    ),  # what could not be seen, or what a day was like, of an event that tells of it
    _partial("uq_events_key", "harbor_id", "key", where="key IS NOT NULL", unique=True),
    Index("uq_events_row", "harbor_id", "source", "source_id", "occurred_at", unique=True),
    Index("ix_events_occurred_at", "harbor_id", "occurred_at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("event_id", Id, ForeignKey("events.id", ondelete="CASCADE"), nullable=False),
    Column("route", String(60), nullable=False),
    Column("state", String(10), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("mode", String(10), nullable=False, server_default="auto"),
    Column("since", UtcTime, nullable=False),  # from when on it could have been told
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("finished_at", UtcTime),
    Column("chat_id", String(80)),
    Column("message_id", BigInteger),
    Column("group", String(900)),  # what is told as one message
    Column("held_until", UtcTime),  # not due before that
    Column("follows", Id),  # the event that tells of this one, too
    UniqueConstraint("event_id", "route"),
    _partial("ix_deliveries_group", "route", "group", where='"group" IS NOT NULL'),
    _partial("ix_deliveries_follows", "follows", where="follows IS NOT NULL"),
    _partial("ix_deliveries_pending", "route", "id", where="state = 'pending'"),
    _partial("ix_deliveries_finished", "chat_id", "finished_at", where="chat_id IS NOT NULL"),
)

cursors = Table(
    "cursors",
    metadata,
    _harbor(primary_key=True),
    Column("log", String(300), primary_key=True),  # the table, with "/project" behind it where one is read alone
    Column("row_id", BigInteger, nullable=False),
    Column("op_time", UtcTime),
    Column("floor_id", BigInteger, nullable=False),
    Column("polled_at", UtcTime, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("floor_at", UtcTime),
)

polls = Table(
    "polls",
    metadata,
    Column("id", Id, primary_key=True),
    _harbor(),
    Column("log", Text, nullable=False),  # a backfill's has all projects and types that it reads
    Column("covered_from", UtcTime, nullable=False),
    Column("covered_to", UtcTime, nullable=False),
    Column("polls", Integer, nullable=False, server_default="1"),
    Column("rows", Integer, nullable=False),
    Column("new", Integer, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("error", Text),
    Index("ix_polls_log", "harbor_id", "log", "covered_from"),
)

gaps = Table(
    "gaps",
    metadata,
    Column("id", Id, primary_key=True),
    _harbor(),
    Column("source", Text, nullable=False),  # a log's name, or what of it is not seen
    Column("reason", String(40), nullable=False),
    Column("began_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),  # none: it goes on
    Column("noticed_at", UtcTime, nullable=False),
    Column("rows", BigInteger),  # how many are missing at most, where that is known
    Column("closed_at", UtcTime),  # when what happened in it was read after all
    Column("told_at", UtcTime),
    Index("ix_gaps_began_at", "harbor_id", "began_at"),
)

pruned_rows = Table(
    "pruned_rows",
    metadata,
    _harbor(primary_key=True),
    Column("source", String(20), primary_key=True),
    Column("block", BigInteger, primary_key=True),  # of so many ids in a row
    Column("bits", LargeBinary, nullable=False),  # compressed; a bit for each id whose event was forgotten
)

known_tags = Table(
    "known_tags",
    metadata,
    _harbor(primary_key=True),
    Column("repository", String(512), primary_key=True),
    Column("tag", String(256), primary_key=True),
    Column("digest", String(160)),
    Column("at", UtcTime, nullable=False),
    Column("previous", String(160)),
    Index("ix_known_tags_digest", "harbor_id", "repository", "digest"),  # a repository may have thousands of tags
)

known_repositories = Table(
    "known_repositories",
    metadata,
    _harbor(primary_key=True),
    Column("name", String(512), primary_key=True),
    Column("created_at", UtcTime),
    Column("deleted_at", UtcTime),
)

known_projects = Table(
    "known_projects",
    metadata,
    _harbor(primary_key=True),
    Column("name", String(300), primary_key=True),
    Column("is_public", Boolean),
    Column("checked_at", UtcTime, nullable=False),
    Column("project_id", BigInteger),  # as the portal's addresses have it
)

scans = Table(
    "scans",
    metadata,
    _harbor(primary_key=True),
    Column("robot", Text, primary_key=True),  # every scan has its own
    Column("repository", Text),
    Column("digest", String(160)),
    Column("started_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("asked_by", Text),
    Column("list_digest", String(160)),  # of the list of materials that it pushed
    Column("looks", Integer, nullable=False, server_default="0"),
    Column("look_at", UtcTime),
    Column("outcome", String(20), nullable=False),
    _partial("ix_scans_look_at", "harbor_id", "outcome", "look_at", where="repository IS NOT NULL"),
    _partial("ix_scans_unexplained", "harbor_id", "ended_at", where="repository IS NULL"),
    _partial("ix_scans_list_digest", "harbor_id", "list_digest", where="list_digest IS NOT NULL"),
    Index("ix_scans_digest", "harbor_id", "digest", "outcome"),
)

known_reports = Table(
    "known_reports",
    metadata,
    _harbor(primary_key=True),
    Column("digest", String(160), primary_key=True),
    Column("scanner", String(200), primary_key=True),
    Column("report_id", String(200), nullable=False),
    Column("ended_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("counts", JSON(none_as_null=True)),
    Column("findings", JSON(none_as_null=True)),
)

known_platforms = Table(
    "known_platforms",
    metadata,
    _harbor(primary_key=True),
    Column("repository", String(512), primary_key=True),
    Column("digest", String(160), primary_key=True),
    Column("index_digest", String(160), nullable=False),
    Column("platform", String(100), nullable=False),
    Column("at", UtcTime, nullable=False),
    Index("ix_known_platforms_index", "harbor_id", "repository", "index_digest"),
)

known_accessories = Table(
    "known_accessories",
    metadata,
    _harbor(primary_key=True),
    Column("repository", String(512), primary_key=True),
    Column("digest", String(160), primary_key=True),
    Column("subject", String(160), nullable=False),  # the digest of what it was attached to
    Column("kind", String(100), nullable=False),
    Column("at", UtcTime, nullable=False),
    Index("ix_known_accessories_subject", "harbor_id", "repository", "subject"),
)

threads = Table(
    "threads",
    metadata,
    _harbor(primary_key=True),
    Column("about", Text, primary_key=True),  # what is told as one message as long as it goes on
    Column("group", String(900), nullable=False),
    Column("began_at", UtcTime, nullable=False),
    Column("last_at", UtcTime, nullable=False),
    Column("members", Integer, nullable=False),
)

waves = Table(
    "waves",
    metadata,
    _harbor(primary_key=True),  # one at a time
    Column("group", String(900), nullable=False),
    Column("began_at", UtcTime, nullable=False),
    Column("grew_at", UtcTime, nullable=False),
    Column("members", Integer, nullable=False),
    Column("singles", Integer, nullable=False),
    Column("asked_at", UtcTime),
)

sweeps = Table(
    "sweeps",
    metadata,
    _harbor(primary_key=True),
    Column("baseline_at", UtcTime, nullable=False),
    Column("paid_until", UtcTime, nullable=False),
    Column("looked_at", UtcTime, nullable=False),
    Column("changed_since", UtcTime, nullable=False),
    Column("round_began_at", UtcTime, nullable=False),
    Column("round_before_at", UtcTime),
    Column("repository_id", BigInteger, nullable=False),
    Column("changed", JSON, nullable=False),
    Column("ahead", JSON, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("looks_in_vain", Integer, nullable=False),
)

routes = Table(
    "routes",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("chat_id", String(80), nullable=False),  # as configured: what follows is forgotten when it changes
    Column("thread_id", BigInteger),
    Column("moved_to", BigInteger),
    Column("topic_lost", Boolean, nullable=False, server_default=text("false")),
    Column("blocked_until", UtcTime),
    Column("blocked_at", UtcTime),  # when that was said: a clock that shows less was set since
    Column("needs_operator", Boolean, nullable=False, server_default=text("false")),
    Column("reason", Text, nullable=False, server_default=""),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("digest_at", UtcTime),  # when the last digest went
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("acquired_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("epoch", BigInteger, nullable=False, server_default="0"),  # counts the holders: each has its own
    Column("beats", BigInteger, nullable=False, server_default="0"),  # counts up as long as the holder lives
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("chat_id", String(80), nullable=False),
    Column("at", UtcTime, nullable=False),  # a message went, and whether it came is not known
    Index("ix_attempts_chat_id_at", "chat_id", "at"),
)
