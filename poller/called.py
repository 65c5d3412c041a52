"""By which name the program was called, so that what a text tells people to type works for them."""

from __future__ import annotations

import sys
from pathlib import PurePath

MODULE = "python -m poller"
PROGRAM = "harbor-poller"


def name(argv0: str) -> str:
    """`python -m poller` where that was typed, from a checkout; otherwise the command that an installation has."""
    return MODULE if PurePath(argv0).parts[-2:] == ("poller", "__main__.py") else PROGRAM


CALLED = name(sys.argv[0])
