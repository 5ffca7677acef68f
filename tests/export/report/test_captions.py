"""The captions of pictures fit their figures."""

from pathlib import Path
from typing import Any

import pytest

from export.report.captions import describe_curves, describe_front
from export.report.pareto import ParetoPoint
from serve.bundles.bundle import Bundle
from tests.conftest import make_bundle, make_figures

RING = "A ring marks a variant's knee"


def measured(folder: Path, name: str, costs: dict[int, float], **changes: Any) -> Bundle:
    """A variant with this CPU time for a row by the rows of a batch."""
    speed = make_figures(1).speed
    points = tuple(
        speed.points[0].model_copy(update={"rows": rows, "cpu_p50_ms": rows * cost})
        for rows, cost in costs.items()
    )
    figures = make_figures(1, speed=speed.model_copy(update={"points": points}))
    return make_bundle(folder, name, figures=figures, **changes)


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ({1: 3.0, 32: 1.05, 64: 1.0}, "in its cheapest batch."),
        ({1: 3.0, 32: 2.0, 64: 1.0}, "base still gets cheaper by more than a tenth at the largest batch"),
        ({1: 3.0, 32: 1.0, 64: 2.0}, "In the largest batch, a row of base costs more again."),
        ({1: 3.0}, "base: only one row was measured, because larger batches would take too long."),
    ],
    ids=["flat", "falling", "dearer", "slow"],
)
def test_what_a_curve_does_at_its_end_is_said(tmp_path: Path, costs: dict[int, float], said: str) -> None:
    """The caption says in one sentence what the curve does at the largest batch."""
    caption = describe_curves({"base": measured(tmp_path, "base", costs)})
    assert RING in caption
    assert said in caption
    others = {"still gets cheaper", "costs more again", "only one row"}
    assert sum(words in caption for words in others) == (0 if said == "in its cheapest batch." else 1)


def test_a_variant_whose_rows_run_alone_has_no_knee(tmp_path: Path) -> None:
    """A variant whose rows run alone has no ring, and the caption says why."""
    caption = describe_curves({"int8": measured(tmp_path, "int8", {1: 1.0, 64: 1.0}, rows="alone")})
    assert caption.endswith("int8 runs each row alone, so there is no knee.")
    assert RING not in caption


def test_only_what_is_in_the_picture_is_explained() -> None:
    """The caption explains only what its picture contains."""
    one = ParetoPoint(
        variant="base",
        rejected=False,
        measure="accuracy",
        place="one row",
        quality=0.9,
        low=0.9,
        high=0.9,
        latency_ms=1.0,
    )
    assert describe_front([one]) == "Quality over latency; up and to the left is better."
