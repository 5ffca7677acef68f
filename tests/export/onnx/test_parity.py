"""A graph is compared with torch in several batch sizes and lengths, by its answers and shapes."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from export.errors import ExportFailed
from export.onnx.parity import prove_parity
from export.onnx.to_onnx import to_onnx
from serve.base.tensor import Signature, TensorSpec
from tests.export.graphs import Builder, value
from tests.export.onnx.test_to_onnx import splits_of, texts

ROWS = splits_of(x=np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32))


class Model(torch.nn.Module):
    """A linear layer and a function of its input and output."""

    def __init__(self, make: Any, width: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(6, width)
        self._make = make

    def forward(self, x: torch.Tensor) -> Any:
        """Return the function's result."""
        return self._make(x, self.layer(x))


class Halved(torch.nn.Module):
    """A layer in half floats, which onnxruntime computes in float32."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(6, 3).half()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Small differences of large numbers, where each rounding shows."""
        y: torch.Tensor = self.layer(x.half())
        return (y * 8 + 100).float() - 100


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Model(lambda x, y: y.squeeze()), r"on 1 rows .* scores .*\[3\]"),
        (
            Model(lambda x, y: (y.bfloat16() @ torch.ones(3, 3).bfloat16()).float()),
            r"does not load the model's graph: .*MatMul.*cast nothing in `forward` to bfloat16",
        ),
        (
            Model(lambda x, y: y.squeeze(), 1),
            r"on 1 rows the output scores has the shape \[\], .* \['batch'\], here \[1\]",
        ),
        (Halved(), r"of a value away from .*layer\.weight is float16.*\.float\(\)"),
        (Model(lambda x, y: y.squeeze(0)), "shapes .* are inconsistent.*squeeze"),
        (Model(lambda x, y: y[:2]), "scores .*not with a first dimension that is free"),
        (Model(lambda x, y: y if x.shape[0] > 2 else -y), "the graph differs from the model|cannot express"),
        (
            Model(lambda x, y: y + x.shape[0] if x.shape[0] > 3 else y),
            "differs from the model|cannot express",
        ),
        (Model(lambda x, y: y + torch.rand(())), r"scores \[1, 3\] is up to .* away from torch's \[1, 3\]"),
        (
            Model(lambda x, y: 1e-6 * (y + torch.rand_like(y))),
            "largest value is .*the graph differs from the model",
        ),
        (
            Model(lambda x, y: torch.cat([y + 0.01 * torch.rand_like(y), torch.full_like(y, -1e9)], 1)),
            "the graph differs from the model",
        ),
    ],
    ids=[
        "squeeze of a batch of one",
        "bfloat16 inside",
        "squeeze to no dimension",
        "half floats inside",
        "squeeze of the batch itself",
        "a fixed number of rows",
        "small batches are another model",
        "depends on the batch size",
        "random",
        "random and tiny",
        "random beside masks",
    ],
)
def test_what_is_another_model_on_other_batches_is_refused(model: torch.nn.Module, message: str) -> None:
    """A model that answers differently in other batch sizes is refused, with the output and the
    difference."""
    with pytest.raises(ExportFailed, match=message):
        to_onnx(model, ROWS, ("scores",), 20)


def test_a_squeeze_of_another_dimension_is_no_fault() -> None:
    """A squeeze of another dimension than the batch passes, because rows stay rows."""
    exported = to_onnx(Model(lambda x, y: y.squeeze(1), 1), ROWS, ("score",), 20)
    assert exported.signature.outputs[0].shape == ("batch",)


def test_tiny_answers_are_compared_on_their_own_scale() -> None:
    """The tolerance follows the largest answer: 1e-10 is rounding if that is 1e-6."""
    assert to_onnx(Model(lambda x, y: 1e-6 * y), ROWS, ("scores",), 20).parity


class Mean(torch.nn.Module):
    """The mean of the tokens' vectors, over a number of tokens."""

    def __init__(self, count: Any) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(50, 4)
        self._count = count

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """The sum over what the function counts."""
        vectors = self.table(input_ids) * attention_mask[..., None]
        mean: torch.Tensor = vectors.sum(1) / self._count(attention_mask)
        return mean


def test_a_length_that_became_a_constant_is_refused() -> None:
    """A model whose graph contains the example's length as a constant is refused."""
    count = 9

    def counted(mask: torch.Tensor) -> int:
        return count if isinstance(mask, torch._subclasses.FakeTensor) else mask.shape[1]

    with pytest.raises(ExportFailed, match=r"sentence \[1, 4\] is up to .*the graph differs from the model"):
        to_onnx(Mean(counted), texts(12), ("sentence",), 20)


def test_a_length_that_is_asked_for_stays_free() -> None:
    """A model that reads the length from its input exports with a free length."""
    assert to_onnx(Mean(lambda mask: mask.shape[1]), texts(12), ("sentence",), 20).parity


def graph_of(promised: tuple[int | str, ...]) -> tuple[bytes, Signature]:
    """A graph whose y is x, and a signature that promises this shape of y."""
    build = Builder()
    build.add("Identity", "x", output="y")
    graph = build.finish(
        [value("x", TensorProto.FLOAT, "batch", 6)], [value("y", TensorProto.FLOAT, "a", "b")]
    )
    spec = TensorSpec(name="x", datatype="FP32", shape=("batch", 6))
    return graph, Signature(inputs=(spec,), outputs=(TensorSpec(name="y", datatype="FP32", shape=promised),))


class Same(torch.nn.Module):
    """A module that returns its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input."""
        return x


@pytest.mark.parametrize(
    ("promised", "message"),
    [
        (
            ("batch", 7),
            r"on 1 rows the output y has the shape \[1, 6\], but the graph declares \['batch', 7\]",
        ),
        (("batch", "batch"), r"shape \[1, 6\], but the graph declares \['batch', 'batch'\], here \[1, 1\]"),
        (("batch", 6, 1), r"shape \[1, 6\], but the graph declares"),
        ((4, 6), r"shape \[1, 6\], but the graph declares \[4, 6\]"),
    ],
    ids=["another size", "another dimension's name", "one dimension more", "the batch of the example"],
)
def test_a_promised_shape_must_be_kept(promised: tuple[int | str, ...], message: str) -> None:
    """An output whose shape differs from the signature's is refused."""
    graph, signature = graph_of(promised)
    with pytest.raises(ExportFailed, match=message):
        prove_parity(Same(), graph, ROWS, signature)


def test_a_dimension_of_its_own_name_may_have_any_size() -> None:
    """A dimension with a name of its own may have any size."""
    graph, signature = graph_of(("batch", "width"))
    assert prove_parity(Same(), graph, ROWS, signature).max_abs_difference == 0


class Mixed(torch.nn.Module):
    """Inputs by place and by name."""

    def forward(self, right: torch.Tensor, /, *, left: torch.Tensor) -> torch.Tensor:
        """Return a result that depends on the order of the inputs."""
        return left - 2 * right


def test_inputs_by_name_alone_keep_their_names_in_the_graph() -> None:
    """Keyword-only inputs keep their names in the graph, whatever the order of the data."""
    random = np.random.default_rng(0)
    rows = splits_of(**{name: random.normal(size=(9, 6)).astype(np.float32) for name in ("left", "right")})
    exported = to_onnx(Mixed(), rows, ("y",), 20)
    assert exported.signature.input_by_name.keys() == {"left", "right"}
    assert onnx.load_from_string(exported.graph).graph.input[0].name == "right"


class Second(torch.nn.Module):
    """Takes its input as the second parameter."""

    def forward(self, mask: torch.Tensor | None = None, x: torch.Tensor | None = None) -> torch.Tensor:
        """Twice the input; what a mask lets through."""
        assert x is not None
        return 2 * x if mask is None else x * mask


def test_a_single_input_keeps_its_place_in_the_graph() -> None:
    """A single input keeps its name, even if it is not the first parameter."""
    exported = to_onnx(Second(), ROWS, ("y",), 20)
    assert [spec.name for spec in exported.signature.inputs] == ["x"]


def test_the_whole_reason_of_torch_is_told() -> None:
    """The error has torch's reason, even if its first line ends in a colon."""
    with pytest.raises(ExportFailed, match=r"cannot express .*:.*\w") as raised:
        to_onnx(Model(lambda x, y: torch.stack(list(y))), ROWS, ("y",), 20)
    assert not str(raised.value).endswith(":")


def test_rounding_of_the_larger_numbers_behind_rare_classes_is_no_fault() -> None:
    """Differences in the last bits of a Sigmoid pass, even if they are large relative to rare classes."""
    rare = torch.tensor([0, *[-11.5] * 8])
    model = Model(lambda x, y: (y + rare).sigmoid(), 9)
    exported = to_onnx(model.eval(), ROWS, ("scores",), 20)
    assert exported.parity is not None
    assert exported.parity.max_abs_difference < 2e-7
