"""What `check` found: one line each, with the remedy, and the exit code that follows.

`check --json` prints one object, and keeps this shape:

    {"exit_code": 2, "findings": [{"code": "harbor.login_refused", "result": "wrong", "mark": "✗",
                                   "area": "Harbor", "text": "…", "remedy": "…"}, …]}

`exit_code`: that of the command: 2 when somebody must mend something, 1 when something is away now, otherwise 0.
`code`: a constant word for what was found, whatever the words of `text`: what a program may compare.
`result` and `mark`: fine ✓, warning !, wrong ✗; a warning keeps nothing from being told.
`area`: configuration, Harbor, clock, rights, audit log, Telegram or database; the findings stand in this order.
`text`: what was found. `remedy`: what mends it; "" where nothing has to be done, never for a ! or ✗.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from poller.errors import (
    HarborBusy,
    HarborGarbled,
    HarborUnreachable,
    NotAllowed,
    OutOfTime,
    PollerError,
    StateBusy,
    StateError,
    Temporary,
    WrongCredentials,
    WrongUrl,
)

Mark = Literal["✓", "!", "✗"]

FINE: Mark = "✓"
WARNING: Mark = "!"
WRONG: Mark = "✗"

_WORDS = {FINE: "fine", WARNING: "warning", WRONG: "wrong"}
_REMEDY = re.compile(r"(?:; |: |, and )((?:correct|put|use|renew|name|create|upgrade|grant|free)\b[^:]*)$")


@dataclass(frozen=True, slots=True)
class Finding:
    """`is_passing`: it is wrong now, but may mend itself (Harbor or Telegram is away)."""

    code: str
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
                {
                    "code": f.code,
                    "result": _WORDS[f.mark],
                    "mark": f.mark,
                    "area": f.area,
                    "text": f.text,
                    "remedy": f.remedy,
                }
                for f in self.findings
            ],
        }


def fine(code: str, area: str, text: str) -> Finding:
    return Finding(code, FINE, area, text)


def warning(code: str, area: str, text: str, remedy: str) -> Finding:
    return Finding(code, WARNING, area, text, remedy)


def wrong(code: str, area: str, text: str, remedy: str) -> Finding:
    return Finding(code, WRONG, area, text, remedy)


def failure(code: str, area: str, error: PollerError, remedy: str = "") -> Finding:
    """An error as a finding. The remedy that its text ends with gets its own line, unless there is a better one."""
    said = str(error)
    found = _REMEDY.search(said)
    text = said[: found.start()] if found else said
    is_passing = isinstance(error, Temporary)
    usual = "try again in a minute; if it stays, look into the logs of the other side" if is_passing else ""
    return Finding(code, WRONG, area, text, remedy or (found[1] if found else usual), is_passing)


_OF_QUESTIONS: tuple[tuple[type[PollerError], str, str], ...] = (
    (WrongCredentials, "login_refused", "correct [harbor] username and password"),
    (NotAllowed, "not_allowed", "grant the account that right, in Harbor: Administration → Robot Accounts → … → Edit"),
    (WrongUrl, "wrong_url", "correct [harbor] url"),
    (HarborUnreachable, "unreachable", ""),
    (HarborBusy, "busy", "look into Harbor's own log (core.log): it, or what stands before it, failed; then try again"),
    (HarborGarbled, "garbled", ""),
    (StateBusy, "busy", ""),
    (StateError, "unusable", "correct [state] url"),
)
"""What the errors of single questions are called, in whichever area they were asked."""


def unanswered(area: str, error: PollerError) -> Finding:
    """The failure of a question that nobody expected to fail."""
    kinds = (each for each in _OF_QUESTIONS if isinstance(error, each[0]))
    _, word, remedy = next(kinds, (PollerError, "failed", "please report this as a bug"))
    return failure(f"{area.lower().replace(' ', '_')}.{word}", area, error, remedy)


def guarded(area: str, probe: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What a probe finds; its failure is a finding too, and hides no other probe's, unless there is no time left."""
    found: list[Finding] = []
    try:
        found.extend(probe())
    except OutOfTime:
        raise
    except PollerError as error:
        found.append(unanswered(area, error))
    return found


def has_wrong(findings: Iterable[Finding]) -> bool:
    return any(finding.mark == WRONG for finding in findings)


def listed(names: tuple[str, ...], most: int = 10) -> str:
    """The names in one line."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
