"""`events --explain`: why an event went where it went."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from poller.events import ANONYMOUS
from poller.explain import Explanation, Story, Verdict, group_words
from poller.show.events import TONES, name
from poller.show.page import Fact, Facts, Page, Part, Tone
from poller.words import local, number
from state import DeliveryState, Fate


def explanation_page(explained: Explanation, zone: tzinfo) -> Page:
    return [Facts(tuple(_facts(explained, zone)))]


def _facts(explained: Explanation, zone: tzinfo) -> Iterator[Fact]:
    event, today = explained.seen.event, explained.today
    what = f"{event.type} {name(event)} by {event.operator or ANONYMOUS}, {local(event.occurred_at, zone)}"
    is_told = today.state is DeliveryState.PENDING
    yield Fact("event", (Part(what, Tone.STRONG),))
    yield Fact("key", (Part(event.key),))
    yield Fact("found in", (Part(f"{explained.row}; seen at {local(explained.seen.seen_at, zone)}"),))
    yield Fact("settings", (Part(f"today: {'it is told' if is_told else f'{today.state}, {today.reason}'}"),))
    yield Fact("routes", tuple(Part(f"{v.route}: {_verdict(v)}", _tone(v)) for v in explained.verdicts))
    told = tuple(
        Part(f"{story.fate.record.route}: {_story(story, zone)}", TONES[story.fate.record.state])
        for story in explained.stories
    )
    yield Fact("recorded", told or (Part("nothing"),))
    yield from (Fact("group", (Part(_group(group)),)) for group in explained.groups)
    yield Fact("times", (Part(f"in {zone}", Tone.FAINT),))


def _group(group: str) -> str:
    words = group_words(group)
    return group if words == group else f"{words} ({group})"


def _tone(verdict: Verdict) -> Tone:
    return Tone.USUAL if verdict.is_taken and not verdict.reason else Tone.FAINT


def _verdict(verdict: Verdict) -> str:
    if verdict.is_taken is None:
        return f"is not asked, as {verdict.reason}"
    if not verdict.is_taken:
        return f"does not take it: {verdict.reason}"
    return f"takes it, and does not tell it: {verdict.reason}" if verdict.reason else "takes it"


def _story(story: Story, zone: tzinfo) -> str:
    fate, record = story.fate, story.fate.record
    at = f" at {local(fate.finished_at, zone)}" if fate.finished_at else ""
    reason = f" ({record.reason})" if record.reason else ""
    match record.state:
        case DeliveryState.SENT:
            return f"sent as message {record.message_id} of {record.chat_id}{at}{reason}"
        case DeliveryState.FOLDED:
            where = f" of {record.chat_id}{at}" if record.chat_id else ""
            return f"{record.reason or 'folded'}{where}, because {story.why_together}"
        case DeliveryState.OFF | DeliveryState.REFUSED:
            return f"{record.state}: {record.reason}"
    return f"pending since {local(fate.since, zone)}, {_next_attempt(story, zone)}{_tried(fate)}"


def _next_attempt(story: Story, zone: tzinfo) -> str:
    if not story.is_configured:
        return "and goes by the routes of today at the next start"
    if story.next_attempt is None:
        return "next attempt as soon as the chat's pace and what is before it allow"
    return f"next attempt at {local(story.next_attempt, zone)}"


def _tried(fate: Fate) -> str:
    return f"; tried {number(fate.attempts, 'time')} in vain ({fate.record.reason})" if fate.attempts else ""
