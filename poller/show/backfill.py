"""What `backfill` found, and how long that took."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta, tzinfo

from poller.backfill import Found, Wanted
from poller.config import Config
from poller.show.page import Line, Page, Part, Tone
from poller.words import minute, number


def backfill_page(result: Found, wanted: Wanted, config: Config, seconds: float, *, is_dry: bool) -> Page:
    lines = [_summary(result, seconds, is_dry=is_dry), *_kinds(result, config)]
    if missing := _missing(result, wanted, config.timezone):
        lines.append(Line((Part(missing, Tone.DOUBTFUL),)))
    return lines


def _summary(result: Found, seconds: float, *, is_dry: bool) -> Line:
    new = sum(result.new.values())
    recorded = "" if not new else ", not recorded in a dry run" if is_dry else ", recorded now"
    pace = f"{seconds:.1f} s ({result.rows / max(seconds, 0.001):.0f} rows/s)"
    return Line(
        (
            Part(f"{number(result.rows, 'row')} read in {pace}: {result.known} known already, "),
            Part(number(new, "new event"), Tone.STRONG),
            Part(recorded),
        )
    )


def _kinds(result: Found, config: Config) -> Iterator[Line]:
    for kind, count in sorted(result.new.items()):
        is_told = kind in config.events
        off = Part("" if is_told else f"   not told: events.{kind} = false", Tone.FAINT)
        yield Line((Part(f"  {kind:<22} {count:>7}", Tone.USUAL if is_told else Tone.FAINT), off))


def _missing(result: Found, wanted: Wanted, zone: tzinfo) -> str:
    """What of the period Harbor does not have; "" if that is less than a minute."""
    begins = min(result.complete_from.values(), default=None)
    why = "they were purged, or nothing happened"
    if begins is None:
        return f"Harbor has no rows between {minute(wanted.since, zone)} and {minute(wanted.until, zone)}: {why}"
    is_missing = begins - wanted.since >= timedelta(minutes=1)
    return f"Harbor has no rows before {minute(begins, zone)}: {why}" if is_missing else ""
