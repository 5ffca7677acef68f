"""The error tree. A class owns its HTTP status; `serve/api.py` alone turns errors into responses.

Every message says what came, what was expected, and what to do.
"""


class CounterweightError(Exception):
    """The root. A command that meets one prints the message and ends with `exit_code`."""

    status = 500
    exit_code = 2


class InvalidRequest(CounterweightError):
    """The request does not fit the protocol or the model's signature."""

    status = 400


class RequestTooLarge(CounterweightError):
    """The body is over the server's limit."""

    status = 413


class UnknownModel(CounterweightError):
    """No model of that name is served here."""

    status = 404


class UnknownVariant(CounterweightError):
    """The model has no variant of that name."""

    status = 404


class ModelFailed(CounterweightError):
    """The model itself failed on a valid input."""


class VariantUnavailable(CounterweightError):
    """The variant's host is gone or not up yet."""

    status = 503


class InvalidRecord(CounterweightError):
    """A file or an argument that a person wrote does not say what it must."""


class InvalidBundle(CounterweightError):
    """A bundle on disk is incomplete, changed, or of another schema."""


class RejectedBundle(CounterweightError):
    """The bundle is below its quality floor: it may be looked at, not served."""


class ServerFailed(CounterweightError):
    """The server could not start or did not answer."""
