"""What the pairs of a shadow prove, where rows of one request are alike."""

import math

import numpy as np
import pytest

from serve.rollout.evidence.evalues import log_rate_above, log_rate_below
from serve.rollout.evidence.evidence import Clusters, Comparison
from serve.rollout.judging.shadow_likeness import above, below, compare_slices, design_effect, pairs_of
from tests.serve.rollout.rollouts import shadowed
from tests.serve.rollout.shadow_rows import simulate_rows


def whole_requests(requests: int, differing: int, rows: int) -> Comparison:
    """Return requests of `rows` rows each, in which all rows differ or none."""
    square = rows**2
    return Comparison(
        pairs=requests * rows,
        disagreements=differing * rows,
        clusters=Clusters(
            requests=requests,
            differing=differing,
            differ_squares=differing * square,
            products=differing * square,
            squares=requests * square,
        ),
    )


def test_a_pair_that_came_alone_counts_as_one() -> None:
    """With one row a request, the test equals that of independent pairs."""
    alone = pairs_of(shadowed(2000, 60))
    assert float(design_effect(alone)) == 1.0
    assert float(above(alone, 0.02)) == float(log_rate_above(60, 2000, 0.02))
    assert float(below(alone, 0.02)) == float(log_rate_below(60, 2000, 0.02))


@pytest.mark.parametrize("differing", [0, 1, 30])
def test_rows_that_all_differ_or_none_count_as_one(differing: int) -> None:
    """If all rows of a request differ or none, the request counts as one."""
    seen = pairs_of(whole_requests(1000, differing, 64))
    assert float(design_effect(seen)) == pytest.approx(64)
    assert float(above(seen, 0.02)) == pytest.approx(float(log_rate_above(differing, 1000, 0.02)))


@pytest.mark.parametrize("alike", [0.001, 0.05, 0.2])
def test_a_good_candidate_passes_however_alike_rows_are(alike: float) -> None:
    """With 1 % differing where 2 % are allowed, at most 7 of 200 runs are rolled back, and 95 % are
    promoted."""
    back, on = simulate_rows(0.01, alike, runs=200)
    assert np.isfinite(back).sum() <= 7
    assert np.isfinite(on).mean() >= 0.95


@pytest.mark.parametrize("alike", [0.001, 0.05, 0.2])
def test_a_bad_candidate_is_not_let_on_however_alike_rows_are(alike: float) -> None:
    """With 3 % differing where 2 % are allowed, at most 7 of 200 runs are promoted, and 95 % are rolled
    back."""
    back, on = simulate_rows(0.03, alike, runs=200)
    assert np.isfinite(on).sum() <= 7
    assert np.isfinite(back).mean() >= 0.95


def test_slices_share_the_odds() -> None:
    """One slice needs 33 times the odds, and three equal ones 11 times (e-BH)."""
    part = shadowed(300, 30)
    evidence = float(above(pairs_of(part), 0.02))
    one, three = (compare_slices(0.98, {str(each): part for each in range(count)}, 0.95) for count in (1, 3))
    assert one.harm == pytest.approx(evidence - math.log(33), rel=1e-5)
    assert three.harm == pytest.approx(evidence - math.log(11), rel=1e-5)


def test_the_slices_that_count_are_named() -> None:
    """The three worst slices are named, and the number of further ones is given."""
    slices = {f"s{each}": shadowed(300, 30 + each) for each in range(5)} | {"fine": shadowed(300, 1)}
    figure = compare_slices(0.98, slices, 0.95)
    assert [name in figure.seen for name in ("'s4'", "'s3'", "'s2'", "'s1'", "fine")] == [True] * 3 + [
        False
    ] * 2
    assert figure.seen.endswith("; and 2 more")


def test_without_slices_nothing_is_found() -> None:
    """Without slices there is no evidence."""
    assert compare_slices(0.98, {}, 0.95).harm is None
