"""Messages and digests, compared with golden files and with what Telegram's own parser makes of them.

The files in `golden/` hold the whole MarkdownV2 text. After a wanted change: `python -m tests.test_formatters`
writes them anew; read the difference before you commit it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

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
    rank,
    test_message,
)
from formatters.calm_examples import calm_examples
from formatters.examples import coverage_examples, examples, scan_examples
from formatters.markdown import code, escape, fit, shorten, units, visible
from formatters.texts import EMOJI, ENGLISH, OCCASION_EMOJI, RUSSIAN, Label
from poller.events import (
    ANONYMOUS,
    SBOM,
    SCAN_TYPES,
    Change,
    Event,
    EventType,
    Finding,
    Index,
    Repository,
    Scan,
    Since,
)
from poller.values import replace
from tests.telegram_parser import Entity, parse, stored

LIMIT = 4096  # Telegram's, in UTF-16 units after parsing
GOLDEN = Path(__file__).parent / "golden"
MOSCOW = ZoneInfo("Europe/Moscow")
STYLES = {"ru": Style("ru", MOSCOW), "en": Style("en", ZoneInfo("Europe/Berlin"))}
RU = STYLES["ru"]
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

test_message.__test__ = False  # type: ignore[attr-defined]  # not a test: pytest collects by name


def a_busy_hour() -> tuple[Event, ...]:
    """A few of everything that a digest has to tell apart."""
    push = Event.example(tag="v1")
    failed, completed = (example for example in examples() if example.type in _SCANS)
    told = [
        push,
        replace(push, tag="v2", operator="bob"),
        Event.example(type=EventType.PULL_ARTIFACT, operator=ANONYMOUS),
        Event.example(type=EventType.PULL_ARTIFACT, operator=ANONYMOUS),
        Event.example(type=EventType.DELETE_ARTIFACT, tag=None),
        completed,
        failed,
        Event.example(repository=Repository("team/web_ui"), tag="2026.11.24_build.7", operator="robot$team+ci"),
        *(example for example in examples() if example.type in _OF_THE_LOG),
    ]
    return tuple(replace(event, occurred_at=NOON + timedelta(minutes=7 * i)) for i, event in enumerate(told))


_SCANS = (EventType.SCANNING_FAILED, EventType.SCANNING_COMPLETED)
_OF_THE_LOG = (EventType.REPOSITORY_DELETED, EventType.ROBOT_CREATED, EventType.LOGIN_REFUSED)


@cache
def golden_texts(portal: Portal | None = None) -> Mapping[str, str]:
    """Every golden file's name and what the code says today."""
    styles = {language: replace(style, portal=portal) for language, style in STYLES.items()}
    return dict(told for language, style in styles.items() for told in _golden_texts_of(language, style))


def _golden_texts_of(language: str, style: Style) -> Iterator[tuple[str, str]]:
    yield from ((f"{event.type}.{language}.md", message(event, style)) for event in examples())
    for occasion in Occasion:
        yield f"digest.{occasion}.{language}.md", digest(a_busy_hour(), style, occasion)
    yield from ((f"{name}.{language}.md", text) for name, text in scan_examples(style))
    yield from ((f"{name}.{language}.md", text) for name, text in calm_examples(style))
    yield f"coverage.{language}.md", "\n".join(coverage_examples(style))
    yield f"test.{language}.md", test_message(style)


@pytest.mark.parametrize("name", golden_texts())
def test_texts_are_the_golden_ones(name: str) -> None:
    """Whatever changes in a message shows in a golden file."""
    assert golden_texts()[name] + "\n" == (GOLDEN / name).read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    """A file that no text is compared with would rot."""
    assert {path.name for path in GOLDEN.iterdir() if path.is_file()} == set(golden_texts())


@pytest.mark.parametrize("name", golden_texts())
def test_telegram_accepts_every_golden_text(name: str) -> None:
    """The parser takes it, shows what `plain` says, and would store nothing else."""
    text = golden_texts()[name]
    parsed = parse(text)
    assert parsed.text == plain(text) == stored(parsed.text)
    assert len(parsed.entities) <= 30


def test_the_push_message_is_that_of_the_article() -> None:
    """Title and labels bold, the URL in code, nothing else marked."""
    parsed = parse(message(Event.example(), RU))
    assert parsed.text.splitlines() == [
        "📦 Новый пуш в Harbor",
        "Репозиторий: team/app",
        "Тег: 1.27",
        "URL: harbor.example.com/team/app:1.27",
        "Автор пуша: ann",
    ]
    assert parsed.entities == (
        Entity("Bold", "Новый пуш в Harbor"),
        Entity("Bold", "Репозиторий:"),
        Entity("Bold", "Тег:"),
        Entity("Bold", "URL:"),
        Entity("Code", "harbor.example.com/team/app:1.27"),
        Entity("Bold", "Автор пуша:"),
    )


@pytest.mark.parametrize("texts", [RUSSIAN, ENGLISH], ids=["ru", "en"])
def test_both_languages_have_every_word(texts: Any) -> None:
    """A type without words would fail when its first event is told."""
    assert set(texts.titles) == set(texts.kinds) == set(EMOJI) == set(EventType)
    assert set(texts.sbom_titles) == SCAN_TYPES
    assert set(texts.labels) == set(Label)
    assert set(texts.occasions) == set(OCCASION_EMOJI) == set(Occasion)


# -- what an event may lack ----------------------------------------------------------------------------------


def lines(event: Event, style: Style = RU) -> dict[str, str]:
    """A message as people see it: what stands behind each label."""
    shown = parse(message(event, style)).text.splitlines()[1:]
    return dict(line.split(": ", 1) for line in shown)


def test_the_tag_line_shows_the_digest_of_what_has_no_tag() -> None:
    """As Harbor's webhook does; the URL names it with an @."""
    event = Event.example(tag=None)
    assert lines(event)["Тег"] == event.digest
    assert lines(event)["URL"] == f"harbor.example.com/team/app@{event.digest}"


def test_what_is_absent_is_a_dash() -> None:
    """Nothing is left out: a missing line would look like a different message."""
    event = Event.example(repository=None, tag=None, digest=None, operator="")
    assert lines(event) == {"Репозиторий": "—", "Тег": "—", "URL": "—", "Автор пуша": "—"}


def test_an_anonymous_pull_says_so() -> None:
    """Webhooks have an empty operator there; people are told."""
    event = Event.example(type=EventType.PULL_ARTIFACT, operator=ANONYMOUS)
    assert lines(event)["Пользователь"] == "anonymous"


def test_a_login_names_its_user_once() -> None:
    """Unless account and operator differ."""
    login = Event.example(type=EventType.LOGIN, repository=None, tag=None, digest=None, subject="ann", operator="ann")
    assert lines(login) == {"Учётная запись": "ann"}
    assert lines(replace(login, operator="bob")) == {"Учётная запись": "ann", "Пользователь": "bob"}


# -- scans ---------------------------------------------------------------------------------------------------


def scanned(report: Any) -> Event:
    return Event.example(type=EventType.SCANNING_COMPLETED, scan=Scan({"application/json": report}))


FINDINGS = ("Статус скана", "Продолжительность", "Критичность (макс)", "Всего уязвимостей", "Исправимо", "Сканер")


def findings(report: Any) -> tuple[str, ...]:
    shown = lines(scanned(report))
    return tuple(shown[label] for label in FINDINGS)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        pytest.param(
            {"scan_status": "Success", "severity": "None", "duration": 0, "summary": {"total": 0, "fixable": 0}},
            ("Success", "0s", "None", "0", "0", "—"),
            id="nothing found in no time",
        ),
        pytest.param(
            {"scan_status": "Error", "severity": "", "duration": 3, "summary": None},
            ("Error", "3s", "—", "—", "—", "—"),
            id="as Harbor reports a failed scan",
        ),
        pytest.param({"severity": None, "scanner": None}, ("—",) * 6, id="nulls"),
        pytest.param({}, ("—",) * 6, id="an empty report"),
        pytest.param("report", ("—",) * 6, id="a report that is text"),
        pytest.param(None, ("—",) * 6, id="a report that is null"),
        pytest.param(
            {"scan_status": 7, "severity": ["High"], "duration": "12", "summary": [1], "scanner": "Trivy"},
            ("7", "12s", "—", "—", "—", "—"),
            id="odd types",
        ),
        pytest.param(
            {"duration": 2.5, "summary": {"total": 10**5000, "fixable": True}, "scanner": {"name": "Clair"}},
            ("—", "2.5s", "—", "—", "True", "Clair"),
            id="numbers that nobody expects",
        ),
        pytest.param(
            {"duration": "soon", "scanner": {"version": "v1"}}, ("—", "soon", "—", "—", "—", "v1"), id="half a scanner"
        ),
    ],
)
def test_a_scan_message_survives_any_report(report: Any, expected: tuple[str, ...]) -> None:
    """What is there is shown, what is not is a dash."""
    assert findings(report) == expected


@pytest.mark.parametrize("scan", [None, Scan({}), Scan([]), Scan("x")])  # type: ignore[arg-type]  # that is the point
def test_a_scan_without_overview_is_told_all_the_same(scan: Scan | None) -> None:
    """Harbor sends such webhooks of what cannot be scanned."""
    event = Event.example(type=EventType.SCANNING_COMPLETED, scan=scan)
    assert all(lines(event)[label] == "—" for label in FINDINGS)


def levels(counts: Mapping[str, Any]) -> list[str]:
    shown = parse(message(scanned({"summary": {"summary": counts}}), RU)).text.splitlines()
    return shown[shown.index("Исправимо: —") + 1 : -2]


def test_severities_stand_from_worst_to_least() -> None:
    """Whatever Harbor's order; words that we do not know come last, in Harbor's order."""
    counts = {"Unknown": 1, "None": 2, "Weird": 3, "Low": 4, "negligible": 5, "Odd": 6, "Medium": 7, "High": 8}
    assert levels(counts | {"Critical": 9}) == [
        "Critical: 9",
        "High: 8",
        "Medium: 7",
        "Low: 4",
        "negligible: 5",
        "None: 2",
        "Unknown: 1",
        "Weird: 3",
        "Odd: 6",
    ]


def test_a_flood_of_severities_stays_within_telegrams_entities() -> None:
    """Entities past the hundredth are not shown: the lines are limited, and say so."""
    shown = levels({f"level {number}" * 20: number for number in range(5000)})
    assert len(shown) == 21
    assert shown[-1] == "…: +4980"


# -- what is new in a scan ------------------------------------------------------------------------------------

EN = STYLES["en"]
CVE = Finding("CVE-2026-1", "Critical", "openssl", "3.0.1", "3.0.2")


def scan_of(counts: Mapping[str, int], **facts: Any) -> Scan:
    """A completed scan that found so many; half of it has a fix."""
    total = sum(counts.values())
    summary = {"total": total, "fixable": total // 2, "summary": counts}
    severity = min(counts, key=rank, default="None")
    return Scan({"a": {"scan_status": "Success", "severity": severity, "duration": 12, "summary": summary}}, **facts)


def completed(counts: Mapping[str, int], repository: str = "team/app", **facts: Any) -> Event:
    scan = scan_of(counts, **facts)
    return Event.example(type=EventType.SCANNING_COMPLETED, repository=Repository(repository), scan=scan)


def failed(repository: str = "team/app", index: Index | None = None, kind: str = "FAILED") -> Event:
    scan = Scan({"a": {"scan_status": "Error", "duration": 3}}, index=index)
    return Event.example(type=EventType(f"SCANNING_{kind}"), repository=Repository(repository), scan=scan)


def seen(text: str) -> list[str]:
    return parse(text).text.splitlines()


def after_scanner(**facts: Any) -> list[str]:
    """What a message says between the scanner and the user."""
    shown = seen(message(completed({}, **facts), EN))
    return shown[shown.index("Scanner: —") + 1 : -1]


@pytest.mark.parametrize(
    ("new", "fixed", "words"),
    [
        ({"High": 2, "Critical": 1}, {"Low": 5}, "new 3 (1 Critical, 2 High), fixed 5 (5 Low)"),
        ({"High": 2}, {}, "new 2 (2 High)"),
        ({}, {"weird": 1, "low": 2}, "fixed 3 (2 Low, 1 weird)"),
        ({"High": 0}, {"Low": -1, "None": True}, "no changes"),
        ({}, {}, "no changes"),
    ],
)
def test_a_change_is_told_in_words_and_from_worst_to_least(
    new: Mapping[str, int], fixed: Mapping[str, int], words: str
) -> None:
    """What did not change is not counted."""
    change = Change(Since.SCAN, new, fixed)
    assert after_scanner(changes=(change,)) == [f"Since the previous scan: {words}"]
    shown = after_scanner(changes=(replace(change, since=Since.IMAGE),))
    assert shown == [f"Since the tag's previous image: {words}"]


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        (CVE, "CVE-2026-1 (Critical) openssl 3.0.1 → 3.0.2"),
        (replace(CVE, fix_version=""), "CVE-2026-1 (Critical) openssl 3.0.1, no fix"),
        (replace(CVE, package="", version=""), "CVE-2026-1 (Critical) → 3.0.2"),
        (Finding("", ""), "—, no fix"),
        (replace(CVE, package="a\nUser: eve"), "CVE-2026-1 (Critical) a␊User: eve 3.0.1 → 3.0.2"),
    ],
)
def test_a_finding_is_one_line(finding: Finding, line: str) -> None:
    """Its id as plain text, and what to update to."""
    assert after_scanner(named=(finding,), are_new=True) == ["New Critical and High: 1", line]


@pytest.mark.parametrize(
    ("facts", "label"),
    [
        ({"are_new": True, "changes": (Change(Since.SCAN, {"Critical": 1}, {}),)}, "New Critical and High"),
        ({"changes": (Change(Since.SCAN, {"Critical": 1}, {}),)}, "Critical and High, some of them new"),
        ({"changes": (Change(Since.SCAN, {"Low": 1}, {}),)}, "Critical and High"),
        ({}, "Critical and High"),
    ],
)
def test_findings_are_called_new_only_if_they_are(facts: Mapping[str, Any], label: str) -> None:
    """Without an earlier result nobody knows; and sometimes it is known only that some of them are."""
    assert f"{label}: 13" in after_scanner(named=(CVE,), unnamed=12, **facts)


def test_how_many_findings_are_not_named_is_said() -> None:
    """Whether Harbor's list was cut or this one."""
    many = tuple(replace(CVE, id=f"CVE-2026-{number}") for number in range(300))
    shown = after_scanner(named=many, unnamed=7)
    assert shown[0] == "Critical and High: 307"
    assert len(shown) == 22
    assert shown[-1] == "and 287 more"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "1 прежний результат этого образа заменён новым раньше, чем его удалось прочитать"),
        (3, "3 прежних результата этого образа заменены новыми раньше, чем их удалось прочитать"),
        (12, "12 прежних результатов этого образа заменены новыми раньше, чем их удалось прочитать"),
    ],
)
def test_results_that_nobody_could_read_are_counted(count: int, words: str) -> None:
    """They were told to nobody: the next one says so."""
    assert lines(completed({}, unread=count))["Пропущено"] == words
    assert "Пропущено" not in lines(completed({}))


@pytest.mark.parametrize("kind", sorted(SCAN_TYPES))
@pytest.mark.parametrize(("tag", "reference"), [("1.27", ":1.27"), (None, "@sha256:1d")])
def test_a_platform_is_told_as_its_image(kind: EventType, tag: str | None, reference: str) -> None:
    """Platforms have no tag of their own, and nobody knows their digests."""
    scan = scan_of({}, index=Index("sha256:1d", tag, "linux/arm64"))
    shown = lines(Event.example(type=kind, tag=None, scan=scan))
    assert shown["Тег"] == reference[1:]
    assert shown["URL"] == f"harbor.example.com/team/app{reference}"
    assert shown["Платформа"] == "linux/arm64"
    assert list(shown).index("Платформа") == list(shown).index("URL") + 1


@pytest.mark.parametrize(
    ("kind", "status", "title"),
    [
        (EventType.SCANNING_COMPLETED, "Success", "🔍 SBOM created"),
        (EventType.SCANNING_STOPPED, "Stopped", "🛑 SBOM creation stopped"),
        (EventType.SCANNING_FAILED, "Error", "⚠️ SBOM could not be created"),
    ],
)
def test_an_sbom_is_no_scan_for_vulnerabilities(kind: EventType, status: str, title: str) -> None:
    """Its message has a title of its own and no line about findings, nor any that would be empty."""
    event = Event.example(type=kind, scan=Scan({SBOM: {"scan_status": status, "duration": 6}}, SBOM))
    assert seen(message(event, EN)) == [
        title,
        "Repository: team/app",
        "Tag: 1.27",
        "URL: harbor.example.com/team/app:1.27",
        f"Status: {status}",
        "Duration: 6s",
        "User: ann",
    ]


# -- the platforms of an index ----------------------------------------------------------------------------------


def on(platform: str, event: Event, **facts: Any) -> Event:
    assert event.scan is not None
    return replace(event, scan=replace(event.scan, index=Index("sha256:1d", "1.27", platform), **facts))


def test_platforms_are_told_as_one_image() -> None:
    """Sums over the platforms, each finding named once, and what cannot be known is left out."""
    change = Change(Since.SCAN, {"Critical": 1}, {})
    other = replace(CVE, package="libssl")
    text = image_message(
        [
            on("amd64", completed({"Low": 4}), changes=(change,), named=(CVE,), are_new=True, unread=1),
            on(
                "arm64",
                completed({"Critical": 1, "Low": 1}),
                changes=(change, replace(change, since=Since.IMAGE)),
                named=(CVE, other),
                are_new=True,
            ),
            on("s390x", completed({}), changes=(replace(change, new={}),)),
        ],
        EN,
    )
    assert seen(text) == [
        "🔍 Scan completed",
        "Repository: team/app",
        "Tag: 1.27",
        "URL: harbor.example.com/team/app:1.27",
        "Duration (max): 12s",
        "Severity (max): Critical",
        "Vulnerabilities (sum over platforms): 6 (1 Critical, 5 Low)",
        "Fixable: 3",
        "arm64: Success, 2 (1 Critical, 1 Low), fixable 1",
        "amd64: Success, 4 (4 Low), fixable 2",
        "s390x: Success, without vulnerabilities",
        "Since the previous scan: new 2 (2 Critical)",
        "New Critical and High: 2",
        "CVE-2026-1 (Critical) openssl 3.0.1 → 3.0.2",
        "CVE-2026-1 (Critical) libssl 3.0.1 → 3.0.2",
        "Missed: 1 earlier result of this image was replaced before it could be read",
        "User: ann",
    ]


def test_the_worst_outcome_is_the_title() -> None:
    """Failed before stopped before completed; whatever the order of the events."""
    events = [on("a", completed({})), on("b", failed(kind="STOPPED")), on("c", failed())]
    assert seen(image_message(events, EN))[0] == "⚠️ Scan failed"
    assert seen(image_message(events[:2], EN))[0] == "🛑 Scan stopped"
    platforms = seen(image_message(events, EN))[-4:-1]
    assert platforms == ["c: Error", "b: Error", "a: Success, without vulnerabilities"]


def test_an_image_of_which_nothing_could_be_scanned_has_no_figures() -> None:
    """Zeros would look like good news."""
    shown = seen(image_message([on("a", failed()), on("b", failed())], EN))
    assert shown[4:] == ["Duration (max): 3s", "a: Error", "b: Error", "User: ann"]


def test_of_a_platforms_results_the_later_counts() -> None:
    """A scan that failed and was repeated has not failed."""
    repaired = replace(on("a", completed({"Low": 2})), occurred_at=NOON + timedelta(hours=1))
    text = image_message([repaired, on("a", failed())], EN)
    assert seen(text)[0] == "🔍 Scan completed"
    assert sum(line.startswith("a: ") for line in seen(text)) == 1


def test_findings_that_platforms_leave_unnamed_may_be_the_same() -> None:
    """So their number is a lower bound, and is called that."""
    platforms = [on(name, completed({}), named=(CVE,), unnamed=5) for name in ("a", "b")]
    shown = seen(image_message(platforms, EN))
    assert "Critical and High: at least 6" in shown
    assert "and 5 more" in shown


def test_dozens_of_platforms_fit() -> None:
    """The worst are shown, and how many are not."""
    names = [f"linux/arm/v{number}" for number in range(70)]
    text = image_message([on(name, completed({"Critical": 9, "Low": 5})) for name in names], EN)
    assert units(parse(text).text) <= LIMIT
    assert len(parse(text).entities) < 60
    assert "and 30 more" in seen(text)


def test_an_index_is_one_item_of_a_digest() -> None:
    """Its platforms have digests that nobody knows."""
    events = [replace(on(name, completed({})), tag=None, digest=f"sha256:{name}") for name in ("a", "b")]
    assert quoted(digest(events, EN, Occasion.BACKLOG)) == ["🔍 team/app: 1.27 ×2 (ann)"]


# -- a scan of everything ---------------------------------------------------------------------------------------


def mass(*events: Event) -> str:
    scan = MassScan()
    for event in events:
        scan.add(event)
    return scan.message(EN)


def test_a_mass_scan_is_one_calm_message() -> None:
    """What is new and bad comes first, with its ids; then the worst; then what failed."""
    news = Change(Since.SCAN, {"Critical": 1}, {"Low": 2})
    unchanged = replace(news, new={}, fixed={})
    text = mass(
        completed({}, "team/clean", changes=(unchanged,)),
        completed({"Low": 3}, "team/low", changes=(unchanged,)),
        completed({"Critical": 9}, "team/old"),
        completed({"High": 1}, "team/high"),
        completed({"Critical": 1, "Low": 1}, "team/new", changes=(news,), named=(CVE,), are_new=True),
        Event.example(type=EventType.SCANNING_COMPLETED, scan=None),
        failed("team/broken"),
        failed("team/broken"),
        failed("team/stopped", kind="STOPPED"),
        failed("team/platform", Index("sha256:1d", None, "linux/arm64")),
    )
    assert seen(text) == [
        "🔎 Mass scan completed",
        "Period: 2026-11-24 13:00 CET",
        "Total: 10 scans",
        "🔍 Scans completed: 6",
        "🛑 Scans stopped: 1",
        "⚠️ Scans failed: 3",
        "Images by worst severity: 2 Critical, 1 High, 1 Low, 1 without figures, 1 without vulnerabilities",
        "Vulnerabilities: 15",
        "Fixable: 6",
        "Since the earlier results: new 1 (1 Critical), fixed 2 (2 Low)",
        "Worst images:",
        "🆕 team/new:1.27: 1 Critical, 1 Low; new 1 (1 Critical): CVE-2026-1",
        "team/old:1.27: 9 Critical",
        "team/high:1.27: 1 High",
        "team/low:1.27: 3 Low",
        "Could not be scanned:",
        "team/broken:1.27 ×2",
        "team/platform@sha256:1d (linux/arm64)",
    ]
    assert quoted(text)[0] == "Worst images:"


def test_ids_that_may_be_old_are_not_called_new() -> None:
    """Where only the number of new findings is known."""
    change = Change(Since.SCAN, {"High": 1}, {})
    text = mass(completed({"High": 9}, changes=(change,), named=(CVE,), unnamed=8))
    assert quoted(text)[1] == "🆕 team/app:1.27: 9 High; new 1 (1 High): perhaps CVE-2026-1, +8"


def test_a_mass_scan_without_bad_news_is_short() -> None:
    """And one of nothing is still a message."""
    assert seen(mass(completed({})))[2:] == [
        "Total: 1 scan",
        "🔍 Scans completed: 1",
        "Images by worst severity: 1 without vulnerabilities",
        "Vulnerabilities: 0",
        "Fixable: 0",
    ]
    assert seen(mass())[1:] == ["Period: —", "Total: 0 scans"]


def test_a_failure_that_was_mended_is_no_failure() -> None:
    """The image was scanned again, and that was completed."""
    text = mass(failed("team/app"), failed("team/broken"), completed({"Low": 1}, "team/app"))
    assert quoted(text) == ["Worst images:", "team/app:1.27: 1 Low", "Could not be scanned:", "team/broken:1.27"]


def test_what_is_no_scan_for_vulnerabilities_is_not_counted() -> None:
    """An SBOM run or a push in between."""
    assert mass(Event.example(), completed({}, scan_type=SBOM)) == mass()


def test_any_number_of_images_is_summed_up_in_bounded_memory() -> None:
    """Ten of the worst and ten failures are kept, whatever their order; the rest is counted."""
    scan = MassScan()
    for number in range(20_000):
        name = f"team/app{number:06}"
        counts = {"Critical": number % 7919, f"odd {number % 1000}": 1}
        scan.add(failed(name) if number % 1000 == 1 else completed(counts, name))
    text = scan.message(RU)
    assert len(pickle.dumps(scan)) < 10_000
    assert "Всего: 20000 сканирований" in seen(text)
    shown = quoted(text)
    worst = sorted((-(number % 7919), number) for number in range(20_000) if number % 1000 != 1)[:10]
    assert [line.split(":")[0] for line in shown[1:11]] == [f"team/app{number:06}" for _, number in worst]
    assert len(shown) == 23
    assert shown[-1] == "+10"


def test_what_is_not_named_is_counted_by_heads() -> None:
    """However much each of them did; beyond twice as many as are kept nobody counts."""
    pulls, repeated = Pulls(), Pulls()
    for number in range(330):
        repeated.add(Event.example(type=EventType.PULL_ARTIFACT, source_id=number, operator=f"op{number % 110}"))
        pulls.add(Event.example(type=EventType.PULL_ARTIFACT, source_id=number, operator=f"op{number}"))
    assert plain(repeated.message(EN)).count("+100") == 1
    assert plain(pulls.message(EN)).count("+190…") == 1


# -- an image and what belongs to it -----------------------------------------------------------------------------

PUSH = Event.example()
SIGNATURE = Event.example(tag="sha256-50bd.sig", digest="sha256:516", source_id=9)


def family(*events: Event, style: Style = EN, **known: Any) -> dict[str, str]:
    """What stands behind each label of the message about the push and these events."""
    text = family_message(PUSH, events, Family(**known), style)
    return dict(line.split(": ", 1) for line in seen(text)[1:] if ": " in line)


def pushed(source_id: int, **facts: Any) -> Event:
    return Event.example(source_id=source_id, **facts)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize("push", [PUSH, replace(PUSH, tag=None), replace(PUSH, digest=None, repository=None)])
def test_a_push_of_which_nothing_more_is_known_is_told_as_ever(push: Event, style: Style) -> None:
    """With or without itself among the events."""
    assert family_message(push, [], Family(), style) == message(push, style)
    assert family_message(push, [push], Family(), style) == message(push, style)


def test_all_tags_of_an_image_are_in_its_message() -> None:
    """Each once, in the order of their pushes, by whoever pushed them."""
    latest = pushed(3, tag="latest", operator="bob", occurred_at=NOON + timedelta(minutes=1))
    again, by_digest = pushed(4, occurred_at=NOON + timedelta(minutes=2)), pushed(5, tag=None)
    shown = family(again, latest, by_digest)
    assert shown == {
        "Repository": "team/app",
        "Tags": "1.27, latest",
        "URL": "harbor.example.com/team/app:1.27",
        "Pushed by": "ann, bob",
    }


def test_a_push_by_digest_is_shown_by_the_tag_that_followed() -> None:
    """As buildx does it: the index by its digest, then under its name."""
    head = replace(PUSH, tag=None)
    assert family_message(head, [head, pushed(2)], Family(), EN) == message(PUSH, EN)


def test_an_image_elsewhere_is_not_the_same() -> None:
    """The same digest in another repository, or the same tag of another image."""
    elsewhere = pushed(2, repository=Repository("team/copy"))
    assert family(elsewhere, pushed(3, digest="sha256:77"))["Attached"] == "+2"


def test_what_belongs_to_an_image_is_named() -> None:
    """By words that people know; what nobody knows by Harbor's."""
    attached = ("sbom.harbor", "attestation", "attestation", "subject.accessory", "accessory.nydus", "new.kind")
    shown = family(SIGNATURE, platforms=("linux/amd64", "linux/arm64"), attached=("signature.cosign", *attached))
    assert shown["Platforms"] == "linux/amd64, linux/arm64"
    assert shown["Signed"] == "yes (cosign)"
    assert shown["Attached"] == "SBOM, attestation ×2, other, Nydus, new.kind"
    russian = family(SIGNATURE, attached=("signature.cosign", *attached), style=RU)
    assert russian["Подписан"] == "да (cosign)"
    assert russian["Приложено"] == "SBOM, аттестация ×2, прочее, Nydus, new.kind"


@pytest.mark.parametrize(
    ("attached", "words"),
    [
        (("signature",), "yes"),
        (("signature", "signature.cosign", "signature.notation", "signature.cosign"), "yes (cosign ×2, notation)"),
    ],
)
def test_an_image_is_signed_however_that_is_known(attached: tuple[str, ...], words: str) -> None:
    """By its tags alone, or by what Harbor says of it."""
    assert family(attached=attached)["Signed"] == words
    assert "Attached" not in family(attached=attached)


def test_who_signed_its_platforms_did_not_sign_an_image() -> None:
    """How many of them are signed is said, and nothing that sounds like more."""
    some = Family(("linux/amd64", "linux/arm64"), (), 1)
    assert "\nSigned: platforms: 1 of 2\n" in plain(family_message(PUSH, [PUSH], some, EN)) + "\n"
    assert "\nПодписан: платформы: 1 из 2\n" in plain(family_message(PUSH, [PUSH], some, RU)) + "\n"
    whole = replace(some, attached=("signature.cosign",))
    assert "\nSigned: yes (cosign)\n" in plain(family_message(PUSH, [PUSH], whole, EN)) + "\n"


def test_pushes_that_nobody_could_look_at_are_counted() -> None:
    """Until it is known what they are."""
    assert family(SIGNATURE, pushed(8, tag=None, digest="sha256:8"))["Attached"] == "+2"
    assert "Attached" not in family(SIGNATURE, attached=("signature.cosign",))


def scan_line(*scans: Event) -> str:
    return family(*scans)["Scan"]


def test_an_images_scan_is_one_line() -> None:
    """However it ended."""
    assert scan_line(completed({"Critical": 2, "Low": 41})) == "Success, 43 (2 Critical, 41 Low), fixable 21"
    assert scan_line(completed({})) == "Success, without vulnerabilities"
    assert scan_line(failed()) == "⚠️ failed (Error)"
    assert scan_line(failed(kind="STOPPED")) == "🛑 stopped (Error)"
    assert scan_line(scanned({"scan_status": "Success", "severity": "High"})) == "Success, High"


def platform(name: str, event: Event, **facts: Any) -> Event:
    return replace(on(name, event, **facts), tag=None, digest=f"sha256:{name}")


def test_scans_of_platforms_are_summed_up() -> None:
    """And those that brought no result are named."""
    bad, low = completed({"Critical": 2, "Low": 4}), completed({"Low": 2})
    assert scan_line(platform("a", low), platform("b", bad)) == (
        "Success ×2, worst severity: Critical, 8 (2 Critical, 6 Low), fixable 4"
    )
    assert scan_line(platform("a", completed({})), platform("b", completed({}))) == (
        "Success ×2, without vulnerabilities"
    )
    assert scan_line(platform("a", failed()), platform("b", bad), platform("c", failed(kind="STOPPED"))) == (
        "Success, 6 (2 Critical, 4 Low), fixable 3; ⚠️ failed: a (Error); 🛑 stopped: c (Error)"
    )
    without = scanned({"scan_status": "Success", "severity": "High"})
    assert scan_line(platform("a", without), platform("b", completed({}))) == (
        "Success ×2, worst severity: High, without vulnerabilities, 1 without figures"
    )


def test_of_an_artifacts_scans_the_latest_counts() -> None:
    """In any order; and what Harbor says of an index is not added to what it says of its platforms."""
    repaired = replace(platform("a", completed({"Low": 2})), occurred_at=NOON + timedelta(hours=1))
    assert scan_line(repaired, platform("a", failed())) == "Success, 2 (2 Low), fixable 1"
    assert scan_line(repaired, completed({"Low": 2})) == "Success, 2 (2 Low), fixable 1"
    assert scan_line(repaired, failed()).endswith("; ⚠️ failed: sha256:50bd50bd50bd… (Error)")


def test_news_of_a_pushed_image_stand_in_its_message() -> None:
    """What is new since the tag's last image, and by which names."""
    change = Change(Since.IMAGE, {"Critical": 1}, {})
    text = family_message(
        PUSH, [completed({"Critical": 1}, changes=(change,), named=(CVE,), are_new=True)], Family(), EN
    )
    assert seen(text)[6:] == [
        "Since the tag's previous image: new 1 (1 Critical)",
        "New Critical and High: 1",
        "CVE-2026-1 (Critical) openssl 3.0.1 → 3.0.2",
    ]


def test_an_sbom_that_was_made_is_attached_and_one_that_was_not_is_told() -> None:
    """It is no scan for vulnerabilities."""
    made = completed({}, scan_type=SBOM)
    assert family(made)["Attached"] == "SBOM"
    assert family(made, attached=("sbom.harbor",))["Attached"] == "SBOM"
    unmade = replace(made, type=EventType.SCANNING_FAILED)
    assert seen(family_message(PUSH, [unmade], Family(), EN))[-1] == "⚠️ SBOM could not be created"


def test_the_scan_of_a_pushed_image_links_to_its_findings() -> None:
    """As its tags link to the image."""
    found = links(family_message(PUSH, [pushed(2, tag="b"), completed({})], Family(), linked()))
    page = f"{PAGES}/app/artifacts-tab/artifacts/{DIGEST}"
    assert found["1.27, b"] == page
    assert found["Success, without vulnerabilities"] == f"{page}?tab=vulnerability"


# -- repeated pulls --------------------------------------------------------------------------------------------


def pulls(*events: Event) -> str:
    told = Pulls()
    for event in events:
        told.add(event)
    return told.message(EN)


PULL = Event.example(type=EventType.PULL_ARTIFACT)


def test_a_single_pull_is_told_as_ever() -> None:
    """Counting to one helps nobody; and nothing is still a message."""
    assert pulls(PULL) == message(PULL, EN)
    assert seen(pulls()) == ["📥 Pull from Harbor", "Pulls: ×0", "Period: —"]


def test_repeated_pulls_are_counted_in_the_message_of_the_first() -> None:
    """Whatever the order in which they are added."""
    later = [replace(PULL, occurred_at=NOON + timedelta(minutes=number)) for number in range(60)]
    assert seen(pulls(*reversed(later))) == [
        "📥 Pull from Harbor",
        "Repository: team/app",
        "Tag: 1.27",
        "URL: harbor.example.com/team/app:1.27",
        "User: ann",
        "Pulls: ×60",
        "Period: 2026-11-24 13:00–13:59 CET",
    ]


def test_pulls_by_several_names_are_counted_by_name() -> None:
    """Tags of one image, its digest, and whoever pulled it."""
    by_bob, by_digest = replace(PULL, tag="latest", operator="bob"), replace(PULL, tag=None, operator="")
    shown = seen(pulls(PULL, PULL, by_bob, by_digest))
    assert shown[2] == "Tags: 1.27 ×2, latest, sha256:50bd50bd50bd…"
    assert shown[4] == "User: ann ×2, bob, —"


def test_any_number_of_pulls_is_counted_in_bounded_memory() -> None:
    """By anybody and under any name."""
    told = Pulls()
    for number in range(20_000):
        told.add(replace(PULL, tag=f"v{number}", operator=f"user{number}"))
    shown = seen(told.message(EN))
    assert shown[2] == f"Tags: {', '.join(f'v{number}' for number in range(10))}, +190…"
    assert shown[4].endswith(", user9, +190…")
    assert shown[5] == "Pulls: ×20000"
    assert len(pickle.dumps(told)) < 10_000


# -- runs of deletions or pushes ---------------------------------------------------------------------------------


def run(*events: Event, style: Style = EN) -> str:
    told = Run()
    for event in events:
        told.add(event)
    return told.message(style)


def deleted(name: str, tag: str = "", kind: str = "DELETE_ARTIFACT", operator: str = "ann") -> Event:
    """`name`: a repository, or a project."""
    repository = Repository(name) if "/" in name else None
    subject = "" if repository else name
    return Event.example(
        type=EventType(kind), repository=repository, subject=subject, tag=tag or None, digest=None, operator=operator
    )


@pytest.mark.parametrize("event", examples(), ids=lambda event: event.type)
def test_a_run_of_one_is_told_as_ever(event: Event) -> None:
    """Whatever it is; and a run of nothing is still a message."""
    assert run(event) == message(event, EN)
    assert seen(run()) == ["📚 Events in Harbor", "Total: 0 events", "Period: —"]


def test_a_clean_up_is_one_message_with_a_line_for_each_repository() -> None:
    """Whose it is stands above; the list need not repeat it."""
    told = [deleted(f"team/{name}", f"v{number}") for name in ("web", "app") for number in range(3)]
    told += [Event.example(type=EventType.DELETE_ARTIFACT, tag=None), deleted("team/web", "old", "TAG_DELETED")]
    text = run(*(replace(event, operator="harbor-jobservice") for event in told))
    assert seen(text) == [
        "🗑️ Clean-up in Harbor: 7 images deleted",
        "Repositories: 2",
        "Total: 7 images, 1 tag",
        "Period: 2026-11-24 13:00 CET",
        "User: harbor-jobservice",
        "🗑️ team/web: v0, v1, v2",
        "🗑️ team/app: v0, v1, v2, sha256:50bd50bd50bd…",
        "✂️ team/web: old",
    ]
    assert len(quoted(text)) == 3


@pytest.mark.parametrize(
    ("count", "title"),
    [
        (2, "🗑️ Очистка в Harbor: удалено 2 образа"),
        (11, "🗑️ Очистка в Harbor: удалено 11 образов"),
        (21, "🗑️ Очистка в Harbor: удалён 21 образ"),
    ],
)
def test_a_clean_up_is_counted_in_russian(count: int, title: str) -> None:
    """The verb goes with the number, too."""
    images = [deleted("team/app", f"v{number}", operator="harbor-jobservice") for number in range(count)]
    assert seen(run(*images, style=RU))[0] == title


def test_a_clean_up_of_tags_alone_counts_tags() -> None:
    """No image was deleted."""
    tags = [deleted("team/app", tag, "TAG_DELETED", "harbor-jobservice") for tag in "ab"]
    assert seen(run(*tags))[:3] == ["🗑️ Clean-up in Harbor: 2 tags deleted", "Repository: team/app", "Total: 2 tags"]


def test_a_deleted_repository_is_named_with_what_was_in_it() -> None:
    """It stands first in the list, whenever it was met."""
    images = [deleted("team/app", f"v{number}") for number in range(12)]
    assert seen(run(*images, deleted("team/app", kind="REPOSITORY_DELETED"))) == [
        "🧹 Repository deleted in Harbor",
        "Repository: team/app",
        "Total: 12 images, 1 repository",
        "Period: 2026-11-24 13:00 CET",
        "User: ann",
        "🧹 team/app",
        "🗑️ team/app: " + ", ".join(f"v{number}" for number in range(12)),
    ]


def test_a_repository_that_was_not_all_that_was_deleted_gives_no_name() -> None:
    """It would take the blame, or the figures, of the others; the list has it first."""
    gone = [deleted("team/gone", "v1"), deleted("team/gone", kind="REPOSITORY_DELETED")]
    shown = seen(run(deleted("team/app", "v1"), *gone))
    assert shown[:3] == ["🗑️ Deletions in Harbor", "Repositories: 2", "Total: 2 images, 1 repository"]
    assert shown[5] == "🧹 team/gone"


def test_what_belongs_to_the_images_of_a_run_is_only_counted() -> None:
    """The names of signatures say nothing. Results of scans do not change what it is about."""
    told = Run()
    for number in range(3):
        told.add(Event.example(tag=f"v{number}"))
        told.add(SIGNATURE, is_part=True)
    told.add(scanned("Low"))
    shown = seen(told.message(EN))
    assert shown[0] == "📦 Pushes into team"
    assert shown[2:4] == ["Total: 3 pushes, Scans completed: 1", "Attached: +3"]
    assert not any(".sig" in line for line in shown)


def test_a_deleted_project_is_named_with_its_repositories() -> None:
    """Several of them are counted."""
    repositories = [deleted(f"sandbox/{name}", kind="REPOSITORY_DELETED") for name in "ab"]
    shown = seen(run(*repositories, deleted("sandbox", kind="PROJECT_DELETED")))
    assert shown[:4] == [
        "🧨 Project deleted in Harbor",
        "Project: sandbox",
        "Repositories: sandbox/a, sandbox/b",
        "Total: 2 repositories, 1 project",
    ]
    projects = [deleted(name, kind="PROJECT_DELETED") for name in "ab"]
    assert seen(run(*projects))[:2] == ["🧨 Projects deleted in Harbor", "Project: a, b"]
    assert seen(run(*repositories))[:2] == ["🧹 Repositories deleted in Harbor", "Repositories: sandbox/a, sandbox/b"]


def test_deletions_by_people_name_them() -> None:
    """In the list, too, where they are several."""
    text = run(deleted("team/app", "a"), deleted("team/app", "b"), deleted("team/web", "a", operator="bob"))
    assert seen(text)[0] == "🗑️ Deletions in Harbor"
    assert seen(text)[4] == "User: ann ×2, bob"
    assert quoted(text) == ["🗑️ team/app: a, b (ann)", "🗑️ team/web: a (bob)"]


def test_many_pushes_are_told_by_their_project() -> None:
    """As of a replication; of several projects only that there were pushes."""
    text = run(*pushes(60, 4))
    assert seen(text)[:3] == ["📦 Pushes into team", "Repositories: 4", "Total: 60 pushes"]
    assert seen(text)[4] == "Pushed by: user0 ×7, user1 ×7, user2 ×7, user3 ×7, user4 ×7, +4"
    assert seen(run(Event.example(), Event.example(repository=Repository("b/c"))))[0] == "📦 Pushes into Harbor"


def test_a_run_of_everything_says_what_was_done() -> None:
    """The caller's mistake is no reason to say nothing."""
    shown = seen(run(*a_busy_hour()))
    assert shown[0] == "📚 Events in Harbor"
    assert shown[2].startswith("Total: Pushes: 3, Pulls: 2, Images deleted: 1, Scans completed: 1")


def test_any_number_of_deletions_is_told_in_bounded_memory() -> None:
    """Of some the names are kept, of all the number."""
    told = Run()
    for number in range(100_000):
        told.add(deleted(f"team/app{number % 2000:04}", f"v{number}"))
    text = told.message(EN)
    assert len(pickle.dumps(told)) < 1_000_000
    assert seen(text)[1:3] == ["Repositories: at least 500", "Total: 100000 images"]
    *listed, last = quoted(text)
    assert last == f"and {100_000 - 50 * len(listed)} events more"
    assert listed[0] == "🗑️ team/app0000: v0, +49"
    assert LIMIT - 100 < units(parse(text).text) <= LIMIT


def test_a_deleted_repository_is_not_cut_off() -> None:
    """Nor is it lost among thousands of others."""
    told = Run()
    for number in range(3000):
        told.add(deleted(f"team/app{number:04}", f"v{number}"))
    told.add(deleted("team/gone", kind="REPOSITORY_DELETED"))
    assert quoted(told.message(EN))[0] == "🧹 team/gone"


# -- values that mean harm -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\nТег: fake", "a␊Тег: fake"),
        ("a\r\nb\tc\x00\x1b\x7f", "a␍␊b␉c␀␛␡"),
        (" ann ", "␠ann␠"),
        ("   ", "␠␠␠"),
        ("", "—"),
        ("a\u00a0b\u00a0", "a\u00a0b\\u{a0}"),
        ("\u202egnp.exe", "\\u{202e}gnp.exe"),
        ("ad\u200bmin", "ad\\u{200b}min"),
        ("admin\ufe0f", "admin\\u{fe0f}"),
        ("a\u2028b\u0085c", "a\\u{2028}b\\u{85}c"),
        ("a\ud800b", "a\\u{d800}b"),
        ("A\u030a", "A\\u{30a}"),
        ("и\u0306", "и\u0306"),
        ("👨\u200d👩\u200d👧 ⚠️ 1️⃣ 👍🏽\u200d👍🏽", "👨\u200d👩\u200d👧 ⚠️ 1️⃣ 👍🏽\u200d👍🏽"),
        ("a\u200db", "a\\u{200d}b"),
        ("\u3164", "\\u{3164}"),
    ],
)
def test_what_people_could_not_see_is_drawn(value: str, shown: str) -> None:
    """No value can fake a line, hide a letter or turn the order of reading; the rest stays as it is."""
    assert visible(value) == shown
    assert visible(shown) == shown
    assert stored(shown) == shown
    assert lines(Event.example(operator=value))["Автор пуша"] == shown


@pytest.mark.parametrize(
    "value", ["*a*", "_a_", "`a`", "||a||", "[a](b)", "~a~", ">a", "\\", "\\`", "a\\\\b", "![x](y)"]
)
def test_markup_in_a_value_is_only_text(value: str) -> None:
    """In plain lines and in code; and the values stand where they belong."""
    event = Event.example(repository=Repository(f"team/{value}"), tag=value, operator=value)
    parsed = parse(message(event, RU))
    assert lines(event) == {
        "Репозиторий": f"team/{value}",
        "Тег": value,
        "URL": f"harbor.example.com/team/{value}:{value}",
        "Автор пуша": value,
    }
    assert [entity.kind for entity in parsed.entities] == ["Bold"] * 4 + ["Code"] + ["Bold"]
    assert parsed.text == plain(message(event, RU))


def test_extra_escapes_come_on_top_of_telegrams_own() -> None:
    """The article's list lacks the dot; letters, other alphabets and control characters do no harm."""
    style = replace(RU, extra_escapes="_*[]()~`>#+-=|{}!\\aЖ\x00\n\x7f1 :🙂")
    assert escape("v1.27 a", style.extra_escapes) == r"v\1\.27\ \a"
    event = Event.example(operator="Ж a\x7f🙂")
    assert parse(message(event, style)) == parse(message(event, RU))
    assert plain(message(event, style)) == plain(message(event, RU))
    assert parse(digest([event], style, Occasion.BACKLOG)) == parse(digest([event], RU, Occasion.BACKLOG))


def test_code_escapes_only_backtick_and_backslash() -> None:
    """Anything else escaped in code would be shown with its backslash on some clients."""
    assert code("a.b`c\\d") == "`a.b\\`c\\\\d`"
    assert parse(code("a.b`c\\d")).text == plain(code("a.b`c\\d")) == "a.b`c\\d"


# -- links ---------------------------------------------------------------------------------------------------

HARBOR = "https://harbor.example.com"
PAGES = f"{HARBOR}/harbor/projects/7/repositories"
DIGEST = "sha256:" + "50bd" * 16


PORTAL = Portal(HARBOR, {"team": 7}.get)


def linked(url: str = HARBOR) -> Style:
    return replace(EN, portal=replace(PORTAL, url=url))


def links(text: str) -> dict[str, str]:
    return {entity.text: entity.url for entity in parse(text).entities if entity.kind == "TextUrl"}


@pytest.mark.parametrize("name", golden_texts())
def test_links_change_nothing_that_people_see(name: str) -> None:
    """Nor what is sent where Telegram takes no markup."""
    told = golden_texts(PORTAL)[name]
    assert plain(told) == parse(told).text == plain(golden_texts()[name])


def test_names_and_findings_link_to_harbors_pages() -> None:
    """The repository, the artifact, what its scan found; the URL stays to be copied."""
    (event,) = (example for example in examples() if example.type is EventType.SCANNING_COMPLETED)
    event = replace(event, repository=Repository("team/web/app"))
    artifact = f"{PAGES}/web%2Fapp/artifacts-tab/artifacts/{DIGEST}"
    assert links(message(event, linked())) == {
        "team/web/app": f"{PAGES}/web%2Fapp/artifacts-tab",
        "1.27": artifact,
        "Critical": f"{artifact}?tab=vulnerability",
        "43": f"{artifact}?tab=vulnerability",
    }


def test_a_platforms_tag_links_to_its_image_and_its_findings_to_itself() -> None:
    """The message shows the image's tag, and what one platform's scan found."""
    found = links(message(on("linux/arm64", completed({"High": 3})), linked()))
    assert found["1.27"] == f"{PAGES}/app/artifacts-tab/artifacts/sha256:1d"
    assert found["High"] == f"{PAGES}/app/artifacts-tab/artifacts/{DIGEST}?tab=vulnerability"


def test_an_images_sums_link_to_its_findings() -> None:
    """Harbor sums them up on the index's page, too."""
    page = f"{PAGES}/app/artifacts-tab/artifacts/sha256:1d"
    assert links(image_message([on("a", completed({"High": 3})), on("b", completed({}))], linked())) == {
        "team/app": f"{PAGES}/app/artifacts-tab",
        "1.27": page,
        "High": f"{page}?tab=vulnerability",
        "3 (3 High)": f"{page}?tab=vulnerability",
    }


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Event.example(type=EventType.DELETE_ARTIFACT), {"team/app": f"{PAGES}/app/artifacts-tab"}),
        (Event.example(digest=None), {"team/app": f"{PAGES}/app/artifacts-tab"}),
        (Event.example(type=EventType.REPOSITORY_DELETED, tag=None, digest=None), {}),
        (Event.example(type=EventType.PROJECT_UPDATED, repository=None, subject="team"), {"team": PAGES}),
        (Event.example(type=EventType.PROJECT_DELETED, repository=None, subject="team"), {}),
        (Event.example(repository=Repository("other/app")), {}),
        (Event.example(repository=Repository("team")), {}),
        (Event.example(repository=None), {}),
    ],
)
def test_nothing_links_to_what_is_gone_or_not_known(event: Event, expected: Mapping[str, str]) -> None:
    """A page that Harbor has not got helps nobody."""
    assert links(message(event, linked())) == expected


@pytest.mark.parametrize("url", ["https://harbor", "http://[::1]", "ftp://harbor.example.com", "", "https://[x"])
def test_what_telegram_would_drop_is_no_link(url: str) -> None:
    """Then the message is what it is without a portal."""
    assert message(Event.example(), linked(url)) == message(Event.example(), EN)


def test_an_address_cannot_end_its_link() -> None:
    """Names are quoted, and the two characters that mean something there are escaped."""
    event = Event.example(repository=Repository("team/a)b\\c\ud800?#"), digest="sha256:)\\&tab=x")
    text = message(event, linked("https://h.example/a)\\b"))
    page = "https://h.example/a)\\b/harbor/projects/7/repositories/a%29b%5Cc%3F%3F%23/artifacts-tab"
    assert list(links(text).values()) == [page, f"{page}/artifacts/sha256:%29%5C%26tab%3Dx"]
    assert plain(text) == parse(text).text == parse(message(event, EN)).text


# -- length --------------------------------------------------------------------------------------------------


def test_a_value_that_fits_is_shown_whole() -> None:
    """Even of 255 emoji, or Harbor's longest resource."""
    event = Event.example(repository=Repository("team/" + "a" * 1018), tag="b" * 128, operator="🙂" * 255)
    shown = lines(event)
    assert shown["Автор пуша"] == "🙂" * 255
    assert shown["URL"] == event.resource_url


def test_only_the_longest_values_are_shortened() -> None:
    """And as little as it takes: the message is full to the last unit or the one before it."""
    event = Event.example(repository=Repository("team/" + "🙂" * 2000), operator="short")
    shown = lines(event)
    assert shown["Тег"] == "1.27"
    assert shown["Автор пуша"] == "short"
    assert shown["Репозиторий"].startswith("team/🙂")
    assert shown["Репозиторий"].endswith("🙂…")
    assert shown["URL"].endswith("🙂…")
    assert LIMIT - 3 <= units(parse(message(event, RU)).text) <= LIMIT


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("🙂🙂🙂", 5, "🙂🙂…"),
        ("🙂🙂🙂", 4, "🙂…"),
        ("xи\u0306и\u0306", 4, "xи\u0306…"),
        ("x👨\u200d👩\u200d👧", 8, "x…"),
        ("x👍🏽y", 4, "x…"),
        ("🇷🇺🇩🇪🇫🇷", 8, "🇷🇺…"),
        ("e\u0301\u0301\u0301\u0301", 3, "e\u0301…"),
        ("abc", 1, "…"),
    ],
)
def test_shortening_leaves_characters_whole(text: str, limit: int, shown: str) -> None:
    """Neither a surrogate pair nor a flag, a family or an accent is cut apart, unless nothing else is left."""
    assert shorten(text, limit) == shown
    assert units(shown) <= limit


def test_fit_takes_from_the_longest() -> None:
    """Short values are never touched while a longer one can give."""
    assert fit(["a" * 10, "b" * 4, "c" * 30], 24) == ["a" * 10, "b" * 4, "c" * 9 + "…"]
    assert fit(["a" * 10, "b" * 4], 14) == ["a" * 10, "b" * 4]


# -- digests -------------------------------------------------------------------------------------------------


def quoted(text: str) -> list[str]:
    """The list behind the quotation, as people see it."""
    (found,) = (entity.text for entity in parse(text).entities if entity.kind == "ExpandableBlockQuote")
    return found.rstrip("\n").splitlines()


def pushes(count: int, repositories: int, tag: str = "v{}") -> list[Event]:
    return [
        Event.example(repository=Repository(f"team/app{i % repositories}"), tag=tag.format(i), operator=f"user{i % 9}")
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 событий"),
        (1, "1 событие"),
        (2, "2 события"),
        (5, "5 событий"),
        (11, "11 событий"),
        (14, "14 событий"),
        (21, "21 событие"),
        (22, "22 события"),
        (111, "111 событий"),
        (1001, "1001 событие"),
    ],
)
def test_russian_plurals(count: int, words: str) -> None:
    """The numbers from 11 to 14 are the trap."""
    assert f"Всего: {words}\n" in plain(digest(pushes(count, 1), RU, Occasion.BACKLOG)) + "\n"


def test_equal_names_are_counted_in_order_of_their_first_event() -> None:
    """One line per type and repository."""
    one, two = Repository("team/one"), Repository("team/two")
    events = [
        Event.example(repository=two, tag="b", operator="bob"),
        Event.example(repository=one, tag="a"),
        Event.example(repository=two, tag="a"),
        Event.example(repository=two, tag="b"),
        Event.example(repository=two, tag="b", type=EventType.PULL_ARTIFACT),
    ]
    assert quoted(digest(events, RU, Occasion.BACKLOG)) == [
        "📦 team/two: b ×2, a (bob, ann)",
        "📦 team/one: a (ann)",
        "📥 team/two: b (ann)",
    ]


@pytest.mark.parametrize(
    ("zone", "first", "last", "period"),
    [
        (MOSCOW, NOON, NOON, "24.11.2026 15:00 MSK"),
        (MOSCOW, NOON, NOON + timedelta(minutes=90), "24.11.2026 15:00–16:30 MSK"),
        (MOSCOW, NOON, NOON + timedelta(hours=9), "24.11.2026 15:00 – 25.11.2026 00:00 MSK"),
        (timezone(timedelta(hours=-3)), NOON, NOON, "24.11.2026 09:00 UTC-03:00"),
        (MOSCOW, NOON, datetime.max.replace(tzinfo=UTC), "24.11.2026 15:00 – 31.12.9999 23:59 UTC"),
    ],
)
def test_the_period_is_in_the_styles_time_zone(zone: Any, first: datetime, last: datetime, period: str) -> None:
    """Named, because a chat may sit in several; whatever the order of the events."""
    events = [Event.example(occurred_at=last), Event.example(occurred_at=first)]
    assert f"Период: {period}\n" in plain(digest(events, Style("ru", zone), Occasion.BACKFILL))


@pytest.mark.parametrize(
    ("events", "first_line"),
    [
        (pushes(15, 1), "📦 team/app0: " + ", ".join(f"v{i}" for i in range(15))),
        (pushes(5000, 1), "📦 team/app0: " + ", ".join(f"v{i}" for i in range(20)) + ", +4980"),
        (pushes(2000, 40), "📦 team/app0: v0, v40, v80, v120, v160, +45"),
        (pushes(5000, 75), "📦 team/app0: v0, +66"),
    ],
    ids=["all", "twenty", "five", "one"],
)
def test_lines_say_less_before_any_is_left_out(events: list[Event], first_line: str) -> None:
    """All tags, then twenty, five, one; never a repository less."""
    text = digest(events, RU, Occasion.BACKFILL)
    assert quoted(text)[0].startswith(first_line)
    assert len(quoted(text)) == len({event.repository for event in events})
    assert units(parse(text).text) <= LIMIT


def test_ten_thousand_events_make_one_message() -> None:
    """Its counts cover all of them, and its last line says how many are not listed."""
    events = pushes(10_000, 3_000, tag="v{}.0_rc")
    text = digest(events, RU, Occasion.BACKFILL)
    parsed = parse(text)
    assert LIMIT - 200 < units(parsed.text) <= LIMIT
    assert len(parsed.entities) <= 20
    assert "Всего: 10000 событий\n📦 Пуши: 10000\n" in parsed.text
    *listed, last = quoted(text)
    names = {line.removeprefix("📦 ").split(":")[0] for line in listed}
    shown = sum(event.repository.full_name in names for event in events if event.repository)
    assert last == f"и ещё {RUSSIAN.events(len(events) - shown)}"


@pytest.mark.parametrize("occasion", Occasion)
def test_bad_scans_are_seen_however_much_else_there_is(occasion: Occasion) -> None:
    """Each failed scan and each critical image by name, before all the rest, which is still there."""
    bad = [failed(f"team/broken{number}") for number in range(30)]
    bad += [completed({"Critical": 2, "High": 1, "Low": 7}, f"team/critical{number}") for number in range(30)]
    high = [completed({"High": 3, "Medium": 2}, f"team/high{number}") for number in range(300)]
    text = digest([*pushes(3000, 900), *high, *reversed(bad)], EN, occasion)
    shown = quoted(text)
    assert shown[:30] == [f"⚠️ team/broken{number}: 1.27 (ann)" for number in reversed(range(30))]
    assert set(shown[30:60]) == {f"🔍 team/critical{number}: 1.27 (2 Critical, 1 High) (ann)" for number in range(30)}
    assert shown[60].startswith("🔍 team/high0: 1.27 (3 High)")
    assert sum(line.startswith("📦 team/app") for line in shown) >= 3
    assert units(parse(text).text) <= LIMIT


def test_a_scans_findings_are_named_only_if_they_are_bad() -> None:
    """Without numbers, the severity; the other scans are listed as ever, and so are SBOMs."""
    unknown = scanned({"scan_status": "Success", "severity": "Critical", "summary": None})
    sbom = completed({"Critical": 1}, "team/sbom", scan_type=SBOM)
    events = [sbom, completed({"Low": 3}), completed({}, "team/clean"), completed({"High": 1, "Low": 2}), unknown]
    assert quoted(digest([*events, unknown], EN, Occasion.PERIOD)) == [
        "🔍 team/app: 1.27 (Critical) ×2 (ann)",
        "🔍 team/app: 1.27 (1 High) (ann)",
        "🔍 team/sbom: 1.27 (ann)",
        "🔍 team/app: 1.27 (ann)",
        "🔍 team/clean: 1.27 (ann)",
    ]


def test_values_in_a_digest_cannot_leave_their_line() -> None:
    """Neither the line nor the quotation."""
    bad = "||\n**>x"
    event = Event.example(repository=Repository(f"team/{bad}"), tag=bad, operator=bad)
    text = digest([event, event], RU, Occasion.BACKLOG)
    assert quoted(text) == ["📦 team/||␊**>x: ||␊**>x ×2 (||␊**>x)"]
    assert parse(text).text == plain(text)


def test_a_digest_of_nothing_is_still_a_message() -> None:
    """Total functions have no forbidden input."""
    text = digest([], RU, Occasion.CATCH_UP)
    assert parse(text).text.splitlines()[1:] == ["Период: —", "Всего: 0 событий"]


def rewrite_golden_files() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for path in GOLDEN.iterdir():
        path.unlink()
    for name, text in golden_texts().items():
        (GOLDEN / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    rewrite_golden_files()
