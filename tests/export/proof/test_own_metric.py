"""A metric of the user has paired intervals, and its faults are told in one sentence."""

from typing import Any, Literal

import numpy as np
import pytest
from sklearn.metrics import f1_score

from export.errors import InvalidData, InvalidSource
from export.proof import own_metric
from export.proof.bootstrap import mean_intervals
from export.proof.floor import judge
from export.proof.own_metric import PairedMetric
from export.proof.quality import measure
from export.quality_limits import Floor, MetricFunction
from export.sandbox import foreign_code
from serve.bundles.figures import MetricFigure, Quality
from serve.bundles.meaning import Meaning

RANDOM = np.random.default_rng(0)
ROWS = 300
SCORES = RANDOM.normal(size=(ROWS, 3)).astype(np.float32)
# The baseline is right on four rows of five, the variant on a few less.
LABELS = np.where(RANDOM.random(ROWS) < 0.8, SCORES.argmax(axis=1), RANDOM.integers(0, 3, ROWS))
VARIANT = (SCORES + 0.3 * RANDOM.normal(size=SCORES.shape)).astype(np.float32)
NUMBERS = RANDOM.normal(size=(ROWS, 1)).astype(np.float32)
CLASSES, PLAIN = Meaning(kind="classes"), Meaning(kind="numbers", abs=0.1)


def rated(  # noqa: PLR0913 - a metric and what it is computed from
    function: str,
    variant: Any = VARIANT,
    *,
    scores: Any = SCORES,
    labels: Any = LABELS,
    meaning: Meaning = CLASSES,
    better: Literal["higher", "lower"] = "higher",
) -> MetricFigure:
    """The variant by this function of `rating_functions`."""
    source = MetricFunction(function=f"tests.export.proof.rating_functions:{function}", better=better)
    return PairedMetric(source, {"scores": scores}, labels, meaning, 0).measure({"scores": variant})


def test_values_of_rows_have_the_interval_of_the_built_in_figure() -> None:
    """Whether each row is right gives the accuracy with its change, and its interval within a row or two."""
    figure, known = (
        rated("hit"),
        measure("classification", SCORES, VARIANT, LABELS, 0, meaning=CLASSES).accuracy,
    )
    assert known
    assert figure.draws is None
    assert figure.value == pytest.approx(known.value)
    assert figure.change == pytest.approx(known.change)
    assert (figure.low, figure.high) == pytest.approx((known.low, known.high), abs=1.5 / ROWS)


def test_a_figure_of_all_rows_has_the_interval_of_the_built_in_figure() -> None:
    """The macro-F1 is scikit-learn's, and its interval that of the built-in macro-F1 within a few rows."""
    figure, known = (
        rated("macro_f1"),
        measure("classification", SCORES, VARIANT, LABELS, 0, meaning=CLASSES).macro_f1,
    )
    assert known
    assert figure.value == pytest.approx(f1_score(LABELS, VARIANT.argmax(axis=1), average="macro"))
    assert figure.change == pytest.approx(known.change)
    assert (figure.low, figure.high) == pytest.approx((known.low, known.high), abs=3 / ROWS)
    assert figure.draws in (1000, 300)


@pytest.mark.parametrize("function", ["hit", "macro_f1"])
def test_an_error_that_did_not_occur_is_possible(function: str) -> None:
    """For equal answers, the interval of the change is about that of one error more or less in the draw."""
    figure = rated(function, SCORES.copy())
    assert figure.change == 0
    assert -5 / ROWS < figure.low < -0.5 / ROWS
    assert 0.5 / ROWS < figure.high < 5 / ROWS


def test_numbers_are_drawn_as_they_are() -> None:
    """The errors of numbers have the plain paired bootstrap, in their own unit."""
    labels, variant = NUMBERS[:, 0] + RANDOM.normal(size=ROWS), NUMBERS + np.float32(0.2)
    figure = rated("size_of_error", variant, scores=NUMBERS, labels=labels, meaning=PLAIN, better="lower")
    apart = np.abs(variant[:, 0] - labels) - np.abs(NUMBERS[:, 0] - labels)
    assert figure.change == pytest.approx(apart.mean(), abs=1e-6)
    [(low, high)] = mean_intervals(apart[:, None], np.ones(ROWS), 0)
    assert (figure.low, figure.high) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize("function", ["hit", "share_of_first"])
def test_the_interval_covers_the_truth(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 60 samples, the intervals of at least 50 hold the change over all rows: 57 are expected, and fewer
    than 51 have a chance below 1 in 100."""
    monkeypatch.setattr(own_metric, "_DRAWS", (200,))
    covered, whole = 0, rated(function)
    for seed in range(60):
        chosen = np.random.default_rng(seed).choice(ROWS, 100)
        part = rated(function, VARIANT[chosen], scores=SCORES[chosen], labels=LABELS[chosen])
        covered += part.low <= whole.change <= part.high
    assert covered >= 50


def test_a_metric_needs_no_labels() -> None:
    """Rows without labels are rated by their answers."""
    share = float((VARIANT.argmax(axis=1) == 0).mean())
    assert rated("share_of_first", labels=None).value == pytest.approx(share)


@pytest.mark.parametrize(
    ("better", "low", "high", "rejected"),
    [
        ("higher", -0.3, 0.1, True),
        ("higher", -0.1, 0.3, False),
        ("lower", -0.1, 0.3, True),
        ("lower", -0.3, 0.1, False),
    ],
)
def test_the_floor_judges_the_worse_end(
    better: Literal["higher", "lower"], low: float, high: float, rejected: bool
) -> None:
    """A drop of 0.2 is allowed: which end of the interval counts depends on what is better."""
    figure = MetricFigure(value=5, change=0, low=low, high=high, function="m:f", better=better, draws=None)
    reason = judge(Floor(metric_drop=0.2), Quality(task="regression", rows=9, metric=figure))
    assert (reason is not None) == rejected


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        ("raises", r"raises failed: KeyError: 'logits'; correct it"),
        ("is_wide", r"is_wide returned an array of the shape \[300, 3\] for 300 rows; return one number"),
        ("is_nothing", "is_nothing returned a NoneType for 300 rows"),
        ("is_text", "is_text returned a str for 300 rows"),
        ("is_nan", "is_nan returned NaN or infinity in row 7"),
        ("is_random", "is_random returned other numbers for the same answers"),
        ("changes_its_input", "changes_its_input failed: ValueError: output array is read-only"),
        ("of_few_rows", "of_few_rows has no figure for 1000 of 1000 draws"),
    ],
)
def test_a_faulty_function_is_told(function: str, fault: str) -> None:
    """The error names the function, what it did, and the fix."""
    with pytest.raises(InvalidData, match=f"metric tests.export.proof.rating_functions:{fault}"):
        rated(function)


def test_an_unknown_function_is_told() -> None:
    """The error suggests the nearest function of the module."""
    with pytest.raises(InvalidSource, match=r"no function 'hits'; did you mean 'hit'\?"):
        rated("hits")


def test_a_slow_figure_of_all_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that is too slow to be drawn is refused; a value per row needs no draws."""
    monkeypatch.setattr(own_metric, "_BUDGET_S", 0)
    with pytest.raises(
        InvalidData, match="needs 200 calls in 0 s; make it faster, or return one number per row"
    ):
        rated("macro_f1")
    assert rated("hit").draws is None


def test_a_slower_figure_has_fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of draws follows from the CPU time of a call."""
    clock = iter([0.0, 0.05, 1.0])
    monkeypatch.setattr("time.process_time", lambda: next(clock))
    assert rated("macro_f1").draws == 300


def test_each_call_has_the_time_limit_of_foreign_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that watches the export learns when the function begins and ends."""
    heard: list[str] = []
    monkeypatch.setattr(foreign_code, "_watchers", [heard.append])
    rated("hit")
    assert "metric tests.export.proof.rating_functions:hit" in heard
    assert heard[-1] == ""
