"""The demo: the whole product on its stand-ins, in a day that passes in seconds."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout

import pytest

from demo import day, replays


@pytest.fixture(scope="module", params=["en", "ru"])
def shown(request: pytest.FixtureRequest) -> str:
    """What a day shows on a wide terminal: a line for each line of a message."""
    with redirect_stdout(io.StringIO()) as output, pytest.MonkeyPatch.context() as environ:
        environ.setenv("COLUMNS", "400")
        assert day.run(request.param, {}, day.Clock(sleep=lambda _: None), replayed=[replays.BUILDX]) == 0
    return output.getvalue()


def test_everything_is_seen_that_webhooks_would_have_told(shown: str) -> None:
    """Scans too: of everything, of several platforms, and one whose image no row names."""
    told = re.search(r"webhooks would have told (\d+) events, (\d+) of them scans", shown)
    seen = re.search(r"(\d+) were seen by polling", shown)
    assert told is not None
    assert seen is not None
    assert told[1] == seen[1]
    assert int(told[2]) == 17


def test_scans_are_told_as_people_want_them(shown: str) -> None:
    """What a new build brought, by name; what is bad and new in a scan of everything, and one summary of it."""
    assert shown.count(day.OPENSSL.id) == 1
    assert shown.count(day.XZ.id) == 2
    assert shown.count("🔎") == 1
    assert "linux/arm64" in shown
    assert "scans.sbom = false" in shown


def test_replays_are_a_table(shown: str) -> None:
    """What happened, what came of it, and what was promised."""
    [line] = [line for line in shown.splitlines() if replays.BUILDX.name in line]
    cells = [cell.strip() for cell in line.split("│")[1:-1]]
    assert cells[1] == "8"
    assert int(cells[2]) >= 1
    assert cells[3] == "1"
    assert cells[6][0] in "✓✗"
