"""When the quiet hours of a chat end, also on the nights on which the clocks are set."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.routes import QuietHours

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(time(22), time(7), BERLIN)
NOON_HOUR = QuietHours(time(12), time(13), BERLIN)


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "now", "end"),
    [
        (NIGHT, utc(2026, 11, 24, 20, 59), None),
        (NIGHT, utc(2026, 11, 24, 21, 0), utc(2026, 11, 25, 6)),
        (NIGHT, utc(2026, 11, 25, 0, 30), utc(2026, 11, 25, 6)),
        (NIGHT, utc(2026, 11, 25, 5, 59), utc(2026, 11, 25, 6)),
        (NIGHT, utc(2026, 11, 25, 6, 0), None),
        (NOON_HOUR, utc(2026, 7, 1, 10, 0), utc(2026, 7, 1, 11)),
        (NOON_HOUR, utc(2026, 7, 1, 11, 0), None),
    ],
)
def test_from_the_start_on_and_until_before_the_end(hours: QuietHours, now: datetime, end: datetime | None) -> None:
    """By the clocks of the zone, over midnight as well."""
    assert hours.until(now) == end


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (utc(2026, 3, 28, 21), utc(2026, 3, 29, 5)),  # an hour is left out
        (utc(2026, 10, 24, 20), utc(2026, 10, 25, 6)),  # an hour comes twice
    ],
)
def test_on_the_nights_on_which_the_clocks_are_set(begins: datetime, ends: datetime) -> None:
    """The night is as long as people live it."""
    assert NIGHT.until(begins) == ends


@given(
    st.integers(0, 365 * 24 * 60),
    st.times(),
    st.times(),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_quiet_hours_end(minute: int, start: time, end: time, zone: str) -> None:
    """At most a day and an hour later,."""
    hours, now = QuietHours(start, end, ZoneInfo(zone)), utc(2026, 1, 1) + timedelta(minutes=minute)
    until = hours.until(now)
    if until is not None:
        assert 0 < (until - now).total_seconds() <= 25 * 3600
