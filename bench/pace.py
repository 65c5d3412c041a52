"""How much of the pace that Telegram grants is used while a backlog of single messages is worked off."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.material import NOWHERE, START, Clock, load, open_store, write_conf
from bench.report import Sheet, at_least, at_most, number, percent
from bench.sizes import Sizes
from demo.door import Call, Reply
from demo.telegram import Chat, Limits, TelegramStandIn
from poller.events import Event
from poller.telegram import Telegram
from poller.telling import Teller, Told
from poller.turns import Tellers
from poller.values import replace
from state import DeliveryState, Telling

GROUP, PRIVATE = -1001, 1001
MANY = 60
"""Routes to as many private chats: together they would take two times what the bot may send."""
LATENCY_S = (0.02, 0.08)
"""On the way to Telegram, and the same on the way back."""

GOAL = 0.95
ONE_AT_A_TIME = "one message at a time is on its way, so that a crash repeats at most one"


class FarTelegram(TelegramStandIn):
    """A stand-in that is some way off: it looks at the clock when a message has arrived, and we when the answer has."""

    def __init__(self, clock: Clock, latency_s: tuple[float, float]) -> None:
        super().__init__(clock=clock)
        self._time, self._latency_s, self._dice = clock, latency_s, random.Random(20261124)

    def _answer(self, call: Call) -> Reply:
        self._time.advance(self._dice.uniform(*self._latency_s))
        reply = super()._answer(call)
        self._time.advance(self._dice.uniform(*self._latency_s))
        return reply


@dataclass(frozen=True, slots=True)
class Pace:
    """`messages` in so many `seconds`, of which Telegram has `refused` some; it would have taken `allowed`."""

    messages: int
    seconds: float
    refused: int
    allowed: int

    @property
    def share(self) -> float:
        return self.messages / self.allowed


def run(sizes: Sizes) -> Sheet:
    chats = range(PRIVATE, PRIVATE + MANY)
    far = f"{2 * LATENCY_S[0] * 1000:.0f} to {2 * LATENCY_S[1] * 1000:.0f} ms away"
    paces = {
        f"a group, {far}": measure([GROUP], sizes.waiting_messages, LATENCY_S),
        f"a private chat, {far}": measure([PRIVATE], sizes.waiting_messages, LATENCY_S),
        f"{MANY} private chats, Telegram next door": measure(chats, sizes.waiting_messages),
        f"{MANY} private chats, {far}": measure(chats, sizes.waiting_messages, LATENCY_S),
    }
    refused = sum(pace.refused for pace in paces.values())
    return Sheet(
        f"12. The pace of a backlog of {sizes.waiting_messages:,} single messages",
        ("", "it took", "Telegram would have taken", "used of that", "answers 429"),
        [_line(name, pace) for name, pace in paces.items()],
        ("Time is the script's: what Telegram would have taken in it follows from the stand-in's limits.",),
        (
            *(at_least(f"i) {name}", pace.share, GOAL, percent, ONE_AT_A_TIME) for name, pace in paces.items()),
            at_most("i) answers 429", refused, 0, number),
        ),
    )


def _line(name: str, pace: Pace) -> tuple[str, ...]:
    return name, f"{pace.seconds / 60:,.1f} min", f"{pace.allowed:,}", f"×{pace.share:.3f}", str(pace.refused)


def measure(chats: Sequence[int], messages: int, latency_s: tuple[float, float] = (0, 0)) -> Pace:
    """Tell so many messages, as many in each of the chats, and see that each has come once."""
    clock = Clock()
    with TemporaryDirectory() as folder, FarTelegram(clock, latency_s) as telegram:
        conf = write_conf(Path(folder), NOWHERE, telegram=telegram, more="[delivery]\nmode = 'every'\n")
        config = load(conf)
        client = Telegram(config.telegram.bot_token, api_url=telegram.url)
        routes = [replace(config.routes[0], name=f"chat {chat}", chat_id=chat) for chat in chats]
        with open_store(config) as store:
            events = [
                Event.example(source_id=number, occurred_at=START, tag=f"v{number}") for number in range(messages)
            ]
            tellings = [
                Telling(event, DeliveryState.PENDING, route=routes[number % len(routes)].name)
                for number, event in enumerate(events)
            ]
            store.record(tellings, now=START)
            _tell(Tellers({each.name: Teller(client, store, config, clock, each) for each in routes}), clock)
    assert len(telegram.messages) == len({message.text for message in telegram.messages}) == messages
    seconds = (telegram.messages[-1].sent_at - START).total_seconds()
    return Pace(messages, seconds, telegram.rate_limit_hits + telegram.violations, allowed(chats, seconds))


def _tell(tellers: Tellers, clock: Clock) -> None:
    while True:
        step = tellers.deliver()
        if isinstance(step, Told):
            continue
        if step.seconds is None:
            return
        clock.advance(step.seconds)


def allowed(chats: Sequence[int], seconds: float) -> int:
    """So many messages the stand-in takes in that time, if each comes at the first moment at which it may."""
    limits, now, taken = Limits(), 0.0, 0
    there = [Chat(id, "private" if id > 0 else "supergroup") for id in chats]
    while now <= seconds:
        pauses = [limits.pause(chat, now) for chat in there]
        if (pause := min(pauses)) > 0:
            now += pause
            continue
        limits.count(there[pauses.index(pause)], now)
        taken += 1
    return taken
