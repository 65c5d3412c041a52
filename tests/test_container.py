"""The Containerfile and compose.yaml, read as an engine would: there is none where the tests run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from poller import config
from tests.harness import ROOT, TOKEN, write_conf

Step = tuple[str, str]


def steps() -> list[Step]:
    """Every instruction and what it says, in order."""
    lines = [line for line in (ROOT / "Containerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def stages() -> list[list[Step]]:
    """The steps of the build, and those of the image."""
    found: list[list[Step]] = []
    for step in steps():
        if step[0] == "FROM":
            found.append([])
        found[-1].append(step)
    return found


BUILD, IMAGE = stages()


def of(stage: list[Step], word: str) -> list[str]:
    return [said for name, said in stage if name == word]


def copied() -> list[str]:
    """What is taken from the sources."""
    return [name for said in of(BUILD, "COPY") for name in said.split()[:-1]]


def environment() -> dict[str, str]:
    return dict(re.findall(r"(\w+)=(\S+)", of(IMAGE, "ENV")[0]))


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    found = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return {**found["services"]["harbor-poller"], "all": found}


def test_what_is_copied_is_enough_for_the_whole_product(tmp_path: Path) -> None:
    """The wheel of what the Containerfile copies has every module and migration that there is."""
    for name in copied():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "."]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(ROOT))
        for package in ("poller", "formatters", "state", "demo")
        for path in (ROOT / package).rglob("*.py")
    }
    assert {name for name in packed if name.endswith(".py")} == expected


def test_nothing_but_what_is_copied_reaches_the_engine() -> None:
    """No secret, state or history is in the context: all is left out but for a list, which is what is copied."""
    lines = [line for line in (ROOT / ".containerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line[0] == "!"} == {name.rstrip("/") for name in copied()}
    assert [line for line in lines[1:] if line[0] != "!"] == ["**/__pycache__"]
    assert (ROOT / ".dockerignore").resolve() == ROOT / ".containerignore"


def test_the_image_is_run_by_nobody_without_a_shell() -> None:
    """A number, so that it can be seen not to be root; commands are lists, so that signals reach the program."""
    assert of(IMAGE, "USER") == ["65532:65532"]
    for stage in (BUILD, IMAGE):
        for word in ("RUN", "ENTRYPOINT", "CMD"):
            assert all(said.startswith("[") for said in of(stage, word))
    assert [name for name, _ in IMAGE].index("USER") > max(i for i, (name, _) in enumerate(IMAGE) if name == "RUN")
    assert {said.split()[0] for stage in (BUILD, IMAGE) for said in of(stage, "FROM")} == {"python:3.13-slim"}


def test_the_image_finds_its_files(tmp_path: Path) -> None:
    """The environment that it sets is one that the product knows: the secrets, the state, the configuration."""
    said = environment()
    assert (said["CREDENTIALS_DIRECTORY"], of(IMAGE, "VOLUME")) == ("/run/secrets", ["/data"])
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "harbor_password").write_text("a-secret")
    (secrets / "telegram_bot_token").write_text(TOKEN)
    conf = write_conf(tmp_path, "https://harbor.example.org")
    conf.write_text("\n".join(line for line in conf.read_text().splitlines() if "password" not in line))
    loaded = config.load(conf, {**said, "CREDENTIALS_DIRECTORY": str(secrets)})
    assert loaded.harbor.password.reveal() == "a-secret"
    assert loaded.state.file == Path("/data/state.db")


def test_compose_takes_every_right_away(service: dict[str, Any]) -> None:
    """What is left to write is the volume of the state and a small /tmp."""
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert (service["mem_limit"], service["pids_limit"]) == ("1g", 64)
    assert [each.split(":")[0] for each in service["tmpfs"]] == ["/tmp"]
    assert not {"privileged", "cap_add", "ports", "network_mode", "user"} & service.keys()


def test_compose_gives_what_the_image_expects(service: dict[str, Any]) -> None:
    """The configuration where it is looked for, the secrets by the names that the units use, time to finish."""
    mounts = dict(each.split(":", 1) for each in service["volumes"])
    assert mounts == {"state": "/data", "./conf.toml": f"{config.PLACES[1]}:ro"}
    assert service["all"]["volumes"].keys() == {"state"}
    units = (ROOT / "systemd/harbor-poller.service").read_text()
    assert service["secrets"] == re.findall(r"^LoadCredential=(\w+):", units, re.MULTILINE)
    assert service["all"]["secrets"] == {name: {"file": f"./secrets/{name}"} for name in service["secrets"]}
    stop = re.search(r"^TimeoutStopSec=(\d+)$", units, re.MULTILINE)
    assert stop
    assert service["stop_grace_period"] == f"{stop[1]}s"
