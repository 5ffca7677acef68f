"""Find out whether a run failed because of its input, and explain the fault.

A graph may accept less than its signature says: the indices of a table, a limited number of positions, images
at least as large as its kernels. Such an input is the client's mistake, unless the baseline accepts it."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.base.errors import ModelFailed, RefusedInput
from serve.base.tensor import Arrays
from serve.engine.session import Session, zeros

# onnxruntime's message for an index outside its table.
_INDEX = re.compile(r"idx=(-?\d+) must be within the inclusive range \[(-?\d+),(-?\d+)\]")
# onnxruntime's message if memory is missing, which is never the fault of the input.
NO_MEMORY = "Failed to allocate memory"
_STATUS = re.compile(
    r"Non-zero status code returned while running (\w+) node.*?Status Message: (.*)", re.DOTALL
)
_SOURCE = re.compile(r"^/\S+:\d+ .*?(?:false\. |\] )", re.DOTALL)


def run_checked(session: Session, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
    """Run the session. Raises RefusedInput, which names the input, the value and the accepted values, if the
    graph does not accept the input; ModelFailed; InvalidRequest."""
    check_ranges(arrays, session.ranges)
    _check_lengths(session, arrays)
    try:
        return session.run(arrays)
    except ModelFailed as error:
        refused = _explain(session, arrays, error)
        if refused is None:
            raise
        raise refused from error


def check_ranges(arrays: Arrays, ranges: Mapping[str, tuple[int, int]]) -> None:
    """Raise RefusedInput for the first value outside the range of its input."""
    for name, (low, high) in ranges.items():
        array: NDArray[Any] = arrays[name]
        if array.size and not low <= array.min() <= array.max() <= high:
            value = array[(array < low) | (array > high)][0]
            raise RefusedInput(_out_of_range(name, int(value), low, high))


def _check_lengths(session: Session, arrays: Arrays) -> None:
    for spec in session.signature.inputs:
        for dim, length in zip(spec.shape, arrays[spec.name].shape, strict=False):
            if isinstance(dim, str) and length > (most := session.longest.get(dim, length)):
                raise RefusedInput(
                    f"input {spec.name!r} has {length} {dim}, expected at most {most}: the model accepts no "
                    "more; send a shorter one"
                )


def _explain(session: Session, arrays: Arrays, error: ModelFailed) -> RefusedInput | None:
    """The fault of the input, if the graph runs with zeros of the same or another shape; None if the model is
    at fault."""
    message = str(error)
    if NO_MEMORY in message:
        return None
    if position := _find_index(arrays, message):
        return position
    plain = {spec.name: zeros(spec, arrays[spec.name].shape) for spec in session.signature.inputs}
    if _runs(session, plain):
        return RefusedInput(
            f"{session.name} does not accept {_tell_values(session, arrays, plain)}: {_reason(message)}; "
            "send values like those in the model's training data"
        )
    example = session.example()
    if _runs(session, example):
        actual, accepted = (
            ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())
            for inputs in (arrays, example)
        )
        return RefusedInput(
            f"{session.name} does not accept inputs of shape {actual}: {_reason(message)}; it accepts "
            f"{accepted}"
        )
    return None


def _find_index(arrays: Arrays, message: str) -> RefusedInput | None:
    """The input with the index that onnxruntime reports as outside its table."""
    match = _INDEX.search(message)
    if match is None:
        return None
    value, low, high = map(int, match.groups())
    for name, array in arrays.items():
        if array.dtype.kind in "iu" and (array == value).any():
            return RefusedInput(_out_of_range(name, value, low, high))
    return None


def _tell_values(session: Session, arrays: Arrays, plain: Arrays) -> str:
    """The values of the inputs that make the graph fail: it runs when they are replaced by zeros."""
    names = [name for name in arrays if _runs(session, {**arrays, name: plain[name]})]
    return ", ".join(f"{_span(arrays[name])} in input {name!r}" for name in names or arrays)


def _span(array: NDArray[np.generic]) -> str:
    if array.dtype.kind == "O":
        return f"{array.ravel()[0]!r:.40}"
    return f"values from {array.min()} to {array.max()}"


def _runs(session: Session, arrays: Arrays) -> bool:
    try:
        session.run(arrays)
    except ModelFailed:
        return False
    return True


def _out_of_range(name: str, value: int, low: int, high: int) -> str:
    return (
        f"input {name!r} has the value {value}, expected {low} to {high}: the model's table has no other "
        "entries"
    )


def _reason(message: str) -> str:
    """onnxruntime's message without the location in its source."""
    match = _STATUS.search(message)
    return message if match is None else f"{match[1]}: {_SOURCE.sub('', match[2]).strip()}"
