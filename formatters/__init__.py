"""Events to Telegram's MarkdownV2: pure and total. Any event gives a message that Telegram accepts."""

from formatters.digests import digest
from formatters.examples import examples
from formatters.markdown import plain
from formatters.messages import message, test_message
from formatters.texts import Occasion, Style

__all__ = ["Occasion", "Style", "digest", "examples", "message", "plain", "test_message"]
