"""What becomes of a message, whatever Telegram answers; and that the token is never seen."""

from __future__ import annotations

import logging
import socket
import socketserver
import ssl
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, quote_plus, urlsplit

import pytest

from demo.telegram import Kind, TelegramStandIn
from poller.errors import OperatorError, PollerError, Temporary
from poller.refusals import Meaning, Refusal, is_about_text, judge, seconds_named
from poller.secret import Secret
from poller.telegram import (
    CannotEdit,
    ChatRefused,
    Edited,
    EditOutcome,
    Later,
    MessageRefused,
    Outcome,
    Sent,
    Telegram,
    TelegramRefused,
    TelegramUnavailable,
)
from poller.telling import MAYBE_DELIVERED

TOKEN = "123456:Top+Secret/Key"  # no token has such letters, but they are where quoting would show
PROXY_PASSWORD = "hunter2-of-the-proxy"
GROUP = -100
FORUM = -200
TOPIC = 7
QUICK = (2.0, 0.3)


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy is used for real hosts, and tests name some that do not exist."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def standin() -> Iterator[TelegramStandIn]:
    with TelegramStandIn(TOKEN, strict=True) as standin:
        standin.add_chat(GROUP)
        standin.add_chat(FORUM, topics=[TOPIC])
        standin.add_chat(42)
        standin.add_chat("@releases")
        yield standin


@pytest.fixture
def telegram(standin: TelegramStandIn) -> Telegram:
    return client(standin.url)


def client(
    url: str,
    *,
    token: str = TOKEN,
    proxy: str | None = None,
    timeout: tuple[float, float] = QUICK,
) -> Telegram:
    return Telegram(Secret(token), api_url=url, proxy=proxy, timeout=timeout)


def send(telegram: Telegram, chat_id: int | str = GROUP, thread_id: int | None = None) -> Outcome:
    return telegram.send(chat_id, thread_id, r"*Tag:* `1\.27`", "Tag: 1.27")


# -- accepted ---------------------------------------------------------------------------------------


def test_people_see_the_text_without_its_markup(standin: TelegramStandIn, telegram: Telegram) -> None:
    """Telegram's own parser makes of the MarkdownV2 what people read."""
    assert telegram.send(GROUP, None, r"*Tag:* 1\.27", "-") == Sent(message_id=1, chat_id=GROUP)
    (message,) = standin.messages
    assert message.text == "Tag: 1.27"
    assert [entity.type for entity in message.entities] == ["bold"]


@pytest.mark.parametrize("chat_id", [GROUP, 42, "@releases"])
def test_every_kind_of_chat_can_be_written_to(standin: TelegramStandIn, telegram: Telegram, chat_id: int | str) -> None:
    """Groups, people and channels with a public name."""
    assert send(telegram, chat_id) == Sent(message_id=1, chat_id=chat_id)
    assert standin.messages[0].chat_id == chat_id


def test_message_goes_into_its_topic(standin: TelegramStandIn, telegram: Telegram) -> None:
    """A forum's topic is named by its id."""
    assert send(telegram, FORUM, TOPIC) == Sent(message_id=1, chat_id=FORUM)
    assert standin.messages[0].thread_id == TOPIC


@pytest.mark.parametrize("thread_id", [None, 1])
def test_general_topic_is_written_to_by_not_naming_it(
    standin: TelegramStandIn, telegram: Telegram, thread_id: int | None
) -> None:
    """Telegram refuses the id 1, although it is what its links show."""
    assert send(telegram, FORUM, thread_id) == Sent(message_id=1, chat_id=FORUM)
    assert "message_thread_id" not in standin.requests[0].fields


def test_links_get_no_preview(standin: TelegramStandIn, telegram: Telegram) -> None:
    """A preview would make Telegram's servers call the registry."""
    send(telegram)
    assert standin.requests[0].fields["link_preview_options"] == {"is_disabled": True}


@pytest.mark.parametrize("silent", [False, True])
def test_phones_stay_silent_if_asked(standin: TelegramStandIn, silent: bool) -> None:
    """Each message for itself."""
    client(standin.url).send(GROUP, None, "text", "text", silent=silent)
    assert standin.messages[0].silent is silent


def test_a_message_answers_another_one(standin: TelegramStandIn, telegram: Telegram) -> None:
    """And is sent all the same where that is gone."""
    telegram.send(GROUP, None, "text", "text", reply_to=7)
    telegram.send(GROUP, None, "text", "text")
    first, second = (request.fields for request in standin.requests)
    assert first["reply_parameters"] == {"message_id": 7, "allow_sending_without_reply": True}
    assert "reply_parameters" not in second


# -- edited -----------------------------------------------------------------------------------------


def edit(telegram: Telegram, text: str = r"*Tag:* `1\.28`", message_id: int = 1) -> EditOutcome:
    return telegram.edit(GROUP, message_id, text, "Tag: 1.28")


def test_a_message_gets_another_text(standin: TelegramStandIn, telegram: Telegram) -> None:
    """Without a preview of links, as when it was sent."""
    send(telegram)
    assert edit(telegram) == Edited()
    assert standin.texts == ["Tag: 1.28"]
    assert standin.requests[-1].fields["link_preview_options"] == {"is_disabled": True}


def test_the_same_edit_again_is_no_failure(telegram: Telegram) -> None:
    """For the answer to the first may have been lost."""
    send(telegram)
    assert (edit(telegram), edit(telegram)) == (Edited(), Edited())


def test_an_edit_that_telegram_cannot_parse_goes_as_plain_text(standin: TelegramStandIn, telegram: Telegram) -> None:
    """As with a message; where that is refused too, the text is to blame."""
    send(telegram)
    assert edit(telegram, "_") == Edited(as_plain=True, reason="telegram.cant_parse")
    assert standin.texts == ["Tag: 1.28"]
    standin.fail(Kind.EMPTY, times=2)
    assert isinstance(edit(telegram), MessageRefused)


@pytest.mark.parametrize(
    "description",
    ["message to edit not found", "message can't be edited", "MESSAGE_ID_INVALID", "something new"],
)
def test_a_message_that_cannot_be_edited(standin: TelegramStandIn, telegram: Telegram, description: str) -> None:
    """What is new has to be sent then."""
    standin.fail(Kind.REFUSED, description=f"Bad Request: {description}")
    assert isinstance(edit(telegram), CannotEdit)


def test_a_message_of_a_chat_that_has_moved_stays_behind(standin: TelegramStandIn, telegram: Telegram) -> None:
    """The new chat has messages of its own numbers."""
    send(telegram)
    standin.migrate(standin.chats[GROUP], -1002003)
    assert edit(telegram) == CannotEdit("telegram.chat_moved", -1002003)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.TOO_MANY_REQUESTS, Later("telegram.too_many_requests", 1)),
        (Kind.DROP_AFTER, Later("telegram.answer_lost", None)),
        (Kind.KICKED, ChatRefused("telegram.bot_kicked", "Forbidden: bot was kicked from the supergroup chat")),
    ],
)
def test_failures_of_an_edit_are_those_of_a_message(
    standin: TelegramStandIn, telegram: Telegram, kind: Kind, expected: EditOutcome
) -> None:
    """They are of the chat or of Telegram, not of the message."""
    send(telegram)
    standin.fail(kind)
    assert edit(telegram) == expected


def test_api_url_may_have_a_path_and_a_slash_at_its_end(standin: TelegramStandIn) -> None:
    """As reverse proxies are set up; the stand-in answers below the root only, hence the refusal."""
    assert isinstance(send(client(standin.url + "/")), Sent)
    assert send(client(standin.url + "/telegram/")) == ChatRefused("telegram.not_found", "Not Found")


# -- detours ----------------------------------------------------------------------------------------


def test_text_that_telegram_cannot_parse_goes_without_markup(standin: TelegramStandIn, telegram: Telegram) -> None:
    """Our mistake must not cost people the message; `as_plain` makes it loud in the log."""
    outcome = telegram.send(GROUP, None, "v1.27 *", "v1.27")
    assert outcome == Sent(1, GROUP, as_plain=True, reason="telegram.cant_parse")
    assert standin.messages[0].text == "v1.27"
    assert standin.messages[0].parse_mode == ""


def test_message_follows_a_group_that_became_a_supergroup(standin: TelegramStandIn, telegram: Telegram) -> None:
    """Resent at once; the old id goes on telling the new one."""
    standin.fail("migrated", migrate_to_chat_id=-100777)
    for message_id in (1, 2):
        expected = Sent(message_id, -100777, moved_to=-100777, reason="telegram.chat_moved")
        assert send(telegram) == expected
    assert [message.chat_id for message in standin.messages] == [-100777, -100777]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Kind.THREAD_NOT_FOUND, "telegram.topic_not_found"),
        (Kind.TOPIC_DELETED, "telegram.topic_not_found"),
        (Kind.TOPIC_CLOSED, "telegram.topic_closed"),
    ],
)
def test_message_for_a_lost_topic_goes_to_the_chat(
    standin: TelegramStandIn, telegram: Telegram, kind: Kind, reason: str
) -> None:
    """Better in the wrong place than nowhere."""
    standin.fail(kind)
    assert send(telegram, FORUM, TOPIC) == Sent(1, FORUM, topic_lost=True, reason=reason)
    assert standin.messages[0].thread_id is None


def test_all_detours_can_be_needed_for_one_message(standin: TelegramStandIn, telegram: Telegram) -> None:
    """Bad markup, a moved group and a lost topic end in one delivered message."""
    standin.fail("migrated", migrate_to_chat_id=-100777)
    standin.fail("topic_deleted")
    outcome = telegram.send(FORUM, TOPIC, "1.27", "1.27")
    assert outcome == Sent(1, -100777, -100777, topic_lost=True, as_plain=True, reason="telegram.cant_parse")
    assert standin.texts == ["1.27"]


ABOUT_REPLIES = (
    "message to be replied not found",
    "REPLY_MESSAGE_ID_INVALID",
    "The message to reply is not in the specified message thread",
    "message thread not found",
    "TOPIC_CLOSED",
    "nobody has ever seen this",
)


@pytest.mark.parametrize("words", ABOUT_REPLIES)
def test_what_may_be_said_of_the_answered_message_is_first_tried_without_it(
    standin: TelegramStandIn, telegram: Telegram, words: str
) -> None:
    """In its topic and with its markup, and nothing is made known that is not so."""
    standin.fail("refused", description=f"Bad Request: {words}")
    assert telegram.send(FORUM, TOPIC, "text", "text", reply_to=7) == Sent(1, FORUM)
    assert standin.messages[0].thread_id == TOPIC


def test_a_message_of_another_topic_is_not_answered(standin: TelegramStandIn, telegram: Telegram) -> None:
    """Nor is one of a topic that was closed; what is to be told goes where it belongs."""
    standin.add_chat(FORUM, topics=[TOPIC, 20])
    assert send(telegram, FORUM, TOPIC) == Sent(1, FORUM)
    assert telegram.send(FORUM, 20, "text", "text", reply_to=1) == Sent(2, FORUM)
    standin.chats[FORUM].closed_topics.add(TOPIC)
    assert telegram.send(FORUM, None, "text", "text", reply_to=1) == Sent(3, FORUM)
    assert [message.thread_id for message in standin.messages] == [TOPIC, 20, None]


def test_in_a_chat_that_has_moved_nothing_is_answered(standin: TelegramStandIn, telegram: Telegram) -> None:
    """Its messages are counted anew: the same number is another message's."""
    assert send(telegram) == Sent(1, GROUP)
    standin.migrate(standin.chats[GROUP], -100777)
    telegram.send(GROUP, None, "text", "text", reply_to=1)
    assert "reply_parameters" not in standin.requests[-1].fields


def test_closed_general_topic_is_the_operators_matter(standin: TelegramStandIn, telegram: Telegram) -> None:
    """Without a topic there is no detour: the message is kept."""
    standin.fail("refused", times=9, description="Bad Request: TOPIC_CLOSED")
    assert send(telegram) == ChatRefused("telegram.topic_closed", "Bad Request: TOPIC_CLOSED")


def test_detour_that_meets_a_limit_waits(standin: TelegramStandIn, telegram: Telegram) -> None:
    """What was learnt is learnt again with the next attempt."""
    standin.fail("429", retry_after=7)
    assert telegram.send(GROUP, None, "1.27", "1.27") == Later("telegram.too_many_requests", 7)
    assert standin.texts == []


# -- nobody must act --------------------------------------------------------------------------------


def test_named_pause_is_passed_on(standin: TelegramStandIn, telegram: Telegram) -> None:
    """Telegram knows best how long."""
    standin.fail("429", retry_after=35)
    assert send(telegram) == Later("telegram.too_many_requests", 35)


@pytest.mark.parametrize("kind", [Kind.INTERNAL, Kind.BAD_GATEWAY, Kind.UNAVAILABLE, Kind.GATEWAY_TIMEOUT])
def test_servers_trouble_passes(standin: TelegramStandIn, telegram: Telegram, kind: Kind) -> None:
    """JSON or nginx's page: 5xx is no one's fault, and the next attempt succeeds."""
    standin.fail(kind)
    assert send(telegram) == Later("telegram.unavailable", None)
    assert send(telegram) == Sent(1, GROUP)


@pytest.mark.parametrize("kind", [Kind.DROP_AFTER, Kind.SLOW])
def test_lost_answer_is_not_taken_for_success(standin: TelegramStandIn, telegram: Telegram, kind: Kind) -> None:
    """The message was delivered, but who could know? It is sent again: at least once."""
    standin.fail(kind, seconds=1)
    assert send(telegram) == Later("telegram.answer_lost", None)
    assert len(standin.messages) == 1


def test_dropped_connection_passes(standin: TelegramStandIn, telegram: Telegram) -> None:
    """From here it cannot be told from a lost answer."""
    standin.fail("drop_before")
    assert send(telegram) == Later("telegram.answer_lost", None)
    assert standin.messages == []


def test_garbled_answer_is_not_taken_for_success(standin: TelegramStandIn, telegram: Telegram) -> None:
    """A page with status 200, as captive portals show it."""
    standin.fail("garbled")
    assert send(telegram) == Later("telegram.answer_garbled", None)


@pytest.mark.parametrize(
    "answer",
    [
        b'{"ok":true,"result":{}}',
        b'{"ok":true}',
        b'{"ok":true,"result":{"message_id":"x"}}',
        b"[]",
        b"",
        b"\xff\xfe",
        b'{"ok":',
    ],
)
def test_answer_without_a_message_id_is_not_taken_for_success(answer: bytes) -> None:
    """Only what names the message has been accepted."""
    with raw_server(http(200, answer)) as url:
        assert send(client(url)) == Later("telegram.answer_garbled", None)


def test_answer_cut_short_is_a_lost_answer() -> None:
    """The connection broke in the middle of the body."""
    cut = b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"ok":true'
    with raw_server(cut) as url:
        assert send(client(url)) == Later("telegram.answer_lost", None)


def test_telegram_away_and_back(standin: TelegramStandIn, telegram: Telegram) -> None:
    """Refused connections pass, also for a connection that was kept alive."""
    assert send(telegram) == Sent(1, GROUP)
    standin.away()
    assert send(telegram) == Later("telegram.unreachable", None)
    standin.back()
    assert send(telegram) == Sent(2, GROUP)
    standin.away(behind_gateway=True)
    assert send(telegram) == Later("telegram.unavailable", None)


def test_name_that_does_not_resolve_may_resolve_later() -> None:
    """DNS fails for a while, too."""
    assert send(client("http://telegram.invalid")) == Later("telegram.unreachable", None)


def test_tls_that_fails_may_work_later(standin: TelegramStandIn) -> None:
    """Here because the port speaks plain HTTP."""
    assert send(client(standin.url.replace("http:", "https:"))) == Later("telegram.unreachable", None)


def test_retry_after_of_a_page_counts() -> None:
    """A front server names its pause in a header."""
    with raw_server(http(429, b"<html>", b"Retry-After: 12\r\n")) as url:
        assert send(client(url)) == Later("telegram.too_many_requests", 12)


# -- the operator must act --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Kind.UNAUTHORIZED, "telegram.unauthorized"),
        (Kind.NOT_FOUND, "telegram.not_found"),
        (Kind.CHAT_NOT_FOUND, "telegram.chat_not_found"),
        (Kind.NO_RIGHTS, "telegram.no_rights"),
        (Kind.WRITE_FORBIDDEN, "telegram.no_rights"),
        (Kind.KICKED, "telegram.bot_kicked"),
        (Kind.NOT_A_MEMBER, "telegram.not_a_member"),
        (Kind.BLOCKED, "telegram.bot_blocked"),
        (Kind.DEACTIVATED, "telegram.user_deactivated"),
    ],
)
def test_refusal_of_the_chat_keeps_the_message(
    standin: TelegramStandIn, telegram: Telegram, kind: Kind, reason: str
) -> None:
    """It says nothing about the message, which goes once the chat is mended."""
    standin.fail(kind)
    outcome = send(telegram)
    assert isinstance(outcome, ChatRefused)
    assert outcome.reason == reason
    assert outcome.description
    assert send(telegram) == Sent(1, GROUP)


@pytest.mark.parametrize(
    ("token", "reason"),
    [("999:wrong", "telegram.unauthorized"), ("none", "telegram.not_found"), ("", "telegram.not_found")],
)
def test_wrong_token(standin: TelegramStandIn, token: str, reason: str) -> None:
    """A revoked token and something that is no token are told apart."""
    outcome = send(client(standin.url, token=token))
    assert isinstance(outcome, ChatRefused)
    assert outcome.reason == reason


def test_redirect_is_not_followed(standin: TelegramStandIn, telegram: Telegram) -> None:
    """It would carry the token to a place that nobody configured. The target is named, without its path."""
    standin.fail("redirect", location=f"https://user:pw@elsewhere.example/bot{TOKEN}/x")
    outcome = send(telegram)
    assert isinstance(outcome, ChatRefused)
    assert outcome.reason == "telegram.redirected"
    assert "on to https://elsewhere.example: " in outcome.description
    assert len(standin.requests) == 1


def test_web_server_that_is_no_telegram(standin: TelegramStandIn, telegram: Telegram) -> None:
    """A wrong api_url: its page does not say so, but we do."""
    standin.fail("page_404")
    outcome = send(telegram)
    assert isinstance(outcome, ChatRefused)
    assert outcome.reason == "telegram.not_the_api"
    assert standin.url in outcome.description


@pytest.mark.parametrize("url", ["api.telegram.org", "ftp://api.telegram.org", "http://", "http://[::1", "http://a..b"])
def test_api_url_that_is_none(url: str) -> None:
    """The configuration checks it first; here it must at least not raise."""
    outcome = send(client(url))
    assert isinstance(outcome, ChatRefused)
    assert outcome.reason == "telegram.wrong_url"


def test_untrusted_certificate_is_the_operators_matter(tmp_path: Path) -> None:
    """Somebody listens in, or the network's own certificate authority is not installed."""
    with tls_server(tmp_path) as url:
        outcome = send(client(url))
    assert isinstance(outcome, ChatRefused)
    assert outcome.reason == "telegram.untrusted_certificate"


# -- the message's own fault ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "plain", "reason"),
    [
        ("x" * 4097, "x" * 4097, "telegram.text_too_long"),
        ("y" * 33_000, "y" * 33_000, "telegram.text_too_long"),
        ("** **", " ", "telegram.text_empty"),
        ("", "", "telegram.text_empty"),
        ("\ud800", "\ud800", "telegram.text_garbled"),
    ],
)
def test_message_ends_only_after_the_plain_attempt(
    standin: TelegramStandIn, telegram: Telegram, text: str, plain: str, reason: str
) -> None:
    """Nothing can be done for it; it must not block those behind it."""
    outcome = telegram.send(GROUP, None, text, plain)
    assert isinstance(outcome, MessageRefused)
    assert outcome.reason == reason
    assert ["parse_mode" in request.fields for request in standin.requests] == [True, False]


def test_text_too_long_only_with_markup_is_delivered(standin: TelegramStandIn, telegram: Telegram) -> None:
    """The plain text is another text, and it may fit."""
    assert telegram.send(GROUP, None, "x" * 4097, "short") == Sent(
        1, GROUP, as_plain=True, reason="telegram.text_too_long"
    )
    assert standin.texts == ["short"]


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("Bad Request: text contains something new", MessageRefused),
        ("Bad Request: MEDIA_WHATEVER_INVALID", ChatRefused),
        ("Bad Request: text messages are off in this chat", ChatRefused),
        ("", ChatRefused),
    ],
)
def test_unknown_refusal_ends_a_message_only_if_it_is_about_the_text(
    standin: TelegramStandIn, telegram: Telegram, description: str, expected: type
) -> None:
    """After a plain attempt, and in doubt never: nothing is lost to words that we do not know."""
    standin.fail("refused", times=2, description=description)
    assert send(telegram) == expected("telegram.refused", description)
    assert ["parse_mode" in request.fields for request in standin.requests] == [True, False]


def test_unknown_refusal_of_markup_is_healed_by_the_plain_attempt(standin: TelegramStandIn, telegram: Telegram) -> None:
    """Whatever it was, people have their message."""
    standin.fail("refused", description="Bad Request: WHO_KNOWS")
    assert send(telegram) == Sent(1, GROUP, as_plain=True, reason="telegram.refused")


# -- words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "description", "meaning", "reason"),
    [
        (429, "Too Many Requests: retry after 5", Meaning.WAIT, "too_many_requests"),
        (420, "FLOOD_WAIT_5", Meaning.WAIT, "too_many_requests"),
        (400, "Bad Request: SLOWMODE_WAIT_5", Meaning.WAIT, "too_many_requests"),
        (500, "Internal Server Error: chat not found", Meaning.WAIT, "unavailable"),
        (400, "Bad Request: group chat was upgraded to a supergroup chat", Meaning.MOVED, "chat_moved"),
        (400, "BAD REQUEST: CAN'T PARSE ENTITIES: …", Meaning.TEXT, "cant_parse"),
        (400, "Bad Request: ENTITY_BOUNDS_INVALID", Meaning.TEXT, "cant_parse"),
        (400, "Bad Request: MESSAGE_TOO_LONG", Meaning.TEXT, "text_too_long"),
        (400, "Bad Request: message text is empty", Meaning.TEXT, "text_empty"),
        (400, "Bad Request: MESSAGE_EMPTY", Meaning.TEXT, "text_empty"),
        (400, "Bad Request: message thread not found", Meaning.TOPIC, "topic_not_found"),
        (400, "topic_closed", Meaning.TOPIC, "topic_closed"),
        (400, "Bad Request: the chat is not a forum", Meaning.TOPIC, "topic_not_found"),
        (400, "Bad Request: Chat Not Found", Meaning.CHAT, "chat_not_found"),
        (400, "Bad Request: chat_id is empty", Meaning.CHAT, "chat_not_found"),
        (400, "Bad Request: PEER_ID_INVALID", Meaning.CHAT, "chat_not_found"),
        (400, "Bad Request: CHANNEL_PRIVATE", Meaning.CHAT, "chat_not_found"),
        (400, "Bad Request: not enough rights to send text messages to the chat", Meaning.CHAT, "no_rights"),
        (400, "Bad Request: need administrator rights in the channel chat", Meaning.CHAT, "no_rights"),
        (400, "Bad Request: CHAT_SEND_PLAIN_FORBIDDEN", Meaning.CHAT, "no_rights"),
        (400, "Bad Request: bot is not a member of the chat", Meaning.CHAT, "not_a_member"),
        (401, "Unauthorized", Meaning.CHAT, "unauthorized"),
        (403, "Forbidden: bot was kicked from the supergroup chat", Meaning.CHAT, "bot_kicked"),
        (403, "Forbidden: bot can't initiate conversation with a user", Meaning.CHAT, "no_conversation"),
        (403, "Forbidden: something new", Meaning.CHAT, "forbidden"),
        (404, "Not Found", Meaning.CHAT, "not_found"),
        (409, "Conflict: terminated by other getUpdates request", Meaning.UNKNOWN, "refused"),
    ],
)
def test_words_of_a_refusal(code: int, description: str, meaning: Meaning, reason: str) -> None:
    """Any case, with and without the prefix, and the servers' own codes in capitals."""
    verdict = judge(Refusal(code, description))
    assert (verdict.meaning, verdict.reason) == (meaning, f"telegram.{reason}")


@pytest.mark.parametrize(
    ("description", "seconds"),
    [("Too Many Requests: retry after 35", 35), ("FLOOD_WAIT_8", 8), ("SLOWMODE_WAIT_3", 3), ("later", None)],
)
def test_pause_in_the_words(description: str, seconds: float | None) -> None:
    """For answers without `parameters`."""
    assert seconds_named(description) == seconds


def test_rights_to_send_text_are_not_about_the_text() -> None:
    """The word alone does not decide."""
    assert not is_about_text("Bad Request: not enough rights to send text messages to the chat")
    assert is_about_text("Bad Request: text has a new kind of problem")


# -- what `check` asks ------------------------------------------------------------------------------


def test_bot_and_its_chats_are_described(telegram: Telegram) -> None:
    """Who we are, where we write, and whether we may."""
    assert (telegram.me().id, telegram.me().username) == (123456, "test_bot")
    forum = telegram.chat(FORUM)
    assert (forum.type, forum.title, forum.is_forum) == ("supergroup", "Releases", True)
    assert telegram.membership(FORUM).can_send(forum)
    assert telegram.membership("@releases").can_send(telegram.chat("@releases"))
    assert telegram.membership(42).can_send(telegram.chat(42))


def test_member_of_a_muted_group_cannot_send(standin: TelegramStandIn, telegram: Telegram) -> None:
    """Only administrators write there."""
    standin.chats[GROUP].members_can_send = False
    assert not telegram.membership(GROUP).can_send(telegram.chat(GROUP))
    standin.chats[GROUP].bot_status = "administrator"
    assert telegram.membership(GROUP).can_send(telegram.chat(GROUP))


def test_mere_member_of_a_channel_cannot_send(standin: TelegramStandIn, telegram: Telegram) -> None:
    """In channels administrators write."""
    standin.chats["@releases"].bot_status = "member"
    assert not telegram.membership("@releases").can_send(telegram.chat("@releases"))
    standin.chats["@releases"].bot_status = "left"
    assert not telegram.membership("@releases").can_send(telegram.chat("@releases"))


def test_check_tells_who_must_act(standin: TelegramStandIn, telegram: Telegram) -> None:
    """An unknown chat is the operator's matter, a bad gateway nobody's."""
    with pytest.raises(TelegramRefused, match="chat not found") as refused:
        telegram.chat(-555)
    assert (refused.value.reason, isinstance(refused.value, OperatorError)) == ("telegram.chat_not_found", True)
    standin.away(behind_gateway=True)
    with pytest.raises(TelegramUnavailable) as unavailable:
        telegram.me()
    assert (unavailable.value.reason, isinstance(unavailable.value, Temporary)) == ("telegram.unavailable", True)


# -- the way there ----------------------------------------------------------------------------------


def test_netrc_is_never_read(
    standin: TelegramStandIn, telegram: Telegram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`requests` would send the password of a ~/.netrc that names the host."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password secret\ndefault login ann password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert isinstance(send(telegram), Sent)
    assert "authorization" not in standin.requests[0].headers


def test_password_in_the_api_url_reaches_the_reverse_proxy(standin: TelegramStandIn) -> None:
    """As other clients do it."""
    assert isinstance(send(client(standin.url.replace("://", "://ann:secret@"))), Sent)
    assert standin.requests[0].headers["authorization"] == "Basic YW5uOnNlY3JldA=="


def test_http_proxy_is_used(standin: TelegramStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in plays the proxy: only through it does the host exist. The environment's proxy does not win."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert send(client("http://telegram.invalid", proxy=standin.url)) == Sent(1, GROUP)
    assert standin.requests[0].headers["host"] == "telegram.invalid"


def test_environments_proxy_is_not_used_for_this_machine(telegram: Telegram, monkeypatch: pytest.MonkeyPatch) -> None:
    """A self-hosted Bot API server beside us, and the demo."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert send(telegram) == Sent(1, GROUP)


@pytest.mark.parametrize("user", ["", "ann:secret@"])
def test_socks_proxy_resolves_the_name(standin: TelegramStandIn, user: str) -> None:
    """socks5h: where Telegram is blocked, its name often is, too."""
    with socks_server(standin.url) as socks:
        assert send(client("http://telegram.invalid", proxy=f"socks5h://{user}{socks.place}")) == Sent(1, GROUP)
        assert socks.hosts == ["telegram.invalid"]


def test_proxy_that_wants_a_password_is_the_operators_matter() -> None:
    """HTTP: 407. The proxy is named, without the password."""
    with raw_server(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as url:
        proxy = url.replace("://", f"://ann:{PROXY_PASSWORD}@")
        outcome = send(client("https://telegram.invalid", proxy=proxy))
    assert isinstance(outcome, ChatRefused)
    assert (outcome.reason, url in outcome.description) == ("telegram.proxy_refused", True)


def test_socks_proxy_that_refuses_the_password_is_the_operators_matter(standin: TelegramStandIn) -> None:
    """SOCKS says so in its own way."""
    with socks_server(standin.url) as socks:
        outcome = send(client("http://telegram.invalid", proxy=f"socks5h://ann:wrong@{socks.place}"))
    assert isinstance(outcome, ChatRefused)
    assert outcome.reason == "telegram.proxy_refused"


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_proxy_that_is_away_may_come_back(standin: TelegramStandIn, scheme: str) -> None:
    """Nothing was sent, nobody must act."""
    standin.away()
    proxy = standin.url.replace("http", scheme)
    assert send(client("http://telegram.invalid", proxy=proxy)) == Later("telegram.unreachable", None)


# -- the token is never seen ------------------------------------------------------------------------

Trouble = Callable[[TelegramStandIn], Telegram]


def ordered(kind: Kind) -> Trouble:
    """A client whose requests all meet this failure."""

    def trouble(standin: TelegramStandIn) -> Telegram:
        echo = f"Bad Request: no route for /bot{TOKEN}/x nor /bot{quote(TOKEN)}/x"
        standin.fail(kind, times=9, seconds=1, location=f"/bot{TOKEN}/", description=echo, retry_after=1)
        return client(standin.url)

    return trouble


def through(url: str, proxy: str | None = None) -> Trouble:
    return lambda _: client(url, proxy=proxy)


def away(standin: TelegramStandIn) -> Telegram:
    standin.away()
    return client(standin.url)


def tls_on_a_plain_port(standin: TelegramStandIn) -> Telegram:
    return client(standin.url.replace("http:", "https:"))


def proxy_without_tunnels(standin: TelegramStandIn) -> Telegram:
    return client("https://telegram.invalid", proxy=standin.url.replace("://", f"://ann:{PROXY_PASSWORD}@"))


TROUBLES: dict[str, Trouble] = {
    **{kind.name: ordered(kind) for kind in Kind},
    "nothing": lambda standin: client(standin.url),
    "away": away,
    "tls": tls_on_a_plain_port,
    "tunnel": proxy_without_tunnels,
    "unresolved": through("http://telegram.invalid"),
    "no url": through("telegram"),
    "bad host": through("http://[::1"),
    "proxy refused": through("http://telegram.invalid", f"http://ann:{PROXY_PASSWORD}@127.0.0.1:9"),
    "socks refused": through("http://telegram.invalid", f"socks5h://ann:{PROXY_PASSWORD}@127.0.0.1:9"),
    "no proxy": through("http://telegram.invalid", f"http://ann:{PROXY_PASSWORD}@"),
    "odd proxy": through("http://telegram.invalid", f"gopher://ann:{PROXY_PASSWORD}@127.0.0.1:9"),
    "password in url": through(f"http://ann:{PROXY_PASSWORD}@127.0.0.1:9"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_no_secret_is_ever_seen(standin: TelegramStandIn, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """In the debug log of every library, in outcomes, and in exceptions with their chain and all variables."""
    caplog.set_level(logging.DEBUG)
    telegram = TROUBLES[name](standin)
    seen = [repr(telegram), repr(vars(telegram)), repr(send(telegram, FORUM, TOPIC))]
    for ask in (telegram.me, lambda: telegram.chat(GROUP), lambda: telegram.membership(GROUP)):
        try:
            seen.append(repr(ask()))
        except PollerError as error:
            seen += shown(error)
    seen += [logging.Formatter().format(record) + repr(vars(record)) for record in caplog.records]
    assert_nothing_secret("\n".join(seen))


def test_debug_log_still_tells_what_was_called(telegram: Telegram, caplog: pytest.LogCaptureFixture) -> None:
    """Cleaned, not silenced; otherwise the test above would prove nothing."""
    caplog.set_level(logging.DEBUG)
    send(telegram)
    assert '"POST /bot***/sendMessage HTTP/1.1" 200' in caplog.text


def test_cleaned_log_holds_no_exception_with_the_url(caplog: pytest.LogCaptureFixture) -> None:
    """urllib3 warns of bad headers with the whole URL and the exception."""
    caplog.set_level(logging.DEBUG)
    url = f"https://api.telegram.org/bot{quote(TOKEN, safe=':')}/sendMessage"
    try:
        raise ValueError(url)
    except ValueError:
        logging.getLogger("urllib3.connection").warning("Failed to parse headers (url=%s)", url, exc_info=True)
    assert "ValueError: https://api.telegram.org/bot***/sendMessage" in caplog.text
    assert_nothing_secret(caplog.text)


def shown(error: BaseException) -> list[str]:
    """Everything that could be printed of an exception: the chain too, even where Python would not show it."""
    whole = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    seen = [str(error), repr(error), repr(vars(error)), whole]
    for hidden in (error.__cause__, error.__context__):
        seen += shown(hidden) if hidden is not None else []
    return seen


def assert_nothing_secret(text: str) -> None:
    for secret in (TOKEN, quote(TOKEN), quote(TOKEN, safe=":"), quote_plus(TOKEN), "Top+", "Top%2B", PROXY_PASSWORD):
        assert secret not in text


# -- answers that do not end ------------------------------------------------------------------------

TAKEN = b'{"ok":true,"result":{"message_id":7}}'


class _Flowing(socketserver.BaseRequestHandler):
    """Says that it goes on for ever, and does: a piece at a time, with a pause between."""

    piece, pause = b" ", 0.02

    def handle(self) -> None:
        self.request.recv(65536)
        with suppress(OSError):
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + TAKEN)
            while True:
                self.request.sendall(self.piece)
                time.sleep(self.pause)


@pytest.mark.parametrize(
    ("piece", "pause", "reason"),
    [(b" ", 0.02, "telegram.answer_lost"), (b" " * 2**20, 0, "telegram.answer_garbled")],
    ids=["drips", "floods"],
)
def test_an_answer_without_end_is_given_up(piece: bytes, pause: float, reason: str) -> None:
    """No silence is long enough for the time-out. The message may have been delivered, so the word says that."""
    with serving(type("Handler", (_Flowing,), {"piece": piece, "pause": pause})) as server:
        telegram = client(f"http://127.0.0.1:{server.server_address[1]}", timeout=(0.2, 0.2))
        began = time.monotonic()
        assert send(telegram) == Later(reason, None)
        assert reason in MAYBE_DELIVERED
        assert time.monotonic() - began < 5


# -- servers of the tests ---------------------------------------------------------------------------


def http(status: int, body: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), headers, body)


class _Raw(socketserver.BaseRequestHandler):
    answer = b""

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(self.answer)


@contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[socketserver.ThreadingTCPServer]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def raw_server(answer: bytes) -> Iterator[str]:
    """Gives every connection these bytes, whatever it asks, and hangs up."""
    with serving(type("Handler", (_Raw,), {"answer": answer})) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}"


@contextmanager
def tls_server(folder: Path) -> Iterator[str]:
    """Shows a certificate that nobody signed."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    command = [*make.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(_Raw) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # the caller hangs up: that is the test
        yield f"https://127.0.0.1:{server.server_address[1]}"


class _Socks(socketserver.StreamRequestHandler):
    """A SOCKS5 proxy that leads every name to one place; the password is `secret`."""

    target: tuple[str, int]
    hosts: list[str]

    def handle(self) -> None:
        methods = self.rfile.read(self.rfile.read(2)[1])
        wants_password = 2 in methods
        self.wfile.write(b"\x05\x02" if wants_password else b"\x05\x00")
        if wants_password and not self._accepts_password():
            return
        self.hosts.append(self._asked_for())
        self.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
        self._carry()

    def _accepts_password(self) -> bool:
        self.rfile.read(self.rfile.read(2)[1])
        accepted = self.rfile.read(self.rfile.read(1)[0]) == b"secret"
        self.wfile.write(b"\x01\x00" if accepted else b"\x01\x01")
        return accepted

    def _asked_for(self) -> str:
        assert self.rfile.read(4)[3] == 3, "the name should be resolved by the proxy"
        host = self.rfile.read(self.rfile.read(1)[0])
        self.rfile.read(2)
        return host.decode()

    def _carry(self) -> None:
        with socket.create_connection(self.target) as there:
            threading.Thread(target=copy, args=(self.connection, there), daemon=True).start()
            copy(there, self.connection)


def copy(source: socket.socket, target: socket.socket) -> None:
    """Until either side hangs up."""
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)


class _SocksServer:
    def __init__(self, server: socketserver.ThreadingTCPServer, hosts: list[str]) -> None:
        self.place = f"127.0.0.1:{server.server_address[1]}"
        self.hosts = hosts


@contextmanager
def socks_server(url: str) -> Iterator[_SocksServer]:
    hosts: list[str] = []
    parts = urlsplit(url)
    handler = type("Handler", (_Socks,), {"target": (parts.hostname, parts.port), "hosts": hosts})
    with serving(handler) as server:
        yield _SocksServer(server, hosts)
