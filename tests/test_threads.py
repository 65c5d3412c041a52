"""What goes on as one message, and which artifact belongs to which image: pure decisions."""

from __future__ import annotations

from datetime import timedelta

import pytest

from poller.events import Event, EventType, Repository
from poller.kin import Kin, cosign_tag, is_head, taught_by
from poller.rows import Accessory, Artifact, Reference
from poller.threads import (
    JOB_IS_QUIET,
    LATE,
    LONGEST,
    Threads,
    about_deletions,
    about_image,
    about_pull,
    held_until,
    run_begins,
)
from poller.values import replace
from state import Thread
from tests.harness import NOON

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
DIGEST, OTHER, THIRD = (f"sha256:{letter * 64}" for letter in "abc")


def at(passed: timedelta, **changes: object) -> Event:
    return Event.example(occurred_at=NOON + passed, source_id=int(passed.total_seconds()) + 1_000_000, **changes)


def threads(*known: Thread) -> Threads:
    return Threads(lambda abouts: {each.about: each for each in known if each.about in abouts})


def thread(began: timedelta, last: timedelta) -> Thread:
    return Thread("x", "x#1", NOON + began, NOON + last, 2)


# -- threads ----------------------------------------------------------------------------------------------


def test_the_first_opens_a_thread_and_others_join_it() -> None:
    """As long as no more than the window passes between two."""
    here = threads()
    groups = [here.join("x", at(minutes * MINUTE), HOUR) for minutes in (0, 59, 118)]
    assert groups == [groups[0]] * 3
    assert here.changed["x"] == Thread("x", groups[0], NOON, NOON + 118 * MINUTE, 3)
    assert here.join("x", at(179 * MINUTE), HOUR) != groups[0]


def test_a_thread_that_was_stored_goes_on() -> None:
    """In the next process, too."""
    here = threads(thread(-HOUR, -MINUTE))
    assert here.join("x", at(0 * HOUR), HOUR) == "x#1"


def test_what_goes_on_and_on_is_told_anew_once_a_day() -> None:
    """An image that is pulled every minute, for weeks."""
    here = threads(thread(-LONGEST, -MINUTE))
    assert here.join("x", at(0 * SECOND), HOUR) == "x#1"
    assert here.join("x", at(SECOND), HOUR) != "x#1"


@pytest.mark.parametrize(
    ("passed", "joins"),
    [(-LATE, True), (-LATE - SECOND, False), (30 * SECOND, True), (3 * MINUTE, False)],
    ids=["minutes before", "long before", "between", "after"],
)
def test_a_row_that_comes_late_joins(passed: timedelta, joins: bool) -> None:
    """And moves neither end the wrong way. A thread of a clock that was ahead for a year does not catch everything."""
    here = threads(thread(0 * SECOND, MINUTE))
    assert (here.join("x", at(passed), MINUTE) == "x#1") is joins
    if joins:
        assert here.changed["x"] == Thread("x", "x#1", NOON + min(passed, 0 * SECOND), NOON + MINUTE, 3)


def test_each_thread_of_a_page_is_joined_by_what_came_in_its_time() -> None:
    """What belongs to a push is looked at after all pushes of the page."""
    here = threads()
    first, second = (here.open("x", at(hours * HOUR)) for hours in (0, 2))
    joined = [here.join("x", at(after), HOUR) for after in (MINUTE, 2 * HOUR - MINUTE, 2 * HOUR + MINUTE)]
    assert joined == [first, second, second]
    assert here.changed["x"].group == second


def test_what_is_told_with_another_group_is_so_from_then_on() -> None:
    """A platform whose index comes."""
    here = threads(thread(0 * SECOND, MINUTE))
    here.follow("x", "y#2")
    assert here.join("x", at(MINUTE), MINUTE) == "y#2"


def test_what_was_deleted_is_joined_by_nothing() -> None:
    """A push after that is another one. One that came after the deletion goes on."""
    here = threads(thread(0 * SECOND, MINUTE))
    here.close("x", NOON + 30 * SECOND)
    assert here.join("x", at(MINUTE), MINUTE) == "x#1"
    here.close("x", NOON + 2 * MINUTE)
    assert here.join("x", at(MINUTE), MINUTE) != "x#1"


def test_a_person_works_in_one_project_and_a_job_in_all() -> None:
    """Whose deletions they are is what they have in common."""
    mine = [at(SECOND, repository=Repository(f"{name}/app")) for name in ("team", "team", "other")]
    jobs = [replace(event, operator="harbor-jobservice") for event in mine]
    assert [about_deletions(event) for event in mine].count(about_deletions(mine[0])) == 2
    assert len(set(map(about_deletions, jobs))) == 1
    gone = replace(mine[0], type=EventType.PROJECT_DELETED, repository=None, subject="team")
    assert about_deletions(gone) == about_deletions(mine[0])


def test_pulls_are_of_an_image_whatever_its_tag() -> None:
    """And by somebody. Only where no digest is known, the tag has to do."""
    one, other = at(SECOND, tag="1"), at(SECOND, tag="2")
    assert about_pull(one) == about_pull(other)
    assert about_pull(one) != about_pull(replace(one, operator="bob"))
    assert about_pull(one) != about_pull(replace(one, digest=OTHER))
    assert about_pull(replace(one, digest=None)) != about_pull(replace(other, digest=None))


@pytest.mark.parametrize(
    ("seconds", "begins"),
    [
        (range(0, 300, 10), None),
        (range(10), None),
        (range(11), 0),
        ([*range(0, 600, 60), *range(600, 660, 5)], 600),
        ([*range(10), 30], None),
    ],
    ids=["a release of thirty", "ten at once", "eleven at once", "few and then many", "ten and one later"],
)
def test_a_run_is_more_than_ten_images_in_a_minute(seconds: list[int], begins: int | None) -> None:
    """One after the other: a release that pushes an image each ten seconds is none."""
    begun = run_begins(image(each) for each in reversed(seconds))
    assert begun == (None if begins is None else NOON + begins * SECOND)


def image(number: int, **changes: object) -> Event:
    """Pushed so many seconds after noon."""
    return at(number * SECOND, digest=f"sha256:{number:064}", **changes)


def test_an_image_of_several_tags_is_one_image() -> None:
    """A release gives each of its images a version and `latest`. The digest is unknown on some Harbors."""
    tagged = [image(number, tag=tag) for number in range(10) for tag in ("1.2", "latest")]
    assert run_begins(tagged) is None
    assert run_begins([*tagged, image(10)]) == NOON
    unknown = [at(n * SECOND, digest=None, repository=Repository(f"team/r{n % 10}")) for n in range(20)]
    assert run_begins(unknown) is None


def test_what_a_job_deletes_is_held_until_it_is_quiet() -> None:
    """But not for ever; by whatever clock Harbor has."""
    assert held_until(thread(HOUR, HOUR + MINUTE), NOON) == NOON + JOB_IS_QUIET
    assert held_until(thread(HOUR, HOUR + 10 * MINUTE), NOON) is None


# -- kin --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        (f"sha256-{'a' * 64}.sig", "signature.cosign"),
        (f"sha256-{'a' * 64}.att", "attestation"),
        (f"sha256-{'a' * 64}.sbom", "sbom"),
        (f"sha256-{'a' * 63}.sig", None),
        (f"sha256-{'a' * 64}.tar", None),
        ("v1.sig", None),
        (None, None),
    ],
)
def test_the_tags_of_cosign(tag: str | None, kind: str | None) -> None:
    """They name what they belong to. Anything else is a tag like others."""
    found = cosign_tag(tag)
    assert (found.kind if found else None) == kind
    assert found is None or found.subject == DIGEST
    assert is_head(Event.example(tag=tag)) is (tag is not None and kind is None)


def test_a_tag_of_cosign_alone_is_no_fact() -> None:
    """Anybody may push such a tag; what it says counts where there is such an image."""
    kin = Kin("team/app")
    push = Event.example(tag=f"sha256-{'a' * 64}.att", digest=OTHER)
    assert (kin.line_of(push), kin.is_accessory(push)) == ([], False)
    found = cosign_tag(push.tag)
    assert found
    kin.subject_exists(push, found)
    assert (kin.line_of(push), kin.is_accessory(push)) == ([DIGEST], True)
    [fact] = kin.learnt.accessories
    assert (fact.digest, fact.subject, fact.kind) == (OTHER, DIGEST, "attestation")


def test_what_belongs_to_a_platform_belongs_to_its_index() -> None:
    """Step by step, the nearest first."""
    index = Artifact(DIGEST, references=(Reference(OTHER, "linux/arm64"), Reference(THIRD, "unknown/unknown")))
    platform = Artifact(OTHER, accessories=(Accessory("sha256:sig", "signature.cosign", OTHER),))
    kin = Kin("team/app")
    kin.learn(taught_by("team/app", index))
    kin.learn(taught_by("team/app", platform))
    assert kin.line_of(Event.example(tag=None, digest="sha256:sig")) == [OTHER, DIGEST]
    assert kin.line_of(Event.example(tag=None, digest=THIRD)) == [DIGEST]
    assert [fact.is_image for fact in kin.learnt.platforms] == [True, False]


def test_a_circle_of_kin_has_an_end() -> None:
    """Whoever pushes may name any subject."""
    kin = Kin("team/app")
    kin.learn(taught_by("team/app", Artifact(DIGEST, accessories=(Accessory(OTHER, "x", DIGEST),))))
    kin.learn(taught_by("team/app", Artifact(OTHER, accessories=(Accessory(DIGEST, "x", OTHER),))))
    assert kin.line_of(Event.example(tag=None, digest=OTHER)) == [DIGEST, OTHER]


def test_the_names_of_groups_hold_what_they_are_about() -> None:
    """Whoever tells them goes by how they begin."""
    event = at(SECOND, digest=DIGEST)
    group = threads().join(about_image("team/app", DIGEST), event, MINUTE)
    assert group == f"push:team/app@{DIGEST}#{event.key}"
    assert about_pull(event) == f"pull:team/app@{DIGEST}|ann"
    assert about_pull(replace(event, digest=None)) == "pull:team/app:1.27|ann"
