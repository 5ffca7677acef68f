"""Check the outputs that a request asks for against the model's signature."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from serve.base.error_text import brief
from serve.base.errors import InvalidRequest
from serve.base.tensor import BINARY_ONLY, Signature, TensorSpec
from serve.engine.request import RequestedOutput

_UNRANKED = {"BOOL", "BYTES", "BF16"}


def request_one(name: Any, classes: Any, signature: Signature, *, binary: bool) -> RequestedOutput:
    """Check one requested output; `classes` is the parameter `classification`. Raises InvalidRequest."""
    spec = signature.output_by_name.get(name) if isinstance(name, str) else None
    if spec is None:
        known = ", ".join(signature.output_names)
        raise InvalidRequest(f"'outputs' names {brief(name)}, expected names of outputs: {known}")
    if classes is None:
        _check_wire(spec, binary=binary)
        return RequestedOutput(name=name, binary=binary)
    if type(classes) is not int or classes < 1:
        raise InvalidRequest(
            f"output {name!r} has the parameter classification {brief(classes)}, "
            "expected a whole number of classes from 1 up"
        )
    if spec.datatype in _UNRANKED or not spec.shape:
        raise InvalidRequest(
            f"output {name!r} is {spec.datatype} of shape {spec.wire_shape}, which has no classes; "
            "request it without the parameter classification"
        )
    return RequestedOutput(name=name, binary=binary, classes=classes)


def request_all(signature: Signature, *, binary: bool) -> tuple[RequestedOutput, ...]:
    """Every output, for a request that names none. Raises InvalidRequest."""
    for spec in signature.outputs:
        _check_wire(spec, binary=binary)
    return _all(signature.output_names, binary)


def each_once(outputs: Iterable[RequestedOutput]) -> tuple[RequestedOutput, ...]:
    """The outputs, without duplicates. Raises InvalidRequest for the first duplicate."""
    by_name: dict[str, RequestedOutput] = {}
    for output in outputs:
        if output.name in by_name:
            raise InvalidRequest(f"'outputs' names {output.name!r} twice, expected once")
        by_name[output.name] = output
    return tuple(by_name.values())


@lru_cache(maxsize=4096)
def _all(names: tuple[str, ...], binary: bool) -> tuple[RequestedOutput, ...]:
    return tuple(RequestedOutput(name=name, binary=binary) for name in names)


def _check_wire(spec: TensorSpec, *, binary: bool) -> None:
    if not binary and spec.datatype in BINARY_ONLY:
        raise InvalidRequest(
            f"output {spec.name!r} is {spec.datatype}, which JSON cannot represent; request binary data, "
            "with the parameter binary_data"
        )
