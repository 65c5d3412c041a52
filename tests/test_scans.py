"""Scans: every outcome is told once, however it was found, together with what belongs to it.

In process, against the HTTP stand-in of Harbor; a clock that the test moves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

import formatters
from demo.harbor import ALWAYS, POLLER, Account, Fault, Generation, Outcome, Role, Vulnerability, World
from demo.harbor.scans import uuid1
from poller.events import Event, EventType, Since
from poller.rows import Artifact
from poller.secret import Secret
from poller.telegram import Telegram
from poller.telling import Teller
from state import DeliveryState
from state import Outcome as Became
from tests.harness import NOON, TOKEN, Clock, Site, site

NEW, LAST_OLD, FIRST_USERS = Generation.V2_16, Generation.V2_12, Generation.V2_8
generations = pytest.mark.parametrize("generation", list(Generation), ids=lambda generation: generation.name)
with_robot_rows = pytest.mark.parametrize("generation", [NEW, LAST_OLD], ids=lambda generation: generation.name)

CRITICAL = Vulnerability("CVE-2026-1111", "Critical", "openssl", "3.0.1", "3.0.2")
OTHER_CRITICAL = Vulnerability("CVE-2026-9999", "Critical", "curl", "8.0", "8.1")
HIGH = Vulnerability("CVE-2026-2222", "High", "zlib", "1.2.11", "")
LOW = Vulnerability("CVE-2026-3333", "Low", "bash", "5.1", "5.2")

Opened = Callable[..., Site]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Opens a Harbor with the project `team`, and a poller that has polled once, after a push of `team/app:1`."""
    contexts = []

    def open_(generation: Generation = NEW, account: Account = POLLER, more: str = "") -> Site:
        clock = Clock()
        world = World(generation, clock=clock.tick)
        world.create_project("team")
        world.push("team/app", "1", "ann")
        clock.advance(600)
        context = site(tmp_path, world, clock, account, more=more)
        contexts.append(context)
        here = context.__enter__()
        here.poll()
        return here

    yield open_
    for context in contexts:
        context.__exit__(None, None, None)


def scanned(here: Site) -> list[Event]:
    return [event for event in here.events if event.scan is not None]


def messages(here: Site) -> list[str]:
    """What would be said now, as people see it."""
    teller = Teller(Telegram(Secret(TOKEN)), here.store, here.config, here.clock)
    return [formatters.plain(text) for text in teller.texts()]


def poll_for(here: Site, seconds: float, every: float = 5) -> None:
    for _ in range(round(seconds / every)):
        here.poll(every)


def last(here: Site) -> Any:
    scan = scanned(here)[-1].scan
    assert scan is not None
    return scan


def conf(*lines: str) -> str:
    return "\n".join(lines)


# -- one scan -------------------------------------------------------------------------------------------


@with_robot_rows
@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_scan_is_told_at_the_price_of_one_request(opened: Opened, generation: Generation, outcome: Outcome) -> None:
    """Whatever its outcome; who asked is known from the log."""
    here = opened(generation, more=conf("[schedule]", "sweep = 'off'"))
    here.poll()
    here.world.scan("team/app", "1", outcome, asked_by="bob")
    asked = [each.path for each in here.requests_of_poll() if "log" not in each.path]
    assert len([path for path in asked if "/artifacts/" in path]) == 1
    [event] = scanned(here)
    assert (event.operator, event.tag) == ("bob", "1")
    assert here.requests_of_poll()[1:] == []


def test_what_is_new_since_the_images_previous_scan(opened: Opened) -> None:
    """First by the counts, and exactly once the findings of both are known; the new ones are named."""
    here = opened()
    here.world.scan("team/app", "1", findings=[HIGH, LOW], asked_by="bob")
    here.poll()
    assert last(here).changes == ()
    assert [finding.id for finding in last(here).named] == [HIGH.id]
    here.clock.advance(3600)
    here.world.scan("team/app", "1", findings=[CRITICAL, HIGH], asked_by="bob")
    here.poll()
    [change] = last(here).changes
    assert (change.since, change.new, change.fixed) == (Since.SCAN, {"Critical": 1}, {"Low": 1})
    assert [finding.id for finding in last(here).named] == [CRITICAL.id]
    assert last(here).are_new


def test_what_is_new_since_the_tags_previous_image(opened: Opened) -> None:
    """A new image under an old tag is compared with the image that had the tag before."""
    here = opened()
    here.world.scan("team/app", "1", findings=[HIGH, LOW], asked_by="bob")
    here.poll()
    here.world.push("team/app", "1", "ann")
    here.poll()
    here.clock.advance(5)
    here.world.scan("team/app", "1", findings=[CRITICAL, LOW])
    here.poll()
    [change] = last(here).changes
    assert (change.since, change.new, change.fixed) == (Since.IMAGE, {"Critical": 1}, {"High": 1})
    assert [finding.id for finding in last(here).named] == [CRITICAL.id]


def test_a_result_that_was_replaced_before_it_was_read_is_counted(opened: Opened) -> None:
    """Two scans between two polls leave one result; that there was another is said."""
    here = opened()
    here.world.scan("team/app", "1", Outcome.SUCCESS, asked_by="bob")
    here.clock.advance(60)
    here.world.scan("team/app", "1", Outcome.SUCCESS, asked_by="ann")
    here.poll()
    here.poll()
    [event] = scanned(here)
    assert event.operator == "ann"
    assert last(here).unread == 1
    assert here.store.scan_outcomes(since=NOON)[Became.OVERWRITTEN] == 1


def test_an_image_that_is_deleted_while_it_is_scanned(opened: Opened) -> None:
    """Nothing can be known of the outcome; it is not asked for again."""
    here = opened()
    started = here.world.start_scan("team/app", "1", asked_by="bob")
    here.world.delete_artifact("team/app", "1", "ann")
    here.world.finish_scan(started)
    here.poll()
    assert scanned(here) == []
    assert here.store.scan_outcomes(since=NOON) == {Became.GONE: 1}
    assert len(here.requests_of_poll()) == 1


def a_persons_robot(here: Site, made_by: str = "ann") -> str:
    """Its name is that of a scanner's robot made just now."""
    name = f"robot$team+deploy-Trivy-{uuid1(here.clock.now, Random(2))}"
    here.world.create_robot(name, made_by)
    return name


def digest_of_app(here: Site) -> str:
    artifact = here.harbor.artifact("team/app", "1")
    assert artifact
    return artifact.digest


def told_of(here: Site, robot: str) -> list[str]:
    return [event.type for event in here.news if event.operator == robot]


@with_robot_rows
def test_a_persons_robot_with_a_name_like_a_scanners(opened: Opened, generation: Generation) -> None:
    """A person deletes it: what it did is told then, and it was no scan."""
    here = opened(generation)
    robot = a_persons_robot(here)
    here.world.pull("team/app", "1", robot)
    here.world.pull("team/app", digest_of_app(here), robot)
    here.poll()
    assert told_of(here, robot) == ["PULL_ARTIFACT"]  # scanners pull by digest
    here.clock.advance(60)
    here.world.delete_robot(robot, "ann")
    here.poll()
    assert told_of(here, robot) == ["PULL_ARTIFACT"] * 2
    poll_for(here, 7200, every=300)
    assert scanned(here) == []
    assert here.store.scan_outcomes(since=NOON) == {Became.NO_SCAN: 1}


@generations
def test_a_persons_robot_that_goes_on_pulling(opened: Opened, generation: Generation) -> None:
    """Nobody dismisses it, and no overview tells of a scan: what it pulled is told, and from then on at once."""
    here = opened(generation)
    here.world.scan("team/app", "1", findings=[LOW], asked_by="bob")
    poll_for(here, 120)
    robot = a_persons_robot(here)
    digest = digest_of_app(here)
    here.world.pull("team/app", digest, robot)
    poll_for(here, 2 * 3600, every=60)
    assert told_of(here, robot) == ["PULL_ARTIFACT"]
    here.world.pull("team/app", digest, robot)
    here.poll()
    assert told_of(here, robot) == ["PULL_ARTIFACT"] * 2
    assert len(scanned(here)) == 1


@generations
def test_a_scan_that_hangs_is_still_a_scan(opened: Opened, generation: Generation) -> None:
    """Its overview says so for ever: the scanner's pull is no news."""
    here = opened(generation)
    [scan] = here.world.start_scan("team/app", "1", asked_by="bob")
    poll_for(here, 8 * 3600, every=120)
    assert told_of(here, scan.robot) == []
    assert here.store.scan_outcomes(since=NOON) == {Became.GIVEN_UP: 1}


def test_a_result_that_was_cleaned_away_before_it_was_read(opened: Opened) -> None:
    """Harbor's clean-up leaves an error without times; that there was a scan is certain, and the pull no news."""
    here = opened(FIRST_USERS)
    running = here.world.start_scan("team/app", "1")
    here.world.finish_scan(running, findings=[LOW])
    here.world.sweep_tasks("team/app", "1")
    poll_for(here, 3 * 3600, every=60)
    assert told_of(here, running[0].robot) == []


@generations
def test_a_persons_robot_that_pulls_what_was_never_scanned(opened: Opened, generation: Generation) -> None:
    """There is no overview to go by: after an hour the doubt has been long enough."""
    here = opened(generation)
    robot = a_persons_robot(here)
    here.world.pull("team/app", digest_of_app(here), robot)
    poll_for(here, 3600 + 300, every=60)
    assert told_of(here, robot) == ["PULL_ARTIFACT"]


@with_robot_rows
def test_a_persons_robot_beside_a_scanner(opened: Opened, generation: Generation) -> None:
    """Both pull the same image at the same time; the scan's end is that of the other one."""
    here = opened(generation)
    robot = a_persons_robot(here)
    here.world.pull("team/app", digest_of_app(here), robot)
    here.clock.advance(2)
    here.world.scan("team/app", "1", findings=[LOW], asked_by="bob")
    poll_for(here, 2 * 3600, every=60)
    assert told_of(here, robot) == ["PULL_ARTIFACT"]
    assert [event.operator for event in scanned(here)] == ["bob"]


@with_robot_rows
def test_an_image_in_two_repositories_that_are_both_scanned(opened: Opened, generation: Generation) -> None:
    """Harbor keeps one report of both: it is that of the scan which ended last."""
    here = opened(generation)
    here.world.copy("team/app", "1", "team/copy")
    here.poll()
    first = here.world.start_scan("team/copy", "1", asked_by="ann")
    here.world.finish_scan(first, findings=[LOW])
    here.clock.advance(3)
    second = here.world.start_scan("team/app", "1", asked_by="bob")
    here.world.finish_scan(second, findings=[HIGH])
    here.poll()
    here.poll()
    assert [(event.operator, event.repository.full_name) for event in scanned(here) if event.repository] == [
        ("bob", "team/app")
    ]


@pytest.mark.parametrize("waited", [0, 90, 3600])
@pytest.mark.parametrize("pulls_again", [False, True])
def test_who_asked_for_a_scan_on_push_that_had_to_queue(opened: Opened, waited: float, pulls_again: bool) -> None:
    """The robot was made at the push, however late the scanner begins, and however often it pulls."""
    here = opened()
    here.world.push("team/new", "1", "ann")
    here.clock.advance(2)
    [scan] = here.world.start_scan("team/new", "1", pulls=False)
    here.poll(after=waited)
    here.world.pull("team/new", scan.digest, scan.robot)
    if pulls_again:
        here.poll(after=70)
        here.world.pull("team/new", scan.digest, scan.robot)
    here.clock.advance(8)
    here.world.finish_scan([scan], findings=[LOW])
    here.poll()
    assert [event.operator for event in scanned(here)] == ["ann"]
    assert here.store.wave() is None


@pytest.mark.parametrize("later", [20, 120])
def test_a_scan_of_everything_soon_after_pushes(opened: Opened, later: float) -> None:
    """The pushes did not ask for it."""
    here = opened()
    for n in range(30):
        here.world.push(f"team/service-{n}", "1", "ann")
    here.poll()
    told = [due.id for due in here.store.due(here.clock.now, most=999)]
    here.store.told(told, chat_id="1", message_id=1, now=here.clock.now)
    here.clock.advance(later)
    here.world.scan_all("admin", findings=[LOW])
    poll_for(here, 120)
    assert {event.operator for event in scanned(here)} == {"harbor-jobservice"}
    assert len(messages(here)) == 1


def test_a_tag_that_moved_on_while_its_image_was_scanned(opened: Opened) -> None:
    """The event names it, as Harbor's webhook does."""
    here = opened()
    here.world.push("team/new", "latest", "ann")
    here.clock.advance(2)
    scan = here.world.start_scan("team/new", "latest")
    here.clock.advance(3)
    here.world.push("team/new", "latest", "ann")
    here.clock.advance(2)
    here.world.finish_scan(scan, findings=[LOW])
    here.poll()
    [event] = scanned(here)
    assert event.to_webhook() == here.world.webhooks[-1]


def test_whether_a_project_is_public_is_known_from_whoever_asked_last(opened: Opened) -> None:
    here = opened()
    here.world.scan("team/app", "1", findings=[LOW], asked_by="bob")
    here.poll()
    here.world.update_project("team", public=True)
    here.poll(after=1200)
    here.world.scan("team/app", "1", findings=[LOW], asked_by="bob")
    here.poll()
    assert [event.repository.is_public for event in scanned(here) if event.repository] == [False, True]


@pytest.mark.parametrize("fault", [Fault.FORBIDDEN, Fault.INTERNAL])
def test_what_cannot_be_read_singly_is_told_by_the_sweep(opened: Opened, fault: Fault) -> None:
    """An account may list artifacts and not read them."""
    here = opened()
    here.poll(after=60)
    here.standin.fail(fault, times=ALWAYS, path="/artifacts/sha256")
    here.world.scan("team/app", "1", findings=[LOW], asked_by="bob")
    poll_for(here, 3 * 3600, every=60)
    assert [event.operator for event in scanned(here)] == (["bob"] if fault is Fault.FORBIDDEN else [])
    here.standin.heal()
    poll_for(here, 3600, every=60)
    assert [event.operator for event in scanned(here)] == ["bob"]


def test_a_scan_that_ended_right_before_another_one_of_the_same_image(opened: Opened) -> None:
    """The second result is there before the first one is asked for, and its row is still to be read."""
    here = opened()
    first = here.world.start_scan("team/app", "1", asked_by="ann")
    here.clock.advance(2)
    here.world.finish_scan(first, Outcome.ERROR)
    here.clock.advance(1)
    second = here.world.start_scan("team/app", "1", asked_by="bob")
    here.poll(after=0)
    here.world.finish_scan(second, findings=[HIGH])
    poll_for(here, 600)
    told = [(event.operator, event.type) for event in scanned(here)]
    assert told[-1] == ("bob", "SCANNING_COMPLETED")
    assert ("ann", "SCANNING_COMPLETED") not in told


def test_an_overview_that_is_hidden_for_long(opened: Opened) -> None:
    """While Harbor cannot reach the scanner it shows none; who asked is known all the same."""
    here = opened()
    here.poll(after=60)
    here.world.scanner_reachable = False
    here.world.scan("team/app", "1", findings=[HIGH], asked_by="bob")
    poll_for(here, 1800, every=20)
    here.world.scanner_reachable = True
    poll_for(here, 2 * 3600, every=60)
    assert [event.operator for event in scanned(here)] == ["bob"]


@pytest.mark.parametrize("is_listed_first", [True, False])
def test_an_sbom_run_and_a_scan_that_end_in_the_same_second(opened: Opened, is_listed_first: bool) -> None:
    """Harbor's times are no finer: each is told, once."""
    here = opened(more=conf("[scans]", "sbom = true"))
    listing = here.world.start_sbom("team/app", "1", asked_by="ann")
    scanning = here.world.start_scan("team/app", "1", asked_by="ann")
    here.clock.advance(5)
    if is_listed_first:
        here.world.finish_sbom(listing)
    here.world.finish_scan(scanning, findings=[HIGH])
    if not is_listed_first:
        here.world.finish_sbom(listing)
    poll_for(here, 600, every=20)
    assert Counter(event.scan.scan_type for event in scanned(here) if event.scan) == {"vulnerability": 1, "sbom": 1}
    assert {event.operator for event in scanned(here)} == {"ann"}


def test_one_account_less_to_list_findings_does_not_silence_the_others(opened: Opened) -> None:
    """A right is one of a project's; and a failure is that of one list."""
    here = opened()
    here.world.create_project("other")
    names = ("other/app", "team/a", "team/b")
    for name in names:
        here.world.push(name, "1", "ann")
        here.world.scan(name, "1", findings=[LOW], asked_by="bob")
    here.poll()
    here.standin.fail(Fault.FORBIDDEN, times=1, path="/additions/")
    for name in names:
        here.world.scan(name, "1", findings=[LOW, CRITICAL], asked_by="bob")
        here.poll(after=60)
        if name == "team/a":
            here.standin.fail(Fault.INTERNAL, times=1, path="/additions/")
    named = [[finding.id for finding in event.scan.named] for event in scanned(here)[-3:] if event.scan]
    assert named == [[], [CRITICAL.id], [CRITICAL.id]]


def test_an_odd_overview_does_not_stop_the_line(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a scanner's report holds."""
    here = opened()
    real = here.harbor.artifact

    def odd(repository: str, reference: str, **asked: bool) -> Artifact | None:
        artifact = real(repository, reference, **asked)
        if repository != "team/app" or artifact is None:
            return artifact
        return Artifact(artifact.digest, scan_overview={"report": {"scan_status": ["x"], "end_time": 3}})

    monkeypatch.setattr(here.harbor, "artifact", odd)
    here.world.push("team/b", "1", "ann")
    here.clock.advance(300)
    here.world.scan("team/app", "1", findings=[LOW], asked_by="bob")
    here.world.scan("team/b", "1", findings=[LOW], asked_by="bob")
    poll_for(here, 60)
    assert [event.repository.full_name for event in scanned(here) if event.repository] == ["team/b"]


def test_a_harbor_that_cannot_answer_is_left_in_peace(opened: Opened) -> None:
    """After three failures in a row it is asked nothing more in that poll; every result is told in the end."""
    here = opened(more=conf("[schedule]", "sweep = 'off'"))
    push_images(here, 20)
    for n in range(20):
        here.world.scan(f"team/service-{n % 7}", f"v{n}", findings=[LOW], asked_by="bob")
    here.standin.fail(Fault.INTERNAL, times=ALWAYS, path="with_scan_overview")
    looks = [path for request in here.requests_of_poll() if "/artifacts/" in (path := request.path)]
    assert len(looks) == 3
    before = len(here.standin.requests)
    poll_for(here, 3600)
    assert len([each for each in here.standin.requests[before:] if "/artifacts/" in each.path]) <= 60
    here.standin.heal()
    poll_for(here, 3600, every=20)
    assert len(scanned(here)) == 20


@with_robot_rows
def test_a_long_scan_is_not_asked_about_all_the_time(opened: Opened, generation: Generation) -> None:
    """Where the log will tell its end."""
    here = opened(generation, more=conf("[schedule]", "sweep = 'off'"))
    before = len(here.standin.requests)
    running = here.world.start_scan("team/app", "1", asked_by="bob")
    poll_for(here, 1200)
    here.world.finish_scan(running, findings=[LOW])
    here.poll()
    assert len(scanned(here)) == 1
    assert len([each for each in here.standin.requests[before:] if "/artifacts/sha256" in each.path]) <= 7


def test_a_result_does_not_wait_for_the_right_to_list_projects(opened: Opened) -> None:
    """Whether the project is public stays unknown."""
    here = opened()
    here.standin.fail(Fault.FORBIDDEN, times=ALWAYS, path="/projects?")
    here.world.create_project("other")
    here.world.push("other/app", "1", "ann")
    here.world.scan("other/app", "1", findings=[LOW], asked_by="bob")
    here.poll()
    [event] = scanned(here)
    assert "repo_type" not in event.to_webhook()["event_data"]["repository"]


@with_robot_rows
def test_a_swept_task_is_no_failure(opened: Opened, generation: Generation) -> None:
    """Harbor's nightly sweep turns old results into errors with zero times."""
    here = opened(generation)
    here.world.scan("team/app", "1", findings=[HIGH], asked_by="bob")
    here.poll()
    here.world.sweep_tasks("team/app", "1")
    poll_for(here, 7200, every=60)
    assert [event.type for event in scanned(here)] == [EventType.SCANNING_COMPLETED]


# -- which results are told -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "findings", "is_told"),
    [
        ("minimum_severity = 'high'", [LOW], False),
        ("minimum_severity = 'High'", [HIGH], True),
        ("minimum_severity = 'low'", [], False),
        ("only_fixable = true", [HIGH], False),
        ("only_fixable = true", [HIGH, LOW], True),
        ("only_changed = true", [HIGH], True),
    ],
)
def test_what_is_too_little_is_recorded_and_not_told(
    opened: Opened, setting: str, findings: list[Vulnerability], is_told: bool
) -> None:
    """With the setting that says so."""
    here = opened(more=conf("[scans]", setting))
    here.world.scan("team/app", "1", findings=findings, asked_by="bob")
    here.poll()
    assert len(scanned(here)) == 1
    assert [event.type for event in here.news] == (["SCANNING_COMPLETED"] if is_told else [])
    assert is_told or here.reasons()["1"].startswith(f"scans.{setting.partition(' ')[0]}")


def test_a_critical_finding_in_place_of_another_is_a_change(opened: Opened) -> None:
    """Though the counts are the same."""
    here = opened(more=conf("[scans]", "only_changed = true"))
    for findings in ([CRITICAL], [CRITICAL], [OTHER_CRITICAL]):
        here.world.scan("team/app", "1", findings=findings, asked_by="bob")
        here.poll(after=60)
    assert len([event for event in here.news if event.scan]) == 2


def test_only_what_has_changed(opened: Opened) -> None:
    """The same result again is not told; a failed scan always is."""
    here = opened(more=conf("[scans]", "only_changed = true"))
    for findings in ([HIGH], [HIGH], [HIGH, LOW]):
        here.world.scan("team/app", "1", findings=findings, asked_by="bob")
        here.poll(after=60)
    here.world.scan("team/app", "1", Outcome.ERROR, asked_by="bob")
    here.poll()
    assert [event.type for event in here.news] == ["SCANNING_COMPLETED"] * 2 + ["SCANNING_FAILED"]


# -- images of several platforms ------------------------------------------------------------------------


@generations
def test_the_platforms_of_an_image_are_one_message(opened: Opened, generation: Generation) -> None:
    """Each is an event as in Harbor's webhooks; people are told of the image, when all of them have ended."""
    here = opened(generation)
    here.world.push_index("team/two", "2.0", "ann", platforms=("linux/amd64", "linux/arm64"))
    here.poll()
    told = len(messages(here))
    first, second = here.world.start_scan("team/two", "2.0")
    here.world.finish_scan([first], findings=[CRITICAL])
    poll_for(here, 20)
    assert len(messages(here)) == told
    here.world.finish_scan([second], findings=[CRITICAL, HIGH])
    poll_for(here, 90)
    assert len(scanned(here)) == 2
    assert all(event.tag is None for event in scanned(here))
    [message] = messages(here)[told:]
    assert "2.0" in message
    assert "linux/amd64" in message
    assert "linux/arm64" in message


def test_a_platform_that_never_ends_is_waited_for_a_while(opened: Opened) -> None:
    """What is known is told then."""
    here = opened()
    here.world.push_index("team/two", "2.0", "ann", platforms=("linux/amd64", "linux/arm64"))
    here.poll()
    told = len(messages(here))
    first, _ = here.world.start_scan("team/two", "2.0")
    here.world.finish_scan([first], findings=[CRITICAL])
    poll_for(here, 240, every=20)
    assert len(messages(here)) == told
    poll_for(here, 120, every=20)
    assert len(messages(here)) == told + 1


def test_a_platform_that_ends_late_does_not_wait_for_those_that_were_told(opened: Opened) -> None:
    here = opened()
    here.world.push_index("team/two", "2.0", "ann", platforms=("linux/amd64", "linux/arm64"))
    here.poll()
    first, second = here.world.start_scan("team/two", "2.0")
    here.world.finish_scan([first], findings=[CRITICAL])
    poll_for(here, 330, every=10)
    due = here.store.due(here.clock.now, most=99)
    here.store.told([each.id for each in due], chat_id="1", message_id=1, now=here.clock.now)
    here.world.finish_scan([second], findings=[CRITICAL])
    here.poll()
    assert len(messages(here)) == 1


def test_a_platform_is_compared_with_the_same_platform_of_the_tags_previous_image(opened: Opened) -> None:
    """Not with another one, which has other packages."""
    here = opened()
    for findings in ([LOW], [CRITICAL]):
        here.world.push_index("team/two", "2.0", "ann", platforms=("linux/amd64", "linux/arm64"))
        here.poll()
        first, second = here.world.start_scan("team/two", "2.0")
        here.world.finish_scan([first], findings=findings)
        here.world.finish_scan([second], findings=[HIGH])
        poll_for(here, 30)
    changes = [event.scan.changes for event in scanned(here) if event.scan and event.scan.changes]
    assert [(each[0].new, each[0].fixed) for each in changes] == [({"Critical": 1}, {"Low": 1}), ({}, {})]


def test_who_asked_for_the_platforms_when_only_their_index_was_pushed_again(opened: Opened) -> None:
    """Under another tag, say: the platforms themselves are not pushed then."""
    here = opened()
    here.world.push_index("team/two", "2.0", "ann", content="release")
    here.world.finish_scan(here.world.start_scan("team/two", "2.0"), findings=[LOW])
    poll_for(here, 900, every=20)
    here.world.push("team/two", "latest", "bob", content="release")
    running = here.world.start_scan("team/two", "latest", operator="bob")
    here.clock.advance(5)
    here.world.finish_scan(running, findings=[LOW])
    poll_for(here, 60)
    assert [event.operator for event in scanned(here)] == ["ann", "ann", "bob", "bob"]


# -- lists of materials ---------------------------------------------------------------------------------


@with_robot_rows
def test_an_sbom_run_is_kept_apart(opened: Opened, generation: Generation) -> None:
    """It has no findings, and it is no scan of the image; told only when that is asked for."""
    here = opened(generation)
    here.world.scan("team/app", "1", findings=[HIGH], asked_by="bob")
    here.poll()
    here.world.sbom("team/app", "1", asked_by="bob")
    here.poll()
    assert [event.scan.scan_type for event in scanned(here) if event.scan] == ["vulnerability", "sbom"]
    ours, theirs = scanned(here)[-1].to_webhook(), here.world.webhooks[-1]
    assert (ours["type"], ours["event_data"]["scan"]) == (theirs["type"], theirs["event_data"]["scan"])
    assert [event.scan.scan_type for event in here.news if event.scan] == ["vulnerability"]
    assert len(here.requests_of_poll()) == 1
    here.world.scan("team/app", "1", findings=[HIGH], asked_by="bob")
    here.poll(after=60)
    [change] = last(here).changes
    assert (change.new, change.fixed) == ({}, {})


def test_an_sbom_run_and_a_scan_at_once(opened: Opened) -> None:
    """Each robot's end is that of its own run."""
    here = opened(more=conf("[scans]", "sbom = true"))
    listing = here.world.start_sbom("team/app", "1", asked_by="ann")
    scanning = here.world.start_scan("team/app", "1", asked_by="bob")
    here.world.finish_scan(scanning, findings=[HIGH])
    here.clock.advance(4)
    here.world.finish_sbom(listing)
    here.poll()
    operators = {event.scan.scan_type: event.operator for event in scanned(here) if event.scan}
    assert operators == {"vulnerability": "bob", "sbom": "ann"}


@with_robot_rows
def test_a_list_of_materials_that_is_made_anew(opened: Opened, generation: Generation) -> None:
    """Harbor deletes the old one then. Nobody was told of its push, so nobody is told that an image was deleted."""
    here = opened(generation)
    for _ in range(2):
        here.world.sbom("team/app", "1", asked_by="ann")
        here.poll(after=60)
    assert [event.type for event in here.events if event.type == "DELETE_ARTIFACT"] == ["DELETE_ARTIFACT"]
    assert here.news == []


@pytest.mark.parametrize("at_once", [True, False])
def test_an_sbom_run_that_failed_beside_a_scan(opened: Opened, at_once: bool) -> None:
    """Both were asked for by a push, and the scan ended first."""
    here = opened()
    listing = here.world.start_sbom("team/app", "1", asked_by="ann")
    scanning = here.world.start_scan("team/app", "1", asked_by="bob")
    here.clock.advance(3)
    here.world.finish_scan(scanning, findings=[LOW])
    if not at_once:
        here.poll()
    here.clock.advance(4)
    here.world.finish_sbom(listing, Outcome.ERROR)
    poll_for(here, 60)
    assert sorted((event.type, event.operator) for event in scanned(here)) == [
        ("SCANNING_COMPLETED", "bob"),
        ("SCANNING_FAILED", "ann"),
    ]


def test_an_sbom_run_that_failed(opened: Opened) -> None:
    """Harbor tells no times of it; its robot's end is the time."""
    here = opened()
    here.world.sbom("team/app", "1", Outcome.ERROR, asked_by="ann")
    poll_for(here, 60)
    assert [(event.type, event.operator) for event in scanned(here)] == [("SCANNING_FAILED", "ann")]


# -- scan-all -------------------------------------------------------------------------------------------


def push_images(here: Site, number: int) -> None:
    for n in range(number):
        here.world.push(f"team/service-{n % 7}", f"v{n}", "ann")
    here.clock.advance(600)
    here.poll()
    here.poll()
    here.store.told([due.id for due in here.store.due(here.clock.now, most=999)], chat_id="1", message_id=1, now=NOON)


@generations
def test_a_scan_of_everything_is_one_summary(opened: Opened, generation: Generation) -> None:
    """Its progress is not told; when it has ended, one message tells of all of it, and every scan is an event."""
    here = opened(generation)
    push_images(here, 30)
    everything = here.world.start_scan_all("admin")
    for findings in ([LOW], [HIGH], [], [LOW]):
        here.world.finish_scan_all(everything, findings=findings, count=8)
        poll_for(here, 30)
        assert messages(here) == []
    poll_for(here, 400, every=10)
    assert len(scanned(here)) == 31
    [message] = messages(here)
    assert "31" in message
    states = Counter(each.state for seen in here.store.seen() if seen.event.scan for each in seen.deliveries)
    assert states == {DeliveryState.PENDING: 31}


def test_what_is_bad_and_new_is_told_at_once(opened: Opened) -> None:
    """While the scan of everything still runs; named, and counted in the summary too."""
    here = opened()
    push_images(here, 20)
    here.world.scan_all("admin", findings=[LOW])
    poll_for(here, 120)
    everything = here.world.start_scan_all("admin")
    here.world.finish_scan_all(everything, findings=[LOW, CRITICAL], count=3)
    here.world.finish_scan_all(everything, findings=[LOW], count=10)
    poll_for(here, 30)
    early = messages(here)[1:]
    assert len(early) == 3
    assert all(CRITICAL.id in message for message in early)
    here.world.finish_scan_all(everything, findings=[LOW])
    poll_for(here, 120)
    _, *rest = messages(here)
    assert len(rest) == 4
    assert "21" in rest[-1]
    assert CRITICAL.id in rest[-1]


def test_more_bad_ones_than_people_read_are_in_the_summary(opened: Opened) -> None:
    """A finding that everything has comes as five messages and a summary, not as hundreds."""
    here = opened()
    push_images(here, 20)
    here.world.scan_all("admin", findings=[LOW])
    poll_for(here, 120)
    here.world.scan_all("admin", findings=[LOW, CRITICAL])
    poll_for(here, 120)
    assert len(messages(here)) == 1 + 5 + 1


def test_bad_ones_without_an_earlier_result_are_told_singly_if_they_are_few(opened: Opened) -> None:
    """Nothing can be said to be new then; what is critical is named all the same."""
    here = opened()
    push_images(here, 20)
    everything = here.world.start_scan_all("admin")
    here.world.finish_scan_all(everything, findings=[CRITICAL], count=2)
    here.world.finish_scan_all(everything, findings=[LOW])
    poll_for(here, 120)
    told = messages(here)
    assert len(told) == 3
    assert [CRITICAL.id in message for message in told[:2]] == [True, True]


@generations
def test_few_scans_that_nobody_asked_for_are_told_singly(opened: Opened, generation: Generation) -> None:
    """A minute later, when it is sure that there are no more."""
    here = opened(generation)
    push_images(here, 3)
    everything = here.world.start_scan_all("admin")
    here.world.finish_scan_all(everything, findings=[LOW])
    poll_for(here, 90)
    assert len(messages(here)) == 4


@with_robot_rows
def test_a_scan_of_everything_that_takes_hours_is_one_summary(opened: Opened, generation: Generation) -> None:
    """Also for an account that may not ask how far it is: nothing else goes on and on without anybody's asking."""
    here = opened(generation)
    push_images(here, 60)
    everything = here.world.start_scan_all("admin", pulls=False)
    for scan in everything.scans:
        here.world.pull(scan.repository, scan.digest, scan.robot)
        poll_for(here, 240, every=30)
        here.world.finish_scan_all(everything, findings=[LOW], count=1)
        assert messages(here) == []
    poll_for(here, 300, every=20)
    assert len(messages(here)) == 1


@generations
def test_few_scans_that_nobody_is_known_to_have_asked_for_are_named_too(opened: Opened, generation: Generation) -> None:
    """Up to 2.11 the log does not say who asked; people read these messages all the same."""
    here = opened(generation)
    for findings in ([CRITICAL, HIGH], [OTHER_CRITICAL, HIGH]):
        here.world.scan("team/app", "1", findings=findings)
        poll_for(here, 600, every=20)
    assert [[finding.id for finding in event.scan.named] for event in scanned(here) if event.scan] == [
        [CRITICAL.id, HIGH.id],
        [OTHER_CRITICAL.id],
    ]


def test_harbor_is_asked_whether_a_scan_of_everything_goes_on(opened: Opened) -> None:
    """Where the account may know: a long pause in it is not its end."""
    here = opened(account=Account("robot$poller", "demo-secret", Role.SYSTEM_ROBOT_SCANS))
    push_images(here, 20)
    everything = here.world.start_scan_all("admin")
    here.world.finish_scan_all(everything, findings=[LOW], count=10)
    poll_for(here, 5)
    here.clock.advance(1800)
    poll_for(here, 300, every=10)
    assert messages(here) == []
    here.world.finish_scan_all(everything, findings=[LOW])
    poll_for(here, 300, every=10)
    assert len(messages(here)) == 1


@pytest.mark.parametrize("generation", [NEW, FIRST_USERS], ids=lambda generation: generation.name)
def test_scans_during_a_downtime_are_each_told_once(opened: Opened, generation: Generation) -> None:
    """Two hundred of them, as one message."""
    here = opened(generation)
    push_images(here, 199)
    here.stop()
    here.world.scan_all("admin", findings=[LOW])
    here.clock.advance(7200)
    here.start()
    poll_for(here, 120)
    assert len(scanned(here)) == 200
    assert len({event.key for event in scanned(here)}) == 200
    assert len(messages(here)) == 1


# -- the sweep ------------------------------------------------------------------------------------------


def test_what_was_there_before_is_a_baseline(tmp_path: Path) -> None:
    """The first round meets old results and tells none of them, but later ones are compared with them."""
    clock = Clock()
    world = World(NEW, clock=clock.tick)
    world.populate(repositories=5, artifacts_each=30, severities={"High": 2})
    with site(tmp_path, world, clock) as here:
        poll_for(here, 3600, every=60)
        assert scanned(here) == []
        world.scan("team/service-0003", "v7", severities={"High": 5}, asked_by="bob")
        here.poll()
        assert last(here).changes[0].new == {"High": 3}


@generations
def test_a_scan_whose_pull_is_not_logged(opened: Opened, generation: Generation) -> None:
    """Its repository has changed all the same; on 2.12 and later its robot says at once that there is something."""
    here = opened(generation)
    poll_for(here, 600, every=60)
    here.world.log_pulls = False
    here.world.scan("team/app", "1", findings=[HIGH], asked_by="bob")
    poll_for(here, 300, every=20)
    soon = len(scanned(here))
    poll_for(here, 4000, every=60)
    assert soon == (0 if generation is FIRST_USERS else 1)
    [event] = scanned(here)
    assert event.operator == {NEW: "bob", LAST_OLD: "bob", FIRST_USERS: "auto"}[generation]


def test_a_scan_whose_pull_is_not_logged_is_found_soon_after_idle_hours(tmp_path: Path) -> None:
    """Looks that had nothing to explain were not in vain."""
    clock = Clock()
    world = World(NEW, clock=clock.tick)
    names = world.populate(repositories=100, artifacts_each=1)
    world.log_pulls = False
    with site(tmp_path, world, clock) as here:
        poll_for(here, 14 * 3600, every=120)
        world.scan(names[70], "v0", findings=[LOW])
        poll_for(here, 300, every=20)
        assert len(scanned(here)) == 1


def test_a_push_that_has_nothing_to_do_with_a_scan(opened: Opened) -> None:
    """Where pulls are not logged it may be mistaken for the cause, but not for long."""
    here = opened()
    here.world.push("team/x", "1", "ann")
    poll_for(here, 3600, every=60)
    here.world.log_pulls = False
    here.world.push("team/y", "1", "ann")
    here.clock.advance(1)
    here.world.scan("team/x", "1", findings=[CRITICAL])
    poll_for(here, 300, every=10)
    assert [event.repository.full_name for event in scanned(here) if event.repository] == ["team/x"]


@with_robot_rows
def test_a_scan_on_push_whose_pull_is_not_logged(opened: Opened, generation: Generation) -> None:
    """The push says what was scanned, so that no sweep is needed."""
    here = opened(generation, more=conf("[schedule]", "sweep = 'off'"))
    here.world.log_pulls = False
    for n in range(5):
        here.world.push(f"team/s{n}", "1", "ann")
        here.clock.advance(1)
        here.world.scan(f"team/s{n}", "1", findings=[LOW])
        before = len(here.standin.requests)
        here.poll(after=20)
        looks = [each for each in here.standin.requests[before:] if "/artifacts/sha256" in each.path]
        assert len(looks) == 1
    assert [event.operator for event in scanned(here)] == ["ann"] * 5
    assert here.store.wave() is None


def test_scans_of_everything_after_a_push_are_not_taken_for_its_own(opened: Opened) -> None:
    """Where pulls are not logged, only one of them may be mistaken for it."""
    here = opened(more=conf("[schedule]", "sweep = 'off'"))
    push_images(here, 30)
    here.world.log_pulls = False
    here.world.push("team/new", "1", "ann")
    here.clock.advance(2)
    here.world.scan_all("admin", findings=[LOW])
    before = len(here.standin.requests)
    poll_for(here, 3600, every=20)
    assert len([each for each in here.standin.requests[before:] if "/artifacts/sha256" in each.path]) <= 25


@generations
def test_a_scanner_that_does_not_pull(opened: Opened, generation: Generation) -> None:
    """Only the slow round over everything can meet its result."""
    here = opened(generation)
    poll_for(here, 600, every=60)
    here.world.scan("team/app", "1", findings=[HIGH], pulls=False)
    poll_for(here, 3 * 3600, every=120)
    assert [event.type for event in scanned(here)] == [EventType.SCANNING_COMPLETED]


def test_a_scanner_that_was_chosen_again_brings_no_old_news(opened: Opened) -> None:
    """The overview shows the result of the project's scanner of today, from whenever it is."""
    here = opened()
    poll_for(here, 600, every=60)
    here.world.scan("team/app", "1", findings=[HIGH], asked_by="bob")
    here.poll()
    here.world.use_scanner("Clair")
    here.world.scan("team/app", "1", findings=[LOW], asked_by="bob")
    here.poll()
    assert last(here).changes == ()
    here.world.use_scanner("Trivy")
    poll_for(here, 3 * 3600, every=120)
    assert len(scanned(here)) == 2


def test_hidden_overviews_that_come_back_bring_no_old_news(opened: Opened) -> None:
    """While a scanner cannot be reached, Harbor shows no overview at all."""
    here = opened()
    here.world.scan("team/app", "1", findings=[HIGH], asked_by="bob")
    here.poll()
    here.world.scanner_reachable = False
    poll_for(here, 2 * 3600, every=120)
    here.world.scanner_reachable = True
    poll_for(here, 2 * 3600, every=120)
    assert len(scanned(here)) == 1


def test_an_image_in_two_repositories_is_scanned_once(opened: Opened) -> None:
    """Both show the same report; only one of them was scanned."""
    here = opened()
    here.world.copy("team/app", "1", "team/copy")
    here.poll()
    here.world.scan("team/app", "1", findings=[HIGH], asked_by="bob")
    poll_for(here, 3 * 3600, every=120)
    assert [event.repository.full_name for event in scanned(here) if event.repository] == ["team/app"]


def test_the_sweep_keeps_to_its_budget_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """Also when every poll is a process of its own."""
    clock = Clock()
    world = World(NEW, clock=clock.tick)
    world.populate(repositories=40, artifacts_each=30)
    with site(tmp_path, world, clock, more=conf("[schedule]", "sweep_requests = 30")) as here:
        here.poll()
        before = len(here.standin.requests)
        for _ in range(60):
            here.poll(after=60)
            here.restart()
        asked = [each for each in here.standin.requests[before:] if "log" not in each.path]
        swept = [each for each in asked if "/repositories" in each.path]
        assert 25 <= len(swept) <= 31
        pages = [(each.path, each.params["page"]) for each in swept if each.path.endswith("/artifacts")]
        assert len(pages) == len(set(pages))


def test_names_of_findings_are_paid_from_the_sweeps_budget(tmp_path: Path) -> None:
    """Beyond one request for each scan Harbor is asked no more than that, whatever it is for."""
    clock = Clock()
    world = World(NEW, clock=clock.tick)
    names = world.populate(repositories=40, artifacts_each=30)
    with site(tmp_path, world, clock, more=conf("[schedule]", "sweep_requests = 30")) as here:
        poll_for(here, 600, every=60)
        before = len(here.standin.requests)
        for minute in range(60):
            world.scan(names[minute % 40], f"v{minute % 30}", findings=[CRITICAL], asked_by="ann")
            poll_for(here, 60, every=30)
        asked = [each for each in here.standin.requests[before:] if "/repositories" in each.path]
        named = [each for each in asked if "/additions/" in each.path]
        looks = [each for each in asked if "/artifacts/sha256" in each.path and each not in named]
        assert (len(looks), len(scanned(here))) == (60, 60)
        assert len(named) >= 5
        assert len(asked) - len(looks) <= 30 + 5 + 10


def test_a_small_registry_is_not_swept_all_the_time(opened: Opened) -> None:
    """A round an hour; in between an idle poll is one request."""
    here = opened()
    poll_for(here, 300, every=20)
    assert [len(here.requests_of_poll(after=60)) for _ in range(4)] == [1] * 4


def test_a_scanner_that_never_pulls_does_not_keep_the_sweep_from_its_round(opened: Opened) -> None:
    """Its robots say that there is something, and looks at what has changed find nothing."""
    here = opened()
    for n in range(10):
        here.world.push(f"team/s{n}", "1", "ann")
    here.clock.advance(3600)
    poll_for(here, 3600, every=60)
    for n in range(180):
        here.world.scan(f"team/s{n % 10}", "1", findings=[LOW], pulls=False, asked_by="bob")
        poll_for(here, 60, every=30)
    assert len(scanned(here)) >= 60


def test_scans_in_projects_that_are_not_wanted_cost_nothing(tmp_path: Path) -> None:
    """Nor do their robots, which are logged for everybody to see."""
    clock = Clock()
    world = World(NEW, clock=clock.tick)
    for project in ("team", "other"):
        world.create_project(project)
        world.push(f"{project}/app", "1", "ann")
    clock.advance(600)
    with site(tmp_path, world, clock, harbor="projects = ['team']") as here:
        poll_for(here, 3600, every=60)
        before = len(here.standin.requests)
        for _ in range(60):
            here.world.scan("other/app", "1", findings=[LOW])
            poll_for(here, 60, every=30)
        assert len([each for each in here.standin.requests[before:] if "/repositories" in each.path]) <= 6
        assert here.store.scan_outcomes(since=NOON) == {}


def test_scans_that_were_asked_for_during_a_downtime_come_as_a_summary(opened: Opened) -> None:
    """Each is an event; the chat gets what a person reads after a downtime."""
    here = opened()
    push_images(here, 40)
    here.stop()
    for n in range(40):
        here.world.scan(f"team/service-{n % 7}", f"v{n}", findings=[LOW], asked_by="bob")
        here.clock.advance(10)
    here.clock.advance(7200)
    here.start()
    here.poll()
    assert len(scanned(here)) == 40
    assert len(messages(here)) == 1


def test_a_list_of_findings_that_is_another_scans(opened: Opened) -> None:
    """While an image is scanned again, Harbor's list of the old findings is empty: that says nothing about them."""
    here = opened()
    running = here.world.start_scan("team/app", "1", asked_by="bob")
    here.world.finish_scan(running, findings=[CRITICAL])
    again = here.world.start_scan("team/app", "1", asked_by="bob")
    here.poll(after=0)
    here.clock.advance(60)
    here.world.finish_scan(again, findings=[CRITICAL])
    here.poll()
    assert last(here).changes == () or last(here).changes[0].new == {}


def test_what_may_still_be_asked_for_outlives_a_restart(tmp_path: Path) -> None:
    """A program that is started every minute has no more than one that runs."""
    clock = Clock()
    world = World(NEW, clock=clock.tick)
    names = world.populate(repositories=30, artifacts_each=1)
    with site(tmp_path, world, clock, more=conf("[schedule]", "sweep = 'off'")) as here:
        here.poll()
        for name in names:
            world.scan(name, "v0", findings=[CRITICAL], asked_by="ann")
            here.poll(after=20)
            here.restart()
        assert len(scanned(here)) == 30
        assert len([each for each in here.standin.requests if "/additions/" in each.path]) <= 8


def test_findings_that_may_not_be_listed_are_not_asked_for_again_and_again(opened: Opened) -> None:
    """The counts are told all the same, and once what right would give the names."""
    here = opened()
    here.standin.fail(Fault.FORBIDDEN, times=ALWAYS, path="/additions/")
    for _ in range(3):
        here.world.scan("team/app", "1", findings=[CRITICAL], asked_by="bob")
        here.poll(after=60)
    assert len(scanned(here)) == 3
    assert len([each for each in here.standin.requests if "/additions/" in each.path]) == 1


def swept(here: Site) -> list[str]:
    return [each.path for each in here.standin.requests if each.params.get("q", "").startswith("base=*")]


def test_a_project_that_may_not_be_looked_through_does_not_hold_up_the_others(opened: Opened) -> None:
    """It is asked once a round, and said once what right is lacking."""
    here = opened(more=conf("[schedule]", "sweep_requests = 600"))
    here.world.create_project("other")
    for n in range(5):
        here.world.push(f"team/app-{n}", "1")
    here.world.push("other/app", "1")
    here.standin.fail(Fault.FORBIDDEN, times=ALWAYS, path="/projects/team/repositories")
    poll_for(here, 900, every=20)
    assert len([path for path in swept(here) if "/team/" in path]) <= 2
    assert any("/other/" in path for path in swept(here))


def test_a_page_that_fails_is_met_again_in_the_next_round(opened: Opened) -> None:
    """And the rest is read meanwhile."""
    here = opened(more=conf("[schedule]", "sweep_requests = 600"))
    here.world.push("team/last", "1")
    here.standin.fail(Fault.INTERNAL, times=1, path="/artifacts")
    poll_for(here, 300, every=20)
    first = swept(here)
    assert any("/last/" in path for path in first)
    poll_for(here, 7200, every=60)
    assert [path for path in swept(here)[len(first) :] if "/app/" in path]


def test_a_busy_registry_does_not_starve_the_round(tmp_path: Path) -> None:
    """However much changes, the round over everything goes on."""
    clock = Clock()
    world = World(NEW, clock=clock.tick)
    names = world.populate(repositories=60, artifacts_each=2)
    with site(tmp_path, world, clock) as here:
        for _ in range(4):
            for name in names[30:]:
                world.pull(name, "v0", "ann")
            poll_for(here, 3600, every=60)
        quiet = {path for path in swept(here) if int(path.split("service-")[1][:4]) < 30}
        assert len(quiet) >= 15
