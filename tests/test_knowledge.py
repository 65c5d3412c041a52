"""What is remembered of a registry: newer facts win over older ones, in whatever order they are learnt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.knowledge import LONG_AGO, SAME_DELETION, Changes, Knowledge, ProjectFact, RepositoryFact, TagFact

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
APP = "team/app"
A, B = "sha256:aaaa", "sha256:bbbb"


# -- tags -------------------------------------------------------------------------------------------


def test_a_push_teaches_where_a_tag_points() -> None:
    """In that repository alone."""
    knowledge = Knowledge()
    assert knowledge.digest_of(APP, "v1") is None
    knowledge.tag_points_at(APP, "v1", A, NOW)
    assert knowledge.digest_of(APP, "v1") == A
    assert knowledge.digest_of("team/other", "v1") is None


def test_the_newest_push_decides_in_any_order_of_learning() -> None:
    """Rows come late now and then."""
    facts = [("v1", A, NOW), ("v1", B, NOW + SECOND), ("v1", None, NOW + 2 * SECOND), ("v1", A, NOW + 3 * SECOND)]
    for order in permutations(facts):
        knowledge = Knowledge()
        for tag, digest, at in order:
            knowledge.tag_points_at(APP, tag, digest, at)
        assert knowledge.digest_of(APP, "v1") == A


def test_of_several_tags_the_one_pushed_last_is_told() -> None:
    """As Harbor's webhook of a deletion does; a tag that has moved on is none of the artifact's."""
    knowledge = Knowledge()
    for seconds, tag in enumerate(("v1", "latest", "moved")):
        knowledge.tag_points_at(APP, tag, A, NOW + seconds * SECOND)
    knowledge.tag_points_at(APP, "moved", B, NOW + 9 * SECOND)
    assert knowledge.newest_tag_of(APP, A) == "latest"
    assert knowledge.newest_tag_of(APP, B) == "moved"
    assert knowledge.newest_tag_of("team/other", A) is None
    assert knowledge.newest_tag_of(APP, "sha256:cccc") is None


def test_a_deleted_artifact_leaves_its_tags_pointing_at_nothing() -> None:
    """All of its tags in that repository, and only those."""
    knowledge = Knowledge()
    for repository, tag, digest in ((APP, "v1", A), (APP, "v2", A), (APP, "v3", B), ("team/other", "v1", A)):
        knowledge.tag_points_at(repository, tag, digest, NOW)
    knowledge.artifact_deleted(APP, A, NOW + SECOND)
    assert [knowledge.digest_of(APP, tag) for tag in ("v1", "v2", "v3")] == [None, None, B]
    assert knowledge.digest_of("team/other", "v1") == A


def test_a_deletion_does_not_undo_a_later_push() -> None:
    """Deleted and pushed again; the row of the deletion came late."""
    knowledge = Knowledge()
    knowledge.tag_points_at(APP, "v1", A, NOW)
    knowledge.artifact_deleted(APP, A, NOW - SECOND)
    assert knowledge.digest_of(APP, "v1") == A


def test_a_pull_tells_where_a_tag_points_but_not_since_when() -> None:
    """It corrects what is known, and any push that is learnt of later is newer."""
    knowledge = Knowledge()
    knowledge.tag_seen_at(APP, "v1", A)
    assert knowledge.digest_of(APP, "v1") == A
    knowledge.tag_points_at(APP, "v1", B, NOW)
    assert knowledge.digest_of(APP, "v1") == B
    knowledge.tag_seen_at(APP, "v1", A)
    assert knowledge.tags[APP, "v1"] == TagFact(APP, "v1", A, NOW, previous=B)


def test_what_a_tag_pointed_at_before_is_remembered() -> None:
    """Also when the image was deleted in between; a push of the same image again changes nothing."""
    knowledge = Knowledge()
    knowledge.tag_points_at(APP, "v1", A, NOW)
    knowledge.tag_points_at(APP, "v1", A, NOW + SECOND)
    assert knowledge.tags[APP, "v1"].previous is None
    knowledge.artifact_deleted(APP, A, NOW + 2 * SECOND)
    knowledge.tag_points_at(APP, "v1", B, NOW + 3 * SECOND)
    assert knowledge.tags[APP, "v1"].previous == A


def test_a_pull_that_tells_nothing_new_changes_nothing() -> None:
    """Or every pull of a busy registry would be a write."""
    knowledge = Knowledge.of([TagFact(APP, "v1", A, NOW)])
    knowledge.tag_seen_at(APP, "v1", A)
    assert knowledge.take_changes() == Changes()


facts = st.tuples(st.sampled_from(["v1", "v2"]), st.sampled_from([A, B, None]), st.integers(0, 9))


@given(st.lists(facts, unique_by=lambda fact: (fact[0], fact[2])), st.randoms())
def test_any_order_of_learning_gives_the_same_knowledge(
    facts: list[tuple[str, str | None, int]], random: object
) -> None:
    """As long as no two facts about a tag are of the same moment."""

    def learnt(facts: list[tuple[str, str | None, int]]) -> list[tuple[str, str | None, datetime]]:
        knowledge = Knowledge()
        for tag, digest, seconds in facts:
            knowledge.tag_points_at(APP, tag, digest, NOW + seconds * SECOND)
        return sorted((fact.tag, fact.digest, fact.at) for fact in knowledge.tags.values())

    shuffled = list(facts)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis gives a random.Random
    assert learnt(shuffled) == learnt(facts)


# -- repositories and projects ----------------------------------------------------------------------


def test_when_a_repository_was_made_is_remembered() -> None:
    """Until it is deleted."""
    knowledge = Knowledge()
    assert knowledge.created_at(APP) is None
    knowledge.repository_created(APP, NOW)
    assert knowledge.created_at(APP) == NOW
    knowledge.repository_deleted(APP, NOW + SECOND)
    assert knowledge.created_at(APP) is None


@pytest.mark.parametrize(("apart", "is_same"), [(-SAME_DELETION, True), (SAME_DELETION, True), (3 * SECOND, False)])
def test_artifacts_go_with_their_repository_within_moments(apart: timedelta, is_same: bool) -> None:
    """Before or after: the rows of one deletion are written in any order."""
    knowledge = Knowledge()
    knowledge.repository_deleted(APP, NOW)
    assert knowledge.was_deleted_with_its_repository(APP, NOW + apart) is is_same
    assert not knowledge.was_deleted_with_its_repository("team/other", NOW)


def test_a_repository_that_is_made_again_has_its_new_date() -> None:
    """The late row of an artifact that went with the old one is still known as such."""
    knowledge = Knowledge()
    knowledge.repository_deleted(APP, NOW)
    knowledge.repository_created(APP, NOW + SECOND)
    assert knowledge.created_at(APP) == NOW + SECOND
    assert knowledge.was_deleted_with_its_repository(APP, NOW)


def test_whether_a_project_is_public_is_believed_for_a_while() -> None:
    """It is changed by hand; an old answer is better than none where no fresh one can be had."""
    knowledge = Knowledge()
    assert knowledge.is_public("team") is None
    knowledge.project_checked("team", True, NOW)
    assert knowledge.is_public("team", not_before=NOW) is True
    assert knowledge.is_public("team", not_before=NOW + SECOND) is None
    assert knowledge.is_public("team") is True
    knowledge.project_checked("team", None, LONG_AGO)
    assert knowledge.is_public("team") is None


# -- changes ----------------------------------------------------------------------------------------


def test_changes_are_what_was_learnt_since_they_were_taken() -> None:
    """Each fact in its last form, once; what was loaded is no change."""
    loaded = TagFact(APP, "v1", A, NOW)
    knowledge = Knowledge.of([loaded], [RepositoryFact(APP, NOW)], [ProjectFact("team", False, NOW)])
    assert knowledge.take_changes() == Changes()
    knowledge.tag_points_at(APP, "v1", B, NOW + SECOND)
    knowledge.tag_points_at(APP, "v1", A, NOW + 2 * SECOND)
    knowledge.repository_deleted(APP, NOW)
    knowledge.project_checked("team", True, NOW)
    assert knowledge.take_changes() == Changes(
        (TagFact(APP, "v1", A, NOW + 2 * SECOND, previous=B),),
        (RepositoryFact(APP, None, NOW),),
        (ProjectFact("team", True, NOW),),
    )
    assert knowledge.take_changes() == Changes()
    assert knowledge.digest_of(APP, "v1") == A


def test_what_is_older_than_what_is_known_is_no_change() -> None:
    """It is not written either."""
    knowledge = Knowledge.of([TagFact(APP, "v1", A, NOW)])
    knowledge.tag_points_at(APP, "v1", B, NOW - SECOND)
    assert knowledge.take_changes() == Changes()


# -- much of it -------------------------------------------------------------------------------------------


def test_what_was_used_last_is_kept() -> None:
    """A tag that is pulled every day outlives those of builds that nobody asks for; deletions find no tag of these."""
    knowledge = Knowledge()
    for number in range(10):
        knowledge.tag_points_at(APP, f"build-{number}", f"sha256:{number}", NOW)
        assert knowledge.digest_of(APP, "build-0") == "sha256:0"
    knowledge.forget_beyond(3)
    assert [tag for _, tag in knowledge.tags] == ["build-8", "build-9", "build-0"]
    assert knowledge.newest_tag_of(APP, "sha256:0") == "build-0"
    assert knowledge.newest_tag_of(APP, "sha256:5") is None
    knowledge.artifact_deleted(APP, "sha256:5", NOW)


def test_tags_that_point_at_nothing_are_forgotten_first() -> None:
    """They say no more than not to be there."""
    knowledge = Knowledge()
    for number in range(4):
        knowledge.tag_points_at(APP, f"v{number}", f"sha256:{number}", NOW)
    knowledge.artifact_deleted(APP, "sha256:3", NOW)
    knowledge.forget_beyond(3)
    assert {tag for _, tag in knowledge.tags} == {"v0", "v1", "v2"}


def test_what_was_learnt_is_stored_though_it_is_forgotten() -> None:
    """What is forgotten to save memory is asked from the state again."""
    knowledge = Knowledge()
    knowledge.tag_points_at(APP, "v1", A, NOW)
    knowledge.repository_created(APP, NOW)
    knowledge.forget_beyond(0)
    changes = knowledge.take_changes()
    assert [fact.tag for fact in changes.tags] == ["v1"]
    assert [fact.name for fact in changes.repositories] == [APP]
    assert knowledge.digest_of(APP, "v1") is None


def test_only_what_was_known_then_is_recalled() -> None:
    """The past is told with what was known of it, and what its own rows teach is better."""
    later = NOW + timedelta(hours=1)
    tags = [TagFact(APP, "v1", A, NOW), TagFact(APP, "v2", B, later), TagFact(APP, "v3", A, NOW)]
    repositories = [RepositoryFact(APP, NOW), RepositoryFact("team/later", later)]
    knowledge = Knowledge()
    knowledge.tag_points_at(APP, "v3", B, NOW)
    knowledge.recall(Knowledge.of(tags, repositories), NOW)
    assert {tag: knowledge.digest_of(APP, tag) for tag in ("v1", "v2", "v3")} == {"v1": A, "v2": None, "v3": B}
    assert list(knowledge.repositories) == [APP]
