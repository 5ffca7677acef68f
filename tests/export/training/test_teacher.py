"""The teacher answers each row once, whether it is a module or a graph."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto

from export.artifacts import Context, Trained
from export.data.datasets import Data, Split
from export.errors import StepFailed
from export.recipes.digits import digits_model
from export.reproducible import seed_everything
from export.training.teacher import teacher_answers
from tests.export.graphs import Builder, value


def build() -> torch.nn.Module:
    """A small network, the same each time."""
    seed_everything(0)
    return digits_model([4, 4, 4], 8).eval()


@pytest.fixture
def make_context(tmp_path: Path, data: Data) -> Callable[[Trained], Context]:
    """The context of a step on a trained model."""
    return lambda trained: Context(
        trained=trained, task="classification", data=data, seed=0, scratch=tmp_path, logs=tmp_path
    )


def test_answers_in_the_order_of_the_rows(make_context: Callable[[Trained], Context], data: Data) -> None:
    """The answers equal the module's, in the order of the rows."""
    context = make_context(Trained(name="t", sha256="1" * 64, build=build, assets={}))
    answers = teacher_answers(context, data.search)
    with torch.no_grad():
        expected = build()(torch.tensor(data.search.inputs["image"])).numpy()
    assert answers.shape == (250, 10)
    assert np.allclose(answers, expected, atol=1e-6)


def test_a_graph_answers_like_its_module(make_context: Callable[[Trained], Context], data: Data) -> None:
    """A teacher in ONNX answers as its module."""
    graph = Builder()
    graph.add("Flatten", "image", output="flat")
    image = value("image", TensorProto.FLOAT, "batch", 1, 8, 8)
    content = graph.finish([image], [value("flat", TensorProto.FLOAT, "batch", 64)])
    one = make_context(Trained(name="t", sha256="2" * 64, build=torch.nn.Flatten, assets={}))
    other = make_context(Trained(name="t", sha256="3" * 64, graph=content, assets={}))
    assert np.array_equal(teacher_answers(one, data.search), teacher_answers(other, data.search))


def test_answers_once(make_context: Callable[[Trained], Context], data: Data) -> None:
    """The teacher answers the same rows once, and other rows again."""
    asked = []

    def count() -> torch.nn.Module:
        asked.append(1)
        return build()

    context = make_context(Trained(name="t", sha256="4" * 64, build=count, assets={}))
    for split in (data.search, data.search, replace(data.search, labels=None), data.calibration):
        teacher_answers(context, split)
    assert len(asked) == 2


class Embedder(torch.nn.Module):
    """Says the length of each row at each of its tokens."""

    def forward(self, attention_mask: torch.Tensor) -> torch.Tensor:
        """[rows, tokens, 1]."""
        return (attention_mask * attention_mask.sum(1, keepdim=True)).unsqueeze(2).float()


def test_rows_of_all_lengths_are_answered(make_context: Callable[[Trained], Context]) -> None:
    """Rows are batched by length and answered in their order, with 0 after the end of a batch's rows."""
    lengths = np.random.default_rng(0).permutation(np.arange(1, 201))
    mask = (np.arange(200) < lengths[:, None]).astype(np.int64)
    rows = tuple(map(str, range(200)))
    split = Split(inputs={"attention_mask": mask}, labels=None, lengths=lengths, row_hashes=rows)
    trained = Trained(name="t", sha256="5" * 64, build=Embedder, assets={})
    answers = teacher_answers(make_context(trained), split)
    assert np.array_equal(answers[:, :, 0], mask * lengths[:, None])


def test_a_teacher_that_answers_nan_is_an_error(
    make_context: Callable[[Trained], Context], data: Data
) -> None:
    """A teacher that answers NaN is refused."""

    def ruin() -> torch.nn.Module:
        module = build()
        with torch.no_grad():
            module.get_parameter("head.bias")[0] = torch.nan
        return module

    context = make_context(Trained(name="t", sha256="6" * 64, build=ruin, assets={}))
    with pytest.raises(StepFailed, match="answers with NaN or infinity, among rows"):
        teacher_answers(context, data.search)
