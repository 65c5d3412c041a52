"""How `setup` comes to Harbor: its address, and somebody's login, each tried as soon as it is given."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from poller import config_values as values
from poller import versions
from poller.administrator import Administrator
from poller.certificates import shown_by
from poller.check_harbor import OLDEST
from poller.check_way import way
from poller.config_file import read_bytes
from poller.config_values import leads_here
from poller.errors import (
    ConfigError,
    HarborUnreachable,
    NotAllowed,
    NotFound,
    OperatorError,
    PollerError,
    UntrustedCertificate,
    WrongCredentials,
)
from poller.harbor import IN_HASTE, Harbor
from poller.rows import CurrentUser, Server
from poller.secret import Secret
from poller.setup_asking import Edge, Given, Person, fitting
from poller.setup_plan import HarborAnswers
from poller.values import replace

TIMEOUT = 15.0  # seconds; somebody waits
ADMIN = "admin"
_FLAGS = {
    "[harbor] url": "the address (--harbor-url)",
    "name that in [harbor] ca_file": "name that with --ca-file",
    "of ca_file": "of --ca-file",
    "[harbor] proxy": "--harbor-proxy",
}
_UNSAID = ("harbor.unknown_host", "harbor.connection_refused", "harbor.proxy_down", "harbor.proxy_password")
"""What the error itself gives no hint about."""
BY_HAND = (
    "have the robot created by hand (README, «An account in Harbor») and run `setup --robot-user NAME` with its name"
)


@dataclass(frozen=True, slots=True)
class Login:
    """What a robot logs in with."""

    name: str
    secret: Secret


# -- the address ------------------------------------------------------------------------------------


def ask_harbor(given: Given, person: Person) -> HarborAnswers:
    """Where Harbor's API answers, by a way that may be trusted with a password."""
    proxy = fitting("--harbor-proxy", values.proxy)(given.harbor_proxy) if given.harbor_proxy else None
    projects = fitting("--project", values.projects)(list(given.projects))
    known = HarborAnswers("", checked_ca(given.ca_file) if given.ca_file else None, proxy, projects)
    if given.harbor_url is not None:
        return _reach(given.harbor_url, known, given, person)
    text = None
    while True:
        text = person.text("Harbor's address, such as https://registry.example.org", default=text)
        try:
            return _reach(text, known, given, person)
        except UntrustedCertificate as error:
            person.object(error)
            known = _with_ca(known, person)
        except PollerError as error:
            person.object(error)
            text = None


def _reach(text: str, known: HarborAnswers, given: Given, person: Person) -> HarborAnswers:
    read = fitting("the address", values.harbor_url)
    if "://" in text:
        url = read(text)
        _knock(replace(known, url=url))
    else:
        url = _by_tls_if_possible(read(f"https://{text}"), known)
    if url.startswith("http://") and not leads_here(url):
        _accept_plain(url, text, given, person)
    return replace(known, url=url)


def _by_tls_if_possible(url: str, known: HarborAnswers) -> str:
    """An address without a scheme is taken for https; if only http answers there, that is the one."""
    try:
        _knock(replace(known, url=url))
    except HarborUnreachable:
        plain = url.replace("https://", "http://", 1)
        with suppress(PollerError):
            _knock(replace(known, url=plain))
            return plain
        raise
    return url


def _accept_plain(url: str, text: str, given: Given, person: Person) -> None:
    """No password goes over the network in the clear unless somebody has said so."""
    said = f"{url} is not encrypted: whoever is in between can read the passwords"
    if given.harbor_url is not None:
        if "://" not in text:
            raise ConfigError(f"{said}; Harbor does not answer by https there. If that is meant: --harbor-url {url}")
        person.say(f"! {said}")
    elif not person.agrees(f"! {said}. Go on all the same?", default=False):
        raise ConfigError("then give an address that begins with https://")


def _stranger(harbor: HarborAnswers) -> closing[Harbor]:
    """Nobody's name is told."""
    return closing(Harbor(harbor.url, "", Secret(""), ca_file=harbor.ca_file, proxy=harbor.proxy, timeout=TIMEOUT))


def _knock(harbor: HarborAnswers) -> None:
    """Whether Harbor answers there."""
    with _stranger(harbor) as stranger:
        try:
            stranger.ping()
        except NotFound:  # something before Harbor may let only the paths through that are needed
            return
        except UntrustedCertificate as error:
            raise UntrustedCertificate(_in_flags(f"{error}{_shown(harbor)}")) from None
        except PollerError as error:
            code, remedy = way(error, harbor.url, harbor.proxy)
            hint = f": {remedy}" if code in _UNSAID else ""
            raise type(error)(_in_flags(f"{error}{hint}")) from None


def _in_flags(text: str) -> str:
    """There is no conf.toml yet in which anything could be mended."""
    for setting, flag in _FLAGS.items():
        text = text.replace(setting, flag)
    return text


def _shown(harbor: HarborAnswers) -> str:
    shown = None if harbor.proxy else shown_by(harbor.url, TIMEOUT)
    return f". It is {shown}" if shown else ""


def _with_ca(known: HarborAnswers, person: Person) -> HarborAnswers:
    text = person.text("File with the issuer's certificate (PEM), or Enter for another address", default="")
    try:
        ca_file = checked_ca(Path(text)) if text else known.ca_file
    except PollerError as error:
        person.object(error)
        return known
    return replace(known, ca_file=ca_file)


def checked_ca(path: Path) -> Path:
    if b"-----BEGIN CERTIFICATE-----" not in read_bytes(path):
        raise ConfigError(f"{path}: is no file of certificates in PEM: it has no line -----BEGIN CERTIFICATE-----")
    return path


# -- an administrator -------------------------------------------------------------------------------


def ask_administrator(given: Given, edge: Edge, harbor: HarborAnswers) -> Administrator:
    """Logged in, with the right to create the robot. To be closed."""
    person = edge.person
    if given.password is not None:
        return _administrator(given.admin or ADMIN, given.password, edge, harbor)
    while True:
        name = given.admin or person.text("Harbor administrator", default=ADMIN)
        password = Secret(person.text(f"Password of {name}", is_hidden=True))
        edge.mask(password)
        try:
            return _administrator(name, password, edge, harbor)
        except PollerError as error:
            person.object(error)


def _administrator(name: str, password: Secret, edge: Edge, harbor: HarborAnswers) -> Administrator:
    fitting("the name", values.username)(name)
    found = Administrator(
        harbor.url, name, password, ca_file=harbor.ca_file, proxy=harbor.proxy, timeout=TIMEOUT, sleep=edge.sleep
    )
    try:
        _check_administrator(found, harbor)
    except BaseException:
        found.close()
        raise
    return found


def _check_administrator(found: Administrator, harbor: HarborAnswers) -> None:
    try:
        user = found.user()
    except WrongCredentials:
        raise WrongCredentials(_refused(found.name, harbor)) from None
    _check_version(found.server())
    _check_power(user, harbor.projects)
    for project in harbor.projects:
        if found.project(project) is None:
            raise ConfigError(f"--project {project}: Harbor has no such project, or {found.name} may not see it")


def _refused(name: str, harbor: HarborAnswers) -> str:
    """Asked as a stranger: each refused login locks the name for a while."""
    with suppress(PollerError), _stranger(harbor) as stranger:
        if stranger.server().auth_mode == "oidc_auth":
            return (
                f"Harbor refuses {name}: its people log in by OIDC, and such a password or CLI secret does not work for"
                f" the API. Give the built-in administrator (admin), or {BY_HAND}"
            )
    return f"Harbor refuses {name} with this password (also after a pause)"


def _check_version(server: Server) -> None:
    version = versions.parse(server.version)
    if version is not None and version < OLDEST:
        raise OperatorError(f"Harbor {server.version} is too old: 2.4 or newer is needed; upgrade Harbor")


def _check_power(user: CurrentUser, projects: Sequence[str]) -> None:
    if user.is_robot:
        raise NotAllowed(f"{user.name} is a robot: give a person's login; to use this robot itself: --robot-user")
    if user.is_sysadmin or len(projects) == 1:
        return
    raise NotAllowed(
        f"{user.name} is no system administrator, and only one can create a robot that reads"
        f" {'several projects' if projects else 'everything'}: give another login, or {BY_HAND}. The administrator of a"
        " project can set up that project alone: --project NAME"
    )


# -- a robot that is there already ------------------------------------------------------------------


def ask_robot(name: str, given: Given, edge: Edge, harbor: HarborAnswers) -> Login:
    """Its secret, tried."""

    def read(text: str) -> Login:
        secret = Secret(text)
        edge.mask(secret)
        _try_login(name, secret, edge, harbor)
        return Login(name, secret)

    known = given.robot_secret.reveal() if given.robot_secret else None
    return edge.person.ask(f"Secret of {name}", read, given=known, is_hidden=True)


def _try_login(name: str, secret: Secret, edge: Edge, harbor: HarborAnswers) -> None:
    robot = Harbor(
        harbor.url,
        name,
        secret,
        ca_file=harbor.ca_file,
        proxy=harbor.proxy,
        timeout=TIMEOUT,
        sleep=edge.sleep,
        pauses=IN_HASTE,
    )
    with closing(robot):
        try:
            robot.current_user()
        except WrongCredentials:
            raise WrongCredentials(
                f"Harbor refuses {name} with this secret: the name is with its prefix, as in robot$poller; a robot that"
                " has expired or is disabled is refused in the same way"
            ) from None
        _check_version(robot.server())
