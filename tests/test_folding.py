"""What is told together: every event is recorded, and what belongs together gets one group, whoever restarts when.

In process, against the HTTP stand-in of Harbor; a clock that the test moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.harbor import ALWAYS, POLLER, Fault, Generation, Outcome, Vulnerability, World
from poller.events import Event, EventType
from state import SCANNERS_OWN, DeliveryState, Due
from tests.harness import Clock, Site, site

NEW, LAST_OLD, FIRST_USERS = Generation.V2_16, Generation.V2_12, Generation.V2_8
generations = pytest.mark.parametrize("generation", list(Generation), ids=lambda generation: generation.name)
EVERY = "[delivery]\nmode = 'every'\n[schedule]\nsweep = 'off'"
NO_SWEEP = "[schedule]\nsweep = 'off'"
FAR = timedelta(hours=1)

Opened = Callable[..., Site]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Opens a Harbor with the project `team`, and a poller that has polled once, after a push of `team/app:old`."""
    contexts = []

    def open_(generation: Generation = NEW, more: str = NO_SWEEP, state_url: str | None = None) -> Site:
        clock = Clock()
        world = World(generation, clock=clock.tick)
        for project in ("team", "other"):
            world.create_project(project)
        world.push("team/app", "old", "ann")
        clock.advance(7200)
        context = site(tmp_path, world, clock, POLLER, more=more, state_url=state_url)
        contexts.append(context)
        here = context.__enter__()
        here.poll()
        return here

    yield open_
    for context in contexts:
        context.__exit__(None, None, None)


def due(here: Site) -> tuple[Due, ...]:
    """What waits to be told, also what is held back."""
    return here.store.due(here.clock.now + FAR, most=10_000)


def messages(here: Site) -> list[list[str]]:
    """The references of what would be a message each, in their order."""
    found: dict[str, list[str]] = {}
    for each in due(here):
        found.setdefault(each.group or str(each.id), []).append(_name(each.event))
    return list(found.values())


def _name(event: Event) -> str:
    return event.tag or (event.digest or "")[7:13] or event.subject


def short(digest: str) -> str:
    return digest[7:13]


def tell(here: Site) -> None:
    """As if all that waits had become messages."""
    groups: dict[str, list[int]] = {}
    for each in due(here):
        groups.setdefault(each.group or str(each.id), []).append(each.id)
    for number, ids in enumerate(groups.values(), 1000):
        here.store.told(ids, chat_id="-1001", message_id=number, now=here.clock.now)


def groups_of(here: Site) -> list[str | None]:
    return [each.group for each in due(here)]


def lookups(here: Site, after: float = 5) -> int:
    """How many requests a poll makes beside that for the log."""
    return len(here.requests_of_poll(after)) - 1


# -- pulls ------------------------------------------------------------------------------------------------


@generations
def test_repeated_pulls_are_one_message(opened: Opened, generation: Generation) -> None:
    """By one and the same, as long as no hour passes between two; by another, or of another image, it is another."""
    here = opened(generation)
    for _ in range(5):
        here.world.pull("team/app", "old", "bob")
    here.world.pull("team/app", "old", "eve")
    here.poll()
    here.restart()
    here.world.pull("team/app", "old", "bob")
    here.poll(1800)
    here.world.pull("team/app", "old", "bob")
    here.poll(3000)
    assert messages(here) == [["old"] * 7, ["old"]]
    here.clock.advance(3700)
    here.world.pull("team/app", "old", "bob")
    here.poll()
    assert [len(each) for each in messages(here)] == [7, 1, 1]
    assert all(group and group.startswith("pull:team/app@sha256:") for group in groups_of(here))


def test_a_pull_costs_no_request_of_its_own(opened: Opened) -> None:
    """Nor does silence."""
    here = opened()
    here.world.pull("team/app", "old", "bob")
    here.poll()  # of a repository that was not known
    here.world.pull("team/app", "old", "bob")
    assert lookups(here) == 0
    assert lookups(here) == 0


def test_a_platform_is_pulled_with_its_index(opened: Opened) -> None:
    """Docker asks for the index and then for the platform. Later, the platform is an image like others."""
    here = opened()
    index = here.world.push_index("team/two", "1", "ann", platforms=("linux/amd64", "linux/arm64"))
    here.poll()
    platform = here.store.platforms_of("team/two", index)[0].digest
    tell(here)
    here.world.pull("team/two", "1", "bob")
    here.world.pull("team/two", platform, "bob")
    here.world.pull("team/two", platform, "eve")
    here.poll()
    assert messages(here) == [["1", short(platform)], [short(platform)]]
    here.clock.advance(60)
    here.world.pull("team/two", platform, "bob")
    here.poll()
    assert len(messages(here)) == 3


def test_pulls_are_single_messages_where_the_window_is_off(opened: Opened) -> None:
    """But a platform is part of the pull of its index all the same."""
    here = opened(more="[delivery]\npull_window = 'off'\n" + NO_SWEEP)
    index = here.world.push_index("team/two", "1", "ann", platforms=("linux/amd64",))
    here.poll()
    tell(here)
    for _ in range(2):
        here.world.pull("team/two", "1", "bob")
        here.world.pull("team/two", here.store.platforms_of("team/two", index)[0].digest, "bob")
    here.poll()
    assert sorted(map(len, messages(here))) in ([1, 3], [2, 2])


@pytest.mark.parametrize("window", ["1h", "off"])
def test_platforms_are_told_with_the_pull_that_fetched_them(opened: Opened, window: str) -> None:
    """Also if a page holds pulls of many hours."""
    here = opened(more=f"[delivery]\npull_window = '{window}'\n{NO_SWEEP}")
    index = here.world.push_index("team/two", "1", "ann")
    here.poll()
    tell(here)
    platform = here.store.platforms_of("team/two", index)[0].digest
    for _ in range(3):
        here.world.pull("team/two", "1", "bob")
        here.world.pull("team/two", platform, "bob")
        here.clock.advance(7200)
    here.poll()
    assert messages(here) == [["1", short(platform)]] * 3


# -- pushes -----------------------------------------------------------------------------------------------


@generations
def test_an_index_comes_with_its_platforms_and_attestations(opened: Opened, generation: Generation) -> None:
    """One question at most says so; before 2.13 the one that is needed for the digest."""
    here = opened(generation)
    here.world.push("team/two", "0", "ann")
    here.poll()
    tell(here)
    here.world.push_index("team/two", "1", "ann", attestations=True)
    assert lookups(here) == 1
    [message] = messages(here)
    assert len(message) == 5
    assert "1" in message
    assert (groups_of(here)[0] or "").startswith(f"push:team/two@{here.events[-1].digest}#")


def test_an_index_without_a_tag_comes_with_its_platforms(opened: Opened) -> None:
    """As `buildx --push-by-digest` makes it."""
    here = opened()
    index = here.world.push_index("team/two", None, "ann", attestations=True)
    here.poll()
    assert sorted(map(len, messages(here))) == [5]
    assert (groups_of(here)[0] or "").startswith(f"push:team/two@{index}#")


@pytest.mark.parametrize("repositories", [60, 1], ids=["of their own", "shared"])
def test_families_stay_together_after_an_outage(opened: Opened, repositories: int) -> None:
    """Some are found together in a later poll: a page has twenty questions, and what was found waits so long."""
    here = opened()
    for number in range(60):
        here.world.push_index(f"team/r{number % repositories}", str(number), "ci")
        here.clock.advance(300)
    before = len(here.standin.requests)
    here.poll()
    asked = [each for each in here.standin.requests[before:] if "/artifacts" in each.path]
    assert len(asked) <= 40
    here.poll()
    here.poll()
    assert [len(each) for each in messages(here)] == [3] * 60


def test_a_plain_push_costs_no_further_request(opened: Opened) -> None:
    """There is nothing to explain."""
    here = opened()
    here.world.push("team/app", "1", "ann")
    here.poll()
    here.world.push("team/app", "2", "ann")
    assert lookups(here) == 0


def test_a_platform_may_come_long_before_its_index(opened: Opened) -> None:
    """Up to a quarter of an hour, as long as it waits to be told."""
    here = opened()
    index = here.world.push_index("team/two", "1", "ann")
    here.poll()
    tell(here)
    first, second = (fact.digest for fact in here.store.platforms_of("team/two", index))
    here.clock.advance(4000)
    push_again(here.world, first)
    here.poll()
    here.clock.advance(800)
    push_again(here.world, second)
    push_again(here.world, index, "2")
    here.poll()
    assert messages(here) == [[short(first), short(second), "2"]]


@pytest.mark.parametrize("restarts", [False, True])
def test_platforms_that_were_recorded_before_their_index_join_it(opened: Opened, restarts: bool) -> None:
    """As long as they wait to be told; the process may be another one by then."""
    here = opened()
    index = here.world.push_index("team/two", "1", "ann")
    here.poll()
    tell(here)
    platforms = [fact.digest for fact in here.store.platforms_of("team/two", index)]
    here.clock.advance(4000)
    for digest in platforms:
        push_again(here.world, digest)
    here.poll()
    assert [len(each) for each in messages(here)] == [1, 1]
    if restarts:
        here.restart()
    push_again(here.world, index, "2")
    here.poll()
    assert messages(here) == [[*map(short, platforms), "2"]]


def push_again(world: World, digest: str, tag: str | None = None) -> None:
    """A part of what buildx does, so that a poll may come in between."""
    artifact = world.registry().repositories["team/two"].artifacts[digest]
    world._push("team/two", tag, "ann", digest, children=artifact.children)


@pytest.mark.parametrize("kind", ["sig", "att", "sbom"])
@pytest.mark.parametrize("as_referrer", [False, True], ids=["by tag", "by digest"])
@pytest.mark.parametrize("generation", [NEW, LAST_OLD], ids=lambda each: each.name)
def test_what_is_attached_is_told_with_its_image(
    opened: Opened,
    generation: Generation,
    as_referrer: bool,
    kind: str,
) -> None:
    """In the same poll, in a later one, after it was told, and a day later; it is one group."""
    here = opened(generation)
    here.world.push("team/app", "1", "ann")
    here.world.attach("team/app", "1", kind, "ann", as_referrer=as_referrer)
    here.poll()
    assert [len(each) for each in messages(here)] == [2]
    first = groups_of(here)[0]
    tell(here)
    here.restart()
    here.world.attach("team/app", "1", kind, "ci", as_referrer=as_referrer)
    here.poll(60)
    here.world.attach("team/app", "1", kind, "ci", as_referrer=as_referrer)
    here.poll(80_000)
    assert groups_of(here) == [first, first]
    accessories = here.store.accessories_of("team/app", [_digest(here, "1")])
    assert len(accessories) == 3


def _digest(here: Site, tag: str) -> str:
    return next(event.digest or "" for event in here.events if event.tag == tag)


def test_what_is_attached_after_a_week_is_told_for_itself(opened: Opened) -> None:
    """Nobody would see it in a message of long ago."""
    here = opened()
    here.world.push("team/app", "1", "ann")
    here.poll()
    tell(here)
    here.clock.advance(7 * 86400)
    here.world.attach("team/app", "1", "sig", "ann")
    here.poll()
    [message] = messages(here)
    assert message[0].endswith(".sig")


def test_a_signature_of_what_nobody_has_told_us(opened: Opened) -> None:
    """`team/app:old` was pushed before the first poll: Harbor is asked whether there is such an image."""
    here = opened()
    here.world.attach("team/app", "old", "att", "ann")
    assert lookups(here) == 3  # and for the project and the repository
    [event] = here.news
    assert here.store.accessories("team/app", [event.digest or ""])[event.digest or ""].kind == "attestation"


def kinds_of(here: Site, repository: str, *digests: str) -> list[str]:
    return [fact.kind for fact in here.store.accessories_of(repository, digests)]


@generations
def test_what_cosign_has_signed_is_signed(opened: Opened, generation: Generation) -> None:
    """By a tag, Harbor says that it is a signature: one question for each, and none if it was asked anyway."""
    here = opened(generation)
    image = here.world.push("team/app", "1", "ann")
    here.poll()
    here.world.attach("team/app", "1", "sig", "ann")
    assert lookups(here) == (1 if generation is NEW else 2)
    assert kinds_of(here, "team/app", image) == ["signature.cosign"]
    index = here.world.push_index("team/two", "1", "ann")
    here.world.attach("team/two", "1", "sig", "ann")
    here.poll()
    assert kinds_of(here, "team/two", index) == ["signature.cosign"]
    assert [len(each) for each in messages(here)] == [2, 4]


def test_a_tag_like_a_signatures_does_not_sign(opened: Opened) -> None:
    """Anybody who may push can name a tag like that. Harbor looks at what it is."""
    here = opened()
    image = here.world.push("team/app", "1", "ann")
    here.poll()
    here.world._push("team/app", f"{image.replace(':', '-')}.sig", "eve", f"sha256:{'e' * 64}")
    here.poll()
    assert [len(each) for each in messages(here)] == [2]
    assert kinds_of(here, "team/app", image) == ["subject.accessory"]


def test_what_was_deleted_is_signed_no_more(opened: Opened) -> None:
    """With the image, alone, or as that of a platform: pushed again, it is unsigned, until it is signed again."""
    here = opened()
    image = here.world.push("team/app", "1", "ann", content="same")
    here.world.attach("team/app", "1", "sig", "ann")
    index = here.world.push_index("team/two", "1", "ann", content="two")
    platform = here.world.registry().repositories["team/two"].artifacts[index].children[0][0]
    here.world.attach("team/two", platform, "sig", "ann")
    here.poll()
    assert (len(kinds_of(here, "team/app", image)), len(kinds_of(here, "team/two", platform))) == (1, 1)
    here.world.delete_artifact("team/app", "1", "ann")
    here.world.delete_artifact("team/two", "1", "ann")
    here.poll()
    assert kinds_of(here, "team/app", image) + kinds_of(here, "team/two", platform) == []
    here.world.push("team/app", "1", "ann", content="same")
    signature = here.world.attach("team/app", "1", "sig", "ann")
    here.poll()
    assert kinds_of(here, "team/app", image) == ["signature.cosign"]
    here.world.delete_artifact("team/app", signature, "ann")
    here.poll()
    assert kinds_of(here, "team/app", image) == []


def test_a_tag_like_cosigns_of_no_image_is_a_push_like_others(opened: Opened) -> None:
    """Names alone prove nothing."""
    here = opened()
    here.world.push("team/app", "1", "ann")
    here.world.push("team/app", f"sha256-{'0' * 64}.att", "ann")
    here.poll()
    assert [len(each) for each in messages(here)] == [1, 1]


def test_the_signature_of_a_platform_is_told_with_the_index(opened: Opened) -> None:
    """`cosign sign --recursive`."""
    here = opened()
    index = here.world.push_index("team/two", "1", "ann")
    here.poll()
    for fact in here.store.platforms_of("team/two", index):
        here.world.attach("team/two", fact.digest, "sig", "ann")
    assert lookups(here) == 2  # whether these are signatures
    assert [len(each) for each in messages(here)] == [5]


def test_a_copy_comes_with_all_that_belongs_to_it(opened: Opened) -> None:
    """Harbor writes the same rows for it."""
    here = opened()
    here.world.push_index("team/two", "1", "ann", attestations=True)
    here.world.attach("team/two", "1", "sig", "ann")
    here.world.attach("team/two", "1", "att", "ann", as_referrer=True)
    here.poll()
    tell(here)
    here.world.copy("team/two", "1", "other/copied", "ann")
    here.poll()
    assert [len(each) for each in messages(here)] == [7]


def test_tags_of_one_push_are_one_message_and_of_a_later_one_another(opened: Opened) -> None:
    """A tag that an image gets an hour later is news."""
    here = opened()
    for tag in ("1.0", "1", "latest"):
        here.world.push("team/app", tag, "ann", content="same")
    here.poll()
    here.clock.advance(3600)
    here.world.push("team/app", "stable", "ann", content="same")
    here.poll()
    assert messages(here) == [["1.0", "1", "latest"], ["stable"]]


def test_a_promotion_is_news_though_the_image_was_just_signed(opened: Opened) -> None:
    """What is attached to an image does not make its push any younger."""
    here = opened()
    here.world.push("team/app", "build-1", "ci", content="same")
    here.poll()
    first = groups_of(here)[0]
    tell(here)
    here.world.attach("team/app", "build-1", "sig", "ci")
    here.poll(3600)
    assert groups_of(here) == [first]
    tell(here)
    here.world.push("team/app", "prod", "ann", content="same")
    here.poll(20)
    assert messages(here) == [["prod"]]
    assert groups_of(here) != [first]


def test_pushes_of_an_image_by_different_people_are_told_apart(opened: Opened) -> None:
    """Also if one comes back to it at once."""
    here = opened()
    for tag, operator in (("1", "ann"), ("prod", "eve"), ("2", "ann"), ("3", "ann")):
        here.world.push("team/app", tag, operator, content="same")
    here.poll()
    assert messages(here) == [["1"], ["prod"], ["2", "3"]]


@pytest.mark.parametrize("polls", [False, True], ids=["in one poll", "in three"])
def test_what_is_pushed_again_after_its_deletion_is_a_message(opened: Opened, polls: bool) -> None:
    """The first was signed all the same."""
    here = opened()
    poll = here.poll if polls else (lambda: None)
    here.world.push("team/app", "1", "ann", content="same")
    here.world.attach("team/app", "1", "sig", "ann")
    poll()
    here.world.delete_artifact("team/app", "1", "bob")
    poll()
    here.world.push("team/app", "1", "ann", content="same")
    here.poll()
    signature = f"{_digest(here, '1').replace(':', '-')}.sig"
    assert messages(here) == [["1", signature], [signature, "1"], ["1"]]


def test_images_without_a_digest_are_told_apart(opened: Opened) -> None:
    """Up to 2.12 without the right to look: nobody knows whether `latest` is still the same."""
    here = opened(LAST_OLD)
    here.standin.fail(Fault.FORBIDDEN, times=ALWAYS, path="/artifacts")
    for _ in range(2):
        here.world.push("team/app", "latest", "ann")
    here.poll()
    assert messages(here) == [["latest"], ["latest"]]


@pytest.mark.parametrize("fault", [Fault.FORBIDDEN, Fault.BAD_GATEWAY, Fault.HTML, Fault.UNAUTHORIZED])
def test_a_push_is_never_lost_or_late_because_harbor_does_not_say(opened: Opened, fault: Fault) -> None:
    """What nothing explains is told for itself; cosign's tag and its subject explain themselves."""
    here = opened()
    here.world.push("team/two", "0", "ann")
    here.poll()
    tell(here)
    here.standin.fail(fault, times=ALWAYS, path="/artifacts")
    here.world.push_index("team/two", "1", "ann")
    here.world.attach("team/two", "1", "sig", "ann")
    here.poll()
    assert sorted(map(len, messages(here))) == [1, 1, 2]


# -- scans ------------------------------------------------------------------------------------------------


@generations
def test_a_result_that_is_not_important_joins_the_push(opened: Opened, generation: Generation) -> None:
    """What is critical is told for itself, and nothing of it waits for a wave."""
    here = opened(generation)
    for tag, counts in (("1", {"Low": 2}), ("2", {"Critical": 1})):
        here.world.push("team/app", tag, "ann")
        here.poll()
        here.world.scan("team/app", tag, Outcome.SUCCESS, counts, asked_by="ann")
        here.poll(6)
        here.poll(10)
    assert messages(here) == [["1", "1"], ["2"], ["2"]]
    assert here.store.wave() is None


def test_a_failed_scan_is_told_for_itself_and_a_stopped_one_with_the_push(opened: Opened) -> None:
    here = opened()
    for tag, outcome in (("1", Outcome.STOPPED), ("2", Outcome.ERROR)):
        here.world.push("team/app", tag, "ann")
        here.world.scan("team/app", tag, outcome, asked_by="ann")
        here.poll()
        here.poll()
    assert messages(here) == [["1", "1"], ["2"], ["2"]]


def test_a_result_of_an_image_that_was_pushed_long_ago_is_a_message(opened: Opened) -> None:
    """As a result that somebody asked for always was."""
    here = opened()
    here.world.push("team/app", "1", "ann")
    here.poll()
    here.clock.advance(3700)
    here.world.scan("team/app", "1", Outcome.SUCCESS, {"Low": 1}, asked_by="ann")
    here.poll()
    assert messages(here) == [["1"], ["1"]]


def test_the_platforms_of_an_index_join_its_push(opened: Opened) -> None:
    """One by one, as they end; an important one does not wait for those that were told already."""
    here = opened()
    here.world.push_index("team/two", "1", "ann")
    here.poll()
    first, second = here.world.start_scan("team/two", "1")
    here.world.finish_scan([first])
    here.poll()
    assert [len(each) for each in messages(here)] == [4]
    here.world.finish_scan([second], findings=[Vulnerability("CVE-2026-1111", "Critical", "openssl", "3.0.1", "3.0.2")])
    here.poll()
    assert [len(each) for each in messages(here)] == [4, 1]
    assert len(here.news) == 5


def test_a_scan_all_is_a_wave_also_of_what_was_just_pushed_and_scanned(opened: Opened) -> None:
    """Nobody asked for its results, nor did the push."""
    here = opened()
    here.world.push("team/app", "1", "ann")
    here.poll()
    here.world.scan("team/app", "1", Outcome.SUCCESS, {"Low": 1}, asked_by="ann")
    here.poll()
    here.clock.advance(300)
    here.world.scan_all()
    here.poll()
    here.poll()
    wave = here.store.wave()
    assert wave is not None
    assert wave.members == 2


def test_few_results_that_nobody_asked_for_belong_to_the_push_after_all(opened: Opened) -> None:
    """As where the scanner's queue was long, and nothing says that the push has caused the scan."""
    here = opened(FIRST_USERS)
    here.world.push("team/app", "1", "ann")
    here.poll()
    here.clock.advance(200)
    here.world.scan("team/app", "1", Outcome.SUCCESS, {"Low": 1})
    here.poll()
    assert here.store.wave() is not None
    for _ in range(8):
        here.poll(10)
    assert here.store.wave() is None
    assert messages(here) == [["1", "1"]]


# -- what scanners do -------------------------------------------------------------------------------------


@generations
def test_what_a_scanner_does_is_told_by_its_scan(opened: Opened, generation: Generation) -> None:
    """Its pull and its robot point to the message of the result; before that, to none."""
    here = opened(generation, more="[events]\nROBOT_CREATED = true\nROBOT_DELETED = true\n" + NO_SWEEP)
    here.world.push("team/app", "1", "ann")
    here.poll()
    scan = here.world.start_scan("team/app", "1", asked_by="ann")
    here.poll()
    assert {(each.state, each.message_id) for each in _scanners_own(here)} == {(DeliveryState.FOLDED, None)}
    here.world.finish_scan(scan)
    here.poll(6)
    here.poll(10)
    tell(here)
    told = next(each for each in here.store.seen() if each.event.scan).deliveries[0].message_id
    assert told is not None
    assert {(each.state, each.message_id) for each in _scanners_own(here)} == {(DeliveryState.FOLDED, told)}
    assert len(_scanners_own(here)) == (1 if generation is FIRST_USERS else 3)


def _scanners_own(here: Site) -> list[Any]:
    return [each for seen in here.store.seen() for each in seen.deliveries if each.reason == SCANNERS_OWN]


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("[events]\nSCANNING_COMPLETED = false", "events.SCANNING_COMPLETED = false"),
        ("[scans]\nminimum_severity = 'high'", "scans.minimum_severity = high"),
        (
            "[events]\nSCANNING_COMPLETED = false\nSCANNING_FAILED = false\nSCANNING_STOPPED = false",
            "events.SCANNING_COMPLETED = false",
        ),
    ],
    ids=["its type is off", "too harmless", "no scans"],
)
def test_what_a_scanner_does_is_off_where_its_result_is(opened: Opened, setting: str, reason: str) -> None:
    """By the same setting: nobody looks for a message that there is not."""
    here = opened(more=f"{setting}\n{NO_SWEEP}")
    here.world.push("team/app", "1", "ann")
    here.world.scan("team/app", "1", Outcome.SUCCESS, {"Low": 1}, asked_by="ann")
    here.poll()
    here.poll(6)
    pulls = here.store.seen(types=[EventType.PULL_ARTIFACT])
    found = {(each.state, each.reason) for pull in pulls for each in pull.deliveries}
    assert found == {(DeliveryState.OFF, f"{SCANNERS_OWN}: {reason}")}


@pytest.mark.parametrize("wanted", ["true", "false"])
def test_all_that_made_a_list_of_materials_is_told_by_it_or_off(opened: Opened, wanted: str) -> None:
    """Its push, too, which Harbor may log after the robot is gone."""
    here = opened(more=f"[scans]\nsbom = {wanted}\n{NO_SWEEP}")
    here.world.push("team/app", "1", "ann")
    listed(here, "1")
    folded = [each for seen in here.store.seen() for each in seen.deliveries if each.state is DeliveryState.FOLDED]
    assert all(each.message_id is not None for each in folded)
    assert len(folded) == (3 if wanted == "true" else 0)


def listed(here: Site, image: str) -> str:
    """Let a scanner list what is in the image; the digest of the list."""
    here.world.sbom("team/app", image, asked_by="ann")
    here.poll()
    here.poll(6)
    tell(here)
    *_, newest = here.world.registry().repositories["team/app"].artifacts
    return newest


def test_a_list_of_materials_that_a_person_deletes_is_a_message(opened: Opened) -> None:
    """Alone, or with its image."""
    here = opened(more=f"[scans]\nsbom = true\n{NO_SWEEP}")
    here.world.push("team/app", "1", "ann")
    listed_ = listed(here, "1")
    here.world.delete_artifact("team/app", listed_, "mallory")
    here.poll(3600)
    assert messages(here) == [[short(listed_)]]
    tell(here)
    again = listed(here, "1")
    here.world.delete_artifact("team/app", "1", "mallory")
    here.poll(3600)
    assert messages(here) == [[short(again), "1"]]


@pytest.mark.parametrize("polls", [False, True], ids=["in one poll", "the scanner pulls after it"])
def test_a_list_of_materials_that_is_made_anew_is_told_by_the_new_one(opened: Opened, polls: bool) -> None:
    """Harbor deletes the old one first."""
    here = opened(more=f"[scans]\nsbom = true\n{NO_SWEEP}")
    here.world.push("team/app", "1", "ann")
    old = listed(here, "1")
    here.clock.advance(3600)
    if polls:
        pulled, here.world.pull = here.world.pull, lambda *_: ""  # type: ignore[method-assign]  # only the deletion
    runs = here.world.start_sbom("team/app", "1", asked_by="ann")
    here.poll()
    if polls:
        assert messages(here) == [[short(old)]]
        here.world.pull = pulled  # type: ignore[method-assign]
        here.world.pull("team/app", runs[0].artifact.digest, runs[0].robot)
        here.poll(1)
    here.world.finish_sbom(runs)
    here.poll()
    here.poll(6)
    [message] = messages(here)
    assert len(message) == 1
    tell(here)
    [gone] = here.store.seen(types=[EventType.DELETE_ARTIFACT])[0].deliveries
    assert (gone.state, gone.reason, gone.message_id) == (DeliveryState.FOLDED, SCANNERS_OWN, 1000)


def test_in_every_mode_each_event_is_a_message(opened: Opened) -> None:
    """Also what scanners do; nothing waits, and nothing has a group."""
    here = opened(more=EVERY)
    here.world.push_index("team/two", "1", "ann")
    here.world.pull("team/two", "1", "bob")
    here.world.pull("team/two", "1", "bob")
    here.world.delete_artifact("team/app", "old", "harbor-jobservice")
    here.poll()
    here.world.scan_all()
    here.poll()
    here.poll()
    assert set(groups_of(here)) == {None}
    assert len(due(here)) == 3 + 2 + 1 + 2 * 2
    assert len(here.news) == len(due(here))
    assert here.store.wave() is None


# -- deletions and runs -----------------------------------------------------------------------------------


def test_deletions_by_somebody_in_one_go_are_one_message(opened: Opened) -> None:
    """In one project, with no more than a minute between two."""
    here = opened()
    for number in range(4):
        here.world.push("team/app", str(number), "ann", content=str(number))
    here.world.push("other/app", "x", "ann")
    here.poll()
    tell(here)
    for tag in "01":
        here.world.delete_artifact("team/app", tag, "ann")
    here.world.delete_artifact("other/app", "x", "ann")
    here.poll()
    here.restart()
    here.world.delete_artifact("team/app", "2", "ann")
    here.poll(30)
    here.clock.advance(100)
    here.world.delete_artifact("team/app", "3", "ann")
    here.poll()
    assert messages(here) == [["0", "1", "2"], ["x"], ["3"]]


def test_a_repository_goes_with_all_that_is_in_it(opened: Opened) -> None:
    here = opened(more="[events]\nREPOSITORY_DELETED = true\nPROJECT_DELETED = true\n" + NO_SWEEP)
    here.world.push("team/gone", "1", "ann")
    here.world.attach("team/gone", "1", "sig", "ann")
    here.world.push("team/gone", "2", "ann")
    here.poll()
    tell(here)
    here.world.delete_repository("team/gone", "ann")
    here.poll()
    assert [len(each) for each in messages(here)] == [4]


def test_a_retention_run_is_told_when_it_is_over(opened: Opened) -> None:
    """Over all projects; what else happens is not held back by it."""
    here = opened()
    for project in ("team", "other"):
        for number in range(3):
            here.world.push(f"{project}/keep", str(number), "ann")
    here.poll()
    tell(here)
    here.world.retention("team/keep", keep=1)
    here.poll()
    here.world.retention("other/keep", keep=1)
    here.world.push("team/app", "new", "ann")
    here.poll(20)
    assert [event.type for event in here.news] == [EventType.PUSH_ARTIFACT]
    here.poll(25)
    assert len(here.news) == 1
    here.poll(6)
    assert len(here.news) == 5
    assert [len(each) for each in messages(here)] == [4, 1]


def test_a_retention_that_goes_on_for_long_is_told_in_between(opened: Opened) -> None:
    """Nobody waits for hours; what comes later is added."""
    here = opened()
    for number in range(60):
        here.world.push("team/keep", str(number), "ann")
    here.poll()
    tell(here)
    for number in range(59, 0, -1):
        here.world.retention("team/keep", keep=number)
        here.poll(20)
    assert len(set(groups_of(here))) == 1
    assert here.news


def test_a_replication_is_one_message(opened: Opened) -> None:
    """More than ten images in a minute, by one operator into one project; also what waits of it, and comes later."""
    here = opened()
    for number in range(6):
        here.world.push(f"team/r{number}", "1", "replicator")
    here.poll()
    assert len(messages(here)) == 6
    for number in range(6, 20):
        here.world.push(f"team/r{number}", "1", "replicator")
    here.world.push("team/app", "mine", "ann")
    here.poll()
    here.restart()
    here.world.push_index("team/r99", "1", "replicator")
    here.poll(20)
    assert [len(each) for each in messages(here)] == [23, 1]
    assert (groups_of(here)[0] or "").startswith("run:")


def test_what_of_a_replication_was_told_stays_as_it_is(opened: Opened) -> None:
    here = opened()
    for number in range(6):
        here.world.push(f"team/r{number}", "1", "replicator")
    here.poll()
    tell(here)
    for number in range(6, 12):
        here.world.push(f"team/r{number}", "1", "replicator")
    here.poll()
    assert [len(each) for each in messages(here)] == [6]


def test_a_release_of_thirty_images_stays_single_messages(opened: Opened) -> None:
    """One each ten seconds."""
    here = opened()
    for number in range(30):
        here.world.push(f"team/r{number}", "1", "ci")
        here.poll(10)
    assert [len(each) for each in messages(here)] == [1] * 30


def test_a_release_with_two_tags_each_stays_single_messages(opened: Opened) -> None:
    """The version and `latest` are one image, also where many are pushed one after the other."""
    here = opened()
    for number in range(20):
        for tag in ("1.2", "latest"):
            here.world.push(f"team/r{number}", tag, "ci", content=f"image {number}")
        here.poll(7)
    assert [len(each) for each in messages(here)] == [2] * 20


def test_a_replication_ends_when_it_pauses(opened: Opened) -> None:
    """Whoever pushes an image later, however soon, is not hidden by it. Another replication is another message."""
    here = opened()
    for number in range(12):
        here.world.push(f"team/r{number}", "1", "ci")
    here.poll(5)
    here.world.push("team/late", "1", "ci")
    here.poll(11)
    here.world.push("team/hotfix", "1", "ci")
    here.poll(20)
    for number in range(12):
        here.world.push(f"team/s{number}", "1", "ci")
    here.poll()
    assert [len(each) for each in messages(here)] == [13, 1, 12]


def test_runs_of_hours_ago_are_told_apart(opened: Opened) -> None:
    """As after an outage, all in one page."""
    here = opened()
    for run in range(3):
        for number in range(12):
            here.world.push(f"team/r{number}", str(run), "ci")
        here.clock.advance(600)
        here.world.push("team/app", f"1.{run}", "ci")
        here.clock.advance(600)
    here.poll()
    assert [len(each) for each in messages(here)] == [12, 1] * 3


def test_a_flood_does_not_burden_harbor(opened: Opened) -> None:
    """A thousand pushes of images of several platforms: they are one message, and few questions are asked."""
    here = opened()
    for number in range(120):
        here.world.push_index(f"team/r{number % 3}", str(number), "replicator")
    before = len(here.standin.requests)
    here.poll()
    asked = [each for each in here.standin.requests[before:] if "/artifacts" in each.path]
    assert len(asked) <= 20
    assert [len(each) for each in messages(here)] == [360]


# -- clocks and databases -----------------------------------------------------------------------------------


def test_a_clock_of_harbor_that_was_ahead_begins_new_threads(opened: Opened) -> None:
    """And one that was behind, too."""
    here = opened()
    here.world.pull("team/app", "old", "bob")
    here.poll()
    here.clock.now += timedelta(days=30)
    here.world.pull("team/app", "old", "bob")
    here.poll()
    here.clock.now -= timedelta(days=30)
    here.world.pull("team/app", "old", "bob")
    here.poll()
    assert [len(each) for each in messages(here)] == [1, 1, 1]


def test_everything_is_as_well_on_postgresql(opened: Opened, postgres_url: str) -> None:
    here = opened(state_url=postgres_url)
    here.world.push_index("team/two", "1", "ann", attestations=True)
    here.world.attach("team/two", "1", "sig", "ann")
    for _ in range(3):
        here.world.pull("team/two", "1", "bob")
    for number in range(12):
        here.world.push(f"other/r{number}", "1", "replicator")
    here.world.retention("team/app")
    here.world.scan("team/two", "1", Outcome.SUCCESS, {"Low": 1}, asked_by="ann")
    here.poll()
    here.restart()
    here.poll(6)
    assert sorted(map(len, messages(here))) == [1, 3, 8, 12]
