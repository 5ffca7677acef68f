"""Explanations of a variant are compared with the baseline's, less the A/A floor."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from export.data.datasets import Split, read_split
from export.errors import InvalidData
from export.proof.explanations import PairedExplanations, require_score
from export.proof.occluded_rows import choose_rows, read_occlusions
from serve.base.tensor import Signature, TensorSpec
from serve.bundles.figures import Estimate
from serve.bundles.meaning import Meaning
from serve.engine.session import Session
from tests.export.graphs import Builder, value

CLASSES = Meaning(kind="classes", form="plain")
COLUMNS = 12


@cache
def graph(rotation: int = 0, bits: int = 0, *, names: bool = False) -> bytes:
    """Two layers over 12 columns, whose importance falls from the first; or, rotated, from another one. With
    `bits`, the weights are rounded; with `names`, the same function has another node."""
    build = Builder()
    weight = build.random.normal(size=(COLUMNS, 16)) * np.geomspace(1, 0.05, COLUMNS)[:, None]
    weight = np.roll(weight, rotation, axis=0)
    if bits:
        step = np.abs(weight).max() / 2 ** (bits - 1)
        weight = np.round(weight / step) * step
    x = build.add("MatMul", "x", build.constant("first", weight.astype(np.float32)))
    x = build.add("Relu", build.add("Identity", x) if names else x)
    build.add("MatMul", x, build.weight("second", 16, 3), output="y")
    return build.finish(
        [value("x", TensorProto.FLOAT, "batch", COLUMNS)], [value("y", TensorProto.FLOAT, "batch", 3)]
    )


def open_graph(content: bytes) -> Session:
    """Open the graph as production does."""
    signature = Signature(
        inputs=(TensorSpec(name="x", datatype="FP32", shape=("batch", COLUMNS)),),
        outputs=(TensorSpec(name="y", datatype="FP32", shape=("batch", 3)),),
    )
    return Session(content, signature, "m/v")


def split(rows: int, seed: int, **inputs: Any) -> Split:
    """Rows of these inputs; by default of 12 columns."""
    random = np.random.default_rng(seed)
    given = inputs or {"x": random.normal(size=(rows, COLUMNS)).astype(np.float32)}
    return read_split("split", (given, None), None, False)


@pytest.fixture(scope="module")
def baseline() -> tuple[PairedExplanations, Session]:
    """The baseline's answers to 80 rows, explained."""
    session = open_graph(graph())
    rows = choose_rows(graph(), split(80, 0), 0)
    occlusions = read_occlusions(split(60, 1), None, 0)
    return PairedExplanations(session, CLASSES, rows, occlusions, 0), session


def measured(explanations: PairedExplanations, content: bytes) -> list[Estimate]:
    """The overlap and the rank of a graph."""
    found = explanations.measure(open_graph(content))
    figures = [found["explanation_overlap"], found["explanation_rank"]]
    return [figure for figure in figures if isinstance(figure, Estimate)]


def test_an_equivalent_graph_has_the_same_explanations(baseline: tuple[PairedExplanations, Session]) -> None:
    """Both figures are exactly 1, although the floor is not: another replacement explains a bit otherwise."""
    explanations, session = baseline
    for figure in measured(explanations, graph(names=True)):
        assert (figure.value, figure.low, figure.high) == (1, 1, 1)
    floor = explanations.measure(session)["explained"]
    assert not isinstance(floor, Estimate)
    assert (floor.rows, floor.features, floor.top) == (80, COLUMNS, 3)
    assert 0.8 < floor.floor_overlap < 1


def test_rounded_weights_keep_most_of_the_explanations(baseline: tuple[PairedExplanations, Session]) -> None:
    """Eight bits keep nearly everything, and three bits keep less."""
    fine, coarse = (measured(baseline[0], graph(bits=bits)) for bits in (8, 3))
    for better, worse in zip(fine, coarse, strict=True):
        assert better.low > 0.9
        assert better.low > worse.high


def test_other_reasons_are_found(baseline: tuple[PairedExplanations, Session]) -> None:
    """A model to which other columns matter has the overlap of chance, 3 of 12, and lacks the order."""
    overlap, rank = measured(baseline[0], graph(rotation=6))
    assert overlap.high < 0.5
    assert rank.high < 0.3


def test_the_interval_contains_what_more_rows_give(baseline: tuple[PairedExplanations, Session]) -> None:
    """The figure of 400 other rows lies in the interval of 80."""
    rows = choose_rows(graph(), split(400, 5), 0)
    more = PairedExplanations(baseline[1], CLASSES, rows, read_occlusions(split(60, 1), None, 0), 0)
    for few, many in zip(measured(baseline[0], graph(bits=4)), measured(more, graph(bits=4)), strict=True):
        assert few.low < many.value < few.high


def test_fewer_rows_of_a_large_model_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The multiply-adds set the number of rows, but at least 16 are explained."""
    # 12 * 16 + 16 * 3 for each of two times 65 copies.
    monkeypatch.setattr("export.proof.occluded_rows._BUDGET", 40 * 130 * 240)
    assert len(choose_rows(graph(), split(80, 0), 0)) == 40
    monkeypatch.setattr("export.proof.occluded_rows._BUDGET", 1)
    assert len(choose_rows(graph(), split(80, 0), 0)) == 16


def test_what_replaces_features() -> None:
    """The mean of each half, without missing values; of integers and flags a value that occurs."""
    x = np.array([[1, np.nan], [3, np.nan], [1, 5], [3, 5]], np.float32)
    kinds, flags = np.array([[7], [9], [7], [9]]), np.array([[True], [False]] * 2)
    given = read_split("split", ({"x": x, "kind": kinds, "flag": flags}, None), None, True)
    halves = read_occlusions(given, None, 0)
    assert len(halves) == 2
    for half in halves:
        assert 1 <= half.fills["x"][0] <= 3
        assert half.fills["kind"] in (7, 9)
        assert half.fills["flag"].dtype == np.bool_


def test_tokens_are_replaced_by_one_token() -> None:
    """A text has one replacement, so its explanations have no floor."""
    ids = np.array([[3, 4, 0], [5, 6, 7]])
    given = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    [only] = read_occlusions(split(0, 0, **given), None, 0)
    assert only.tokens == {"input_ids"}
    assert only.fills == {"input_ids": 0}


def test_an_output_without_a_score_is_refused() -> None:
    """Boxes have no explanation, and the message says what to do."""
    with pytest.raises(InvalidData, match="`y` holds boxes; remove `explanations`"):
        require_score("y", Meaning(kind="boxes"))
