"""How long a message takes to write."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC

import formatters
from bench.material import busy_log, decoded, pages
from bench.report import Sheet, number, ratio
from bench.sizes import Sizes
from formatters import Occasion, Style
from poller import normalize
from poller.events import Source
from poller.normalize import Facts
from poller.rows import audit_rows


def run(sizes: Sizes) -> Sheet:
    log = busy_log(sizes.many_in_digest)
    bodies = pages(log)
    events = [normalize.complete(normalize.read(row), Facts("harbor.example.com")) for row in decoded(log)]
    few = events[: sizes.few_in_digest]
    style = Style("ru", UTC)

    def per_event(work: Callable[[], object], number_of_events: int = len(events)) -> float:
        return min(_seconds(work) for _ in range(sizes.repetitions)) / number_of_events

    loads = per_event(lambda: [json.loads(body) for body in bodies])
    decode = per_event(lambda: [audit_rows(body, Source.NEW_LOG, None) for body in bodies])
    message = per_event(lambda: [formatters.message(event, style) for event in events])
    plain = per_event(lambda: [formatters.plain(formatters.message(event, style)) for event in events])
    small = per_event(lambda: formatters.digest(few, style, Occasion.BACKLOG), len(few))
    large = per_event(lambda: formatters.digest(events, style, Occasion.BACKLOG))
    return Sheet(
        "4. Messages",
        ("", "per second", "time each"),
        [
            ("rows, json.loads", number(1 / loads), ratio(loads, loads)),
            ("rows decoded as we do", number(1 / decode), ratio(decode, loads)),
            ("messages", number(1 / message), ratio(message, loads)),
            ("messages with plain text", number(1 / plain), ratio(plain, loads)),
            (f"events in a digest of {len(few):,}", number(1 / small), ratio(small, loads)),
            (f"events in a digest of {len(events):,}", number(1 / large), ratio(large, loads)),
        ],
        (
            f"The digest of {len(events):,} takes {ratio(large * len(events), small * len(few))} the time of that of "
            f"{len(few):,}: it has {ratio(len(events), len(few))} the events.",
            "The chat's pace is one message a second at most.",
        ),
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
