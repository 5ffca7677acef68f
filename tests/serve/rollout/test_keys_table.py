"""The table's sums by bucket equal those of the evidence."""

from dataclasses import replace

import numpy as np
import pytest

from serve.counting.key_counts import KeyCounts
from serve.rollout.evidence.evidence import Events, Evidence, Pair, Segment
from serve.rollout.judging.counts import counts_of
from serve.rollout.judging.guards import harm, safety
from tests.serve.rollout.keys_table import POLICY, POPULATIONS, KeyedRuns, Whole, twice

CUSTOMERS = replace(POPULATIONS[2], worse=twice, past_s=60.0)


def keys_of(requests: Whole, errors: Whole) -> KeyCounts:
    """Return the counts by bucket."""
    return KeyCounts(
        **{
            name: {int(bucket): int(numbers[bucket]) for bucket in np.flatnonzero(numbers)}
            for name, numbers in (("buckets", requests), ("errors", errors))
        }
    )


def tick_of(runs: KeyedRuns, step: int, at_s: int) -> Segment:
    """Return the tick that was drawn last, in the only run."""
    _, mine, bucket, failed = runs.drawn
    keys = [
        keys_of(*(np.bincount(bucket[(mine == side) & which], minlength=1) for which in (True, failed)))
        for side in (0, 1)
    ]
    requests = [sum(each.buckets.values()) for each in keys]
    errors = [sum(each.errors.values()) for each in keys]
    return Segment(
        step=step + 1,
        split=runs.shares[step],
        sticky=True,
        started_s=at_s,
        ended_s=at_s + 1,
        requests=Pair(baseline=requests[0], candidate=requests[1]),
        errors=Events.tick(*errors),
        baseline_keys=keys[0],
        candidate_keys=keys[1],
    )


def test_the_arrays_are_what_the_evidence_says() -> None:
    """The table's evidence of harm and safety equals the guard's over the same seconds."""
    runs = KeyedRuns(CUSTOMERS, np.random.default_rng(1), 1)
    evidence = Evidence(before=keys_of(*runs.keys[:, 0, 0, 0]))
    for now_s in range(1, 151):
        # The look that may move the rollout comes after this second is counted.
        step = int(runs.step[0])
        runs.tick(now_s)
        evidence = evidence.with_tick(tick_of(runs, step, now_s))
    assert runs.step[0] == 2
    guard, mine = POLICY.guards.errors, runs.counts(runs.alive)
    its = counts_of(evidence, "errors", POLICY.guards.stall_s)
    assert float(harm(guard, its)) == pytest.approx(harm(guard, mine)[0])
    assert float(safety(guard, its)) == pytest.approx(safety(guard, mine)[0])
