"""The Telegram stand-in behaves as Telegram does, so that what passes against it passes there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from demo.telegram import ALWAYS, Kind, TelegramStandIn
from demo.telegram_parser import ParserMissing

GROUP = -100
FORUM = -200


@dataclass
class Clock:
    seconds: float = 1000

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Caller:
    """Calls the stand-in as any client would."""

    standin: TelegramStandIn
    clock: Clock
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False  # whatever proxy this machine's environment names

    def call(self, method: str, token: str = "", timeout: float = 5, **fields: Any) -> dict[str, Any]:
        url = f"{self.standin.url}/bot{token or self.standin.token}/{method}"
        answer: dict[str, Any] = self.session.post(url, json=fields, timeout=timeout).json()
        return answer

    def send(self, text: str = "hello", chat_id: int | str = GROUP, **fields: Any) -> dict[str, Any]:
        return self.call("sendMessage", chat_id=chat_id, text=text, **fields)

    def send_markdown(self, text: str) -> dict[str, Any]:
        return self.send(text, parse_mode="MarkdownV2")

    def why(self, text: str = "hello", chat_id: int | str = GROUP, **fields: Any) -> str:
        """The description of a refusal."""
        return str(self.send(text, chat_id, **fields)["description"])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def standin(clock: Clock) -> Iterator[TelegramStandIn]:
    with TelegramStandIn(clock=clock) as standin:
        yield standin


@pytest.fixture
def caller(standin: TelegramStandIn, clock: Clock) -> Caller:
    return Caller(standin, clock)


# -- texts ------------------------------------------------------------------------------------------


def test_markdown_is_parsed_by_telegrams_own_parser(standin: TelegramStandIn, caller: Caller) -> None:
    """What people see, with formatting where Telegram would put it."""
    assert caller.send_markdown("*Tag:* `1.27`\n**>one\n>two||")["ok"]
    (message,) = standin.messages
    assert message.text == "Tag: 1.27\none\ntwo"
    entities = [(entity.type, entity.offset, entity.length) for entity in message.entities]
    assert entities == [("bold", 0, 4), ("code", 5, 4), ("expandableBlockQuote", 10, 7)]


def test_unescaped_dot_is_refused_in_telegrams_words(caller: Caller) -> None:
    """The mistake that every bot makes once."""
    answer = caller.send_markdown("1.27")
    assert (answer["ok"], answer["error_code"]) == (False, 400)
    expected = (
        "Bad Request: can't parse entities: Character '.' is reserved and must be escaped with the preceding '\\'"
    )
    assert answer["description"] == expected


def test_limit_counts_utf16_after_parsing(caller: Caller) -> None:
    """4096 units of text are taken however many bytes its markup has; an emoji is two units."""
    assert caller.send_markdown("*" + r"\." * 4096 + "*")["ok"]
    assert caller.send("📦" * 2048)["ok"]
    assert caller.why("📦" * 2048 + "x") == "Bad Request: message is too long"


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("", "Bad Request: message text is empty"),
        ("  \n ", "Bad Request: text must be non-empty"),
        ("x" * 33_000, "Bad Request: text is too long"),
        ("\ud800", "Bad Request: strings must be encoded in UTF-8"),
    ],
)
def test_text_that_cannot_be_sent(caller: Caller, text: str, description: str) -> None:
    """Nothing to read, too much to read, and what is no text."""
    assert caller.why(text) == description


def test_text_that_is_blank_without_its_markup_is_refused(caller: Caller) -> None:
    """It is the parsed text that counts."""
    assert caller.send_markdown("** **")["description"] == "Bad Request: text must be non-empty"


def test_entities_past_the_hundredth_are_not_shown(standin: TelegramStandIn, caller: Caller) -> None:
    """Silently, as in Telegram; but the stand-in counts them."""
    assert caller.send_markdown(" ".join(["`x`"] * 103))["ok"]
    assert len(standin.messages[0].entities) == 100
    assert standin.entities_dropped == 3


def test_link_to_a_host_without_a_dot_is_lost(standin: TelegramStandIn, caller: Caller) -> None:
    """Telegram drops it without a word."""
    assert caller.send_markdown("[a](http://harbor/x) [b](https://harbor.example.com/x)")["ok"]
    assert [entity.url for entity in standin.messages[0].entities] == ["https://harbor.example.com/x"]


def test_form_is_read_like_json(standin: TelegramStandIn, caller: Caller) -> None:
    """curl's way of calling, and GET with a query."""
    url = f"{standin.url}/bot{standin.token}/sendMessage"
    form = {"chat_id": "-100", "text": "form", "disable_notification": "true"}
    assert caller.session.post(url, data=form, timeout=5).json()["ok"]
    assert caller.session.get(url, params={"chat_id": "-100", "text": "query"}, timeout=5).json()["ok"]
    assert [(message.chat_id, message.text, message.silent) for message in standin.messages] == [
        (-100, "form", True),
        (-100, "query", False),
    ]


# -- chats ------------------------------------------------------------------------------------------


def test_chat_that_nobody_added_is_made_up_unless_strict(caller: Caller) -> None:
    """Most tests care for no particular chat."""
    assert caller.send(chat_id=-5)["result"]["chat"] == {"id": -5, "type": "supergroup"}
    with TelegramStandIn(strict=True) as strict:
        assert Caller(strict, caller.clock).why(chat_id=-5) == "Bad Request: chat not found"


def test_topics(standin: TelegramStandIn, caller: Caller) -> None:
    """A forum knows its topics, and General is not named."""
    forum = standin.add_chat(FORUM, topics=[7, 8])
    assert caller.send(chat_id=FORUM, message_thread_id=7)["result"]["message_thread_id"] == 7
    assert caller.why(chat_id=FORUM, message_thread_id=9) == "Bad Request: message thread not found"
    assert caller.why(chat_id=FORUM, message_thread_id=1) == "Bad Request: message thread not found"
    forum.closed_topics.add(8)
    assert caller.why(chat_id=FORUM, message_thread_id=8) == "Bad Request: TOPIC_CLOSED"
    assert caller.why(chat_id=42, message_thread_id=7) == "Bad Request: message thread not found"


def test_topic_is_ignored_outside_forums(standin: TelegramStandIn, caller: Caller) -> None:
    """An ordinary group takes the message all the same."""
    standin.add_chat(GROUP)
    assert caller.send(message_thread_id=7)["ok"]
    assert standin.messages[0].thread_id is None


def test_bot_must_be_in_the_chat(standin: TelegramStandIn, caller: Caller) -> None:
    """And it may be thrown out of it."""
    chat = standin.add_chat(GROUP, bot_is_member=False)
    assert caller.why() == "Forbidden: bot is not a member of the supergroup chat"
    chat.bot_status = "kicked"
    assert caller.why() == "Forbidden: bot was kicked from the supergroup chat"
    assert caller.call("getChat", chat_id=GROUP)["error_code"] == 403


def test_moved_group_keeps_refusing(standin: TelegramStandIn, caller: Caller) -> None:
    """The new id stands beside the refusal, every time."""
    standin.fail("migrated", migrate_to_chat_id=-100777)
    for _ in range(2):
        answer = caller.send()
        assert answer["description"] == "Bad Request: group chat was upgraded to a supergroup chat"
        assert answer["parameters"] == {"migrate_to_chat_id": -100777}
    assert caller.send(chat_id=-100777)["ok"]


def test_errors_of_the_text_come_before_those_of_the_chat_and_limits_last(
    standin: TelegramStandIn, caller: Caller
) -> None:
    """One request with every fault meets them in Telegram's order."""
    standin.fail("429", retry_after=1)
    standin.fail("chat_not_found")
    standin.fail("502")
    assert caller.session.post(f"{standin.url}/bot{standin.token}/sendMessage", timeout=5).status_code == 502
    assert caller.why("") == "Bad Request: message text is empty"
    assert caller.why() == "Bad Request: chat not found"
    assert caller.why() == "Too Many Requests: retry after 1"


@pytest.mark.parametrize(("token", "code"), [("999:other", 401), ("nonsense", 404), ("123456:TEST-TOKEN/x", 404)])
def test_wrong_token(caller: Caller, token: str, code: int) -> None:
    """What looks like a token is refused as one; the rest is an unknown path."""
    assert caller.call("getMe", token=token)["error_code"] == code


# -- editing ----------------------------------------------------------------------------------------


def test_edited_message_reads_differently(standin: TelegramStandIn, caller: Caller) -> None:
    """In place; the second time there is nothing to change, and without the message nothing can be."""
    caller.send("one")
    edit: dict[str, Any] = {"chat_id": GROUP, "message_id": 1, "text": "two"}
    assert caller.call("editMessageText", **edit)["ok"]
    assert standin.texts == ["two"]
    assert caller.call("editMessageText", **edit)["description"].startswith("Bad Request: message is not modified")
    missing = caller.call("editMessageText", **edit | {"message_id": 9})
    assert missing["description"] == "Bad Request: message to edit not found"


def edit(caller: Caller, text: str = "two", message_id: int = 1, **fields: Any) -> dict[str, Any]:
    return caller.call("editMessageText", chat_id=GROUP, message_id=message_id, text=text, **fields)


def test_edit_keeps_all_but_text_and_buttons(standin: TelegramStandIn, caller: Caller) -> None:
    """What it replies to, its sound and its time stay; buttons that are not sent again are gone."""
    buttons = {"inline_keyboard": [[{"text": "open", "url": "https://harbor.example.com"}]]}
    caller.send("root")
    caller.send("one", disable_notification=True, reply_parameters={"message_id": 1}, reply_markup=buttons)
    before = standin.messages[1]
    assert (before.silent, before.reply_to_message_id, before.reply_markup) == (True, 1, buttons)
    assert edit(caller, message_id=2)["ok"]
    after = standin.messages[1]
    assert (after.silent, after.reply_to_message_id, after.reply_markup) == (True, 1, None)
    assert after.sent_at == before.sent_at
    assert edit(caller, message_id=2, reply_markup=buttons)["ok"]
    assert standin.messages[1].reply_markup == buttons


def test_every_edit_is_written_down(standin: TelegramStandIn, caller: Caller) -> None:
    caller.send("one")
    edit(caller, "two")
    edit(caller, "three")
    edit(caller, "three")  # is none
    assert [(each.message_id, each.text) for each in standin.edits] == [(1, "two"), (1, "three")]
    assert standin.texts == ["three"]


def test_edits_count_as_messages_do(standin: TelegramStandIn, caller: Caller, clock: Clock) -> None:
    """Twenty a minute in a group, whatever of them are edits."""
    caller.send("0")
    for number in range(1, 20):
        clock.seconds += 1
        assert edit(caller, str(number))["ok"]
    clock.seconds += 1
    assert edit(caller, "too much")["error_code"] == 429
    assert standin.rate_limit_hits == 1


@pytest.mark.parametrize(
    ("kind", "description"),
    [
        (Kind.CANT_EDIT, "message can't be edited"),
        (Kind.EDIT_NOT_FOUND, "message to edit not found"),
        (Kind.NOT_MODIFIED, "message is not modified"),
    ],
)
def test_edit_that_is_refused(standin: TelegramStandIn, caller: Caller, kind: Kind, description: str) -> None:
    """Such a failure waits for an edit: what is sent meanwhile arrives."""
    caller.send("one")
    standin.fail(kind)
    assert caller.send("another")["ok"]
    assert edit(caller)["description"].startswith(f"Bad Request: {description}")
    assert edit(caller)["ok"]


# -- replying ---------------------------------------------------------------------------------------


def test_reply_to_a_missing_message(standin: TelegramStandIn, caller: Caller) -> None:
    """It is refused, unless the caller does not mind: then it is a message like any."""
    reply = {"message_id": 9}
    assert caller.why(reply_parameters=reply) == "Bad Request: message to be replied not found"
    assert caller.send(reply_parameters=reply | {"allow_sending_without_reply": True})["ok"]
    assert [message.reply_to_message_id for message in standin.messages] == [None]


def test_message_that_somebody_deleted(standin: TelegramStandIn, caller: Caller) -> None:
    caller.send("one")
    standin.delete(1)
    assert edit(caller)["description"] == "Bad Request: message to edit not found"
    assert caller.why(reply_parameters={"message_id": 1}) == "Bad Request: message to be replied not found"


def test_a_reply_goes_into_the_topic_of_its_message(standin: TelegramStandIn, caller: Caller) -> None:
    """Another one must not be named, and it must be open."""
    standin.add_chat(GROUP, topics=[10, 20])
    caller.send("one", message_thread_id=10)
    reply = {"message_id": 1, "allow_sending_without_reply": True}
    assert caller.send("two", reply_parameters=reply)["ok"]
    assert standin.messages[1].thread_id == 10
    why = caller.why(message_thread_id=20, reply_parameters=reply)
    assert why == "Bad Request: message to reply is not in the specified message thread"
    standin.chats[GROUP].closed_topics.add(10)
    assert caller.why(reply_parameters=reply) == "Bad Request: TOPIC_CLOSED"


def test_reply_in_a_form_is_json(standin: TelegramStandIn, caller: Caller) -> None:
    caller.send("one")
    assert caller.send("two", reply_parameters='{"message_id": 1}')["ok"]
    assert standin.messages[1].reply_to_message_id == 1
    assert caller.why(reply_parameters="{") == "Bad Request: can't parse reply parameters JSON object"


# -- limits -----------------------------------------------------------------------------------------


def test_twenty_a_minute_in_a_group(standin: TelegramStandIn, caller: Caller, clock: Clock) -> None:
    """The twenty-first waits until the first is a minute old."""
    for _ in range(20):
        assert caller.send()["ok"]
        clock.seconds += 2
    assert caller.send()["parameters"] == {"retry_after": 20}
    assert standin.rate_limit_hits == 1
    clock.seconds += 20
    assert caller.send()["ok"]


def test_private_chat_takes_more_than_twenty_a_minute(caller: Caller, clock: Clock) -> None:
    """A message a second is all that is asked."""
    for _ in range(40):
        assert caller.send(chat_id=42)["ok"]
        clock.seconds += 1


def test_small_bursts_are_tolerated(standin: TelegramStandIn, caller: Caller) -> None:
    """Five at once, then a message a second."""
    assert [caller.send(chat_id=42)["ok"] for _ in range(6)] == [True] * 5 + [False]
    assert standin.rate_limit_hits == 1


def test_sending_during_the_pause_is_a_violation(standin: TelegramStandIn, caller: Caller, clock: Clock) -> None:
    """429 is to be obeyed, in that chat."""
    standin.fail("429", retry_after=30)
    assert caller.send()["parameters"] == {"retry_after": 30}
    clock.seconds += 10
    assert caller.send()["parameters"] == {"retry_after": 20}
    assert caller.send(chat_id=-5)["ok"]
    assert (standin.violations, standin.rate_limit_hits) == (1, 0)
    clock.seconds += 20
    assert caller.send()["ok"]


def test_thirty_a_second_for_the_bot(standin: TelegramStandIn, caller: Caller) -> None:
    """Over all chats together."""
    assert [caller.send(chat_id=person)["ok"] for person in range(1, 32)] == [True] * 30 + [False]
    assert standin.rate_limit_hits == 1


# -- failures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.BAD_GATEWAY, Kind.UNAVAILABLE, Kind.GATEWAY_TIMEOUT])
def test_front_servers_answer_with_a_page(standin: TelegramStandIn, caller: Caller, kind: Kind) -> None:
    """nginx's HTML, and nothing was accepted."""
    standin.fail(kind)
    answer = caller.session.post(f"{standin.url}/bot{standin.token}/sendMessage", json={}, timeout=5)
    assert (answer.status_code, answer.headers["Content-Type"]) == (int(kind), "text/html")
    assert standin.messages == []


@pytest.mark.parametrize(("kind", "delivered"), [("drop_before", 0), ("drop_after", 1)])
def test_connection_breaks_before_or_after_acceptance(
    standin: TelegramStandIn, caller: Caller, kind: str, delivered: int
) -> None:
    """The caller cannot tell, but the people can."""
    standin.fail(kind)
    with pytest.raises(requests.ConnectionError):
        caller.send()
    assert len(standin.messages) == delivered


def test_slow_answer_is_that_of_a_delivered_message(standin: TelegramStandIn, caller: Caller) -> None:
    """Whoever hangs up before it sends twice."""
    standin.fail("slow", seconds=30)
    with pytest.raises(requests.ReadTimeout):
        caller.send("x", timeout=0.2)
    assert standin.texts == ["x"]
    assert caller.send()["ok"]


def test_failures_end_by_count_or_when_healed(standin: TelegramStandIn, caller: Caller) -> None:
    """Two, then none; for ever, until healed."""
    standin.fail("500", times=2)
    assert [caller.send()["ok"] for _ in range(3)] == [False, False, True]
    standin.fail("kicked", times=ALWAYS)
    assert [caller.send()["ok"] for _ in range(3)] == [False] * 3
    standin.heal()
    assert caller.send()["ok"]


def test_unknown_kind_of_failure_is_a_mistake_of_the_test(standin: TelegramStandIn) -> None:
    """It must not pass unnoticed."""
    with pytest.raises(ValueError, match="is not a valid Kind"):
        standin.fail("explode")


def test_away_and_back_at_the_same_address(standin: TelegramStandIn, caller: Caller) -> None:
    """Connections are refused, those kept alive too."""
    caller.send("before")
    url = standin.url
    standin.away()
    with pytest.raises(requests.ConnectionError):
        caller.send("during")
    standin.back()
    assert standin.url == url
    caller.send("after")
    assert standin.texts == ["before", "after"]


def test_waiting_for_messages_ends(standin: TelegramStandIn, caller: Caller) -> None:
    """With the messages, or with an error that says how many came."""
    caller.send("one")
    assert [message.text for message in standin.wait_for_messages(1, timeout_s=1)] == ["one"]
    with pytest.raises(TimeoutError, match="1 of 2 messages"):
        standin.wait_for_messages(2, timeout_s=0.05)


def test_missing_parser_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo on a machine with the run-time packages only."""
    monkeypatch.setitem(sys.modules, "tdjson", None)
    with pytest.raises(ParserMissing, match="requirements-demo"):
        TelegramStandIn()
