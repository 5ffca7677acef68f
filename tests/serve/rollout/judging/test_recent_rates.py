"""Which harm the watch of all traffic finds, compared with the earlier steps."""

import numpy as np
import pytest

from serve.rollout.evidence.evidence import Evidence
from serve.rollout.evidence.time_window import TimeWindow
from serve.rollout.judging.guard_figure import Figure
from serve.rollout.judging.judge import find
from serve.rollout.judging.recent_rates import LATELY
from tests.serve.rollout.rollouts import at_step, segment

# Each variant has two errors in a thousand requests, at half of the traffic.
BEFORE = (segment(4, 20_000, errors=(20, 20)),)


def stretches(*errors: int, over_limit: int = 0) -> tuple[TimeWindow, ...]:
    """Half minutes with 3,000 requests each."""
    return tuple(
        TimeWindow(
            started_s=30.0 * number,
            ended_s=30.0 * number + 30,
            requests=3000,
            errors=failed,
            timed=3000,
            over_limit=over_limit,
        )
        for number, failed in enumerate(errors)
    )


def lately(evidence: Evidence, step: int = 5) -> tuple[Figure, ...]:
    """Return the figures of the last step and the watch."""
    return tuple(figure for figure in find(at_step(step), evidence) if figure.guard in LATELY)


def found(*errors: int, over_limit: int = 0) -> tuple[Figure, ...]:
    """Return the figures after half minutes with these numbers of errors."""
    return lately(Evidence(segments=BEFORE, lately=stretches(*errors, over_limit=over_limit)))


def test_before_the_last_step_there_is_nothing_to_find() -> None:
    """Before the last step there are no figures of the watch."""
    assert lately(Evidence(segments=BEFORE), 4) == ()


def test_failing_every_request_is_harm() -> None:
    """Total failure is harm within three minutes, and the reason gives the counts."""
    errors, latency = found(6, 6, *[3000] * 6)
    assert errors.harmful
    assert not latency.harmful
    assert "18,000 of 18,000 (100.00%) in the last 3 min" in errors.seen


def test_ten_times_the_errors_are_harm_in_a_few_minutes() -> None:
    """Ten times the errors, 3 % instead of 0.3 %, is harm within 12 minutes."""
    assert found(*[90] * 24)[0].harmful


def test_few_more_errors_are_harm_within_the_hour() -> None:
    """1.5 % errors, where 0.2 % were seen, are harm within 50 minutes."""
    assert found(*[45] * 100)[0].harmful


def test_slow_answers_are_harm() -> None:
    """20 % of requests over the limit, where there were none, is harm."""
    errors, latency = found(*[6] * 7, over_limit=600)
    assert (errors.harmful, latency.harmful) == (False, True)


def test_harm_after_long_calm_is_found_as_soon() -> None:
    """Harm after 17 calm minutes is found as soon as harm at the start."""
    assert found(*[6] * 34, *[3000] * 6)[0].harmful


@pytest.mark.parametrize("length", [1, 2])
def test_a_stall_is_no_harm(length: int) -> None:
    """Two stalls of up to a minute in ten minutes are no harm."""
    stall = [3000] * length
    assert not found(*[6] * 4, *stall, *[6] * 14, *stall)[0].harmful


def test_half_as_many_errors_again_are_no_harm() -> None:
    """Half as many errors again are no harm."""
    assert not found(*[9] * 40)[0].harmful


def test_equal_variants_are_hardly_ever_rolled_back() -> None:
    """In an hour with stalls, at most 2 of 30 equal candidates are rolled back (1 % plus four deviations)."""
    rng, harmful = np.random.default_rng(7), 0
    before = (segment(4, 60_000, errors=(1000, 1000)),)
    for _ in range(30):
        bad_s = np.minimum(rng.poisson(0.1, 120) * rng.geometric(0.1, 120), 30)
        errors = rng.binomial(3000, 0.002, 120) + 100 * bad_s
        whole = stretches(*(int(count) for count in np.minimum(errors, 3000)))
        looks = (Evidence(segments=before, lately=whole[:end]) for end in range(1, 121))
        harmful += any(lately(seen)[0].harmful for seen in looks)
    assert harmful <= 2


def test_what_the_baseline_has_now_too_is_no_harm() -> None:
    """Errors that the baseline has now, too, are no harm."""
    here = segment(5, 60_000, errors=(1000, 19_000))
    evidence = Evidence(segments=(*BEFORE, here), lately=stretches(*[1000] * 19))
    assert not lately(evidence)[0].harmful
