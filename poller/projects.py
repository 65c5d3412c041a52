"""Whether projects are public, for the results of scans: asked for by the hundred, as a scan costs one request."""

from __future__ import annotations

from datetime import datetime, timedelta
from logging import INFO

from poller.errors import HarborUnreachable, PollerError
from poller.harbor import Harbor
from poller.knowledge import Changes, ProjectFact
from poller.rows import PAGE
from poller.troubles import Trouble, Troubles
from state import Store

BELIEVED = timedelta(hours=6)
"""Whether a project is public does not change often."""
UNKNOWN_FOR = timedelta(minutes=10)
ROUND = timedelta(hours=1)
FEW = 2
"""So many projects an hour are asked for by name; for more the list is cheaper."""

UNKNOWN = Trouble("scan.project_unknown", "scan.project_still_unknown", "scan.project_known", INFO)


class Projects:
    """Goes through the list of all projects, as far as a project is asked for that is not known."""

    def __init__(self, harbor: Harbor, store: Store) -> None:
        self._harbor = harbor
        self._store = store
        self._page = 0  # the last one that was read
        self._is_read = False
        self._asked = 0
        self._began_at: datetime | None = None
        self._troubles = Troubles()

    def fact(self, name: str, now: datetime) -> tuple[ProjectFact, Changes]:
        """What is known of a project, and what was learnt for that. Raises HarborUnreachable, nothing else."""
        known = self._store.project(name)
        if known is not None and _is_fresh(known, now):
            return known, Changes()
        unknown = _believed_for_a_while(name, known, now)
        learnt: dict[str, ProjectFact] = {}
        try:
            self._learn(name, learnt, now)
        except HarborUnreachable:
            raise
        except PollerError as error:  # a result is not to wait for this
            self._troubles.failed(UNKNOWN, error)
        else:
            self._troubles.went_well(UNKNOWN)
        fact = learnt.setdefault(name, unknown)
        return fact, Changes(projects=tuple(learnt.values()))

    def _learn(self, name: str, learnt: dict[str, ProjectFact], now: datetime) -> None:
        if self._began_at is None or now - self._began_at >= ROUND:
            self._page, self._is_read, self._began_at, self._asked = 0, False, now, 0
        self._asked += 1
        while name not in learnt and not self._is_read and self._asked > FEW:
            found = self._harbor.projects(self._page + 1)
            self._page += 1
            self._is_read = len(found) < PAGE
            learnt |= {each.name: ProjectFact(each.name, each.is_public, now, each.project_id) for each in found}
        if name not in learnt and (project := self._harbor.project(name)) is not None:
            learnt[name] = ProjectFact(name, project.is_public, now, project.project_id)


def _believed_for_a_while(name: str, known: ProjectFact | None, now: datetime) -> ProjectFact:
    """What is to be taken for true until it can be asked again."""
    if known is None or known.is_public is None:
        return ProjectFact(name, None, now)
    return ProjectFact(name, known.is_public, now - BELIEVED + UNKNOWN_FOR)


def _is_fresh(known: ProjectFact, now: datetime) -> bool:
    return now - known.checked_at < (BELIEVED if known.is_public is not None else UNKNOWN_FOR)
