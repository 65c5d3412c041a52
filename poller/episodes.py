"""Troubles that last: when to say that one has begun, goes on, and is over. Pure; times are monotonic seconds.

One that comes back soon after its end is shaky: it is over only when it has not come for a while, so that what fails
and works by turns makes a line now and then, and not two at each turn.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum, auto
from typing import Generic, TypeVar

import msgspec

FIRST_REMINDER = 600.0
REMIND_EVERY = 3600.0
CALM = 600.0
"""What comes again within so long after its end has not really ended."""

FORGOTTEN = 86400.0
"""What was not even tried for so long, as of a project that is gone, is remembered no more."""

_T = TypeVar("_T", bound=Hashable)


class News(Enum):
    """What there is to say of a trouble."""

    STARTED = auto()
    CHANGED = auto()  # it fails in a way that was not said yet
    GOES_ON = auto()
    ENDED = auto()


class Said(msgspec.Struct, frozen=True):
    """How often something failed, and for how long it did; seconds."""

    news: News
    failures: int
    lasted: float


class _Episode(msgspec.Struct):
    began_at: float
    remind_at: float
    is_shaky: bool
    failed_at: float
    kinds: set[str] = msgspec.field(default_factory=set)
    failures: int = 0
    failing: set[Hashable] = msgspec.field(default_factory=set)  # whose last attempt failed
    met_by: set[Hashable] = msgspec.field(default_factory=set)
    well_since: float | None = None

    def said(self, news: News, until: float) -> Said:
        return Said(news, self.failures, until - self.began_at)


class Episodes(Generic[_T]):
    """What fails now. Several may meet the same trouble: it is over when all of them get on."""

    def __init__(self) -> None:
        self._open: dict[_T, _Episode] = {}
        self._ended: dict[_T, float] = {}

    def failed(self, what: _T, kind: str, at: float, by: Hashable) -> Said | None:
        """What is to be said of this failure; None: nothing new. `kind`: of error."""
        episode = self._open.get(what)
        if episode is None or _is_over(episode, at):
            ended_at = self._ended.pop(what, None)
            is_shaky = ended_at is not None and at - ended_at < CALM
            self._forget(at)
            episode = self._open[what] = _Episode(at, at + FIRST_REMINDER, is_shaky, at)
        episode.failures += 1
        episode.failed_at = at
        episode.failing.add(by)
        episode.met_by.add(by)
        episode.well_since = None
        if kind not in episode.kinds:
            episode.kinds.add(kind)
            return episode.said(News.STARTED if episode.failures == 1 else News.CHANGED, at)
        if at >= episode.remind_at:
            episode.remind_at = at + REMIND_EVERY
            return episode.said(News.GOES_ON, at)
        return None

    def _forget(self, at: float) -> None:
        """So that there are never more than have failed within a day."""
        self._open = {what: each for what, each in self._open.items() if at - each.failed_at < FORGOTTEN}

    def went_well(self, by: Hashable, at: float) -> list[tuple[_T, Said]]:
        """What is over now that this one got on."""
        met = [(what, episode) for what, episode in self._open.items() if by in episode.met_by]
        return [(what, said) for what, episode in met if (said := self._mended(what, episode, by, at))]

    def _mended(self, what: _T, episode: _Episode, by: Hashable, at: float) -> Said | None:
        episode.failing.discard(by)
        if episode.failing:
            return None
        if episode.well_since is None:
            episode.well_since = at
        if episode.is_shaky and not _is_over(episode, at):
            return None
        del self._open[what]
        self._ended = {other: ended_at for other, ended_at in self._ended.items() if at - ended_at < CALM}
        self._ended[what] = episode.well_since
        return episode.said(News.ENDED, episode.well_since)


def _is_over(episode: _Episode, at: float) -> bool:
    """Whether it has not come for so long that it would be another one."""
    return episode.well_since is not None and at - episode.well_since >= CALM
