"""Checks that a graph from another source has the inputs and outputs of its baseline."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx

from export.errors import InvalidSource
from export.onnx.model_proto import load
from serve.base.errors import InvalidBundle, ModelFailed
from serve.base.tensor import Arrays, Signature, TensorSpec, datatype_of
from serve.bundles.onnx_graph import Graph
from serve.engine.session import Session

# Numbers of rows in a request. Without a batch dimension, both are the same request.
_ROWS = (1, 3)
# The size of every other free dimension whose size is not known.
_LENGTH = 16


def require_fit(
    graph: Graph, signature: Signature, baseline: str, name: str, sizes: Mapping[str, int]
) -> None:
    """Raise InvalidSource unless the graph has the baseline's inputs and outputs and answers in every shape.

    `name` is its name in messages; `sizes` are the sizes of the baseline's free dimensions."""
    declared = load(graph).graph
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
    """Make inputs with this number of rows: zeros, and strings that contain a zero; `sizes` are those of free
    dimensions."""
    batch = signature.inputs[0].shape[0] if signature.batches else None
    return {spec.name: _zeros(spec, _shape(spec, {**sizes, str(batch): rows})) for spec in signature.inputs}


def _shape(spec: TensorSpec, sizes: Mapping[str, int]) -> list[int]:
    return [dim if isinstance(dim, int) else sizes.get(dim, _LENGTH) for dim in spec.shape]


def _zeros(spec: TensorSpec, shape: list[int]) -> np.ndarray[Any, Any]:
    return np.full(shape, b"0", object) if spec.datatype == "BYTES" else np.zeros(shape, spec.dtype)


def _compare(kind: str, items: Iterable[Any], specs: Iterable[TensorSpec], baseline: str, name: str) -> None:
    actual, expected = {item.name: item for item in items}, {spec.name: spec for spec in specs}
    if set(actual) != set(expected):
        raise InvalidSource(
            f"{name} has the {kind}s {', '.join(sorted(actual))}, {baseline} has "
            f"{', '.join(sorted(expected))}: variants of one model must be "
            "interchangeable; rename or remove the differences"
        )
    for key, spec in expected.items():
        datatype, shape = _declared(actual[key])
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
    """Return the datatype and shape that the file declares; the shape is None if it declares none."""
    tensor = item.type.tensor_type
    try:
        datatype = datatype_of(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except (KeyError, ValueError):
        datatype = "BF16" if tensor.elem_type == onnx.TensorProto.BFLOAT16 else "unknown"
    if not tensor.HasField("shape"):
        return datatype, None
    return datatype, tuple(dim.dim_value or dim.dim_param or "?" for dim in tensor.shape.dim)


def _takes(shape: tuple[int | str, ...], expected: tuple[int | str, ...], kind: str) -> bool:
    """Whether the declared sizes allow the wanted ones: a fixed size must be equal, a free one allows any."""
    if len(shape) != len(expected):
        return False
    fixed = ((actual, size) for actual, size in zip(shape, expected, strict=True) if isinstance(actual, int))
    return all(actual == size for actual, size in fixed)


def _require_answers(session: Session, inputs: Arrays, rows: int) -> None:
    """Raise ModelFailed unless each output has the shape and type of the signature."""
    for spec in session.signature.outputs:
        answer = session.run(inputs)[spec.name]
        sizes = zip(answer.shape, spec.shape, strict=False)
        same = all(actual == size for actual, size in sizes if isinstance(size, int))
        whole = not session.signature.batches or answer.shape[:1] == (rows,)
        if answer.ndim != len(spec.shape) or not same or not whole:
            raise ModelFailed(
                f"{session.name}: {rows} rows give {spec.name!r} the shape {list(answer.shape)}, "
                f"but the signature has {list(spec.shape)}"
            )
