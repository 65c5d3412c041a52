"""Files that come with the program, for whoever installed it without a checkout."""

from __future__ import annotations

from pathlib import Path

_SHARE = Path(__file__).parent / "share"
CONF = "conf.toml"
NAMES = (CONF, *sorted(path.name for path in (_SHARE / "systemd").glob("*.*")))


def text(name: str) -> str:
    """The annotated configuration, or a unit of systemd."""
    return (_SHARE / name if name == CONF else _SHARE / "systemd" / name).read_text()
