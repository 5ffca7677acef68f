"""A shadow compares outputs by what the baseline's bundle says that they mean, or else by what rows show."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serve.base.errors import ModelFailed
from serve.base.tensor import Signature, TensorSpec
from serve.bundles.figures import Estimate, OutputFigures, Quality
from serve.bundles.meaning import Form, Meaning
from serve.engine.pairing import pair, require_whole
from serve.engine.shadow_copy import Copy
from serve.rollout.evidence.evidence import Comparison
from tests.conftest import make_bundle, make_figures
from tests.serve.clock import run as run_scenario
from tests.serve.gateway import Gateway, run
from tests.serve.host import Host
from tests.serve.served_model import ask, request_of
from tests.serve.shadows import LATER_S, Odd, copies_of, shadowed

NUMBERS = Meaning(kind="numbers", form="plain", spread=(100.0,) * 3)


def folder_of(path: Path, *meanings: Meaning) -> Path:
    """A bundle of the baseline that says this of its output, or nothing."""
    same = Estimate(value=1, low=1, high=1)
    outputs = tuple(OutputFigures(name="y", meaning=each, agreement=same) for each in meanings)
    figures = make_figures(1, quality=Quality(task="classification", rows=10, outputs=outputs))
    make_bundle(path, "base", figures=figures)
    return path / "linear" / "base"


@pytest.mark.parametrize("known", [{}, {"y": NUMBERS}], ids=["of before", "measured"])
def test_a_gateway_knows_what_the_outputs_mean(tmp_path: Path, known: dict[str, Meaning]) -> None:
    """The gateway reads the meanings of the outputs from the baseline's bundle."""
    gateway = Gateway(folder_of(tmp_path, *known.values()))

    async def scenario() -> Any:
        await gateway.apply(1, base=1, light=2)
        return dict(gateway.model.shadows.meanings)

    assert run(gateway, scenario()) == known


def compared(answer: Any, meaning: Meaning | None) -> Comparison:
    """What becomes of a copy to which `light` gives this answer; the baseline says [0, 0, 0] of zeros."""

    async def scenario() -> Comparison:
        async with shadowed({"base": Host(), "light": Odd(answer)}) as model:
            model.shadows.meanings = {} if meaning is None else {"y": meaning}
            model.route(model.routes, model.counter.watch if model.counter else None)
            await ask(model, request_of(1))
            await asyncio.sleep(LATER_S)
            return copies_of(model).pairs

    return run_scenario(scenario())


@pytest.mark.parametrize(("far", "differ"), [(15, 0), (25, 1)], ids=["a seventh", "a quarter"])
def test_numbers_are_compared_on_their_spread(far: float, differ: int) -> None:
    """Numbers are compared relative to their spread of 100, even if the top class changes."""
    found = compared(lambda y: y + np.array([0, far, 0], np.float32), NUMBERS)
    assert (found.pairs, found.disagreements) == (1, differ)


@pytest.mark.parametrize(("level", "differ"), [(90, 0), (110, 1)], ids=["near", "lost"])
def test_scores_that_may_be_numbers_are_compared_as_such_too(level: float, differ: int) -> None:
    """Scores that may be numbers also differ by a shift that keeps the top class; certain classes do not."""
    doubtful = Meaning(kind="classes", form="plain", spread=(100.0,) * 3)
    assert compared(lambda y: y + np.float32(level), doubtful).disagreements == differ
    certain = Meaning(kind="classes", form="plain")
    assert compared(lambda y: y + np.float32(level), certain).disagreements == 0


def softmax(scores: NDArray[Any]) -> NDArray[np.float32]:
    """Shares of the classes."""
    powers = np.exp(scores)
    return np.asarray(powers / powers.sum(-1, keepdims=True), np.float32)


LOGITS = np.random.default_rng(0).normal(0, 3, (20, 4)).astype(np.float32)
ROWS = Signature(
    inputs=(TensorSpec(name="x", datatype="FP32", shape=("batch", 1)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=("batch", 4)),),
)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [(softmax(LOGITS), LOGITS), (LOGITS, softmax(LOGITS))],
    ids=["logits for shares", "shares for logits"],
)
@pytest.mark.parametrize("known", [True, False], ids=["measured", "of before"])
def test_another_form_is_a_pair_that_differs(mine: NDArray[Any], theirs: NDArray[Any], known: bool) -> None:
    """An answer in another form differs, even if its top class is the same."""
    form: Form = "shares" if mine is not LOGITS else "plain"
    meanings = {"y": Meaning(kind="classes", form=form)} if known else {}
    for row in range(len(LOGITS)):
        one = slice(row, row + 1)
        copy = Copy({"x": np.zeros((1, 1), np.float32)}, {"y": mine[one]}, 1, "id", None)
        found = pair([copy], [{"y": theirs[one]}], ROWS, "classification", meanings).outputs["y"]
        assert found.differ.tolist() == [True]


TOKENS = Signature(
    inputs=(TensorSpec(name="attention_mask", datatype="INT64", shape=("batch", "tokens")),),
    outputs=(
        TensorSpec(name="tags", datatype="FP32", shape=("batch", "tokens", 4)),
        TensorSpec(name="row", datatype="FP32", shape=("batch", 4)),
    ),
)


def test_padding_is_no_pair() -> None:
    """Padded tokens are not compared; an output without a token dimension is compared by row."""
    mask = np.array([[1, 1, 0], [1, 0, 0]], np.int64)
    tags = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    theirs = np.where(mask[..., None] == 1, tags, -tags)
    outputs: dict[str, NDArray[Any]] = {"tags": tags, "row": tags[:, 0]}
    copy = Copy({"attention_mask": mask}, outputs, 2, "id", None)
    found = pair([copy], [{**outputs, "tags": theirs}], TOKENS, "token_classification", {})
    assert (found.outputs["tags"].pairs.tolist(), found.outputs["tags"].differing.tolist()) == (
        [2, 1],
        [0, 0],
    )
    assert found.outputs["row"].pairs.tolist() == [1, 1]
    np.testing.assert_array_equal(found.mine["row"], tags[:, 0])


def test_an_answer_without_all_rows_is_none() -> None:
    """An answer without an output or with too few rows raises ModelFailed."""
    copy = Copy({"x": np.zeros((2, 1))}, {"y": np.zeros((2, 4))}, 2, "id", None)
    answers: tuple[dict[str, NDArray[Any]], ...] = ({}, {"y": np.zeros((1, 4))})
    for answer in answers:
        with pytest.raises(ModelFailed, match=r"^y: "):
            require_whole([copy], [answer])
