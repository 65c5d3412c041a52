"""The stand-in of Harbor against what running Harbors answered, and the faults and accidents that it can provoke."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from demo.harbor import (
    ADMIN,
    ALWAYS,
    POLLER,
    RECORDED_ACCOUNTS,
    Account,
    Clock,
    Fault,
    Generation,
    HarborStandIn,
    Outcome,
    Replay,
    Role,
    Table,
    Vulnerability,
    World,
)
from demo.harbor.registry import NOTATION
from demo.harbor.rows import split
from poller.values import replace
from tests.harness import wait_for

RECORDINGS = Path(__file__).parent / "recordings"
HARBORS = ("harbor-2.16-dev", "harbor-2.12.4", "harbor-2.8.6")
API = "/api/v2.0"
NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
SCAN = "application/vnd.security.vulnerability.report; version=1.1"

ACCOUNTS = {
    "admin": "admin",
    "no-member": "nobody",
    "project-admin": "padmin",
    "project-guest": "guest",
    "project-maintainer": "maint",
    "project-robot-log": "robot$team+pollerlog",
    "project-robot-nolog": "robot$team+pollernolog",
    "system-robot-all-projects": "robot$sysall",
    "system-robot-audit": "robot$sysaudit",
    "system-robot-noaudit": "robot$sysno",
}
PASSWORDS = {account.name: account.password for account in RECORDED_ACCOUNTS}


def credentials(recorded_as: str) -> tuple[str, str] | None:
    """Those of the account that a recorded answer was given to."""
    if recorded_as == "anonymous":
        return None
    if recorded_as == "wrong-password":
        return "robot$sysall", "wrong"  # a robot's: a user's name would be locked for everybody else
    name = ACCOUNTS.get(recorded_as, "unknown")
    return name, PASSWORDS.get(name, "wrong")


def get(harbor: HarborStandIn, path: str, account: Account | None = ADMIN, /, **params: str | int) -> requests.Response:
    auth = (account.name, account.password) if account else None
    return requests.get(harbor.url + API + path, params=params, auth=auth, timeout=10)


# -- a recorded day -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=HARBORS)
def recorded(request: pytest.FixtureRequest) -> Iterator[HarborStandIn]:
    with HarborStandIn.from_recording(RECORDINGS / request.param, as_it_was=False) as harbor:
        yield harbor


def recorded_answers(harbor: HarborStandIn, *names: str, prefixes: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    for answer in harbor.replay.recording.answers:
        is_named = answer["name"] in names or answer["name"].startswith(prefixes or ("\0",))
        if is_named and not is_locked_out(answer):
            yield answer


def is_locked_out(answer: dict[str, Any]) -> bool:
    """Some answers to the administrator were given while somebody had just mistyped the password of that name."""
    return bool(answer["as"] == "admin" and answer["status"] == 401)


def ask_again(harbor: HarborStandIn, answer: dict[str, Any]) -> requests.Response:
    request = answer["request"]
    auth = credentials(answer["as"])
    return requests.get(harbor.url + request["path"], headers=request["headers"], auth=auth, timeout=10)


def body_of(response: requests.Response) -> Any:
    is_json = response.headers["Content-Type"].startswith("application/json")
    return response.json() if is_json else response.text


def test_answers_about_the_log_are_the_recorded_ones(recorded: HarborStandIn) -> None:
    """Rows, errors, counts, links and content types, for every account that asked."""
    answers = [
        *recorded_answers(recorded, prefixes=("audit", "project-logs", "project-auditlog-exts")),
        *recorded_answers(recorded, "unknown-path", "artifact-missing", "repository-missing", "ping"),
        *recorded_answers(recorded, "project-missing", "project-id-missing", "permissions"),
    ]
    assert len(answers) > 60
    for answer in answers:
        response = ask_again(recorded, answer)
        about = (answer["name"], answer["as"])
        assert (about, response.status_code) == (about, answer["status"])
        assert (about, body_of(response)) == (about, answer["body"])
        for header in ("Content-Type", "X-Total-Count", "Link"):
            assert (about, response.headers.get(header)) == (about, answer["headers"].get(header))
        assert response.headers["Set-Cookie"].startswith("sid=")


def test_every_account_is_let_in_or_refused_as_recorded(recorded: HarborStandIn) -> None:
    names = ("projects", "repositories", "artifact-scan-overview", "current-user", "systeminfo", "permissions")
    served = (*names, "all-repositories", "artifact-nested", "artifact-nested-single-encoded", "artifact-index")
    asked = 0
    for answer in recorded_answers(recorded, *served, "configurations", "scanners", "health", "project", "artifacts"):
        response = ask_again(recorded, answer)
        assert (answer["name"], answer["as"], response.status_code) == (answer["name"], answer["as"], answer["status"])
        if response.status_code >= 400:
            assert response.json() == answer["body"]
        asked += 1
    assert asked > 70


def test_systeminfo_tells_each_account_what_it_was_told(recorded: HarborStandIn) -> None:
    """A wrong password is no error here: it only makes the answer shorter."""
    for answer in recorded_answers(recorded, "systeminfo"):
        said = ask_again(recorded, answer).json()
        assert said | {"current_time": 0} == answer["body"] | {"current_time": 0}
        assert said.keys() == answer["body"].keys()


def test_projects_and_current_user_are_the_recorded_ones(recorded: HarborStandIn) -> None:
    for answer in recorded_answers(recorded, "projects"):
        assert [less(each, "repo_count") for each in ask_again(recorded, answer).json()] == [
            less(each, "repo_count") for each in answer["body"]
        ]
    for answer in recorded_answers(recorded, "current-user"):
        if answer["status"] == 200:
            varying = ("creation_time", "update_time", "user_id")
            assert less(ask_again(recorded, answer).json(), *varying) == less(answer["body"], *varying)


def less(body: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in keys}


def test_artifacts_at_the_days_end_are_the_recorded_ones(recorded: HarborStandIn) -> None:
    """Digests, tags, times, scan results: whole answers, but for the ids that Harbor gives."""
    names = ("artifact-scan-overview", "artifact-clean", "artifact-failed-scan", "artifact-nested")
    compared = 0
    for answer in recorded_answers(recorded, *names, "artifact-nested-single-encoded", "artifacts"):
        if answer["status"] == 200:
            said, wanted = ask_again(recorded, answer).json(), answer["body"]
            assert said == wanted
            compared += 1
    assert compared > 8


def test_repositories_at_the_days_end_are_the_recorded_ones(recorded: HarborStandIn) -> None:
    for answer in recorded_answers(recorded, "repositories"):
        if answer["status"] == 200:
            said, known = ask_again(recorded, answer).json(), recorded.replay.recording.repositories
            times = [each["update_time"] for each in said]
            assert times == [each["update_time"] for each in answer["body"]]  # of equal times any may come first
            assert all(each == known[each["name"]]["repository"] for each in said)


# -- the replay of a day --------------------------------------------------------------------------------------


@pytest.fixture(params=HARBORS)
def folder(request: pytest.FixtureRequest) -> Path:
    return RECORDINGS / str(request.param)


def test_the_end_of_the_log_can_be_moved(folder: Path) -> None:
    with HarborStandIn.from_recording(folder) as harbor:
        table = f"/{harbor.replay.generation.live_table}"
        harbor.replay.show(5)
        assert [row["id"] for row in get(harbor, table, sort="id").json()] == [1, 2, 3, 4, 5]
        harbor.replay.show_until(harbor.replay.recording.rows[6].op_time)
        assert harbor.replay.shown == 7
        harbor.replay.show_all()
        assert get(harbor, table).headers["X-Total-Count"] == str(len(harbor.replay))


def webhooks_of(replay: Replay, kind: str) -> list[dict[str, Any]]:
    return [webhook for webhook in replay.webhooks if webhook["type"] == kind]


def test_a_moved_tag_is_looked_up_as_it_was_after_each_push(folder: Path) -> None:
    """The day's first pushes: twice the same content after other content, all by one tag."""
    with HarborStandIn.from_recording(folder) as harbor:
        found = [get(harbor, "/projects/team/repositories/app/artifacts/v1.0.0").json() for _ in range(3)]
        assert [each["digest"][7:15] for each in found] == ["8dfc1b9f", "50bdffa8", "50bdffa8"]
        assert get(harbor, "/projects/team/repositories/app/artifacts/v1.0.0").status_code == 404  # as of now


def test_accounts_look_up_each_for_themselves(folder: Path) -> None:
    path = "/projects/team/repositories/app/artifacts/v1.0.0"
    with HarborStandIn.from_recording(folder) as harbor:
        assert get(harbor, path).json()["digest"] == get(harbor, path, POLLER).json()["digest"]


def test_a_look_up_as_of_now_knows_what_is_gone(folder: Path) -> None:
    with HarborStandIn.from_recording(folder, as_it_was=False) as harbor:
        assert get(harbor, "/projects/team/repositories/app/artifacts/latest").status_code == 404
        assert get(harbor, "/projects/team/repositories/copied").status_code == 404


def test_each_push_and_pull_by_tag_finds_the_digest_of_its_webhook(folder: Path) -> None:
    """Row by row, as a poller would ask that is never late."""
    replay = Replay(folder)
    told = {
        (webhook["type"], webhook["occur_at"], resource["resource_url"].partition("/")[2], resource["digest"])
        for kind in ("PUSH_ARTIFACT", "PULL_ARTIFACT")
        for webhook in webhooks_of(replay, kind)
        for resource in webhook["event_data"]["resources"]
    }
    asked = 0
    with HarborStandIn(replay, RECORDED_ACCOUNTS) as harbor:
        for position, row in enumerate(replay.recording.rows):
            replay.show(position + 1)
            project, _, rest = row.resource.partition("/")
            name, _, tag = rest.rpartition(":")
            if row.resource_type == "artifact" and "sha256:" not in row.resource and project != "library":
                repository = name.replace("/", "%252F")
                found = get(harbor, f"/projects/{project}/repositories/{repository}/artifacts/{tag}").json()
                kind = "PUSH_ARTIFACT" if row.operation == "create" else "PULL_ARTIFACT"
                assert (kind, int(row.op_time.timestamp()), row.resource, found["digest"]) in told
                (pushed,) = (each["push_time"] for each in found["tags"] if each["name"] == tag)
                assert datetime.fromisoformat(pushed) <= row.op_time
                asked += 1
    assert asked > 25


def test_all_scans_of_an_artifact_can_be_told_one_after_the_other(folder: Path) -> None:
    """Three scans of one image: each look-up finds the next result, then the last one for ever."""
    with HarborStandIn.from_recording(folder) as harbor:
        (digest,) = {
            resource["digest"]
            for webhook in webhooks_of(harbor.replay, "PUSH_ARTIFACT")
            if webhook["event_data"]["repository"]["repo_full_name"] == "team/worst"
            for resource in webhook["event_data"]["resources"]
        }
        path = f"/projects/team/repositories/worst/artifacts/{digest}"
        said = [get(harbor, path, with_scan_overview="true").json()["scan_overview"][SCAN] for _ in range(4)]
        ends = [each["end_time"] for each in said]
        assert ends[0] < ends[1] < ends[2] == ends[3]
        recorded = [
            resource["scan_overview"][SCAN]["report_id"]
            for webhook in webhooks_of(harbor.replay, "SCANNING_COMPLETED")
            for resource in webhook["event_data"]["resources"]
            if resource["digest"] == digest and "scan_overview" in resource
        ]
        assert set(recorded) <= {each["report_id"] for each in said}


def test_a_scan_runs_until_its_end_is_shown(folder: Path) -> None:
    replay = Replay(folder, as_it_was=False)
    scan = replay.recording.scans[0]
    with HarborStandIn(replay) as harbor:
        project, _, name = scan.repository.partition("/")
        path = f"/projects/{project}/repositories/{name}/artifacts/{scan.digest}"
        replay.show(scan.started + 1)
        assert overview(harbor, path)["scan_status"] == "Running"
        assert overview(harbor, path)["end_time"] == "0001-01-01T00:00:00.000Z"
        replay.show_until(scan.ended_at)
        assert overview(harbor, path)["scan_status"] == "Success"


def overview(harbor: HarborStandIn, path: str) -> dict[str, Any]:
    said: dict[str, Any] = get(harbor, path, with_scan_overview="true").json()["scan_overview"][SCAN]
    return said


def test_pushes_of_a_past_second_are_listed_as_they_were(folder: Path) -> None:
    """The artifact of the first push is listed for its second, though its tag moved on."""
    with HarborStandIn.from_recording(folder) as harbor:
        push = next(row for row in harbor.replay.recording.rows if row.resource == "team/app:v1.0.0")
        window = f"push_time=[{push.op_time:%Y-%m-%dT%H:%M:%S}~{push.op_time:%Y-%m-%dT%H:%M:%S}.999Z]"
        found = get(harbor, "/projects/team/repositories/app/artifacts", q=window, sort="-push_time").json()
        assert "8dfc1b9f" in [each["digest"][7:15] for each in found]


# -- a world that is acted upon -------------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


def world_of(generation: Generation, clock: Clock) -> World:
    world = World(generation, clock=clock)
    world.create_project("team")
    return world


@pytest.fixture(params=list(Generation), ids=lambda generation: generation.name)
def world(request: pytest.FixtureRequest, clock: Clock) -> World:
    return world_of(request.param, clock)


def last_rows(world: World, count: int) -> list[tuple[str, str, str, str]]:
    rows = world.rows(world.generation.live_table)[-count:]
    return [(row.operation, row.resource_type, row.resource, row.username) for row in rows]


def kinds(world: World) -> list[str]:
    return [webhook["type"] for webhook in world.webhooks]


def test_a_push_leaves_a_row_and_the_webhook_of_the_same_second(world: World) -> None:
    digest = world.push("team/group/app", "v1", "ann")
    assert last_rows(world, 1) == [("create", "artifact", "team/group/app:v1", "ann")]
    (webhook,) = world.webhooks
    assert webhook == {
        "type": "PUSH_ARTIFACT",
        "occur_at": int(NOON.timestamp()),
        "operator": "ann",
        "event_data": {
            "resources": [
                {"digest": digest, "tag": "v1", "resource_url": "harbor.example.com/team/group/app:v1"},
            ],
            "repository": {
                "date_created": int(NOON.timestamp()) - 1,
                "name": "group/app",
                "namespace": "team",
                "repo_full_name": "team/group/app",
                "repo_type": "private",
            },
        },
    }


def test_an_artifact_is_pushed_a_few_milliseconds_before_its_row(world: World) -> None:
    world.push("team/app", "v1")
    with HarborStandIn(world) as harbor:
        said = get(harbor, "/projects/team/repositories/app/artifacts/v1").json()
    assert said["push_time"] == "2026-11-24T11:59:59.986Z"
    assert said["tags"][0]["push_time"] == "2026-11-24T11:59:59.996Z"


def test_pushes_in_no_time_at_all_can_be_told_apart(world: World) -> None:
    """With a clock that stands still, a tag that moved was still not there before the row of the push before."""
    first = world.push("team/app", "v1")
    world.push("team/app", "v1")
    rows = world.rows(world.generation.live_table)
    artifacts = world.registry().repositories["team/app"].artifacts
    assert not artifacts[first].tags
    (moved,) = [tag for artifact in artifacts.values() for tag in artifact.tags.values()]
    assert rows[-2].op_time < moved.push_time <= rows[-1].op_time


def test_digests_stand_behind_a_colon_or_an_at(clock: Clock) -> None:
    for generation, separator in ((Generation.V2_8, ":"), (Generation.V2_12, "@"), (Generation.V2_16, "@")):
        world = world_of(generation, clock)
        digest = world.push("team/app", None)
        assert last_rows(world, 1)[0][2] == f"team/app{separator}{digest}"


def test_a_moved_tag_leaves_its_old_artifact(world: World) -> None:
    first, second = world.push("team/app", "v1", content="1"), world.push("team/app", "v1", content="2")
    with HarborStandIn(world) as harbor:
        assert get(harbor, "/projects/team/repositories/app/artifacts/v1").json()["digest"] == second
        assert get(harbor, f"/projects/team/repositories/app/artifacts/{first}").json()["tags"] is None


def test_an_index_is_pushed_after_its_platforms_and_listed_without_them(world: World) -> None:
    digest = world.push_index("team/app", "v1", "ci")
    assert kinds(world) == ["PUSH_ARTIFACT"] * 3
    assert last_rows(world, 1)[0][2] == "team/app:v1"
    with HarborStandIn(world) as harbor:
        (listed,) = get(harbor, "/projects/team/repositories/app/artifacts").json()
        everything = get(harbor, "/projects/team/repositories/app/artifacts", q="base=*").json()
    assert listed["digest"] == digest
    assert {each["child_digest"] for each in listed["references"]} == {each["digest"] for each in everything} - {digest}


def test_a_deletion_takes_signatures_along_and_names_the_newest_tag(world: World, clock: Clock) -> None:
    digest = world.push("team/app", "v1")
    clock.advance(1)
    world.create_tag("team/app", "v1", "stable")
    signature = world.push("team/app", None, subject=digest)
    world.delete_artifact("team/app", "v1", "bob")
    deletions = [webhook for webhook in world.webhooks if webhook["type"] == "DELETE_ARTIFACT"]
    named = [
        (each["event_data"]["resources"][0]["digest"], each["event_data"]["resources"][0]["tag"]) for each in deletions
    ]
    assert named == [(signature, signature), (digest, "stable")]
    assert [row[:2] for row in last_rows(world, 2)] == [("delete", "artifact")] * 2


def accessories(harbor: HarborStandIn, reference: str) -> list[tuple[str, str]]:
    """(type, digest) of what belongs to an artifact of `team/app`; a robot that may read artifacts sees it."""
    said = get(harbor, f"{APP}/{reference}", POLLER, with_accessory="true").json()["accessories"]
    return [(each["type"], each["digest"]) for each in said or []]


def test_what_names_a_subject_belongs_to_it(world: World) -> None:
    """It is in no list, though it can be asked for by digest; its subject names it only to whoever wants to know."""
    digest = world.push("team/app", "v1")
    notation = world.push("team/app", None, "ann", subject=digest, accessory_type=NOTATION)
    other = world.push("team/app", None, "ann", subject=digest)
    assert last_rows(world, 1)[0][0] == "create"
    with HarborStandIn(world) as harbor:
        assert get(harbor, f"{APP}/v1").json()["accessories"] is None
        assert accessories(harbor, "v1") == [("signature.notation", notation), ("subject.accessory", other)]
        assert digests(harbor, q="base=*") == [digest]
        fetched = get(harbor, f"{APP}/{other}").json()
        assert (fetched["digest"], fetched["tags"]) == (other, None)
        assert fetched["project_id"] == get(harbor, f"{APP}/v1").json()["project_id"]


def test_what_belongs_to_an_artifact_is_listed(world: World) -> None:
    """By page and type; it takes a right of its own, which a robot does not have along with those on artifacts."""
    digest = world.push("team/app", "v1")
    signature = world.attach("team/app", "v1", "sig", as_referrer=True)
    attestation = world.attach("team/app", "v1", "att", as_referrer=True)
    with HarborStandIn(world) as harbor:
        first = get(harbor, f"{APP}/v1/accessories", page_size=1)
        assert first.headers["X-Total-Count"] == "2"
        [said] = first.json()
        about = {"type": "signature.cosign", "digest": signature, "icon": "", "size": 1127}
        subject = {"subject_artifact_digest": digest, "subject_artifact_repo": "team/app"}
        assert said | about | subject == said
        assert {"id", "artifact_id", "creation_time"} < said.keys()
        [referrer] = get(harbor, f"{APP}/{digest}/accessories", q="type=subject.accessory").json()
        assert referrer["digest"] == attestation
        assert get(harbor, f"{APP}/v1/accessories", POLLER).status_code == 403
        assert get(harbor, f"{APP}/nope/accessories").status_code == 404


def test_of_what_cosign_2_adds_only_the_signature_belongs_to_the_image(world: World) -> None:
    """Its tags name the digest of the image; attestations and SBOMs are artifacts like any to Harbor."""
    digest = world.push("team/app", "v1")
    name = digest.replace(":", "-")
    signature, attestation, sbom = (world.attach("team/app", "v1", kind, "ann") for kind in ("sig", "att", "sbom"))
    assert last_rows(world, 3) == [
        ("create", "artifact", f"team/app:{name}.{kind}", "ann") for kind in ("sig", "att", "sbom")
    ]
    with HarborStandIn(world) as harbor:
        assert accessories(harbor, "v1") == [("signature.cosign", signature)]
        assert sorted(digests(harbor)) == sorted([digest, attestation, sbom])
        assert get(harbor, f"{APP}/{name}.sig").json()["digest"] == signature


def test_a_signature_of_what_is_not_there_is_an_artifact_like_any(world: World) -> None:
    digest = world.push("team/app", f"sha256-{'0' * 64}.sig")
    with HarborStandIn(world) as harbor:
        assert digests(harbor) == [digest]


def test_an_attestation_of_buildx_is_a_child_of_an_unknown_platform(world: World) -> None:
    world.push_index("team/app", "v1", platforms=("linux/arm64",), attestations=True)
    with HarborStandIn(world) as harbor:
        references = get(harbor, f"{APP}/v1").json()["references"]
        platforms = [(each["platform"]["os"], each["platform"]["architecture"]) for each in references]
        assert platforms == [("linux", "arm64"), ("unknown", "unknown")]
        assert all(get(harbor, f"{APP}/{each['child_digest']}").status_code == 200 for each in references)


def test_retention_deletes_artifacts_and_their_signatures_and_nothing_else(world: World, clock: Clock) -> None:
    """One row for each, whatever its tags are called, by the job service. An emptied repository stays."""
    old = world.push("team/app", "v1")
    world.create_tag("team/app", "v1", "stable")
    signature = world.attach("team/app", "v1", "sig")
    clock.advance(60)
    kept = world.push("team/app", "v2")
    assert world.retention("team/app", keep=1) == [old]
    assert [row[:2] + row[3:] for row in last_rows(world, 2)] == [("delete", "artifact", "harbor-jobservice")] * 2
    assert [split(row[2])[2] for row in last_rows(world, 2)] == [signature, old]
    assert world.retention("team/app") == [kept]
    with HarborStandIn(world) as harbor:
        assert digests(harbor) == []
        assert get(harbor, "/projects/team/repositories/app").json()["artifact_count"] == 0


def test_a_repository_goes_with_a_row_for_each_artifact(world: World) -> None:
    world.push("team/app", "v1")
    world.push("team/app", "v2")
    world.delete_repository("team/app")
    assert [row[:2] for row in last_rows(world, 3)] == [("delete", "artifact")] * 2 + [("delete", "repository")]
    assert "date_created" not in world.webhooks[-1]["event_data"]["repository"]


def test_a_copy_brings_all_tags_and_tells_the_newest(world: World, clock: Clock) -> None:
    digest = world.push("team/app", "v1")
    clock.advance(1)
    world.push("team/app", "latest", content="content 1")
    world.push("team/app", None, subject=digest)
    world.copy("team/app", digest, "team/copied")
    assert last_rows(world, 2)[0][2] == "team/copied:latest"
    assert sorted(world.registry().repositories["team/copied"].artifacts[digest].tags) == ["latest", "v1"]


def test_an_anonymous_pull_has_no_operator_in_its_webhook(world: World) -> None:
    world.push("team/app", "v1")
    world.pull("team/app", "v1", "anonymous")
    assert last_rows(world, 1)[0][3] == "anonymous"
    assert world.webhooks[-1]["operator"] == ""


def test_a_scan_leaves_the_rows_of_its_generation(world: World, clock: Clock) -> None:
    digest = world.push("team/app", "v1")
    before = world.newest_id
    running = world.start_scan("team/app", "v1", asked_by="ann")
    clock.advance(2.5)
    world.finish_scan(running, severities={"Critical": 1, "Low": 2})
    rows = last_rows(world, world.newest_id - before)
    robot = running[0].robot
    pull = ("pull", "artifact", f"team/app{world.generation.before_digest}{digest}", robot)
    if world.generation is Generation.V2_8:
        assert rows == [pull]
    else:
        deletion = ("delete", "robot", robot, "harbor-jobservice")
        assert rows == [("create", "robot", robot, "ann"), pull, deletion]


def test_a_scan_is_told_as_its_generation_tells_it(world: World, clock: Clock) -> None:
    world.push("team/app", "v1")
    running = world.start_scan("team/app", "v1", asked_by="ann")
    clock.advance(2.5)
    world.finish_scan(running, severities={"Critical": 1, "Low": 2}, fixable=1)
    webhook = world.webhooks[-1]
    assert webhook["type"] == "SCANNING_COMPLETED"
    assert webhook["operator"] == ("auto" if world.generation is Generation.V2_8 else "ann")
    assert webhook["event_data"].get("scan") == (
        None if world.generation is Generation.V2_8 else {"scan_type": "vulnerability"}
    )
    told = webhook["event_data"]["resources"][0]["scan_overview"][SCAN]
    assert told["summary"] == {"total": 3, "fixable": 1, "summary": {"Critical": 1, "Low": 2}}
    assert (told["start_time"], told["end_time"], told["duration"]) == (
        "2026-11-24T12:00:00Z",
        "2026-11-24T12:00:02Z",
        2,
    )
    with HarborStandIn(world) as harbor:
        said = overview(harbor, "/projects/team/repositories/app/artifacts/v1")
    assert said | {"start_time": 0, "end_time": 0} == told | {"start_time": 0, "end_time": 0}


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.STOPPED])
def test_a_scan_without_result_says_no_more_than_harbor_does(world: World, clock: Clock, outcome: Outcome) -> None:
    world.push("team/app", "v1")
    running = world.start_scan("team/app", "v1")
    clock.advance(3)
    world.finish_scan(running, outcome)
    with HarborStandIn(world) as harbor:
        said = overview(harbor, "/projects/team/repositories/app/artifacts/v1")
    assert said.keys() == {"duration", "end_time", "report_id", "scan_status", "start_time"}
    told = world.webhooks[-1]["event_data"]["resources"][0]["scan_overview"][SCAN]
    assert (told["severity"], told["summary"], told["complete_percent"]) == ("", None, 0)


def test_a_scan_of_an_index_is_told_for_each_platform(world: World) -> None:
    world.push_index("team/app", "v1")
    world.scan("team/app", "v1", severities={"High": 1})
    told = [webhook["event_data"]["resources"][0] for webhook in world.webhooks[-2:]]
    assert all("tag" not in each and "@sha256:" in each["resource_url"] for each in told)
    with HarborStandIn(world) as harbor:
        said = overview(harbor, "/projects/team/repositories/app/artifacts/v1")
    assert said["summary"]["total"] == 2


def test_a_scan_of_all_is_told_without_result_since_2_11(world: World) -> None:
    world.push("team/app", "v1")
    world.scan("team/app", "v1", scan_all=True, operator="admin")
    event_data = world.webhooks[-1]["event_data"]
    is_old = world.generation is Generation.V2_8
    assert ("scan_overview" in event_data["resources"][0]) == is_old
    assert event_data.get("scan") == (None if is_old else {})


def test_what_older_generations_do_not_log_leaves_no_row(clock: Clock) -> None:
    counts = {}
    for generation in Generation:
        world = world_of(generation, clock)
        before = world.newest_id
        world.create_robot("robot$team+ci")
        world.login("eve", ok=False)
        world.change_configuration()
        world.create_user("bob")
        world.create_member("bob", "team")
        counts[generation] = world.newest_id - before
    assert counts == {Generation.V2_8: 0, Generation.V2_12: 1, Generation.V2_16: 5}
    assert [row.result for row in world.rows(Table.NEW)[-4:-3]] == [False]


# -- scans, as a poller finds them ----------------------------------------------------------------------------------

APP = "/projects/team/repositories/app/artifacts"
FINDINGS = (
    Vulnerability("CVE-2026-1111", "Critical", "openssl", "3.0.1", "3.0.2"),
    Vulnerability("CVE-2026-2222", "High", "zlib", "1.2", "1.3"),
    Vulnerability("CVE-2026-3333", "High", "bash", "5.2"),
)


def listed(harbor: HarborStandIn, reference: str) -> Any:
    """The answer about the findings of `team/app`, one by one."""
    return get(harbor, f"{APP}/{reference}/additions/vulnerabilities").json()


def digests(harbor: HarborStandIn, **params: str | int) -> list[str]:
    return [each["digest"] for each in get(harbor, APP, **params).json()]


def test_findings_count_for_themselves_and_are_listed_as_they_are(world: World) -> None:
    digest = world.push("team/app", "v1")
    world.scan("team/app", "v1", findings=FINDINGS)
    with HarborStandIn(world) as harbor:
        assert overview(harbor, f"{APP}/v1")["summary"] == {
            "fixable": 2,
            "summary": {"Critical": 1, "High": 2},
            "total": 3,
        }
        said = listed(harbor, "v1")[SCAN]
    assert said["severity"] == "Critical"
    assert [Vulnerability(*map(each.get, Vulnerability._fields)) for each in said["vulnerabilities"]] == [*FINDINGS]
    assert all(each["artifact_digests"] == [digest] for each in said["vulnerabilities"])


def test_an_artifact_without_a_result_lists_no_findings(world: World) -> None:
    """Never scanned, being scanned, failed: the answer is an empty object, and no error."""
    world.push("team/app", "v1")
    with HarborStandIn(world) as harbor:
        assert listed(harbor, "v1") == {}
        running = world.start_scan("team/app", "v1")
        assert listed(harbor, "v1") == {}
        world.finish_scan(running, Outcome.ERROR)
        assert listed(harbor, "v1") == {}


def test_listed_findings_are_the_recorded_ones(recorded: HarborStandIn) -> None:
    """Field by field, but for which of them have a fix: a recorded overview tells only how many."""
    for answer in recorded_answers(recorded, "artifact-vulnerabilities"):
        said, wanted = ask_again(recorded, answer).json(), answer["body"]
        assert said.keys() == wanted.keys()
        for mime in wanted:
            assert less(said[mime], "vulnerabilities") == less(wanted[mime], "vulnerabilities")
            assert [less(each, "fix_version") for each in said[mime]["vulnerabilities"]] == [
                less(each, "fix_version") for each in wanted[mime]["vulnerabilities"]
            ]


def test_an_index_merges_the_findings_of_its_platforms(world: World) -> None:
    """What both have is listed once, with both digests; as long as one has no report, nothing is."""
    world.push_index("team/app", "v1")
    first, second = world.start_scan("team/app", "v1")
    world.finish_scan([first], findings=FINDINGS[:2])
    with HarborStandIn(world) as harbor:
        assert [each["id"] for each in listed(harbor, "v1")[SCAN]["vulnerabilities"]] == [
            "CVE-2026-1111",
            "CVE-2026-2222",
        ]
        world.finish_scan([second], findings=FINDINGS[1:])
        said = listed(harbor, "v1")[SCAN]["vulnerabilities"]
    assert [len(each["artifact_digests"]) for each in said] == [1, 2, 1]


def test_attestations_are_listed_but_never_scanned(world: World) -> None:
    """They do not hide the overview of their index, which waits for its platforms only."""
    index = world.push_index("team/app", "v1", attestations=True)
    scans = world.start_scan("team/app", "v1")
    world.finish_scan(scans, severities={"High": 1})
    with HarborStandIn(world) as harbor:
        references = get(harbor, f"{APP}/v1").json()["references"]
        unknown = [each for each in references if each["platform"]["os"] == "unknown"]
        assert (len(references), len(unknown), len(scans)) == (4, 2, 2)
        assert overview(harbor, f"{APP}/v1")["complete_percent"] == 100
        assert digests(harbor) == [index]
        attestation = f"{APP}/{unknown[0]['child_digest']}"
        assert "scan_overview" not in get(harbor, attestation, with_scan_overview="true").json()
    with pytest.raises(ValueError, match="cannot be scanned"):
        world.start_scan("team/app", unknown[0]["child_digest"])


def test_a_scan_shows_in_the_times_of_artifact_and_repository(world: World, clock: Clock) -> None:
    """Also when pulls are not logged: this is how a poller without them finds what was scanned."""
    scanned, other = world.push("team/app", "v1"), world.push("team/app", "v2")
    world.push("team/quiet", "v1")
    world.log_pulls = False
    clock.advance(60)
    world.scan("team/app", "v1")
    since = "[2026-11-24T12:00:30~]"
    with HarborStandIn(world) as harbor:
        assert digests(harbor, q=f"base=*,pull_time={since}", sort="-pull_time") == [scanned]
        for path in ("/repositories", "/projects/team/repositories"):
            changed = get(harbor, path, q=f"update_time={since}", sort="-update_time").json()
            assert [each["name"] for each in changed] == ["team/app"]
            first, second = get(harbor, path, sort="repository_id").json()
            assert get(harbor, path, q=f"repository_id=[{second['id']}~]").json() == [second]
            assert first["id"] < second["id"]
            assert get(harbor, path, q=f"id=[{second['id']}~]", sort="id").json() == [second, first]  # no such column
        assert digests(harbor, q=f"digest={{{scanned} {other}}}", sort="id") == [scanned, other]
        assert digests(harbor, q=f"digest={other}") == [other]


def test_a_scanner_may_not_pull_at_all(world: World, clock: Clock) -> None:
    """Its robot comes and goes, and neither a row nor a time tells of the artifact."""
    world.push("team/app", "v1")
    before = world.newest_id
    clock.advance(60)
    world.scan("team/app", "v1", severities={"Low": 1}, pulls=False)
    rows = [row for row in world.rows(world.generation.live_table) if row.id > before]
    robots = [] if world.generation is Generation.V2_8 else [("delete", "robot")]
    assert [(row.operation, row.resource_type) for row in rows] == robots
    assert kinds(world) == ["PUSH_ARTIFACT", "SCANNING_COMPLETED"]
    with HarborStandIn(world) as harbor:
        assert get(harbor, f"{APP}/v1").json()["pull_time"].startswith("0001")
        assert overview(harbor, f"{APP}/v1")["scan_status"] == "Success"


def test_artifacts_can_be_asked_for_by_the_type_of_their_manifest(world: World) -> None:
    """A plus is written so that it survives being unescaped twice."""
    plain, index = world.push("team/app", "v1"), world.push_index("team/app", "v2")
    oci, docker = (
        "application/vnd.oci.image.index.v1%2Bjson",
        "application/vnd.docker.distribution.manifest.list.v2%2Bjson",
    )
    with HarborStandIn(world) as harbor:
        assert digests(harbor, q=f"manifest_media_type={{{oci} {docker}}}") == [index]
        assert digests(harbor, q="manifest_media_type=application/vnd.oci.image.manifest.v1%2Bjson") == [plain]
        assert len(digests(harbor, q="base=*,colour=red")) == 4


def test_each_scanner_has_reports_of_its_own(world: World, clock: Clock) -> None:
    """After a switch the overview is gone until that scanner has been there, and the old one comes back as it was."""
    world.push("team/app", "v1")
    world.scan("team/app", "v1", severities={"High": 1})
    with HarborStandIn(world) as harbor:
        before = overview(harbor, f"{APP}/v1")
        world.use_scanner("Clair", "v4.7", "Red Hat")
        assert "scan_overview" not in get(harbor, f"{APP}/v1", with_scan_overview="true").json()
        assert listed(harbor, "v1") == {}
        clock.advance(60)
        [running] = world.start_scan("team/app", "v1")
        world.finish_scan([running])
        assert "-Clair-" in running.robot
        assert overview(harbor, f"{APP}/v1")["scanner"] == {"name": "Clair", "vendor": "Red Hat", "version": "v4.7"}
        world.use_scanner("Trivy", "v0.60.0", "Aqua Security", project="team")
        assert overview(harbor, f"{APP}/v1") == before


def test_no_overview_is_shown_while_the_scanner_cannot_be_reached(world: World) -> None:
    world.push("team/app", "v1")
    world.scan("team/app", "v1", severities={"High": 1})
    with HarborStandIn(world) as harbor:
        before = overview(harbor, f"{APP}/v1")
        world.scanner_reachable = False
        assert "scan_overview" not in get(harbor, f"{APP}/v1", with_scan_overview="true").json()
        assert listed(harbor, "v1") == {}
        world.scanner_reachable = True
        assert overview(harbor, f"{APP}/v1") == before


def test_a_swept_task_makes_an_old_result_an_error_without_times(world: World) -> None:
    """The report keeps its id and its findings; nothing has failed."""
    world.push("team/app", "v1")
    world.scan("team/app", "v1", findings=FINDINGS)
    with HarborStandIn(world) as harbor:
        before = overview(harbor, f"{APP}/v1")
        world.sweep_tasks("team/app", "v1")
        never = "0001-01-01T00:00:00.000Z"
        assert overview(harbor, f"{APP}/v1") == {
            "end_time": never,
            "report_id": before["report_id"],
            "scan_status": "Error",
            "start_time": never,
        }
        assert len(listed(harbor, "v1")[SCAN]["vulnerabilities"]) == 3


def test_a_result_is_that_of_the_scan_which_began_last(world: World) -> None:
    """A scan that is overtaken ends on its own, and tells its own result."""
    world.push("team/app", "v1")
    first, second = world.start_scan("team/app", "v1"), world.start_scan("team/app", "v1")
    world.finish_scan(first, Outcome.ERROR)
    with HarborStandIn(world) as harbor:
        assert overview(harbor, f"{APP}/v1")["scan_status"] == "Running"
        world.finish_scan(second)
        assert overview(harbor, f"{APP}/v1")["scan_status"] == "Success"
    assert kinds(world)[-2:] == ["SCANNING_FAILED", "SCANNING_COMPLETED"]


# -- scans of everything --------------------------------------------------------------------------------------------


def metrics(harbor: HarborStandIn, which: str = "all", account: Account | None = ADMIN) -> Any:
    return get(harbor, f"/scans/{which}/metrics", account).json()


def test_a_scan_of_everything_can_be_followed(world: World) -> None:
    """Each platform, nothing twice, no attestation and no signature, nor what is being scanned already."""
    signed = world.push("team/app", "v1", content="shared")
    world.push("team/app", None, subject=signed)
    world.push("team/copy", "v1", content="shared")
    world.push_index("team/app", "v2", attestations=True)
    world.push("team/busy", "v1")
    world.start_scan("team/busy", "v1")
    with HarborStandIn(world) as harbor:
        assert metrics(harbor) == {"completed": 0, "ongoing": False, "total": 0}
        running = world.start_scan_all("ann")
        world.finish_scan_all(running, Outcome.ERROR, count=1)
        assert metrics(harbor) == {
            "completed": 1,
            "metrics": {"Error": 1, "Pending": 0, "Running": 2, "Stopped": 0, "Success": 0},
            "ongoing": True,
            "total": 3,
            "trigger": "Manual",
        }
        world.finish_scan_all(running, severities={"Low": 1})
        assert (metrics(harbor)["completed"], metrics(harbor)["ongoing"]) == (3, False)
        assert metrics(harbor, "schedule")["total"] == 0
    ends = [webhook for webhook in world.webhooks if webhook["type"].startswith("SCANNING_")]
    assert len(ends) == 3
    is_old = world.generation is Generation.V2_8
    assert {webhook["operator"] for webhook in ends} == {"auto" if is_old else "ann"}
    assert {"scan_overview" in webhook["event_data"]["resources"][0] for webhook in ends} == {is_old}


def test_a_scheduled_scan_of_everything_is_nobodys(world: World) -> None:
    world.push("team/app", "v1")
    before = world.newest_id
    world.scan_all(scheduled=True)
    rows = [row[:2] for row in last_rows(world, world.newest_id - before)]
    assert rows == [("pull", "artifact"), ("delete", "robot")][: 1 + (world.generation is not Generation.V2_8)]
    assert world.webhooks[-1]["operator"] == ("auto" if world.generation is Generation.V2_8 else "harbor-jobservice")
    with HarborStandIn(world) as harbor:
        assert metrics(harbor) == metrics(harbor, "schedule")
        assert metrics(harbor)["trigger"] == "Schedule"


def test_the_progress_of_a_scan_of_everything_needs_a_right_of_its_own(world: World) -> None:
    """No robot has it before 2.10."""
    entitled = Account("robot$scans", "s", Role.SYSTEM_ROBOT_SCANS)
    with HarborStandIn(world, [ADMIN, POLLER, entitled]) as harbor:
        for path in ("/scans/all/metrics", "/scans/schedule/metrics"):
            statuses = [get(harbor, path, account).status_code for account in (ADMIN, POLLER, entitled, None)]
            assert statuses == [200, 403, 403 if world.generation is Generation.V2_8 else 200, 401]
        assert get(harbor, f"/{world.generation.live_table}", entitled).status_code == 200


def test_the_progress_of_a_scan_of_everything_is_the_recorded_one(recorded: HarborStandIn) -> None:
    compared = 0
    for answer in recorded_answers(recorded, "scan-all-metrics", "scan-schedule-metrics"):
        assert ask_again(recorded, answer).json() == answer["body"]
        compared += 1
    assert compared == 2


# -- SBOMs ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[Generation.V2_12, Generation.V2_16], ids=lambda generation: generation.name)
def sbom_world(request: pytest.FixtureRequest, clock: Clock) -> World:
    return world_of(request.param, clock)


def sbom_of(harbor: HarborStandIn, reference: str) -> Any:
    return get(harbor, f"{APP}/{reference}", with_sbom_overview="true").json().get("sbom_overview")


def test_an_sbom_is_an_accessory_pushed_by_the_scanners_robot(sbom_world: World, clock: Clock) -> None:
    world, digest = sbom_world, sbom_world.push("team/app", "v1")
    before = world.newest_id
    [run] = world.start_sbom("team/app", "v1", asked_by="ann")
    clock.advance(4)
    with HarborStandIn(world) as harbor:
        never = "0001-01-01T00:00:00.000Z"
        running = {"report_id": run.sbom.report_id, "scan_status": "Running", "start_time": never, "end_time": never}
        assert sbom_of(harbor, "v1") == running
        world.finish_sbom([run])
        [accessory] = get(harbor, f"{APP}/v1", with_accessory="true").json()["accessories"]
        scanner = {"name": "Trivy", "vendor": "Aqua Security", "version": "v0.58.0"}
        assert sbom_of(harbor, "v1") == {
            "duration": 4,
            "end_time": "2026-11-24T12:00:04.000Z",
            "sbom_digest": accessory["digest"],
            "scan_status": "Success",
            "scanner": scanner,
            "start_time": "2026-11-24T12:00:00.000Z",
        }
        assert digests(harbor, q="base=*") == [digest]
    assert (accessory["type"], accessory["subject_artifact_digest"]) == ("sbom.harbor", digest)
    assert last_rows(world, world.newest_id - before) == [
        ("create", "robot", run.robot, "ann"),
        ("pull", "artifact", f"team/app@{digest}", run.robot),
        ("create", "artifact", f"team/app@{accessory['digest']}", run.robot),
        ("delete", "robot", run.robot, "harbor-jobservice"),
    ]
    told = world.webhooks[-1]
    assert (told["type"], told["operator"]) == ("SCANNING_COMPLETED", "ann")
    assert told["event_data"]["scan"] == {"scan_type": "sbom"}
    [resource] = told["event_data"]["resources"]
    assert (resource["tag"], resource["sbom_overview"]["sbom_digest"]) == ("v1", accessory["digest"])
    assert "scan_overview" not in resource


@pytest.mark.parametrize(
    ("outcome", "kind"), [(Outcome.ERROR, "SCANNING_FAILED"), (Outcome.STOPPED, "SCANNING_STOPPED")]
)
def test_an_sbom_that_failed_says_no_more_than_one_that_runs(sbom_world: World, outcome: Outcome, kind: str) -> None:
    """Harbor keeps times only of a success; unlike after a sweep, a failure without times is real here."""
    sbom_world.push("team/app", "v1")
    sbom_world.sbom("team/app", "v1", outcome)
    assert kinds(sbom_world)[-1] == kind
    told = sbom_world.webhooks[-1]["event_data"]["resources"][0]["sbom_overview"]
    assert told.keys() == {"report_id", "scan_status"}
    with HarborStandIn(sbom_world) as harbor:
        never = "0001-01-01T00:00:00.000Z"
        assert sbom_of(harbor, "v1") == told | {"start_time": never, "end_time": never}


def test_an_sbom_of_what_is_gone_fails(sbom_world: World) -> None:
    sbom_world.push("team/app", "v1")
    runs = sbom_world.start_sbom("team/app", "v1")
    sbom_world.delete_artifact("team/app", "v1")
    sbom_world.finish_sbom(runs)
    assert kinds(sbom_world)[-1] == "SCANNING_FAILED"
    assert not sbom_world.registry().repositories["team/app"].artifacts


def test_a_new_sbom_takes_the_place_of_the_old_one(sbom_world: World) -> None:
    digest = sbom_world.push("team/app", "v1")
    sbom_world.sbom("team/app", "v1")
    sbom_world.sbom("team/app", "v1", asked_by="ann")
    found = sbom_world.registry().repositories["team/app"]
    assert len(found.accessories(found.artifacts[digest])) == 1
    assert kinds(sbom_world).count("DELETE_ARTIFACT") == 1


def test_the_sbom_of_an_index_is_one_for_each_platform(sbom_world: World) -> None:
    """The index has no list of its own, and tells how the run went."""
    sbom_world.push_index("team/app", "v1", attestations=True)
    runs = sbom_world.start_sbom("team/app", "v1")
    with HarborStandIn(sbom_world) as harbor:
        sbom_world.finish_sbom(runs[:1])
        assert sbom_of(harbor, "v1")["scan_status"] == "Running"
        sbom_world.finish_sbom(runs[1:])
        assert sbom_of(harbor, "v1").keys() == {"scan_status", "start_time", "end_time"}
        assert sbom_of(harbor, "v1")["scan_status"] == "Success"
    assert kinds(sbom_world)[-1] == "SCANNING_COMPLETED"


def test_there_are_no_sboms_before_2_11(clock: Clock) -> None:
    world = world_of(Generation.V2_8, clock)
    world.push("team/app", "v1")
    with pytest.raises(ValueError, match="makes no SBOM"):
        world.sbom("team/app", "v1")
    with HarborStandIn(world) as harbor:
        assert sbom_of(harbor, "v1") is None


# -- a large registry -----------------------------------------------------------------------------------------------


def test_a_registry_can_have_a_past_that_no_row_tells(world: World) -> None:
    before = world.newest_id
    names = world.populate(repositories=3, artifacts_each=12, severities={"High": 2})
    assert names == ["team/service-0000", "team/service-0001", "team/service-0002"]
    assert (world.newest_id, world.webhooks) == (before, [])
    with HarborStandIn(world) as harbor:
        path = "/projects/team/repositories/service-0001/artifacts"
        newest = get(harbor, path, page_size=5, page=1, with_scan_overview="true")
        assert [each["tags"][0]["name"] for each in newest.json()] == ["v11", "v10", "v9", "v8", "v7"]
        assert newest.headers["X-Total-Count"] == "12"
        assert newest.json()[0]["scan_overview"][SCAN]["summary"]["total"] == 2
        world.scan(names[1], "v3", severities={"Critical": 1})
        assert overview(harbor, f"{path}/v3")["severity"] == "Critical"
        assert overview(harbor, f"{path}/v4")["severity"] == "High"


def test_a_hundred_thousand_artifacts_are_there_in_seconds(clock: Clock) -> None:
    """And a scan or a look-up among them takes no longer than among a few."""
    world = world_of(Generation.V2_16, clock)
    started = time.monotonic()
    names = world.populate(repositories=1000, artifacts_each=100)
    for number in range(500):
        world.scan(names[number], f"v{number % 100}")
    assert time.monotonic() - started < 20  # less than 2 s on a machine with nothing else to do
    assert sum(repository.artifact_count for repository in world.registry().repositories.values()) == 100_000


def test_what_a_repository_counts_is_what_it_lists(world: World) -> None:
    """Whatever has come and gone: tags, indexes, their platforms and accessories."""
    world.push_index("team/app", "v1", content="a", platforms=("linux/amd64", "linux/arm64"))
    world.push_index("team/app", "v2", content="a", platforms=("linux/amd64", "linux/arm64"))
    world.push_index("team/app", "v3", attestations=True)
    signed = world.push("team/app", "v3")
    world.push("team/app", None, subject=signed)
    child = world.registry().repositories["team/app"].find("v2").children[0][0]  # type: ignore[union-attr]  # pushed above
    world.create_tag("team/app", child, "amd64")
    world.delete_tag("team/app", "v1")
    world.delete_artifact("team/app", signed)
    with HarborStandIn(world) as harbor:
        count = get(harbor, "/projects/team/repositories/app").json()["artifact_count"]
        assert sorted(digests(harbor, page_size=100)) == sorted(
            each.digest for each in world.registry().repositories["team/app"].top_level()
        )
        assert (count, len(digests(harbor))) == (3, 3)
        world.delete_artifact("team/app", "v2")
        assert get(harbor, f"{APP}/amd64").status_code == 200


# -- accidents of the log ---------------------------------------------------------------------------------------


def test_an_upgrade_freezes_the_old_log_and_starts_the_new_one_at_1(clock: Clock) -> None:
    world = world_of(Generation.V2_12, clock)
    world.push("team/app", "v1")
    world.upgrade(Generation.V2_16)
    world.push("team/app", "v2")
    with HarborStandIn(world) as harbor:
        assert [row["id"] for row in get(harbor, "/auditlog-exts").json()] == [1]
        assert [row["id"] for row in get(harbor, "/audit-logs").json()] == [2, 1]
        assert get(harbor, "/projects/team/logs").headers["X-Total-Count"] == "2"


def test_a_restored_database_gives_ids_again(world: World) -> None:
    for tag in ("1", "2", "3"):
        world.push("team/app", tag)
    world.restore(to_id=2)
    world.push("team/app", "4")
    rows = world.rows(world.generation.live_table)
    assert [(row.id, row.resource) for row in rows[1:]] == [(2, "team/app:1"), (3, "team/app:4")]


def test_old_rows_can_be_purged(world: World, clock: Clock) -> None:
    world.push("team/app", "1")
    clock.advance(3600)
    world.push("team/app", "2")
    world.purge(before=clock())
    assert last_rows(world, 9) == [("create", "artifact", "team/app:2", "admin")]


def test_a_row_can_become_visible_after_later_ones(world: World) -> None:
    world.hold_row()
    world.push("team/app", "1")
    world.push("team/app", "2")
    with HarborStandIn(world) as harbor:
        table = f"/{world.generation.live_table}"
        assert [row["id"] for row in get(harbor, table, sort="id").json()] == [1, 3]
        world.release()
        assert [row["id"] for row in get(harbor, table, sort="id").json()] == [1, 2, 3]


def test_a_row_can_be_late_by_itself(clock: Clock) -> None:
    """It has its id and time when it is written, and shows itself after so many seconds."""
    world = World(clock=clock)
    world.hold_row(seconds=5)
    world.create_project("late")
    world.create_project("early")
    assert ([row.id for row in world.rows(Table.NEW)], list(world.held)) == ([2], [1])
    clock.advance(5)
    assert ([row.id for row in world.rows(Table.NEW)], list(world.held)) == ([1, 2], [])


def test_ids_can_be_skipped(world: World) -> None:
    """An insert that was rolled back leaves a hole that is never filled."""
    before = world.newest_id
    world.skip_ids(3)
    world.push("team/app", "1")
    assert world.newest_id == before + 4
    assert [row.id for row in world.rows(world.generation.live_table)][-1] == before + 4


def test_pulls_or_the_whole_log_can_be_switched_off_while_webhooks_go_on(world: World) -> None:
    before = world.newest_id
    world.log_pulls = False
    world.push("team/app", "1")
    world.pull("team/app", "1")
    world.audit_database = False
    world.push("team/app", "2")
    assert world.newest_id == before + 1
    assert kinds(world) == ["PUSH_ARTIFACT", "PULL_ARTIFACT", "PUSH_ARTIFACT"]


# -- the query language -----------------------------------------------------------------------------------------


@pytest.fixture
def busy() -> Iterator[HarborStandIn]:
    """Ids 1 to 6: a project, and five pushes a second apart, by different people."""
    clock = Clock(NOON)
    world = world_of(Generation.V2_12, clock)
    for number, operator in enumerate(("ann", "bob", "robot$team+ci", "ann", "Ann"), 1):
        clock.advance(1.25)
        world.push("team/app", f"v{number}", operator)
    with HarborStandIn(world) as harbor:
        yield harbor


def ids(harbor: HarborStandIn, **params: str | int) -> list[int]:
    return [row["id"] for row in get(harbor, "/audit-logs", **{"sort": "id", **params}).json()]


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("id=[3~5]", [3, 4, 5]),
        ("id=[~2]", [1, 2]),
        ("id={2 4 99}", [2, 4]),
        ("id=4", [4]),
        ("username=ann", [2, 5]),
        ("username=~ann", [2, 5, 6]),
        ("username=robot$team%2Bci", [4]),  # unescaped a second time
        ("username=robot$team+ci", []),  # so a plain plus is a space
        ("operation={create pull},resource_type=artifact,id=[5~]", [5, 6]),
        ("id=[2~],id=[6~]", [6]),  # of a key that comes twice the last one counts
        ("colour=red", [1, 2, 3, 4, 5, 6]),
        ("op_time=[2026-11-24T12:00:02~]", [3, 4, 5, 6]),
        ("op_time=[~2026-11-24T12:00:02.9]", [1, 2]),  # the fraction is cut off
        ("op_time=[2026-11-24T12:00:02.6Z~]", [4, 5, 6]),  # but not before a Z
        ("op_time=[2026-11-24 12:00:01~2026-11-24 12:00:03]", [2, 3]),
    ],
)
def test_filters_select_as_harbor_does(busy: HarborStandIn, q: str, expected: list[int]) -> None:
    assert ids(busy, q=q) == expected


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"q": "nonsense"}, 400),
        ({"q": "id="}, 400),
        ({"q": "id=[1~2"}, 400),
        ({"q": "id=[1]"}, 400),
        ({"q": "id=[abc~]"}, 500),
        ({"q": "id=abc"}, 500),
        ({"q": "op_time=[yesterday~]"}, 500),
        ({"q": "id=[2147483648~]"}, 500),  # the old log's ids have 32 bits
        ({"page_size": "101"}, 422),
        ({"page": "one"}, 422),
    ],
)
def test_malformed_questions_are_refused_as_harbor_does(
    busy: HarborStandIn, params: dict[str, str], status: int
) -> None:
    response = get(busy, "/audit-logs", **params)
    assert response.status_code == status
    assert set(response.json()) == {"errors"}


def test_sorting_takes_several_keys_and_ignores_unknown_ones(busy: HarborStandIn) -> None:
    assert ids(busy, sort="colour,-username,id") == [4, 3, 2, 5, 1, 6]
    assert ids(busy, sort="colour") == [6, 5, 4, 3, 2, 1]


def test_pages_are_counted_and_linked(busy: HarborStandIn) -> None:
    response = get(busy, "/audit-logs", page=2, page_size=2, sort="id", q="id=[1~]")
    assert [row["id"] for row in response.json()] == [3, 4]
    assert response.headers["X-Total-Count"] == "6"
    assert response.headers["Link"] == (
        f'<{API}/audit-logs?page=1&page_size=2&q=id=[1~]&sort=id>; rel="prev" , '
        f'<{API}/audit-logs?page=3&page_size=2&q=id=[1~]&sort=id>; rel="next"'
    )


def test_artifacts_can_be_asked_for_by_push_time_and_tags(world: World, clock: Clock) -> None:
    for tag in ("v1", "v2", None):
        clock.advance(10)
        world.push("team/app", tag)
    with HarborStandIn(world) as harbor:
        path = "/projects/team/repositories/app/artifacts"
        late = get(harbor, path, q="push_time=[2026-11-24T12:00:15~2026-11-24T12:00:25]").json()
        assert [each["tags"][0]["name"] for each in late] == ["v2"]
        for pattern, count in (("*", 2), ("nil", 1), ("v1", 1), ("~v", 2)):
            assert len(get(harbor, path, q=f"tags={pattern}").json()) == count
        assert get(harbor, path, page_size=1).headers["X-Total-Count"] == "3"


def test_projects_are_found_by_a_part_of_their_name(world: World) -> None:
    world.create_project("team-b", public=True)
    with HarborStandIn(world) as harbor:
        assert [each["name"] for each in get(harbor, "/projects", name="tea").json()] == ["team", "team-b"]
        assert [each["name"] for each in get(harbor, "/projects", None, name="tea").json()] == ["team-b"]


# -- rights -----------------------------------------------------------------------------------------------------


def test_the_recommended_robot_reads_all_that_a_poller_needs(world: World) -> None:
    world.push("team/group/app", "v1")
    log = world.generation.live_table
    with HarborStandIn(world) as harbor:
        for path in (f"/{log}", "/projects/team", "/projects/team/repositories/group%252Fapp/artifacts/v1"):
            assert get(harbor, path, POLLER).status_code == 200
        assert get(harbor, "/projects/team/logs", POLLER).status_code == 200
        assert get(harbor, "/configurations", POLLER).status_code == 403
        assert get(harbor, "/users/current", POLLER).status_code == 412


def test_rights_on_the_log_can_be_asked_for(world: World) -> None:
    accounts = [
        Account("robot$team+a", "a", Role.PROJECT_ROBOT),
        Account("robot$team+b", "b", Role.PROJECT_ROBOT_NOLOG),
    ]
    scope = f"/project/{world.registry().projects['team'].id}"
    with HarborStandIn(world, accounts) as harbor:
        said = [
            get(harbor, "/users/current/permissions", each, scope=scope, relative="true").json() for each in accounts
        ]
    assert said == [[{"resource": "log", "action": "list"}], []]


def test_public_artifacts_are_open_to_everybody(world: World) -> None:
    world.push("library/app", "v1")
    with HarborStandIn(world) as harbor:
        assert get(harbor, "/projects/library/repositories/app/artifacts/v1", None).status_code == 200
        assert get(harbor, "/projects/team/repositories/app/artifacts", None).status_code == 401


def test_a_failed_login_locks_the_name_for_a_while(world: World, clock: Clock) -> None:
    """Somebody else's typo: the right password is refused too, until 1.5 s have passed."""
    with HarborStandIn(world) as harbor:
        assert get(harbor, "/users/current").status_code == 200
        assert get(harbor, "/users/current", Account("admin", "typo", Role.ADMIN)).status_code == 401
        assert get(harbor, "/users/current").status_code == 401
        assert get(harbor, "/systeminfo").status_code == 200  # as to anybody
        clock.advance(1.6)
        assert get(harbor, "/users/current").status_code == 200


def test_robots_are_not_locked(world: World) -> None:
    with HarborStandIn(world) as harbor:
        wrong = Account(POLLER.name, "wrong", POLLER.role)
        log = f"/{world.generation.live_table}"
        assert get(harbor, log, wrong).status_code == 401
        assert get(harbor, log, POLLER).status_code == 200


def test_but_for_robots_only_reading_is_served(world: World) -> None:
    with HarborStandIn(world) as harbor:
        response = requests.post(f"{harbor.url}{API}/projects", json={}, timeout=10)
        assert response.status_code == 405
        assert [request.method for request in harbor.requests] == ["POST"]


# -- faults -----------------------------------------------------------------------------------------------------


@pytest.fixture
def harbor() -> Iterator[HarborStandIn]:
    with HarborStandIn() as running:
        yield running


@pytest.mark.parametrize(
    ("fault", "status", "content_type"),
    [
        (Fault.BAD_GATEWAY, 502, "text/html"),
        (Fault.UNAVAILABLE, 503, "text/html"),
        (Fault.GATEWAY_TIMEOUT, 504, "text/html"),
        (Fault.INTERNAL, 500, "application/json; charset=utf-8"),
        (Fault.HTML, 200, "text/html"),
        (Fault.UNAUTHORIZED, 401, "application/json; charset=utf-8"),
    ],
)
def test_answers_can_go_wrong_and_be_healed(
    harbor: HarborStandIn, fault: Fault, status: int, content_type: str
) -> None:
    harbor.fail(fault, times=2)
    for _ in range(2):
        response = get(harbor, "/systeminfo")
        assert (response.status_code, response.headers["Content-Type"]) == (status, content_type)
    assert get(harbor, "/systeminfo").json()["harbor_version"]
    assert harbor.faults_met == {fault: 2}
    harbor.fail(fault, times=ALWAYS)
    harbor.heal()
    assert get(harbor, "/systeminfo").json()["harbor_version"]


def test_faults_can_be_kept_to_one_path(harbor: HarborStandIn) -> None:
    harbor.fail(Fault.INTERNAL, times=ALWAYS, path="/auditlog-exts")
    assert get(harbor, "/systeminfo").status_code == 200
    assert get(harbor, "/auditlog-exts").status_code == 500


def test_connections_can_be_refused_and_come_back_on_the_same_port(harbor: HarborStandIn) -> None:
    url = harbor.url
    harbor.fail(Fault.REFUSED)
    with pytest.raises(requests.ConnectionError):
        get(harbor, "/ping")
    harbor.heal()
    assert harbor.url == url
    assert get(harbor, "/ping").text == "Pong"


@pytest.mark.parametrize("fault", [Fault.DROPPED, Fault.TRUNCATED, Fault.RESET, Fault.RESTARTED])
def test_answers_can_be_cut_off(harbor: HarborStandIn, fault: Fault) -> None:
    harbor.fail(fault)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        get(harbor, "/systeminfo")


def test_a_reset_is_no_end_of_the_stream(harbor: HarborStandIn) -> None:
    """Half the body comes, and then the kernel says that the peer is gone."""
    harbor.fail(Fault.RESET)
    with pytest.raises(requests.RequestException, match="reset by peer"):
        get(harbor, "/systeminfo")


def test_a_harbor_that_restarts_refuses_for_a_while(harbor: HarborStandIn) -> None:
    """It goes down in the middle of an answer, and is back on the same port by itself."""
    harbor.fail(Fault.RESTARTED, seconds=0.5)
    with pytest.raises(requests.RequestException):
        get(harbor, "/systeminfo")
    wait_for(lambda: not _is_up(harbor), every_s=0.01)
    wait_for(lambda: _is_up(harbor))


def _is_up(harbor: HarborStandIn) -> bool:
    try:
        return get(harbor, "/ping").text == "Pong"
    except requests.ConnectionError:
        return False


def test_a_page_can_lack_rows(world: World) -> None:
    """Only the header tells how many there are; what is no list stays whole."""
    with HarborStandIn(world) as harbor:
        for number in range(4):
            world.write_row("create", "project", f"team-{number}")
        harbor.fail(Fault.PARTIAL, times=2)
        response = get(harbor, f"/{world.generation.live_table}")
        assert len(response.json()) < int(response.headers["X-Total-Count"])
        assert get(harbor, "/systeminfo").json()["harbor_version"]


def test_answers_can_be_late(harbor: HarborStandIn) -> None:
    harbor.fail(Fault.SLOW, seconds=0.2)
    started = time.monotonic()
    assert get(harbor, "/systeminfo").status_code == 200
    assert time.monotonic() - started >= 0.2


def test_answers_can_point_elsewhere(harbor: HarborStandIn) -> None:
    harbor.fail(Fault.REDIRECTED)
    response = requests.get(f"{harbor.url}{API}/systeminfo", allow_redirects=False, timeout=10)
    assert response.status_code == 308
    assert urlsplit(response.headers["Location"]).scheme == "https"


def test_requests_are_written_down_and_connections_kept(harbor: HarborStandIn) -> None:
    with requests.Session() as session:
        session.auth = (POLLER.name, POLLER.password)
        first = session.get(f"{harbor.url}{API}/auditlog-exts", params={"q": "id=[1~]"}, timeout=10)
        assert first.headers["X-Request-Id"]
        session.cookies.clear()
        second = session.get(f"{harbor.url}{API}/nothing", headers={"X-Request-Id": "abc"}, timeout=10)
        assert second.headers["X-Request-Id"] == "abc"
    written = [(request.method, request.path, request.user, request.status) for request in harbor.requests]
    assert written == [
        ("GET", f"{API}/auditlog-exts", POLLER.name, 200),
        ("GET", f"{API}/nothing", POLLER.name, 404),
    ]
    assert harbor.requests[0].params == {"q": "id=[1~]"}
    harbor.clear()
    assert harbor.requests == []


def test_webhooks_can_be_written_as_json(world: World) -> None:
    """They are compared with what a poller arrives at, as JSON."""
    world.push("team/app", "v1")
    world.scan("team/app", "v1")
    assert json.loads(json.dumps(world.webhooks)) == world.webhooks


def test_a_scanners_robot_has_an_identifier_of_that_moment(world: World) -> None:
    """A version-1 UUID holds the time at which it was made: pollers may look at it."""
    world.push("team/app", "v1")
    (running,) = world.start_scan("team/app", "v1")
    made_at = datetime(1582, 10, 15, tzinfo=UTC) + timedelta(microseconds=_uuid_time(running.robot) // 10)
    assert abs(made_at - NOON) < timedelta(seconds=1)


def _uuid_time(robot: str) -> int:
    low, middle, high = robot.rsplit("-", 5)[1:4]
    return int(high[1:] + middle + low, 16)


# -- accounts and addresses that are wrong ----------------------------------------------------------


def test_a_robot_out_of_force_is_refused_like_a_wrong_secret(world: World, clock: Clock) -> None:
    """Harbor does not say whether it is disabled or has expired."""
    off = replace(POLLER, name="robot$off", is_disabled=True)
    over = replace(POLLER, name="robot$over", expires_at=clock())
    with HarborStandIn(world, [POLLER, off, over]) as harbor:
        statuses = [get(harbor, "/users/current", account).status_code for account in (POLLER, off, over)]
    assert statuses == [412, 401, 401]


@pytest.mark.parametrize("right", ["artifact: read", "artifact: list", "repository: read", "artifact-addition: read"])
def test_a_right_that_a_robot_lacks_closes_its_paths_alone(world: World, right: str) -> None:
    world.create_project("team")
    world.push("team/app", "1")
    lacking = replace(POLLER, lacks=frozenset({right}))
    here = "/projects/team/repositories/app"
    paths = {
        "repository: read": here,
        "artifact: list": f"{here}/artifacts",
        "artifact: read": f"{here}/artifacts/1",
        "artifact-addition: read": f"{here}/artifacts/1/additions/vulnerabilities",
    }
    with HarborStandIn(world, [lacking]) as harbor:
        refused = [name for name, path in paths.items() if get(harbor, path, lacking).status_code == 403]
    assert refused == [right]


def test_what_is_not_the_api_is_the_portal(harbor: HarborStandIn) -> None:
    """Its nginx gives the page of the portal for every other path."""
    answer = requests.get(f"{harbor.url}/registry{API}/ping", timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html")
