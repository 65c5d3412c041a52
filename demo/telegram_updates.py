"""What a bot hears of its chats: updates, which people cause and which wait until the bot has confirmed them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from demo.telegram_failures import Refused
from demo.telegram_parser import Fields

MOST_AT_ONCE = 100
LONGEST_WAIT = 50  # seconds


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with Telegram."""

    id: int = 501
    first_name: str = "Ann"
    last_name: str = ""
    username: str = "ann"
    language: str = "en"

    def to_json(self) -> Fields:
        answer: Fields = {"id": self.id, "is_bot": False, "first_name": self.first_name}
        names = {"last_name": self.last_name, "username": self.username, "language_code": self.language}
        return answer | {key: value for key, value in names.items() if value}


ANN = Person()


@dataclass(slots=True)
class Inbox:
    """The updates that wait. `consumers` counts who has asked: who asks last ends the waiting of all before."""

    webhook: str = ""
    waiting: list[Fields] = field(default_factory=list)
    consumers: int = 0
    _ids: Iterable[int] = field(default_factory=lambda: itertools.count(880_000_001))

    def put(self, kind: str, content: Fields) -> None:
        self.waiting.append({"update_id": next(iter(self._ids)), kind: content})

    def confirm(self, offset: int) -> None:
        """Forget those before; negative: all but so many."""
        if offset < 0:
            self.waiting[:] = self.waiting[offset:]
        else:
            self.waiting[:] = [update for update in self.waiting if update["update_id"] >= offset]

    def check_webhook(self) -> None:
        if self.webhook:
            said = "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            raise Refused(409, f"Conflict: {said}")


def other_consumer() -> Refused:
    said = "terminated by other getUpdates request; make sure that only one bot instance is running"
    return Refused(409, f"Conflict: {said}")


def is_heard(text: str, chat_type: str, bot: str, *, is_administrator: bool) -> bool:
    """Privacy mode: in groups a bot hears only commands and what mentions it, unless it is an administrator."""
    return chat_type in ("private", "channel") or is_administrator or text.startswith("/") or f"@{bot}" in text
