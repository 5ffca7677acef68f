"""InferRequest: one inference request, read from either wire and checked against the model's signature."""

from dataclasses import dataclass

from serve.base.tensor import Arrays


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestedOutput:
    """One output that the client asks for."""

    name: str
    # Over HTTP: as bytes behind the JSON, not in it.
    binary: bool = False
    # Above 0: the classification extension, so many of the highest values as strings.
    classes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """One inference request: the inputs of one of the model's forms, every one checked against it."""

    # Echoed in the answer; None: the client sent none.
    id: str | None
    arrays: Arrays
    # The outputs to answer, in this order.
    outputs: tuple[RequestedOutput, ...]
    # None: the client set no limit in the request's parameters.
    timeout_s: float | None
