"""How a rollout judges slow requests."""

from typing import Any

import numpy as np
import pytest

from serve.rollout.advance import advance
from serve.rollout.evidence.evidence import Events, Evidence, Pair, Segment
from serve.rollout.judging.guard_figure import Figure
from serve.rollout.judging.judge import Kind, find, judge
from serve.rollout.state.policy import Guards, LatencyGuard, Policy, ShadowPolicy
from serve.rollout.state.rollout import Phase, Rollout
from tests.serve.rollout.rollouts import at_step, costs, proven, segment

MANY = 20_000


def spread(baseline: int, candidate: int) -> Events:
    """Events that come one by one."""
    return Events(
        baseline=baseline,
        candidate=candidate,
        candidate_ticks=candidate,
        candidate_squares=candidate,
        products=candidate,
        squares=baseline + candidate,
    )


def half(requests: int = MANY, **fields: Any) -> Evidence:
    """Return an hour at 50 % with `requests` of each variant, and these shares of them over a limit."""
    counted: dict[str, Any] = {}
    for name, (baseline, candidate) in fields.items():
        counted[name] = spread(round(baseline * requests), round(candidate * requests))
        if name != "over_limit":
            counted[name.replace("over", "timed")] = Pair(baseline=requests, candidate=requests)
    here = segment(4, 2 * requests, errors=(0, 0))
    return Evidence(segments=(here.model_copy(update={"ended_s": 3600.0, **counted}),))


def unfixed(step: int = 4, policy: Policy | None = None) -> Rollout:
    """Return a rollout without a fixed limit."""
    return at_step(step, policy).model_copy(update={"limit_ms": None})


def figure(rollout: Rollout, evidence: Evidence, guard: str) -> Figure:
    """Return the figure of one guard."""
    return next(each for each in find(rollout, evidence) if each.guard == guard)


def test_a_median_that_is_many_times_longer_is_harm_whatever_the_p99() -> None:
    """A p50 of 240 instead of 5 ms is harm, even if the p99 is the same."""
    evidence = half(1000, over_limit=(0.006, 0.006), over_p50=(0.33, 1.0), over_p95=(0.02, 0.02))
    verdict = judge(at_step(4), evidence, 3600.0)
    assert verdict.kind is Kind.ROLLBACK
    assert "p50: over 1.25 times the baseline's p50: 1,000 of 1,000" in verdict.reason


@pytest.mark.parametrize(
    ("requests", "rate", "shown"),
    [
        (3 * MANY, 0.0028, "safe"),
        (3 * MANY, 0.0049, "safe"),
        (3 * MANY, 0.0084, ""),
        (20 * MANY, 0.0084, "harm"),
    ],
    ids=str,
)
def test_three_times_as_often_over_the_limit_that_stays_is_harm_below_what_is_allowed(
    requests: int, rate: float, shown: str
) -> None:
    """Three times the requests over a fixed limit are harm, even within the allowed rate.

    1 % may be over, and 0.28 % of the baseline's are. If everything is a tenth slower, that is 1.75 times
    as often (lognormal, sigma 0.5), which is no harm; three times is never safe, and harm once it is sure."""
    found = figure(at_step(4), half(requests, over_limit=(0.0028, rate)), "latency")
    assert (found.harmful, found.proven) == (shown == "harm", shown == "safe")


def test_a_limit_that_nearly_nobody_is_over_is_kept_whatever_the_ratio() -> None:
    """A limit that 5 in 20,000 requests exceed is kept, even at five times the baseline's rate."""
    found = figure(at_step(4), half(over_limit=(0.00005, 0.00025)), "latency")
    assert (found.harmful, found.proven) == (False, True)


def test_a_baseline_with_little_traffic_is_no_measure_of_what_is_rarely_over_the_limit() -> None:
    """At 95 % of the traffic, five times the baseline's rate over the limit is no harm."""
    counts = half(3 * MANY, over_limit=(0.001, 0.005)).segments[0]
    crowded = counts.model_copy(update={"split": 0.95})
    assert figure(at_step(4), Evidence(segments=(counts,)), "latency").harmful
    assert not figure(at_step(4), Evidence(segments=(crowded,)), "latency").harmful


def test_a_quantile_is_harmed_when_it_is_above_the_limit() -> None:
    """2 % of requests over the limit of the p99 are harm, and 0.5 % are safe."""
    assert figure(unfixed(), half(over_p99=(0.003, 0.02)), "p99").harmful
    assert figure(unfixed(), half(over_p99=(0.003, 0.005)), "p99").proven


def test_what_slows_both_down_is_no_harm() -> None:
    """If half of both variants' requests exceed the p99's limit, that is no harm."""
    found = figure(unfixed(), half(over_p99=(0.5, 0.5)), "p99")
    assert (found.harmful, found.proven) == (False, True)


def test_without_a_limit_that_stays_the_two_are_compared_with_each_other() -> None:
    """Without a fixed limit the quantiles suffice for PROMOTE."""
    evidence = half(over_p50=(0.33, 0.33), over_p95=(0.018, 0.018), over_p99=(0.003, 0.003))
    verdict = judge(unfixed(), evidence, 3600.0)
    assert verdict.kind is Kind.PROMOTE, verdict.reason
    assert "latency: no fixed limit" in verdict.reason


def test_no_rollout_waits_in_the_shadow_for_a_latency_limit() -> None:
    """The shadow does not wait for a latency limit."""
    assert judge(unfixed(0), proven(), 90.0).kind is Kind.PROMOTE


def test_a_majority_waits_until_something_of_latency_is_known() -> None:
    """At 50 % the rollout waits until some latency was compared."""
    verdict = judge(unfixed(), half(), 3600.0)
    assert verdict.kind is Kind.CONTINUE
    assert "latency unproven: no request was compared" in verdict.reason


def test_a_quantile_that_is_not_known_yet_is_not_asked_for() -> None:
    """A quantile is required only once its limit is known."""
    assert judge(unfixed(), half(over_p50=(0.33, 0.33)), 3600.0).kind is Kind.PROMOTE
    known = half(over_p50=(0.33, 0.33)).segments[0].model_copy(update={"timed_p99": Pair(candidate=1)})
    verdict = judge(unfixed(), Evidence(segments=(known,)), 3600.0)
    assert verdict.kind is Kind.CONTINUE
    assert "p99 unproven" in verdict.reason


def test_what_the_traffic_cannot_prove_in_time_is_not_asked_for_and_that_is_said() -> None:
    """A quantile that the traffic cannot prove in time is not required, and its harm still counts.

    500 requests an hour are 3,000 in the policy's six; the p99 needs twice as many."""
    policy = Policy(maximum_s=21_600)
    few = half(250, over_p50=(0.33, 0.33), over_p99=(0.004, 0.004))
    found = figure(unfixed(policy=policy), few, "p99")
    assert found.safe is None
    assert found.seen.endswith("; too little traffic to prove it")
    assert figure(unfixed(policy=policy), half(250, over_p99=(0.004, 0.3)), "p99").harmful


def test_a_limit_that_a_person_named_is_asked_for_however_long_it_takes() -> None:
    """A latency limit in the policy is required even if its proof takes longer than the rollout."""
    policy = Policy(maximum_s=21_600, guards=Guards(latency=LatencyGuard(limit_ms=50)))
    few = half(250, over_limit=(0.004, 0.004))
    assert figure(at_step(4, policy), few, "latency").safe is not None
    assert figure(at_step(4, Policy(maximum_s=21_600)), few, "latency").safe is None


def test_a_segment_that_says_nothing_else_timed_all_its_requests() -> None:
    """A stored segment without `timed` counts all its requests as timed."""
    pair = Pair(baseline=3, candidate=2)
    fields = {"step": 1, "split": 0.5, "started_s": 0.0, "ended_s": 1.0, "requests": pair}
    assert Segment.model_validate(fields).timed == pair
    assert Segment.model_validate({**fields, "timed": Pair()}).timed == Pair()


def minute(rollout: Rollout, at_s: float, rng: np.random.Generator) -> Segment:
    """What a minute at 1 request a second comes to with two equal variants. The baseline's p50 is known from
    the first minute on, its p95 after 200 requests and its p99 after 1,000."""
    share = rollout.share
    mine = int(rng.binomial(60, share))
    counted: dict[str, Any] = {}
    for name, rate, known_s in (("p50", 0.33, 60), ("p95", 0.018, 240), ("p99", 0.0028, 1020)):
        pair = Pair(baseline=60 - mine, candidate=mine) if at_s > known_s else Pair()
        counted[f"timed_{name}"] = pair
        over = rng.binomial((pair.baseline, pair.candidate), rate)
        counted[f"over_{name}"] = Events.tick(int(over[0]), int(over[1]))
    return Segment(
        step=rollout.step,
        split=share,
        started_s=at_s - 60,
        ended_s=at_s,
        requests=Pair(baseline=60 - mine, candidate=mine),
        baseline_cost=costs(1, rng.normal(10, 1)),
        candidate_cost=costs(1, rng.normal(5, 1)),
        **counted,
    )


def test_a_rollout_at_one_request_a_second_reaches_its_end() -> None:
    """A rollout at one request a second and without a latency limit reaches DONE within 12 hours."""
    rng, evidence = np.random.default_rng(5), Evidence(shadow=proven().shadow)
    rollout, now_s, reasons = unfixed(0), 0.0, set[str]()
    while not rollout.phase.over and now_s < 86_400:
        now_s += 60
        if rollout.step:
            evidence = evidence.with_tick(minute(rollout, now_s, rng))
        verdict = judge(rollout, evidence, now_s)
        reasons |= {part.split(":")[0] for part in verdict.reason.split("; ")}
        rollout = advance(rollout, verdict, now_s)
    assert rollout.phase is Phase.DONE, rollout.reason
    assert now_s < 43_200
    assert "p99 unproven" in reasons


def test_who_asks_only_for_a_limit_gets_its_proof_as_soon_as_it_is_kept() -> None:
    """A guard with a limit only is proven by 1,500 requests of which none exceeds it."""
    guard = LatencyGuard(limit_ms=50, excess=None)
    here = segment(4, 3000).model_copy(update={"timed": Pair(baseline=1500, candidate=1500)})
    policy = Policy(shadow=ShadowPolicy(skip=True), guards=Guards(latency=guard))
    [found] = [
        each for each in find(at_step(4, policy), Evidence(segments=(here,))) if each.guard == "latency"
    ]
    assert found.proven
