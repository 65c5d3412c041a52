"""What goes on for a while and is one message: pulls of an image, its push and what belongs to it, a run of deeds.

Pure. The times are those of the events, by Harbor's clock: rows may come late, and a clock may be set.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import chain

import msgspec

from poller.events import Event, EventType
from poller.kin import cosign_tag
from poller.knowledge import LONG_AGO
from poller.plan import PULLS, PUSH, RUN
from poller.scans import JOBSERVICE
from poller.values import replace
from state import Thread

LONGEST = timedelta(hours=24)
"""After that a new message begins, even if it goes on and on."""
LATE = timedelta(minutes=10)
"""A row that is older than the beginning of what it belongs to is not older by more."""

SAME_PULL = timedelta(seconds=10)
"""Docker asks for an index, and right after for the platform's image."""
SAME_PUSH = timedelta(minutes=1)
"""Between the tags that one push gives to an image."""
FAMILY = timedelta(minutes=15)
"""The platforms of an index are pushed before it, and what is copied comes in any order."""
REMEMBERED = timedelta(days=2)
"""So long after its push something may be attached to an image and still be told with it."""

BETWEEN_DEEDS = timedelta(minutes=1)
"""Between two deletions that somebody makes in one go."""
BETWEEN_DELETIONS_OF_A_JOB = timedelta(minutes=10)
"""Retention takes one repository after the other, over all projects."""
MANY_PUSHES = 10
MANY_PUSHES_WITHIN = timedelta(minutes=1)
"""More images than that in such a time, by one operator into one project, are no release but a replication."""
BETWEEN_PUSHES = timedelta(seconds=10)
"""Between two images of a replication, which copies about one a second; what a CI pushes later is no part of it."""

JOB_IS_QUIET = timedelta(seconds=30)
LONGEST_HOLD = timedelta(minutes=10)
"""What a job deletes is told when it was quiet for so long, but it is not held back for longer than this."""

DELETIONS = frozenset(
    {
        EventType.DELETE_ARTIFACT,
        EventType.TAG_DELETED,
        EventType.REPOSITORY_DELETED,
        EventType.PROJECT_DELETED,
    }
)
_LONGEST_OPERATOR, _LONGEST_ABOUT = 150, 700


# -- what an event is about -------------------------------------------------------------------------


def about_image(repository: str, reference: str) -> str:
    """`reference`: the digest, or where that is not known the tag."""
    return f"{PUSH}{_place(repository, reference)}"


def about_push(event: Event) -> str:
    return about_image(_repository(event), event.digest or event.tag or "")


def about_subject(event: Event) -> str | None:
    """Of a push by one of cosign's tags: the push of the image that the tag names."""
    found = cosign_tag(event.tag)
    return about_image(_repository(event), found.subject) if found else None


def about_deed(event: Event) -> str:
    """The push of an image by somebody, with all the tags that it gives."""
    return f"{about_push(event)}|{event.operator[:_LONGEST_OPERATOR]}"


def about_pull(event: Event, digest: str | None = None) -> str:
    """`digest`: of the image that it belongs to, if that is another one."""
    image = _place(_repository(event), digest or event.digest or event.tag or "")
    return f"{PULLS}{image}|{event.operator[:_LONGEST_OPERATOR]}"


def about_deletions(event: Event) -> str:
    """A job's are one over all projects; people work in one project at a time."""
    project = event.repository.namespace if event.repository else event.subject
    return _run("deletions", event.operator, "" if event.operator == JOBSERVICE else project)


def about_pushes(event: Event) -> str:
    return _run("pushes", event.operator, _repository(event).partition("/")[0])


def _run(deeds: str, operator: str, project: str) -> str:
    return f"{RUN}{deeds}|{operator[:_LONGEST_OPERATOR]}|{project}"


def _place(repository: str, reference: str) -> str:
    return f"{repository}{'@' if ':' in reference else ':'}{reference}"


def _repository(event: Event) -> str:
    return event.repository.full_name if event.repository else ""


# -- what goes on -----------------------------------------------------------------------------------


class Threads(msgspec.Struct):
    """The threads that events of a page may join, and what became of them. `load`: what is stored of them.

    `past`: those of the page that were followed by another about the same, the newest last.
    """

    load: Callable[[Collection[str]], Mapping[str, Thread]]
    known: dict[str, Thread | None] = msgspec.field(default_factory=dict)
    changed: dict[str, Thread] = msgspec.field(default_factory=dict)
    past: dict[str, list[Thread]] = msgspec.field(default_factory=dict)

    def need(self, abouts: Collection[str]) -> None:
        """Load these at once, as far as they are not known yet."""
        missing = set(abouts) - self.known.keys()
        if missing:
            stored = self.load(missing)
            self.known |= {about: stored.get(about) for about in missing}

    def find(self, about: str) -> Thread | None:
        if about not in self.known:
            self.need([about])
        return self.known[about]

    def going_on(self, about: str, at: datetime, within: timedelta, late: timedelta = LATE) -> Thread | None:
        """The thread that an event of that moment may join: if there are several, that which had begun by then."""
        newest = self.find(about)
        if newest is None:
            return None
        past = reversed(self.past.get(about, ()))
        begun = (each for each in chain((newest,), past) if each.began_at <= at)
        return next((each for each in chain(begun, (newest,)) if _goes_on(each, at, within, late)), None)

    def join(self, about: str, event: Event, within: timedelta) -> str:
        """The group of the event: that of the thread, which is opened anew if it does not go on."""
        thread = self.going_on(about, event.occurred_at, within)
        if thread is None:
            return self.open(about, event)
        if thread is self.known[about]:
            self._put(_grown(thread, event.occurred_at))
        return thread.group

    def open(self, about: str, event: Event, group: str | None = None, *, at: datetime | None = None) -> str:
        """Begin a thread with an event. `group`: of what it is told with, if that is not its own.

        `at`: when it began, if that was before the event.
        """
        if (before := self.find(about)) is not None:
            self.past.setdefault(about, []).append(before)
        began_at = at or event.occurred_at
        thread = Thread(about, group or f"{about[:_LONGEST_ABOUT]}#{event.key}", began_at, event.occurred_at, 1)
        self._put(thread)
        return thread.group

    def close(self, about: str, at: datetime) -> None:
        """Nothing joins any more what had begun by then."""
        thread = self.find(about)
        if thread is not None and thread.last_at <= at:
            self._put(replace(thread, began_at=LONG_AGO, last_at=LONG_AGO))

    def follow(self, about: str, group: str) -> None:
        """What is told of a thread from now on belongs to another group."""
        thread = self.find(about)
        if thread is not None and thread.group != group:
            self._put(replace(thread, group=group))

    def _put(self, thread: Thread) -> None:
        self.known[thread.about] = self.changed[thread.about] = thread


def _goes_on(thread: Thread, at: datetime, within: timedelta, late: timedelta) -> bool:
    is_near = thread.began_at - late <= at <= thread.last_at + within
    return is_near and at - thread.began_at <= max(LONGEST, within)


def _grown(thread: Thread, at: datetime) -> Thread:
    began_at, last_at = min(thread.began_at, at), max(thread.last_at, at)
    return Thread(thread.about, thread.group, began_at, last_at, thread.members + 1)


def run_begins(pushes: Iterable[Event]) -> datetime | None:
    """When the first of so many images was pushed that they are a run; None: they are few.

    An image counts once, however many tags it gets.
    """
    firsts: dict[str, datetime] = {}
    for push in pushes:
        about = about_push(push)
        firsts[about] = min(push.occurred_at, firsts.get(about, push.occurred_at))
    chain: list[datetime] = []
    for at in sorted(firsts.values()):
        if chain and at - chain[-1] > BETWEEN_PUSHES:
            chain = []
        chain.append(at)
        if len(chain) > MANY_PUSHES and at - chain[-MANY_PUSHES - 1] <= MANY_PUSHES_WITHIN:
            return chain[-MANY_PUSHES - 1]
    return None


def held_until(thread: Thread, now: datetime) -> datetime | None:
    """Until when a job's deletions wait for more. Its span is Harbor's: our clocks need not agree."""
    return now + JOB_IS_QUIET if thread.last_at - thread.began_at < LONGEST_HOLD else None
