"""What is promised, checked against what Harbor's stand-in did and what Telegram's accepted. Pure.

Nothing missed, nothing twice, in the order of the log, and nothing that Telegram had to refuse.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

TOLD = frozenset({"sent", "folded"})
NOTICE = "watch:"
"""How the keys of events begin in which the product tells of itself what it could not see."""
RESTORED = "watch:restored:"
CLOSE = timedelta(seconds=0.2)
"""Between what happened, and the moment that the harness has written down for it."""


@dataclass(frozen=True, slots=True)
class Happening:
    """A row of Harbor's log. `order`: its place in it, over restored databases and upgrades too.

    `names`: any one of them stands in the message that tells it alone. `is_late`: it was not visible at once, so
    that later ones may rightly be told before it.
    """

    key: str
    order: tuple[int, int]
    at: datetime
    emoji: str
    repository: str
    names: tuple[str, ...]
    is_late: bool = False

    def is_named_in(self, text: str) -> bool:
        return text.startswith(self.emoji) and self.repository in text and any(name in text for name in self.names)


@dataclass(frozen=True, slots=True)
class Line:
    """What `events --json` says of an event."""

    key: str
    state: str
    message_id: int | None
    group: str | None = None
    """What is told as one with it; `events` does not say it, the state does."""


@dataclass(frozen=True, slots=True)
class Change:
    """An edit that Telegram accepted, and the text before it."""

    before: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """A message that Telegram accepted, as people see it in the end, and what was changed in it, oldest first."""

    message_id: int
    text: str
    at: datetime
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a message may have been sent again: `kill`, or how the answer was lost.

    Each excuses one message, or one edit, which went between `since` and `at`.
    """

    at: datetime
    reason: str
    since: datetime


class Sort(StrEnum):
    LOST = "lost"
    UNKNOWN = "unknown"
    UNTOLD = "untold"
    TWICE = "twice"
    NOT_NAMED = "not named"
    MISCOUNTED = "miscounted"
    DISORDERED = "out of order"
    FALSE_ALARM = "false alarm"
    BEHAVIOUR = "behaviour"


@dataclass(frozen=True, slots=True)
class Objection:
    sort: Sort
    text: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    happenings: Sequence[Happening]
    lines: Sequence[Line]
    messages: Sequence[Told]
    causes: Sequence[Cause]
    restores: int = 0
    """How often Harbor's database was put back: the product may tell of each once, and of nothing else."""


@dataclass(slots=True)
class Verdict:
    objections: list[Objection] = field(default_factory=list)
    repeats: Counter[str] = field(default_factory=Counter)
    """How many messages were told again, by what excuses them."""
    singles: int = 0

    def count(self, *sorts: Sort) -> int:
        return sum(objection.sort in sorts for objection in self.objections)


def judge(evidence: Evidence) -> Verdict:
    verdict = Verdict()
    lines = {line.key: line for line in evidence.lines}
    told_by = _told_by(evidence.happenings, lines)
    sizes = Counter(line.message_id for line in evidence.lines if line.message_id is not None)
    causes = sorted(evidence.causes, key=lambda cause: cause.at)
    extra = [message for message in evidence.messages if message.message_id not in sizes]
    verdict.objections += _unexcused(extra, causes, verdict.repeats)
    messages = list(_as_known(evidence.messages, sizes, told_by, causes, verdict.repeats))
    singles = [
        (message, told_by[message.message_id][0])
        for message in messages
        if message.message_id in told_by and sizes[message.message_id] == 1
    ]
    verdict.singles = len(singles)
    verdict.objections += _lost(evidence.happenings, lines)
    verdict.objections += _unknown(evidence.happenings, evidence.lines)
    verdict.objections += _false_alarms(evidence)
    verdict.objections += _not_in_chat(evidence, sizes)
    verdict.objections += _misnamed(singles)
    verdict.objections += _miscounted(messages, sizes, told_by)
    verdict.objections += _told_without_record(evidence.happenings, singles, lines)
    verdict.objections += _disordered(_first_told(evidence, told_by, lines))
    return verdict


def _lost(happenings: Sequence[Happening], lines: Mapping[str, Line]) -> Iterator[Objection]:
    for happening in happenings:
        line = lines.get(happening.key)
        if line is None:
            yield Objection(Sort.LOST, f"{_name(happening)} was never recorded", happening.at)
        elif line.state not in TOLD or line.message_id is None:
            yield Objection(Sort.UNTOLD, f"{_name(happening)} is {line.state}, and not told", happening.at)


def _unknown(happenings: Sequence[Happening], lines: Sequence[Line]) -> Iterator[Objection]:
    """Recorded, though it never happened; or recorded twice."""
    known = {happening.key for happening in happenings}
    for key, times in Counter(line.key for line in lines).items():
        if key not in known and not key.startswith(NOTICE):
            yield Objection(Sort.UNKNOWN, f"{key} was recorded, and never happened")
        elif times > 1:
            yield Objection(Sort.TWICE, f"{key} was recorded {times} times")


def _false_alarms(evidence: Evidence) -> Iterator[Objection]:
    """What the product says that it could not see, though it could."""
    notices = [line for line in evidence.lines if line.key.startswith(NOTICE)]
    restored = [line for line in notices if line.key.startswith(RESTORED)]
    for line in notices:
        if line not in restored:
            yield Objection(Sort.FALSE_ALARM, f"{line.key} was told, and never happened")
    if len(restored) > evidence.restores:
        keys = ", ".join(line.key for line in restored)
        yield Objection(Sort.FALSE_ALARM, f"{len(restored)} restored databases, but only {evidence.restores}: {keys}")


def _told_by(happenings: Sequence[Happening], lines: Mapping[str, Line]) -> dict[int, list[Happening]]:
    """By message, what the product says that it tells."""
    found: dict[int, list[Happening]] = defaultdict(list)
    for happening in happenings:
        line = lines.get(happening.key)
        if line is not None and line.message_id is not None:
            found[line.message_id].append(happening)
    return dict(found)


def _not_in_chat(evidence: Evidence, sizes: Mapping[int, int]) -> Iterator[Objection]:
    """The product's word for it is not enough."""
    there = {message.message_id for message in evidence.messages}
    for message_id in sizes.keys() - there:
        keys = [line.key for line in evidence.lines if line.message_id == message_id]
        yield Objection(Sort.LOST, f"message {message_id} is not in the chat; it is to tell {', '.join(keys[:5])}")


def _as_known(
    messages: Sequence[Told],
    sizes: Mapping[int, int],
    told_by: Mapping[int, Sequence[Happening]],
    causes: list[Cause],
    repeats: Counter[str],
) -> Iterator[Told]:
    """Each message without the edits that the product cannot know of, for their answers were lost.

    It makes such an edit again. Where the chat has moved meanwhile it cannot: what the edit told is told anew, and the
    message shows more than the product knows. Each takes a cause, as a message does that is sent again.
    """
    for message in messages:
        size, told = sizes.get(message.message_id, 0), told_by.get(message.message_id, ())
        known, taken = message, list[Cause]()
        while known.changes and _is_wrong(known, size, told):
            *rest, last = known.changes
            cause = _cause_of(last.at, [each for each in causes if each not in taken])
            if cause is None:
                break
            taken.append(cause)
            known = replace(known, text=last.before, changes=tuple(rest))
        if _is_wrong(known, size, told):
            yield message
            continue
        for cause in taken:
            causes.remove(cause)
            repeats[cause.reason] += 1
        yield known


def _is_wrong(message: Told, size: int, told: Sequence[Happening]) -> bool:
    """Whether it neither counts nor names all that it is said to tell: what is told alone, is named."""
    counted = _counted(message.text)
    if size < 2:
        return any(not each.is_named_in(message.text) for each in told)
    if counted is not None:
        return counted != size
    return len(told) != size or any(not each.is_named_in(message.text) for each in told)


def _misnamed(singles: Sequence[tuple[Told, Happening]]) -> Iterator[Objection]:
    for message, happening in singles:
        if _is_wrong(message, 1, [happening]):
            text = f"message {message.message_id} does not name {_name(happening)}: {message.text.splitlines()}"
            yield Objection(Sort.NOT_NAMED, text, message.at)


def _miscounted(
    messages: Sequence[Told], sizes: Mapping[int, int], told_by: Mapping[int, Sequence[Happening]]
) -> Iterator[Objection]:
    """What is told with others is counted, all of it; or named, each for itself, in the message as it is in the end."""
    for message in messages:
        size = sizes.get(message.message_id, 0)
        if size > 1 and _is_wrong(message, size, told_by.get(message.message_id, ())):
            text = f"message {message.message_id} does not count {size}: {message.text.splitlines()}"
            yield Objection(Sort.MISCOUNTED, text, message.at)


def _counted(text: str) -> int | None:
    """`Total: 12 images, 3 tags` are 15, `Pulls: ×7` are 7; None: nothing is counted."""
    found = re.search(r"^(?:Total|Pulls): (.*)$", text, re.MULTILINE)
    return sum(map(int, re.findall(r"\d+", found[1]))) if found else None


def _told_without_record(
    happenings: Sequence[Happening], singles: Sequence[tuple[Told, Happening]], lines: Mapping[str, Line]
) -> Iterator[Objection]:
    """A message that the product knows names an event which it says was told by another one.

    Not of the same group: where a message could not be changed, the next one tells of the same image.
    """
    by_text: dict[tuple[str, str], list[Happening]] = defaultdict(list)
    for happening in happenings:
        for name in happening.names:
            by_text[happening.emoji, name].append(happening)
    for message, known in singles:
        group = lines[known.key].group
        for other in _named_besides(message, known, by_text):
            line = lines.get(other.key)
            if group is None or line is None or line.group != group:
                text = f"message {message.message_id} names {_name(other)} besides {_name(known)}"
                yield Objection(Sort.TWICE, text, message.at)


def _named_besides(
    message: Told, known: Happening, by_text: Mapping[tuple[str, str], Sequence[Happening]]
) -> Iterator[Happening]:
    words = {word.strip() for line in message.text.splitlines() for word in line.split()}
    for word in words:
        for other in by_text.get((message.text[: len(known.emoji)], word), ()):
            if other.key != known.key and other.is_named_in(message.text):
                yield other


def _unexcused(extra: Sequence[Told], causes: list[Cause], repeats: Counter[str]) -> Iterator[Objection]:
    """Messages that the product does not know of. Each needs a cause of its own, which is none for others then."""
    for message in sorted(extra, key=lambda each: each.at):
        cause = _cause_of(message.at, causes)
        if cause is None:
            first = message.text.splitlines()[:3]
            yield Objection(Sort.TWICE, f"message {message.message_id} is one too many: {first}", message.at)
        else:
            causes.remove(cause)
            repeats[cause.reason] += 1


def _cause_of(at: datetime, causes: Iterable[Cause]) -> Cause | None:
    """The first that is left of those which excuse what went at that moment."""
    near = [cause for cause in causes if cause.since - CLOSE <= at <= cause.at + CLOSE]
    return min(near, key=lambda cause: cause.at, default=None)


def _first_told(
    evidence: Evidence, told_by: Mapping[int, Sequence[Happening]], lines: Mapping[str, Line]
) -> list[tuple[Told, Happening]]:
    """Each message with the event that it was sent for: of a group only its first one. A digest has no place."""
    first: dict[str, int] = {}
    for line in evidence.lines:
        if line.group is not None and line.message_id is not None:
            first[line.group] = min(first.get(line.group, line.message_id), line.message_id)
    found = []
    for message in evidence.messages:
        told = told_by.get(message.message_id, ())
        sent = next((each for each in told if lines[each.key].state == "sent"), None)
        group = lines[sent.key].group if sent else None
        if sent and (len(told) == 1 if group is None else first[group] == message.message_id):
            found.append((message, sent))
    return found


def _disordered(singles: Sequence[tuple[Told, Happening]]) -> Iterator[Objection]:
    newest: Happening | None = None
    for message, happening in singles:
        if happening.is_late:
            continue
        if newest is not None and happening.order < newest.order:
            text = f"message {message.message_id} tells {_name(happening)} after {_name(newest)}"
            yield Objection(Sort.DISORDERED, text, message.at)
        else:
            newest = happening


def _name(happening: Happening) -> str:
    return f"{happening.key} ({happening.emoji} {happening.repository} {happening.names[0]})"
