"""Estimates of the time that missing evidence still takes."""

import pytest

from serve.rollout.evidence.evidence import Evidence, Pair, Segment
from serve.rollout.judging.counts import counts_of
from serve.rollout.judging.guarded_metric import Count, GuardedMetric, about
from serve.rollout.judging.judge import judge
from serve.rollout.state.policy import ErrorGuard
from tests.serve.rollout.judging.test_latency import spread
from tests.serve.rollout.rollouts import at_step, segment


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, ", not in sight at this rate"),
        (100, ""),
        (1500, ", about 25 min at this rate"),
        (32_000, ", about 9 h at this rate"),
        (200_000, ", about 2 d at this rate"),
    ],
)
def test_a_time_is_said_in_its_largest_unit(seconds: float | None, said: str) -> None:
    """A duration is given in its largest unit, and omitted if it is short."""
    assert about(seconds) == said


def counting(here: Segment) -> Count:
    """The counts of one segment, of any kind."""
    return lambda kind: counts_of(Evidence(segments=(here,)), kind, 30.0)


def test_missing_requests_say_how_long_they_take() -> None:
    """The reason estimates the time for missing requests from their rate."""
    evidence = Evidence(segments=(segment(2, 100),))
    assert "100 of 1,000 requests, about 9 h at this rate" in judge(at_step(2), evidence, 3600.0).reason


def test_a_missing_proof_says_how_long_it_takes() -> None:
    """The reason estimates the hours until the errors are proven safe."""
    here = segment(4, 2000).model_copy(update={"errors": spread(10, 10)})
    reason = judge(at_step(4), Evidence(segments=(here,)), 3600.0).reason
    [errors] = [part for part in reason.split("; ") if "errors unproven" in part]
    hours = int(errors.split(", about ")[1].split(" h at this rate")[0])
    assert 5 <= hours <= 25


def test_the_time_that_is_said_is_the_time_it_takes() -> None:
    """The estimated growth of the evidence proves safety, and 80 % of it does not."""
    here = segment(4, 2000).model_copy(update={"errors": spread(10, 10)})
    watched = GuardedMetric(name="errors", guard=ErrorGuard(), kind="errors")
    growth = watched.growth([here], counting(here), 4, 3.0)
    assert growth is not None

    def safe(times: float) -> float:
        events = round(10 * times)
        grown = Pair(baseline=100 * events, candidate=100 * events)
        longer = here.model_copy(update={"requests": grown, "errors": spread(events, events)})
        return watched.figure([longer], counting(longer)).safe or 0.0

    assert safe(1 + growth) >= 3 - 0.1
    assert safe(1 + 0.8 * growth) < 3


def test_a_proof_that_is_not_in_sight_is_said_to_be() -> None:
    """Three times the errors give `not in sight` in place of an estimate."""
    here = segment(4, 2000).model_copy(update={"errors": spread(5, 15)})
    reason = judge(at_step(4), Evidence(segments=(here,)), 3600.0).reason
    assert "needed, not in sight at this rate" in reason
