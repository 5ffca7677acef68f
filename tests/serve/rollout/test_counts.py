"""The arrays that guards weigh are those of the segments as they stand."""

from functools import reduce

from serve.rollout.counts import counts_of
from serve.rollout.evidence import Events, Evidence, Pair, Segment


def second(step: int, at_s: int, errors: int) -> Segment:
    """A second with 50 requests of each variant, and so many errors of the candidate."""
    return Segment(
        step=step,
        split=0.25 * step,
        started_s=at_s,
        ended_s=at_s + 1,
        requests=Pair(baseline=50, candidate=50),
        errors=Events.tick(0, errors),
    )


def stalling_s(*ticks: Segment) -> float:
    """How long the candidate has been stalling after them."""
    stalls = counts_of(reduce(Evidence.with_tick, ticks, Evidence()), "errors", 30.0).stalls
    assert stalls is not None
    return float(stalls.lasted_s)


def test_a_stall_ends_with_its_step_at_the_latest() -> None:
    """It is known while it lasts, and no longer under way when the next step has begun."""
    stall = [second(1, at_s, 50 if at_s >= 30 else 0) for at_s in range(40)]
    assert stalling_s(*stall) == 10
    assert stalling_s(*stall, second(2, 40, 0)) == 0
