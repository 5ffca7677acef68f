from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serve.counting.key_counts import KeyCounts
from serve.rollout.evidence.evidence import (
    Carried,
    Clusters,
    Comparison,
    Cost,
    Events,
    Evidence,
    Moments,
    Pair,
    Segment,
)
from serve.rollout.judging.judge import judge
from tests.serve.rollout.rollouts import SHARES, at_step, proven, segment

ticks = st.builds(
    lambda step, requests, errors, late, at: Segment(
        step=step,
        split=SHARES[step - 1],
        started_s=float(at),
        ended_s=at + 1.0,
        requests=Pair(baseline=requests[0], candidate=requests[1]),
        errors=Events.tick(*errors),
        over_limit=Events.tick(*late),
        baseline_cost=Cost.tick(requests[0], 2.0 * requests[0], at_s=float(at)),
        candidate_cost=Cost.tick(requests[1], 1.0 * requests[1], at_s=float(at)),
    ),
    st.integers(1, 5),
    st.tuples(st.integers(20, 40), st.integers(20, 40)),
    st.tuples(st.integers(0, 20), st.integers(0, 20)),
    st.tuples(st.integers(0, 20), st.integers(0, 20)),
    st.integers(0, 3600),
)


def gathered(parts: list[Segment]) -> Evidence:
    return reduce(Evidence.with_tick, parts, Evidence())


def plain(evidence: Evidence) -> Evidence:
    """Return the evidence without its event series, which depend on the order."""
    segments = tuple(segment.model_copy(update={"courses": {}}) for segment in evidence.segments)
    return evidence.model_copy(update={"segments": segments})


@given(parts=st.lists(ticks, min_size=1, max_size=12), data=st.data())
def test_the_order_in_which_ticks_come_means_nothing(parts: list[Segment], data: st.DataObject) -> None:
    """The sums and the verdict do not depend on the order of the ticks."""
    shuffled = data.draw(st.permutations(parts))
    one, other = gathered(parts), gathered(shuffled)
    assert plain(one) == plain(other)
    assert judge(at_step(1), plain(one), 90.0) == judge(at_step(1), plain(other), 90.0)


@given(parts=st.lists(ticks, min_size=2, max_size=12), cut=st.integers(1, 11))
def test_the_cuts_in_time_mean_nothing(parts: list[Segment], cut: int) -> None:
    """Adding up parts first gives the same evidence as adding up ticks."""
    early, late = gathered(parts[:cut]), gathered(parts[cut:])
    assert plain(reduce(Evidence.with_tick, late.segments, early)) == plain(gathered(parts))


def test_segments_of_different_splits_stay_apart() -> None:
    """Each split has a segment of its own."""
    evidence = gathered([segment(1, 100), segment(2, 100), segment(1, 100)])
    assert [(part.split, part.requests.both) for part in evidence.segments] == [(0.01, 200), (0.05, 100)]


def test_evidence_with_two_segments_of_one_split_is_refused() -> None:
    """Evidence with two segments of the same split is refused."""
    with pytest.raises(ValidationError, match="add them up"):
        Evidence(segments=(segment(1, 100), segment(1, 100)))


def test_evidence_survives_json() -> None:
    """Evidence is the same after a round trip through JSON and gives the same verdict."""
    evidence = proven()
    again = Evidence.model_validate_json(evidence.model_dump_json())
    assert again == evidence
    assert judge(at_step(4), again, 90.0) == judge(at_step(4), evidence, 90.0)


def test_pairs_that_were_stored_before_requests_were_counted_came_alone() -> None:
    """Pairs that were stored without requests count as one per request."""
    old = Comparison.model_validate_json('{"pairs": 1000, "disagreements": 4}')
    assert old.clusters == Clusters(requests=1000, differing=4, differ_squares=4, products=4, squares=1000)


def test_comparisons_add_up() -> None:
    """Counts and moments are added, and the largest difference is the maximum."""
    one = Comparison(
        pairs=2, disagreements=1, kl=Moments(count=2, total=0.5, squares=0.1), largest_difference=3.0
    )
    other = Comparison(pairs=1, kl=Moments(count=1, total=0.25, squares=0.1), largest_difference=1.0)
    both = one + other
    assert (both.pairs, both.disagreements, both.kl.total, both.largest_difference) == (3, 1, 0.75, 3.0)


def test_the_past_of_keys_is_carried_and_counts_once() -> None:
    """The counts of keys before the rollout are carried and not doubled; those of two shadows are added."""
    hour, first, second = (
        KeyCounts(buckets={1: 9}, errors={1: 2}),
        KeyCounts(buckets={1: 5}),
        KeyCounts(buckets={2: 7}),
    )
    carried = Carried(before=hour, past=first)
    known = Evidence(before=hour, past=second, carried=carried).known
    assert (known.before, known.past) == (hour, first + second)
    assert Evidence(before=hour, carried=Carried(past=first)).known.before == hour
