"""The Harbor stand-in lets administrators create robots, and refuses what Harbor refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from demo.harbor import ADMIN, Account, Generation, HarborStandIn, Role, World
from demo.harbor.clock import Clock
from tests.harness import NOON, RECORDINGS

PADMIN = Account("padmin", "secret", Role.PROJECT_ADMIN)
ACCOUNTS = (ADMIN, PADMIN, Account("guest", "secret", Role.GUEST))
LOG = {"resource": "log", "action": "list"}
ARTIFACT = {"resource": "artifact", "action": "read"}
AUDIT_LOG = {"resource": "audit-log", "action": "list"}


def block(*access: dict[str, str], namespace: str = "team", kind: str = "project") -> dict[str, Any]:
    return {"kind": kind, "namespace": namespace, "access": list(access)}


def wanted(level: str = "project", *permissions: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"name": "poller", "level": level, "duration": -1, "permissions": permissions or [block(LOG)], **other}


class Caller:
    def __init__(self, harbor: HarborStandIn) -> None:
        self.harbor = harbor

    def call(self, method: str, path: str, body: Any = None, account: Account = ADMIN, **headers: str) -> Any:
        url = f"{self.harbor.url}/api/v2.0{path}"
        auth = (account.name, account.password)
        return requests.request(method, url, json=body, auth=auth, headers=headers, timeout=5)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture(params=[Generation.V2_8, Generation.V2_16])
def caller(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Caller]:
    world = World(request.param, clock=clock)
    world.create_project("team")
    with HarborStandIn(world, ACCOUNTS) as harbor:
        yield Caller(harbor)


@pytest.mark.parametrize(("version", "generation"), [("2.12.4", Generation.V2_12), ("2.16-dev", Generation.V2_16)])
def test_what_can_be_granted_is_what_harbor_listed(version: str, generation: Generation) -> None:
    """Pair by pair, for both scopes."""
    lines = (RECORDINGS / f"harbor-{version}" / "answers.jsonl").read_text().splitlines()
    [recorded] = [each for each in map(json.loads, lines) if each["request"]["path"] == "/api/v2.0/permissions"]
    with HarborStandIn(World(generation)) as harbor:
        said = Caller(harbor).call("GET", "/permissions").json()
    for scope in ("system", "project"):
        assert pairs(said[scope]) == pairs(recorded["body"][scope])


def pairs(listed: list[dict[str, str]]) -> set[tuple[str, str]]:
    return {(each["resource"], each["action"]) for each in listed}


def test_a_robot_can_do_exactly_what_it_was_given(caller: Caller) -> None:
    """The log of its project, and nothing else there or elsewhere, until it is deleted."""
    made = caller.call("POST", "/robots", wanted())
    robot = Account(made.json()["name"], made.json()["secret"], Role.GRANTED_ROBOT)
    log = caller.harbor.source.generation.live_table.value.replace("audit-logs", "logs")
    assert (made.status_code, robot.name) == (201, "robot$team+poller")
    assert caller.call("GET", f"/projects/team/{log}", account=robot).status_code == 200
    assert caller.call("GET", f"/projects/library/{log}", account=robot).status_code == 403
    assert caller.call("GET", "/projects/team/repositories", account=robot).status_code == 403
    assert caller.call("GET", "/projects/team", account=robot).status_code == 403
    assert caller.call("DELETE", f"/robots/{made.json()['id']}").status_code == 200
    assert caller.call("GET", f"/projects/team/{log}", account=robot).status_code == 401


def test_a_new_secret_ends_the_old_one(caller: Caller) -> None:
    """And other rights take the place of those it had."""
    made = caller.call("POST", "/robots", wanted("system", block(AUDIT_LOG, namespace="/", kind="system"))).json()
    path = f"/{caller.harbor.source.generation.live_table}"
    renewed = caller.call("PATCH", f"/robots/{made['id']}", {}).json()["secret"]
    for secret, status in ((made["secret"], 401), (renewed, 200)):
        robot = Account(made["name"], secret, Role.GRANTED_ROBOT)
        assert caller.call("GET", path, account=robot).status_code == status
    change = {**wanted("system", block(LOG)), "name": made["name"]}
    assert caller.call("PUT", f"/robots/{made['id']}", change).status_code == 200
    robot = Account(made["name"], renewed, Role.GRANTED_ROBOT)
    assert caller.call("GET", path, account=robot).json() == []


def test_robots_are_listed_by_level_and_name(caller: Caller) -> None:
    """Those of projects only where their project is named."""
    caller.call("POST", "/robots", wanted())
    caller.call("POST", "/robots", {**wanted("system"), "name": "other"})
    project = caller.call("GET", "/projects/team").json()["project_id"]
    assert [each["name"] for each in caller.call("GET", "/robots").json()] == ["robot$other"]
    found = caller.call("GET", f"/robots?q=Level=project,ProjectID={project},name=team%252Bpoller").json()
    assert [each["name"] for each in found] == ["robot$team+poller"]
    assert caller.call("GET", "/robots?q=name=nobody").json() == []


@pytest.mark.parametrize(
    ("change", "account", "status", "word"),
    [
        ({"name": "Poller"}, ADMIN, 400, "illegal characters"),
        ({"level": "world"}, ADMIN, 400, "level"),
        ({"duration": -2}, ADMIN, 400, "duration"),
        ({"permissions": []}, ADMIN, 400, "empty permission"),
        ({"permissions": [block()]}, ADMIN, 400, "empty access"),
        ({"permissions": [block(LOG), block(LOG, namespace="library")]}, ADMIN, 400, "permission"),
        ({"permissions": [block(LOG, namespace="gone")]}, ADMIN, 404, "not found"),
        ({"level": "system"}, PADMIN, 403, "forbidden"),
        ({"permissions": [block(LOG, namespace="library")]}, PADMIN, 403, "forbidden"),
        ({}, ACCOUNTS[2], 403, "forbidden"),
        ({}, Account("admin", "wrong", Role.ADMIN), 401, "unauthorized"),
    ],
)
def test_what_harbor_refuses_is_refused(
    caller: Caller, change: dict[str, Any], account: Account, status: int, word: str
) -> None:
    """In Harbor's own words, and nothing is left of it."""
    answer = caller.call("POST", "/robots", wanted() | change, account)
    assert answer.status_code == status
    assert word in answer.json()["errors"][0]["message"]
    assert caller.harbor.robots.names == []


def test_a_name_can_be_taken_once(caller: Caller) -> None:
    """The second is a conflict, which names the project by number; 0 is the system."""
    project = caller.call("GET", "/projects/team").json()["project_id"]
    for robot, name in ((wanted(), f"{project}:team+poller"), (wanted("system"), "0:poller")):
        assert caller.call("POST", "/robots", robot).status_code == 201
        refused = caller.call("POST", "/robots", robot)
        said = {"code": "CONFLICT", "message": f"robot account {name} already exists"}
        assert (refused.status_code, refused.json()["errors"]) == (409, [said])


def test_a_robot_that_is_disabled_or_has_expired_is_refused(caller: Caller, clock: Clock) -> None:
    """As if its secret were wrong; enabled again, with more days from its creation, it logs in as before."""
    made = caller.call("POST", "/robots", wanted(duration=1)).json()
    robot = Account(made["name"], made["secret"], Role.GRANTED_ROBOT)

    def login() -> int:
        return int(caller.call("GET", "/users/current", account=robot).status_code)

    def change(**fields: Any) -> None:
        answer = caller.call("PUT", f"/robots/{made['id']}", {**wanted(), "name": made["name"], **fields})
        assert answer.status_code == 200

    assert login() == 412  # Harbor's way of saying: a robot
    change(disable=True)
    assert login() == 401
    change(duration=1)
    assert login() == 412
    clock.advance(24 * 3600)
    assert login() == 401
    change(duration=2)
    assert login() == 412
    change(duration=-1)
    assert caller.call("GET", f"/robots/{made['id']}").json()["expires_at"] == -1


def test_only_newer_harbors_have_a_list_of_rights(caller: Caller) -> None:
    """Before 2.10 any pair was accepted; after it, only those listed."""
    strange = wanted("project", block({"resource": "teapot", "action": "pour"}))
    is_old = caller.harbor.source.generation is Generation.V2_8
    assert caller.call("GET", "/permissions").status_code == (404 if is_old else 200)
    assert caller.call("POST", "/robots", strange).status_code == (201 if is_old else 400)


def test_a_session_may_not_change_anything(caller: Caller) -> None:
    """With Harbor's cookie it would need a token against forged requests."""
    answer = caller.call("POST", "/robots", wanted(), Cookie="sid=1234")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "FORBIDDEN")
