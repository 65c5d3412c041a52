"""The units in systemd/, judged by systemd's own tools."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parent.parent / "systemd"
SERVICES = ["harbor-poller.service", "harbor-poller-once.service"]
ALL = [*SERVICES, "harbor-poller-once.timer"]
MOST_EXPOSURE = 2.0
ANALYZE = shutil.which("systemd-analyze")

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, check=False, timeout=60)


def _settings(name: str) -> list[tuple[str, str]]:
    """Every `Name=value` line of a unit, in order."""
    lines = (UNITS / name).read_text().splitlines()
    return [(line.partition("=")[0], line.partition("=")[2]) for line in lines if line and line[0] not in "#;["]


def _guards(name: str) -> list[tuple[str, str]]:
    """What is said of secrets, files and hardening, in order."""
    settings = _settings(name)
    first = next(i for i, (setting, _) in enumerate(settings) if setting == "LoadCredential")
    return [setting for setting in settings[first:] if setting[0] != "WantedBy"]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as on a machine where this very Python is the command."""
    for name in ALL:
        text = (UNITS / name).read_text()
        (tmp_path / name).write_text(text.replace("ExecStart=harbor-poller ", f"ExecStart={sys.executable} -m poller "))
    return tmp_path


@needs_systemd
def test_systemd_understands_every_line(installed: Path) -> None:
    """`systemd-analyze verify` has nothing to say about any unit: no unknown setting, no value it cannot read."""
    answer = _analyze("verify", *(str(installed / name) for name in ALL))

    assert answer.stdout + answer.stderr == ""
    assert answer.returncode == 0


@needs_systemd
def test_verify_would_have_noticed(installed: Path) -> None:
    """The check above can fail: a misspelt setting is reported."""
    unit = installed / SERVICES[0]
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHomes="))

    assert "ProtectHomes" in _analyze("verify", str(unit)).stderr


@needs_systemd
def test_systemd_understands_the_drop_in(installed: Path) -> None:
    """A secret that not everybody has is no line of the unit, for a missing file would keep it from starting."""
    folder = installed / "harbor-poller.service.d"
    folder.mkdir()
    shutil.copy(UNITS / "heartbeat.conf", folder)
    assert _analyze("verify", str(installed / SERVICES[0])).stderr == ""

    wrong = (folder / "heartbeat.conf").read_text().replace("LoadCredential=", "LoadCredentials=")
    (folder / "heartbeat.conf").write_text(wrong)
    assert "LoadCredentials" in _analyze("verify", str(installed / SERVICES[0])).stderr


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_little_is_exposed(name: str) -> None:
    """systemd's own score of what a taken-over process could do: 0 is nothing, 10 is everything."""
    answer = _analyze("security", "--offline=true", str(UNITS / name))
    score = re.search(r"Overall exposure level for \S+: ([0-9.]+)", answer.stdout)

    assert score, answer.stdout + answer.stderr
    assert float(score[1]) <= MOST_EXPOSURE


@pytest.mark.parametrize("name", ALL)
def test_every_setting_says_why(name: str) -> None:
    """Who reads a unit finds a sentence over each directive of its [Service] or [Timer] section."""
    section, before, bare = "", "", []
    for line in (UNITS / name).read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section in ("[Service]", "[Timer]") and line and line[0] != "#" and not _is_sentence(before):
            bare.append(line)
        before = line

    assert bare == []


def _is_sentence(comment: str) -> bool:
    return comment.startswith("# ") and len(comment.split()) > 3 and not comment.startswith("# --")


def test_both_services_are_equally_guarded() -> None:
    """Secrets, files and hardening are the same, so that both are the same user with the same state."""
    daemon, once = map(_guards, SERVICES)

    assert daemon == once
    assert ("DynamicUser", "yes") in daemon


def test_no_secret_is_on_a_command_line_or_in_the_environment() -> None:
    """Both are visible to every user of the machine; credentials are not."""
    for name in SERVICES:
        settings = dict(_settings(name))
        assert "Environment" not in settings
        assert "EnvironmentFile" not in settings
        assert not re.search(r"token|password", settings["ExecStart"], re.IGNORECASE)


def test_exit_codes_are_understood() -> None:
    """A mistake in the configuration is not retried; a Harbor that was away is no failure of a timer's run."""
    daemon, once = dict(_settings(SERVICES[0])), dict(_settings(SERVICES[1]))

    assert daemon["Restart"] == "on-failure"
    assert daemon["RestartPreventExitStatus"] == "2"
    assert once["SuccessExitStatus"] == "1"
    assert "Restart" not in once
