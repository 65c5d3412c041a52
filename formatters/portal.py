"""Where Harbor's own pages are: the addresses of its portal, as they have been since Harbor 2.4."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, urlsplit

import msgspec

from poller.events import Event

_LONGEST = 1024  # a message of more than 32 KiB is refused, addresses included; Harbor's own names stay below this


class Portal(msgspec.Struct, frozen=True):
    """Harbor's portal. `url`: its base, without a slash at the end. `project_id`: a project's, by its name, if known.

    Every address is "" where it cannot be known, or where Telegram would drop the link.
    """

    url: str
    project_id: Callable[[str], int | None]

    def project(self, name: str) -> str:
        return self._address(name, "")

    def repository(self, event: Event) -> str:
        """The page with the repository's artifacts."""
        repository = event.repository
        if repository is None or not repository.name:
            return ""
        return self._address(repository.namespace, f"/{_quoted(repository.name)}/artifacts-tab")

    def artifact(self, event: Event) -> str:
        return self._artifact(event, "")

    def vulnerabilities(self, event: Event) -> str:
        """The artifact's page with what its scan found."""
        return self._artifact(event, "?tab=vulnerability")

    def _artifact(self, event: Event, end: str) -> str:
        page = self.repository(event) if event.digest else ""
        return _bounded(f"{page}/artifacts/{_quoted(event.digest or '', ':')}{end}") if page else ""

    def _address(self, project: str, rest: str) -> str:
        number = self.project_id(project) if project and _is_linked(self.url) else None
        return "" if number is None else _bounded(f"{self.url}/harbor/projects/{number}/repositories{rest}")


def _quoted(text: str, safe: str = "") -> str:
    return quote(text, safe, errors="replace")


def _bounded(address: str) -> str:
    return address if len(address) <= _LONGEST else ""


def _is_linked(url: str) -> bool:
    """Telegram silently drops a link to a host without a dot, or to what is no web page."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and "." in host.strip(".")
