"""Ten thousand hostile events against Telegram's own parser.

Of every message: Telegram accepts it, it is within the limits, every value stands in its line as it is, and the
marked stretches are exactly the title, the labels and the URL, so that no name can mark, hide or fake anything.
"""

from __future__ import annotations

import pickle
import random
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formatters import (
    Family,
    MassScan,
    Occasion,
    Portal,
    Pulls,
    Run,
    Style,
    digest,
    family_message,
    image_message,
    message,
    plain,
)
from formatters.markdown import shorten, units, visible
from formatters.texts import EMOJI, Label
from poller.events import (
    OF_OURSELVES,
    SBOM,
    SCAN_TYPES,
    Change,
    CoverageNews,
    Event,
    EventType,
    Finding,
    Gap,
    Index,
    Phase,
    Reason,
    Repository,
    Scan,
    Since,
    Source,
)
from poller.values import replace
from tests.telegram_parser import Entity, parse, stored

LIMIT = 4096  # Telegram's, in UTF-16 units after parsing
SEEDED = 8_000
GENERATED = 2_000
PORTALS = (None, Portal("https://harbor.example.com", lambda _: 7), Portal("https://a.b/)\\`[x](y)", lambda _: 2**63))
STYLES = tuple(
    Style(language, UTC, extra, portal)
    for language in ("ru", "en")
    for extra in ("", "_*[]()~`>#+-=|{}!", "a1:$Ж\n")
    for portal in PORTALS
)

# -- hostile names -------------------------------------------------------------------------------------------

PIECES = (
    *"_*[]()~`>#+-=|{}.!\\ @:/$,;'\"<&%^?",
    *(
        "||",
        "**",
        "__",
        "```",
        "``",
        "**>",
        "\n>",
        "\n**>",
        "||\n",
        "\\\\",
        "\\`",
        "\\n",
        "](",
        "[a](b)",
        "![🙂](tg://emoji?id=1)",
    ),
    *("\n", "\r", "\r\n", "\t", "\x00", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u2029", "\u00a0", "\u3000", "\ufeff"),
    *(
        "\u200b",
        "\u200d",
        "\u200e",
        "\u202e",
        "\u2066",
        "\ufe0f",
        "\u0301",
        "\u030a",
        "\u0333",
        "\u3164",
        "\ud800",
        "\udfff",
    ),
    *(
        "👨\u200d👩\u200d👧",
        "🇷🇺",
        "👍🏽",
        "1️⃣",
        "🏳️\u200d🌈",
        "𝒜",
        "\U000e0041",
        "\U0010ffff",
        "é",
        "e\u0301",
        "שלום",
        "中文",
        "Ж",
        "ß",
    ),
    *(
        "team",
        "app",
        "1.27",
        "v1.0.0-rc.1",
        "robot$team+ci",
        "sha256:50bd",
        "*Тег:* x",
        "\nТег: fake",
        "https://a.b/?c=d",
        "None",
    ),
)


def hostile(rng: random.Random) -> str:
    name = "".join(rng.choices(PIECES, k=rng.choice((1, 2, 3, 5, 8, 20))))
    longest = rng.choice((0, 0, 0, 0, 0, 0, 255, 1024, 3000))
    return (name * (longest // len(name) + 1))[:longest] if longest else name


def odd(rng: random.Random) -> Any:
    """What a field of a scan report may turn out to be."""
    choices: tuple[Callable[[], Any], ...] = (
        lambda: hostile(rng),
        lambda: rng.randrange(1000),
        lambda: None,
        lambda: "",
        lambda: [1],
        lambda: 2.5,
        lambda: {},
        lambda: True,
    )
    return rng.choice(choices)()


def scan(rng: random.Random) -> Scan | None:
    counts = {hostile(rng): odd(rng) for _ in range(rng.choice((0, 1, 3, 40)))} | {"High": 1}
    summary = {"total": odd(rng), "fixable": odd(rng), "summary": rng.choice((counts, None, [], odd(rng)))}
    report = {name: odd(rng) for name in ("scan_status", "severity", "duration")}
    report |= {"summary": summary, "scanner": {"name": odd(rng), "version": odd(rng)}}
    plainly = rng.choice((None, Scan({}), Scan({"a": report}), Scan({"a": report}), Scan({"a": odd(rng)})))
    return replace(plainly, **comparison(rng)) if plainly and rng.random() < 0.5 else plainly


def comparison(rng: random.Random) -> dict[str, Any]:
    """What is known of a scan besides its report."""
    found = [finding(rng) for _ in range(rng.choice((0, 1, 3, 300)))]
    return {
        "scan_type": rng.choice(("vulnerability", "vulnerability", None, SBOM)),
        "index": rng.choice((None, Index(hostile(rng), rng.choice((None, hostile(rng))), hostile(rng)))),
        "changes": tuple(Change(rng.choice(tuple(Since)), numbers(rng), numbers(rng)) for _ in range(rng.randrange(4))),
        "named": tuple(found),
        "unnamed": rng.choice((0, 7, 10**5000)),
        "are_new": rng.random() < 0.5,
        "unread": rng.choice((0, 1, -1, 2**31)),
    }


def finding(rng: random.Random) -> Finding:
    severity = rng.choice(("Critical", "High", hostile(rng)))
    return Finding(hostile(rng), severity, *(rng.choice(("", hostile(rng))) for _ in range(3)))


def numbers(rng: random.Random) -> dict[str, Any]:
    values = (0, 3, 2**31 - 1, 10**5000, -1, odd(rng))
    return {rng.choice(("Critical", "High", hostile(rng))): rng.choice(values) for _ in range(rng.choice((0, 2, 60)))}


OF_HARBOR = tuple(kind for kind in EventType if kind not in OF_OURSELVES)


def event(rng: random.Random) -> Event:
    return Event(
        type=rng.choice(OF_HARBOR),
        occurred_at=datetime(2026, 11, 24, tzinfo=UTC) + timedelta(seconds=rng.randrange(10**6)),
        operator=hostile(rng),
        source=rng.choice(tuple(Source)),
        source_id=rng.randrange(10**9),
        registry=rng.choice(("harbor.example.com", "", hostile(rng))),
        repository=rng.choice((None, Repository(hostile(rng)), Repository(f"team/{hostile(rng)}"))),
        tag=rng.choice((None, "", hostile(rng))),
        digest=rng.choice((None, "sha256:" + "50bd" * 16, hostile(rng))),
        subject=rng.choice(("", hostile(rng))),
        scan=scan(rng),
    )


# -- what must hold ------------------------------------------------------------------------------------------


def is_shown(value: str, line: str) -> bool:
    """Whether a line ends in the value: literally, or at least every readable stretch of it where some is not."""
    if value and value == value.strip() and all(map(is_readable, value)):
        return line.endswith(f": {value}")
    stretches = "".join(char if is_readable(char) else "\0" for char in value.strip()).split("\0")
    return all(stretch in line for stretch in stretches)


def is_readable(char: str) -> bool:
    """Asked in Unicode's words, not in the product's."""
    return char.isprintable() and not unicodedata.name(char, "").startswith(UNREADABLE)


UNREADABLE = (
    *("HANGUL FILLER", "HALFWIDTH HANGUL FILLER", "HANGUL CHOSEONG FILLER", "HANGUL JUNGSEONG FILLER"),
    *("BRAILLE PATTERN BLANK", "VARIATION SELECTOR", "MONGOLIAN FREE VARIATION SELECTOR", "KHMER VOWEL INHERENT"),
    *("COMBINING GRAPHEME JOINER", "COMBINING RING ABOVE", "COMBINING DOUBLE LOW LINE", "COMBINING DOUBLE OVERLINE"),
)
"""What shows nothing, and the three marks that Telegram drops."""


def expected_values(told: Event) -> list[str]:
    """What a message must show, apart from a scan's findings."""
    repository = told.repository.full_name if told.repository else ""
    if told.scan and told.scan.index:
        told = replace(told, tag=told.scan.index.tag, digest=told.scan.index.digest)
    if told.type.name.startswith(("SCANNING_", "TAG_")) or told.type.name.endswith("_ARTIFACT"):
        return [repository, told.reference or "", told.resource_url or "", told.operator]
    return [repository if told.type is EventType.REPOSITORY_DELETED else told.subject, told.operator]


def check_message(told: Event, style: Style) -> None:
    text = message(told, style)
    parsed = parse(text)
    assert parsed.text == plain(message(told, replace(style, portal=None)))
    assert plain(text) == parsed.text == stored(parsed.text) == parsed.text.strip()
    assert units(parsed.text) <= LIMIT
    assert len(parsed.entities) <= 100
    assert len(text.encode()) < 32 * 1024
    title, *lines = parsed.text.split("\n")
    titles = style.texts.sbom_titles if is_sbom(told) else style.texts.titles
    assert title == f"{EMOJI[told.type]} {titles[told.type]}"
    assert check_entities(text, parsed.entities, style) == findings_told([told])
    if "…" not in parsed.text:
        assert all(any(is_shown(value, line) for line in lines) for value in expected_values(told))


def is_sbom(told: Event) -> bool:
    return told.type in SCAN_TYPES and told.scan is not None and told.scan.is_sbom


def findings_told(events: list[Event]) -> int:
    """How many lines without a label there must be: one for each finding, up to twenty, and one for the rest."""
    scans = [told.scan for told in events if told.scan and told.type is EventType.SCANNING_COMPLETED]
    scans = [scan for scan in scans if not scan.is_sbom]
    distinct = len({(finding.id, finding.package) for scan in scans for finding in scan.named})
    totals = [len(scan.named) + (scan.unnamed if scan.unnamed < 2**31 else 0) for scan in scans]
    return min(distinct, 20) + (max(distinct, *totals, 0) > min(distinct, 20)) if distinct else 0


def check_entities(text: str, entities: tuple[Entity, ...], style: Style) -> int:
    """Exactly the title, the start of every labelled line up to a colon, the URL and links. How many have no label."""
    left, bare = list(entities), 0
    title, *lines = plain(text).split("\n")
    assert left.pop(0) == Entity("Bold", title.partition(" ")[2])
    for line, markup in zip(lines, text.split("\n")[1:], strict=True):
        if not markup.startswith("*"):
            bare += 1
            continue
        label = left.pop(0)
        assert label.kind == "Bold"
        assert label.text.endswith(":")
        assert line.startswith(f"{label.text} ")
        if label.text == f"{style.texts.labels[Label.URL]}:" and line != f"{label.text} —":
            assert left.pop(0) == Entity("Code", line.removeprefix(f"{label.text} "))
        if left and left[0].kind == "TextUrl":
            link = left.pop(0)
            assert style.portal
            assert link.text == line.removeprefix(f"{label.text} ")
            assert link.url.startswith(f"{style.portal.url}/harbor/projects/")
    assert not left
    return bare


def check_image(events: list[Event], style: Style) -> None:
    text = image_message(events, style)
    parsed = parse(text)
    assert plain(text) == parsed.text == stored(parsed.text) == parsed.text.strip()
    assert units(parsed.text) <= LIMIT
    assert len(parsed.entities) <= 100
    assert len(text.encode()) < 32 * 1024
    bare = check_entities(text, parsed.entities, style)
    assert bare <= 22


def check_mass(events: list[Event], style: Style) -> None:
    scan = MassScan()
    for told in events:
        scan.add(told)
    text = scan.message(style)
    parsed = parse(text)
    assert plain(text) == parsed.text == stored(parsed.text)
    assert units(parsed.text) <= LIMIT
    assert len(text.encode()) < 32 * 1024
    counted = [told for told in events if told.type in SCAN_TYPES and not is_sbom(told)]
    assert f": {style.texts.scans(len(counted))}" in parsed.text
    kinds = [entity.kind for entity in parsed.entities]
    assert kinds.count("Bold") <= 7
    assert set(kinds) <= {"Bold", "ExpandableBlockQuote"}
    assert len(pickle.dumps(scan)) < 100_000


def check_pulls(events: list[Event], style: Style) -> None:
    told = Pulls()
    for one in events:
        told.add(one)
    text = told.message(style)
    if len(events) == 1:
        assert text == message(events[0], style)
        return
    parsed = parse(text)
    assert plain(text) == parsed.text == stored(parsed.text) == parsed.text.strip()
    assert units(parsed.text) <= LIMIT
    assert len(text.encode()) < 32 * 1024
    assert check_entities(text, parsed.entities, style) == 0
    assert f": ×{len(events)}\n" in parsed.text


def check_family(events: list[Event], family: Family, style: Style) -> None:
    head = replace(events[0], type=EventType.PUSH_ARTIFACT)
    text = family_message(head, events, family, style)
    parsed = parse(text)
    assert plain(text) == parsed.text == stored(parsed.text) == parsed.text.strip()
    assert units(parsed.text) <= LIMIT
    assert len(parsed.entities) <= 100
    assert len(text.encode()) < 32 * 1024
    assert check_entities(text, parsed.entities, style) <= 24
    assert parsed.text.split("\n")[0] == f"{EMOJI[head.type]} {style.texts.titles[head.type]}"
    is_signed = any(kind.startswith("signature.") for kind in family.attached)
    assert (f"\n{style.texts.labels[Label.SIGNED]}: {style.texts.signed}" in parsed.text) >= is_signed


def check_run(events: list[Event], style: Style) -> None:
    told = Run()
    for one in events:
        told.add(one)
    text = told.message(style)
    if len(events) == 1:
        assert text == message(events[0], style)
        return
    parsed = parse(text)
    assert plain(text) == parsed.text == stored(parsed.text)
    assert units(parsed.text) <= LIMIT
    assert len(text.encode()) < 32 * 1024
    kinds = [entity.kind for entity in parsed.entities]
    assert kinds.count("Bold") <= 7
    assert kinds.count("ExpandableBlockQuote") == bool(events)
    assert set(kinds) <= {"Bold", "TextUrl", "ExpandableBlockQuote"}
    if events:
        listed = parsed.entities[-1].text.rstrip("\n").split("\n")
        assert parsed.text.rstrip("\n").endswith("\n".join(listed))
        assert all(line.startswith((*EMOJI.values(), style.texts.more.partition("{")[0])) for line in listed)


def check_digest(events: list[Event], style: Style, occasion: Occasion) -> None:
    text = digest(events, style, occasion)
    parsed = parse(text)
    assert plain(text) == parsed.text == stored(parsed.text)
    assert units(parsed.text) <= LIMIT
    assert len(text.encode()) < 32 * 1024
    kinds = [entity.kind for entity in parsed.entities]
    assert kinds == ["Bold"] * 3 + ["ExpandableBlockQuote"] * bool(events)
    assert style.texts.events(len(events)) in parsed.text
    for kind in {event.type for event in events}:
        count = sum(event.type is kind for event in events)
        assert f"\n{EMOJI[kind]} {style.texts.kinds[kind]}: {count}" in parsed.text
    if events:
        groups = {(event.type, event.repository and event.repository.full_name) for event in events}
        most = len(groups) + 2 * sum(kind is EventType.SCANNING_COMPLETED for kind, _ in groups)  # by severity
        assert len(parsed.entities[-1].text.rstrip("\n").split("\n")) <= most + 3


# -- ten thousand events -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_hostile_events_are_told_literally(seed: int) -> None:
    """Names made of everything that has broken a message somewhere."""
    rng = random.Random(seed)
    for _ in range(SEEDED // 8):
        check_message(event(rng), rng.choice(STYLES))


def any_text() -> st.SearchStrategy[str]:
    return st.text(st.characters(codec=None), max_size=40) | st.sampled_from(PIECES)


def any_report() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | any_text()
    words = ("scan_status", "severity", "duration", "summary", "scanner", "total", "fixable", "name", "version", "High")
    keys = st.sampled_from(words) | any_text()
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=6), max_leaves=12
    )


def any_event() -> st.SearchStrategy[Event]:
    return st.builds(
        Event,
        type=st.sampled_from(OF_HARBOR),
        occurred_at=st.datetimes(timezones=st.just(UTC)),
        operator=any_text(),
        source=st.sampled_from(Source),
        source_id=st.integers(0, 2**63),
        registry=any_text(),
        repository=st.none() | st.builds(Repository, any_text()),
        tag=st.none() | any_text(),
        digest=st.none() | any_text(),
        subject=any_text(),
        scan=st.none() | any_scan(),
    )


def any_scan() -> st.SearchStrategy[Scan]:
    numbers = st.dictionaries(st.sampled_from(("Critical", "High", "Low")) | any_text(), any_report(), max_size=3)
    change = st.builds(Change, st.sampled_from(Since), numbers, numbers)
    finding = st.builds(Finding, *[any_text()] * 5)
    return st.builds(
        Scan,
        st.dictionaries(any_text(), any_report(), max_size=2),
        scan_type=st.sampled_from(("vulnerability", SBOM, None)),
        index=st.none() | st.builds(Index, any_text(), st.none() | any_text(), any_text()),
        changes=st.lists(change, max_size=3).map(tuple),
        named=st.lists(finding, max_size=3).map(tuple),
        unnamed=st.integers(0),
        are_new=st.booleans(),
        unread=st.integers(),
    )


def any_scan_event() -> st.SearchStrategy[Event]:
    return st.builds(lambda told, kind: replace(told, type=kind), any_event(), st.sampled_from(sorted(SCAN_TYPES)))


@settings(max_examples=GENERATED, deadline=None)
@given(any_event(), st.sampled_from(STYLES))
def test_any_event_is_told_literally(told: Event, style: Style) -> None:
    """Whatever hypothesis thinks of, reports of scanners that nobody has written yet included."""
    check_message(told, style)


@pytest.mark.parametrize("seed", range(4))
def test_hostile_events_make_a_digest(seed: int) -> None:
    """From none to hundreds, of few or many repositories."""
    rng = random.Random(seed)
    for size in (0, 1, 2, 5, 20, 100, 400):
        events = [event(rng) for _ in range(size)]
        few = (
            [replace(one, repository=events[i % 3].repository, type=events[i % 2].type) for i, one in enumerate(events)]
            if size > 2
            else events
        )
        check_digest(events, rng.choice(STYLES), rng.choice(tuple(Occasion)))
        check_digest(few, rng.choice(STYLES), rng.choice(tuple(Occasion)))


ATTACHED = ("signature.cosign", "signature", "sbom.harbor", "subject.accessory", "attestation")


def related(rng: random.Random, size: int) -> list[Event]:
    """A push, and what may come with it: half of them of the same image."""
    kinds = (EventType.PUSH_ARTIFACT, *sorted(SCAN_TYPES), EventType.PULL_ARTIFACT)
    told = [replace(event(rng), type=rng.choice(kinds)) for _ in range(size)]
    head = told[0]
    return [replace(one, repository=head.repository, digest=head.digest) if rng.random() < 0.5 else one for one in told]


@pytest.mark.parametrize("seed", range(4))
def test_hostile_events_make_a_family(seed: int) -> None:
    """Of none to hundreds of tags, platforms, attachments and scans."""
    rng = random.Random(seed)
    for size in (1, 2, 3, 5, 20, 100, 300) * 3:
        platforms = tuple(hostile(rng) for _ in range(rng.choice((0, 1, 3, 100))))
        attached = tuple(rng.choice((*ATTACHED, hostile(rng))) for _ in range(rng.choice((0, 1, 3, 100))))
        check_family(related(rng, size), Family(platforms, attached), rng.choice(STYLES))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(any_event() | any_scan_event(), min_size=1, max_size=6),
    st.builds(
        Family,
        st.lists(any_text(), max_size=3).map(tuple),
        st.lists(st.sampled_from(ATTACHED) | any_text(), max_size=5).map(tuple),
    ),
    st.sampled_from(STYLES),
)
def test_any_events_make_a_family(events: list[Event], family: Family, style: Style) -> None:
    """Whatever the caller thinks that belongs together."""
    check_family(events, family, style)


RUNS = (
    (EventType.DELETE_ARTIFACT, EventType.TAG_DELETED),
    (EventType.DELETE_ARTIFACT, EventType.REPOSITORY_DELETED, EventType.PROJECT_DELETED),
    (EventType.PUSH_ARTIFACT,),
    OF_HARBOR,
)


@pytest.mark.parametrize("seed", range(4))
def test_hostile_events_make_a_run_or_pulls(seed: int) -> None:
    """From none to hundreds, by one operator or many, of one kind or all."""
    rng = random.Random(seed)
    for size in (0, 1, 2, 5, 20, 100, 400):
        for kinds in RUNS:
            operator = rng.choice((None, "harbor-jobservice", hostile(rng)))
            told = [replace(event(rng), type=rng.choice(kinds)) for _ in range(size)]
            told = [replace(one, operator=operator) for one in told] if operator is not None else told
            check_run(told, rng.choice(STYLES))
            check_run([replace(one, repository=told[0].repository) for one in told], rng.choice(STYLES))
            check_pulls(told, rng.choice(STYLES))


@settings(max_examples=300, deadline=None)
@given(st.lists(any_event(), max_size=6), st.sampled_from(STYLES))
def test_any_events_make_a_run_or_pulls(events: list[Event], style: Style) -> None:
    """Whatever the caller thinks that belongs together."""
    check_run(events, style)
    check_pulls(events, style)


@settings(max_examples=200, deadline=None)
@given(st.lists(any_event(), max_size=6), st.sampled_from(STYLES), st.sampled_from(Occasion))
def test_any_events_make_a_digest(events: list[Event], style: Style, occasion: Occasion) -> None:
    """Times at both ends of the calendar included."""
    check_digest(events, style, occasion)


@pytest.mark.parametrize("seed", range(4))
def test_hostile_platforms_make_one_message(seed: int) -> None:
    """From one to hundreds, whatever their scans found."""
    rng = random.Random(seed)
    for size in (1, 2, 5, 20, 100, 300):
        told = [replace(event(rng), type=rng.choice(sorted(SCAN_TYPES))) for _ in range(size)]
        check_image(told, rng.choice(STYLES))
        check_mass(told, rng.choice(STYLES))


@settings(max_examples=300, deadline=None)
@given(st.lists(any_scan_event(), min_size=1, max_size=6), st.sampled_from(STYLES))
def test_any_platforms_make_one_message(events: list[Event], style: Style) -> None:
    """Events that have no index, too: the caller's mistake is no reason to say nothing."""
    check_image(events, style)


@settings(max_examples=300, deadline=None)
@given(st.lists(any_event() | any_scan_event(), max_size=6), st.sampled_from(STYLES))
def test_any_events_make_a_mass_scan(events: list[Event], style: Style) -> None:
    """What is no scan is not counted."""
    check_mass(events, style)


@settings(max_examples=300, deadline=None)
@given(any_text(), st.integers(1, 60))
def test_shortening_keeps_to_the_limit(text: str, limit: int) -> None:
    """The head stays as it was, whatever it consists of."""
    seen = visible(text)
    short = shorten(seen, limit)
    assert units(short) <= limit
    assert short == seen or (short.endswith("…") and seen.startswith(short[:-1]))


@settings(max_examples=300, deadline=None)
@given(any_text())
def test_what_is_visible_stays_so(text: str) -> None:
    """Drawing what could not be seen is done once: nothing in the result needs it again."""
    seen = visible(text)
    assert visible(seen) == seen == seen.strip()
    assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in seen)


def any_news() -> st.SearchStrategy[CoverageNews]:
    times = st.datetimes(timezones=st.just(UTC))
    gaps = st.builds(
        Gap, any_text(), st.sampled_from(Reason), times, st.none() | times, st.none() | st.integers(0, 2**63)
    )
    return st.builds(CoverageNews, st.sampled_from(Phase), st.lists(gaps, min_size=1, max_size=300).map(tuple))


@given(any_news(), st.sampled_from(STYLES))
def test_any_news_of_coverage_is_one_line(news: CoverageNews, style: Style) -> None:
    """Whatever projects are called and however many there are, at any time."""
    text = message(Event.example(type=EventType.COVERAGE, repository=None, tag=None, digest=None, coverage=news), style)
    parsed = parse(text)
    assert plain(text) == parsed.text == stored(parsed.text) == parsed.text.strip()
    assert units(parsed.text) <= LIMIT
    assert "\n" not in parsed.text
    assert [entity.kind.lower() for entity in parsed.entities] == ["bold"]
