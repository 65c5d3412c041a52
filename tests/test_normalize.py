"""Audit rows of both generations are read in Harbor's sense, and what cannot be read says so."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller import normalize, rows
from poller.events import Event, EventType, Repository, Source
from poller.normalize import Entry, Facts
from poller.rows import AuditRow
from poller.scans import is_scanner, looks_like_scanner
from poller.survey import KnownServer

NOW = datetime(2026, 11, 24, 12, 0, 0, 123000, UTC)
HEX = "50bd" * 16
DIGEST = f"sha256:{HEX}"
RECORDINGS = Path(__file__).parent / "recordings"


def row(operation: str, resource_type: str, resource: str, description: str = "", **changes: object) -> AuditRow:
    """A row of the new log, or of whichever `table` says."""
    facts: dict[str, object] = {"id": 501, "op_time": NOW, "username": "ann", "table": Source.NEW_LOG} | changes
    return AuditRow(
        operation=operation,
        resource_type=resource_type,
        resource=resource,
        operation_description=description,
        **facts,  # type: ignore[arg-type] # checked by what the tests expect
    )


def old_row(operation: str, resource_type: str, resource: str) -> AuditRow:
    return row(operation, resource_type, resource, table=Source.OLD_LOG)


def read(row: AuditRow) -> tuple[EventType, str | None, str | None, str | None, str]:
    entry = normalize.read(row)
    return entry.type, entry.repository, entry.tag, entry.digest, entry.subject


# -- every kind of row ------------------------------------------------------------------------------

ARTIFACTS = [
    ("create", EventType.PUSH_ARTIFACT),
    ("pull", EventType.PULL_ARTIFACT),
    ("delete", EventType.DELETE_ARTIFACT),
]


@pytest.mark.parametrize(("operation", "kind"), ARTIFACTS)
def test_an_artifact_by_tag_in_the_new_log(operation: str, kind: EventType) -> None:
    """Since 2.13 the description holds the digest, also when the row names the tag."""
    told = row(operation, "artifact", "team/app:1.27", f"{operation} artifact: team/app@{DIGEST}")
    assert read(told) == (kind, "team/app", "1.27", DIGEST, "")


@pytest.mark.parametrize(("operation", "kind"), ARTIFACTS)
@pytest.mark.parametrize("table", [Source.NEW_LOG, Source.OLD_LOG])
@pytest.mark.parametrize("mark", ["@", ":"])
def test_an_artifact_by_digest(mark: str, table: Source, operation: str, kind: EventType) -> None:
    """Behind an `@` since 2.11, before that behind a colon; an upgraded log holds both."""
    told = row(operation, "artifact", f"team/app{mark}{DIGEST}", table=table)
    assert read(told) == (kind, "team/app", None, DIGEST, "")


@pytest.mark.parametrize(("operation", "kind"), ARTIFACTS)
def test_an_artifact_by_tag_in_the_old_log(operation: str, kind: EventType) -> None:
    """The digest is not in the row."""
    assert read(old_row(operation, "artifact", "team/app:1.27")) == (kind, "team/app", "1.27", None, "")


OTHERS = [
    ("create", "tag", "team/app:stable", (EventType.TAG_CREATED, "team/app", "stable", None, "")),
    ("delete", "tag", "team/app:stable", (EventType.TAG_DELETED, "team/app", "stable", None, "")),
    ("delete", "repository", "team/app", (EventType.REPOSITORY_DELETED, "team/app", None, None, "")),
    ("create", "project", "team", (EventType.PROJECT_CREATED, None, None, None, "team")),
    ("delete", "project", "team", (EventType.PROJECT_DELETED, None, None, None, "team")),
    ("create", "robot", "robot$team+ci", (EventType.ROBOT_CREATED, None, None, None, "robot$team+ci")),
    ("delete", "robot", "robot$ci", (EventType.ROBOT_DELETED, None, None, None, "robot$ci")),
]
SINCE_2_13 = [
    ("update", "project", "team", (EventType.PROJECT_UPDATED, None, None, None, "team")),
    ("create", "user", "carol", (EventType.USER_CREATED, None, None, None, "carol")),
    ("update", "user", "carol", (EventType.USER_UPDATED, None, None, None, "carol")),
    ("delete", "user", "17", (EventType.USER_DELETED, None, None, None, "17")),
    ("create", "member", "carol", (EventType.MEMBER_CREATED, None, None, None, "carol")),
    ("update", "member", "carol", (EventType.MEMBER_UPDATED, None, None, None, "carol")),
    ("delete", "member", "carol", (EventType.MEMBER_DELETED, None, None, None, "carol")),
    ("login", "user", "alice", (EventType.LOGIN, None, None, None, "alice")),
    ("logout", "user", "alice", (EventType.LOGOUT, None, None, None, "alice")),
    ("update", "configuration", "configuration", (EventType.CONFIGURATION_CHANGED, None, None, None, "configuration")),
]
Said = tuple[EventType, str | None, str | None, str | None, str]


@pytest.mark.parametrize(("operation", "resource_type", "resource", "said"), OTHERS)
def test_every_other_kind_in_both_logs(operation: str, resource_type: str, resource: str, said: Said) -> None:
    """What is no artifact reads the same in both."""
    assert read(old_row(operation, resource_type, resource)) == said
    assert read(row(operation, resource_type, resource, f"{operation} {resource_type}: {resource}")) == said


@pytest.mark.parametrize(("operation", "resource_type", "resource", "said"), SINCE_2_13)
def test_every_kind_that_only_the_new_log_has(operation: str, resource_type: str, resource: str, said: Said) -> None:
    """Users, members, logins and the configuration leave rows since 2.13."""
    assert read(row(operation, resource_type, resource)) == said


def test_a_refused_login_is_another_event() -> None:
    """Only `operation_result` tells it from a login."""
    assert read(row("login", "user", "alice", operation_result=False))[0] is EventType.LOGIN_REFUSED


@pytest.mark.parametrize("harbor", ["harbor-2.16-dev", "harbor-2.12.4", "harbor-2.8.6"])
def test_every_recorded_row_is_understood(harbor: str) -> None:
    """Real Harbors wrote nothing that we have no word for."""
    table = Source.NEW_LOG if "2.16" in harbor else Source.OLD_LOG
    lines = (RECORDINGS / harbor / "audit-rows.jsonl").read_text().splitlines()
    recorded = rows.audit_rows(json.dumps([json.loads(line) for line in lines]).encode(), table, None)
    assert [row for row in recorded if normalize.read(row).type is EventType.NOT_UNDERSTOOD] == []


# -- the resource -----------------------------------------------------------------------------------

REFERENCES = [
    ("team/app:1.27", ("team/app", "1.27", None)),
    (f"team/app@{DIGEST}", ("team/app", None, DIGEST)),
    (f"team/app:{DIGEST}", ("team/app", None, DIGEST)),
    (f"team/app@sha512:{HEX * 2}", ("team/app", None, f"sha512:{HEX * 2}")),
    ("team/deep/er/app:1.27", ("team/deep/er/app", "1.27", None)),
    (f"team/deep/er/app:{DIGEST}", ("team/deep/er/app", None, DIGEST)),
    (f"team/app:sha256-{HEX}.sig", ("team/app", f"sha256-{HEX}.sig", None)),
    (f"team/app:sha256-{HEX}", ("team/app", f"sha256-{HEX}", None)),
    ("team/sha256:1", ("team/sha256", "1", None)),
    ("team/app:sha256", ("team/app", "sha256", None)),
    ("team/app", ("team/app", None, None)),
]


@pytest.mark.parametrize(("resource", "parts"), REFERENCES)
def test_a_resource_is_split_into_repository_tag_and_digest(
    resource: str, parts: tuple[str, str | None, str | None]
) -> None:
    """The digest is cut off first; then what stands behind the last colon is the tag."""
    assert normalize.split_resource(resource) == parts


words = st.text("az09._-", min_size=1, max_size=12)
repositories = st.lists(words, min_size=2, max_size=5).map("/".join)
digests = st.text("0123456789abcdef", min_size=64, max_size=64).flatmap(
    lambda text: st.sampled_from([f"sha256:{text}", f"sha512:{text * 2}"])
)


@given(repositories, words, digests, st.sampled_from("@:"))
def test_any_name_that_harbor_allows_is_split(repository: str, tag: str, digest: str, mark: str) -> None:
    """However the repository, tag and digest look."""
    assert normalize.split_resource(f"{repository}:{tag}") == (repository, tag, None)
    assert normalize.split_resource(f"{repository}{mark}{digest}") == (repository, None, digest)


def test_the_description_of_the_old_log_is_not_believed() -> None:
    """It has none; what stood there would be somebody's invention."""
    told = row("create", "artifact", "team/app:1", f"push artifact: team/app@{DIGEST}", table=Source.OLD_LOG)
    assert normalize.read(told).digest is None


def test_the_project_of_a_row_follows_from_its_resource() -> None:
    """Rows do not carry it; what is about no repository belongs to the project whose log told it, if one did."""
    assert normalize.read(row("pull", "artifact", "team/deep/app:1")).project == "team"
    assert normalize.read(row("create", "robot", "robot$team+ci", project="team")).project == "team"
    assert normalize.read(row("login", "user", "alice")).project == ""


# -- odd rows ---------------------------------------------------------------------------------------

ODD = [
    row("replicate", "artifact", "team/app:1"),
    row("create", "quota", "team"),
    row("create", "artifact", ""),
    row("create", "artifact", "app:1"),
    row("pull", "artifact", "team/app"),
    row("pull", "artifact", "team/app:"),
    row("pull", "artifact", "/app:1"),
    row("pull", "artifact", "team/:1"),
    row("pull", "artifact", "team/app@md5:50bd"),
    row("pull", "artifact", "team/app:sha256:50bd"),
    row("create", "tag", "team/app"),
    row("delete", "repository", "team"),
    row("delete", "repository", "team/app:1"),
    row("", "", ""),
    row("Create", "artifact", "team/app:1"),
]


@pytest.mark.parametrize("odd", ODD, ids=lambda row: f"{row.operation} {row.resource_type} {row.resource}")
def test_a_row_that_cannot_be_understood_says_so(odd: AuditRow) -> None:
    """It becomes an event with the row's own words, and blocks nothing."""
    entry = normalize.read(odd)
    assert (entry.type, entry.repository, entry.tag, entry.digest) == (EventType.NOT_UNDERSTOOD, None, None, None)
    for word in (odd.operation, odd.resource_type, odd.resource):
        assert word in entry.subject


def test_a_row_without_words_shows_its_raw_text() -> None:
    """What Harbor sent, so that a person can see what it was."""
    assert normalize.read(row("", "", "", raw='{"id": 7}')).subject == '{"id": 7}'


@given(st.text(), st.text(), st.text(), st.text(), st.booleans(), st.sampled_from([Source.OLD_LOG, Source.NEW_LOG]))
def test_no_row_stops_the_line(
    operation: str, resource_type: str, resource: str, description: str, result: bool, table: Source
) -> None:
    """Whatever stands in it, it becomes an event that can be recorded."""
    told = row(operation, resource_type, resource, description, operation_result=result, table=table)
    event = normalize.complete(normalize.read(told), Facts())
    assert event.key == told.name.key


@given(st.sampled_from(["create", "pull", "delete"]), st.sampled_from(["artifact", "tag", "repository"]), st.text())
def test_a_strange_resource_stops_the_line_neither(operation: str, resource_type: str, resource: str) -> None:
    """A repository that is named has a project and a name."""
    entry = normalize.read(row(operation, resource_type, resource))
    if entry.repository is not None:
        project, _, name = entry.repository.partition("/")
        assert project
        assert name
    assert normalize.complete(entry, Facts()).to_webhook()


# -- completing -------------------------------------------------------------------------------------


def test_the_row_and_the_facts_make_the_event() -> None:
    """What the row says stands; what it lacks comes from the facts."""
    repository = Repository("team/app", is_public=True, created_at=NOW)
    entry = normalize.read(old_row("create", "artifact", "team/app:1.27"))
    event = normalize.complete(entry, Facts("harbor.example.com", repository, tag="other", digest=DIGEST))
    assert event == Event(
        type=EventType.PUSH_ARTIFACT,
        occurred_at=NOW,
        operator="ann",
        source=Source.OLD_LOG,
        source_id=501,
        registry="harbor.example.com",
        repository=repository,
        tag="1.27",
        digest=DIGEST,
    )


def test_without_facts_the_repository_is_still_named() -> None:
    """A look-up that failed loses nothing that the row says."""
    event = normalize.complete(normalize.read(row("delete", "artifact", f"team/app@{DIGEST}")), Facts())
    assert event.repository == Repository("team/app")
    assert (event.tag, event.digest) == (None, DIGEST)


def test_the_key_of_an_event_is_that_of_its_row() -> None:
    """So that a row can be known before it is understood."""
    told = row("pull", "artifact", "team/app:1")
    assert normalize.complete(normalize.read(told), Facts()).key == told.name.key


# -- what is fetched at all -------------------------------------------------------------------------


def test_pulls_are_fetched_when_pulls_or_scans_are_told() -> None:
    """A scan begins with its robot's pull."""
    pull, push = frozenset({EventType.PULL_ARTIFACT}), frozenset({EventType.PUSH_ARTIFACT})
    assert normalize.unneeded_operations(pull, scans_wanted=False) == frozenset()
    assert normalize.unneeded_operations(push, scans_wanted=True) == frozenset()
    assert normalize.unneeded_operations(push, scans_wanted=False) == {"pull"}


def test_every_operation_that_makes_an_event_is_known() -> None:
    """What is filtered on the server is everything but these, minus what is unneeded."""
    assert normalize.known_operations() == {"create", "pull", "delete", "update", "login", "logout"}


# -- scanners ---------------------------------------------------------------------------------------


def uuid_made_at(moment: datetime) -> UUID:
    """A version-1 UUID as a scanner's robot gets it at that moment."""
    ticks = (moment - datetime(1582, 10, 15, tzinfo=UTC)) // timedelta(microseconds=1) * 10
    low, middle, high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF
    return UUID(fields=(low, middle, high | 0x1000, 0x92, 0x17, 0x0242AC14000D))


FRESH = uuid_made_at(NOW - timedelta(seconds=3))
SCANNERS = [
    f"robot$team+scanner-Trivy-{FRESH}",  # as in the recordings
    f"robot$team+qwhzlxkb-Trivy-{FRESH}",  # 8 random letters, as the installer draws them
    f"robot$team+Trivy-{FRESH}",  # before 2.8
    f"robot_team+a1b2c3d4-Aqua Enterprise-{FRESH}",  # another robot prefix, and a name in two words
    f"team+x-My-own-scanner-{FRESH}",  # no robot prefix
    f"r+b$team+qwhzlxkb-Scanner + more é-{FRESH}",  # plus signs and more in both names
    f"robot${FRESH}",  # long ago
]


@pytest.mark.parametrize("name", SCANNERS)
def test_a_scanner_is_known_by_its_uuid(name: str) -> None:
    """Prefix and scanner name differ from site to site; the UUID at the end holds the moment of its making."""
    assert is_scanner(name, "team", NOW)
    assert looks_like_scanner(name, NOW)


LOOK_ALIKES = [
    "robot$team+ci",
    "robot$team+scanner",
    "robot$team+scanner-Trivy",
    "ann",
    "anonymous",
    "harbor-jobservice",
    "",
    f"{FRESH}",
    f"ann-{FRESH}",
    f"robot$team+scanner-Trivy-{FRESH}-2",
    f"robot$team+scanner-Trivy-{str(FRESH).upper()}",
    "robot$team+ci-51fe4548-bbe5-41ed-9217-0242ac14000d",  # a random UUID, version 4
    f"robot$team+ci-{uuid_made_at(NOW - timedelta(days=2))}",  # made once, used for days
    f"robot$team+ci-{uuid_made_at(NOW + timedelta(hours=1))}",  # from the future
]


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_a_look_alike_is_no_scanner(name: str) -> None:
    """A person's or pipeline's pulls are told, whatever the robot is called."""
    assert not is_scanner(name, "team", NOW)


def test_a_scanner_of_one_project_is_none_in_another() -> None:
    """Harbor makes the robot in the project that is scanned."""
    assert not is_scanner(f"robot$team+scanner-Trivy-{FRESH}", "public", NOW)


def test_every_recorded_scanner_is_known() -> None:
    """All pulls by the scanner of the recorded days, and nobody else's."""
    told: set[bool] = set()
    for path in sorted(RECORDINGS.glob("*/audit-rows.jsonl")):
        recorded = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows.audit_rows(json.dumps(recorded).encode(), Source.OLD_LOG, None):
            entry: Entry = normalize.read(row)
            if entry.type is EventType.PULL_ARTIFACT:
                is_known = is_scanner(row.username, entry.project, row.op_time)
                assert is_known == ("scanner-" in row.username)
                told.add(is_known)
    assert told == {True, False}


@pytest.mark.parametrize(
    ("version", "has_them"),
    [("v2.12.0-abc", True), ("v2.16.0", True), ("v3.0.0", True), ("v2.8.6", False), ("v2.11.2", False), (None, False)],
)
def test_robots_leave_rows_since_2_12(version: str | None, has_them: bool) -> None:
    """Only there the end of a scan can be seen in the log."""
    assert KnownServer("", version).has_robot_rows is has_them
