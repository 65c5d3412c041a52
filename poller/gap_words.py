"""What a gap means, and what closes it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo

import formatters
from poller.events import Gap, Reason

_LASTING = "lost, for Harbor has no rows of it"
_SWITCH = "an administrator can switch it on again (Administration, Configuration), which mends what follows"
_WORDS: Mapping[Reason, tuple[str, str]] = {
    Reason.ACCOUNT_REFUSED: ("Harbor refuses the account", "closes itself when [harbor] password is right again"),
    Reason.NO_RIGHTS: ("no right to read the log", "closes itself when the right is given back"),
    Reason.PROJECT_CLOSED: ("the project is gone, hidden or closed", "closes itself when it can be read again"),
    Reason.LOG_OFF: ("Harbor wrote no audit log", _LASTING),
    Reason.PULLS_OFF: ("Harbor did not log pulls", _LASTING),
    Reason.SCANNER_OFF: ("the scanner was off or not reachable", "nothing was scanned, so there is nothing to read"),
    Reason.PURGED: ("purged before it was read", _LASTING),
    Reason.RESTORED: ("Harbor's database was put back", "what it had not read by then is lost"),
    Reason.HIDDEN: ("no right to read the log then", "close it: {command}"),
}


def why(gap: Gap) -> str:
    return _WORDS[gap.reason][0]


def remedy(gap: Gap, zone: tzinfo) -> str:
    """What closes it, or mends at least what follows."""
    words = _WORDS[gap.reason][1]
    if gap.ended_at is None and words is _LASTING:
        return f"{words}; {_SWITCH}"
    return words.format(command=formatters.backfill_command(gap.began_at, gap.ended_at or gap.began_at, zone))
