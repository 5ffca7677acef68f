"""Reads an ONNX file, for example of TensorFlow or scikit-learn, and checks it before it runs."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from export.errors import InvalidSource, reason_of
from export.onnx.graph import nodes_of
from export.onnx.model_proto import LARGEST_BYTES, check_model, copy_model, infer_shapes, load, make_graph
from export.onnx.stored_tensor import count_stored, fill_tensor, place_of, read_array, refer, tensors_of
from export.repair.operator_sets import settle_imports
from export.sources.files import MAX_BYTES, TOO_LARGE, read_file
from export.sources.nan_weights import find_nan_weight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from export.artifacts import Trained
    from export.recipe import OnnxSource
    from serve.bundles.meaning import Task
    from serve.bundles.onnx_graph import Graph

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_MAX_NODES = 50_000
_MOST_PROTOBUF_BYTES = 2**31
_TEXT = onnx.TensorProto.STRING


def read_onnx(source: OnnxSource, folder: Path, task: Task) -> Trained:
    """Return the ONNX model with all its weights inside, its tokenizer and its labels. Raises InvalidSource,
    as `read_graph` does."""
    # Reading only a graph does not need torch.
    from export.artifacts import Trained
    from export.sources.companion_files import complete, read_labels, read_tokenizer
    from export.sources.sentence_pooling import pool

    graph, digest = read_graph(folder / source.onnx)
    if source.pooling is not None:
        graph = pool(source.onnx, graph, first_token=source.pooling == "cls", normalize=source.normalize)
    tokenizer = read_tokenizer(source, folder, _whole_inputs(graph))
    trained = Trained(name=source.onnx, sha256=digest, graph=graph, assets={})
    return complete(trained, tokenizer, read_labels(source, folder, task))


def _whole_inputs(graph: Graph) -> dict[str, np.dtype[np.signedinteger]]:
    """Return the integer inputs, such as tokens."""
    types: dict[int, np.dtype[np.signedinteger]] = {
        onnx.TensorProto.INT64: np.dtype(np.int64),
        onnx.TensorProto.INT32: np.dtype(np.int32),
    }
    items = {item.name: item.type.tensor_type.elem_type for item in load(graph).graph.input}
    return {name: types[kind] for name, kind in items.items() if kind in types}


def read_graph(path: Path) -> tuple[Graph, str]:
    """Read the graph in the file, with all its weights, and the SHA-256 of all that was read.

    Raises InvalidSource for references outside the folder, non-standard content, and content that exceeds the
    limits."""
    _refuse_file(path)
    content = read_file(path, "onnx")
    digest = hashlib.sha256(content)
    model = _parse(path, content)
    _refuse_foreign(path, model)
    settle_imports(str(path), model)
    others = list(_other_tensors(model.graph))
    tensors = [*tensors_of(model.graph), *others]
    _refuse_large(path, tensors, others)
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            digest.update(_find_data(path, tensor))
    for tensor in others:
        fill_tensor(tensor)
    graph = make_graph(model)
    _check(path, graph)
    return graph, digest.hexdigest()


def _refuse_large(path: Path, tensors: list[Any], others: list[Any]) -> None:
    claimed = sum(_claimed_bytes(path, tensor) for tensor in tensors)
    if claimed > MAX_BYTES:
        raise InvalidSource(f"{path} claims {claimed} bytes of weights; the maximum is {TOO_LARGE}")
    claimed = sum(map(count_stored, others))
    if claimed > LARGEST_BYTES:
        raise InvalidSource(
            f"{path} has {claimed} bytes of constants inside its nodes, and a graph in protobuf holds "
            f"at most {LARGEST_BYTES}; make them initializers"
        )


def _refuse_file(path: Path) -> None:
    if path.is_symlink():
        raise InvalidSource(f"{path} is a link; put the file itself beside the recipe")
    if path.is_file() and (size := path.stat().st_size) >= _MOST_PROTOBUF_BYTES:
        raise InvalidSource(
            f"{path} has {size} bytes, and protobuf reads fewer than {_MOST_PROTOBUF_BYTES}; save the "
            f"weights beside it: onnx.save(model, path, save_as_external_data=True, "
            f"location='{path.name}.data')"
        )


def _parse(path: Path, content: bytes) -> Any:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # protobuf's own class, which has no types
        raise InvalidSource(
            f"{path} is not an ONNX file, or it is incomplete: {reason_of(error)}; export it again"
        ) from None
    if not model.graph.node:
        raise InvalidSource(f"{path} contains no ONNX graph; export the model again")
    return model


def _refuse_foreign(path: Path, model: Any) -> None:
    nodes = list(nodes_of(model.graph))
    if len(nodes) > _MAX_NODES:
        raise InvalidSource(f"{path} has {len(nodes)} nodes; at most {_MAX_NODES} are read")
    if model.functions:
        names = ", ".join(sorted(f"{item.domain}:{item.name}" for item in model.functions)[:5])
        raise InvalidSource(
            f"{path} defines functions of its own ({names}); write them out with "
            "onnx.inliner.inline_local_functions"
        )
    for node in nodes:
        training = any(item.name == "training_mode" and item.i for item in node.attribute)
        if node.op_type == "BatchNormalization" and training:
            raise InvalidSource(
                f"{path}: {node.name or node.output[0]!r} is a BatchNormalization in training mode, so it "
                "takes the statistics of the batch, and a row's answer depends on the rows beside it; export "
                "the model in eval mode (`model.eval()` in torch)"
            )
    for domain in sorted({node.domain for node in nodes}):
        if domain not in _DOMAINS:
            used = sorted({node.op_type for node in nodes if node.domain == domain})
            raise InvalidSource(
                f"{path} needs the operators of {domain!r} ({', '.join(used[:5])}), "
                "which onnxruntime does not have; export it with standard operators only"
            )


def _other_tensors(graph: Any) -> Iterator[Any]:
    """Yield every tensor in the file that is no initializer, wherever it is stored."""
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from _other_tensors(inner)


def _claimed_bytes(path: Path, tensor: Any) -> int:
    """Return the size that the tensor claims: from its shape, or from its place in another file if that is
    larger."""
    place = place_of(tensor)
    numbers = [*tensor.dims, *(place[key] for key in ("offset", "length") if key in place)]
    if any(not str(number).isdigit() for number in numbers):
        raise InvalidSource(f"{path}: the tensor {tensor.name!r} has sizes below 0; export the model again")
    return max(count_stored(tensor), int(place.get("length", 0)))


def _find_data(path: Path, tensor: Any) -> bytes:
    """Return the tensor's data from a plain file beside the model only, and let the tensor refer to it there.
    Raises InvalidSource."""
    place = place_of(tensor)
    location = PurePosixPath(place.get("location", ""))
    home = path.parent.resolve()
    target = home / location
    if location.is_absolute() or ".." in location.parts or "\\" in str(location) or target == home:
        raise InvalidSource(
            f"{path}: the data of {tensor.name!r} lies at {str(location)!r}, outside its folder; save it "
            f"again with onnx.save(model, path, save_as_external_data=True, location='{path.name}.data')"
        )
    if target.resolve() != target:
        raise InvalidSource(f"{target} is a link, or its folder is; put the file itself beside {path.name}")
    # Only its own part, because one file usually holds the data of all tensors.
    offset = int(place.get("offset", 0))
    data = read_file(target, "onnx", offset, int(place.get("length", -1)))
    if len(data) != count_stored(tensor):
        raise InvalidSource(
            f"{target} holds {len(data)} bytes for {tensor.name!r} {list(tensor.dims)}, which needs "
            f"{count_stored(tensor)}; the file is incomplete, or does not belong to {path.name}"
        )
    refer(tensor, target, (offset, len(data)))
    return data


def _without_declared_sizes(model: Any) -> Any:
    """Return a copy whose outputs have the sizes that onnx infers."""
    copied = copy_model(model)
    del copied.graph.value_info[:]
    for item in copied.graph.output:
        if item.type.HasField("tensor_type"):
            item.type.tensor_type.ClearField("shape")
    return infer_shapes(copied)


def _check(path: Path, graph: Graph) -> None:
    model = load(graph)
    try:
        try:
            check_model(model, graph)
        except onnx.shape_inference.InferenceError:
            # The sizes are read from answers, so wrong declared ones do not matter.
            inferred = _without_declared_sizes(model)
            check_model(inferred, make_graph(inferred))
        for tensor in (*tensors_of(model.graph), *_other_tensors(model.graph)):
            if tensor.data_type not in (_TEXT, onnx.TensorProto.UNDEFINED):
                read_array(tensor)
    except Exception as error:  # onnx raises its own classes, and those of numpy and protobuf
        raise InvalidSource(
            f"{path} is not a valid ONNX model: {reason_of(error)}; export it again"
        ) from None
    if nan_weight := find_nan_weight(model.graph):
        name, reader = nan_weight
        raise InvalidSource(
            f"{path}: {name!r} holds NaN, and {reader} computes with it, so the answers are NaN; use "
            "a model from before the training diverged"
        )
