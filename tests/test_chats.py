"""Which chats a bot has heard of, as it follows from Telegram's updates; and how they are listened to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from demo.telegram import ANN, TelegramStandIn
from poller.chats import FoundChat, Update, found_in
from poller.secret import Secret
from poller.setup_chats import FULL_PAGE, Listener
from poller.telegram import Telegram

GROUP = {"id": -100, "type": "supergroup", "title": "Releases", "is_forum": True}
PERSON = {"id": 501, "type": "private", "first_name": "Ann", "last_name": "Lee", "username": "ann"}
ANNS_TELEGRAM: dict[str, Any] = {"id": 501, "is_bot": False, "first_name": "Ann", "language_code": "ru-RU"}
CREATED: dict[str, Any] = {"forum_topic_created": {"name": "Deploys", "icon_color": 1}}


def heard(*updates: dict[str, Any]) -> list[FoundChat]:
    numbered = [{"update_id": number, **update} for number, update in enumerate(updates, 1)]
    return list(found_in(msgspec.json.decode(msgspec.json.encode(numbered), type=tuple[Update, ...])))


def message(chat: dict[str, Any] = GROUP, kind: str = "message", **fields: Any) -> dict[str, Any]:
    return {kind: {"message_id": 1, "date": 1, "chat": chat, **fields}}


def in_topic(thread: int = 7, **fields: Any) -> dict[str, Any]:
    return message(message_thread_id=thread, is_topic_message=True, **fields)


def moved(status: str, chat: dict[str, Any] = GROUP, **fields: Any) -> dict[str, Any]:
    return {"my_chat_member": {"chat": chat, "date": 1, "new_chat_member": {"status": status, **fields}}}


@pytest.mark.parametrize(
    ("updates", "labels"),
    [
        ([message(PERSON, text="/start")], ["Ann Lee (private chat)"]),
        ([message({"id": 5, "type": "private", "username": "ann"})], ["ann (private chat)"]),
        ([message(text="/start@bot")], ["Releases (supergroup)"]),
        ([message({"id": -1, "type": "channel", "title": "News"}, "channel_post")], ["News (channel)"]),
        ([moved("administrator")], ["Releases (supergroup)"]),
        ([message(), message(kind="edited_message")], ["Releases (supergroup)"]),
        ([in_topic(**CREATED)], ["Releases › Deploys (topic)"]),
        ([in_topic(reply_to_message={"message_id": 7, **CREATED})], ["Releases › Deploys (topic)"]),
        ([in_topic()], ["Releases › topic 7 (topic)"]),
        ([in_topic(**CREATED), in_topic(forum_topic_edited={"name": "Prod"}), in_topic()], ["Releases › Prod (topic)"]),
        ([message(message_thread_id=99)], ["Releases (supergroup)"]),
        ([moved("member"), moved("kicked")], []),
        ([in_topic(), moved("left")], []),
        ([moved("restricted", is_member=False)], []),
        ([moved("kicked", PERSON), moved("member", PERSON)], ["Ann Lee (private chat)"]),
        ([message(migrate_to_chat_id=-200), message({**GROUP, "id": -200})], ["Releases (supergroup)"]),
        ([{"callback_query": {"id": "1"}}, {}], []),
    ],
)
def test_a_chat_is_where_the_bot_is(updates: list[dict[str, Any]], labels: list[str]) -> None:
    """Under the names that people know, topics included; not where it was removed from."""
    assert [chat.label for chat in heard(*updates)] == labels


def test_a_group_that_was_upgraded_has_its_new_number() -> None:
    """The old one is of no use any more."""
    assert [
        chat.chat_id for chat in heard(message(), message(migrate_to_chat_id=-200), message({**GROUP, "id": -200}))
    ] == [-200]


def test_the_language_is_that_of_whoever_wrote() -> None:
    """Also if somebody without a known one wrote later."""
    from_ann: dict[str, Any] = {"from": ANNS_TELEGRAM}
    [chat] = heard(message(PERSON, **from_ann), message(PERSON))
    assert chat.language == "ru"


# -- listening --------------------------------------------------------------------------------------


@pytest.fixture
def standin() -> Iterator[TelegramStandIn]:
    with TelegramStandIn(strict=True) as standin:
        standin.add_chat(ANN.id, "private")
        yield standin


def listener(standin: TelegramStandIn) -> Listener:
    return Listener(Telegram(Secret(standin.token), api_url=standin.url), lambda _: None)


def test_nothing_that_waits_is_taken_from_others(standin: TelegramStandIn) -> None:
    """However often it is looked at."""
    standin.write(standin.chats[ANN.id], "/start")
    ours = listener(standin)
    assert [ours.listen(1), ours.listen(0)] == [True, False]
    assert [chat.chat_id for chat in ours.chats] == [ANN.id]
    assert standin.waiting_updates == 1


def test_telegram_may_be_away_for_a_moment(standin: TelegramStandIn) -> None:
    """Whoever has pressed Start meanwhile is heard of all the same."""
    standin.write(standin.chats[ANN.id], "/start")
    standin.fail("502", times=2)
    ours = listener(standin)
    assert ours.listen(5)
    assert [chat.chat_id for chat in ours.chats] == [ANN.id]


def test_what_comes_behind_a_full_page_is_seen(standin: TelegramStandIn) -> None:
    """For that the page has to be confirmed, but for its last one."""
    for _ in range(FULL_PAGE):
        standin.write(standin.chats[ANN.id], "hello")
    standin.add_bot(standin.add_chat(-100, title="Releases"))
    ours = listener(standin)
    assert list(itertools.takewhile(bool, (ours.listen(0) for _ in range(5)))) == [True, True]
    assert [chat.chat_id for chat in ours.chats] == [ANN.id, -100]
    assert standin.waiting_updates == 2
