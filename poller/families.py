"""Asking Harbor which pushes belong to which image: only when there is a push that nothing explains yet.

What fails, is refused or is too much stays unknown: then a push is told by itself. It is never lost or late by that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from logging import INFO
from typing import TypeVar

import msgspec

from poller.enrich import Patience
from poller.errors import PollerError
from poller.events import Event
from poller.harbor import Harbor
from poller.kin import SIGNATURE, CosignTag, Kin, cosign_tag, is_head, taught_by
from poller.rows import Artifact
from poller.threads import FAMILY, REMEMBERED, Threads, about_image
from poller.troubles import Trouble
from state import Store

MOST_LATELY, MOST_AT_ONCE = 10, 50
LATELY = timedelta(days=1)
"""What is attached by digest names no image: it is looked for among so many that were pushed last."""

KIN_UNKNOWN = Trouble("push.kin_unknown", "push.kin_still_unknown", "push.kin_known", INFO)
_T = TypeVar("_T")


class Pushes(msgspec.Struct, frozen=True):
    """Pushes into a repository: the new ones, and those before them that were not told yet."""

    repository: str
    new: Sequence[Event]
    waiting: Sequence[Event] = ()
    is_of_run: bool = False  # then they are told as one anyway

    @property
    def heads(self) -> list[Event]:
        return [event for event in self.new if is_head(event)]

    @property
    def others(self) -> list[Event]:
        """What may belong to an image, the new ones first."""
        return [event for event in (*self.new, *self.waiting) if not is_head(event)]


class Families:
    """Finds out which of the pushes into a repository belong together."""

    def __init__(self, harbor: Harbor, store: Store) -> None:
        self._harbor = harbor
        self._store = store
        self.unasked: set[str] = set()  # repositories in which not all could be asked for yet

    def find(self, pushes: Pushes, kin: Kin, threads: Threads, patience: Patience) -> Kin:
        """What is known of these pushes afterwards. `kin`: what is remembered of them."""
        search = _Search(self._harbor, pushes, threads, patience, kin)
        search.heed_answers()
        search.ask_for_several()
        search.heed_tags()
        search.ask_heads()
        search.ask_lately()
        (self.unasked.add if search.is_cut else self.unasked.discard)(pushes.repository)
        return search.kin

    def recalled(self, places: Iterable[Pushes]) -> dict[str, Kin]:
        """What is remembered of the pushes into each repository, and of all that they belong to."""
        return recalled(self._store, {pushes.repository: _named(pushes) for pushes in places})


def recalled(store: Store, digests: Mapping[str, Collection[str]]) -> dict[str, Kin]:
    """What is remembered of these, and of all that they belong to: {repository: digests}."""
    kin = {name: Kin(name) for name in digests}
    seen = {name: set[str]() for name in digests}
    wanted = {name: set(some) for name, some in digests.items()}
    while any(wanted.values()):
        platforms, accessories = store.kin({name: some for name, some in wanted.items() if some})
        for name, some in wanted.items():
            seen[name] |= some
        wanted = {name: set() for name in kin}
        for platform in platforms:
            kin[platform.repository].recall([platform], [])
            wanted[platform.repository].add(platform.index_digest)
        for accessory in accessories:
            kin[accessory.repository].recall([], [accessory])
            wanted[accessory.repository].add(accessory.subject)
        wanted = {name: some - seen[name] for name, some in wanted.items()}
    return kin


def _named(pushes: Pushes) -> set[str]:
    """The digests that pushes name, as their own or as that of what they belong to."""
    digests = {event.digest for event in pushes.others if event.digest}
    return digests | {found.subject for event in pushes.others if (found := cosign_tag(event.tag))}


class _Search(msgspec.Struct):
    """The search in one repository. It ends as soon as nothing is left to explain."""

    harbor: Harbor
    pushes: Pushes
    threads: Threads
    patience: Patience
    kin: Kin
    asked: set[str] = msgspec.field(default_factory=set)
    has_asked_lately: bool = False
    is_cut: bool = False  # there was more to ask than may be asked at once

    def heed_answers(self) -> None:
        """What was asked for the sake of a digest says more than that."""
        for head in self.pushes.heads:
            answer = self.patience.answers.get((self.pushes.repository, head.tag or ""))
            if answer is not None:
                self._learn(answer, head)

    def ask_for_several(self) -> None:
        """Of images that were pushed or signed just now, in one question. It does not answer of platforms."""
        wanted = {found.subject for event in self.pushes.new if (found := self._unproven(event))}
        wanted -= self.kin.platforms.keys()
        if not all(map(self._has_home, self._untagged)):
            wanted |= {head.digest for head in self.pushes.heads if head.digest} - self.asked
        if len(wanted) > 1:
            self._ask_lately(self.pushes.new, most=min(max(MOST_LATELY, len(wanted)), MOST_AT_ONCE))

    def heed_tags(self) -> None:
        """cosign's tags name what they belong to: if there is such an image, that is a fact."""
        for event in self.pushes.others:
            found = cosign_tag(event.tag)
            if found is None or self._has_home(event):
                continue
            is_known = self._is_there(found.subject, event)
            is_to_ask = self._unproven(event) or not (is_known or found.subject in self.asked)
            if is_to_ask and event in self.pushes.new:
                is_known |= self._ask_for(found.subject)
            if is_known:
                self.kin.subject_exists(event, found)

    def ask_heads(self) -> None:
        """Harbor says of what the images are made that were pushed just now; the newest are asked for first."""
        for head in reversed(self.pushes.heads):
            if all(map(self._has_home, self.pushes.others)):
                return
            if head.digest is not None and head.digest not in self.asked:
                self._ask_for(head.digest, head)

    def ask_lately(self) -> None:
        """Of what was pushed before, in one question; but not again for what waits since an earlier poll."""
        lost = [event for event in self.pushes.new if not is_head(event) and not self._has_home(event)]
        if lost and not self.has_asked_lately:
            self._ask_lately(lost, most=MOST_LATELY)

    def _ask_lately(self, events: Sequence[Event], *, most: int) -> None:
        self.has_asked_lately = True
        since = min(event.occurred_at for event in events) - LATELY
        question = partial(self.harbor.artifacts_lately, self.pushes.repository, since, most=most)
        for artifact in reversed(self._ask(question) or ()):
            self._learn(artifact)

    def _unproven(self, event: Event) -> CosignTag | None:
        """What the tag says of a push that may be a signature, if nobody knows yet whether it is."""
        found = cosign_tag(event.tag)
        if found is None or found.kind != SIGNATURE or found.subject in self.asked or event.digest is None:
            return None
        return found if event.digest not in self.kin else None

    @property
    def _untagged(self) -> list[Event]:
        return [event for event in self.pushes.others if event.tag is None]

    def _is_there(self, digest: str, event: Event) -> bool:
        """Whether the image is known, so that nobody need be asked."""
        is_pushed = any(digest == each.digest for each in (*self.pushes.new, *self.pushes.waiting))
        return is_pushed or digest in self.kin or self._goes_on(digest, event, REMEMBERED)

    def _has_home(self, event: Event) -> bool:
        """Whether it is known where a push belongs. A platform may be pushed again, for another index."""
        line = self.kin.line_of(event)
        if line and self.kin.is_accessory(event):
            return True
        images = {each.digest for each in self.pushes.new if is_head(each) or not self.kin.line_of(each)}
        return any(digest in images or self._goes_on(digest, event, FAMILY) for digest in line)

    def _goes_on(self, digest: str, event: Event, within: timedelta) -> bool:
        about = about_image(self.pushes.repository, digest)
        return self.threads.going_on(about, event.occurred_at, within, FAMILY) is not None

    def _ask_for(self, digest: str, head: Event | None = None) -> bool:
        """Whether there is such an image."""
        question = partial(self.harbor.artifact, self.pushes.repository, digest, with_accessory=True)
        artifact = self._ask(question)
        if artifact is not None:
            self._learn(artifact, head)
        return artifact is not None

    def _learn(self, artifact: Artifact, head: Event | None = None) -> None:
        self.asked.add(artifact.digest)
        self.kin.learn(taught_by(self.pushes.repository, artifact, head.occurred_at if head else None))

    def _ask(self, question: Callable[[], _T | None]) -> _T | None:
        if self.pushes.is_of_run:
            return None
        if self.patience.kin <= 0:
            self.is_cut = True
            return None
        self.patience.kin -= 1
        try:
            answer = self.patience.ask("artifact", question)
        except PollerError as error:
            self.patience.troubles.failed(KIN_UNKNOWN, error)
            return None
        self.patience.troubles.went_well(KIN_UNKNOWN)
        return answer
