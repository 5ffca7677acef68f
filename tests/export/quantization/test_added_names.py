"""What quantization adds to a graph has names that the graph does not have yet."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from export.step import Quantize
from export.steps.quantize import quantize
from tests.export.graphs import Builder, context_for, exported_of, split_of, value

METHODS = ("static", "dynamic", "weights")
ENDINGS = (
    "_transposed",
    "_without_bias",
    "_beta",
    "_bias",
    "_unscaled",
    "_limit",
    "_integers",
    "_shares",
    "_absolute",
    "_largest",
    "_least",
    "_last_axis",
    "_float",
    "_blocks",
    "_abs",
    "_reduce",
    "_max",
    "_divide",
    "_scaled",
    "_quantize",
)


def graph() -> bytes:
    """Return a graph with a Gemm that adds another product, one that adds a bias, and outputs and nodes named
    after each of their values and nodes."""
    build = Builder()
    added = build.add("MatMul", "x", build.weight("w", 6, 4))
    hidden = build.add("Softmax", build.add("MatMul", "x", build.weight("u", 6, 6)), axis=-1)
    build.add("Gemm", hidden, build.weight("gemm", 4, 6), added, output="y", beta=0.5, transB=1)
    build.add("Gemm", hidden, build.weight("biased", 4, 6), build.weight("b", 4), output="z", transB=1)
    outputs = [value(name, TensorProto.FLOAT, "batch", 4) for name in ("y", "z")]
    for ending in ENDINGS:
        for name in ("x", "y", "z", hidden):
            build.add("Relu", "x", output=f"{name}{ending}")
            build.nodes[-1].name = f"node_{name}{ending}" if name in ("y", "z") else f"{name}{ending}"
            outputs.append(value(f"{name}{ending}", TensorProto.FLOAT, "batch", 6))
    return build.finish([value("x", TensorProto.FLOAT, "batch", 6)], outputs)


@pytest.mark.parametrize("method", METHODS)
def test_no_name_is_given_twice(method: str, tmp_path: Path) -> None:
    """The nodes of a quantized graph have unique names, and the answers are close."""
    rows = split_of({"x": np.random.default_rng(1).normal(0, 1, (40, 6)).astype(np.float32)})
    settings = Quantize.model_validate({"step": "quantize", "method": method})
    made = quantize(exported_of(graph()), settings, context_for("embedding", rows, rows, tmp_path)).graph
    names = [node.name for node in onnx.load_from_string(made).graph.node]
    assert len({*names}) == len(names)
    answers: list[Any] = [
        onnxruntime.InferenceSession(item).run(None, dict(rows.inputs)) for item in (graph(), made)
    ]
    for wanted, came in zip(*answers, strict=True):
        assert np.sqrt(np.mean((came - wanted) ** 2)) < 0.05 * np.sqrt(np.mean(wanted**2))
