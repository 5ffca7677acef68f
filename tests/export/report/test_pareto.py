"""The point of a variant in a report, of any task."""

from pathlib import Path
from typing import Any

import pytest

from export.report.pareto import describe, to_point
from serve.bundles.bundle import Bundle
from serve.bundles.figures import Compared, Quality
from tests.conftest import make_bundle, make_figures


def bundle_of(folder: Path, **quality: Any) -> Bundle:
    """A variant with these figures of quality."""
    return make_bundle(folder, "light", figures=make_figures(1, quality=Quality(rows=10, **quality)))


@pytest.mark.parametrize(
    ("figure", "ends"),
    [
        ({"task": "regression", "r2": Compared(value=-0.3, change=-0.5, low=-0.9, high=0)}, (-0.7, 0.2)),
        ({"task": "detection", "map": Compared(value=0.05, change=-0.5, low=-0.7, high=0.5)}, (0, 1)),
    ],
)
def test_an_interval_ends_at_the_values_that_a_figure_can_have(
    tmp_path: Path, figure: dict[str, Any], ends: tuple[float, float]
) -> None:
    """R2 may be below 0, a share may not, and neither is above 1."""
    point = to_point(bundle_of(tmp_path, **figure))
    assert (point.low, point.high) == pytest.approx(ends)


def test_a_figure_is_called_by_its_name(tmp_path: Path) -> None:
    """The sentence says R2, not the key of the JSON."""
    light = bundle_of(tmp_path, task="regression", r2=Compared(value=0.5, change=-0.1, low=-0.2, high=0))
    base = make_bundle(tmp_path, "base", figures=light.figures)
    assert "; R2 0.5000, -0.1000 [-0.2000, +0.0000]." in describe(light, base)
