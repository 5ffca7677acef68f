"""How far figures are beyond a floor."""

import pytest

from export.quality_limits import Floor
from export.search.violation import measure_violation
from serve.bundles.figures import Compared, Estimate, Quality

QUALITY = Quality(
    task="classification",
    rows=100,
    accuracy=Compared(value=0.9, change=-0.02, low=-0.05, high=0.01),
    mae=Compared(value=1.2, change=0.2, low=0.1, high=0.3),
    agreement=Estimate(value=0.97, low=0.95, high=0.98),
    kl=Estimate(value=0.02, low=0.01, high=0.03),
)


@pytest.mark.parametrize(
    ("floor", "worse", "better"),
    [
        ({"accuracy_drop": 0.03}, 0.02, -0.04),
        ({"mae_rise": 0.2}, 0.1, -0.1),
        ({"agreement": 0.96}, 0.01, -0.02),
        ({"kl": 0.02}, 0.01, -0.01),
        ({"accuracy_drop": 0.06, "agreement": 0.96}, 0.01, -0.02),
        ({"f1_drop": 0.1}, 0.0, 0.0),
    ],
)
def test_the_excess_is_that_of_the_interval_ends(
    floor: dict[str, float], worse: float, better: float
) -> None:
    """The largest excess counts, at either end of the intervals; limits without a figure are kept."""
    limits = Floor(**floor)
    assert measure_violation(limits, QUALITY, worse=True) == pytest.approx(worse)
    assert measure_violation(limits, QUALITY, worse=False) == pytest.approx(better)
