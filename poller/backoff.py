"""How long to wait before the next attempt. Arithmetic only; whoever sleeps adds the jitter."""

from __future__ import annotations

_ENOUGH_GROWTH = 60  # powers beyond it have long reached `most`, and a float must not overflow


def pause(attempt: int, *, first: float, most: float, factor: float = 2.0) -> float:
    """Seconds to wait after a failure, `attempt` others having come before: `first`, then longer, at most `most`."""
    return min(first * factor ** min(max(attempt, 0), _ENOUGH_GROWTH), most)
