"""Every output has its figures, by the comparison that the shadow uses."""

from typing import Any

import numpy as np
import pytest

from export.proof import output_quality as outputs
from export.proof.output_quality import (
    compare_all,
    estimate_agreement,
    find_changes,
    measure_outputs,
    measure_whole,
    read_meanings,
)
from export.proof.quality import measure
from serve.bundles.meaning import Task
from serve.tasks.compare_outputs import compare

RANDOM = np.random.default_rng(0)
ROWS = 200


def model(noise: float, seed: int = 1) -> dict[str, Any]:
    """Scores, a number, a label and a tensor, each with so much noise."""
    random = np.random.default_rng(seed)
    base = np.random.default_rng(0)
    floats = {
        name: (base.normal(size=shape) + noise * random.normal(size=shape)).astype(np.float32)
        for name, shape in (("scores", (ROWS, 5)), ("price", (ROWS, 1)), ("state", (ROWS, 2, 6)))
    }
    return {**floats, "label": floats["scores"].argmax(1)}


def figures(task: Task, baseline: dict[str, Any], variant: dict[str, Any]) -> dict[str, Any]:
    """Return the figures by output."""
    meanings = read_meanings(task, baseline, labelled=False)
    return {item.name: item for item in measure_outputs(task, meanings, baseline, variant)}


def test_every_output_has_an_agreement() -> None:
    """Each output has an agreement by its meaning; a label agrees as often as its scores."""
    found = figures("classification", model(0), model(0.3))
    assert {name: item.meaning.kind for name, item in found.items()} == {
        "scores": "classes",
        "price": "numbers",
        "state": "numbers",
        "label": "exact",
    }
    assert found["label"].agreement == found["scores"].agreement
    assert found["price"].agreement.value < 0.6


@pytest.mark.parametrize("name", ["scores", "price", "state", "label"])
def test_an_output_that_is_ruined_alone_is_found(name: str) -> None:
    """A single ruined output has a low agreement, and the whole has no higher one."""
    baseline, variant = model(0), model(0.001)
    variant[name] = variant[name][::-1].copy()
    found = figures("classification", baseline, variant)
    whole = measure_whole(
        "classification", read_meanings("classification", baseline, False), baseline, variant
    )
    low = {key for key, item in found.items() if item.agreement.value < 0.9}
    assert low == {name}
    assert whole.value <= found[name].agreement.value


def test_the_share_is_the_shadows() -> None:
    """The agreement of each output equals the shadow's on the same rows."""
    baseline, variant = model(0), model(0.3)
    meanings = read_meanings("classification", baseline, labelled=False)
    for name, item in figures("classification", baseline, variant).items():
        differ = compare("classification", baseline[name], variant[name], meanings[name]).differ
        assert item.agreement.value == pytest.approx(1 - differ.mean())


@pytest.mark.parametrize("task", ["classification", "token_classification"])
def test_the_floors_agreement_is_the_shadows(task: Task) -> None:
    """The agreement equals the shadow's, also for tokens."""
    shape = (ROWS, 40, 9) if task == "token_classification" else (ROWS, 9)
    baseline = RANDOM.normal(size=shape).astype(np.float32)
    variant = (baseline + RANDOM.normal(0, 0.05, shape)).astype(np.float32)
    agreement = measure(task, baseline, variant, None, 0).agreement
    assert agreement is not None
    assert 0.9 < agreement.value < 1
    assert agreement.value == pytest.approx(1 - compare(task, baseline, variant).differ.mean())


def test_blocks_of_rows_are_one_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing in blocks of rows gives the same figures."""
    baseline, variant = model(0), model(0.3)
    meanings = read_meanings("classification", baseline, labelled=False)
    whole = {
        name: compare_all("classification", meanings[name], baseline[name], variant[name])
        for name in meanings
    }
    monkeypatch.setattr(outputs, "_BLOCK", 30)
    for name, one in whole.items():
        many = compare_all("classification", meanings[name], baseline[name], variant[name])
        assert many.sums([ROWS]) == one.sums([ROWS])
        assert estimate_agreement(many) == estimate_agreement(one)


def test_numbers_have_the_share_of_variance_that_is_right() -> None:
    """R2 is that of the worst column: 0.75 with noise of half a deviation. Undeclared scores have one,
    too."""
    baseline, variant = model(0), model(0)
    variant["price"] = variant["price"] + 0.5 * RANDOM.normal(size=(ROWS, 1))
    found = figures("classification", baseline, variant)
    assert found["price"].r2 == pytest.approx(0.75, abs=0.05)
    assert (found["state"].r2, found["scores"].r2) == (1, 1)


def test_a_constant_number_has_no_share_of_variance() -> None:
    """A constant output has no R2, and causes no division by zero."""
    baseline = {"y": np.full((ROWS, 1), 3, np.float32)}
    assert figures("classification", baseline, {"y": baseline["y"] + 1})["y"].r2 is None


def test_changes_of_every_output_are_told() -> None:
    """A change of meaning is reported for every output, not only for the first."""
    baseline = model(0)
    shares = np.exp(baseline["scores"]) / np.exp(baseline["scores"]).sum(1, keepdims=True)
    baseline = {
        "scores": baseline["scores"],
        "chances": 1 / (1 + np.exp(-baseline["price"])),
        "shares": shares,
    }
    variant = {**baseline, "chances": baseline["chances"] * 9, "shares": np.log(shares)}
    changes = find_changes(read_meanings("classification", baseline, False), baseline, variant)
    assert changes is not None
    assert ("`chances`" in changes, "`shares`" in changes, "`scores`" in changes) == (True, True, False)


def test_the_baseline_beside_itself_is_no_estimate() -> None:
    """The agreement of the baseline with itself is 1, without an interval."""
    baseline = model(0)
    assert {
        (item.agreement.low, item.r2) for item in figures("classification", baseline, baseline).values()
    } == {
        (1.0, None),
        (1.0, 1.0),
    }


@pytest.mark.parametrize(
    ("shared", "spread", "rows", "centred"),
    [(2, 1, 200, True), (0.5, 1, 200, False), (2, 1, 9, False), (2, 1e-6, 200, False)],
    ids=["cone", "sphere", "few rows", "rounding"],
)
def test_embeddings_that_share_a_direction_have_a_centre(
    shared: float, spread: float, rows: int, centred: bool
) -> None:
    """Embeddings whose mean is over half of their mean square have a centre, unless the rest is rounding."""
    vectors = shared + spread * np.random.default_rng(0).normal(size=(rows, 8))
    centre = read_meanings("embedding", {"y": vectors}, labelled=False)["y"].centre
    assert bool(centre) is centred
    if centred:
        assert centre == pytest.approx(vectors.mean(axis=0))
