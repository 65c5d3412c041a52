"""When the quiet hours of a chat end, also on the nights on which the clocks are set."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.routes import QuietHours

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(time(22), time(7), BERLIN)
NOON_HOUR = QuietHours(time(12), time(13), BERLIN)


def utc(*numbers: int) -> datetime:
    return datetime(*numbers, tzinfo=UTC)  # type: ignore[misc, arg-type]  # year, month and so on


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
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),
    st.times(),
    st.times(),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_quiet_hours_end(moment: datetime, start: time, end: time, zone: str) -> None:
    """At most a day and an hour later, and they are over then unless they begin again at once."""
    hours, now = QuietHours(start, end, ZoneInfo(zone)), moment.replace(tzinfo=UTC)
    until = hours.until(now)
    if until is not None:
        assert 0 < (until - now).total_seconds() <= 25 * 3600
