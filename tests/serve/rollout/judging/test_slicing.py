import math

import numpy as np
import pytest

from serve.counting.comparison import Clusters, Comparison
from serve.rollout.evidence.evalues import log_rate_below
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.judging.judge import Kind, judge
from serve.rollout.judging.slicing import least_pairs, missing_of, not_compared, short_of
from serve.rollout.state.policy import Policy, ShadowPolicy, Slices
from tests.serve.rollout.rollouts import at_step, shadowed


@pytest.mark.parametrize("agreement", [0.8, 0.98, 0.995])
def test_so_many_pairs_would_show_that_a_slice_agrees(agreement: float) -> None:
    """`least_pairs` without a difference prove the agreement, and 95 % of them do not."""
    least = least_pairs(agreement, 0.95)
    shown = [float(log_rate_below(0.0, pairs, 1 - agreement)) for pairs in (least, 0.95 * least)]
    assert shown[0] >= math.log(20) > shown[1]


def test_rows_of_one_request_are_no_more_than_they_say() -> None:
    """400 pairs of five requests need many more pairs."""
    few = Comparison(pairs=400, clusters=Clusters(requests=5, squares=5 * 80**2))
    [short] = short_of(Policy(), {"fr": few})
    assert (short.pairs, short.needed > 20_000) == (400, True)


def test_the_rarest_three_are_named() -> None:
    """The reason names the three rarest slices and counts the others."""
    slices = {str(number): shadowed(number, 0) for number in range(1, 6)}
    [said] = missing_of(Policy(), slices, 600.0)
    assert said.startswith("slice '1': 1 of 320 pairs, about ")
    assert "slice '4'" not in said
    assert "; and 2 more slices; " in said
    assert "1,800 s" in said
    assert not_compared(Policy(), slices).endswith("; slice '3': 3 of 320 pairs; and 2 more slices")


@pytest.mark.parametrize("slices", [None, Slices(maximum_s=0)])
def test_nobody_waits_where_the_policy_does_not_ask(slices: Slices | None) -> None:
    """If slices are not judged or not waited for, no pairs are missing."""
    assert missing_of(Policy(shadow=ShadowPolicy(slices=slices)), {"fr": shadowed(1, 0)}, 0.0) == []


@pytest.mark.parametrize("share", [0.01, 0.02, 0.03])
def test_a_slice_that_is_wrong_in_three_of_ten_is_let_on_by_no_shadow(share: float) -> None:
    """In 100 of 100 simulated shadows a slice that is wrong in 30 % of its pairs gives ROLLBACK."""
    rng = np.random.default_rng(1)
    for _ in range(100):
        assert _end_of(rng, share, 0.3) is Kind.ROLLBACK


def _end_of(rng: np.random.Generator, share: float, wrong: float) -> Kind:
    """How a shadow of a thousand pairs a second ends; a slice has this share, and is wrong so often."""
    pairs = differ = second = 0
    kind = Kind.CONTINUE
    while kind is Kind.CONTINUE:
        second += 1
        came = int(rng.binomial(1000, share))
        pairs, differ = pairs + came, differ + int(rng.binomial(came, wrong))
        slices = {"fr": shadowed(pairs, differ)} if pairs else {}
        seen = Evidence(shadow=shadowed(1000 * second, differ), slices=slices)
        kind = judge(at_step(0), seen, float(second)).kind
    return kind
