"""Which artifacts belong to which image: the platforms of an index, and what was attached to either. Pure.

Decided by what Harbor says of them: an index lists its platforms, an accessory has a subject. cosign 2 knows no
subjects and names the digest in a tag instead; that counts where there is such an image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

import msgspec

from poller.events import Event
from poller.knowledge import LONG_AGO, AccessoryFact, Changes, PlatformFact
from poller.rows import Artifact

LONGEST_PLATFORM = LONGEST_KIND = 100
_COSIGN_TAG = re.compile(r"(sha256)-([0-9a-f]{64})\.(sig|att|sbom)")
SIGNATURE, ATTACHED = "signature.cosign", "subject.accessory"
"""Harbor's words. What has a tag like a signature's and is none to Harbor is only attached."""
_KINDS = {"sig": SIGNATURE, "att": "attestation", "sbom": "sbom"}
_FARTHEST = 5
"""The signature of the list of materials of a platform of an index is four steps from it."""


class CosignTag(msgspec.Struct, frozen=True):
    """What a tag of cosign's says: of which artifact something is, and what."""

    subject: str
    kind: str


def cosign_tag(tag: str | None) -> CosignTag | None:
    found = _COSIGN_TAG.fullmatch(tag or "")
    return CosignTag(f"{found[1]}:{found[2]}", _KINDS[found[3]]) if found else None


def is_head(event: Event) -> bool:
    """Whether a push is that of an image which people know by a tag: others may belong to it, it belongs to none."""
    return event.tag is not None and cosign_tag(event.tag) is None


class Kin(msgspec.Struct):
    """What is known of one repository. `exists`: digests that cosign's tags name, and that are there."""

    repository: str
    exists: set[str] = msgspec.field(default_factory=set)
    platforms: dict[str, PlatformFact] = msgspec.field(default_factory=dict)
    accessories: dict[str, AccessoryFact] = msgspec.field(default_factory=dict)
    learnt: Changes = msgspec.field(default_factory=Changes)

    def __contains__(self, digest: str) -> bool:
        return digest in self.platforms or digest in self.accessories

    @property
    def subjects(self) -> set[str]:
        """What others belong to, by digest."""
        indexes = {fact.index_digest for fact in self.platforms.values()}
        return indexes | {fact.subject for fact in self.accessories.values()}

    def recall(self, platforms: Iterable[PlatformFact], accessories: Iterable[AccessoryFact]) -> None:
        """What was known before; what has been learnt since is newer."""
        self.platforms = {fact.digest: fact for fact in platforms} | self.platforms
        self.accessories = {fact.digest: fact for fact in accessories} | self.accessories

    def learn(self, taught: Changes) -> None:
        self.platforms |= {fact.digest: fact for fact in taught.platforms}
        self.accessories |= {fact.digest: fact for fact in taught.accessories}
        self.learnt += taught

    def subject_exists(self, event: Event, found: CosignTag) -> None:
        """What the tag of a push says is a fact; but whether it is a signature is for Harbor to say."""
        self.exists.add(found.subject)
        if event.digest:
            kind = ATTACHED if found.kind == SIGNATURE else found.kind
            fact = AccessoryFact(self.repository, event.digest, found.subject, kind, event.occurred_at)
            if event.digest not in self.accessories:
                self.learn(Changes(accessories=(fact,)))

    def line_of(self, event: Event) -> list[str]:
        """The digests of what a push belongs to, the nearest first."""
        found = cosign_tag(event.tag)
        first = found.subject if found and found.subject in self.exists else self._parent(event.digest)
        line: list[str] = []
        while first is not None and first not in line and len(line) < _FARTHEST:
            line.append(first)
            first = self._parent(first)
        return line

    def is_accessory(self, event: Event) -> bool:
        """Whether it was attached to something, which may have been pushed long before."""
        found = cosign_tag(event.tag)
        return event.digest in self.accessories or (found is not None and found.subject in self.exists)

    def _parent(self, digest: str | None) -> str | None:
        if digest is None:
            return None
        if (accessory := self.accessories.get(digest)) is not None:
            return accessory.subject
        platform = self.platforms.get(digest)
        return platform.index_digest if platform is not None else None


def taught_by(repository: str, artifact: Artifact, pushed_at: datetime | None = None) -> Changes:
    """What an answer about an image says of its kin. `pushed_at`: of its last push, where that is known better."""
    at = max(pushed_at or LONG_AGO, artifact.push_time or LONG_AGO)
    return Changes(
        platforms=tuple(
            PlatformFact(repository, each.child_digest, artifact.digest, each.platform[:LONGEST_PLATFORM], at)
            for each in artifact.references
        ),
        accessories=tuple(
            AccessoryFact(repository, each.digest, each.subject, each.type[:LONGEST_KIND], at)
            for each in artifact.accessories
        ),
    )
