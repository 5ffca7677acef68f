"""Fit: whether a graph from elsewhere takes and gives what its baseline does."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx

from export.errors import InvalidSource
from serve.base.errors import InvalidBundle, ModelFailed
from serve.base.tensor import Arrays, Signature, TensorSpec, datatype_of
from serve.engine.session import Session

# Requests of one row and of several; where the baseline has no batch, only the first differs in nothing.
_ROWS = (1, 3)
# Of every other dimension that may vary and has no known size.
_LENGTH = 16


def require_fit(
    graph: bytes, signature: Signature, baseline: str, name: str, sizes: Mapping[str, int]
) -> None:
    """Raise InvalidSource unless the graph has the baseline's inputs and outputs, and answers as it does in
    every shape; messages call it `name`. `sizes` are those of the free dimensions that the baseline takes."""
    declared = onnx.load_from_string(graph).graph
    weights = {item.name for item in declared.initializer}
    inputs = [item for item in declared.input if item.name not in weights]
    for kind, items, specs in (
        ("input", inputs, signature.inputs),
        ("output", declared.output, signature.outputs),
    ):
        _compare(kind, items, specs, baseline, name)
    try:
        session = Session(graph, signature, name, sizes=sizes)
        for rows in _ROWS:
            _require_answers(session, inputs_of(signature, rows, sizes), rows)
    except (InvalidBundle, ModelFailed) as error:
        raise InvalidSource(f"{error}; it cannot stand in for {baseline}: convert it again") from None


def inputs_of(signature: Signature, rows: int, sizes: Mapping[str, int]) -> Arrays:
    """Inputs of so many rows, all zeros, and strings that read like one; `sizes` of free dimensions."""
    batch = signature.inputs[0].shape[0] if signature.batches else None
    return {spec.name: _zeros(spec, _shape(spec, {**sizes, str(batch): rows})) for spec in signature.inputs}


def _shape(spec: TensorSpec, sizes: Mapping[str, int]) -> list[int]:
    return [dim if isinstance(dim, int) else sizes.get(dim, _LENGTH) for dim in spec.shape]


def _zeros(spec: TensorSpec, shape: list[int]) -> np.ndarray[Any, Any]:
    return np.full(shape, b"0", object) if spec.datatype == "BYTES" else np.zeros(shape, spec.dtype)


def _compare(kind: str, items: Iterable[Any], specs: Iterable[TensorSpec], baseline: str, name: str) -> None:
    came, wanted = {item.name: item for item in items}, {spec.name: spec for spec in specs}
    if set(came) != set(wanted):
        raise InvalidSource(
            f"{name} has the {kind}s {', '.join(sorted(came))}, {baseline} has {', '.join(sorted(wanted))}: "
            f"variants of one model are interchangeable; rename or leave out what differs"
        )
    for key, spec in wanted.items():
        datatype, shape = _declared(came[key])
        if datatype != spec.datatype:
            raise InvalidSource(
                f"{name}: the {kind} {key!r} is {datatype}, that of {baseline} is {spec.datatype}; cast it "
                "in the model"
            )
        if shape is not None and not _takes(shape, spec.shape, kind):
            raise InvalidSource(
                f"{name}: the {kind} {key!r} has the shape {list(shape)}, that of {baseline} has "
                f"{list(spec.shape)}; convert it again with these sizes, free where they have a name"
            )


def _declared(item: Any) -> tuple[str, tuple[int | str, ...] | None]:
    """Datatype and shape as the file says them; None: it says no shape."""
    tensor = item.type.tensor_type
    try:
        datatype = datatype_of(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except (KeyError, ValueError):
        datatype = "BF16" if tensor.elem_type == onnx.TensorProto.BFLOAT16 else "unknown"
    if not tensor.HasField("shape"):
        return datatype, None
    return datatype, tuple(dim.dim_value or dim.dim_param or "?" for dim in tensor.shape.dim)


def _takes(shape: tuple[int | str, ...], wanted: tuple[int | str, ...], kind: str) -> bool:
    """Whether the sizes leave room for those wanted: a fixed one must be the same, a free one takes any."""
    if len(shape) != len(wanted):
        return False
    fixed = ((came, size) for came, size in zip(shape, wanted, strict=True) if isinstance(came, int))
    return all(came == size for came, size in fixed)


def _require_answers(session: Session, inputs: Arrays, rows: int) -> None:
    """Raise ModelFailed unless each output is of the shape and type that the signature promises."""
    for spec in session.signature.outputs:
        answer = session.run(inputs)[spec.name]
        sizes = zip(answer.shape, spec.shape, strict=False)
        same = all(came == size for came, size in sizes if isinstance(size, int))
        whole = not session.signature.batches or answer.shape[:1] == (rows,)
        if answer.ndim != len(spec.shape) or not same or not whole:
            raise ModelFailed(
                f"{session.name}: {rows} rows give {spec.name!r} the shape {list(answer.shape)}, "
                f"{list(spec.shape)} is promised"
            )
