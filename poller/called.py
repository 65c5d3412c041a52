"""By which name the program was called, so that what a text tells people to type works for them."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

PROGRAM = "harbor-poller"
_PYTHON = "python"

Which = Callable[[str], str | None]


def name(argv0: str, python: str, which: Which) -> str:
    """`harbor-poller` or `python -m poller`, with the path that was typed where a shell would not find the same."""
    path = Path(argv0)
    if path.parts[-2:] == ("poller", "__main__.py"):
        return f"{_typed(python, _PYTHON, which)} -m poller"
    return _typed(argv0, PROGRAM, which) if path.name == PROGRAM else PROGRAM


def _typed(text: str, known: str, which: Which) -> str:
    """An interpreter is not followed through links: that of a virtual environment links to another one."""
    if "/" not in text:
        return text
    found = which(known)
    return known if found is not None and Path(found).absolute() == Path(text).absolute() else shlex.quote(text)


CALLED = name(sys.argv[0], sys.orig_argv[0], shutil.which)
