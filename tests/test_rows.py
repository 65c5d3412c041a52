"""Harbor's answers become checked types: recorded ones all of them, odd ones without losing their page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller import rows
from poller.errors import HarborGarbled
from poller.events import Source
from poller.rows import EPOCH, AuditRow

RECORDINGS = Path(__file__).parent / "recordings"
HARBORS = ("harbor-2.16-dev", "harbor-2.12.4", "harbor-2.8.6")
ROW = {
    "id": 501,
    "operation": "create",
    "operation_description": "push artifact: library/nginx@sha256:aaa",
    "operation_result": True,
    "op_time": "2026-08-20T10:00:00.123Z",
    "resource": "library/nginx:1.27",
    "resource_type": "artifact",
    "username": "alice",
}


def page(*said: object) -> tuple[AuditRow, ...]:
    return rows.audit_rows(json.dumps(said).encode(), Source.NEW_LOG, None)


def only(said: object) -> AuditRow:
    (row,) = page(said)
    return row


def answers(harbor: str, *names: str) -> Iterator[Any]:
    with (RECORDINGS / harbor / "answers.jsonl").open() as lines:
        for line in lines:
            answer = json.loads(line)
            if answer["name"] in names and answer["status"] == 200:
                yield answer


# -- recorded answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("harbor", HARBORS)
def test_every_recorded_row_is_read_to_the_letter(harbor: str) -> None:
    """What Harbor left out is empty; nothing that it said is changed."""
    with (RECORDINGS / harbor / "audit-rows.jsonl").open() as lines:
        recorded = [json.loads(line) for line in lines]
    read = rows.audit_rows(json.dumps(recorded).encode(), Source.OLD_LOG, "team")
    assert len(read) == len(recorded) > 70
    for row, said in zip(read, recorded, strict=True):
        assert said == {
            name: value
            for name in ("id", "operation", "resource_type", "resource", "username", "operation_description")
            if (value := getattr(row, name)) != ""
        } | {"op_time": row.op_time.isoformat(timespec="milliseconds").replace("+00:00", "Z")} | (
            {"operation_result": row.operation_result} if "operation_result" in said else {}
        )
        assert (row.table, row.project, row.raw) == (Source.OLD_LOG, "team", "")


LISTS_OF_ROWS = ("audit-logs", "auditlog-exts", "project-logs", "project-auditlog-exts", "audit-keyset", "audit-page-0")


@pytest.mark.parametrize("harbor", HARBORS)
@pytest.mark.parametrize(
    ("names", "decode"),
    [
        (LISTS_OF_ROWS, lambda body: rows.audit_rows(body, Source.NEW_LOG, None)),
        (("artifact-scan-overview", "artifact-clean", "artifact-failed-scan"), rows.artifact),
        (("artifacts", "artifact-nested", "artifact-index"), rows.artifacts),
        (("project",), rows.project),
        (("projects",), rows.projects),
        (("systeminfo",), rows.server),
        (("current-user",), rows.current_user),
        (("configurations",), rows.configuration),
    ],
)
def test_every_recorded_answer_decodes(harbor: str, names: tuple[str, ...], decode: Callable[[bytes], object]) -> None:
    """Whoever asked, and of whichever Harbor."""
    decoded = [decode(json.dumps(answer["body"]).encode()) for answer in answers(harbor, *names)]
    assert decoded or harbor != "harbor-2.16-dev"


@pytest.mark.parametrize("harbor", HARBORS)
def test_recorded_repositories_decode(harbor: str) -> None:
    """The creation of each repository and the tags and push times of each artifact are found."""
    for recorded in json.loads((RECORDINGS / harbor / "repositories.json").read_bytes()).values():
        assert rows.repository_created(json.dumps(recorded["repository"]).encode())
        read = rows.artifacts(json.dumps(recorded["artifacts"]).encode())
        for artifact, said in zip(read, recorded["artifacts"], strict=True):
            assert artifact.digest == said["digest"]
            assert [tag.name for tag in artifact.tags] == [tag["name"] for tag in said["tags"] or ()]
            assert artifact.push_time == datetime.fromisoformat(said["push_time"])
            assert artifact.scan_overview == said.get("scan_overview")


@pytest.mark.parametrize("harbor", HARBORS)
def test_a_stranger_shows_in_the_system_information(harbor: str) -> None:
    """A wrong password is no error there: Harbor only tells less."""
    for answer in answers(harbor, "systeminfo"):
        server = rows.server(json.dumps(answer["body"]).encode())
        is_stranger = answer["as"] in ("anonymous", "wrong-password", "unknown-user")
        assert server.is_authenticated is not is_stranger
        assert (server.registry is None) is is_stranger
        if not is_stranger:
            assert server.version
            assert server.version.startswith(harbor.replace("harbor-", "v")[:5])
            assert server.registry
            assert server.registry.startswith("127.0.0.1:")
            assert server.clock


# -- odd rows -----------------------------------------------------------------------------------------


def test_a_row_of_harbor_2_0_has_its_time_in_words() -> None:
    """Go's Time.String(), with microseconds."""
    row = only(ROW | {"op_time": "2020-05-11 10:00:00.123456 +0000 UTC"})
    assert row.op_time == datetime(2020, 5, 11, 10, 0, 0, 123456, UTC)
    assert row.name.key == "audit_log_ext:501:2020-05-11T10:00:00.123+00:00"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2026-08-20T10:00:00Z", datetime(2026, 8, 20, 10, tzinfo=UTC)),
        ("2026-08-20T12:00:00.5+02:00", datetime(2026, 8, 20, 10, 0, 0, 500000, UTC)),
        ("2026-08-20T10:00:00.123456789Z", datetime(2026, 8, 20, 10, 0, 0, 123456, UTC)),
        ("2026-08-20 10:00:00", datetime(2026, 8, 20, 10, tzinfo=UTC)),
        ("0001-01-01T00:00:00.000Z", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("2026-13-01T00:00:00Z", None),
        ("yesterday", None),
        (None, None),
        (17, None),
    ],
)
def test_times(said: object, meant: datetime | None) -> None:
    """Every form that a Harbor has used; Go's zero time is no time."""
    assert rows.parse_time(said) == meant


def test_null_numbers_and_words_in_the_wrong_place_do_not_lose_the_page() -> None:
    """What can be read is read; the odd row keeps its text, its neighbours are as ever."""
    odd = {"id": "502", "op_time": ROW["op_time"], "operation": None, "resource": 7, "operation_result": "no", "x": {}}
    before, row, after = page(ROW, odd, ROW | {"id": 503})
    assert (before.id, row.id, after.id) == (501, 502, 503)
    assert (row.operation, row.resource, row.username, row.operation_result) == ("", "7", "", True)
    assert json.loads(row.raw) == odd
    assert before.raw == after.raw == ""


@pytest.mark.parametrize("odd", [{}, {"id": None}, {"id": True}, {"id": [1]}, "row", 5, None, [], {"id": 1.5}])
def test_what_is_no_row_is_kept_below_every_cursor(odd: object) -> None:
    """It has an id of its own that is the same at every reading, so that it is told once."""
    _, row = page(ROW, odd)
    assert row.id < 0
    assert row.op_time == EPOCH
    assert row.raw == json.dumps(odd)
    assert row.name == page(odd, ROW)[0].name != only({"other": odd}).name


def test_a_row_without_a_time_has_the_same_key_wherever_it_stands() -> None:
    """Otherwise the page's start would decide whether it is told again."""
    untimed = {name: value for name, value in ROW.items() if name != "op_time"} | {"id": 502}
    assert page(ROW, untimed)[1].name == only(untimed).name


@pytest.mark.parametrize("odd", [{"id": 2**63}, {"op_time": "0001-01-01T00:00:00+08:05"}])
def test_what_no_database_and_no_calendar_holds_does_not_lose_the_page(odd: dict[str, object]) -> None:
    """Neither a number that is too large nor a time that is in no year of UTC."""
    strange, usual = page(ROW | odd, ROW)
    assert strange.raw
    assert strange.id < 2**63
    assert (usual.id, usual.raw) == (501, "")


@pytest.mark.parametrize("others", [[], [ROW | {"id": "502"}]])
def test_what_is_no_utf_8_is_garbled(others: list[object]) -> None:
    with pytest.raises(HarborGarbled):
        rows.audit_rows(json.dumps([*others, ROW]).encode().replace(b"alice", b"al\xffce"), Source.NEW_LOG, None)
    with pytest.raises(HarborGarbled):
        rows.repository_created(b'{"creation_time": "\xff"}')
    assert rows.error_message(b'{"errors": [{"code": "\xff"}]}') is None


def test_fields_that_we_do_not_know_are_left_alone() -> None:
    assert only(ROW | {"source_ip": "10.0.0.1", "table": "x", "raw": "y"}) == only(ROW)


@pytest.mark.parametrize("body", [b"[]", b"null", b" [ ] "])
def test_an_empty_log_is_empty(body: bytes) -> None:
    assert rows.audit_rows(body, Source.NEW_LOG, None) == ()


@pytest.mark.parametrize("body", [b"", b'[{"id": 1', b"{}", b'"Pong"', b"<html>", b'[{"id":1}] x', b"\xff"])
def test_what_is_no_list_is_garbled(body: bytes) -> None:
    with pytest.raises(HarborGarbled):
        rows.audit_rows(body, Source.NEW_LOG, None)


def test_a_web_page_is_called_one() -> None:
    """It may be a maintenance page, or the wrong url: the text says both."""
    with pytest.raises(HarborGarbled, match="a web page, not JSON: a maintenance page, or the url is not"):
        rows.server(b"\n<!doctype html>")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
odd_rows = st.fixed_dictionaries({}, optional=dict.fromkeys(ROW, json_values)) | json_values


@given(st.lists(odd_rows, max_size=4))
def test_any_list_is_a_page_of_as_many_rows(said: list[object]) -> None:
    """Nothing that stands in a list can lose its page."""
    try:
        body = json.dumps(said).encode()
        read = rows.audit_rows(body, Source.NEW_LOG, None)
    except HarborGarbled:
        assert any("\ud800" <= letter <= "\udfff" for letter in str(said))  # no JSON parser need take these
        return
    assert len(read) == len(said)
    assert all(row.op_time.tzinfo is UTC and row.name for row in read)


# -- other answers ------------------------------------------------------------------------------------


def test_nulls_of_an_artifact_are_nothing() -> None:
    """Harbor says null for an empty list, and the year 1 for never."""
    said = {
        "digest": "sha256:a",
        "tags": None,
        "references": None,
        "type": None,
        "push_time": "0001-01-01T00:00:00.000Z",
    }
    artifact = rows.artifact(json.dumps(said | {"scan_overview": {}}).encode())
    assert (artifact.tags, artifact.references) == ((), ())
    assert artifact.push_time is None
    assert artifact.scan_overview is None


def test_an_index_names_its_children() -> None:
    body = b'{"digest": "sha256:i", "references": [{"child_digest": "sha256:c", "platform": {"os": "linux"}}]}'
    assert [each.child_digest for each in rows.artifact(body).references] == ["sha256:c"]


@pytest.mark.parametrize(
    ("public", "meant"), [({"public": "true"}, True), ({"public": "false"}, False), ({}, None), (None, None)]
)
def test_a_project_is_public_private_or_unknown(public: object, meant: bool | None) -> None:
    """None is: Harbor did not say."""
    assert rows.project(json.dumps({"name": "team", "project_id": 3, "metadata": public}).encode()).is_public is meant


@pytest.mark.parametrize(
    ("url", "registry"),
    [
        ("https://harbor.example.com", "harbor.example.com"),
        ("https://harbor.example.com:8443/", "harbor.example.com:8443"),
        ("harbor.example.com:5000", "harbor.example.com:5000"),
        ("http://[::1]:80", "[::1]:80"),
        ("", None),
    ],
)
def test_the_registry_is_the_external_url_without_scheme(url: str, registry: str | None) -> None:
    assert rows.server(json.dumps({"external_url": url}).encode()).registry == registry


def test_the_registry_url_stands_in_for_the_external_url() -> None:
    assert rows.server(b'{"registry_url": "r.example.com"}').registry == "r.example.com"


def test_the_date_header_is_the_clock_of_an_old_harbor() -> None:
    """`current_time` exists since 2.5, and strangers are not told it."""
    date = "Tue, 24 Nov 2026 21:32:03 GMT"
    assert rows.server(b"{}", date).clock == datetime(2026, 11, 24, 21, 32, 3, tzinfo=UTC)
    assert rows.server(b'{"current_time": "2026-11-24T21:00:00.000Z"}', date).clock == datetime(
        2026, 11, 24, 21, tzinfo=UTC
    )
    assert rows.server(b"{}", "soon").clock is None


def test_accessories_name_their_subject() -> None:
    """Old versions do not: there it is the artifact that was asked for. Most artifacts have none."""
    signature = {"digest": "sha256:s", "type": "signature.cosign"}
    bill = {"digest": "sha256:b", "type": "sbom.harbor", "subject_artifact_digest": "sha256:c", "size": 3}
    found = rows.artifact(json.dumps({"digest": "sha256:a", "accessories": [signature, bill]}).encode()).accessories
    assert [(each.digest, each.type, each.subject) for each in found] == [
        ("sha256:s", "signature.cosign", "sha256:a"),
        ("sha256:b", "sbom.harbor", "sha256:c"),
    ]
    assert rows.artifact(b'{"digest": "sha256:a", "accessories": null}').accessories == ()


def test_settings_are_their_values() -> None:
    body = b'{"skip_audit_log_database": {"editable": true, "value": false}, "scan_all_policy": {}}'
    assert rows.configuration(body) == {"skip_audit_log_database": False, "scan_all_policy": None}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"errors": [{"code": "FORBIDDEN", "message": "forbidden"}]}', "forbidden"),
        (b'{"errors": [{"code": "UNAUTHORIZED", "message": ""}]}', "UNAUTHORIZED"),
        (b'{"errors": []}', ""),
        (b"<html>", None),
        (b'"no"', None),
    ],
)
def test_error_bodies(body: bytes, message: str | None) -> None:
    """None tells that whoever answered is not Harbor's API."""
    assert rows.error_message(body) == message
