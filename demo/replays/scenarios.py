"""The table: what is replayed, how many messages it may be worth, and what must be visible."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from demo.harbor import Vulnerability, World
from demo.replays import scripts
from demo.replays.facts import FAILED, SIGNED, Fact, Listed, alone, number, together
from demo.replays.rhythm import Script
from demo.replays.scripts import HOUR

SINGLE = tuple(f"apps/tool-{number:02}:2.{number}" for number in range(20))
SINGLE_OF_DAY = SINGLE[:3]
RAW_OF_DAY = 10_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """`raw`: rows and results of scans. `most`: messages. `visible`: in a word, what `facts` ask for.

    `prepare`: what is there before the product starts.

    `warm_up`: seconds in which it gets to know that. `then`: seconds that it has after the last deed.
    """

    name: str
    raw: int
    most: int
    visible: str
    facts: tuple[Fact | Listed, ...]
    scripts: tuple[tuple[float, Script], ...]
    prepare: Callable[[World], object]
    warm_up: float = 600
    then: float = 1800
    single_pushes: tuple[str, ...] = ()


# -- what must be visible -------------------------------------------------------------------------------


def _of_buildx() -> tuple[Fact | Listed, ...]:
    return (
        together("the image and its tag", scripts.APP, scripts.APP_TAG),
        together("that it is signed", scripts.APP, SIGNED),
    )


def _of_ci() -> tuple[Fact | Listed, ...]:
    return (
        together("the first pull", scripts.BUILDER, scripts.BUILDER_TAG, scripts.CI),
        together("the count", scripts.BUILDER, number(scripts.JOBS, scripts.JOBS - 1)),
    )


def _criticals(found: Mapping[str, Vulnerability]) -> tuple[Fact | Listed, ...]:
    return tuple(
        alone(f"{finding.id} in {name}", name, finding.id, others=found.keys() - {name})
        for name, finding in found.items()
    )


def _failures(names: tuple[str, ...]) -> tuple[Fact | Listed, ...]:
    return tuple(alone(f"the failed scan of {name}", name, FAILED, others=set(names) - {name}) for name in names)


def _of_retention() -> tuple[Fact | Listed, ...]:
    tags = scripts.OLD_REPOSITORIES * scripts.OLD_TAGS_EACH
    totals = number(tags, tags + scripts.OLD_REPOSITORIES), number(scripts.OLD_REPOSITORIES)
    return together("the totals", *totals), Listed("the list", scripts.OLD)


def _of_release() -> tuple[Fact | Listed, ...]:
    return (
        *_singly(scripts.RELEASED),
        *_failures(scripts.RELEASE_FAILED),
        *_criticals(scripts.RELEASE_CRITICAL),
    )


def _of_outage() -> tuple[Fact | Listed, ...]:
    return (*_failures(scripts.OUTAGE_FAILED), *_criticals(scripts.OUTAGE_CRITICAL))


def _singly(names: tuple[str, ...]) -> tuple[Fact | Listed, ...]:
    return tuple(alone(name, *name.split(":"), others=set(names) - {name}) for name in names)


# -- what was there before ------------------------------------------------------------------------------


def _projects(*names: str) -> Callable[[World], object]:
    return partial(_create_projects, names=names)


def _create_projects(world: World, names: tuple[str, ...]) -> None:
    for name in names:
        world.create_project(name)


def _before_outage(world: World) -> None:
    scripts.settle_bases(world)
    scripts.settle_fleet(world, 20, 2)
    world.create_project("shop")


def _before_day(world: World) -> None:
    """With what others bring, 1,000 images are there to be scanned at night, once retention has made room."""
    scripts.settle_bases(world)
    scripts.settle_release(world)
    scripts.settle_fleet(world, 48, 20)
    scripts.settle_fleet(world, 1, 3, "extra")
    scripts.settle_old(world)
    _projects("team", "shop", "apps")(world)


# -- the table ------------------------------------------------------------------------------------------

BUILDX = Scenario(
    "buildx push, 4 platforms, signature, SBOM, attestation",
    raw=8,
    most=1,
    visible="the image, its tag, «signed»",
    facts=_of_buildx(),
    scripts=((0, scripts.push_of_buildx),),
    prepare=_projects("team"),
)
SIGNED_BY_REFERRERS = Scenario(
    "the same with referrers in place of cosign's tags",
    raw=8,
    most=1,
    visible="the image, its tag, «signed»",
    facts=_of_buildx(),
    scripts=((0, partial(scripts.push_of_buildx, as_referrers=True)),),
    prepare=_projects("team"),
)
CI_PULLS = Scenario(
    "CI: 60 jobs pull the same base image in 10 minutes",
    raw=60,
    most=2,
    visible="first pull, the count",
    facts=_of_ci(),
    scripts=((0, scripts.pulls_of_ci),),
    prepare=scripts.settle_bases,
)
NIGHTLY = Scenario(
    "nightly scan-all of 1,000 artifacts, 2 new critical",
    raw=3000,
    most=4,
    visible="the two",
    facts=_criticals(scripts.NIGHTLY_CRITICAL),
    scripts=((0, scripts.nightly_scan),),
    prepare=partial(scripts.settle_fleet, repositories=50, each=20),
    warm_up=2 * HOUR,
)
RETENTION = Scenario(
    "retention deletes 1,000 tags in 40 repositories",
    raw=1040,
    most=2,
    visible="the totals, the list",
    facts=_of_retention(),
    scripts=((0, scripts.retention),),
    prepare=scripts.settle_old,
)
RELEASE = Scenario(
    "a release: 30 images pushed and scanned in 5 minutes",
    raw=150,
    most=35,
    visible="each image, each failed or critical scan",
    facts=_of_release(),
    scripts=((0, scripts.release),),
    prepare=scripts.settle_release,
    warm_up=HOUR,
)
OUTAGE = Scenario(
    "registry outage of 8 hours, 2,000 events meanwhile",
    raw=scripts.OUTAGE_EVENTS,
    most=6,
    visible="failed scans, criticals",
    facts=_of_outage(),
    scripts=((0, scripts.product_down), (0, scripts.busy_hours)),
    prepare=_before_outage,
    warm_up=HOUR,
)
TELEGRAM_AWAY = Scenario(
    "Telegram away for 8 hours, 2,000 events meanwhile",
    raw=scripts.OUTAGE_EVENTS,
    most=6,
    visible="failed scans, criticals",
    facts=_of_outage(),
    scripts=((0, scripts.telegram_away), (0, scripts.busy_hours)),
    prepare=_before_outage,
    warm_up=HOUR,
)
HARBOR_AWAY = Scenario(
    "Harbor out of reach for 8 hours, 2,000 events meanwhile",
    raw=scripts.OUTAGE_EVENTS,
    most=6,
    visible="failed scans, criticals",
    facts=_of_outage(),
    scripts=((0, scripts.harbor_away), (0, scripts.busy_hours)),
    prepare=_before_outage,
    warm_up=HOUR,
)
REPLICATION = Scenario(
    "replication of 300 images, one a second",
    raw=scripts.REPLICATED,
    most=10,
    visible="that it happens",
    facts=(together("that it happens", re.compile(r"mirror\b")),),
    scripts=((0, scripts.replication),),
    prepare=_projects("mirror"),
)
SINGLE_PUSHES = Scenario(
    "20 single pushes",
    raw=20,
    most=20,
    visible="each image",
    facts=_singly(SINGLE),
    scripts=((0, partial(scripts.pushes_one_by_one, names=SINGLE, every=7 * 60)),),
    prepare=_projects("apps"),
    single_pushes=SINGLE,
)

_PARTS = (BUILDX, CI_PULLS, NIGHTLY, RETENTION, RELEASE, OUTAGE)
_PULLS_OF_DAY = RAW_OF_DAY - sum(part.raw for part in _PARTS) - len(SINGLE_OF_DAY)

DAY = Scenario(
    "all of it in one day, 10,000 raw events",
    raw=RAW_OF_DAY,
    most=60,
    visible="all of the above",
    facts=(*(fact for part in _PARTS for fact in part.facts), *_singly(SINGLE_OF_DAY)),
    scripts=(
        (0, partial(scripts.everyday_pulls, count=_PULLS_OF_DAY, hours=14.5)),
        (1 * HOUR, scripts.retention),
        (2 * HOUR, scripts.nightly_scan),
        (8 * HOUR, partial(scripts.pushes_one_by_one, names=SINGLE_OF_DAY, every=20 * 60)),
        (9.5 * HOUR, scripts.push_of_buildx),
        (10 * HOUR, scripts.pulls_of_ci),
        (13 * HOUR, scripts.release),
        (15 * HOUR, scripts.product_down),
        (15 * HOUR, scripts.busy_hours),
    ),
    prepare=_before_day,
    warm_up=4 * HOUR,
    then=HOUR,
    single_pushes=SINGLE_OF_DAY,
)

ALL = (*_PARTS, DAY)
"""The table's lines, in its order."""
