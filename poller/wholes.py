"""Where a part goes: what belongs to an image is told where the image is, and an image may have several tags.

Asked for only where routes look at tags or operators: in all else a part is like its whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from poller.events import SCAN_TYPES, Event, EventType
from poller.families import recalled
from poller.folding import Folded
from poller.kin import cosign_tag, is_head
from poller.knowledge import TagFact
from poller.plan import PULLS
from poller.routes import DEFAULT, Route, tag_of
from poller.values import replace
from state import DeliveryState, Store, Telling


class Wholes:
    """Finds the wholes of parts: the pushes of their images, the pull of their index, the tags of their digest."""

    def __init__(self, store: Store, routes: Sequence[Route], *, also_on: Iterable[str] = ()) -> None:
        """`also_on`: names of routes of another day."""
        self._store = store
        self._routes = sorted({DEFAULT, *(route.name for route in routes), *also_on})
        self._is_needed = any(route.takes.tags or route.takes.operators for route in routes)

    def of_page(self, tellings: Sequence[Telling], folded: Folded, learnt: Iterable[TagFact]) -> list[Telling]:
        """The tellings of a page with what they go along with. `learnt`: what the page says of tags."""
        if not self._is_needed:
            return list(tellings)
        page, tags = [each for each in tellings if _may_be_whole(each.event)], list(learnt)
        return [
            replace(each, along=self._whole(each, folded.lines, page, tags))
            if each.state is DeliveryState.PENDING
            else each
            for each in tellings
        ]

    def of_regrouped(self, page: Sequence[Telling], folded: Folded) -> dict[str, tuple[Event, ...]]:
        """What events that wait go along with, in the groups that they were found to belong to; by key."""
        if not self._is_needed:
            return {}
        found = {key: self._store.event(key) for key in folded.regrouped}
        groups, pending = folded.regrouped, DeliveryState.PENDING
        parts = [Telling(seen[0].event, pending, group=groups[key]) for key, seen in found.items() if seen]
        wholes = [each for each in page if _may_be_whole(each.event)]
        return {each.event.key: self._whole(each, folded.lines, wholes, ()) for each in parts}

    def of_stored(self, tellings: Sequence[Telling]) -> list[Telling]:
        """The same of what was recorded before."""
        if not self._is_needed:
            return list(tellings)
        return [replace(each, along=self._whole(each, {}, (), ())) for each in tellings]

    def of_result(self, event: Event, tags: Iterable[str]) -> tuple[Event, ...]:
        """What a scan's result goes along with. `tags`: those of the artifact today."""
        if not self._is_needed:
            return ()
        return _named(event, {*tags, *self._tags(event, event.image_digests[1:], ())})

    def _whole(
        self,
        telling: Telling,
        lines: Mapping[str, Sequence[str]],
        page: Sequence[Telling],
        learnt: Sequence[TagFact],
    ) -> tuple[Event, ...]:
        event, group = telling.event, telling.group
        if event.repository is None:
            return ()
        if event.type in SCAN_TYPES:
            return _named(event, self._tags(event, event.image_digests, learnt))
        if event.type is EventType.DELETE_ARTIFACT:
            own = [event.digest] if event.digest else []
            return _named(event, self._tags(event, own + ([] if is_head(event) else self._line(event)), learnt))
        if group is None or is_head(event) or event.type not in (EventType.PUSH_ARTIFACT, EventType.PULL_ARTIFACT):
            return ()
        line = lines[event.key] if event.key in lines else self._line(event)
        name = event.repository.full_name
        here = [each.event for each in page if each.group == group and _is_one_of(each.event, name, line)]
        stored = self._store.in_group_of(group, name, line, routes=self._routes) if line else ()
        wholes = [*filter(_may_be_whole, stored), *here]
        if group.startswith(PULLS) and wholes:
            return (min(wholes, key=lambda each: abs(each.occurred_at - event.occurred_at)),)
        return tuple({each.tag: each for each in wholes}.values())

    def _line(self, event: Event) -> list[str]:
        """The digests of what an artifact belongs to, the nearest first, as far as is remembered."""
        assert event.repository
        name, found = event.repository.full_name, cosign_tag(event.tag)
        digests = {digest for digest in (event.digest, found.subject if found else None) if digest}
        kin = recalled(self._store, {name: digests})[name]
        kin.exists |= {found.subject} if found else set()
        return kin.line_of(event)

    def _tags(self, event: Event, digests: Collection[str], learnt: Iterable[TagFact]) -> set[str]:
        """The tags that these have, or had when they were deleted."""
        assert event.repository
        name = event.repository.full_name
        mine = (fact for fact in learnt if fact.repository == name)
        of_page = {fact.tag for fact in mine if (fact.digest or fact.previous) in digests}
        return of_page | (self._store.tags_of(name, digests) if digests else set())


def _may_be_whole(event: Event) -> bool:
    return event.type in (EventType.PUSH_ARTIFACT, EventType.PULL_ARTIFACT) and is_head(event)


def _is_one_of(event: Event, repository: str, digests: Collection[str]) -> bool:
    return event.repository is not None and event.repository.full_name == repository and event.digest in digests


def _named(event: Event, tags: Collection[str]) -> tuple[Event, ...]:
    """The event under each of these tags and its own, those apart that only say what was attached to what."""
    names = {tag for tag in (*tags, tag_of(event)) if tag is not None and cosign_tag(tag) is None}
    return () if names <= {tag_of(event)} else tuple(replace(event, tag=tag) for tag in sorted(names))
