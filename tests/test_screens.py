"""What the commands show of a day on the stand-ins: on a terminal of 80 columns, in a pipe, as JSON, and as a picture.

After a wanted change, `python -m tests.test_screens` writes the golden files anew and `python -m demo.screenshots` the
pictures; read the difference before you commit it. Played once, by one worker.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from demo import chat_pictures, screenshots
from formatters.examples import examples
from poller import logs
from poller.diagnosis import diagnose
from poller.events import SBOM, Event, Scan
from poller.show import glyphs, plain, terminal
from poller.show.events import seen_json
from poller.show.page import Page
from poller.standing import unrecorded
from poller.values import replace
from state import Coverage, DeliveryRecord, DeliveryState, Seen

pytestmark = pytest.mark.xdist_group("screens")

GOLDEN = Path(__file__).parent / "golden" / "screens"
DOCUMENT = Path(__file__).parent.parent / "docs" / "reference" / "json.md"

Fields = dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """What was seen of the day: pages by name, and the objects of each `--json`."""

    pages: Mapping[str, Page]
    answers: Mapping[str, list[Fields]]


@cache
def shown() -> Shown:
    logs.set_up("error", "text", (), io.StringIO())
    with screenshots.day() as played:
        events, explained, checked = [seen_json(each) for each in played.seen], played.explanation(), played.report()
        pages = dict(screenshots.pages(played))
        events += map(seen_json, _seen())
        answers = {
            "check": [checked.to_json(), played.report().to_json()],
            "events": events,
            "events --explain": [explained.to_json() | {"event": each["event"]} for each in events],
            "status": list(_status(played)),
        }
    return Shown(pages, answers)


def _status(played: screenshots.Day) -> Iterator[Fields]:
    """In trouble, with what did not happen that day; and before anything did."""
    now = played.now
    for standing in (played.standing(now), unrecorded(played.config)):
        pause = Coverage("audit_log_ext", now - timedelta(hours=8), now)
        yield diagnose(standing, screenshots.HERE, UTC, now).to_json() | replace(standing, pauses=(pause,)).to_json()


def _seen() -> Iterator[Seen]:
    """An event of every type, and one of a list of materials."""
    record = DeliveryRecord("telegram", DeliveryState.PENDING, "", None, None)
    bill = Event.example(scan=Scan({SBOM: {"scan_status": "Success", "report_id": "1"}}, SBOM))
    for event in (*examples(), bill):
        yield Seen(event, event.occurred_at, (record,))


# -- what is seen -----------------------------------------------------------------------------------


def screen(page: Page, width: int = 80) -> str:
    """What is to be read on a terminal, without its colours."""
    file = io.StringIO()
    console = terminal.console(file, {"NO_COLOR": "1"}, os.terminal_size((width, 25)))
    terminal.show(page, console, glyphs.sayer("utf-8"))
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def piped(page: Page) -> str:
    return "".join(f"{line}\n" for line in plain.lines(page))


def golden_texts() -> Iterator[tuple[str, str]]:
    for name, page in shown().pages.items():
        yield f"{name}.screen.txt", screen(page)
        yield f"{name}.piped.txt", piped(page)
    yield "events.wide.txt", screen(shown().pages["events"], width=130)


def test_the_screens_are_the_golden_ones() -> None:
    """Whatever changes in what a command shows, shows in a golden file."""
    found = dict(golden_texts())
    assert found == {path.name: path.read_text(encoding="utf-8") for path in GOLDEN.iterdir()}


def test_screens_fit_their_terminal() -> None:
    """But for words that are wider alone."""
    for name, page in shown().pages.items():
        wide = [line for line in screen(page).splitlines() if len(line) > 80 and len(line.split()) > 1]
        assert (name, wide) == (name, [])


def test_the_pictures_in_the_documents_are_of_today() -> None:
    """And fetch nothing from anywhere, and name no machine."""
    drawn = {f"{name}.svg": screenshots.svg(name, page) for name, page in shown().pages.items()}
    kept = {path.name: path.read_text(encoding="utf-8") for path in screenshots.SCREENS.iterdir()}
    assert kept.keys() == drawn.keys()
    assert [name for name, text in drawn.items() if kept[name] != text] == []
    for text in drawn.values():
        assert "url(" not in text.replace("url(#", "")
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert not re.search(r"127\.0\.0\.1|/tmp", text)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_pictures_of_the_chat_are_of_today(language: str) -> None:
    """And well formed."""
    drawn = chat_pictures.svg(language)
    assert drawn == chat_pictures.PICTURES[language].read_text(encoding="utf-8")
    assert ElementTree.fromstring(drawn).tag.endswith("svg")


# -- JSON -------------------------------------------------------------------------------------------

_ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|", re.MULTILINE)
_NOT_LISTED = ("scan_overview", "sbom_overview", "daily.events")
"""Objects with MIME types or types of events for names."""
_OF_EVENTS = ("event", "key", "seen_at", "source")


@dataclass(frozen=True)
class Field:
    type: str
    null: str

    def takes(self, value: object) -> bool:
        if value is None:
            return self.null not in ("never", "absent")
        return any(_is_of(kind, value) for kind in self.type.split(" or "))


def _is_of(kind: str, value: object) -> bool:
    if kind == "time":
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    python = {"text": str, "integer": int, "boolean": bool, "list": list, "object": dict}[kind]
    return isinstance(value, python) and (python is bool or not isinstance(value, bool))


def documented() -> Mapping[str, Mapping[str, Field]]:
    """The fields of each command, by their path."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found: dict[str, dict[str, Field]] = {}
    for section in text.split("\n## ")[1:]:
        command = section.partition("\n")[0].strip("`").replace(" KEY", "").removesuffix(" --json")
        found[command] = {path: Field(kind, null) for path, kind, null in _ROW.findall(section)}
    of_events = {path: field for path, field in found["events"].items() if re.split(r"[.\[]", path)[0] in _OF_EVENTS}
    found["events --explain"] |= of_events
    return found


def objects(value: Fields, path: str = "") -> Iterator[tuple[str, Fields]]:
    """Every object within, with the path before the names of its fields."""
    yield path, value
    for name, inner in value.items():
        if f"{path}{name}".endswith(_NOT_LISTED):
            continue
        inners: Iterable[Any] = inner if isinstance(inner, list) else [inner]
        mark = "[]." if isinstance(inner, list) else "."
        for each in inners:
            if isinstance(each, dict):
                yield from objects(each, f"{path}{name}{mark}")


@pytest.mark.parametrize("command", ["check", "status", "events", "events --explain"])
def test_json_is_as_documented(command: str) -> None:
    """Every field that there is has a line in the document, of its type; and every line has a field."""
    fields, met = documented()[command], set[str]()
    for answer in shown().answers[command]:
        for path, found in objects(answer):
            wanted = {name for name in fields if re.fullmatch(rf"{re.escape(path)}[^.\[]+", name)}
            here = {f"{path}{name}": value for name, value in found.items()}
            assert here.keys() <= wanted
            assert {name for name in wanted if fields[name].null != "absent"} <= here.keys()
            assert [name for name, value in here.items() if not fields[name].takes(value)] == []
            met |= here.keys()
    assert met == fields.keys()


def rewrite_golden_files() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for path in GOLDEN.iterdir():
        path.unlink()
    for name, text in golden_texts():
        (GOLDEN / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    with redirect_stderr(io.StringIO()):
        rewrite_golden_files()
