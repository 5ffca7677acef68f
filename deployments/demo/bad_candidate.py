"""Makes a bad candidate: a variant whose classes are in another order than its bundle says."""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from serve.bundles.bundle import MODEL, describe_file, read_bundle, read_file, write_bundle


def plant(source: Path, name: str) -> None:
    """Write a bundle `name` beside the bundle in `source`: the same network, its output columns moved by one.
    Its digest is valid, and its figures are those of `source`. Raises InvalidBundle."""
    bundle = read_bundle(source)
    contents = {file.path: read_file(source, bundle, file.path) for file in bundle.files}
    contents[MODEL] = move_columns(contents[MODEL])
    files = tuple(describe_file(path, content) for path, content in contents.items())
    changed = {"variant": name, "files": files, "position": None}
    write_bundle(source.with_name(name), bundle.model_copy(update=changed), contents)


def move_columns(content: bytes) -> bytes:
    """Return the ONNX graph in `content`, whose output is [batch, classes], with column k moved to k + 1."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    [output] = graph.output
    classes = output.type.tensor_type.shape.dim[-1].dim_value
    right, order = f"{output.name}_as_trained", f"{output.name}_order"
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [right if name == output.name else name for name in names]
    graph.initializer.append(numpy_helper.from_array(np.roll(np.arange(classes), 1), order))
    graph.node.append(helper.make_node("Gather", [right, order], [output.name], axis=-1))
    moved: bytes = model.SerializeToString()
    return moved
