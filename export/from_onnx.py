"""From ONNX: a graph that came as a file, with the recipe's outputs and a batch of any size."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from export.context import Exported
from export.data.datasets import Split
from export.data.inputs import MASK, TOKENS
from export.errors import ExportFailed
from export.graph import clean
from export.probe import BATCH, PROBES, probe
from serve.record import nearest
from serve.tensor import Arrays, Signature, TensorSpec, datatype_of

Shape = tuple[int | str, ...]


def from_onnx(graph: bytes, rows: Split, outputs: tuple[str, ...]) -> Exported:
    """The part of the graph that makes these outputs, in their order, tried on real `rows` in batches of
    several sizes. Raises ExportFailed when it takes other inputs, or its batch is fixed."""
    model = onnx.load_from_string(graph)
    _select(model.graph, outputs)
    _drop_unused(model.graph)
    _name_inputs(model.graph, rows)
    # Sizes in the middle that the file names in its own way.
    del model.graph.value_info[:]
    answers = [(inputs, _run(model, inputs)) for inputs in (probe(rows, *item) for item in PROBES)]
    free = {dim for item in model.graph.input for dim in _read_shape(item) if isinstance(dim, str)}
    for item in model.graph.output:
        runs = [(inputs, found[item.name]) for inputs, found in answers]
        _set_shape(item, _observe(item, free - {BATCH, TOKENS}, runs))
    signature = Signature(
        inputs=tuple(_describe(item) for item in model.graph.input),
        outputs=tuple(_describe(item) for item in model.graph.output),
    )
    return Exported(graph=clean(model), signature=signature, parity=None)


def _select(graph: Any, outputs: tuple[str, ...]) -> None:
    """Leave only the outputs that the recipe names."""
    known = {item.name: item for item in graph.output}
    for name in outputs:
        if name not in known:
            raise ExportFailed(f"the file has no output {name!r}; {nearest(name, known)}")
        kind = known[name].type.WhichOneof("value")
        if kind != "tensor_type":
            raise ExportFailed(
                f"the output {name!r} is a {kind.removesuffix('_type')}, not a tensor; convert a "
                "scikit-learn model with options={'zipmap': False}, or name other outputs"
            )
    chosen = [known[name] for name in outputs]
    kept = [onnx.ValueInfoProto.FromString(item.SerializeToString()) for item in chosen]
    del graph.output[:]
    graph.output.extend(kept)


def _drop_unused(graph: Any) -> None:
    """Remove what no output depends on, and inputs that only name a weight."""
    needed = {item.name for item in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(_reads(node))
    weights = {item.name for item in graph.initializer}
    weights |= {item.values.name for item in graph.sparse_initializer}
    kept = {
        "node": nodes[::-1],
        "initializer": [item for item in graph.initializer if item.name in needed],
        "sparse_initializer": [item for item in graph.sparse_initializer if item.values.name in needed],
        "input": [item for item in graph.input if item.name in needed and item.name not in weights],
    }
    for field, items in kept.items():
        copies = [type(item).FromString(item.SerializeToString()) for item in items]
        graph.ClearField(field)
        getattr(graph, field).extend(copies)


def _reads(node: Any) -> Iterator[str]:
    """What the node reads, the graphs inside it included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            yield from (item.name for item in inner.output)
            for child in inner.node:
                yield from _reads(child)


def _name_inputs(graph: Any, rows: Split) -> None:
    """Give the inputs the dimensions that the data has: "batch" first, then "tokens" and numbers; or a name
    where a size is free though all the data has one."""
    names = [item.name for item in graph.input]
    if set(names) != set(rows.inputs):
        raise ExportFailed(
            f"the file takes {', '.join(names)}, the data has {', '.join(rows.inputs)}; "
            "name the data's inputs like the file's"
        )
    for item in graph.input:
        came, wanted = _dtype(item), rows.inputs[item.name].dtype
        if came != wanted:
            raise ExportFailed(
                f"the input {item.name!r} is {came}, the data's is {wanted}; convert it: astype('{came}')"
            )
        shape, dims = _read_shape(item), rows.dims[item.name]
        if len(shape) != len(dims) or any(
            isinstance(size, int) and size != dim for size, dim in zip(shape, dims, strict=True)
        ):
            raise ExportFailed(
                f"the input {item.name!r} has the shape {list(shape)}, the data {list(dims)}; the batch, and "
                "the tokens of padded rows, must be free in the file: convert it again with None there"
            )
        pairs = enumerate(zip(shape, dims, strict=True))
        _set_shape(item, tuple(_merge(item.name, axis, size, dim) for axis, (size, dim) in pairs))


def _merge(name: str, axis: int, size: int | str, dim: int | str) -> int | str:
    if isinstance(dim, str) or isinstance(size, int):
        return dim
    return f"{name}_{axis}" if size in ("", BATCH, TOKENS) else size


def _observe(item: Any, free: set[str], runs: list[tuple[Arrays, NDArray[np.generic]]]) -> Shape:
    """The dimensions of an output as they came out; those that the file names like an input's keep that."""
    sizes = [answer.shape for _, answer in runs]
    if any(shape[:1] != (_count(inputs),) for shape, (inputs, _) in zip(sizes, runs, strict=True)):
        raise ExportFailed(
            f"the output {item.name!r} has the shapes {', '.join(map(str, sizes))} for batches of "
            f"{', '.join(str(_count(inputs)) for inputs, _ in runs)} rows: it does not follow the batch; "
            "convert the model again with None as the first dimension of all inputs"
        )
    widths = tuple(inputs[MASK].shape[1] if MASK in inputs else None for inputs, _ in runs)
    named = dict(enumerate(_read_shape(item)))
    dims: list[int | str] = [BATCH]
    for axis, came in enumerate(zip(*(shape[1:] for shape in sizes), strict=True), start=1):
        if came == widths:
            dims.append(TOKENS)
        elif named.get(axis) in free:
            dims.append(named[axis])
        else:
            dims.append(came[0] if len(set(came)) == 1 else f"{item.name}_{axis}")
    return tuple(dims)


def _read_shape(item: Any) -> Shape:
    """Numbers where the file fixes a size, else its name for it, or ""."""
    dims = item.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.dim_value > 0 else str(dim.dim_param) for dim in dims)


def _set_shape(item: Any, shape: Shape) -> None:
    kind = item.type.tensor_type.elem_type
    item.CopyFrom(onnx.helper.make_tensor_value_info(item.name, kind, shape))


def _dtype(item: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
    return dtype


def _describe(item: Any) -> TensorSpec:
    try:
        return TensorSpec(name=item.name, datatype=datatype_of(_dtype(item)), shape=_read_shape(item))
    except (KeyError, ValueError):
        raise ExportFailed(
            f"{item.name!r} is {_dtype(item)} {list(_read_shape(item))}, which the wire cannot carry; name "
            "other outputs, or cast it in the model"
        ) from None


def _run(model: Any, inputs: Arrays) -> Arrays:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # A shape that the file promises and does not keep is what we are here to find.
    options.log_severity_level = 4
    names = [item.name for item in model.graph.output]
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found = dict(zip(names, session.run(names, dict(inputs)), strict=True))
    except Exception as error:  # onnxruntime raises a dozen unrelated classes
        raise ExportFailed(f"onnxruntime cannot run the file on {_count(inputs)} rows: {error}") from error
    for name, answer in found.items():
        if np.issubdtype(answer.dtype, np.floating) and np.isnan(answer).any():
            raise ExportFailed(f"the output {name!r} is NaN on real rows; the model overflows, or is broken")
    return found


def _count(inputs: Arrays) -> int:
    return len(next(iter(inputs.values())))
