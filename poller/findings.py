"""What `check` found: one line each, with the remedy, and the exit code that follows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from poller.errors import PollerError, Temporary

Mark = Literal["✓", "!", "✗"]

FINE: Mark = "✓"
WARNING: Mark = "!"
WRONG: Mark = "✗"

_WORDS = {FINE: "fine", WARNING: "warning", WRONG: "wrong"}
_REMEDY = re.compile(r"(?:; |: |, and )((?:correct|put|use|renew|name|create|upgrade|grant|free)\b[^:]*)$")


@dataclass(frozen=True, slots=True)
class Finding:
    """`is_passing`: it is wrong now, but may mend itself (Harbor or Telegram is away)."""

    mark: Mark
    area: str
    text: str
    remedy: str = ""
    is_passing: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """2: a mistake to correct; 1: something is away now; 0: nothing of the kind."""
        wrong = [finding for finding in self.findings if finding.mark == WRONG]
        if not all(finding.is_passing for finding in wrong):
            return 2
        return 1 if wrong else 0

    def to_json(self) -> dict[str, Any]:
        return {
            "exit_code": self.exit_code,
            "findings": [
                {"result": _WORDS[f.mark], "mark": f.mark, "area": f.area, "text": f.text, "remedy": f.remedy}
                for f in self.findings
            ],
        }


def fine(area: str, text: str) -> Finding:
    return Finding(FINE, area, text)


def warning(area: str, text: str, remedy: str = "") -> Finding:
    return Finding(WARNING, area, text, remedy)


def wrong(area: str, text: str, remedy: str = "") -> Finding:
    return Finding(WRONG, area, text, remedy)


def failure(area: str, error: PollerError, remedy: str = "") -> Finding:
    """An error as a finding. The remedy that its text ends with gets its own line, unless there is a better one."""
    said = str(error)
    found = _REMEDY.search(said)
    text = said[: found.start()] if found else said
    return Finding(WRONG, area, text, remedy or (found[1] if found else ""), is_passing=isinstance(error, Temporary))


def guarded(area: str, probe: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What a probe finds; its failure is a finding too, and hides no other probe's."""
    found: list[Finding] = []
    try:
        found.extend(probe())
    except PollerError as error:
        found.append(failure(area, error))
    return found


def has_wrong(findings: Iterable[Finding]) -> bool:
    return any(finding.mark == WRONG for finding in findings)


def listed(names: tuple[str, ...], most: int = 10) -> str:
    """The names in one line."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
