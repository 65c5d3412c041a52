"""What a server shows as its certificate, for a person to decide whether to trust its issuer. Trusts nothing itself."""

from __future__ import annotations

import hashlib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Shown:
    """`issuer` is "" where the certificate cannot be read, for instance because it has expired."""

    issuer: str
    sha256: str

    def __str__(self) -> str:
        issued = f"issued by {self.issuer}, " if self.issuer else ""
        return f"{issued}SHA-256 fingerprint {self.sha256}"


def shown_by(url: str, timeout: float) -> Shown | None:
    """The certificate of whoever answers there directly; None if nobody does so (a proxy may be needed)."""
    parts = urlsplit(url)
    place = (parts.hostname or "", parts.port or 443)
    with suppress(OSError, ValueError):
        der, _ = _look(place, timeout)
        digest = hashlib.sha256(der).hexdigest().upper()
        return Shown(_issuer(place, timeout, der), ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)))
    return None


def _issuer(place: tuple[str, int], timeout: float, der: bytes) -> str:
    """Python reads only certificates that it has verified: for a moment this one is its own authority."""
    with suppress(OSError, ValueError):
        _, told = _look(place, timeout, trusted=der)
        return ", ".join(str(pair[1]) for part in told.get("issuer", ()) for pair in part)
    return ""


def _look(place: tuple[str, int], timeout: float, *, trusted: bytes | None = None) -> tuple[bytes, dict[str, Any]]:
    """A connection that is closed again: the certificate as it came, and as Python reads it if it is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if trusted else ssl.CERT_NONE
    if trusted:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=trusted)
    with (
        socket.create_connection(place, timeout) as plain,
        context.wrap_socket(plain, server_hostname=place[0]) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b"", dict(tls.getpeercert() or {})
