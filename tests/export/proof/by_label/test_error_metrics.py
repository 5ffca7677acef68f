"""Errors of a regression are counted as others count them, and undefined ones have no value."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from export.data.datasets import read_data
from export.errors import InvalidData
from export.proof.by_label.error_metrics import compare_errors, is_constant
from export.proof.by_label.label_fit import require_same_shape
from export.proof.floor import judge, require_defined
from export.proof.quality import measure
from export.quality_limits import Floor
from serve.base.tensor import TensorSpec
from serve.bundles.figures import Compared, Quality

RANDOM = np.random.default_rng(0)
METRICS: dict[str, Any] = {
    "mae": mean_absolute_error,
    "rmse": root_mean_squared_error,
    "r2": r2_score,
}


@pytest.mark.parametrize("shape", [(80,), (80, 1), (80, 3)], ids=str)
@pytest.mark.parametrize("level", [0, 1e6], ids=["around 0", "far from 0"])
def test_figures_are_those_of_scikit_learn(shape: tuple[int, ...], level: float) -> None:
    """Several columns count alike, whatever their scale."""
    labels = level + RANDOM.normal(size=shape) * np.arange(1, 1 + shape[-1] if len(shape) > 1 else 2)
    before, after = (labels + size * RANDOM.normal(size=shape) for size in (0.1, 0.3))
    found = compare_errors(labels, before, after, seed=0)
    for name, metric in METRICS.items():
        figure = found[name]
        assert figure
        assert figure.value == pytest.approx(metric(labels, after), rel=1e-4)
        assert figure.change == pytest.approx(metric(labels, after) - metric(labels, before), rel=1e-4)
        assert figure.low < figure.change < figure.high


def test_a_label_that_is_missing_does_not_count() -> None:
    """NaN in a label; and the baseline that has no answer is not blamed for one."""
    labels = np.array([1.0, 2.0, np.nan, 4.0, 7.0])
    before = np.array([1.0, 2.0, 3.0, 4.0, np.nan])
    found = compare_errors(labels, before, before + np.array([0, 0.6, 99, 0, 99]), seed=0)
    assert found["mae"]
    assert found["mae"].value == pytest.approx(0.2)


def test_an_answer_that_is_no_number_is_a_large_error() -> None:
    """The floor then rejects the variant instead of failing."""
    labels = RANDOM.normal(size=20)
    after = labels.copy()
    after[3] = np.nan
    quality = measure("regression", labels + 0.1, after, labels, seed=0)
    assert "mae" in str(judge(Floor(mae_rise=0.5), quality))


def test_equal_labels_have_no_r2() -> None:
    """The figure is absent with a reason, and a floor on it is refused."""
    labels = np.full(20, 0.1)
    before = RANDOM.normal(size=20)
    quality = measure("regression", before, before.copy(), labels, seed=0)
    assert (quality.r2, is_constant(labels)) == (None, True)
    assert "no R2" in quality.undefined["r2"]
    with pytest.raises(InvalidData, match=r"limits r2_drop, but .* no R2"):
        require_defined(Floor(r2_drop=0.1), "regression", labels)
    require_defined(Floor(mae_rise=0.1), "regression", labels)


@pytest.mark.parametrize(
    ("allowed", "reason"),
    [
        (0.5, None),
        (
            0.2,
            "mae 2.2 is 0.2 above the baseline's 2, with 95% confidence at most 0.6 above;",
        ),
    ],
)
def test_a_rise_is_a_share_of_the_baselines_error(allowed: float, reason: str | None) -> None:
    """Judged on the worse end of its interval."""
    figure = Compared(value=2.2, change=0.2, low=-0.1, high=0.6)
    found = judge(Floor(mae_rise=allowed), Quality(task="regression", rows=9, mae=figure))
    assert (found is None) == (reason is None)
    assert reason is None or str(found).startswith(reason)


def test_a_change_is_inside_its_interval_as_often_as_promised() -> None:
    """Of 400 samples of 150 rows, with a true rise of the mean absolute error of 0.1: at least 92 %."""
    random, held = np.random.default_rng(1), 0
    for _ in range(400):
        labels, error = random.normal(size=150), random.exponential(1, 150)
        after = labels + error + random.exponential(0.1, 150)
        change = compare_errors(labels, labels + error, after, seed=0)["mae"]
        held += bool(change and change.low <= 0.1 <= change.high)
    assert held >= 368


def labelled(labels: Any) -> Any:
    """Splits of five rows with these labels."""
    splits = {
        name: ({"x": np.random.default_rng(seed).normal(size=(5, 2))}, labels)
        for seed, name in enumerate(("calibration", "search", "held_out"))
    }
    return read_data(splits, "make", task="regression")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones(4), "labels are float64 of shape"),
        (["a"] * 5, "expected an array of numbers"),
        (np.full(5, np.inf), "a label in row 0 is infinite"),
        (np.full(5, np.nan), "all labels are NaN"),
    ],
    ids=["rows", "strings", "infinite", "missing"],
)
def test_labels_that_are_no_numbers_are_refused(labels: Any, message: str) -> None:
    """With the split and the way out."""
    with pytest.raises(InvalidData, match=rf"split calibration.*{message}"):
        labelled(labels)


@pytest.mark.parametrize(
    ("shape", "fits"),
    [(("batch",), True), (("batch", 1), True), (("batch", 2), False), (("batch", "steps"), False)],
    ids=str,
)
def test_labels_have_the_shape_of_the_output(shape: tuple[Any, ...], fits: bool) -> None:
    """One number a row is the same with and without a dimension of its own."""
    first = TensorSpec(name="y", datatype="FP32", shape=shape)
    if fits:
        require_same_shape(first, labelled(np.ones(5)))
        require_same_shape(first, labelled(np.ones((5, 1))))
    else:
        with pytest.raises(InvalidData, match="labels of the shape"):
            require_same_shape(first, labelled(np.ones(5)))
