"""One inference request, decoded from HTTP or gRPC and checked against the model's signature."""

from dataclasses import dataclass

from serve.base.tensor import Arrays


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestedOutput:
    """One output that the client requests."""

    name: str
    # Over HTTP: as bytes after the JSON, not inside it.
    binary: bool = False
    # Above 0: the classification extension; this many of the highest values as strings.
    classes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """One inference request: inputs that match one of the model's signatures."""

    # Echoed in the answer; None if the client sent none.
    id: str | None
    arrays: Arrays
    # The outputs to return, in this order.
    outputs: tuple[RequestedOutput, ...]
    # None: the request has no timeout parameter.
    timeout_s: float | None
