"""The arrays that the guards use equal the counts of the segments."""

from functools import reduce

import numpy as np
import pytest

from serve.counting.key_counts import KeyCounts
from serve.rollout.evidence.evidence import Carried, Events, Evidence, Pair, Segment
from serve.rollout.judging.clusters import log_above
from serve.rollout.judging.counts import counts_of


def second(step: int, at_s: int, errors: int) -> Segment:
    """Return a second with 50 requests of each variant and `errors` of the candidate."""
    return Segment(
        step=step,
        split=0.25 * step,
        started_s=at_s,
        ended_s=at_s + 1,
        requests=Pair(baseline=50, candidate=50),
        errors=Events.tick(0, errors),
    )


def stalling_s(*ticks: Segment) -> float:
    """Return how long the candidate has been stalling."""
    stalls = counts_of(reduce(Evidence.with_tick, ticks, Evidence()), "errors", 30.0).stalls
    assert stalls is not None
    return float(stalls.lasted_s)


def test_a_stall_ends_with_its_step_at_the_latest() -> None:
    """A stall in progress ends with its step."""
    stall = [second(1, at_s, 50 if at_s >= 30 else 0) for at_s in range(40)]
    assert stalling_s(*stall) == 10
    assert stalling_s(*stall, second(2, 40, 0)) == 0


@pytest.mark.parametrize(("sticky", "ended"), [(False, [0, 1]), (True, [0, 0])])
def test_a_user_who_tries_again_is_no_stall(sticky: bool, ended: list[int]) -> None:
    """With sticky keys a burst of errors is not counted as a stall."""
    ticks = [second(1, at_s, 50 if 30 <= at_s < 40 else 0) for at_s in range(80)]
    evidence = reduce(
        Evidence.with_tick, (tick.model_copy(update={"sticky": sticky}) for tick in ticks), Evidence()
    )
    stalls = counts_of(evidence, "errors", 30.0).stalls
    assert stalls is not None
    assert stalls.ended.tolist() == ended


def keyed(base: KeyCounts, mine: KeyCounts, step: int = 1, timed: bool = True) -> Segment:
    """A second of requests that stuck to keys; `timed`: with a limit."""
    [requests, errors, over] = (
        [sum(getattr(keys, name).values()) for keys in (base, mine)]
        for name in ("buckets", "errors", "over_limit")
    )
    return Segment(
        step=step,
        split=0.5,
        sticky=True,
        started_s=step,
        ended_s=step + 1,
        requests=Pair(baseline=requests[0], candidate=requests[1]),
        errors=Events.tick(*errors),
        timed=Pair(baseline=requests[0], candidate=requests[1]) if timed else Pair(),
        over_limit=Events.tick(*over),
        baseline_keys=base,
        candidate_keys=mine,
    )


def keys(buckets: range, bad: int) -> KeyCounts:
    """Return 1,000 requests in each bucket, of which `bad` failed and `bad` were over the limit."""
    return KeyCounts(
        buckets=dict.fromkeys(buckets, 1000),
        errors=dict.fromkeys(buckets, bad),
        over_limit=dict.fromkeys(buckets, bad),
    )


def odds_of(evidence: Evidence, kind: str) -> float:
    """The log of the odds that the candidate has such events more often, by what its keys did before."""
    found = counts_of(evidence, kind, 30.0).keyed
    assert found is not None
    return float(log_above(found, 1.0))


def test_what_keys_did_before_the_rollout_is_known_of_errors_alone() -> None:
    """Errors of keys before the rollout explain those now; for slow requests nothing is known before."""
    now = keyed(keys(range(20), 20), keys(range(20, 40), 40))
    hour = [keys(range(20), 20) + keys(range(20, 40), 40)] * 20
    evidence = Evidence(before=sum(hour, KeyCounts()).without_limits).with_tick(now)
    assert odds_of(evidence, "errors") < np.log(5)
    assert odds_of(evidence, "over_limit") > np.log(1000)


def test_a_step_without_a_limit_says_nothing_of_its_keys() -> None:
    """A step without a latency limit does not change the evidence on slow requests by key."""
    evidence = Evidence(past=keys(range(40), 30))
    unlimited = keyed(keys(range(20), 0), keys(range(20, 40), 0), timed=False)
    now = keyed(keys(range(20), 20), keys(range(20, 40), 40), step=2)
    alone = odds_of(evidence.with_tick(now), "over_limit")
    assert odds_of(evidence.with_tick(unlimited).with_tick(now), "over_limit") == pytest.approx(alone)


def test_what_was_counted_before_courses_were_kept_is_weighed_on() -> None:
    """Evidence that was stored without an event series is used, together with new ticks."""
    old = [second(1, at_s, 1) for at_s in range(60)]
    first, here = (
        reduce(Segment.__add__, old),
        reduce(Segment.__add__, [second(2, 60 + at, 1) for at in range(60)]),
    )
    evidence = Evidence(segments=(first, here)).with_tick(second(2, 120, 1))
    counts = counts_of(evidence, "errors", 30.0)
    assert counts.candidate.tolist() == [60, 61]
    assert counts.trials == 121 * 50
    assert counts.dispersion.tolist() == pytest.approx([1, 1], abs=0.5)


def test_what_an_older_rollout_carried_on_is_no_second_of_this_one() -> None:
    """Carried evidence without an event series adds its events and is no burst."""
    old = reduce(Segment.__add__, [second(1, at_s, 1) for at_s in range(60)])
    known = Evidence(carried=Carried(segments=(old,))).with_tick(second(1, 1000, 1)).known
    counts = counts_of(known, "errors", 30.0)
    assert counts.candidate.tolist() == [61]
    assert counts.stalls is not None
    assert counts.stalls.lasted_s == 0
