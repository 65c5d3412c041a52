"""How long a message takes from the poll that sees its row to the chat, by a real daemon on its schedule."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.log import RowLog
from bench.material import write_conf
from bench.observed import daemon, wait_until
from bench.report import Sheet, at_most, milliseconds
from bench.served import PreparedHarbor, serving
from bench.sizes import Sizes
from demo.door import Call, Reply
from demo.telegram import TelegramStandIn

CHAT = "1001"  # a person's: a message a second
SETTLE_SECONDS = 4
"""The default: so long a push waits for what belongs to it."""
FIRST, FIRST_PUSH = 1_045, 1_051
"""Rows of the log: a deletion, six pushes and pulls follow the one, only pushes the other."""
_BETWEEN = 1.3
"""Seconds from a message to the next row: the chat's pace is to hold up nothing."""


@dataclass(frozen=True, slots=True)
class Way:
    """Seconds from the row's becoming visible to the message, and from the answer with the row on it."""

    visible: Sequence[float]
    polled: Sequence[float]


class WatchedHarbor(PreparedHarbor):
    """Knows when it answered with how many rows of the log first."""

    def __init__(self, log: RowLog, rows: int) -> None:
        super().__init__(log, rows)
        self.answered_at: dict[int, float] = {}

    def show(self, rows: int) -> None:
        self._visible = rows

    def _page(self, path: str, asked: Mapping[str, str]) -> tuple[bytes, int]:
        seen = self._visible
        answer = super()._page(path, asked)
        self.answered_at.setdefault(seen, time.monotonic())
        return answer


class WatchedTelegram(TelegramStandIn):
    """Knows when messages arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived_at: list[float] = []

    def _answer(self, call: Call) -> Reply:
        if call.path.endswith("/sendMessage"):
            self.arrived_at.append(time.monotonic())
        return super()._answer(call)


def run(sizes: Sizes) -> Sheet:
    at_once = _measure("every", range(FIRST, FIRST + sizes.messages))
    settled = _measure("calm", range(FIRST_PUSH, FIRST_PUSH + min(5, 1 + sizes.messages // 6)))
    lines = [
        _line("told at once", at_once, 0),
        _line(f"settled, less {SETTLE_SECONDS} s", settled, SETTLE_SECONDS),
    ]
    columns = ("", "answer to message", "95 %", "row to message", "95 %")
    notes = (
        f"{len(at_once.polled)} messages with `mode` = every and {len(settled.polled)} of pushes in calm mode, one by "
        "one; medians. From the answer with the row on it to the arrival of sendMessage, and from the row itself, "
        "which waits for the next of the polls that come every second.",
        "Held back on purpose in calm mode: pushes and deletions for `settle`, to see what belongs to them, and what "
        "joins a message that was told (pulls, runs) until that may be changed.",
    )
    goal = at_most(
        "h) from a row to sendMessage, without the poll's interval", _at(at_once.polled, 0.5), 0.05, milliseconds
    )
    return Sheet("11. From a row to the message", columns, lines, notes, (goal,))


def _line(what: str, way: Way, held: float) -> tuple[str, ...]:
    return (
        what,
        *(milliseconds(_at(times, share) - held) for times in (way.polled, way.visible) for share in (0.5, 0.95)),
    )


def _at(times: Sequence[float], share: float) -> float:
    return sorted(times)[int(share * len(times))]


def _measure(mode: str, rows: range) -> Way:
    """One row after the other becomes visible, each when the message about the last one has come."""
    log = RowLog(datetime.now(UTC) - timedelta(hours=1), timedelta(seconds=0.01))
    more = f"[delivery]\nmode = '{mode}'\n[events]\nDELETE_ARTIFACT = true\n[schedule]\npoll = '1s'\n"
    harbor = WatchedHarbor(log, rows[-1])
    harbor.show(rows[0] - 1)
    with (
        TemporaryDirectory() as folder,
        WatchedTelegram() as telegram,
        serving(harbor) as url,
        daemon(write_conf(Path(folder), url, telegram=telegram, chat=CHAT, more=more)),
    ):
        wait_until(lambda: bool(harbor.answered_at))
        return _tell(rows, harbor, telegram)


def _tell(rows: range, harbor: WatchedHarbor, telegram: WatchedTelegram) -> Way:
    shown_at = list[float]()
    for count, number in enumerate(rows, 1):
        time.sleep(_BETWEEN + count % 10 / 10)  # at any time between two polls
        shown_at.append(time.monotonic())
        harbor.show(number)
        wait_until(partial(_has_come, telegram, count))
    assert len(telegram.arrived_at) == len(rows)
    arrived = telegram.arrived_at
    return Way(
        [at - shown for at, shown in zip(arrived, shown_at, strict=True)],
        [at - harbor.answered_at[number] for at, number in zip(arrived, rows, strict=True)],
    )


def _has_come(telegram: WatchedTelegram, count: int) -> bool:
    return len(telegram.arrived_at) >= count
