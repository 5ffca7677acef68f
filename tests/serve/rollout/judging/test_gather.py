"""How deltas become evidence."""

import dataclasses
import math
from dataclasses import replace
from typing import Any

from serve.counting.count_delta import BEFORE, Choice, Count, CountDelta, VariantRun
from serve.counting.key_counts import KeyCounts
from serve.counting.shadow_results import ShadowResults
from serve.rollout.evidence.evidence import Comparison, Cost, Drop, Events, Evidence, Pair, Segment
from serve.rollout.evidence.time_window import TimeWindow
from serve.rollout.judging.gather import gather
from serve.rollout.state.policy import Policy
from serve.rollout.state.rollout import RolloutPlan

PLAN = RolloutPlan(model="digits", baseline="fp32", candidate="int8", policy=Policy(settle_s=0))
# Revision 2 is the shadow; 3 and 4 are the first two steps, and 6 is the second one again after a pause.
SPLITS = {2: (0, 0.0), 3: (1, 0.1), 4: (2, 0.5), 6: (2, 0.5)}


def delta(counts: dict[Choice, tuple[int, int, int]], number: int = 1, **fields: Any) -> CountDelta:
    """Requests, errors and those over the limit, by choice."""
    given: dict[str, Any] = {"runs": {}, "copies": ShadowResults(), "disagreements": (), "answered": ()}
    counted = {
        choice: Count(requests=requests, errors=errors, over_limit=over)
        for choice, (requests, errors, over) in counts.items()
    }
    return CountDelta(rollout="r1", number=number, counts=counted, **given | fields)


def gathered(*deltas: CountDelta, before: Evidence | None = None) -> Evidence:
    """Return the evidence of these deltas, one per gateway, between second 5 and second 6."""
    named = [(f"g{number}", each) for number, each in enumerate(deltas)]
    return gather(before or Evidence(), named, PLAN, SPLITS, (5.0, 6.0))


def test_counts_of_all_gateways_are_one_tick() -> None:
    """The counts of all gateways in one second are one tick."""
    one = delta({(3, False, "fp32"): (90, 2, 1), (3, False, "int8"): (10, 1, 0)})
    other = delta({(3, False, "fp32"): (80, 0, 0), (3, False, "int8"): (20, 2, 4)})
    [segment] = gathered(one, other).segments
    assert segment.model_copy(update={"courses": {}}) == (
        Segment(
            step=1,
            split=0.1,
            started_s=5.0,
            ended_s=6.0,
            requests=Pair(baseline=170, candidate=30),
            errors=Events.tick(2, 3),
            over_limit=Events.tick(1, 4),
        )
    )


def test_what_is_known_late_counts_with_the_split_that_chose() -> None:
    """An error that is reported in a later delta counts in the step that chose the variant."""
    admitted = gathered(delta({(3, False, "int8"): (1, 0, 0)}))
    [segment] = gathered(delta({(3, False, "int8"): (0, 1, 0)}), before=admitted).segments
    assert (segment.requests, segment.errors.candidate) == (Pair(candidate=1), 1)


def test_slow_requests_are_counted_by_quantile() -> None:
    """Slow requests of all gateways are counted by quantile, out of those that had a limit."""
    counts = {
        (3, False, "fp32"): Count(requests=9, timed_quantiles=[9, 5, 0], over_quantiles=[4, 1, 0]),
        (3, False, "int8"): Count(requests=2, timed_quantiles=[2, 1, 0], over_quantiles=[1, 1, 0]),
    }
    told = delta({})
    both = [replace(told, counts=counts), replace(told, counts=counts)]
    [segment] = gathered(*both).segments
    assert segment.timed == Pair(baseline=18, candidate=4)
    assert (segment.timed_p50, segment.over_p50) == (Pair(baseline=18, candidate=4), Events.tick(8, 2))
    assert (segment.timed_p95, segment.over_p95) == (Pair(baseline=10, candidate=2), Events.tick(2, 2))
    assert (segment.timed_p99, segment.over_p99) == (Pair(), Events())


def test_steps_and_keys_stay_apart() -> None:
    """Segments are separate by split and by whether a key was used."""
    counts: dict[Choice, tuple[int, int, int]] = {
        (3, False, "int8"): (1, 0, 0),
        (4, False, "int8"): (2, 0, 0),
        (4, True, "int8"): (3, 0, 0),
    }
    segments = gathered(delta(counts)).segments
    assert {segment.key: segment.requests.candidate for segment in segments} == {
        (1, 0.1, False): 1,
        (2, 0.5, False): 2,
        (2, 0.5, True): 3,
    }


def test_two_revisions_of_one_split_are_one_tick() -> None:
    """Two revisions with the same split give one tick."""
    counts: dict[Choice, tuple[int, int, int]] = {
        (4, False, "int8"): (1, 1, 0),
        (6, False, "int8"): (1, 1, 0),
    }
    [segment] = gathered(delta(counts)).segments
    assert segment.errors == Events.tick(0, 2)


def test_what_no_step_chose_is_left_out() -> None:
    """Requests of the shadow phase, of earlier routes and of a third variant are left out."""
    counts: dict[Choice, tuple[int, int, int]] = {
        (2, False, "fp32"): (100, 0, 0),
        (1, False, "int8"): (100, 0, 0),
        (3, False, "slim"): (100, 0, 0),
    }
    assert gathered(delta(counts)).segments == ()


def test_ticks_add_up_to_what_was_there() -> None:
    """A segment's events are those of its ticks."""
    one = delta({(3, False, "int8"): (10, 2, 0)})
    both = gathered(one, before=gathered(one))
    [segment] = both.segments
    assert (segment.errors, segment.requests.candidate) == (Events.tick(0, 2) + Events.tick(0, 2), 20)


def test_runs_cost_in_the_step_that_was_in_force() -> None:
    """Run costs of all gateways are added by size; those of a third variant are left out."""
    sizes = {1: (2, 3.0, 0.8, 1.0), 4: (22, 177.0, 40.0, 90.0)}
    runs = {
        "fp32": VariantRun(revision=3, rows=90, cpu_ms=180.0, sizes=sizes),
        "int8": VariantRun(revision=3, rows=10, cpu_ms=5.0),
        "slim": VariantRun(revision=3, rows=10, cpu_ms=5.0),
    }
    [segment] = gathered(delta({}, runs=runs), delta({}, runs=runs)).segments
    both = {1: (4, 6.0, 1.6, 2.0), 4: (44, 354.0, 80.0, 180.0)}
    assert segment.baseline_cost == Cost.tick(180, 360.0, both, 6.0)
    # This gateway does not report the sizes, so its rows count as one run.
    assert segment.candidate_cost == Cost.tick(
        20, 10.0, {10: (2, 10.0, 2 * math.log(5), 2 * math.log(5) ** 2)}, 6.0
    )


def test_keys_are_counted_by_bucket() -> None:
    """Requests by bucket of all gateways are added, and so are the failed ones."""
    keys = {7: Count(requests=2), 9: Count(requests=1), 11: Count(errors=1)}
    counts = {(4, True, "int8"): Count(requests=3, errors=1, keys=keys)}
    one = dataclasses.replace(delta({}), counts=counts)
    [segment] = gathered(one, one).segments
    assert (segment.baseline_keys, segment.candidate_keys) == (
        KeyCounts(),
        KeyCounts(buckets={7: 4, 9: 2}, errors={11: 2}),
    )


def test_copies_add_up() -> None:
    """Copies are added in total, by output and by slice, and so are dropped ones by reason."""
    part = Comparison(pairs=3, disagreements=1)
    copies = ShadowResults(
        pairs=part, outputs={"y": part}, slices={"de": part}, dropped=2, drops={Drop.FULL: 2}
    )
    evidence = gathered(delta({}, copies=copies), delta({}, copies=copies))
    assert evidence.shadow == part + part
    assert (evidence.outputs, evidence.slices) == ({"y": part + part}, {"de": part + part})
    assert (evidence.dropped, evidence.drops) == (4, {Drop.FULL: 4})


def test_the_candidates_requests_of_the_last_step_are_kept_by_the_half_minute() -> None:
    """In the last step, the candidate's requests are kept in windows of half a minute."""
    counts: dict[Choice, tuple[int, int, int]] = {
        (4, False, "int8"): (20, 1, 2),
        (9, False, "fp32"): (5, 1, 1),
        (9, False, "int8"): (95, 2, 4),
        (10, True, "int8"): (100, 1, 0),
    }
    splits = {**SPLITS, 9: (5, 0.95), 10: (5, 1.0)}
    evidence = gather(Evidence(), [("g", delta(counts))], PLAN, splits, (5.0, 6.0))
    stretch = TimeWindow(started_s=5.0, ended_s=6.0, requests=195, errors=3, timed=195, over_limit=4)
    assert evidence.lately == (stretch,)


def test_latency_and_cost_of_a_warm_up_count_nowhere() -> None:
    """During the settling time errors count, and latency and cost do not."""
    plan = PLAN.model_copy(update={"policy": Policy(settle_s=20)})
    runs = {"int8": VariantRun(revision=3, rows=10, cpu_ms=5.0)}
    evidence = Evidence()
    for second in range(100, 140):
        one = delta({(3, False, "int8"): (10, 1, 3)}, runs=runs)
        evidence = gather(evidence, [("g", one)], plan, SPLITS, (second, second + 1.0))
    [segment] = evidence.segments
    assert (segment.requests.candidate, segment.errors.candidate) == (400, 40)
    assert (segment.timed.candidate, segment.over_limit.candidate) == (200, 60)
    assert (segment.candidate_cost.rows, segment.candidate_cost.blocks) == (200, 20)


def test_each_step_has_a_warm_up_of_its_own() -> None:
    """Each step has a settling time of its own in which latencies do not count; a key has none."""
    plan = PLAN.model_copy(update={"policy": Policy(settle_s=20)})
    evidence = gathered(delta({(3, False, "int8"): (10, 0, 3)}))
    counts: dict[Choice, tuple[int, int, int]] = {
        (3, True, "int8"): (10, 0, 3),
        (4, False, "int8"): (5, 0, 3),
    }
    evidence = gather(evidence, [("g", delta(counts))], plan, SPLITS, (25.0, 26.0))
    timed = {segment.key: segment.timed.candidate for segment in evidence.segments}
    assert timed == {(1, 0.1, False): 10, (1, 0.1, True): 10, (2, 0.5, False): 0}


def test_the_evidence_before_stays_as_it_was() -> None:
    """`gather` does not change the evidence that it gets."""
    part = Comparison(pairs=3)
    copies = ShadowResults(pairs=part, outputs={"y": part}, slices={"de": part})
    before = gathered(delta({(3, False, "int8"): (1, 0, 0)}, copies=copies))
    text = before.model_dump_json()
    gathered(delta({(3, False, "int8"): (1, 0, 0)}, copies=copies), before=before)
    assert before.model_dump_json() == text


def test_the_last_sheet_of_each_gateway_is_remembered() -> None:
    """The evidence has the number of the last delta of each gateway."""
    before = gathered(delta({}, 7), delta({}, 3))
    assert gathered(delta({}, 8), before=before).sheets == {"g0": 8, "g1": 3}


def test_a_death_counts_against_what_ran() -> None:
    """A gateway's death counts against each variant that ran in it."""
    before = gathered(delta({}, died=("int8",)))
    after = gathered(delta({}, died=("fp32", "int8")), delta({}, died=("fp32",)), delta({}), before=before)
    assert (before.deaths, after.deaths) == (Pair(candidate=1), Pair(baseline=2, candidate=2))


def keyed(revision: int, variant: str, count: Count) -> CountDelta:
    """Requests of one bucket of keys."""
    return replace(delta({}), counts={(revision, True, variant): Count(keys={7: count})})


def test_the_past_before_the_rollout_is_apart_from_the_shadows() -> None:
    """The keys' errors before the rollout and during the shadow are kept apart, added over gateways."""
    before = keyed(BEFORE, "fp32", Count(requests=9, errors=2))
    shadow = keyed(2, "fp32", Count(requests=5, over_limit=1))
    evidence = gathered(before, shadow, before)
    assert evidence.before == KeyCounts(buckets={7: 18}, errors={7: 4})
    assert evidence.past == KeyCounts(buckets={7: 5}, over_limit={7: 1})
    assert evidence.segments == ()


def test_what_keys_were_over_in_a_warm_up_counts_nowhere() -> None:
    """During warm-up, requests of keys over a limit are not counted, but errors are."""
    plan = PLAN.model_copy(update={"policy": Policy(settle_s=20)})
    told = keyed(3, "int8", Count(requests=5, errors=2, over_limit=4))
    [segment] = gather(Evidence(), [("g", told)], plan, SPLITS, (5.0, 6.0)).segments
    assert segment.candidate_keys == KeyCounts(buckets={7: 5}, errors={7: 2})
