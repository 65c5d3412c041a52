"""The poller: reads Harbor, tells Telegram."""

__version__ = "0.1.0"
"""Said here alone: the packages and `--version` have it from here."""
