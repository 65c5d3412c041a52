"""What is installed: the wheel in a fresh environment, the Debian package unpacked and in a file system of its own."""

from __future__ import annotations

import email.parser
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest

from demo.harbor import POLLER, HarborStandIn, World
from demo.telegram import TelegramStandIn
from poller import __version__, reference
from poller import config as configuration
from state import SCHEMA
from tests.harness import ROOT, TOKEN, write_conf

pytestmark = pytest.mark.xdist_group("packages")  # built once, by one worker

SOURCES = ["poller", "formatters", "state", "demo", "systemd", "packaging", "docs"]
NOON = "1795521600"
SYSTEM = Path("/usr/bin/python3")


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, code: int = 0) -> str:
    """What it writes to standard output; and to standard error, if that is how it ends."""
    environ = {"PATH": os.environ["PATH"], **(env or {})}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@dataclass(frozen=True)
class Built:
    sources: Path
    dist: Path

    @property
    def wheel(self) -> Path:
        return self.dist / f"harbor_poller-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """`make wheel`, from a copy of the sources: building leaves traces in them."""
    folder = tmp_path_factory.mktemp("build")
    sources, dist = folder / "sources", folder / "dist"
    sources.mkdir()
    for name in SOURCES:
        shutil.copytree(ROOT / name, sources / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, sources)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, cwd=sources)
    return Built(sources, dist)


@contextmanager
def registry(folder: Path) -> Iterator[tuple[World, TelegramStandIn]]:
    """Stand-ins of Harbor and Telegram, and a conf.toml for them in the folder."""
    world = World()
    with HarborStandIn(world, [POLLER]) as harbor, TelegramStandIn(token=TOKEN) as telegram:
        write_conf(folder, harbor.url, more=f"api_url = '{telegram.url}'")
        yield world, telegram


def tells(command: Path, folder: Path) -> None:
    """It is the whole product: it makes a state, polls, and tells."""
    with registry(folder) as (world, telegram):
        world.create_project("team")
        run(command, "--config", folder / "conf.toml", "once")
        world.push("team/app", "1.27", "ann")
        run(command, "--config", folder / "conf.toml", "once")
        assert ["1.27" in text for text in telegram.texts] == [True]


# -- the wheel --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, in a fresh environment which borrows the libraries of this one."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", built.wheel)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin/harbor-poller"


def test_the_installed_command_tells(installed: Path, tmp_path: Path) -> None:
    """With migrations and all."""
    tells(installed, tmp_path)


def test_the_installed_command_knows_its_version(installed: Path, tmp_path: Path) -> None:
    """The same that the package has; the same from a checkout."""
    said = run(installed, "--version", cwd=tmp_path)
    assert said.splitlines()[0] == f"harbor-poller {__version__}"
    assert f"state schema {SCHEMA}" in said
    asked = "import importlib.metadata as m; print(m.version('harbor-poller'))"
    assert run(installed.with_name("python"), "-c", asked, cwd=tmp_path).strip() == __version__
    assert run(sys.executable, "-m", "poller", "--version", cwd=ROOT) == said


def test_texts_call_the_command_by_its_name(installed: Path, tmp_path: Path) -> None:
    """What they tell people to type works for them."""
    said = run(installed.name, "--help", cwd=tmp_path, env={"PATH": f"{installed.parent}:{os.environ['PATH']}"})
    assert said.startswith("Usage: harbor-poller ")
    assert "\n    harbor-poller check --send " in said
    assert "python -m" not in said
    assert f"\n    {installed} check --send " in run(installed, "--help", cwd=tmp_path)
    assert f"\n    {sys.executable} -m poller check --send " in run(sys.executable, "-m", "poller", "--help", cwd=ROOT)


def test_the_installed_command_needs_nothing_beside_it(installed: Path, tmp_path: Path) -> None:
    """The examples, the annotated configuration and the units are in the package."""
    assert "team/app" in run(installed, "preview", cwd=tmp_path)
    assert run(installed, "reference", cwd=tmp_path) == (ROOT / "conf.toml").read_text()
    assert set(reference.NAMES) == {"conf.toml", *(path.name for path in (ROOT / "systemd").iterdir())}
    unit = run(installed, "reference", "harbor-poller.service", cwd=tmp_path)
    assert unit == (ROOT / "systemd/harbor-poller.service").read_text()


def test_the_wheel_has_the_product_and_its_pinned_libraries(built: Built) -> None:
    """No tests, no benchmarks; the dependencies are the lines of requirements.txt, the demo's an extra."""
    with zipfile.ZipFile(built.wheel) as wheel:
        packages = {name.split("/")[0] for name in wheel.namelist()}
        metadata = wheel.read(f"harbor_poller-{__version__}.dist-info/METADATA").decode()
    assert packages == {"poller", "formatters", "state", "demo", f"harbor_poller-{__version__}.dist-info"}
    needed = email.parser.Parser().parsestr(metadata).get_all("Requires-Dist") or []
    pinned = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    assert [each for each in needed if "extra" not in each] == [line for line in pinned if line]
    assert [each.partition("==")[0] for each in needed if "extra" in each] == ["tdjson"]


def test_the_sources_travel_without_the_tests(built: Built) -> None:
    """The wheel above was built from this archive, so nothing that it takes is missing there."""
    with tarfile.open(built.dist / f"harbor_poller-{__version__}.tar.gz") as archive:
        top = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert {"poller", "pyproject.toml", "requirements.txt", "requirements-demo.txt"} <= top
    assert not top & {"tests", "bench"}


# -- the Debian package -----------------------------------------------------------------------------


def _why_no_deb() -> str:
    if shutil.which("dpkg-deb") is None:
        return "dpkg-deb is not installed: this is no Debian"
    if not SYSTEM.exists():
        return f"there is no {SYSTEM}"
    return (
        "" if run(SYSTEM, "-c", "import sys; print(sys.version_info >= (3, 11))") == "True\n" else "its Python is old"
    )


needs_debian = pytest.mark.skipif(bool(_why_no_deb()), reason=_why_no_deb())


@pytest.fixture(scope="module")
def deb(built: Built) -> Path:
    env = {**os.environ, "SOURCE_DATE_EPOCH": NOON, "COMPRESSION": "none"}
    run(built.sources / "packaging/deb", sys.executable, built.dist, env=env)
    (package,) = built.dist.glob("*.deb")
    return package


@pytest.fixture(scope="module")
def tree(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, unpacked; DEBIAN has what is for dpkg."""
    folder = tmp_path_factory.mktemp("tree")
    run("dpkg-deb", "--raw-extract", deb, folder)
    return folder


@pytest.fixture(scope="module")
def control(tree: Path) -> Message:
    return email.parser.Parser().parsestr((tree / "DEBIAN/control").read_text())


@needs_debian
def test_the_package_says_what_it_is(deb: Path, control: Message) -> None:
    """And for which Python: its libraries fit no other."""
    minor = int(run(SYSTEM, "-c", "import sys; print(sys.version_info[1])"))
    architecture = run("dpkg", "--print-architecture").strip()
    assert deb.name == f"harbor-poller_{__version__}_{architecture}.deb"
    assert (control["Package"], control["Version"]) == ("harbor-poller", __version__)
    assert control["Depends"].startswith(f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1}~), libc6")
    assert 10_000 < int(control["Installed-Size"]) < 100_000


@needs_debian
def test_everything_in_the_package_is_roots_and_readable(deb: Path) -> None:
    """Nobody but root may change it; one file is to be run."""
    listed = [line.split() for line in run("dpkg-deb", "--contents", deb).splitlines()]
    assert {(mode[0], owner) for mode, owner, *_ in listed} == {("d", "root/root"), ("-", "root/root")}
    assert {mode for mode, *_ in listed} == {"drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x"}
    assert [path for mode, *_, path in listed if mode == "-rwxr-xr-x"] == ["./usr/bin/harbor-poller"]
    tops = {"/".join(path.split("/")[1:4]) for mode, *_, path in listed if mode[0] == "-"}
    assert tops == {
        "etc/harbor-poller/conf.toml",
        "usr/bin/harbor-poller",
        "usr/lib/harbor-poller",
        "usr/lib/systemd",
        "usr/share/doc",
        "usr/share/lintian",
        "usr/share/man",
    }


@needs_debian
def test_the_package_has_no_trace_of_where_it_was_made(built: Built, tree: Path) -> None:
    """Nor compiled code: that is made where it is installed."""
    traces = [str(place).encode() for place in (built.sources.parent, ROOT)]
    files = [path for path in tree.rglob("*") if path.is_file()]
    found = [path for path in files if any(trace + b"/" in path.read_bytes() for trace in traces)]
    assert found == []
    assert not [path for path in files if path.suffix == ".pyc"]


@needs_debian
def test_the_checksums_are_those_of_the_files(tree: Path) -> None:
    """`dpkg --verify` finds what somebody changed."""
    run("md5sum", "--check", "--quiet", tree / "DEBIAN/md5sums", cwd=tree)


@needs_debian
def test_the_packaged_command_tells(tree: Path, tmp_path: Path) -> None:
    """By this Debian's Python, with the libraries in the package alone."""
    command = tree / "usr/bin/harbor-poller"
    python = run(SYSTEM, "-c", "import platform; print(platform.python_version())").strip()
    assert f"harbor-poller {__version__}\nPython {python} " in run(command, "--version")
    assert "team/app" in run(command, "preview", "--language", "en")
    tells(command, tmp_path)


@needs_debian
def test_what_is_not_in_the_package_is_said(tree: Path) -> None:
    """The demo needs Telegram's parser, which is half as large as all the rest."""
    assert "the demo checks messages with Telegram's own parser" in run(tree / "usr/bin/harbor-poller", "demo", code=2)


@needs_debian
def test_the_packaged_configuration_waits_for_the_rest(tree: Path, tmp_path: Path) -> None:
    """The secrets are files of their own, for root and systemd alike, and the state is where the service may write."""
    conf = tmp_path / "conf.toml"
    text = (tree / "etc/harbor-poller/conf.toml").read_text()
    conf.write_text(text.replace("harbor.example.com", "harbor.example.org").replace("-1000000000000", "-1001"))
    assert "there is no such file" in run(tree / "usr/bin/harbor-poller", "--config", conf, "once", code=2)
    for name, secret in (("harbor_password", "a-secret"), ("telegram_bot_token", TOKEN)):
        (tmp_path / name).write_text(secret)
        (tmp_path / name).chmod(0o600)
    config = configuration.load(conf, {})
    assert (config.harbor.password.reveal(), config.telegram.bot_token.reveal()) == ("a-secret", TOKEN)
    assert config.state.file == Path("/var/lib/harbor-poller/state.db")
    assert config.warnings == ()


@needs_debian
def test_the_packaged_units_are_those_that_were_judged(tree: Path) -> None:
    """See test_systemd. They find the command, and the name of each secret is that of its file."""
    for name in ("harbor-poller.service", "harbor-poller-once.service", "harbor-poller-once.timer"):
        assert (tree / "usr/lib/systemd/system" / name).read_bytes() == (ROOT / "systemd" / name).read_bytes()
    assert "\nExecStart=harbor-poller " in (ROOT / "systemd/harbor-poller.service").read_text()


@needs_debian
def test_the_manual_has_every_command(tree: Path) -> None:
    """Made of the same texts as --help."""
    page = run("gzip", "-dc", tree / "usr/share/man/man1/harbor-poller.1.gz")
    commands = [line for line in run(tree / "usr/bin/harbor-poller", "--help").splitlines() if line[2:3].isalpha()]
    names = [line.split()[0] for line in commands[commands.index(next(c for c in commands if "run " in c)) :]]
    assert names[:2] == ["run", "once"]
    assert [name for name in names if f"\n.SS {name} " not in page and name.islower()] == []


class Machine:
    """A file system with nothing but dpkg's own records in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("info", "updates", "triggers"):
            (root / "var/lib/dpkg" / name).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()

    def dpkg(self, *arguments: str | Path) -> None:
        forced = ["--force-depends", "--force-script-chrootless", "--force-confold", "--force-unsafe-io"]
        run("dpkg", f"--root={self.root}", f"--log={self.root}/log", *forced, *arguments)

    def has(self, *names: str) -> list[bool]:
        return [(self.root / name).exists() for name in names]


@needs_debian
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can install a package")
def test_a_package_comes_is_upgraded_and_goes(deb: Path, tree: Path, tmp_path: Path) -> None:
    """The administrator's configuration outlives an upgrade and a removal; a purge takes state and secrets, too."""
    machine = Machine(tmp_path / "machine")
    conf = machine.root / "etc/harbor-poller/conf.toml"
    machine.dpkg("--install", deb)
    assert machine.has("usr/bin/harbor-poller", "etc/harbor-poller/conf.toml") == [True, True]
    conf.write_text("# mine\n")
    conf.with_name("harbor_password").write_text("a-secret")
    state = machine.root / "var/lib/private/harbor-poller/state.db"
    state.parent.mkdir(parents=True)
    state.touch()

    next_one = tmp_path / "next"
    shutil.copytree(tree, next_one)
    described = (next_one / "DEBIAN/control").read_text()
    (next_one / "DEBIAN/control").write_text(described.replace(f"Version: {__version__}", f"Version: {__version__}+1"))
    (next_one / "etc/harbor-poller/conf.toml").write_text("# another default\n")
    run("dpkg-deb", "--root-owner-group", "-Znone", "--build", next_one, tmp_path / "next.deb")
    machine.dpkg("--install", tmp_path / "next.deb")
    assert conf.read_text() == "# mine\n"

    machine.dpkg("--remove", "harbor-poller")
    assert machine.has("usr/bin/harbor-poller", "usr/lib/harbor-poller") == [False, False]
    assert (conf.read_text(), state.exists()) == ("# mine\n", True)
    machine.dpkg("--purge", "harbor-poller")
    assert machine.has("etc/harbor-poller", "var/lib/private/harbor-poller") == [False, False]
