"""The ONNX graph is the torch model, for any number of rows, and of tokens."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from export.data.datasets import Split, read_data
from export.errors import ExportFailed, InvalidData
from export.onnx.to_onnx import to_onnx
from export.recipe import ProgramSource
from export.sources.read_trained import read_trained
from serve.base.tensor import TensorSpec
from serve.bundles.graph_session import open_graph
from serve.bundles.onnx_graph import Graph, digest_graph


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


@dataclass
class Answer:
    """An output type as libraries define it, which torch's exporter does not know."""

    scores: torch.Tensor
    hidden: tuple[torch.Tensor, ...]
    loss: torch.Tensor | None = None


class Wrapped(Inner):
    """Returns its answer in a dataclass."""

    def forward(self, x: torch.Tensor) -> Any:
        """Three numbers per row, and those before them."""
        hidden = self.layer(x)
        return Answer(torch.neg(hidden), (hidden,))


class Pooled(torch.nn.Module):
    """Something like a transformer: a vector per token, and their mean without the padding."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(50, 4)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean, [batch, 4], and the vectors, [batch, tokens, 4]."""
        mask = attention_mask.unsqueeze(-1).to(torch.float32)
        vectors = self.table(input_ids)
        return (vectors * mask).sum(dim=1) / mask.sum(dim=1), vectors


class FixedLength(Pooled):
    """Has one weight per place of the example."""

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Fails, or is constant, at another length."""
        vectors = self.table(input_ids) + torch.zeros(9, 4)
        return vectors.sum(dim=1), vectors


class Shadowed(torch.nn.Module):
    """Reshapes all rows into one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The batch has silently become 1."""
        return x.reshape(1, -1)


def splits_of(**inputs: Any) -> Split:
    """These rows as the calibration split."""
    others = {
        name: ({key: array[:2] + number for key, array in inputs.items()}, None)
        for number, name in ((1, "search"), (3, "held_out"))
    }
    return read_data({"calibration": (inputs, None), **others}, "make").calibration


def texts(longest: int) -> Split:
    """Nine rows of tokens of different lengths."""

    def padded(seed: int) -> dict[str, Any]:
        lengths = np.array([1 + (row * 5) % longest for row in range(8)] + [longest])
        mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
        return {
            "input_ids": mask * np.random.default_rng(seed).integers(1, 50, mask.shape),
            "attention_mask": mask,
        }

    names = ("calibration", "search", "held_out")
    ids = {name: padded(seed) for seed, name in enumerate(names)}
    for number, name in enumerate(names):
        ids[name]["input_ids"][:, 0] = 1 + number  # no row is in two splits, however short it is
    return read_data({name: (ids[name], None) for name in names}, "make").calibration


@pytest.fixture(scope="module")
def rows() -> Split:
    """Three rows of two floats."""
    return splits_of(x=np.arange(6, dtype=np.float32).reshape(3, 2) / 6)


def run(graph: Graph, **inputs: Any) -> list[Any]:
    """Return the answers of onnxruntime."""
    session = open_graph(graph)
    return list(session.run(None, inputs))


def test_any_batch_size_and_the_recipes_names(rows: Split) -> None:
    """The signature has the names of the data and the recipe, and the graph runs with 13 rows."""
    exported = to_onnx(Inner(), rows, ("scores",), 20)
    assert exported.signature.inputs == (TensorSpec(name="x", datatype="FP32", shape=("batch", 2)),)
    assert exported.signature.outputs == (TensorSpec(name="scores", datatype="FP32", shape=("batch", 3)),)
    assert run(exported.graph, x=np.ones((13, 2), np.float32))[0].shape == (13, 3)


def test_nested_outputs_get_the_recipes_names_in_order(rows: Split) -> None:
    """Nested outputs get the recipe's names in order, and the module is unchanged."""
    model = Wrapped()
    exported = to_onnx(model, rows, ("scores", "hidden"), 20)
    assert [spec.name for spec in exported.signature.outputs] == ["scores", "hidden"]
    assert isinstance(model(torch.ones(1, 2)), Answer)


def test_any_number_of_tokens() -> None:
    """The length of tokens is free, and outputs per token have the dimension `tokens`."""
    torch.manual_seed(0)
    model = Pooled()
    exported = to_onnx(model, texts(12), ("mean", "vectors"), 20)
    assert [spec.shape for spec in exported.signature.inputs] == [("batch", "tokens")] * 2
    assert [spec.shape for spec in exported.signature.outputs] == [("batch", 4), ("batch", "tokens", 4)]
    ids, mask = np.full((5, 31), 7), np.ones((5, 31), np.int64)
    expected = model(torch.from_numpy(ids), torch.from_numpy(mask))[0].detach()
    np.testing.assert_allclose(
        run(exported.graph, input_ids=ids, attention_mask=mask)[0], expected, rtol=1e-5
    )


def test_a_length_that_is_fixed_is_refused() -> None:
    """A model that works only at the example's length is refused."""
    with pytest.raises(ExportFailed, match=r"torch cannot express|differs from the model"):
        to_onnx(FixedLength(), texts(12), ("sum", "vectors"), 20)


class RowAfterRow(Inner):
    """Answers in a loop, which is traced once for each row of the example."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Three numbers per row."""
        return torch.stack([self.layer(row) for row in x])


def test_a_forward_that_fixes_the_batch_is_said_so(rows: Split) -> None:
    """The error for a forward that fixes the batch gives the number of rows and possible causes."""
    with pytest.raises(
        ExportFailed, match=r"`forward` fixes the batch at the 4 rows .*do not loop over rows"
    ):
        to_onnx(RowAfterRow(), rows, ("y",), 20)


def test_rows_that_are_all_short_prove_nothing() -> None:
    """Rows that are all shorter than 8 tokens are refused, as they do not test lengths."""
    with pytest.raises(InvalidData, match=r"longest row .* has 7 tokens; .* one must have 8 or more"):
        to_onnx(Pooled(), texts(7), ("mean", "vectors"), 20)


def test_parity_is_measured_on_other_batch_sizes(rows: Split) -> None:
    """Parity is measured with 1, 2, 3 and 8 rows, other sizes than the example's 4."""
    parity = to_onnx(Inner(), rows, ("y",), 20).parity
    assert parity is not None
    assert parity.batch_sizes == (1, 2, 3, 8)
    assert parity.max_abs_difference < 1e-4


def test_a_torch_export_program_becomes_a_graph(tmp_path: Path, rows: Split) -> None:
    """A recorded program is exported like the model that it was."""
    model = Inner().eval()
    free: Any = ({0: torch.export.Dim.DYNAMIC},)
    torch.export.save(
        torch.export.export(model, (torch.zeros(2, 2),), dynamic_shapes=free), tmp_path / "model.pt2"
    )
    trained = read_trained(ProgramSource(program="model.pt2"), tmp_path, "classification")
    assert trained.build is not None
    exported = to_onnx(trained.build(), rows, ("y",), 20)
    x = np.ones((5, 2), np.float32)
    expected = model(torch.from_numpy(x)).detach()
    np.testing.assert_allclose(run(exported.graph, x=x)[0], expected, rtol=1e-5)


def test_a_program_takes_its_inputs_as_it_was_recorded(tmp_path: Path) -> None:
    """A torch program gets each input as the argument of its name, positional or by keyword."""
    inputs = {"left": torch.ones(2, 4), "right": torch.ones(2, 4)}
    free: Any = {key: {0: torch.export.Dim.DYNAMIC} for key in inputs}
    rows = splits_of(right=np.eye(4, dtype=np.float32), left=np.ones((4, 4), np.float32))
    for args, kwargs in ((tuple(inputs.values()), {}), ((), inputs)):
        program = torch.export.export(TwoInputs().eval(), args, kwargs, dynamic_shapes=free)
        torch.export.save(program, tmp_path / "model.pt2")
        build = read_trained(ProgramSource(program="model.pt2"), tmp_path, "classification").build
        assert build is not None
        graph = to_onnx(build(), rows, ("difference", "more"), 20).graph
        left, right = np.full((1, 4), 5, np.float32), np.full((1, 4), 3, np.float32)
        assert run(graph, left=left, right=right)[0].tolist() == [[2, 2, 2, 2]]


def test_the_bytes_are_the_same_in_every_process() -> None:
    """Two processes with different hash seeds give the same graph."""
    program = (
        "import hashlib, sys, torch; sys.path.insert(0, '.')\n"
        "import tests.export.onnx.test_to_onnx as t\n"
        "torch.manual_seed(0)\n"
        "graph = t.to_onnx(t.Pooled(), t.texts(12), ('mean', 'vectors'), 20).graph\n"
        "print(hashlib.sha256(graph).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    torch.manual_seed(0)
    graph = to_onnx(Pooled(), texts(12), ("mean", "vectors"), 20).graph
    assert done.stdout.split()[-1] == digest_graph(graph)


def test_the_opset_is_the_recipes(rows: Split) -> None:
    """The graph declares the recipe's opset."""
    exported = to_onnx(Inner(), rows, ("y",), 21)
    assert [item.version for item in onnx.load_from_string(exported.graph).opset_import] == [21]


def test_several_inputs_keep_their_names() -> None:
    """Several inputs keep their names, and outputs have their own datatypes."""
    rows = splits_of(right=np.eye(4, dtype=np.float32), left=np.ones((4, 4), np.float32))
    exported = to_onnx(TwoInputs(), rows, ("difference", "more"), 20)
    left, right = np.full((1, 4), 5, np.float32), np.full((1, 4), 3, np.float32)
    assert run(exported.graph, left=left, right=right)[0].tolist() == [[2, 2, 2, 2]]
    assert [spec.datatype for spec in exported.signature.outputs] == ["FP32", "BOOL"]


@pytest.mark.parametrize(
    ("model", "outputs", "message"),
    [
        pytest.param(Inner(), ("a", "b"), "returns 1 outputs, the recipe's `outputs` names 2", id="count"),
        pytest.param(Inner(), ("relu",), "named 'relu'.*choose another name", id="output named like a value"),
        pytest.param(Inner(), ("x",), "named 'x'.*choose another name", id="output named like an input"),
        pytest.param(FixedBatch(), ("y",), "the torch model itself does not run on 4 rows", id="fixed batch"),
        pytest.param(Shadowed(), ("y",), r"not with a first dimension that is free", id="batch of one"),
        pytest.param(Noisy(), ("y",), "the graph differs from the model", id="random answers"),
    ],
)
def test_refuses_what_is_not_the_model(
    rows: Split, model: torch.nn.Module, outputs: tuple[str, ...], message: str
) -> None:
    """A model without a faithful graph is refused with the reason."""
    with pytest.raises(ExportFailed, match=message):
        to_onnx(model, rows, outputs, 20)


class Empty(Inner):
    """A model whose output has no columns."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return an output without columns."""
        return torch.relu(self.layer(x)[:, :0])


def test_an_output_without_numbers_is_refused(rows: Split) -> None:
    """An empty output is refused by its name."""
    with pytest.raises(ExportFailed, match=r"output 'y' is empty, \['batch', 0\]"):
        to_onnx(Empty(), rows, ("y",), 20)
