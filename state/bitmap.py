"""A set of row ids, a bit for each: in blocks of so many ids in a row, each compressed. Pure.

A block whose every id is in the set takes some twenty bytes, the worst one little more than a kilobyte.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

BLOCK = 8192


def by_block(ids: Iterable[int]) -> dict[int, set[int]]:
    """The ids by the number of their block."""
    blocks: dict[int, set[int]] = {}
    for each in ids:
        blocks.setdefault(each // BLOCK, set()).add(each)
    return blocks


def with_ids(bits: bytes | None, ids: Iterable[int]) -> bytes:
    """A block's bits with these ids of it added; None: an empty one's."""
    plain = bytearray(zlib.decompress(bits) if bits is not None else BLOCK // 8)
    for each in ids:
        byte, bit = divmod(each % BLOCK, 8)
        plain[byte] |= 1 << bit
    return zlib.compress(bytes(plain))


def held(bits: bytes, ids: Iterable[int]) -> set[int]:
    """Those of a block's ids that are in the set."""
    plain = zlib.decompress(bits)
    return {each for each in ids if plain[each % BLOCK // 8] >> each % 8 & 1}
