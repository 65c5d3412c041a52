"""Pings a dead man's switch: a URL whose path is the key to it, so that no exception or log line may hold more than
its host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import requests
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import HTTPError

from poller.errors import HeartbeatRefused, HeartbeatUnreachable, PollerError
from poller.logs import Redactor
from poller.secret import Secret
from poller.troubles import Trouble

UNHEARD = Trouble("heartbeat.failed", "heartbeat.failing", "heartbeat.recovered")
LONGEST_REASON = 500
_PASSING = (408, 425, 429)


class Heartbeat:
    """`fail_url` "": `url` with /fail behind its path, which is told the reason; None: failures are not told.

    `secrets`: what no reason may hold. `timeout`: seconds.
    """

    def __init__(
        self,
        url: Secret,
        fail_url: Secret | None,
        *,
        proxy: str | None = None,
        ca_file: Path | None = None,
        secrets: Iterable[Secret] = (),
        timeout: float = 10,
    ) -> None:
        self._url = url
        self._fail_url = fail_url
        self._proxy = Secret(proxy or "")
        self._ca_file = ca_file
        self._redactor = Redactor(secrets)
        self._timeout = timeout
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "harbor-poller"
        self._session.auth = _auth(urlsplit(url.reveal()))

    def tell(self, reason: str = "") -> None:
        """That all is well, or what is not. Raises HeartbeatUnreachable or HeartbeatRefused."""
        if not reason:
            self._ask("GET", self._url)
        elif self._fail_url is None:
            return
        elif self._fail_url:
            self._ask("GET", self._fail_url)
        else:
            said = self._redactor.redact(reason)[:LONGEST_REASON]
            self._ask("POST", Secret(fail_url(self._url.reveal())), said.encode())

    def _ask(self, method: str, url: Secret, body: bytes | None = None) -> None:
        failure = self._tried(method, url, body)
        if failure is not None:
            raise failure  # outside of `except`: the foreign exception holds the URL

    def _tried(self, method: str, url: Secret, body: bytes | None) -> PollerError | None:
        place = _place(url.reveal())
        proxy = self._proxy.reveal()
        try:
            with self._session.request(
                method,
                url.reveal(),
                data=body,
                timeout=self._timeout,
                allow_redirects=False,  # the key is for nobody else
                stream=True,  # what is answered does not matter
                verify=str(self._ca_file) if self._ca_file else True,
                proxies={"http": proxy, "https": proxy} if proxy else None,
            ) as response:
                return _judged(response.status_code, place)
        except (requests.RequestException, HTTPError, ValueError, OSError) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                return HeartbeatRefused(f"{place}: its certificate is not trusted; name yours in [heartbeat] ca_file")
            return HeartbeatUnreachable(f"{place} does not answer ({type(error).__name__})")


def fail_url(url: str) -> str:
    """Where a failure is told to services in healthchecks' manner; what stands behind a question mark stays there."""
    parts = urlsplit(url)
    return parts._replace(path=f"{parts.path.rstrip('/')}/fail").geturl()


def _judged(status: int, place: str) -> PollerError | None:
    if 200 <= status < 300:
        return None
    if status >= 500 or status in _PASSING:
        return HeartbeatUnreachable(f"{place} answers {status}")
    if 300 <= status < 400:
        return HeartbeatRefused(f"{place} sends its callers on to another address: put that into [heartbeat]")
    return HeartbeatRefused(f"{place} answers {status}: correct the address in [heartbeat]")


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _auth(parts: SplitResult) -> HTTPBasicAuth | Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """What the URL names; never nothing, for then `requests` would look into ~/.netrc."""
    if not parts.username:
        return lambda request: request
    return HTTPBasicAuth(unquote(parts.username), unquote(parts.password or ""))
