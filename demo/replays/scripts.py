"""What happens in registries: scripts whose rows come in the order and at the pace of the real ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from demo.harbor import Fault, Outcome, ScanAll, Vulnerability, World
from demo.harbor.world import JOBSERVICE
from demo.replays.rhythm import Scene

Deed = Callable[[], object]

CI = "robot$team+ci"
RUNNERS = ("robot$base+runner-north", "robot$base+runner-south")
PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x")
APP, APP_TAG = "team/app", "1.27.0"
BUILDER, BUILDER_TAG = "base/builder", "24.04"
EVERYDAY = ("base/golang", "base/node", "base/python", "base/nginx", "base/postgres", "base/redis")
EVERYDAY_TAG = "stable"
JOBS = 60
RELEASED = tuple(f"release/svc-{number:02}" for number in range(30))
RELEASE_TAG = "stable"
OLD_REPOSITORIES, OLD_TAGS_EACH = 40, 25
OLD = tuple(f"old/app-{number:04}" for number in range(OLD_REPOSITORIES))

REPLICATED = 300

HOUR = 3600.0
OUTAGE_HOURS = 8
OUTAGE_EVENTS = 2000
_PULLS_OF_PIPELINE = 24  # eight jobs, three images each

FOUND = (Vulnerability("CVE-2026-4444", "High", "glibc", "2.36", "2.37"),)
OPENSSL = Vulnerability("CVE-2026-5501", "Critical", "openssl", "3.0.1", "3.0.2")
XZ = Vulnerability("CVE-2026-5502", "Critical", "xz", "5.6.0", "5.6.2")
CURL = Vulnerability("CVE-2026-5503", "Critical", "curl", "8.5.0", "8.6.0")
ZLIB = Vulnerability("CVE-2026-5504", "Critical", "zlib", "1.3", "1.3.1")
BASH = Vulnerability("CVE-2026-5505", "Critical", "bash", "5.1", "5.2")
EXPAT = Vulnerability("CVE-2026-5506", "Critical", "expat", "2.5.0", "2.6.0")
GNUTLS = Vulnerability("CVE-2026-5507", "Critical", "gnutls", "3.8.2", "3.8.3")

NIGHTLY_CRITICAL: Mapping[str, Vulnerability] = {"fleet/service-0007": OPENSSL, "fleet/service-0031": XZ}
NIGHTLY_CRITICAL_TAG = "v3"
RELEASE_CRITICAL: Mapping[str, Vulnerability] = {RELEASED[4]: CURL, RELEASED[11]: ZLIB, RELEASED[23]: BASH}
RELEASE_FAILED = (RELEASED[8], RELEASED[19])
OUTAGE_CRITICAL: Mapping[str, Vulnerability] = {"fleet/service-0012": EXPAT, "fleet/service-0013": GNUTLS}
OUTAGE_CRITICAL_TAG = "v1"
OUTAGE_FAILED = ("shop/cart", "shop/checkout")


# -- what was there before ------------------------------------------------------------------------------


def settle_fleet(world: World, repositories: int, each: int, name: str = "service") -> None:
    """Images of which is known what a scan found."""
    world.populate(project="fleet", repositories=repositories, artifacts_each=each, severities={"High": 1}, name=name)


def settle_old(world: World) -> None:
    """What retention will delete; the newest image of each repository is signed."""
    world.populate(
        project="old", repositories=OLD_REPOSITORIES, artifacts_each=OLD_TAGS_EACH, scanned=False, name="app"
    )
    for name in OLD:
        world.attach(name, f"v{OLD_TAGS_EACH - 1}", "sig", CI)


def settle_bases(world: World) -> None:
    world.create_project("base", public=True)
    world.push(BUILDER, BUILDER_TAG, "ann")
    for name in EVERYDAY:
        world.push(name, EVERYDAY_TAG, "ann")


def settle_release(world: World) -> None:
    """The builds that the release will replace."""
    world.create_project("release")
    for name in RELEASED:
        world.push(name, RELEASE_TAG, CI)
        world.scan(name, RELEASE_TAG, findings=FOUND)


# -- what happens ---------------------------------------------------------------------------------------


def push_of_buildx(scene: Scene, *, as_referrers: bool = False) -> Iterator[float]:
    """Four platforms and their index; then what cosign adds, one after the other: 8 rows."""
    world = scene.world
    world.push_index(APP, APP_TAG, CI, platforms=PLATFORMS)
    for pause, kind in ((2, "sig"), (3, "sbom"), (3, "att")):
        yield pause
        world.attach(APP, APP_TAG, kind, CI, as_referrer=as_referrers)


def pulls_of_ci(scene: Scene) -> Iterator[float]:
    """Sixty jobs of a pipeline begin with the same image, within ten minutes."""
    dice, last = random.Random(60), 0.0
    for at in sorted(dice.uniform(0, 600) for _ in range(JOBS)):
        yield at - last
        scene.world.pull(BUILDER, BUILDER_TAG, CI)
        last = at


def nightly_scan(scene: Scene, *, at_once: int = 10, seconds_each: float = 8) -> Iterator[float]:
    """Everything is scanned on schedule, so many images at a time: a pull, the end of a robot, a result of each."""
    world = scene.world
    everything = world.start_scan_all(scheduled=True, pulls=False)
    for number, scan in enumerate(everything.scans):
        world.pull(scan.repository, scan.digest, scan.robot)
        if number >= at_once:
            _finish_next(world, everything)
        yield seconds_each / at_once
    while everything.is_ongoing:
        _finish_next(world, everything)
        yield seconds_each / at_once


def _finish_next(world: World, everything: ScanAll) -> None:
    scan = everything.left[0]
    critical = NIGHTLY_CRITICAL.get(scan.repository) if scan.tag == NIGHTLY_CRITICAL_TAG else None
    world.finish_scan_all(everything, findings=[*FOUND, critical] if critical else FOUND, count=1)


def retention(scene: Scene) -> Iterator[float]:
    """A job for each repository: 25 images, and the signature of one of them, so 1,040 rows of 40 repositories."""
    for name in OLD:
        scene.world.retention(name)
        yield 1.5


def replication(scene: Scene) -> Iterator[float]:
    """A pull policy of this Harbor copies a project: an image a second, all by the job service."""
    for number in range(REPLICATED):
        scene.world.push(f"mirror/lib-{number % 30:02}", f"r{number // 30}", JOBSERVICE)
        yield 1


def release(scene: Scene) -> Iterator[float]:
    """Every ten seconds an image is pushed, signed and scanned: four rows and a result of each."""
    world = scene.world
    for name in RELEASED:
        world.push(name, RELEASE_TAG, CI)
        yield 1
        scan = world.start_scan(name, RELEASE_TAG)
        yield 2
        world.attach(name, RELEASE_TAG, "sig", CI)
        yield 6
        critical = RELEASE_CRITICAL.get(name)
        outcome = Outcome.ERROR if name in RELEASE_FAILED else Outcome.SUCCESS
        world.finish_scan(scan, outcome, findings=[*FOUND, critical] if critical else FOUND)
        yield 1


def pushes_one_by_one(scene: Scene, *, names: tuple[str, ...], every: float) -> Iterator[float]:
    """Of `repository:tag` each, at no special moment."""
    dice = random.Random(5)
    for name in names:
        yield every * dice.uniform(0.5, 1.5)
        repository, tag = name.split(":")
        scene.world.push(repository, tag, "ann")


def everyday_pulls(scene: Scene, *, count: int, hours: float) -> Iterator[float]:
    """Two runners, each with three images of its own; the jobs of a pipeline pull them together."""
    dice = random.Random(9)
    bursts = -(-count // _PULLS_OF_PIPELINE)
    for burst in range(bursts):
        yield hours * HOUR / bursts * dice.uniform(0.9, 1.1)
        images = EVERYDAY[:3] if burst % 2 else EVERYDAY[3:]
        for number in range(min(count - burst * _PULLS_OF_PIPELINE, _PULLS_OF_PIPELINE)):
            scene.world.pull(images[number % 3], EVERYDAY_TAG, RUNNERS[burst % 2])


# -- outages --------------------------------------------------------------------------------------------


def product_down(scene: Scene) -> Iterator[float]:
    scene.product.stop()
    yield OUTAGE_HOURS * HOUR
    scene.product.start()


def telegram_away(scene: Scene) -> Iterator[float]:
    scene.telegram.away()
    yield OUTAGE_HOURS * HOUR
    scene.telegram.back()


def harbor_away(scene: Scene) -> Iterator[float]:
    """Of the poller: whoever is on Harbor's side of the network goes on working."""
    scene.harbor.fail(Fault.REFUSED)
    yield OUTAGE_HOURS * HOUR
    scene.harbor.heal()


def busy_hours(scene: Scene) -> Iterator[float]:
    """2,000 events of all kinds in eight hours: every five minutes a handful."""
    deeds = _deeds(scene.world)
    groups = int(OUTAGE_HOURS * 12) - 2
    yield 60
    for group in range(groups):
        for deed in deeds[group * len(deeds) // groups : (group + 1) * len(deeds) // groups]:
            deed()
        yield 300


def _deeds(world: World) -> list[Deed]:
    """In the order of a working day, which is the same in every run."""
    dice = random.Random(8)
    deeds = [*_builds(world, dice), *_scans_that_matter(world), *_administration(world)]
    events = sum(count for count, _ in deeds)
    rest = [_pull(world, number) for number in range(OUTAGE_EVENTS - events)]
    together = [deed for _, deed in deeds] + rest
    dice.shuffle(together)
    return together


def _pull(world: World, number: int) -> Deed:
    return partial(world.pull, EVERYDAY[number % len(EVERYDAY)], EVERYDAY_TAG, RUNNERS[number % 6 // 3])


def _builds(world: World, dice: random.Random) -> Iterator[tuple[int, Deed]]:
    """(events, deed): images are pushed and scanned, a fourth of them deleted again."""
    for number in range(150):
        name, tag = f"shop/part-{dice.randrange(20):02}", f"build-{number}"
        yield 4, partial(_build, world, name, tag)
    for number in range(40):
        yield 2, partial(_build_in_vain, world, f"shop/part-{number % 20:02}", f"try-{number}")


def _build(world: World, name: str, tag: str) -> None:
    world.push(name, tag, CI)
    world.scan(name, tag, findings=FOUND)


def _build_in_vain(world: World, name: str, tag: str) -> None:
    world.push(name, tag, CI)
    world.delete_artifact(name, tag, "bob")


def _scans_that_matter(world: World) -> Iterator[tuple[int, Deed]]:
    for name in OUTAGE_FAILED:
        yield 4, partial(_build_that_fails, world, name)
    for name, critical in OUTAGE_CRITICAL.items():
        findings = [*FOUND, critical]
        yield 4, partial(world.scan, name, OUTAGE_CRITICAL_TAG, findings=findings, asked_by="ann")


def _build_that_fails(world: World, name: str) -> None:
    world.push(name, "1.0", CI)
    world.scan(name, "1.0", Outcome.ERROR)


def _administration(world: World) -> Iterator[tuple[int, Deed]]:
    for number in range(30):
        yield 1, partial(world.login, "ann")
        yield 1, partial(world.create_tag, EVERYDAY[number % 6], EVERYDAY_TAG, f"try-{number}", "ann")
        yield 2, partial(_robot_for_a_day, world, f"robot$shop+temporary-{number}")


def _robot_for_a_day(world: World, name: str) -> None:
    world.create_robot(name, "ann")
    world.delete_robot(name, "ann")
