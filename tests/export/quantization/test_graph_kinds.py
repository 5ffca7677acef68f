"""Each output of a quantized graph is close to the float one, or a layer is named, for each kind of graph."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from export.errors import StepFailed
from export.step import Quantize
from export.steps.quantize import quantize
from tests.export.graphs import context_for, exported_of, operators, split_of
from tests.export.quantization.graph_kinds import KINDS

SETTINGS: dict[str, dict[str, Any]] = {
    "static": {"method": "static"},
    "static-unsigned": {"method": "static", "weights": "uint8"},
    "dynamic": {"method": "dynamic"},
    "weights": {"method": "weights"},
}
# The allowed error as a share of each output's root mean square: ten times the error of one 8-bit layer.
MOST = 0.1
# Kind -> which of its nodes stay in float, or why none can be quantized.
NONE = "changed nothing: the graph has .* and none of"
UNTRUE = {
    ("classes_masked_with_infinity", "static"): ["node_matmul_2/MatMulAddFusion_bias"],
    ("classes_masked_with_infinity", "static-unsigned"): ["node_matmul_2/MatMulAddFusion_bias"],
    ("bias_that_overflows", "static-unsigned"): ["node_conv_0"],
}
REFUSED = {
    ("bias_that_overflows_everywhere", "static-unsigned"): "'node_y' is .+ times as far off as rounding",
    # One range covers eight columns, one of which is a million times as large.
    ("numbers_of_other_sizes", "static"): "'node_matmul_0' loses 9.% of its size",
    ("numbers_of_other_sizes", "static-unsigned"): "'node_matmul_0' loses 9.% of its size",
}


@pytest.mark.parametrize("method", SETTINGS)
@pytest.mark.parametrize("name", KINDS)
def test_every_output_stays_close_on_new_rows(name: str, method: str, tmp_path: Path) -> None:
    """Each output of a quantized graph is close to the float one on new rows, or the method says that it does
    not apply."""
    graph, shape = KINDS[name]()
    random = np.random.default_rng(1)
    calibration, new = (
        split_of({"x": random.normal(0, 1, (40, *shape)).astype(np.float32)}) for _ in range(2)
    )
    context = context_for("embedding", calibration, new, tmp_path)
    tables = {"embeddings": True} if name == "table_that_also_multiplies" else {}
    settings = Quantize.model_validate({"step": "quantize", **SETTINGS[method], **tables})
    reason = REFUSED.get((name, method)) or (NONE if not _takes(graph, method) else None)
    if reason is not None:
        with pytest.raises(StepFailed, match=reason):
            quantize(exported_of(graph), settings, context)
        return
    made = quantize(exported_of(graph), settings, context)
    untrue: Any = made.notes[-1].get("left_float", {})
    assert sorted(untrue) == UNTRUE.get((name, method), [])
    answers = [onnxruntime.InferenceSession(item).run(None, dict(new.inputs)) for item in (graph, made.graph)]
    for wanted, came in zip(*answers, strict=True):
        assert np.sqrt(np.mean((came - wanted) ** 2)) <= MOST * np.sqrt(np.mean(wanted**2))


def _takes(graph: bytes, method: str) -> bool:
    """Whether the graph has an operator for the method: static alone takes convolutions."""
    found = operators(graph).keys()
    return (
        bool(found & {"MatMul", "Gemm"})
        or method.startswith("static")
        or bool(method == "dynamic" and "LSTM" in found)
    )
