"""Telling on several routes: each in its turn, so that a chat with much to tell holds up no other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from poller import pacing
from poller.pulse import ChatTrouble
from poller.telling import Teller, Told, Wait
from poller.values import replace


class Tellers:
    """The tellers of all routes, by name, as one."""

    def __init__(self, tellers: Mapping[str, Teller]) -> None:
        self._names = tuple(tellers)
        self._tellers = tuple(tellers.values())
        lately = deque[datetime](maxlen=pacing.BOT.most)
        for teller in self._tellers:
            teller.share_room([each for each in self._tellers if each is not teller], lately)
        self._next = 0  # whose turn it is

    def deliver(self, *, is_patient: bool = True) -> Told | Wait:
        """Send at most one message: of the first from the turn on that may send one. `is_patient`: as a teller's."""
        self.settle()
        waits = list[Wait]()
        for number in self._from_turn():
            step = self._tellers[number].deliver(is_patient=is_patient)
            if isinstance(step, Told):
                self._next = (number + 1) % len(self._tellers)
                return step
            waits.append(step)
        return soonest(waits)

    @property
    def owes_a_note(self) -> bool:
        """Whether something came of a message and the database does not know yet."""
        return any(teller.owes_a_note for teller in self._tellers)

    @property
    def troubles(self) -> list[ChatTrouble]:
        """Which routes cannot tell, as of the last look."""
        return [teller.trouble for teller in self._tellers if teller.trouble is not None]

    def settle(self) -> None:
        """Write what came of the last messages, if that could not be written yet."""
        for teller in self._tellers:
            teller.settle()

    def texts(self) -> Iterator[tuple[str, str]]:
        """The route and text of what would be sent now, without sending or marking it."""
        pairs = zip(self._names, self._tellers, strict=True)
        return ((name, text) for name, teller in pairs for text in teller.texts())

    def _from_turn(self) -> Iterator[int]:
        yield from range(self._next, len(self._tellers))
        yield from range(self._next)


def soonest(waits: Sequence[Wait]) -> Wait:
    """When it is worth asking again. A chat that needs a person is no reason to give up the others."""
    due = [wait for wait in waits if wait.seconds is not None]
    first = min(due, key=lambda wait: (wait.needs_operator, wait.seconds), default=Wait(None))
    return replace(first, look_in=min((wait.look_in for wait in waits if wait.look_in is not None), default=None))
