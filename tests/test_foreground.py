"""Work that ends by itself can be ended early, between two steps."""

from __future__ import annotations

import os
import signal
import time

import pytest

from poller import lease
from poller.errors import LeaseTaken, StateBusy, StateError
from poller.foreground import Foreground, Interrupted


def until_it_ends(work: Foreground) -> None:
    for _ in range(500):
        work.go_on()
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_work_between_two_steps(number: int) -> None:
    """Inside a step nothing is torn off, and a person is told what goes on."""
    said: list[str] = []
    work = Foreground(said.append)
    with work.heeding():
        os.kill(os.getpid(), number)
        assert said == ["finishing what is in flight; once more ends it at once"]
        with pytest.raises(Interrupted):
            work.go_on()


def test_a_second_signal_ends_it_at_once() -> None:
    """For a step that hangs."""
    work = Foreground(lambda _text: None)
    with work.heeding():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_ends_a_pause() -> None:
    """Nobody waits for the chat's pace to end."""
    work = Foreground(lambda _text: None)
    with work.heeding():
        os.kill(os.getpid(), signal.SIGINT)
        began = time.monotonic()
        with pytest.raises(Interrupted):
            work.sleep(30)
        assert time.monotonic() - began < 5


def test_signals_are_as_before_afterwards() -> None:
    """The handlers are those of the process."""
    before = signal.getsignal(signal.SIGINT)
    with Foreground(lambda _text: None).heeding():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_work_ends_when_another_poller_took_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy or full database is no reason: the lease outlives several attempts."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.01)
    answers = iter([StateBusy("busy"), StateError("full"), LeaseTaken("another poller works on this database")])

    def beat() -> None:
        raise next(answers)

    work = Foreground(lambda _text: None)
    with work.keeping(beat), pytest.raises(LeaseTaken, match="another poller"):
        until_it_ends(work)
