"""What grows while it is told: an image and what belongs to it, its pulls, a run of deeds. Each is one message."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

import formatters
from poller.config import Config
from poller.events import Event, EventType
from poller.kin import cosign_tag
from poller.knowledge import PlatformFact
from poller.plan import PULLS, PUSH
from state import Member, Store

ATTESTATION = "attestation"


class Image(msgspec.Struct, frozen=True):
    """What the name of a group of a push says: `push:team/app@sha256:…#…`, or with a tag if no digest is known."""

    repository: str
    digest: str | None
    tag: str | None

    @classmethod
    def of(cls, group: str) -> Image:
        place = group.removeprefix(PUSH).partition("#")[0]
        repository, is_digest, digest = place.partition("@")
        if is_digest:
            return cls(repository, digest, None)
        repository, _, tag = place.rpartition(":")
        return cls(repository, None, tag)

    def is_pushed_by(self, event: Event) -> bool:
        if event.type is not EventType.PUSH_ARTIFACT:
            return False
        return event.digest == self.digest if self.digest is not None else event.tag == self.tag


class Growing:
    """Tells growing groups of a route. Names lead to Harbor's portal, where a project's number there is known."""

    def __init__(self, store: Store, config: Config, language: str) -> None:
        self._store = store
        self._projects: dict[str, int] = {}
        portal = formatters.Portal(config.harbor.url, self._project_id) if config.delivery.links else None
        self.style = formatters.Style(language, config.timezone, config.escape_chars, portal)

    def told(self, group: str, message: tuple[str, int] | None = None) -> tuple[str, tuple[int, ...]] | None:
        """The text, and the deliveries that are told by it and were not yet; None: the image has not come.

        `message`: the one of a chat that gets this text. It counts what it told and what is new, and nothing that
        another one told before.
        """
        if group.startswith(PUSH):
            members = (member for member in self._store.in_group(group) if not member.is_off)
            return self._family(Image.of(group), list(members))
        pulls, run, ids = formatters.Pulls(), formatters.Run(), list[int]()
        for member in self._store.in_group(group, is_waiting=True, or_told_by=message):
            if group.startswith(PULLS):
                pulls.add(member.event)
            else:
                run.add(member.event, is_part=_is_part(member.event))
            if member.waits:
                ids.append(member.id)
        return (pulls if group.startswith(PULLS) else run).message(self.style), tuple(ids)

    def _family(self, image: Image, members: Sequence[Member]) -> tuple[str, tuple[int, ...]] | None:
        events = [member.event for member in members]
        head = next(filter(image.is_pushed_by, events), None)
        if head is None:
            return None
        text = formatters.family_message(head, events, self._kin(image, events), self.style)
        return text, tuple(member.id for member in members if member.waits)

    def _kin(self, image: Image, events: Sequence[Event]) -> formatters.Family:
        """What belongs to the image, by what is known of it today. Who signed its platforms did not sign it itself."""
        if image.digest is None:
            return formatters.Family()
        parts = self._parts(image.repository, image.digest, events)
        platforms = {part.digest: part.platform for part in parts if part.is_image}
        facts = self._store.accessories_of(image.repository, [image.digest, *(part.digest for part in parts)])
        of_others = [fact for fact in facts if formatters.is_signature(fact.kind) and fact.subject != image.digest]
        attached = [fact.kind for fact in facts if fact not in of_others]
        attached += [ATTESTATION for part in parts if not part.is_image]
        signed = {fact.subject for fact in of_others} & platforms.keys()
        return formatters.Family(tuple(platforms.values()), tuple(attached), len(signed))

    def _parts(self, repository: str, index: str, events: Sequence[Event]) -> list[PlatformFact]:
        """What the index lists, and what was pushed for it and has become a part of another one since."""
        parts = {part.digest: part for part in self._store.platforms_of(repository, index)}
        pushed = {event.digest for event in events if event.type is EventType.PUSH_ARTIFACT and event.digest}
        moved = self._store.platforms(repository, pushed - parts.keys() - {index})
        return list((parts | moved).values())

    def _project_id(self, name: str) -> int | None:
        """A project keeps its number; what is not known today may be tomorrow."""
        if name not in self._projects and (fact := self._store.project(name)) and fact.project_id is not None:
            self._projects[name] = fact.project_id
        return self._projects.get(name)


def _is_part(event: Event) -> bool:
    """Whether it is about what belongs to an image: people are told of the image."""
    is_unnamed_push = event.type is EventType.PUSH_ARTIFACT and event.tag is None
    return is_unnamed_push or cosign_tag(event.tag) is not None
