"""A graph from elsewhere must have its baseline's inputs and outputs, or is refused with the difference."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.adding.fit import require_fit
from export.errors import InvalidSource
from tests.conftest import CLASSES, FEATURES, SIGNATURE, linear_graph


def graph(
    *,
    x: str = "x",
    y: str = "y",
    kind: int = TensorProto.FLOAT,
    dims: tuple[Any, Any] = ("N", FEATURES),
    classes: int = CLASSES,
) -> bytes:
    """Return y = x @ weights, as another tool may have converted it."""
    weights = np.ones((FEATURES, classes), np.float64 if kind == TensorProto.DOUBLE else np.float32)
    made = helper.make_graph(
        [helper.make_node("MatMul", [x, "weights"], [y])],
        "theirs",
        [helper.make_tensor_value_info(x, kind, dims)],
        [helper.make_tensor_value_info(y, kind, ["M", classes])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = onnx.ModelProto.SerializeToString(model)
    return content


SAME = {"own": linear_graph(2.0), "named": graph(), "free": graph(dims=("N", "M"))}


@pytest.mark.parametrize("content", SAME.values(), ids=SAME)
def test_the_same_in_other_names_of_sizes_fits(content: bytes) -> None:
    """A graph with other names for its free sizes fits."""
    require_fit(content, SIGNATURE, "linear/base", "theirs.onnx", {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (graph(x="image"), "theirs.onnx has the inputs image, linear/base has x: .* rename"),
        (graph(y="logits"), "has the outputs logits, linear/base has y"),
        (graph(kind=TensorProto.DOUBLE), "the input 'x' is FP64, that of linear/base is FP32; cast it"),
        (
            graph(dims=(1, FEATURES)),
            r"'x' has the shape \[1, 4\], that of linear/base has \['batch', 4\]",
        ),
        (graph(classes=CLASSES + 1), r"the output 'y' has the shape \['M', 4\]"),
    ],
    ids=["input", "output", "type", "batch", "classes"],
)
def test_what_differs_is_named(content: bytes, message: str) -> None:
    """The error names each difference, with the baseline's value."""
    with pytest.raises(InvalidSource, match=message):
        require_fit(content, SIGNATURE, "linear/base", "theirs.onnx", {})
