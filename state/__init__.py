"""The state database: what was seen, what was told, how far we read."""

from state.records import (
    SWEEP,
    Counts,
    Coverage,
    Cursor,
    DeliveryRecord,
    DeliveryState,
    Due,
    Lease,
    Member,
    Mode,
    NoticedScan,
    Outcome,
    RouteState,
    Seen,
    SweepPlace,
    Telling,
    Wave,
)
from state.store import Store

__all__ = [
    "SWEEP",
    "Counts",
    "Coverage",
    "Cursor",
    "DeliveryRecord",
    "DeliveryState",
    "Due",
    "Lease",
    "Member",
    "Mode",
    "NoticedScan",
    "Outcome",
    "RouteState",
    "Seen",
    "Store",
    "SweepPlace",
    "Telling",
    "Wave",
]
