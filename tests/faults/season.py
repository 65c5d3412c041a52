"""A season: one registry, one chat and one database, in which faults follow each other until it is judged."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from demo.harbor import POLLER, Generation
from tests.faults.classes import CLASSES, TELEGRAM_REFUSES, FaultClass, killed
from tests.faults.databases import NotHere, NotNow, Postgresql, Sqlite
from tests.faults.judge import Objection, Sort, Verdict, judge
from tests.faults.site import GROUP, PRIVATE, Act, Site, site
from tests.harness import TOKEN, is_rude

ATTEMPTS = 4
"""So often a class is tried that nobody has met, because nothing was to be told for instance."""


FORGETS_STEP = timedelta(seconds=75)
"""So long after its clock was set a daemon may misjudge the chat's pace: a minute, and some messages."""


@dataclass(frozen=True, slots=True)
class _Pace:
    """How often Telegram had to refuse us by now."""

    too_fast: int
    in_pause: int

    @classmethod
    def of(cls, place: Site) -> _Pace:
        return cls(place.telegram.rate_limit_hits, place.telegram.violations)


@dataclass(frozen=True, slots=True)
class Plan:
    """`seed` decides everything but the speed of the machine. `seconds`: when it is to end, whatever is left."""

    seed: int
    kills: int
    seconds: float
    names: Sequence[str]
    is_private: bool
    upgrades_quietly: bool
    failovers: int = 0
    """So many instead of everything else; every tenth leader is only stopped, and goes on later."""


@dataclass(slots=True)
class Outcome:
    """What a season brought."""

    verdict: Verdict
    evidence: list[str] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    failovers: list[float] = field(default_factory=list)
    events: int = 0
    messages: int = 0
    allowance: int = 0
    seconds: float = 0


def run(plan: Plan, database: Sqlite | Postgresql, folder: Path, say: Callable[[str], object]) -> Outcome:
    dice = random.Random(plan.seed)
    chat = PRIVATE if plan.is_private else GROUP
    began = time.monotonic()
    with site(folder, dice, database, chat=chat, generation=Generation.V2_12) as place:
        place.upgrades_quietly = plan.upgrades_quietly
        season = Season(place, plan, say)
        with place.life.going_on():
            season.fail_over() if plan.failovers else season.rage()
        season.calm_down()
        outcome = season.judged()
        outcome.seconds = time.monotonic() - began
        return outcome


class Season:
    def __init__(self, place: Site, plan: Plan, say: Callable[[str], object]) -> None:
        self._site = place
        self._plan = plan
        self._say = say
        self._acts: list[Act] = []
        self._met: Counter[str] = Counter()
        self._skipped: dict[str, str] = {}
        self._deadline = time.monotonic() + plan.seconds
        self._kills_before = [0, 0]  # the act before the last one, and the last one

    def rage(self) -> None:
        """Every class once, in any order; then again, until there were kills enough."""
        for _ in range(ATTEMPTS):
            for each in self._round():
                if not (self._met[each.name] or each.name in self._skipped or self._is_late):
                    self._meet(each)
        while self._plan.names and not self._is_enough:
            self._rage_on()

    def fail_over(self) -> None:
        """One leader after the other is lost."""
        for number in range(1, self._plan.failovers + 1):
            self._meet(CLASSES["leader-silent" if number % 10 == 0 else "leader-dies"])
            self._say(f"fail-over {number}: {', '.join(f'{took:.2f} s' for took in self._site.failovers[-1:])}")

    def _rage_on(self) -> None:
        for each in [FaultClass("killed", killed), *self._round()]:
            if self._is_enough:
                return
            if each.name not in self._skipped and self._met[each.name] < each.most:
                with self._something_else(each):
                    self._meet(each)

    @contextmanager
    def _something_else(self, than: FaultClass) -> Iterator[None]:
        """Now and then Telegram refuses a few messages while something else breaks."""
        dice = self._site.dice
        kind = dice.choice(list(TELEGRAM_REFUSES.values()))
        if than.name.startswith(("telegram", "chat")) or dice.random() > 0.3:
            yield
            return
        self._say(f"… and telegram-{kind} with the next")
        self._site.telegram.fail(kind, times=dice.randint(1, 3), retry_after=2)
        yield
        self._site.telegram.heal()

    @property
    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    @property
    def _is_enough(self) -> bool:
        return self._is_late or self._site.kill_count >= self._plan.kills

    def _round(self) -> list[FaultClass]:
        names = list(self._plan.names)
        self._site.dice.shuffle(names)
        return [CLASSES[name] for name in names]

    def _meet(self, each: FaultClass) -> None:
        began, pace = datetime.now(UTC), _Pace.of(self._site)
        self._kills_before = [self._kills_before[1], self._site.kills_only]
        try:
            each.meet(self._site)
        except NotHere as reason:
            self._skipped[each.name] = str(reason)
        except NotNow as reason:
            self._say(f"{each.name}: {reason}")
        except AssertionError as error:
            self._site.object(f"{each.name}: {error}")
        else:
            self._met[each.name] += 1
        self._acts.append(Act(each.name, began, datetime.now(UTC)))
        self._watch_pace(pace, each.name)
        self._say(
            f"{each.name:28} {(self._acts[-1].ended_at - began).total_seconds():6.1f} s  kills {self._site.kill_count}"
        )

    def calm_down(self) -> None:
        """Nothing is wrong any more: a daemon reads and tells what is left, and ends when it is asked to."""
        place = self._site
        place.world.release()
        began = datetime.now(UTC)
        if place.daemon is not None and place.daemon.is_alive:
            place.terminate(place.daemon)
            place.kills["SIGTERM of run"] -= 1
        place.daemon = None
        pace = _Pace.of(place)
        self._kills_before = [self._kills_before[1], place.kills_only]
        place.wait_until(place.has_told_all, "telling everything in the end", timeout_s=150)
        if place.keep_running().end() != 0:
            place.object("the last daemon did not end well")
        self._watch_pace(pace, "nothing")
        self._acts.append(Act("(calm)", began, datetime.now(UTC)))

    def judged(self) -> Outcome:
        place = self._site
        evidence = place.evidence()
        verdict = judge(evidence)
        verdict.objections += place.objections
        verdict.objections += [Objection(Sort.BEHAVIOUR, text) for text in place.processes.leaks(SECRETS)]
        verdict.objections += self._never_met()
        rude = [request.path for request in place.harbor.requests if is_rude(request)]
        verdict.objections += [Objection(Sort.BEHAVIOUR, f"a question burdens Harbor: {path}") for path in rude[:1]]
        met = Counter({name: self._met[name] for name in self._plan.names})
        skipped = {name: reason for name, reason in self._skipped.items() if not met[name]}
        return Outcome(
            verdict,
            [line for objection in verdict.objections[:12] for line in self._proof(objection)],
            met,
            skipped,
            +place.kills,
            place.failovers,
            len(evidence.happenings),
            len(evidence.messages),
            len(evidence.causes),
        )

    def _watch_pace(self, before: _Pace, name: str) -> None:
        """What Telegram had to refuse because of us, while a fault was on.

        A pause that Telegram names in the answer to a process that is killed in that moment is known to nobody,
        and may last into the next act.
        After the clock was set, the times of earlier messages say nothing: decision 7.
        """
        now = _Pace.of(self._site)
        too_fast, in_pause = now.too_fast - before.too_fast, now.in_pause - before.in_pause
        if in_pause > self._site.kills_only - self._kills_before[0]:
            self._site.object(f"{in_pause} messages came in a pause that Telegram had named, during {name}")
        if too_fast and not self._was_set_lately():
            self._site.object(f"{too_fast} messages came too fast for Telegram, during {name}")

    def _was_set_lately(self) -> bool:
        return any(datetime.now(UTC) - moment < FORGETS_STEP for moment in self._site.clock_steps)

    def _never_met(self) -> Iterator[Objection]:
        for name in () if self._plan.failovers else self._plan.names:
            if not self._met[name] and name not in self._skipped and not self._is_late:
                yield Objection(Sort.BEHAVIOUR, f"{name} was tried {ATTEMPTS} times and never met")

    def _proof(self, objection: Objection) -> Iterator[str]:
        yield f"- {objection.sort}: {objection.text}"
        if objection.at is None:
            return
        acts = [act.name for act in self._acts if act.began_at <= objection.at <= act.ended_at]
        yield f"  at {objection.at:%H:%M:%S.%f}, during {', '.join(acts) or 'no fault'}"
        for process in self._site.processes.around(objection.at)[:3]:
            yield f"  {process.output}:"
            yield from (f"    {line[:200]}" for line in process.text.splitlines()[-12:])


SECRETS = (TOKEN, TOKEN.partition(":")[2], POLLER.password)
