"""What the documents say, held against the product: links, commands, settings, codes; and Russian against English."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from poller import config, exit_codes
from poller.__main__ import cli
from poller.config_routes import ROUTE_KEYS
from poller.events import USUAL_TYPES, EventType, Reason
from state import DeliveryState
from state.schema import metadata
from tests.harness import ROOT
from tests.test_log_words import in_page

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("README*.md"), *DOCS.rglob("*.md")])
RUSSIAN = {page: DOCS / page.relative_to(DOCS / "ru") for page in sorted((DOCS / "ru").rglob("*.md"))} | {
    ROOT / "README.ru.md": ROOT / "README.md"
}
ENGLISH_ONLY = {
    DOCS / "benchmarks.md",
    DOCS / "performance.md",
    DOCS / "decisions.md",
    DOCS / "reference/json.md",
    DOCS / "reference/log.md",
}
SHELL = ("", "sh", "crontab")
PLACEHOLDERS = ("COMMAND", "КОМАНДА", "$@")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^    .*\n)+", re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)


def fences(page: Path) -> list[tuple[str, str]]:
    """The language and the text of each block between fences."""
    return [(found[1], found[2]) for found in _FENCE.finditer(page.read_text())]


def prose(page: Path) -> str:
    """The text without its blocks."""
    return _FENCE.sub("", page.read_text())


def inline(page: Path) -> list[str]:
    """What stands between backticks, on one line."""
    return [re.sub(r"\s+", " ", found).replace(r"\|", "|") for found in _INLINE.findall(prose(page))]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name)
every_translation = pytest.mark.parametrize("page", RUSSIAN, ids=name)


# -- links ------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """As GitHub makes them: lower case, spaces as hyphens, without punctuation."""
    titles = (re.sub(r"[^\w\- ]", "", re.sub(r"`", "", title)) for _, title in _HEADING.findall(prose(page)))
    return {title.strip().lower().replace(" ", "-") for title in titles}


def broken(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    there = (page.parent / path).resolve() if path else page
    if not there.exists():
        return True
    return bool(anchor) and anchor not in anchors(there)


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    """A relative link names a file that is there, and an anchor a heading in it."""
    links = [link for link in _LINK.findall(prose(page)) if not re.match(r"\w+:", link)]
    assert [link for link in links if broken(page, link)] == []


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    """The check above can fail, for a file and for an anchor."""
    page = tmp_path / "page.md"
    page.write_text("# One\n## A *second* one, `here`\n")
    assert not broken(page, "#a-second-one-here")
    assert not broken(page, "page.md#one")
    assert broken(page, "other.md")
    assert broken(page, "page.md#three")


# -- commands ---------------------------------------------------------------------------------------


_OURS = re.compile(r"^(?:\$ |.*(?:&& |exec (?:harbor-poller )?))?(?:\S*/)?(?:python -m poller|harbor-poller) +(.+)$")
_SHELLS = re.compile(r" {2,}.*| *(?:\| |&&|>|#|\d?>|;).*|…")  # what follows a command, and is not for it


def commands(page: Path) -> Iterator[str]:
    """What is given to our program, in blocks and in the text; also in short, as in `check --send`."""
    blocks = [text for language, text in fences(page) if language in SHELL]
    blocks += _INDENTED.findall(prose(page))
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    for said in [*lines, *inline(page)]:
        if found := _OURS.match(said):
            yield _SHELLS.sub("", found[1])
        elif said.partition(" ")[0] in cli.commands and " " in said:
            yield _SHELLS.sub("", said)


def mistake(arguments: str) -> str:
    """What click says to a command line; values are not looked at: many are placeholders, or left out in a sentence."""
    words = shlex.split(re.sub(r"[\[\]]", "", arguments))
    context = click.Context(cli)
    try:
        _, rest, _ = cli.make_parser(context).parse_args(words)
        if not rest or rest[0] in PLACEHOLDERS:
            return ""
        _, command, left = cli.resolve_command(context, rest)
        assert command is not None
        command.make_parser(click.Context(command)).parse_args(list(left))
    except click.UsageError as error:
        said = error.format_message()
        is_named_alone = said.endswith("requires an argument.") and words[-1].startswith("--")
        return "" if is_named_alone else f"{arguments}: {said}"
    return ""


@every_page
def test_every_command_is_one(page: Path) -> None:
    """Each `python -m poller …` and `harbor-poller …` names a command and options that there are."""
    mistakes = [mistake(command) for command in commands(page)]
    assert [said for said in mistakes if said] == []


@pytest.mark.parametrize("line", ["chek", "check --sned", "--confg x run", "events --since 7d --tipe X"])
def test_a_wrong_command_would_be_found(line: str) -> None:
    """The check above can fail, for a command, its options, and those before it."""
    assert mistake(line)


def test_commands_are_found(tmp_path: Path) -> None:
    """In blocks and in the text, with what surrounds them left out."""
    page = tmp_path / "page.md"
    block = "```sh\n.venv/bin/python -m poller check --send   # all\n```\n"
    page.write_text(f"{block}And `harbor-poller status | head`, `check --json`.\n")
    assert list(commands(page)) == ["check --send", "status", "check --json"]


# -- settings ---------------------------------------------------------------------------------------

_SECTIONS = {**config.KEYS, "[route": ROUTE_KEYS}


@every_page
def test_every_setting_is_one(page: Path) -> None:
    """Whatever stands as TOML, and each `[section] key` in the text, is known to the product."""
    unknown = []
    for language, text in fences(page):
        if language == "toml":
            unknown += list(unknown_keys(tomllib.loads(text)))
    named = [
        found
        for said in inline(page)
        for found in re.findall(r"^\[(\w+)\] ([a-z_]+)(?= =|$)", said)
        if said.count("[") < 3
    ]
    unknown += [f"[{section}] {key}" for section, key in named if key not in config.KEYS.get(section, ())]
    assert unknown == []


def unknown_keys(document: dict[str, object]) -> Iterator[str]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from (f"[{key}] {each}" for each in value if each not in config.KEYS.get(key, ()))
        elif isinstance(value, list) and key == "route":
            yield from (f"[[route]] {each}" for route in value for each in route if each not in ROUTE_KEYS)
        elif key not in config.KEYS[""]:
            yield key


def test_a_wrong_setting_would_be_found() -> None:
    """The check above can fail, in a section, a route and at the top."""
    document = tomllib.loads('langage = "en"\n[harbor]\nusrname = "x"\n[[route]]\nproject = []\n')
    assert list(unknown_keys(document)) == ["langage", "[harbor] usrname", "[[route]] project"]


# -- tables -----------------------------------------------------------------------------------------


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of the rows below a heading, without the head of each table."""
    text = page.read_text()
    start = text.index(f"\n## {heading}\n")
    section = text[start : text.find("\n## ", start + 4)]
    lines = [line.replace(r"\|", "¦") for line in section.splitlines() if line.startswith("|")]
    bodies = [line for number, line in enumerate(lines) if not _is_head(lines, number)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in bodies]


def _is_head(lines: list[str], number: int) -> bool:
    following = lines[number + 1] if number + 1 < len(lines) else ""
    return lines[number].startswith("|---") or following.startswith("|---")


REFERENCES = [
    (DOCS / "reference.md", "Types of events", "What becomes of an event", "Exit codes", "yes"),
    (DOCS / "ru/reference.md", "Виды событий", "Что становится с событием", "Коды выхода", "да"),
]


@pytest.mark.parametrize(("page", "types", "states", "codes", "yes"), REFERENCES)
def test_the_reference_has_every_type_state_and_code(page: Path, types: str, states: str, codes: str, yes: str) -> None:
    """Its tables are the product's own lists, in their order; each command has its exit codes."""
    listed = {kind.strip("`"): told == yes for kind, _, told, _ in rows(page, types)}
    assert listed == {kind: kind in USUAL_TYPES for kind in EventType}
    assert {f"`{state}`" for state in DeliveryState} <= {row[0] for row in rows(page, states)}
    meanings = {row[0] for row in rows(page, codes) if row[0].isdigit()}
    assert meanings == {str(code) for code in vars(exit_codes).values() if isinstance(code, int)}
    with_codes = {word for row in rows(page, codes) for word in re.findall(r"`(\w+)`", row[0])}
    assert with_codes == set(cli.commands)
    assert all(f"`{reason}`" in page.read_text() for reason in Reason)


@pytest.mark.parametrize("page", ["security.md", "ru/security.md", "operations.md", "ru/operations.md"])
def test_every_table_of_the_state_is_described(page: str) -> None:
    """What is stored has no table that the documents keep quiet about, nor the other way round."""
    heading = {
        "security.md": "What is stored",
        "ru/security.md": "Что хранится",
        "operations.md": "The state database",
        "ru/operations.md": "База состояния",
    }[page]
    described = {table for row in rows(DOCS / page, heading) for table in re.findall(r"`(\w+)`", row[0])}
    assert described == set(metadata.tables)


@pytest.mark.parametrize("page", [DOCS / "security.md", DOCS / "ru/security.md"], ids=name)
def test_the_tests_that_hold_a_claim_are_there(page: Path) -> None:
    """Each test that the page names exists."""
    written = {
        found
        for file in Path(__file__).parent.glob("test_*.py")
        for found in re.findall(r"def (test_\w+)", file.read_text())
    }
    assert {said for said in inline(page) if said.startswith("test_")} <= written


OF_JSON = DOCS / "reference/json.md"


@pytest.mark.parametrize("page", [page for page in PAGES if page != OF_JSON], ids=name)
def test_the_words_of_the_log_are_there(page: Path) -> None:
    """Each word of the log that is named is in the list of all, which a test of its own holds to the code.

    Names of files, settings and fields of JSON look alike.
    """
    words = in_page()
    firsts = {word.partition(".")[0] for word in words}
    said = [each.partition(" ")[0] for each in inline(page)]
    named = {word for word in said if re.fullmatch(r"[a-z]+\.[a-z_]+", word) and word.partition(".")[0] in firsts}
    settings = {f"{section}.{key}" for section, keys in config.KEYS.items() for key in keys}
    assert named - words.keys() - settings - {"state.db", "heartbeat.conf"} == set()


@pytest.mark.parametrize("page", [DOCS / "troubleshooting.md", DOCS / "ru/troubleshooting.md"], ids=name)
def test_the_reasons_of_telegram_are_there(page: Path) -> None:
    """Each reason that the page explains is one that the product gives."""
    source = "\n".join((ROOT / "poller" / file).read_text() for file in ("telegram.py", "refusals.py"))
    named = {found for said in inline(page) for found in re.findall(r"\btelegram\.([a-z_]+)", said)}
    assert {reason for reason in named if not re.search(rf'"(?:telegram\.)?{reason}"', source)} == set()
    assert named


# -- Russian and English ----------------------------------------------------------------------------


def structure(page: Path) -> list[str]:
    """Headings by their level, rows of tables by their cells, items of lists, and blocks by their language."""
    found = []
    in_block = False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            in_block = not in_block
            found += [line] if in_block else []
        elif not in_block and line.startswith("#"):
            found.append("#" * (len(line) - len(line.lstrip("#"))))
        elif not in_block and line.startswith("|"):
            found.append(f"| {line.replace(chr(92) + '|', '').count('|')}")
        elif not in_block and re.match(r"\* |- |\d+\. ", line):
            found.append("*")
    return found


def test_every_page_for_operators_is_in_russian() -> None:
    """But for the records of decisions and measurements, and the lists of words for programs."""
    english = {page for page in DOCS.rglob("*.md") if DOCS / "ru" not in page.parents}
    assert english - set(RUSSIAN.values()) == ENGLISH_ONLY


@every_translation
def test_the_russian_page_has_all_of_the_english_one(page: Path) -> None:
    """The same headings, tables, lists and blocks, in the same order."""
    assert structure(page) == structure(RUSSIAN[page])


@every_translation
def test_commands_are_the_same_in_both_languages(page: Path) -> None:
    """What is to be typed is not translated."""
    mine, theirs = (sorted(commands(one)) for one in (page, RUSSIAN[page]))
    assert [each.replace("КОМАНДА", "COMMAND") for each in mine] == theirs


@every_translation
def test_both_languages_lead_to_each_other(page: Path) -> None:
    """Within the first lines, so that nobody reads on in the wrong one."""
    mine, theirs = (_LINK.findall("\n".join(one.read_text().splitlines()[:15])) for one in (page, RUSSIAN[page]))
    assert RUSSIAN[page].resolve() in {(page.parent / link).resolve() for link in mine}
    assert page.resolve() in {(RUSSIAN[page].parent / link).resolve() for link in theirs}
