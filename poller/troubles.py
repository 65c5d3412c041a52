"""Logs what fails again and again: when that starts, how often it does while it lasts, and when it is over."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable

import msgspec

from poller.episodes import Episodes, News, Said
from poller.errors import OperatorError
from poller.logs import Log
from poller.values import replace

_log = Log(__name__)


class Trouble(msgspec.Struct, frozen=True):
    """The words for a trouble: at its beginning, while it lasts, at its end.

    `level`: of the first two; by default it depends on whether a person must act. `about`: whose trouble it is.
    """

    failed: str
    failing: str
    recovered: str
    level: int | None = None
    about: tuple[tuple[str, str], ...] = ()

    def of(self, **about: str) -> Trouble:
        return replace(self, about=tuple(about.items()))


class Troubles:
    """What fails now. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._episodes = Episodes[Trouble]()
        self._lock = threading.Lock()  # jobs fail in threads of their own

    def failed(
        self,
        trouble: Trouble,
        error: BaseException | None = None,
        *,
        kind: str = "",
        by: Hashable = None,
        needs_person: bool = False,
        is_bug: bool = False,
        **values: object,
    ) -> None:
        """`kind`: of error, by default its type. `by`: who met it. A bug's traceback is logged, once for each kind.

        `values`: what else there is to say; of a None nothing is.
        """
        with self._lock:
            said = self._episodes.failed(trouble, kind or type(error).__name__, self._clock(), by or trouble)
        if said is None:
            return
        known = {name: value for name, value in values.items() if value is not None}
        told = dict(trouble.about) | ({"error": error} if error is not None else {}) | known
        is_first = said.news in (News.STARTED, News.CHANGED)
        if is_bug and is_first:
            _log.exception(trouble.failed, **told)
            return
        needs_person = needs_person or is_bug or isinstance(error, OperatorError)
        level = trouble.level or (logging.ERROR if needs_person else logging.WARNING)
        how_long = {} if said.news is News.STARTED else _how_long(said)
        _log.at(level, trouble.failed if is_first else trouble.failing, **told, **how_long)

    def went_well(self, by: Hashable) -> None:
        """Who met a trouble, or the trouble itself if nobody was named, gets on."""
        with self._lock:
            ended = self._episodes.went_well(by, self._clock())
        for trouble, said in ended:
            _log.info(trouble.recovered, **dict(trouble.about), **_how_long(said))


def _how_long(said: Said) -> dict[str, object]:
    return {"failures": said.failures, "seconds": round(said.lasted)}
