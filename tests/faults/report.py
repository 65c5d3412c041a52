"""What is printed in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from statistics import median
from typing import Any, Self

from tests.faults.judge import Sort
from tests.faults.season import Outcome


@dataclass(slots=True)
class Summary:
    """The seasons of one database."""

    seed: int
    database: str
    again: str
    folder: str
    met: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    repeats: Counter[str] = field(default_factory=Counter)
    failovers: list[float] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    seasons: int = 0
    events: int = 0
    messages: int = 0
    singles: int = 0
    allowance: int = 0
    lost: int = 0
    twice: int = 0
    objections: int = 0
    seconds: float = 0

    def add(self, outcome: Outcome) -> None:
        self.seasons += 1
        self.met.update(outcome.met)
        self.kills.update(outcome.kills)
        self.repeats.update(outcome.verdict.repeats)
        self.skipped |= outcome.skipped
        self.failovers += outcome.failovers
        self.evidence += outcome.evidence
        self.events += outcome.events
        self.messages += outcome.messages
        self.singles += outcome.verdict.singles
        self.allowance += outcome.allowance
        self.lost += outcome.verdict.count(Sort.LOST, Sort.UNTOLD)
        self.twice += outcome.verdict.count(Sort.TWICE)
        self.objections += len(outcome.verdict.objections)
        self.seconds += outcome.seconds

    @property
    def is_good(self) -> bool:
        return not self.objections

    def to_json(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> Self:
        counters = {name: Counter(written[name]) for name in ("met", "kills", "repeats")}
        return cls(**(written | counters))


def text(summaries: Sequence[Summary]) -> str:
    lines = [line for summary in summaries for line in _lines(summary)]
    if len(summaries) > 1:
        kills = sum(summary.kills.total() for summary in summaries)
        lost = sum(summary.lost for summary in summaries)
        lines.append(f"in all: {kills} kills, {sum(s.events for s in summaries)} events, {lost} lost")
    return "\n".join(lines)


def _lines(summary: Summary) -> Iterator[str]:
    yield ""
    yield f"{summary.database}, seed {summary.seed}: {summary.seasons} season(s) in {summary.seconds:.0f} s"
    yield f"  kills     {summary.kills.total()}: {_counts(summary.kills)}"
    yield f"  faults    {_counts(summary.met)}"
    yield from (f"  not met   {name}: {why}" for name, why in summary.skipped.items() if not summary.met[name])
    yield f"  events    {summary.events}, lost {summary.lost}"
    yield f"  messages  {summary.messages}, {summary.singles} of them about a single event"
    excuses = _counts(summary.repeats) or "none"
    yield f"  repeated  {summary.repeats.total()} of at most {summary.allowance}: {excuses}; unexcused {summary.twice}"
    yield f"  fail-over {failovers(summary.failovers)}"
    yield f"  judge     {'content' if summary.is_good else f'{summary.objections} objections'}"
    if not summary.is_good:
        yield from (f"  {line}" for line in summary.evidence)
        yield f"  outputs:   {summary.folder}"
        yield f"  to repeat: {summary.again}"


def failovers(times: Sequence[float]) -> str:
    if not times:
        return "none"
    return f"{len(times)}: min {min(times):.2f} s, median {median(times):.2f} s, max {max(times):.2f} s"


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count)
