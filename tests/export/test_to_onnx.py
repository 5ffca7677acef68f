"""The ONNX graph is the torch model, for any number of rows."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from export.datasets import Data, Split, read_data
from export.errors import ExportFailed
from export.pipeline import Outcome
from export.to_onnx import to_onnx
from serve.tensor import TensorSpec


class Inner(torch.nn.Module):
    """A linear layer whose result goes through `relu` and then on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Three numbers per row."""
        return torch.neg(torch.relu(self.layer(x)))


class FixedBatch(Inner):
    """Fixes the number of rows at that of the example."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Works for two rows."""
        return torch.add(self.layer(x), torch.zeros(2, 3))


class Noisy(Inner):
    """Answers differently each time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's answer and noise."""
        return torch.add(self.layer(x), torch.rand_like(x[:, :1]))


class TwoInputs(torch.nn.Module):
    """Two inputs that are not interchangeable, two outputs."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The difference and the sign."""
        return left - right, left > right


@pytest.fixture(scope="module")
def rows() -> Split:
    """Three rows of two floats."""
    splits = {
        name: ({"x": np.arange(6, dtype=np.float32).reshape(3, 2) / 6 + number}, np.array([0, 1, 2]))
        for number, name in enumerate(("train", "calibration", "search", "held_out"))
    }
    return read_data(splits, "make").calibration


def test_any_batch_size_and_the_recipes_names(float_graph: bytes, outcome: Outcome, data: Data) -> None:
    """Names are the data's and the recipe's, and a batch never seen at export runs."""
    signature = outcome.model.signature
    assert signature.inputs == (TensorSpec(name="image", datatype="FP32", shape=("batch", 1, 8, 8)),)
    assert signature.outputs == (TensorSpec(name="logits", datatype="FP32", shape=("batch", 10)),)
    session = onnxruntime.InferenceSession(float_graph, providers=["CPUExecutionProvider"])
    assert session.run(None, {"image": data.held_out.inputs["image"][:13]})[0].shape == (13, 10)


def test_parity_is_measured_on_other_batch_sizes(outcome: Outcome) -> None:
    """At least three sizes, none of them the example's, within what float32 sums may differ."""
    parity = outcome.model.bundles["fp32"].figures.parity
    assert len(parity.batch_sizes) >= 3
    assert 2 not in parity.batch_sizes
    assert parity.max_abs_difference < 1e-4


def test_the_opset_is_the_recipes(rows: Split) -> None:
    """The graph declares the opset that was asked for, not torch's favourite."""
    exported = to_onnx(Inner(), rows, ("y",), 21)
    assert [item.version for item in onnx.load_from_string(exported.graph).opset_import] == [21]


def test_several_inputs_keep_their_names() -> None:
    """Inputs go by name, outputs by the model's order, each with its own datatype."""
    splits = {
        name: ({"right": np.full((2, 4), n, np.float32), "left": np.ones((2, 4), np.float32)}, [0, 1])
        for n, name in enumerate(("train", "calibration", "search", "held_out"))
    }
    exported = to_onnx(TwoInputs(), read_data(splits, "make").search, ("difference", "more"), 20)
    session = onnxruntime.InferenceSession(exported.graph, providers=["CPUExecutionProvider"])
    left, right = np.full((1, 4), 5, np.float32), np.full((1, 4), 3, np.float32)
    assert session.run(["difference"], {"left": left, "right": right})[0].tolist() == [[2, 2, 2, 2]]
    assert [spec.datatype for spec in exported.signature.outputs] == ["FP32", "BOOL"]


@pytest.mark.parametrize(
    ("model", "outputs", "message"),
    [
        pytest.param(Inner(), ("a", "b"), "returns 1 outputs, the recipe's `outputs` names 2", id="count"),
        pytest.param(Inner(), ("relu",), "named 'relu'.*choose another name", id="output named like a value"),
        pytest.param(Inner(), ("x",), "named 'x'.*choose another name", id="output named like an input"),
        pytest.param(
            FixedBatch(), ("y",), "torch cannot express|not with a first dimension", id="fixed batch"
        ),
        pytest.param(Noisy(), ("y",), "the graph is not the model", id="random answers"),
    ],
)
def test_refuses_what_is_not_the_model(
    rows: Split, model: torch.nn.Module, outputs: tuple[str, ...], message: str
) -> None:
    """A model without a faithful graph is refused with the reason."""
    with pytest.raises(ExportFailed, match=message):
        to_onnx(model, rows, outputs, 20)
