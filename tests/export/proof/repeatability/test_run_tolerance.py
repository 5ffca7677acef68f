"""Which differences between runs of other sizes count as rounding."""

import numpy as np
import onnx
import pytest

from export.proof.repeatability.run_tolerance import are_other_answers, rounds_activations
from tests.export.graphs import Builder
from tests.export.proof.repeatability.test_row_independence import ROWS, centred, graph_of, linear, one_range


def plain() -> bytes:
    build = Builder()
    linear(build, "x")
    return graph_of(build)


@pytest.mark.parametrize(("graph", "rounds"), [(plain(), False), (centred(), False), (one_range(), True)])
def test_activations_of_few_bits_are_known(graph: bytes, rounds: bool) -> None:
    """Graphs whose activations are rounded to few bits are recognized."""
    assert rounds_activations(onnx.load_from_string(graph)) is rounds


@pytest.mark.parametrize(
    ("graph", "off", "other"),
    [(plain(), 1e-5, False), (plain(), 0.01, True), (one_range(), 0.01, False), (one_range(), 0.05, True)],
)
def test_numbers_may_be_off_as_far_as_rounding_explains(graph: bytes, off: float, other: bool) -> None:
    """A difference may be a thousandth of the usual value in float, and 8 of 255 steps in 8 bits."""
    scores = np.random.default_rng(0).uniform(0.5, 1, (16, 3)).astype(np.float32)
    scores[0] = 1
    came = scores * np.float32(1 + off)
    assert are_other_answers(graph, ROWS.inputs, {"scores": scores}, {"scores": came}) is other


@pytest.mark.parametrize(("rows", "other"), [(1, False), (4, True)])
def test_few_classes_may_be_others(rows: int, other: bool) -> None:
    """A few other labels count as ties; from a quarter of the rows on they are other answers."""
    labels = np.zeros(16, np.int64)
    came = labels.copy()
    came[:rows] = 1
    assert are_other_answers(plain(), ROWS.inputs, {"label": labels}, {"label": came}) is other
