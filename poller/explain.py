"""Why an event went where it went, for `events --explain`: what was recorded, and what would be decided today."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from poller.config import Config
from poller.errors import ConfigError
from poller.events import Event, Source
from poller.plan import IMAGE, PULLS, PUSH, RUN, WAVE
from poller.routes import Asked, Route, ask_of_all
from poller.wholes import Wholes
from state import SCANNERS_OWN, DeliveryState, Fate, Mode, Seen, Store, Telling

MOST_COMPARED = 2000
_SEVERAL = 3

_GROUPS = {
    WAVE: "scans that nobody asked for one by one, as of a scan-all",
    IMAGE: "the platforms of an image",
    PUSH: "an image and what belongs to it",
    PULLS: "pulls of an image by one account",
    RUN: "what somebody did again and again",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a route says to the event today. `is_taken` None: it is not asked."""

    route: str
    is_taken: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """What became of the event on a route. `next_attempt`: when, if it waits and that is known; None: when it can."""

    fate: Fate
    is_configured: bool
    next_attempt: datetime | None = None

    @property
    def why_together(self) -> str:
        """Why it has no message of its own; "" where it has, or none."""
        if self.fate.record.state is not DeliveryState.FOLDED:
            return ""
        if self.fate.group is not None:
            return f"it belongs to a group: {group_words(self.fate.group)}"
        if self.fate.record.reason == SCANNERS_OWN:
            return "a scanner does it for a scan, whose result is told"
        if self.fate.mode is Mode.DIGEST:
            return "a digest told what the backfill found"
        return (
            "a digest told it: what was late, more than the chat's pace allows, kept in quiet hours, or due by `every`"
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """`today`: what would be decided now. `verdicts`: of each route, in the order in which they are asked."""

    seen: Seen
    today: Telling
    verdicts: tuple[Verdict, ...]
    stories: tuple[Story, ...]

    @property
    def row(self) -> str:
        return row_words(self.seen.event)

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(story.fate.group for story in self.stories if story.fate.group))

    def to_json(self) -> dict[str, Any]:
        """For programs: names and shapes stay as they are."""
        event = self.seen.event
        return {
            "event": event.to_webhook(),
            "key": event.key,
            "seen_at": self.seen.seen_at.isoformat(),
            "source": str(event.source),
            "row": self.row,
            "today": {"state": str(self.today.state), "reason": self.today.reason},
            "routes": [{"route": v.route, "takes": v.is_taken, "reason": v.reason} for v in self.verdicts],
            "deliveries": [_story_json(story) for story in self.stories],
        }


def explain(key: str, store: Store, config: Config, decide: Callable[[Event], Telling], now: datetime) -> Explanation:
    """Raises ConfigError for a key that no event has."""
    found = store.event(key.strip())
    if found is None:
        raise ConfigError(f"--explain: {_no_such(key.strip(), store)}")
    seen, fates = found
    group = next((fate.group for fate in fates if fate.group), None)
    wholes = Wholes(store, config.routes, also_on=[fate.record.route for fate in fates])
    [whole] = wholes.of_stored([Telling(seen.event, DeliveryState.PENDING, group=group)])
    return Explanation(
        seen,
        decide(seen.event),
        verdicts(ask_of_all(whole.along or (seen.event,), config.routes), config.routes, seen.event),
        tuple(_story(fate, store, config, now) for fate in fates),
    )


def verdicts(asked: Sequence[Asked], routes: Sequence[Route], event: Event) -> tuple[Verdict, ...]:
    """What each route says to the event."""
    said = [Verdict(each.route.name, not each.why_not, each.why_not or each.route.why_off(event)) for each in asked]
    last = asked[-1].route.name if asked else ""
    unasked = [Verdict(route.name, None, f'"{last}" took it, without continue') for route in routes[len(asked) :]]
    return (*said, *unasked)


def row_words(event: Event) -> str:
    """Where the event was found."""
    match event.source:
        case Source.SCAN:
            report = event.scan.report.get("report_id") if event.scan else None
            return f"the scan overview of {event.digest}{f', report {report}' if report else ''}"
        case Source.WATCH:
            return "no row: this program noticed it itself"
    return f"row {event.source_id} of {event.source}"


def group_words(group: str) -> str:
    """What is told together under such a name."""
    return next((words for prefix, words in _GROUPS.items() if group.startswith(prefix)), group)


def _story(fate: Fate, store: Store, config: Config, now: datetime) -> Story:
    route = next((each for each in config.telling_routes if each.name == fate.record.route), None)
    if route is None or fate.record.state is not DeliveryState.PENDING:
        return Story(fate, is_configured=route is not None)
    blocked = store.for_route(route.name).route(str(route.chat_id), route.message_thread_id).blocked_until
    later = [moment for moment in (blocked, fate.held_until) if moment is not None and moment > now]
    return Story(fate, is_configured=True, next_attempt=max(later, default=None))


def _no_such(key: str, store: Store) -> str:
    near = store.keys_with(key, most=_SEVERAL) if key else ()
    near = near or tuple(difflib.get_close_matches(key, store.keys_with("", most=MOST_COMPARED), n=1, cutoff=0.8))
    hint = f"did you mean {' or '.join(near)}?" if near else 'take the "key" that `events --json` shows'
    return f"no recorded event has the key {key!r}: {hint}; what is older than [state] keep may be forgotten"


def _story_json(story: Story) -> dict[str, Any]:
    fate, record = story.fate, story.fate.record
    return {
        "route": record.route,
        "state": str(record.state),
        "reason": record.reason,
        "chat_id": record.chat_id,
        "message_id": record.message_id,
        "since": fate.since.isoformat(),
        "attempts": fate.attempts,
        "finished_at": fate.finished_at.isoformat() if fate.finished_at else None,
        "next_attempt": story.next_attempt.isoformat() if story.next_attempt else None,
        "group": fate.group,
        "why_together": story.why_together,
        "is_configured": story.is_configured,
    }
