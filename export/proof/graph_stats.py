"""Describes the contents of a graph: operators, weights, multiply-adds, and its compressed size."""

import gzip
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from export.data.datasets import Split
from export.onnx.model_proto import load
from export.proof.graph_cost import count_multiply_adds
from export.proof.parameter_count import count_parameters
from export.scratch_folder import scratch_folder
from serve.base.record import Record
from serve.base.tensor import Arrays
from serve.bundles.figures import Count
from serve.bundles.graph_session import open_graph
from serve.bundles.onnx_graph import Graph, files_of

_GZIP_LEVEL = 6
# zlib adds 16 to the size of the window for gzip's form.
_GZIP_FORMAT = 16 + zlib.MAX_WBITS
_PART_BYTES = 2**24


class GraphStats(Record):
    """The figures of a graph that need no comparison; see serve/bundles/figures.py."""

    parameters: Count
    nonzero_parameters: Count
    multiply_adds: Count
    compressed_size_bytes: Count
    operators: dict[str, int]
    operators_loaded: dict[str, int]


def describe_graph(graph: Graph, split: Split) -> GraphStats:
    """Return the figures of an ONNX graph; its multiply-adds are those for the longest row of `split`."""
    return describe_graph_row(graph, longest_row(split))


def describe_graph_row(graph: Graph, row: Arrays) -> GraphStats:
    """Return the figures of an ONNX graph; its multiply-adds are those for this row."""
    model = load(graph)
    parameters = count_parameters(model)
    return GraphStats(
        parameters=parameters.count,
        nonzero_parameters=parameters.nonzero,
        multiply_adds=count_multiply_adds(model, row),
        compressed_size_bytes=_count_compressed(graph),
        operators=count_operators(model),
        operators_loaded=count_operators(_load(graph)),
    )


def longest_row(split: Split) -> Arrays:
    """Return the inputs of the row with the most tokens or numbers, or of the first row if all have one
    size."""
    row = 0 if split.lengths is None else int(split.lengths.argmax())
    if split.sizes:
        row = int(sum(sizes.prod(axis=1) for sizes in split.sizes.values()).argmax())
    return split.take(np.array([row], np.int64))


def count_operators(model: Any) -> dict[str, int]:
    """Count each operator in the graph, the most frequent first."""
    counts = Counter(str(node.op_type) for node in model.graph.node)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _load(graph: Graph) -> Any:
    """Return the graph as onnxruntime optimizes it on this machine."""
    with scratch_folder() as folder:
        path = folder / "loaded.onnx"
        open_graph(graph, written_to=path)
        return onnx.load(path, load_external_data=False)


def _count_compressed(graph: Graph) -> int:
    """Return the size of the graph's files, compressed by gzip."""
    return sum(map(_count_compressed_file, files_of(graph).values()))


def _count_compressed_file(content: bytes | Path) -> int:
    if isinstance(content, bytes):
        return len(gzip.compress(content, _GZIP_LEVEL, mtime=0))
    # In parts, because the file may be larger than the memory.
    compressor, size_bytes = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_FORMAT), 0
    with content.open("rb") as file:
        while part := file.read(_PART_BYTES):
            size_bytes += len(compressor.compress(part))
    return size_bytes + len(compressor.flush())
