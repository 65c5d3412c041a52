"""Harbor's version, and what differs from one to the next. Pure."""

from __future__ import annotations

import re

Version = tuple[int, int, int]

SILENT_ON_KNOWN_DIGESTS: frozenset[Version] = frozenset({(2, 11, 1), (2, 11, 2), (2, 12, 0)})
"""These log no push of an image that Harbor has already, so what is remembered of a tag may be stale."""

ROBOT_ROWS: Version = (2, 12, 0)
"""Since then the creation and deletion of robots are logged."""

_NUMBER = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


def parse(text: str | None) -> Version | None:
    """`v2.12.4-8d2b1c3` is (2, 12, 4); None where Harbor does not say, or not so."""
    found = _NUMBER.match(text or "")
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None
