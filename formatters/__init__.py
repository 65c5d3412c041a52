"""Events to Telegram's MarkdownV2: pure and total. Any event gives a message that Telegram accepts."""

from formatters.coverage import backfill_command, coverage_text
from formatters.digests import digest
from formatters.families import Family, family_message, is_signature
from formatters.images import image_message
from formatters.markdown import Piece, pieces, plain
from formatters.mass import MassScan
from formatters.messages import message, test_message
from formatters.portal import Portal
from formatters.pulls import Pulls
from formatters.runs import Run
from formatters.scans import WORST_FIRST, rank
from formatters.texts import Occasion, Style

__all__ = [
    "WORST_FIRST",
    "Family",
    "MassScan",
    "Occasion",
    "Piece",
    "Portal",
    "Pulls",
    "Run",
    "Style",
    "backfill_command",
    "coverage_text",
    "digest",
    "family_message",
    "image_message",
    "is_signature",
    "message",
    "pieces",
    "plain",
    "rank",
    "test_message",
]
