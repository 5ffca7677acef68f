"""The error tree. A class owns its HTTP status and its gRPC code; on each wire one map makes it an answer.

Every message says what came, what was expected, and what to do.
"""


class CounterweightError(Exception):
    """The root. A command that meets one prints the message and ends with `exit_code`."""

    status = 500
    # The name of a grpc.StatusCode.
    grpc = "INTERNAL"
    exit_code = 2


class _TryLater(Exception):
    """Says after how many seconds another try may pay."""

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
    """The graph does not take this value or this shape of an input. Where the baseline does, it is the fault
    of the variant."""


class RequestTooLarge(CounterweightError):
    """The body is over the server's limit."""

    status = 413
    grpc = "RESOURCE_EXHAUSTED"


class UnsupportedEncoding(CounterweightError):
    """The body is compressed in a way that is not known here."""

    status = 415
    grpc = "INVALID_ARGUMENT"


class UnknownToken(CounterweightError):
    """No token came, or one that is not known here."""

    status = 401
    grpc = "UNAUTHENTICATED"


class RefusedAccess(CounterweightError):
    """The token's role does not suffice, nobody may do it here, or a page of another site asks."""

    status = 403
    grpc = "PERMISSION_DENIED"


class TooManyWrites(_TryLater, CounterweightError):
    """More changes are asked for than people and their programs make."""

    status = 429
    grpc = "RESOURCE_EXHAUSTED"


class UnsupportedMediaType(CounterweightError):
    """The body is not of the kind that is taken here."""

    status = 415
    grpc = "INVALID_ARGUMENT"


class UnknownModel(CounterweightError):
    """No model of that name is served here."""

    status = 404
    grpc = "NOT_FOUND"


class UnknownVariant(CounterweightError):
    """The model has no variant of that name."""

    status = 404
    grpc = "NOT_FOUND"


class ModelFailed(CounterweightError):
    """The model itself failed on a valid input."""


# What a run of several requests may end with because of one of them.
ONE_REQUESTS = (ModelFailed, InvalidRequest)


class VariantUnavailable(CounterweightError):
    """The variant's host is gone, hangs, or is not up yet."""

    status = 503
    grpc = "UNAVAILABLE"


class Overloaded(_TryLater, CounterweightError):
    """The variant's queue is full; nothing was done for this request."""

    status = 503
    grpc = "RESOURCE_EXHAUSTED"


class DeadlineExceeded(CounterweightError):
    """The request's time was up before its answer was there."""

    status = 504
    grpc = "DEADLINE_EXCEEDED"


class InvalidRecord(CounterweightError):
    """A file or an argument that a person wrote does not say what it must."""


class InvalidBundle(CounterweightError):
    """A bundle on disk is incomplete, changed, or of another schema."""

    status = 400
    grpc = "FAILED_PRECONDITION"


class RejectedBundle(CounterweightError):
    """The bundle is below its quality floor: it may be looked at, not served."""

    status = 400
    grpc = "FAILED_PRECONDITION"


class RefusedAction(CounterweightError):
    """What a person asked for does not fit what is in force now."""

    status = 409
    grpc = "FAILED_PRECONDITION"


class StaleRevision(CounterweightError):
    """What was to be changed has changed since it was read; `current` is its number now."""

    status = 409
    grpc = "ABORTED"

    def __init__(self, message: str, current: int) -> None:
        super().__init__(message, current)
        self.current = current

    def __str__(self) -> str:
        return str(self.args[0])


class Unwritten(CounterweightError):
    """No failure: what was asked is in force, and is written down later."""

    status = 202


class UnknownRollout(CounterweightError):
    """No rollout of that name is in the store."""

    status = 404
    grpc = "NOT_FOUND"


class LostLease(CounterweightError):
    """Another keeper acts; this one must not write."""

    status = 503
    grpc = "UNAVAILABLE"


class BrokenTrail(CounterweightError):
    """What is stored of a model is not what was written: nothing is decided on it."""

    status = 409
    grpc = "FAILED_PRECONDITION"


class StoreFailed(CounterweightError):
    """The store cannot be reached, read or written, or is of a newer schema."""

    status = 503
    grpc = "UNAVAILABLE"


class ServerFailed(CounterweightError):
    """The server could not start or did not answer."""


class Refused(CounterweightError):
    """The server turned down what a command asked of it; the message is the server's."""
