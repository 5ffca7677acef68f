"""Loads a graph as onnx's ModelProto, and makes a graph of one.

In the model of a split graph, large weights have their place in the graph's weights file instead of their
data (see stored_tensor.py), so that copies are small, and onnx's tools, which cannot take more than 2 GiB at
once, still work. Such a model may be used only as long as its graph."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import onnx
import onnxruntime

from export.onnx.stored_tensor import (
    DATA,
    count_stored,
    fill_tensor,
    inner_tensors_of,
    read_data,
    refer,
    stored_in,
    tensors_of,
)
from serve.bundles.bundle import MODEL, WEIGHTS
from serve.bundles.graph_session import Level, open_graph
from serve.bundles.onnx_graph import Graph, SplitGraph, WeightsFile, read_written

# Graphs with more weights are split: protobuf cannot hold 2 GiB, and the nodes need some of it.
LARGEST_BYTES = 2**31 - 2**24
# Smaller tensors, such as shapes, stay in the graph, where onnx's tools read their values.
_LEAST_BYTES = 1024
# onnxruntime maps the file into memory by pages.
_PAGE_BYTES = 4096


def load(graph: Graph) -> Any:
    """Return the model of a graph."""
    if not isinstance(graph, SplitGraph):
        return onnx.load_from_string(graph)
    model = onnx.load_from_string(graph.content)
    for tensor in tensors_of(model.graph):
        if stored_in(tensor) is not None:
            refer(tensor, graph.weights.path)
    return model


def make_graph(model: Any) -> Graph:
    """Return the graph of a model, with all its weights in one file if they fit. The model stays as it is.
    Raises OSError."""
    tensors = list(tensors_of(model.graph))
    if sum(map(count_stored, tensors)) > LARGEST_BYTES:
        return _split(model)
    if any(stored_in(tensor) for tensor in tensors):
        model = fill(copy_model(model))
    return bytes(model.SerializeToString(deterministic=True))


def open_model(
    model: Any, *, level: Level = Level.ORT_ENABLE_ALL, profiled_to: Path | None = None
) -> onnxruntime.InferenceSession:
    """Open the model on the CPU. Raises a dozen unrelated classes of onnxruntime's if it refuses it."""
    return open_graph(_share(model) or make_graph(model), level=level, profiled_to=profiled_to)


def copy_model(model: Any) -> Any:
    """Return a copy of the model."""
    copied = type(model)()
    copied.CopyFrom(model)
    return copied


def fill(model: Any) -> Any:
    """Change the model in place: give every weight its data, for tools that read it."""
    for tensor in tensors_of(model.graph):
        fill_tensor(tensor)
    return model


def infer_shapes(model: Any) -> Any:
    """Return a copy of the model with the types and shapes that onnx infers."""
    inside = (count_stored(tensor) for tensor in tensors_of(model.graph) if stored_in(tensor) is None)
    if sum(inside) <= LARGEST_BYTES:
        return onnx.shape_inference.infer_shapes(model)
    # onnx cannot take the data, and needs none of large weights.
    light = _copy_light(model, lambda tensor: ("left out", (0, count_stored(tensor))))
    inferred = onnx.shape_inference.infer_shapes(light)
    for tensor, source in zip(tensors_of(inferred.graph), tensors_of(model.graph), strict=True):
        tensor.CopyFrom(source)
    return inferred


def check_model(model: Any, graph: Graph) -> None:
    """Raise the errors of onnx's checker if the model, which was made into this graph, is not valid."""
    if not isinstance(graph, SplitGraph):
        onnx.checker.check_model(model, full_check=True)
        return
    path = graph.weights.path.with_name(MODEL)
    path.write_bytes(graph.content)
    try:
        onnx.checker.check_model(str(path), full_check=True)
    finally:
        path.unlink()


def take_written(path: Path) -> Graph:
    """Return the graph that was written to `path`, and move its weights from there. Raises OSError."""
    graph = read_written(path)
    if isinstance(graph, SplitGraph):
        weights = _new_weights()
        shutil.move(graph.weights.path, weights.path)
        return SplitGraph(content=graph.content, weights=weights)
    return graph


def _new_weights() -> WeightsFile:
    """Return a temporary file under TMPDIR, which is not there yet."""
    folder = Path(tempfile.mkdtemp(prefix="counterweight-weights-"))
    return WeightsFile(folder / WEIGHTS, temporary=True)


def _split(model: Any) -> SplitGraph:
    weights = _new_weights()
    with weights.path.open("xb") as file:
        light = _copy_light(model, lambda tensor: (WEIGHTS, _append(file, tensor)))
    return SplitGraph(content=bytes(light.SerializeToString(deterministic=True)), weights=weights)


def _append(file: BinaryIO, tensor: Any) -> tuple[int, int]:
    """Write the tensor's data to the next page; return where it starts, and its size."""
    start = -(-file.tell() // _PAGE_BYTES) * _PAGE_BYTES
    file.seek(start)
    return start, file.write(read_data(tensor))


def _share(model: Any) -> SplitGraph | None:
    """Return the graph of a model whose large weights all lie in one file, without writing them again; None
    for another model."""
    tensors = list(tensors_of(model.graph))
    paths = {path for tensor in tensors if (path := stored_in(tensor)) is not None}
    inside = sum(count_stored(tensor) for tensor in tensors if stored_in(tensor) is None)
    if len(paths) != 1 or inside > LARGEST_BYTES:
        return None
    shared = copy_model(model)
    for tensor in tensors_of(shared.graph):
        if stored_in(tensor) is not None:
            refer(tensor, WEIGHTS)
    return SplitGraph(content=bytes(shared.SerializeToString()), weights=WeightsFile(paths.pop()))


def _copy_light(model: Any, store: Callable[[Any], tuple[str, tuple[int, int]]]) -> Any:
    """Return a copy of the model without the data of large weights. `store` returns where a weight's data is
    instead: the location, and the offset and size in bytes there."""
    light = type(model)()
    _copy_fields(model, light, "graph")
    _copy_fields(model.graph, light.graph, "initializer")
    for tensor in model.graph.initializer:
        copied = light.graph.initializer.add()
        if count_stored(tensor) < _LEAST_BYTES:
            copied.CopyFrom(tensor)
            fill_tensor(copied)
        else:
            _copy_fields(tensor, copied, *DATA)
            refer(copied, *store(tensor))
    for tensor in inner_tensors_of(light.graph):
        if count_stored(tensor) < _LEAST_BYTES:
            fill_tensor(tensor)
        else:
            refer(tensor, *store(tensor))
    return light


def _copy_fields(source: Any, target: Any, *left_out: str) -> None:
    """Copy all fields of a message but those left out."""
    for field, value in source.ListFields():
        if field.name in left_out:
            continue
        if field.is_repeated:
            getattr(target, field.name).extend(value)
        elif field.message_type is not None:
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)
