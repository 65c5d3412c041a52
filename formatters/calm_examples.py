"""What related events look like when they are told together: for `preview` and the golden files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from formatters.digests import digest
from formatters.examples import examples
from formatters.families import Family, family_message
from formatters.pulls import Pulls
from formatters.runs import Run
from formatters.texts import Occasion, Style
from poller.events import Change, Event, EventType, Finding, Index, Repository, Scan, Since
from poller.values import replace

_EXAMPLES = {event.type: event for event in examples()}
_PUSH, _PULL = _EXAMPLES[EventType.PUSH_ARTIFACT], _EXAMPLES[EventType.PULL_ARTIFACT]
_FAMILY = Family(
    platforms=("linux/amd64", "linux/arm64", "linux/s390x"),
    attached=("signature.cosign", "sbom.harbor", "attestation", "attestation", "attestation"),
)
_NEW = Finding("CVE-2026-1234", "Critical", "openssl", "3.0.1", "3.0.2")


def calm_examples(style: Style) -> tuple[tuple[str, str], ...]:
    """(name, message) of a push with all that belongs to it, of repeated pulls, of runs, and of a quiet night."""
    tagged, *others = _pushes()
    return (
        ("calm.push", family_message(tagged, [*others, *_scans()], _FAMILY, style)),
        ("calm.pulls", _pulls().message(style)),
        ("calm.retention", _run(_retention()).message(style)),
        ("calm.repository", _run(_repository()).message(style)),
        ("calm.replication", _run(_replication()).message(style)),
        ("calm.quiet-hours", digest(tuple(_night()), style, Occasion.QUIET_HOURS)),
    )


def _pushes() -> Iterator[Event]:
    """Of an image under two tags, of its platforms and of its signature."""
    yield _PUSH
    yield _after(replace(_PUSH, tag="latest", source_id=2), 1)
    for number in range(3, 7):
        yield _after(replace(_PUSH, tag=None, digest=f"sha256:{number:064}", source_id=number), -1)


def _scans() -> Iterator[Event]:
    """Of its platforms, the last of which has failed."""
    completed, failed = _EXAMPLES[EventType.SCANNING_COMPLETED], _EXAMPLES[EventType.SCANNING_FAILED]
    for number, (platform, event) in enumerate(zip(_FAMILY.platforms, (completed, completed, failed), strict=True)):
        yield _of_platform(replace(event, tag=None, digest=f"sha256:{number:064}"), platform)


def _of_platform(event: Event, platform: str) -> Event:
    assert event.scan is not None
    changes = (Change(Since.IMAGE, {"Critical": 1}, {"Low": 2}),)
    scan = replace(event.scan, index=Index(_PUSH.digest or "", _PUSH.tag, platform))
    is_result = event.type is EventType.SCANNING_COMPLETED
    return replace(event, scan=replace(scan, changes=changes, named=(_NEW,), are_new=True) if is_result else scan)


def _pulls() -> Pulls:
    pulls = Pulls()
    for minute in range(60):
        pulls.add(_after(_PULL, 60 * minute))
    return pulls


def _run(events: Iterator[Event]) -> Run:
    run = Run()
    for event in events:
        run.add(event)
    return run


def _retention() -> Iterator[Event]:
    """Of the old builds of three repositories, by Harbor itself."""
    image = replace(_EXAMPLES[EventType.DELETE_ARTIFACT], operator="harbor-jobservice")
    for number in range(42):
        repository = Repository(f"team/{('app', 'web_ui', 'worker')[number % 3]}")
        yield _after(replace(image, repository=repository, tag=f"build-{100 + number}"), number)


def _repository() -> Iterator[Event]:
    repository = _EXAMPLES[EventType.REPOSITORY_DELETED]
    image = replace(_EXAMPLES[EventType.DELETE_ARTIFACT], repository=repository.repository)
    yield from (_after(replace(image, tag=f"1.{number}"), number) for number in range(12))
    yield _after(repository, 12)


def _replication() -> Iterator[Event]:
    """Of a project's images from another registry."""
    for number in range(30):
        repository, tag = Repository(f"mirror/service-{number % 10}"), f"2.{number // 10}"
        yield _after(replace(_PUSH, repository=repository, tag=tag, operator="robot$mirror+sync"), 10 * number)


def _night() -> Sequence[Event]:
    """A few pushes, many pulls, and two scans of which people want to know."""
    bad = [_EXAMPLES[EventType.SCANNING_COMPLETED], _EXAMPLES[EventType.SCANNING_FAILED]]
    clean = replace(bad[0], scan=Scan({"": {"scan_status": "Success", "severity": "None"}}))
    events = [_PUSH, *[_PULL] * 20, clean, replace(_PUSH, tag="1.28"), *bad, _EXAMPLES[EventType.TAG_DELETED]]
    start = _PUSH.occurred_at.replace(hour=21)
    return [_at(event, start + timedelta(minutes=20 * number)) for number, event in enumerate(events)]


def _after(event: Event, seconds: float) -> Event:
    return _at(event, event.occurred_at + timedelta(seconds=seconds))


def _at(event: Event, moment: datetime) -> Event:
    return replace(event, occurred_at=moment)
