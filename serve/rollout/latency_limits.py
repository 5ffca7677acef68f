"""The latency limits of a rollout, and when they are updated."""

from serve.counting.quantiles import QUANTILES, Limits, limits_of
from serve.rollout.model_state import ModelState
from serve.rollout.state.rollout import Rollout, RolloutPlan, fix_limits
from serve.rollout.timeline import Timeline

# How often a known limit is updated, and how often a missing one is looked for.
_EVERY_S = 60.0
_MISSING_EVERY_S = 5.0


def steady_of(timeline: Timeline, plan: RolloutPlan) -> tuple[float | None, Limits]:
    """The baseline's steady quantile that the policy names, and its p50, p95 and p99, in ms."""
    named, p50, p95, p99 = (
        timeline.quantile_ms(plan.model, plan.baseline, q)
        for q in (plan.policy.guards.latency.quantile, *QUANTILES)
    )
    return named, (p50, p95, p99)


def refresh(state: ModelState, rollout: Rollout, timeline: Timeline, now_s: float) -> Rollout:
    """Update the limits that follow the baseline when it is time to. Returns the rollout with its fixed
    limits, which can be set until the first step begins; the same object if nothing changes."""
    step, at_s = state.limited
    every_s = _MISSING_EVERY_S if None in state.quantile_limits_ms else _EVERY_S
    if step == rollout.step and now_s - at_s < every_s:
        return rollout
    plan, latency = rollout.plan, rollout.policy.guards.latency
    state.limited = rollout.step, now_s
    state.quantile_limits_ms = limits_of(
        timeline.history(plan.model, plan.baseline),
        rollout.steady_ms,
        rollout.share,
        times_baseline=latency.times_baseline,
        plus_ms=latency.plus_ms,
    )
    return rollout if rollout.step else fix_limits(rollout, *steady_of(timeline, plan))
