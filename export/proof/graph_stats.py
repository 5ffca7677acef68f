"""Anatomy: what a graph consists of: operators, weights, work, and how small it packs."""

import gzip
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from export.data.datasets import Split
from export.proof.graph_cost import count_multiply_adds
from export.proof.parameter_count import count_parameters
from serve.base.record import Record
from serve.base.tensor import Arrays
from serve.bundles.figures import Count

_GZIP_LEVEL = 6


class Anatomy(Record):
    """The figures of a graph that need no other to compare with; see serve/bundles/figures.py."""

    parameters: Count
    nonzero_parameters: Count
    multiply_adds: Count
    compressed_size_bytes: Count
    operators: dict[str, int]
    operators_loaded: dict[str, int]


def dissect(graph: bytes, split: Split) -> Anatomy:
    """The figures of an ONNX graph; its work is that for one row, the longest of `split`."""
    return dissect_row(graph, longest_row(split))


def dissect_row(graph: bytes, row: Arrays) -> Anatomy:
    """The same, its work that for this row."""
    model = onnx.load_from_string(graph)
    parameters = count_parameters(model)
    return Anatomy(
        parameters=parameters.count,
        nonzero_parameters=parameters.nonzero,
        multiply_adds=count_multiply_adds(model, row),
        compressed_size_bytes=len(gzip.compress(graph, _GZIP_LEVEL, mtime=0)),
        operators=count_operators(model),
        operators_loaded=count_operators(_load(graph)),
    )


def longest_row(split: Split) -> Arrays:
    """The inputs of the row with the most tokens; of the first where rows have one size."""
    row = 0 if split.lengths is None else int(split.lengths.argmax())
    return split.take(np.array([row], np.int64))


def count_operators(model: Any) -> dict[str, int]:
    """How often each operator stands in the graph, the most frequent first."""
    counts = Counter(str(node.op_type) for node in model.graph.node)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _load(graph: bytes) -> Any:
    """The graph as onnxruntime runs it on this machine."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # It warns that such a file is for this machine alone, which is what we want.
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="counterweight-") as folder:
        path = Path(folder) / "loaded.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return onnx.load(path)
