"""The error classes. Each class sets its HTTP status, gRPC code and exit code.

Every message names the value, what was expected, and what to do.
"""


class CounterweightError(Exception):
    """The base class. A command prints the message of such an error and ends with `exit_code`."""

    status = 500
    # The name of a grpc.StatusCode.
    grpc = "INTERNAL"
    exit_code = 2


class _TryLater(Exception):
    """Adds the number of seconds after which the client may try again."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return str(self.args[0])


class InvalidRequest(CounterweightError):
    """The request does not fit the protocol or the model's signature."""

    status = 400
    grpc = "INVALID_ARGUMENT"


class RefusedInput(InvalidRequest):
    """The graph does not accept this value or shape of an input. If the baseline accepts it, the variant is
    at fault."""


class RequestTooLarge(CounterweightError):
    """The body is over the server's limit."""

    status = 413
    grpc = "RESOURCE_EXHAUSTED"


class UnsupportedEncoding(CounterweightError):
    """The body has a compression that the server does not support."""

    status = 415
    grpc = "INVALID_ARGUMENT"


class UnknownToken(CounterweightError):
    """The request has no token, or an unknown one."""

    status = 401
    grpc = "UNAUTHENTICATED"


class RefusedAccess(CounterweightError):
    """The role of the token is not sufficient, access is closed, or a page of another site sent the
    request."""

    status = 403
    grpc = "PERMISSION_DENIED"


class TooManyWrites(_TryLater, CounterweightError):
    """The rate limit for changes was exceeded."""

    status = 429
    grpc = "RESOURCE_EXHAUSTED"


class UnsupportedMediaType(CounterweightError):
    """The body has a content type that the server does not accept."""

    status = 415
    grpc = "INVALID_ARGUMENT"


class UnknownModel(CounterweightError):
    """The server has no model of that name."""

    status = 404
    grpc = "NOT_FOUND"


class UnknownVariant(CounterweightError):
    """The model has no variant of that name."""

    status = 404
    grpc = "NOT_FOUND"


class ModelFailed(CounterweightError):
    """The model itself failed on a valid input."""


# Errors that one request can cause in a run of several requests.
ONE_REQUESTS = (ModelFailed, InvalidRequest)


class VariantUnavailable(CounterweightError):
    """The process of the variant is gone, hangs, or has not started yet."""

    status = 503
    grpc = "UNAVAILABLE"


class Overloaded(_TryLater, CounterweightError):
    """The queue of the variant is full; the request was not run."""

    status = 503
    grpc = "RESOURCE_EXHAUSTED"


class DeadlineExceeded(CounterweightError):
    """The deadline of the request passed before its answer was ready."""

    status = 504
    grpc = "DEADLINE_EXCEEDED"


class InvalidRecord(CounterweightError):
    """A file or an argument that a person wrote is not valid."""


class InvalidBundle(CounterweightError):
    """A bundle on disk is incomplete, was changed, or has another schema version."""

    status = 400
    grpc = "FAILED_PRECONDITION"


class RejectedBundle(CounterweightError):
    """The bundle does not meet its quality floor: it can be shown but not served."""

    status = 400
    grpc = "FAILED_PRECONDITION"


class RefusedAction(CounterweightError):
    """The action of a person is not possible in the present state."""

    status = 409
    grpc = "FAILED_PRECONDITION"


class StaleRevision(CounterweightError):
    """The record was changed after the client read it; `current` is its present revision."""

    status = 409
    grpc = "ABORTED"

    def __init__(self, message: str, current: int) -> None:
        super().__init__(message, current)
        self.current = current

    def __str__(self) -> str:
        return str(self.args[0])


class Unwritten(CounterweightError):
    """Not a failure: the change is in force and will be written to the store later."""

    status = 202


class UnknownRollout(CounterweightError):
    """The store has no rollout of that name."""

    status = 404
    grpc = "NOT_FOUND"


class LostLease(CounterweightError):
    """Another keeper holds the lease, so this one must not write."""

    status = 503
    grpc = "UNAVAILABLE"


class BrokenTrail(CounterweightError):
    """The stored trail of a model was changed or damaged; no decision is based on it."""

    status = 409
    grpc = "FAILED_PRECONDITION"


class StoreFailed(CounterweightError):
    """The store cannot be reached, read or written, or has a newer schema."""

    status = 503
    grpc = "UNAVAILABLE"


class ServerFailed(CounterweightError):
    """The server could not start or did not answer."""


class Refused(CounterweightError):
    """The server refused the request of a command; the message is the server's."""
