"""What `check` says when Harbor cannot be asked: where on the way it ends, and what mends that. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from poller.check_lookups import robot_page
from poller.config import HarborConfig
from poller.errors import PollerError
from poller.findings import WRONG, Finding, failure, wrong

HARBOR = "Harbor"

_TARGET = re.compile(r"redirects to (https?://[^/;\s]+)(?:/api/v2\.0\S*|/?)(?:;|$)")
"""A redirect that changes the host or scheme alone. One to another path leads to a login."""

_ISSUER = (
    "save the certificate of its issuer (curl -k -o harbor-ca.crt {url}/api/v2.0/systeminfo/getcert, and compare it"
    ' with what who runs Harbor has), and set [harbor] ca_file = "harbor-ca.crt"'
)
_WAYS = (
    (
        r"^407 |failed: 407 |asks for credentials|authentication failed",
        "harbor.proxy_password",
        "put the proxy's user name and password into [harbor] proxy, as in http://user:password@host:3128",
    ),
    (
        r"the proxy cannot be used|socks",
        "harbor.proxy_down",
        "start the proxy, correct [harbor] proxy, or remove it if Harbor can be reached without",
    ),
    (
        r"name or service|name resolution|nodename|no address",
        "harbor.unknown_host",
        "correct the host in [harbor] url, or this machine's DNS (getent hosts {host})",
    ),
    (
        r"refused",
        "harbor.connection_refused",
        "nothing listens there: correct the port in [harbor] url, or start Harbor (docker compose up -d)",
    ),
    (
        r"no connection within|no whole answer|timed out|unreachable|no route",
        "harbor.silent",
        "is a firewall in between? A proxy goes into [harbor] proxy; a slow Harbor needs a longer [harbor] timeout",
    ),
    (
        r"expired",
        "harbor.certificate_expired",
        "renew Harbor's certificate and restart its proxy (docker compose restart proxy); or set this machine's clock",
    ),
    (
        r"not yet valid",
        "harbor.certificate_not_yet_valid",
        "set this machine's clock: timedatectl set-ntp true; or give Harbor another certificate",
    ),
    (
        r"mismatch|not valid for",
        "harbor.certificate_of_another_host",
        "use the name that the certificate is made out to in [harbor] url (openssl s_client -connect {host}:{port}"
        " </dev/null | openssl x509 -noout -ext subjectAltName), or give Harbor one for {host}",
    ),
    (
        r"of ca_file cannot be read",
        "harbor.ca_file",
        "put certificates in PEM into the file that [harbor] ca_file names",
    ),
    (
        r"certificate.required",
        "harbor.client_certificate",
        "what stands before Harbor wants a certificate, which the poller has none of: let its address through without",
    ),
    (r"self.signed certificate;", "harbor.certificate_self_signed", _ISSUER),
    (r"not trusted", "harbor.certificate_not_trusted", _ISSUER),
    (
        r"wrong_version_number|record_layer|http request",
        "harbor.tls_without_tls",
        'plain HTTP is spoken on this port: put url = "http://{place}" into [harbor], or name the port of HTTPS',
    ),
    (r"tls", "harbor.tls", "is it https that Harbor speaks on this port? Correct [harbor] url"),
    (
        r"speaks https",
        "harbor.http_on_https_port",
        'put url = "https://{place}" into [harbor]',
    ),
    (r"redirects to", "harbor.redirected", "put Harbor's own address into [harbor] url"),
    (
        r"not harbor|instead of harbor",
        "harbor.not_harbor",
        "correct [harbor] url: the address before /api/v2.0, without the path of a portal; curl {url}/api/v2.0/ping"
        " must answer Pong",
    ),
    (
        r"^(429|5\d\d)\b",
        "harbor.being_started",
        "is Harbor being started or upgraded? Look (docker compose ps, where it was installed), and try again in a"
        " minute",
    ),
)
"""What the words of an error are about (in lower case, behind the address), first match first."""


_USUAL = "if another program listens there, correct [harbor] url; otherwise look into Harbor's own log (core.log)"
_OF_ENVIRONMENT = (
    "the environment names that proxy (env | grep -i proxy): put {host} into NO_PROXY there, or correct HTTPS_PROXY or"
    " HTTP_PROXY; [harbor] proxy wins over both"
)


def way(error: PollerError, url: str, proxy: str | None = None) -> tuple[str, str]:
    """Where the way to Harbor ends, in a word, and what mends that. `proxy`: that of conf.toml."""
    said, parts = _said(error), urlsplit(url)
    found = ((code, remedy) for pattern, code, remedy in _WAYS if re.search(pattern, said))
    code, remedy = next(found, ("harbor.failed", _USUAL))
    if code.startswith("harbor.proxy") and not proxy:
        remedy = _OF_ENVIRONMENT
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return code, remedy.format(url=url, host=parts.hostname, port=port, place=parts.netloc)


def _said(error: PollerError) -> str:
    where, _, why = str(error).lower().partition(": ")
    return why or where


def blocked(error: PollerError, config: HarborConfig) -> Finding:
    """Why Harbor could not be asked at all."""
    said = _said(error)
    if re.match(r"40[13]\b", said):
        return _guarded(config, said[:3])
    code, remedy = way(error, config.url, config.proxy)
    if config.ca_file is not None and code in ("harbor.certificate_self_signed", "harbor.certificate_not_trusted"):
        whose = f"is {config.ca_file} the certificate of the one who issued Harbor's? Correct [harbor] ca_file"
        sent = "If it is, append the certificates between the two to Harbor's own (certificate in harbor.yml)"
        code, remedy = "harbor.wrong_ca", f"{whose}: {remedy}. {sent}"
    if target := _TARGET.search(said):
        remedy = f'put url = "{target[1]}" into [harbor]'
    return failure(code, HARBOR, error, remedy)


def _guarded(config: HarborConfig, status: str) -> Finding:
    """Harbor itself asks nobody for a password where we knocked."""
    return wrong(
        "harbor.guarded",
        HARBOR,
        f"something before {config.url} asks for a login of its own ({status}); the account of [harbor] is for Harbor",
        "let the poller's address through there to /api/v2.0, or put Harbor's own address into [harbor] url",
    )


def late(config: HarborConfig, seconds: float) -> Finding:
    return Finding(
        "harbor.too_slow",
        WRONG,
        HARBOR,
        f"{config.url} did not answer in time ({seconds:.1f} s): what is missing here could not be found out",
        f"try it: curl -m 5 {config.url}/api/v2.0/ping. No answer: let the firewall pass it, or put a proxy into"
        " [harbor] proxy. A slow one: `check --timeout 30`",
        is_passing=True,
    )


def refused(config: HarborConfig, *, is_known: bool) -> Finding:
    """Why Harbor may have answered 401 to the account. `is_known`: not on its public pages."""
    name, odd = config.username, _oddity(config.username, config.password.reveal())
    if is_known:
        return wrong(
            "harbor.oidc_secret",
            HARBOR,
            f"Harbor knows {name}, but not for the audit log: the CLI secret of a user who logs in by OIDC is only good"
            " for a few requests",
            "use a robot account in [harbor] username and password: Administration → Robot Accounts → New Robot"
            " Account",
        )
    said = f"Harbor refuses {name} (401)"
    if "$" in name:
        return wrong(
            "harbor.login_refused",
            HARBOR,
            f"{said}: the secret is wrong, or the robot is disabled, or has expired; Harbor does not say which",
            f"{odd}look at {robot_page(name)}: disabled → Enable; expired → Edit, Expiration time; neither → Refresh"
            " Secret, and put the new one into [harbor] password (or password_file)",
        )
    return wrong(
        "harbor.login_refused_user",
        HARBOR,
        f"{said}: there is no such user, or the password is wrong; a robot's name has a prefix",
        f"{odd}correct [harbor] password; for a robot, put username = 'robot${name}' into [harbor], as Administration →"
        " Robot Accounts shows it",
    )


def _oddity(name: str, password: str) -> str:
    """What came along when name or password were copied, and how to mend that before anything else."""
    if password != password.strip() or password[:1] in ("'", '"'):
        return "take the blank or quotation mark from the edge of [harbor] password, if it is none of it; otherwise "
    if re.search(r"\$\$|\\\$", name):
        return "write the $ once, and nothing before it, in [harbor] username; otherwise "
    return ""
