"""Reads the body of an HTTP answer, which may be larger than anybody needs, or never end."""

from __future__ import annotations

import time

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ProtocolError

_PIECE = 65536


class TooLarge(ProtocolError):
    """More bytes than there may be."""


def read(raw: BaseHTTPResponse, *, most: int, end: float) -> bytes:
    """The whole body, decompressed. A time-out counts silence only: `end`, by the monotonic clock, ends what drips.

    Raises TooLarge, TimeoutError, and what urllib3 does.
    """
    body = bytearray()
    while piece := raw.read1(_PIECE, decode_content=True):
        body += piece
        if time.monotonic() > end:
            raise TimeoutError("the answer does not end")
        if len(body) > most:
            raise TooLarge(f"more than {most} bytes")
    return bytes(body)
