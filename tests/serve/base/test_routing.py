from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from serve.base.errors import InvalidRecord
from serve.base.routing import BUCKETS, Routes, bucket_of, choose, parse_weights, point_of

WEIGHTS = st.integers(min_value=0, max_value=100)


def routes(**weights: float) -> Routes:
    return Routes(model="digits", baseline="base", weights=weights)


def test_random_points_follow_the_weights() -> None:
    """Over 100,000 keyless requests the counts pass a chi-squared test at 1 in a million.

    Each request is an independent draw with the weights as probabilities, so the counts are multinomial;
    a fair router fails this in one run of a million."""
    split = routes(base=90, light=7, slim=3)
    counts = Counter(choose(split, point_of("digits", None)) for _ in range(100_000))
    expected = [90_000, 7_000, 3_000]
    assert chisquare([counts["base"], counts["light"], counts["slim"]], expected).pvalue > 1e-6


def test_all_keys_of_a_bucket_get_one_variant() -> None:
    """Only one bucket of 1,024 holds keys of both variants: the one in which the candidate's 5 % end."""
    split = routes(base=95, light=5)
    points = [point_of("digits", f"user-{number}") for number in range(100_000)]
    seen = {(bucket_of(point), choose(split, point)) for point in points}
    assert len(seen) == BUCKETS + 1
    assert sum(variant == "light" for _, variant in seen) == 52


def test_keys_follow_the_weights() -> None:
    """100,000 different keys split 90 to 10 as random points would, by a chi-squared test."""
    split = routes(base=90, light=10)
    counts = Counter(choose(split, point_of("digits", f"user-{number}")) for number in range(100_000))
    assert chisquare([counts["base"], counts["light"]], [90_000, 10_000]).pvalue > 1e-6


def test_the_stretches_are_exactly_as_long_as_the_shares() -> None:
    """Of 1,000 evenly spaced points each variant gets exactly its share."""
    split = routes(base=90, light=7, slim=3)
    counts = Counter(choose(split, (number + 0.5) / 1000) for number in range(1000))
    assert counts == {"base": 900, "light": 70, "slim": 30}


def test_the_same_key_always_gets_the_same_variant() -> None:
    """A sticky key gets the same variant each time."""
    split = routes(base=50, light=50)
    assert len({choose(split, point_of("digits", "user-7")) for _ in range(100)}) == 1


def test_keys_of_one_model_say_nothing_about_another() -> None:
    """Two models assign keys independently: 10,000 keys agree in 5,000 +- 300 cases (6 deviations)."""
    split = routes(base=50, light=50)
    keys = [f"user-{number}" for number in range(10_000)]
    same = sum(choose(split, point_of("a", key)) == choose(split, point_of("b", key)) for key in keys)
    assert abs(same - 5_000) < 300


@given(point=st.floats(0, 1, exclude_max=True))
def test_the_order_of_the_weights_moves_nobody(point: float) -> None:
    """The order in which the weights are written does not change which variant a point gets."""
    one, other = routes(base=80, light=15, slim=5), routes(slim=5, light=15, base=80)
    assert choose(one, point) == choose(other, point)


@given(low=WEIGHTS, high=WEIGHTS, other=WEIGHTS, point=st.floats(0, 1, exclude_max=True))
def test_raising_a_candidate_moves_points_only_from_the_baseline_to_it(
    low: int, high: int, other: int, point: float
) -> None:
    """Raising one candidate's weight moves points only from the baseline to that candidate."""
    low, high = sorted((low, high))
    before = choose(routes(base=200 - low - other, light=low, slim=other), point)
    after = choose(routes(base=200 - high - other, light=high, slim=other), point)
    assert (before, after) in {(before, before), ("base", "light")}


@given(weights=st.lists(WEIGHTS, min_size=2, max_size=6).filter(any), point=st.floats(0, 1, exclude_max=True))
def test_weight_zero_means_no_request_at_all(weights: list[int], point: float) -> None:
    """No point falls to a variant of weight 0, not even the last one before 1."""
    split = routes(**dict(zip(["base", *"vwxyz"], map(float, weights), strict=False)))
    assert split.weights[choose(split, point)] > 0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"light": 1}, "baseline 'base'"),
        ({"base": 0, "light": 0}, "sum to 0"),
        ({"base": -1}, "base"),
    ],
    ids=["no baseline", "all zero", "negative"],
)
def test_refuses_weights_that_make_no_split(weights: dict[str, float], message: str) -> None:
    """Unsound weights are refused before they route anything."""
    with pytest.raises(InvalidRecord, match=message):
        Routes.parse({"model": "digits", "baseline": "base", "weights": weights}, "--weights")


def test_reads_weights_as_a_person_writes_them() -> None:
    """Weights are parsed from the form that the command line uses."""
    assert parse_weights("digits:fp32=90,slim-int8=10") == ("digits", {"fp32": 90.0, "slim-int8": 10.0})


@pytest.mark.parametrize(
    "text",
    ["digits", "digits:", "digits:fp32", "digits:fp32=x", "digits:a=1,a=2", ":a=1", "m:a=nan", "m:a=-1"],
)
def test_refuses_weights_it_cannot_read(text: str) -> None:
    """The error shows the form that is expected."""
    with pytest.raises(InvalidRecord, match="such as digits:fp32=90,slim-int8=10"):
        parse_weights(text)
