"""`status`: is everything fine, and how do things stand?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo

from poller import gap_words, lease
from poller.diagnosis import Complaint, Diagnosis, State, error_text
from poller.events import Gap
from poller.routes import DEFAULT
from poller.show.page import Fact, Facts, Headline, Page, Part, Tone
from poller.standing import LEDGER_SPAN, RouteStanding, Standing
from poller.words import local, minute, number, span
from state import Counts, Coverage, Outcome

_MOST_GAPS = 5
_CATCHES_UP = "Nothing is lost: it goes on where it was, as long as Harbor keeps its log."


def status_page(standing: Standing, diagnosis: Diagnosis, zone: tzinfo, now: datetime) -> Page:
    headline = _headline(standing, diagnosis, zone, now)
    if diagnosis.state is State.NEVER_STARTED:
        return [headline]
    return [headline, Facts(tuple(_facts(standing, zone, now)))]


# -- the headline -----------------------------------------------------------------------------------


def _headline(standing: Standing, diagnosis: Diagnosis, zone: tzinfo, now: datetime) -> Headline:
    since = f"{minute(diagnosis.since, zone)} ({span(now - diagnosis.since)})" if diagnosis.since else ""
    start = f"start it: `{diagnosis.remedy}`"
    match diagnosis.state:
        case State.NEVER_STARTED:
            nothing = Part(f"nothing is recorded of {standing.harbor}; the first run tells nothing old")
            return Headline(Part("○", Tone.BAD), "never started", (nothing,), start)
        case State.STOPPED:
            below = (Part(diagnosis.why), Part(_CATCHES_UP, Tone.FAINT))
            return Headline(Part("○", Tone.BAD), f"not running since {since}", below, start)
    return _of_work(standing, diagnosis, _who(standing, diagnosis, zone, since), now)


def _of_work(standing: Standing, diagnosis: Diagnosis, who: str, now: datetime) -> Headline:
    if not diagnosis.troubles:
        return Headline(Part("●", Tone.GOOD), f"{who}, {_so_far(standing, now)}, {_what_waits(standing)}")
    worst, *others = diagnosis.troubles
    tone = Tone.DOUBTFUL if worst.is_passing else Tone.BAD
    return Headline(Part("◐", tone), f"{who}, but {worst.text}", tuple(_others(others)), diagnosis.remedy)


def _who(standing: Standing, diagnosis: Diagnosis, zone: tzinfo, since: str) -> str:
    if diagnosis.state is State.BETWEEN_RUNS:
        due = f", the next one is due about {diagnosis.next_run.astimezone(zone):%H:%M}" if diagnosis.next_run else ""
        return f"between two runs, the last one at {since.replace(')', ' ago)')}{due}"
    if diagnosis.state is State.STANDBY and standing.poller is not None:
        return f"standing by for {lease.place(standing.poller.owner)}, which runs since {since}"
    return f"running since {since}"


def _so_far(standing: Standing, now: datetime) -> str:
    if standing.last_poll is None:
        return "nothing read yet"
    past = " but for the gaps below" if standing.open_gaps else ""
    return f"complete up to {span(now - standing.last_poll)} ago{past}"


def _what_waits(standing: Standing) -> str:
    if not standing.counts.pending:
        return "nothing waits"
    return f"{number(standing.counts.pending, 'event')} {_wait(standing.counts.pending)} to be told"


def _others(troubles: Sequence[Complaint]) -> Iterator[Part]:
    for trouble in troubles:
        yield Part(f"also: {trouble.text}; {trouble.remedy}", Tone.DOUBTFUL if trouble.is_passing else Tone.BAD)


# -- the facts --------------------------------------------------------------------------------------


def _facts(standing: Standing, zone: tzinfo, now: datetime) -> Iterator[Fact]:
    counts = standing.counts
    yield _fact("Harbor", f"{standing.harbor} ({standing.version or 'version not known yet'})")
    yield Fact("read", _covered(standing, zone, now))
    yield Fact("gaps", _gaps(standing.open_gaps, zone))
    yield Fact("pauses", _pauses(standing.pauses, zone))
    yield Fact("last error", (_failure(standing, zone),))
    yield _fact("told", _told(counts))
    yield _fact("waiting", _waiting(standing, now))
    yield Fact("scans", (_scans(standing),))
    yield _fact("sweep", _sweep(standing, zone))
    yield Fact("refused", (_few(counts.refused, Tone.DOUBTFUL),))
    yield Fact("not told", (_few(counts.off, Tone.USUAL),))
    if len(standing.routes) > 1:
        yield Fact("routes", tuple(line for route in standing.routes for line in _of_route(route, zone, now)))
    else:
        chat = tuple(line for route in standing.routes for line in _chat(route, zone))
        yield Fact("chat", chat or (Part("none: nothing is told", Tone.DOUBTFUL),))
    yield _fact("poller", _poller(standing, zone))
    yield _fact("next run", _next_run(standing, zone))
    yield Fact("times", (Part(f"in {zone}", Tone.FAINT),))


def _fact(name: str, text: str) -> Fact:
    return Fact(name, (Part(text),))


def _none(text: str = "none") -> Part:
    return Part(text, Tone.FAINT)


def _covered(standing: Standing, zone: tzinfo, now: datetime) -> tuple[Part, ...]:
    but = " but for the gaps" if standing.open_gaps else ""
    lines = tuple(
        Part(
            f"{c.log}: complete from {local(c.since, zone)} to {local(c.until, zone)}{but}, {span(now - c.until)} ago"
            f" (row {c.position})"
        )
        for c in standing.covered
    )
    return lines or (Part("nothing yet: `run` or `once` begins at the moment of its first poll"),)


def _gaps(found: Sequence[Gap], zone: tzinfo) -> tuple[Part, ...]:
    lines = [Part(_gap(gap, zone), Tone.DOUBTFUL if gap.ended_at else Tone.BAD) for gap in found[-_MOST_GAPS:]]
    return (*lines, *_before(len(found))) or (_none(),)


def _before(count: int) -> list[Part]:
    return [Part(f"and {count - _MOST_GAPS} before")] if count > _MOST_GAPS else []


def _gap(gap: Gap, zone: tzinfo) -> str:
    """What was not seen, when, why, and how to mend that."""
    until = f"to {local(gap.ended_at, zone)}" if gap.ended_at else "until now"
    rows = f" (at most {number(gap.rows, 'row')})" if gap.rows is not None else ""
    when = f"{local(gap.began_at, zone)} {until}"
    return f"{gap.source}: {when}{rows}: {gap_words.why(gap)}; {gap_words.remedy(gap, zone)}"


def _pauses(found: Sequence[Coverage], zone: tzinfo) -> tuple[Part, ...]:
    lines = [
        Part(
            f"{pause.log}: {span(pause.covered_to - pause.covered_from)} without a poll until"
            f" {local(pause.covered_to, zone)}, caught up then"
        )
        for pause in found[-_MOST_GAPS:]
    ]
    return (*lines, *_before(len(found))) or (_none(f"none in the last {LEDGER_SPAN.days} days"),)


def _failure(standing: Standing, zone: tzinfo) -> Part:
    if standing.failure is None:
        return _none(f"none in the last {LEDGER_SPAN.days} days")
    now_fine = " (polled without error since)" if standing.is_mended else ""
    said = f"{local(standing.failure.covered_to, zone)}: {error_text(standing.failure.error)}{now_fine}"
    return Part(said, Tone.USUAL if standing.is_mended else Tone.BAD)


def _told(counts: Counts) -> str:
    events = counts.sent + counts.folded
    return f"{number(events, 'event')} in {number(counts.sent, 'message')}" if events else "none yet"


def _few(count: int, tone: Tone) -> Part:
    return Part(f"{number(count, 'event')}; `events` says why", tone) if count else _none()


def _wait(count: int) -> str:
    return "waits" if count == 1 else "wait"


def _waiting(standing: Standing, now: datetime) -> str:
    oldest = standing.counts.oldest_pending
    if oldest is None:
        return "none"
    left = standing.counts.pending - sum(route.counts.pending for route in standing.routes)
    gone = f"; {left} on routes that are gone, which the next start sends on by those of today" if left else ""
    why = "by design: for what belongs to them, the next change of a message, a digest or the end of quiet hours"
    held = f"; {standing.held} {why}" if standing.held else ""
    return f"{number(standing.counts.pending, 'event')}, the oldest for {span(now - oldest)}{held}{gone}"


_SCANS = {
    Outcome.TOLD: "with their results",
    Outcome.RUNNING: "running",
    Outcome.OVERWRITTEN: "replaced by a later scan before they could be read",
    Outcome.GONE: "of images that were deleted meanwhile",
    Outcome.GIVEN_UP: "whose result never appeared",
    Outcome.NO_SCAN: "by robots that only have a name like a scanner's",
}


def _scans(standing: Standing) -> Part:
    parts = [f"{count} {words}" for outcome, words in _SCANS.items() if (count := standing.scans.get(outcome))]
    if not parts:
        return _none("none noticed in the log")
    return Part(f"in the last {LEDGER_SPAN.days} days: {', '.join(parts)}")


def _sweep(standing: Standing, zone: tzinfo) -> str:
    place = standing.sweep
    if standing.is_sweep_off:
        return 'off ([schedule] sweep = "off"): results that leave no trace in the log are missed'
    if place is None:
        return "has not begun"
    if place.repository_id:
        return f"looks through all repositories since {local(place.round_began_at, zone)}"
    return f"looked through all repositories, beginning at {local(place.round_began_at, zone)}"


def _of_route(route: RouteStanding, zone: tzinfo, now: datetime) -> Iterator[Part]:
    where, *news = _chat(route, zone)
    oldest, count = route.counts.oldest_pending, route.counts.pending
    waits = f"{number(count, 'event')} {_wait(count)}, the oldest for {span(now - oldest)}" if oldest else ""
    yield Part(f"{route.name}: {where.text}, {waits or 'nothing waits'}")
    yield from (Part(f"  {line.text}", line.tone) for line in news)


def _chat(route: RouteStanding, zone: tzinfo) -> Iterator[Part]:
    state = route.state
    home = "[telegram]" if route.name == DEFAULT else f'[[route]] "{route.name}"'
    topic = f", topic {state.thread_id}" if state.thread_id is not None and route.name != DEFAULT else ""
    yield Part(f"{route.chat_id}{topic}")
    if state.moved_to is not None:
        text = f"the group {state.chat_id} became this one: put the new number into {home} chat_id"
        yield Part(text, Tone.DOUBTFUL)
    if state.topic_lost:
        yield Part(f"its topic is gone or closed; correct {home} message_thread_id", Tone.BAD)
    if route.silent_until is not None:
        tone = Tone.BAD if state.needs_operator else Tone.DOUBTFUL
        yield Part(f"no attempt before {local(route.silent_until, zone)}: {state.reason}", tone)


def _poller(standing: Standing, zone: tzinfo) -> str:
    if standing.poller is None:
        return "none is at work at this moment"
    return f"{lease.place(standing.poller.owner)}, since {local(standing.poller.acquired_at, zone)}"


def _next_run(standing: Standing, zone: tzinfo) -> str:
    schedule = standing.schedule if standing.schedule.startswith("every") else f'cron "{standing.schedule}"'
    if standing.next_run is None:
        return f"whenever `run` or `once` is started ([schedule]: {schedule})"
    if standing.failure is not None and not standing.is_mended:
        return f"after a pause of at most 15 min, as the last one failed ({schedule})"
    return f"{local(standing.next_run, zone)} ({schedule})"
