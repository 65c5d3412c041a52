"""Moments as people write them on the command line."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.errors import ConfigError
from poller.times import moment, utc_now

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MOSCOW, BERLIN = ZoneInfo("Europe/Moscow"), ZoneInfo("Europe/Berlin")

BACK = [
    ("90s", timedelta(seconds=90)),
    ("30m", timedelta(minutes=30)),
    ("36h", timedelta(hours=36)),
    ("7d", timedelta(days=7)),
    ("2w", timedelta(weeks=2)),
    ("1.5h", timedelta(minutes=90)),
    (" 7 D ", timedelta(days=7)),
    ("0s", timedelta(0)),
]


@pytest.mark.parametrize(("text", "back"), BACK)
def test_a_span_is_counted_back_from_now(text: str, back: timedelta) -> None:
    """With a unit always, so that nobody has to guess."""
    assert moment(text, NOW, MOSCOW) == NOW - back


WRITTEN = [
    ("2026-05-01", datetime(2026, 4, 30, 21, tzinfo=UTC)),
    ("2026-05-01T12:00", datetime(2026, 5, 1, 9, tzinfo=UTC)),
    ("2026-05-01 12:00:30", datetime(2026, 5, 1, 9, 0, 30, tzinfo=UTC)),
    ("2026-05-01T12:00Z", datetime(2026, 5, 1, 12, tzinfo=UTC)),
    ("2026-05-01T12:00+05:00", datetime(2026, 5, 1, 7, tzinfo=UTC)),
    (" 2026-05-01 ", datetime(2026, 4, 30, 21, tzinfo=UTC)),
]


@pytest.mark.parametrize(("text", "meant"), WRITTEN)
def test_a_date_or_time_is_meant_in_the_configured_zone(text: str, meant: datetime) -> None:
    """Unless it says its offset. The answer is UTC, as everything inside."""
    answer = moment(text, NOW, MOSCOW)
    assert answer == meant
    assert answer.tzinfo is UTC


def test_summer_time_is_heeded() -> None:
    """The same hour of the clock is another moment in winter."""
    assert moment("2026-07-01T12:00", NOW, BERLIN).hour == 10
    assert moment("2026-12-01T12:00", NOW, BERLIN).hour == 11


WRONG = ["", "yesterday", "7", "d", "-7d", "7 days", "2026-13-01", "2026-02-30", "01.05.2026", "999999999w", "1e9d"]


@pytest.mark.parametrize("text", [*WRONG, "0001-01-01"])
def test_anything_else_is_a_mistake_that_shows_how_to_write_it(text: str) -> None:
    """Times before the calendar's beginning too."""
    with pytest.raises(ConfigError, match="write 2026-05-01, 2026-05-01T12:00, 7d or 36h") as caught:
        moment(text, NOW, MOSCOW)
    assert repr(text) in str(caught.value)


@given(st.text(max_size=20))
def test_no_text_breaks_it(text: str) -> None:
    """It is a moment in UTC or a ConfigError."""
    with suppress(ConfigError):
        assert moment(text, NOW, MOSCOW).tzinfo is UTC


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 -- naive times are what people write
def test_a_time_that_was_printed_is_read_back(at: datetime) -> None:
    """`status` and `events` print times that can be copied into a command."""
    aware = at.replace(tzinfo=UTC)
    assert moment(aware.astimezone(BERLIN).isoformat(), NOW, MOSCOW) == aware


def test_the_clock_says_its_zone() -> None:
    """A time without zone would be read as the machine's own."""
    assert utc_now().utcoffset() == timedelta(0)
