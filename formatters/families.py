"""An image and what belongs to it, in the message of its push: platforms, signatures, attachments, its scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import msgspec

from formatters.groups import tally
from formatters.images import badness, has_result, names_of, platform_of
from formatters.lines import Line, artifact_lines, composed
from formatters.messages import message
from formatters.news import news, news_lines
from formatters.outcomes import outcome
from formatters.scans import LONGEST_LEVEL, is_sbom_run
from formatters.texts import EMOJI, Label, Style, Texts
from poller.events import SBOM, SCAN_TYPES, Event, EventType

_SIGNATURE = "signature"
_SBOMS = frozenset({SBOM, "sbom.harbor"})
_MOST_TOLD = 20


class Family(msgspec.Struct, frozen=True):
    """What is known to belong to an image.

    `platforms`: such as linux/amd64, attestations not among them. `attached`: Harbor's types of accessories
    (signature.cosign, sbom.harbor, subject.accessory), or attestation, sbom, signature of what only tags or an
    index tell; each as often as there is one. Signatures are those of the image itself; `signed_platforms`: how many of
    its platforms are signed, each for itself.
    """

    platforms: tuple[str, ...] = ()
    attached: tuple[str, ...] = ()
    signed_platforms: int = 0


def family_message(head: Event, events: Iterable[Event], family: Family, style: Style) -> str:
    """One message in MarkdownV2 about a pushed image. A push of which nothing more is known is told as ever.

    `head`: the first push of the image itself. `events`, in any order, with or without the head: further pushes of
    the image under other tags, pushes of what belongs to it, and scans. Of an artifact's scans the latest counts.
    """
    told = _Told.of(head, events)
    known = list(_family_lines(told, family, style))
    if not known and len(told.pushes) == 1:
        return message(head, style)
    return composed(EMOJI[head.type], style.texts.titles[head.type], [*_image_lines(told, style), *known], style)


class _Told(msgspec.Struct, frozen=True):
    """The events by what they are: pushes of the image, how many pushes of others, scans, the worst first."""

    pushes: Sequence[Event]
    others: int
    scans: Sequence[Event]
    sbom_runs: Sequence[Event]

    @classmethod
    def of(cls, head: Event, events: Iterable[Event]) -> _Told:
        events = sorted(events, key=lambda event: event.occurred_at)
        pushes = [event for event in events if event.type is EventType.PUSH_ARTIFACT and _row(event) != _row(head)]
        own = [event for event in pushes if _is_same(head, event)]
        scans = _latest(head, [event for event in events if event.type in SCAN_TYPES])
        return cls(
            pushes=[head, *own],
            others=len(pushes) - len(own),
            scans=[event for event in scans if not is_sbom_run(event)],
            sbom_runs=[event for event in scans if is_sbom_run(event)],
        )

    @property
    def image(self) -> Event:
        """The push that shows the image by a name that people know, if there is one."""
        return next((event for event in self.pushes if event.tag), self.pushes[0])


def _row(event: Event) -> tuple[str, int, datetime]:
    """What makes pushes the same push. The head may have been told again with other facts."""
    return event.source, event.source_id, event.occurred_at


def _is_same(head: Event, event: Event) -> bool:
    """Whether it is the same image, perhaps under another tag."""
    if _repository(head) != _repository(event):
        return False
    if head.digest and event.digest:
        return head.digest == event.digest
    return head.reference == event.reference


def _repository(event: Event) -> str | None:
    return event.repository.full_name if event.repository else None


def _latest(head: Event, scans: Sequence[Event]) -> list[Event]:
    """Each artifact's last scan. What Harbor found in an index is the sum of its platforms: it is not added to them."""
    latest = {(event.digest or platform_of(event), is_sbom_run(event)): event for event in scans}
    results = [event for event in latest.values() if has_result(event)]
    sums = [event for event in results if event.digest == head.digest] if len(results) > 1 else []
    return sorted((event for event in latest.values() if event not in sums), key=badness)


def _image_lines(told: _Told, style: Style) -> Iterator[Line]:
    tags = tally(dict.fromkeys(event.tag for event in told.pushes if event.tag))
    yield from artifact_lines(told.image, style, tags.told(_MOST_TOLD) if len(tags.names) > 1 else "")
    yield Line(style.texts.labels[Label.PUSHER], names_of(event.operator for event in told.pushes))


def _family_lines(told: _Told, family: Family, style: Style) -> Iterator[Line]:
    texts, labels = style.texts, style.texts.labels
    if family.platforms:
        yield Line(labels[Label.PLATFORMS], tally(family.platforms).told(_MOST_TOLD, LONGEST_LEVEL))
    if any(map(is_signature, family.attached)):
        yield Line(labels[Label.SIGNED], _signed(family, texts))
    elif family.signed_platforms:
        some = texts.signed_platforms.format(some=family.signed_platforms, all=len(family.platforms))
        yield Line(labels[Label.SIGNED], some)
    attached = list(_attached(told, family, texts))
    if attached:
        yield Line(labels[Label.ATTACHED], ", ".join(attached))
    yield from _unmade_sboms(told, texts)
    yield from _scan_lines(told, style)


def is_signature(kind: str) -> bool:
    """Of what is attached to an image."""
    return kind.partition(".")[0] == _SIGNATURE


def _signed(family: Family, texts: Texts) -> str:
    """`yes (cosign ×2, notation)`; where nobody knows by what, `yes`."""
    by = [kind.partition(".")[2] for kind in family.attached if is_signature(kind) and kind != _SIGNATURE]
    return f"{texts.signed} ({tally(by).told(_MOST_TOLD, LONGEST_LEVEL)})" if by else texts.signed


def _attached(told: _Told, family: Family, texts: Texts) -> Iterator[str]:
    """`SBOM, attestation ×2`; of what nobody could look at, only how many there are: `+3`."""
    kinds = [kind for kind in family.attached if not is_signature(kind)]
    if _SBOMS.isdisjoint(kinds) and any(run.type is EventType.SCANNING_COMPLETED for run in told.sbom_runs):
        kinds.append(SBOM)
    if kinds:
        yield tally(texts.attachments.get(kind, kind) for kind in kinds).told(_MOST_TOLD, LONGEST_LEVEL)
    if told.others and not (family.platforms or family.attached or family.signed_platforms):
        yield f"+{told.others}"


def _unmade_sboms(told: _Told, texts: Texts) -> Iterator[Line]:
    """`⚠️ SBOM could not be created`, once however many platforms there are."""
    kinds = dict.fromkeys(run.type for run in told.sbom_runs if run.type is not EventType.SCANNING_COMPLETED)
    yield from (Line("", f"{EMOJI[kind]} {texts.sbom_titles[kind]}") for kind in kinds)


def _scan_lines(told: _Told, style: Style) -> Iterator[Line]:
    if not told.scans:
        return
    address = style.portal.vulnerabilities(told.image) if style.portal else ""
    yield Line(style.texts.labels[Label.SCAN], outcome(told.scans, style.texts), address=address)
    yield from news_lines(news([event.scan for event in told.scans if has_result(event) and event.scan]), style)
