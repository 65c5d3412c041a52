"""A run of deletions or pushes, told once: what it was, how much of it, and behind a quotation each repository."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from formatters.groups import BOUNDED, Group, Groups, Tally
from formatters.lines import Line, composed
from formatters.listing import listed
from formatters.markdown import LIMIT, escape, plain, quotation, shorten, units
from formatters.messages import message
from formatters.periods import Span
from formatters.texts import EMOJI, RUN_EMOJI, Label, RunKind, Style, Texts
from poller.events import SCAN_TYPES, Event, EventType

_JOBSERVICE = "harbor-jobservice"  # the operator of what Harbor does by itself
_PUSHES = frozenset({EventType.PUSH_ARTIFACT})
_WHOLE: Mapping[EventType, RunKind] = {
    EventType.PROJECT_DELETED: RunKind.PROJECTS,
    EventType.REPOSITORY_DELETED: RunKind.REPOSITORIES,
}
"""What takes everything in it along; the larger first."""
_DELETIONS = frozenset({EventType.DELETE_ARTIFACT, EventType.TAG_DELETED, *_WHOLE})

_MOST_KEPT = 100
_MOST_TOLD = 5
_LONGEST_NAME = 255


class Run:
    """Takes in any number of deletions or pushes that belong together, and tells them in one message.

    Names are kept of the first few hundred repositories; the rest is counted. A single event is told as ever.
    """

    def __init__(self) -> None:
        self._first: Event | None = None
        self._span = Span()
        self._kinds: Counter[EventType] = Counter()
        self._groups = Groups(BOUNDED)
        self._operators = Tally(_MOST_KEPT)
        self._projects = Tally(_MOST_KEPT)
        self._repositories = Tally(BOUNDED.groups)
        self._whole = {kind: Tally(_MOST_KEPT) for kind in _WHOLE}
        self._parts = 0

    def add(self, event: Event, *, is_part: bool = False) -> None:
        """Count one event. `is_part`: what belongs to an image, such as a signature, is only counted."""
        self._first = self._first or event
        self._span.add(event.occurred_at)
        if is_part:
            self._parts += 1
            return
        self._kinds[event.type] += 1
        self._groups.add(event)
        self._operators.add(event.operator)
        self._projects.add(event.repository.namespace if event.repository else event.subject)
        if event.repository is not None:
            self._repositories.add(event.repository.full_name)
        if event.type in self._whole:
            self._whole[event.type].add(event.repository.full_name if event.repository else event.subject)

    def message(self, style: Style) -> str:
        """The message in MarkdownV2."""
        if self._first is not None and self._kinds.total() + self._parts == 1:
            return message(self._first, style)
        emoji, title = self._title(style.texts)
        heading = composed(emoji, title, list(self._lines(style)), style, LIMIT // 2)
        room = LIMIT - units(plain(heading)) - 1
        groups = sorted(self._groups, key=_is_part)
        several = not self._operators.is_one
        lines = listed(groups, room, style, rest=self._groups.rest, with_operators=several)
        return f"{heading}\n{quotation([escape(line, style.extra_escapes) for line in lines])}" if lines else heading

    def _title(self, texts: Texts) -> tuple[str, str]:
        kind = self._kind()
        for single, many in _WHOLE.items():
            if kind is many and self._whole[single].is_one:
                return EMOJI[single], texts.titles[single]
        return RUN_EMOJI[kind], texts.runs[kind].format(deleted=self._deleted(texts), project=self._project())

    def _kind(self) -> RunKind:
        kinds = self._kinds.keys() - SCAN_TYPES  # results of what was pushed
        if not kinds or not (kinds <= _PUSHES or kinds <= _DELETIONS):
            return RunKind.MIXED
        whole = next((kind for single, kind in _WHOLE.items() if single in kinds), None)
        if whole is not None and self._is_all_of_it(whole):
            return whole
        if kinds <= _PUSHES:
            return RunKind.PUSHES
        is_harbors = self._operators.is_one and _JOBSERVICE in self._operators.names
        return RunKind.CLEAN_UP if is_harbors else RunKind.DELETIONS

    def _is_all_of_it(self, whole: RunKind) -> bool:
        """Whether nothing else was deleted than what was in it."""
        if whole is RunKind.PROJECTS:
            return self._projects.names.keys() <= self._whole[EventType.PROJECT_DELETED].names.keys()
        return self._repositories.names.keys() <= self._whole[EventType.REPOSITORY_DELETED].names.keys()

    def _deleted(self, texts: Texts) -> str:
        kind = EventType.DELETE_ARTIFACT if self._kinds[EventType.DELETE_ARTIFACT] else EventType.TAG_DELETED
        return texts.deleted[kind](self._kinds[kind])

    def _project(self) -> str:
        """The project that everything went into, if it is one."""
        return shorten(self._projects.summary(1), _LONGEST_NAME) if self._projects.is_one else "Harbor"

    def _lines(self, style: Style) -> Iterator[Line]:
        texts, label = style.texts, Label.PUSHER if self._kind() is RunKind.PUSHES else Label.USER
        yield from self._places(style)
        yield Line(texts.labels[Label.COUNT], ", ".join(self._counts(texts)) or texts.events(self._parts))
        if self._parts and self._kinds:
            yield Line(texts.labels[Label.ATTACHED], f"+{self._parts}")
        yield Line(texts.labels[Label.PERIOD], self._span.told(style))
        if self._first is not None:
            yield Line(texts.labels[label], self._operators.summary(_MOST_TOLD))

    def _places(self, style: Style) -> Iterator[Line]:
        """What was deleted as a whole, by name; otherwise the repository, or how many there are."""
        labels, projects = style.texts.labels, self._whole[EventType.PROJECT_DELETED]
        if self._kind() is RunKind.PROJECTS:
            yield Line(labels[Label.PROJECT], projects.summary(_MOST_TOLD))
        gone = self._whole[EventType.REPOSITORY_DELETED]
        if gone.names and self._repositories.names.keys() <= gone.names.keys():
            yield Line(labels[Label.REPOSITORY if gone.is_one else Label.REPOSITORIES], gone.summary(_MOST_TOLD))
        elif self._repositories.is_one:
            yield self._repository(style)
        elif self._repositories.names:
            count = str(len(self._repositories.names))
            at_least = style.texts.at_least.format(count=count)
            yield Line(labels[Label.REPOSITORIES], at_least if self._repositories.others else count)

    def _repository(self, style: Style) -> Line:
        event, gone = self._first, self._kinds[EventType.PROJECT_DELETED]
        address = style.portal.repository(event) if style.portal and event and not gone else ""
        return Line(style.texts.labels[Label.REPOSITORY], self._repositories.summary(1), address=address)

    def _counts(self, texts: Texts) -> Iterator[str]:
        """`12 images, 3 tags`; of events that are not of one kind, what was done: `Pushes: 2`."""
        is_mixed = self._kind() is RunKind.MIXED
        for kind in sorted(self._kinds, key=list(EventType).index):
            count = self._kinds[kind]
            is_named = is_mixed or kind in SCAN_TYPES
            yield f"{texts.kinds[kind]}: {count}" if is_named else texts.counted[kind](count)


def _is_part(group: Group) -> bool:
    """What was deleted as a whole stands first in the list, and is cut last."""
    return group.type not in _WHOLE
