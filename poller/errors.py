"""Everything that can go wrong, sorted by who must act. Imports nothing of ours."""


class PollerError(Exception):
    """The root: every error that this product raises on purpose. Its text may be shown to a person."""


# Nobody must act: the next attempt may succeed.


class Temporary(PollerError):
    """Wait and try again."""


class HarborUnreachable(Temporary):
    """No answer from Harbor: connection refused, name not found, TLS broken off, time-out."""


class HarborBusy(Temporary):
    """Harbor, or what stands before it, answered 5xx or 429."""


class HarborGarbled(Temporary):
    """Harbor's answer was cut short or was not the JSON that the API promises."""


class OutOfTime(Temporary):
    """Whoever asks had only so many seconds for all the answers, and they are over."""


class HeartbeatUnreachable(Temporary):
    """The dead man's switch gave no usable answer."""


class StateBusy(Temporary):
    """The state database did not answer in time."""


# The operator must act.


class OperatorError(PollerError):
    """A mistake that a person has to correct; the text names the place and the remedy."""


class ConfigError(OperatorError):
    """conf.toml, an environment variable or a credential is wrong. All mistakes found are in the text."""


class WrongCredentials(OperatorError):
    """Harbor keeps answering 401, also after the time in which somebody else's typo would lock the name."""


class NotAllowed(OperatorError):
    """Harbor answered 403: the account lacks a right."""


class WrongUrl(OperatorError):
    """What answers at the configured URL is not Harbor's API (a redirect, a web page, an unknown path)."""


class UntrustedCertificate(OperatorError):
    """TLS could not verify Harbor's certificate."""


class HeartbeatRefused(OperatorError):
    """The dead man's switch answers, and does not know the address."""


class StateError(OperatorError):
    """The state database cannot be used: not writable, not a database, from a newer version."""


class NothingRecorded(StateError):
    """Nobody has polled this Harbor with this state database yet."""


class StateFull(StateError):
    """The state database has no room to write, or its disk fails. Once there is room again, the work goes on."""


# The two that are neither.


class NotFound(PollerError):
    """Harbor answered 404 to a path that names a thing: it is not there (any more)."""


class BadRequest(PollerError):
    """Harbor answered 400 or 422: the request was ours, and it was wrong."""


class LeaseTaken(PollerError):
    """Another process does this work on this database."""
