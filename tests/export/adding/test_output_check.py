"""A graph from elsewhere must have outputs of the baseline's form, even if nothing is measured."""

from typing import Any

import pytest
from onnx import TensorProto

from export.adding.output_check import require_form
from export.errors import InvalidSource
from serve.base.tensor import Signature, TensorSpec
from serve.bundles.figures import Estimate, OutputFigures, Quality
from serve.bundles.meaning import Meaning
from serve.engine.session import Session
from tests.conftest import make_bundle, make_figures
from tests.export.graphs import Builder, value

WIDTH, CLASSES = 6, 4
SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", datatype="FP32", shape=("batch", WIDTH)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=("batch", CLASSES)),),
)
ALL = Estimate(value=1, low=1, high=1)


def session(name: str, *end: str, seed: int = 0, **options: Any) -> Session:
    """A layer with random weights, and these operators behind it."""
    build = Builder(seed)
    last = build.add("MatMul", "x", build.weight("w", WIDTH, CLASSES))
    for operator in end:
        last = build.add(operator, last, **options)
    build.add("Identity", last, output="y")
    inputs, outputs = (
        [value(key, TensorProto.FLOAT, "batch", size)] for key, size in (("x", WIDTH), ("y", CLASSES))
    )
    return Session(build.finish(inputs, outputs), SIGNATURE, name)


def bundle_of(tmp_path: Any, task: Any, *meanings: Meaning) -> Any:
    """Write the baseline's bundle, with or without the meanings of its outputs."""
    outputs = tuple(OutputFigures(name="y", meaning=each, agreement=ALL) for each in meanings)
    figures = make_figures(1, quality=Quality(task=task, rows=10, outputs=outputs))
    return make_bundle(tmp_path, "base", figures=figures, signature=SIGNATURE)


SHARES = Meaning(kind="classes", form="shares")
CHANCES = Meaning(kind="numbers", form="chances", spread=(0.2,) * CLASSES)
PLAIN = Meaning(kind="classes", form="plain")
UNIT = Meaning(kind="vectors", form="unit")


@pytest.mark.parametrize(
    ("meaning", "mine", "theirs"),
    [
        (SHARES, "Softmax", ()),
        (SHARES, "Softmax", ("Sigmoid",)),
        (SHARES, "Softmax", ("LogSoftmax",)),
        (PLAIN, "Identity", ("Softmax",)),
        (PLAIN, "Identity", ("LogSoftmax",)),
        (CHANCES, "Sigmoid", ()),
        (CHANCES, "Sigmoid", ("Softmax",)),
        (UNIT, "LpNormalization", ()),
    ],
    ids=str,
)
@pytest.mark.parametrize("measured", [True, False], ids=["measured", "of before"])
def test_a_candidate_of_another_form_is_refused(
    tmp_path: Any, meaning: Meaning, mine: str, theirs: tuple[str, ...], measured: bool
) -> None:
    """A candidate of another form is refused; the form is read from the baseline's bundle or its answers."""
    task = "embedding" if meaning.kind == "vectors" else "classification"
    bundle = bundle_of(tmp_path, task, *([meaning] if measured else []))
    candidate, baseline = session("theirs.onnx", *theirs, seed=1), session("m/base", mine)
    if meaning == CHANCES and not measured:
        require_form(candidate, baseline, bundle)
        return
    with pytest.raises(
        InvalidSource, match=r"theirs.onnx has outputs of another kind than m/base: the baseline's `y` "
    ):
        require_form(candidate, baseline, bundle)


@pytest.mark.parametrize(
    ("meaning", "end"),
    [
        (SHARES, "Softmax"),
        (PLAIN, "Identity"),
        (PLAIN, "Neg"),
        (CHANCES, "Sigmoid"),
        (UNIT, "LpNormalization"),
    ],
    ids=str,
)
def test_other_weights_are_no_other_form(tmp_path: Any, meaning: Meaning, end: str) -> None:
    """Other weights give the same form and are accepted."""
    task = "embedding" if meaning.kind == "vectors" else "classification"
    bundle = bundle_of(tmp_path, task, meaning)
    require_form(session("theirs.onnx", end, seed=1), session("m/base", end), bundle)
