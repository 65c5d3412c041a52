"""What is told together with what: the groups of events that were recorded just now, and of those that still wait.

Decided by facts: what an index lists, what was attached to what, who did it and when. Nothing is held back here but a
job's deletions; whoever tells waits a moment, and adds to a message what comes later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby

import msgspec

from poller import threads as going_on
from poller.config import Delivery
from poller.enrich import MOST_ABOUT_KIN, Patience
from poller.events import Event, EventType
from poller.families import Families, Pushes
from poller.harbor import Harbor
from poller.kin import Kin, is_head
from poller.knowledge import Changes
from poller.scans import JOBSERVICE, robot_at_work
from poller.threads import (
    BETWEEN_DEEDS,
    BETWEEN_DELETIONS_OF_A_JOB,
    BETWEEN_PUSHES,
    FAMILY,
    MANY_PUSHES_WITHIN,
    REMEMBERED,
    SAME_PULL,
    SAME_PUSH,
    Threads,
    about_deed,
    about_deletions,
    about_image,
    about_pull,
    about_push,
    about_pushes,
    about_subject,
)
from poller.values import replace
from state import MADE_ANEW, SCANNERS_OWN, DeliveryState, Store, Telling, Thread, Waiting


class Folded(msgspec.Struct):
    """What became of a page: the groups of its events and of others that wait, by key; what is to be held; and why.

    `scanners`: keys of what is part of a scan, as far as that is seen from what follows it.
    """

    groups: dict[str, str] = msgspec.field(default_factory=dict)
    regrouped: dict[str, str] = msgspec.field(default_factory=dict)
    held: dict[str, datetime] = msgspec.field(default_factory=dict)
    scanners: set[str] = msgspec.field(default_factory=set)
    threads: tuple[Thread, ...] = ()
    learnt: Changes = msgspec.field(default_factory=Changes)
    lines: dict[str, Sequence[str]] = msgspec.field(default_factory=dict)
    """By the key of what may belong to something: the digests of that, the nearest first."""

    def of(self, tellings: Sequence[Telling]) -> list[Telling]:
        """The tellings with their groups. What is not to be told needs none."""
        return [self._grouped(each) if each.state is DeliveryState.PENDING else each for each in tellings]

    def _grouped(self, telling: Telling) -> Telling:
        if telling.event.key in self.scanners:
            return replace(telling, state=DeliveryState.FOLDED, reason=SCANNERS_OWN)
        return replace(telling, group=telling.group or self.groups.get(telling.event.key))


class Folder:
    """Decides about the events of a page, before they are recorded."""

    def __init__(self, harbor: Harbor, store: Store, config: Delivery) -> None:
        self._store = store
        self._config = config
        self._families = Families(harbor, store)

    @property
    def has_unasked(self) -> bool:
        """Whether something recorded before is still to be asked for: then a poll without new rows has work, too."""
        return bool(self._families.unasked)

    def fold(self, tellings: Sequence[Telling], patience: Patience, now: datetime) -> Folded:
        folded = Folded()
        patience.kin = MOST_ABOUT_KIN
        if not self._config.is_calm:
            return folded
        threads = Threads(self._store.threads)
        told = {each.event.key: each.event for each in tellings if each.state is DeliveryState.PENDING}
        events = sorted(told.values(), key=lambda event: event.occurred_at)
        gone = _gone(each.event for each in tellings)
        self._fold_pulls([e for e in events if e.type is EventType.PULL_ARTIFACT], threads, folded)
        pushes = [e for e in events if e.type is EventType.PUSH_ARTIFACT]
        self._fold_pushes(pushes, gone, threads, folded, patience, now)
        threads.need(gone.keys())
        for about, times in gone.items():
            threads.close(about, times[-1])
        self._find_lists_made_anew([each.event for each in tellings], folded)
        deletions = [e for e in events if e.type in going_on.DELETIONS and e.key not in folded.scanners]
        self._fold_deletions(deletions, threads, folded, now)
        folded.threads = tuple(threads.changed.values())
        return folded

    # -- pulls ----------------------------------------------------------------------------------------

    def _fold_pulls(self, pulls: Sequence[Event], threads: Threads, folded: Folded) -> None:
        """Each pull of a platform after those of the indexes, whose rows may come later."""
        indexes = self._indexes(pulls)
        window = timedelta(seconds=self._config.pull_window or 0)
        abouts = {pull.key: about_pull(pull) for pull in pulls}
        of_indexes = (about_pull(pull, indexes[pull.key]) for pull in pulls if pull.key in indexes)
        threads.need({*abouts.values(), *of_indexes})
        folded.lines |= {pull.key: [indexes[pull.key]] if pull.key in indexes else [] for pull in pulls}
        for pull in sorted(pulls, key=lambda pull: pull.key in indexes):
            group = self._with_index(pull, indexes.get(pull.key), threads)
            folded.groups[pull.key] = group or _with_the_last(abouts[pull.key], pull, window, threads)

    def _with_index(self, pull: Event, index: str | None, threads: Threads) -> str | None:
        if index is None:
            return None
        thread = threads.going_on(about_pull(pull, index), pull.occurred_at, SAME_PULL, SAME_PULL)
        return thread.group if thread else None

    def _indexes(self, pulls: Iterable[Event]) -> dict[str, str]:
        """The digests of the indexes that pulled platforms belong to, by the pull's key."""
        alone = [pull for pull in pulls if pull.tag is None and pull.digest]
        wanted = {name: {pull.digest or "" for pull in some} for name, some in _by_repository(alone)}
        facts, _ = self._store.kin(wanted) if wanted else ((), ())
        indexes = {(fact.repository, fact.digest): fact.index_digest for fact in facts}
        places = {pull.key: (pull.repository.full_name if pull.repository else "", pull.digest or "") for pull in alone}
        return {key: indexes[place] for key, place in places.items() if place in indexes}

    # -- pushes ---------------------------------------------------------------------------------------

    def _fold_pushes(
        self,
        pushes: Sequence[Event],
        gone: Mapping[str, Sequence[datetime]],
        threads: Threads,
        folded: Folded,
        patience: Patience,
        now: datetime,
    ) -> None:
        places = _by_repository(pushes)
        places += [(name, []) for name in self._families.unasked - dict(places).keys()]
        if not places:
            return
        waiting = self._store.waiting_pushes(since=now - FAMILY, repositories=[name for name, _ in places])
        events = [*pushes, *(each.event for each in waiting)]
        abouts = {about(event) for event in events for about in (about_push, about_deed, about_pushes)}
        threads.need(abouts | {about for event in events if (about := about_subject(event))})
        runs = self._runs([event for event in pushes if is_head(event)], threads, folded, now)
        here = {name: [each for each in waiting if _is_in(each.event, name)] for name, _ in places}
        pushed = {name: self._pushes(name, new, here[name], runs, threads) for name, new in places}
        recalled = self._families.recalled(pushed.values())
        threads.need({about_image(name, digest) for name, kin in recalled.items() for digest in kin.subjects})
        for name, new in places:
            kin = self._families.find(pushed[name], recalled[name], threads, patience)
            folded.learnt += kin.learnt
            _fold_repository(new, here[name], _Place(kin, threads, runs, gone), folded)

    def _pushes(
        self, repository: str, new: Sequence[Event], here: Sequence[Waiting], runs: Mapping[str, str], threads: Threads
    ) -> Pushes:
        """What waits is asked for like what is new, if it could not be asked for before."""
        before = [each.event for each in here]
        if repository in self._families.unasked:
            return Pushes(repository, [*before, *new])
        is_of_run = all(event.key in runs or _is_among_run(event, threads) for event in new)
        return Pushes(repository, new, before, is_of_run=is_of_run)

    def _runs(self, heads: Sequence[Event], threads: Threads, folded: Folded, now: datetime) -> dict[str, str]:
        """Where somebody pushes a great many images into a project, they are told as one: the group of each, by key."""
        runs: dict[str, str] = {}
        known = self._heads_before(heads)
        for about, some in groupby(sorted(heads, key=about_pushes), key=about_pushes):
            ours = list(some)
            run_begins = _RunBegins([*ours, *(each for each in known if about_pushes(each) == about)])
            for head in ours:
                if threads.going_on(about, head.occurred_at, BETWEEN_PUSHES, BETWEEN_PUSHES):
                    runs[head.key] = threads.join(about, head, BETWEEN_PUSHES)
                    continue
                begun = run_begins.after(threads.find(about))
                if begun is not None and begun <= head.occurred_at:
                    runs[head.key] = group = threads.open(about, head, at=begun)
                    self._catch_up(head, begun, group, threads, folded, now)
        return runs

    def _heads_before(self, heads: Sequence[Event]) -> list[Event]:
        """What was pushed just before these by the same into the same projects."""
        if not heads:
            return []
        known = self._store.pushed_by(
            {head.operator for head in heads},
            {head.repository.namespace for head in heads if head.repository},
            since=heads[0].occurred_at - MANY_PUSHES_WITHIN,
            until=heads[-1].occurred_at,
        )
        return [event for event in known if is_head(event)]

    def _catch_up(
        self, first: Event, begun: datetime, group: str, threads: Threads, folded: Folded, now: datetime
    ) -> None:
        """What waits of a run that was not known for one."""
        assert first.repository is not None
        waiting = self._store.waiting_pushes(since=now - FAMILY, project=first.repository.namespace)
        told = self._store.told_groups({each.group for each in waiting if each.group})
        for each in waiting:
            is_of_run = begun <= each.event.occurred_at <= first.occurred_at
            if is_of_run and each.event.operator == first.operator and each.group not in told:
                folded.regrouped[each.event.key] = group
                threads.follow(about_push(each.event), group)

    # -- deletions ------------------------------------------------------------------------------------

    def _find_lists_made_anew(self, events: Sequence[Event], folded: Folded) -> None:
        """Lists of materials that Harbor deletes because the scanner is to make them again: it pulls the image next."""
        pulls = [e for e in events if e.type is EventType.PULL_ARTIFACT and e.digest and robot_at_work(e)]
        lists = self._store.lists_of({pull.digest for pull in pulls if pull.digest}) if pulls else {}
        if not lists:
            return
        since = min(pull.occurred_at for pull in pulls) - MADE_ANEW
        deletions = [event for event in events if event.type is EventType.DELETE_ARTIFACT]
        for event in (*deletions, *self._store.waiting_deletions(lists.keys(), since=since)):
            image = lists.get(event.digest or "")
            if any(pull.digest == image and _is_just_after(pull, event) for pull in pulls):
                folded.scanners.add(event.key)

    def _fold_deletions(self, deletions: Sequence[Event], threads: Threads, folded: Folded, now: datetime) -> None:
        threads.need({about_deletions(event) for event in deletions})
        for event in deletions:
            about, is_of_job = about_deletions(event), event.operator == JOBSERVICE
            group = threads.join(about, event, BETWEEN_DELETIONS_OF_A_JOB if is_of_job else BETWEEN_DEEDS)
            folded.groups[event.key] = group
            thread = threads.find(about)
            until = going_on.held_until(thread, now) if is_of_job and thread else None
            if until is not None:
                folded.held[group] = until


# -- one repository's pushes, as far as all is known ------------------------------------------------------


class _Place(msgspec.Struct, frozen=True):
    """What is known of it. `runs`: the groups of those that are one of many, by key. `gone`: when images went."""

    kin: Kin
    threads: Threads
    runs: Mapping[str, str]
    gone: Mapping[str, Sequence[datetime]]

    def group_of_its_own(self, event: Event) -> str:
        """That of a run, if it is one of many; or of the same deed, if it gives the image another tag."""
        about, deed = about_push(event), about_deed(event)
        run = self.runs.get(event.key)
        if run is None and _is_among_run(event, self.threads):
            run = self.threads.join(about_pushes(event), event, BETWEEN_PUSHES)
        if run is not None:
            return self.threads.open(about, event, run)
        if self._is_same_deed(event):
            self.threads.join(deed, event, SAME_PUSH)
            return self.threads.join(about, event, SAME_PUSH)
        return self.threads.open(deed, event, self.threads.open(about, event))

    def _is_same_deed(self, event: Event) -> bool:
        """Not if somebody else pushed it meanwhile, or deleted it; nor if nobody knows whether it is the same image."""
        at = event.occurred_at
        last, deed = (self.threads.going_on(about(event), at, SAME_PUSH) for about in (about_push, about_deed))
        if event.digest is None or deed is None or last is None or last.group != deed.group:
            return False
        return not any(deed.last_at <= gone <= at for gone in self.gone.get(about_push(event), ()))

    def home(self, event: Event) -> str | None:
        """The group of the image that a push belongs to; what belongs to the push itself is told there, too.

        The image's own thread stays as it is: what is attached later does not make its push any younger.
        """
        within = REMEMBERED if self.kin.is_accessory(event) else FAMILY
        for digest in reversed(self.kin.line_of(event)):
            about = about_image(self.kin.repository, digest)
            if image := self.threads.going_on(about, event.occurred_at, within, FAMILY):
                return self.threads.open(about_push(event), event, image.group)
        return None


class _RunBegins(msgspec.Struct):
    """When the first run begins among pushes by one operator into one project; asked again only after another one."""

    pushed: Sequence[Event]
    _asked: tuple[Thread | None, datetime | None] | None = None

    def after(self, before: Thread | None) -> datetime | None:
        """Without those that belong to the run before."""
        if self._asked is None or self._asked[0] is not before:
            others = (each for each in self.pushed if not _is_within(each, before))
            self._asked = (before, going_on.run_begins(others))
        return self._asked[1]


def _fold_repository(new: Sequence[Event], waiting: Sequence[Waiting], place: _Place, folded: Folded) -> None:
    """Images first, then what belongs to them; then what waits for an image that has come now."""
    images = [event for event in new if is_head(event) or not place.kin.line_of(event)]
    for event in images:
        folded.groups[event.key] = place.group_of_its_own(event)
    for event in new:
        if event.key not in folded.groups:
            folded.lines[event.key] = place.kin.line_of(event)
            folded.groups[event.key] = place.home(event) or place.group_of_its_own(event)
    for each in waiting:
        is_alone = each.group is None or each.group.startswith(f"{about_push(each.event)}#")
        if is_alone and not is_head(each.event) and (group := place.home(each.event)):
            folded.regrouped[each.event.key] = group
            folded.lines[each.event.key] = place.kin.line_of(each.event)


def _with_the_last(about: str, pull: Event, window: timedelta, threads: Threads) -> str:
    return threads.join(about, pull, window) if window else threads.open(about, pull)


def _gone(events: Iterable[Event]) -> dict[str, list[datetime]]:
    """When which images were deleted, by what their pushes are about."""
    found: dict[str, list[datetime]] = {}
    for event in sorted(events, key=lambda event: event.occurred_at):
        if event.type is EventType.DELETE_ARTIFACT and event.digest:
            found.setdefault(about_push(event), []).append(event.occurred_at)
    return found


def _is_among_run(event: Event, threads: Threads) -> bool:
    """Whether a part of an image comes while somebody pushes a great many."""
    run = threads.going_on(about_pushes(event), event.occurred_at, BETWEEN_PUSHES, BETWEEN_PUSHES)
    return not is_head(event) and run is not None


def _is_within(event: Event, thread: Thread | None) -> bool:
    return thread is not None and thread.began_at <= event.occurred_at <= thread.last_at


def _by_repository(events: Iterable[Event]) -> list[tuple[str, list[Event]]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        found.setdefault(event.repository.full_name if event.repository else "", []).append(event)
    return list(found.items())


def _is_just_after(pull: Event, deletion: Event) -> bool:
    return timedelta(0) <= pull.occurred_at - deletion.occurred_at <= MADE_ANEW


def _is_in(event: Event, repository: str) -> bool:
    return event.repository is not None and event.repository.full_name == repository
