"""How messages will look."""

from __future__ import annotations

from poller import show
from poller.events import EventType
from poller.exit_codes import DONE
from poller.show.preview import preview_page


def run(kind: EventType | None, language: str) -> int:
    show.write(preview_page(kind, language))
    return DONE
