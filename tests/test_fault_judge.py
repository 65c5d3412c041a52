"""The judge of the fault harness objects: a judge that is always content proves nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from demo.harbor import Generation, World
from poller.values import replace
from tests.faults.judge import Cause, Change, Evidence, Happening, Line, Sort, Told, judge
from tests.faults.life import Journal

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
PUSH = "📦"


def second(number: float) -> datetime:
    return NOON + timedelta(seconds=number)


def happening(number: int, *, is_late: bool = False) -> Happening:
    key = f"audit_log_ext:{number}:{second(number).isoformat()}"
    return Happening(key, (0, number), second(number), PUSH, "team/app", (f"v{number:06}",), is_late)


def told(number: int, tag: int | None = None) -> Told:
    return Told(number, f"{PUSH} New push\nRepository: team/app\nTag: v{tag or number:06}", second(number) + LATER)


LATER = timedelta(seconds=0.5)
HAPPENINGS = [happening(number) for number in (1, 2, 3)]
LINES = [Line(each.key, "sent", number) for number, each in enumerate(HAPPENINGS, 1)]
MESSAGES = [told(1), told(2), told(3)]
WELL = Evidence(HAPPENINGS, LINES, MESSAGES, [])


def sorts(evidence: Evidence) -> list[Sort]:
    return [objection.sort for objection in judge(evidence).objections]


def test_content_with_what_was_told() -> None:
    """Each event in a message of its own, in order: there is nothing to object to."""
    verdict = judge(WELL)
    assert (verdict.objections, verdict.singles) == ([], 3)


def test_missing_in_the_state() -> None:
    """What happened and was never recorded is lost, although its message may be there."""
    assert Sort.LOST in sorts(replace(WELL, lines=LINES[:2]))


def test_missing_in_the_chat() -> None:
    """The product's word that a message was sent is not believed."""
    assert sorts(replace(WELL, messages=MESSAGES[:2])) == [Sort.LOST]


@pytest.mark.parametrize("state", ["pending", "off", "refused"])
def test_recorded_and_not_told(state: str) -> None:
    """An event that still waits, or was given up, is not told."""
    lines = [*LINES[:2], Line(HAPPENINGS[2].key, state, None)]
    assert sorts(replace(WELL, lines=lines, messages=MESSAGES[:2])) == [Sort.UNTOLD]


def test_doubled() -> None:
    """A second message about the same event needs an excuse."""
    twice = [*MESSAGES, replace(told(4), text=MESSAGES[2].text)]
    assert sorts(replace(WELL, messages=twice)) == [Sort.TWICE]


def test_doubled_by_a_kill() -> None:
    """A kill right after a message was accepted excuses one repetition, and tells so."""
    messages = [told(1), told(2), replace(told(3), message_id=9), told(3)]
    kill = Cause(second(4), "kill", second(1))
    verdict = judge(replace(WELL, messages=messages, causes=[kill]))
    assert (verdict.objections, verdict.repeats) == ([], {"kill": 1})


def test_a_kill_excuses_one_message_only() -> None:
    """Two messages too many, one kill: one of them is objected to."""
    extra = [replace(told(3), message_id=number) for number in (8, 9)]
    kill = Cause(second(4), "kill", second(1))
    assert sorts(replace(WELL, messages=[*MESSAGES, *extra], causes=[kill])) == [Sort.TWICE]


@pytest.mark.parametrize("at", [-5.0, 60.0])
def test_a_kill_at_another_time_excuses_nothing(at: float) -> None:
    """Only what went shortly before the kill may be unknown to the next process."""
    extra = replace(told(3), message_id=9)
    kill = Cause(second(at), "kill", second(at - 3))
    assert sorts(replace(WELL, messages=[*MESSAGES, extra], causes=[kill])) == [Sort.TWICE]


def test_swapped() -> None:
    """Single messages come in the order of the log."""
    swapped = [MESSAGES[0], MESSAGES[2], MESSAGES[1]]
    assert sorts(replace(WELL, messages=swapped)) == [Sort.DISORDERED]


def test_a_late_row_may_be_told_later() -> None:
    """Nobody can tell what Harbor does not show yet."""
    happenings = [HAPPENINGS[0], happening(2, is_late=True), HAPPENINGS[2]]
    assert sorts(Evidence(happenings, LINES, [MESSAGES[0], MESSAGES[2], MESSAGES[1]], [])) == []


def test_message_about_something_else() -> None:
    """The message that is said to tell an event must name it."""
    messages = [told(1), told(2, tag=77), told(3)]
    assert sorts(replace(WELL, messages=messages)) == [Sort.NOT_NAMED]


def test_summary_counts_its_events() -> None:
    """What is folded is counted in the message that folds it."""
    lines = [Line(each.key, "folded", 1) for each in HAPPENINGS]
    for count, expected in ((3, []), (2, [Sort.MISCOUNTED])):
        summary = Told(1, f"📚 Many\nTotal: {count} events", second(4))
        assert sorts(Evidence(HAPPENINGS, lines, [summary], [])) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("📥 Pulls\nRepository: team/app\nPulls: ×3", []),
        ("📥 Pulls\nRepository: team/app\nPulls: ×4", [Sort.MISCOUNTED]),
        ("🧹 Clean-up\nTotal: 2 images, 1 tag", []),
        ("🧹 Clean-up\nTotal: 2 images, 2 tags", [Sort.MISCOUNTED]),
        ("📦 New push\nteam/app\nTags: v000001, v000002, v000003", []),
        ("📦 New push\nteam/app\nTags: v000001, v000002", [Sort.MISCOUNTED]),
    ],
)
def test_group_tells_its_events(text: str, expected: list[Sort]) -> None:
    """It counts them, or names each."""
    lines = [Line(each.key, "sent" if not number else "folded", 1, "g") for number, each in enumerate(HAPPENINGS)]
    assert sorts(Evidence(HAPPENINGS, lines, [Told(1, text, second(4))], [])) == expected


def test_what_a_message_named_before_it_was_changed_is_not_told() -> None:
    """Whoever looks now does not find it. What was written into the message last counts."""
    lines = [Line(each.key, "sent" if not number else "folded", 1, "g") for number, each in enumerate(HAPPENINGS)]
    now = "📦 New push\nteam/app\nTags: v000002, v000003"
    assert sorts(Evidence(HAPPENINGS, lines, [Told(1, now, second(4))], [])) == [Sort.MISCOUNTED]


def edited(*texts: str) -> Told:
    """A message with these texts one after the other, the first change 10 s after noon, a second between two."""
    changes = tuple(Change(text, second(10 + number)) for number, text in enumerate(texts[:-1]))
    return Told(1, texts[-1], second(4), changes)


def lost(at: float) -> Cause:
    return Cause(second(at), "garbled", second(at))


@pytest.mark.parametrize(
    ("message", "causes", "expected"),
    [
        (edited("Total: 2 images", "Total: 3 images"), [lost(10)], []),
        (edited("Total: 2 images", "Total: 3 images"), [], [Sort.MISCOUNTED]),
        (edited("Total: 2 images", "Total: 3 images"), [lost(60)], [Sort.MISCOUNTED]),
        (edited("Total: 1 image", "Total: 3 images"), [lost(10)], [Sort.MISCOUNTED]),
        (edited("Total: 2 images", "Total: 3 images", "Total: 4 images"), [lost(10), lost(11)], []),
        (edited("Total: 2 images", "Total: 3 images", "Total: 4 images"), [lost(11)], [Sort.MISCOUNTED]),
    ],
)
def test_an_edit_that_nobody_heard_of(message: Told, causes: list[Cause], expected: list[Sort]) -> None:
    """It was taken, the chat moved before it could be made again, and what it told was told anew: with a cause."""
    lines = [Line(each.key, "folded" if number else "sent", 1, "g") for number, each in enumerate(HAPPENINGS[:2])]
    lines.append(Line(HAPPENINGS[2].key, "sent", 3, "g"))
    told_anew = Told(3, MESSAGES[2].text, second(70))
    verdict = judge(Evidence(HAPPENINGS, lines, [message, told_anew], causes))
    assert [objection.sort for objection in verdict.objections] == expected
    assert verdict.repeats == ({} if expected else {"garbled": len(causes)})


def test_a_cause_excuses_a_message_or_an_edit() -> None:
    """Not one of each."""
    lines = [Line(each.key, "sent" if not number else "folded", 1, "g") for number, each in enumerate(HAPPENINGS)]
    messages = [edited("Total: 3 images", "Total: 4 images"), Told(9, MESSAGES[2].text, second(10))]
    for causes, expected in (([lost(10)], [Sort.MISCOUNTED]), ([lost(10), lost(10)], [])):
        assert sorts(Evidence(HAPPENINGS, lines, messages, causes)) == expected


def test_what_is_objected_to_is_shown() -> None:
    """Whoever reads it sees the message."""
    lines = [Line(each.key, "folded", 1) for each in HAPPENINGS]
    summary = Told(1, "📚 Many\nTotal: 2 events", second(4))
    [objection] = judge(Evidence(HAPPENINGS, lines, [summary], [])).objections
    assert "Total: 2 events" in objection.text


def test_only_the_first_message_of_a_group_has_its_place() -> None:
    """What joins it later is told later, without that anything were out of order; another's first message is."""
    swapped = [MESSAGES[0], replace(told(3), message_id=2), replace(told(2), message_id=3)]
    keys = [HAPPENINGS[0].key, HAPPENINGS[2].key, HAPPENINGS[1].key]
    for groups, expected in ((("g", None, "g"), []), ((None, None, "g"), [Sort.DISORDERED])):
        lines = [
            Line(key, "sent", number, group) for number, (key, group) in enumerate(zip(keys, groups, strict=True), 1)
        ]
        assert sorts(Evidence(HAPPENINGS, lines, swapped, [])) == expected


def test_the_next_message_of_a_group_may_name_what_the_first_one_told() -> None:
    """Where that could not be changed: it tells of the same image. Of another one it must not."""
    both = replace(told(3), text=f"{MESSAGES[2].text}\nv000002")
    for group, expected in (("g", []), ("another", [Sort.TWICE])):
        lines = [LINES[0], replace(LINES[1], group="g"), replace(LINES[2], group=group)]
        assert sorts(Evidence(HAPPENINGS, lines, [*MESSAGES[:2], both], [])) == expected


def test_summary_that_is_not_in_the_chat() -> None:
    """All that it is said to tell is lost."""
    lines = [Line(each.key, "folded", 1) for each in HAPPENINGS]
    assert sorts(Evidence(HAPPENINGS, lines, [], [])) == [Sort.LOST]


def test_what_never_happened() -> None:
    """A recorded event that Harbor knows nothing of is an invention."""
    invented = Line("audit_log_ext:99:2026-11-24T12:00:00.000+00:00", "sent", 3)
    assert Sort.UNKNOWN in sorts(replace(WELL, lines=[*LINES, invented]))


def test_false_alarm() -> None:
    """Who tells of a gap that there was not is noisy; of a restored database it may tell once for each."""
    notice = Line("watch:restored:audit_log_ext:2026-11-24T12:00:00+00:00:found", "sent", 4)
    seen = replace(WELL, lines=[*LINES, notice], messages=[*MESSAGES, Told(4, "the database was put back", second(5))])
    assert sorts(seen) == [Sort.FALSE_ALARM]
    assert sorts(replace(seen, restores=1)) == []
    other = replace(notice, key=notice.key.replace("restored", "purged"))
    assert sorts(replace(seen, lines=[*LINES, other], restores=1)) == [Sort.FALSE_ALARM]


def test_recorded_twice() -> None:
    """The same row must not become two events."""
    assert Sort.TWICE in sorts(replace(WELL, lines=[*LINES, LINES[0]]))


def test_one_message_for_two_events() -> None:
    """A single message that names another event, too, would tell that one twice."""
    both = replace(told(3), text=f"{MESSAGES[2].text}\nv000002")
    assert sorts(replace(WELL, messages=[*MESSAGES[:2], both])) == [Sort.TWICE]


def test_no_row_may_show_itself_late_in_a_log_that_is_not_written_down_any_more() -> None:
    """After an upgrade the journal is that of the new log; the product may still tell what comes in the old one."""
    world = World(Generation.V2_12)
    world.create_project("team")
    journal = Journal(world)
    world.hold_row(seconds=60)
    world.push("team/app", "v1", "ann")
    with pytest.raises(AssertionError, match="not visible yet"):
        journal.upgraded()
    world.release()
    journal.upgraded()
    [happening] = journal.happenings.values()
    assert happening.names[0] == "v1"
