import pytest
from pydantic import ValidationError

from serve.base.routing import Routes
from serve.counting.quantiles import NO_LIMITS
from serve.rollout.state.policy import Guards, LatencyGuard, Policy, ShadowPolicy
from serve.rollout.state.rollout import Phase, RolloutPlan, fix_limits, start
from tests.serve.rollout.rollouts import at_step, begun


def test_it_begins_in_the_shadow_with_no_user_on_the_candidate() -> None:
    """A rollout starts in the shadow with no traffic and copies of all requests."""
    rollout = begun()
    assert (rollout.phase, rollout.share, rollout.shadow_share) == (Phase.SHADOW, 0.0, 1.0)


def test_the_shadow_may_be_skipped_in_so_many_words() -> None:
    """With `skip: true` the rollout starts in its first step without a shadow."""
    rollout = begun(Policy(shadow=ShadowPolicy(skip=True)))
    assert (rollout.phase, rollout.step, rollout.share, rollout.shadow_share) == (Phase.STEP, 1, 0.01, 0.0)


@pytest.mark.parametrize(
    ("phase", "step", "share"),
    [
        (Phase.SHADOW, 0, 0.0),
        (Phase.STEP, 3, 0.25),
        (Phase.PAUSED, 3, 0.25),
        (Phase.WAITING_APPROVAL, 3, 0.25),
        (Phase.STEP, 5, 0.95),
        (Phase.WATCHING, 5, 1.0),
        (Phase.DONE, 5, 1.0),
        (Phase.ROLLED_BACK, 3, 0.0),
        (Phase.INCONCLUSIVE, 3, 0.0),
    ],
)
def test_the_routes_in_force_follow_from_the_phase(phase: Phase, step: int, share: float) -> None:
    """The candidate's share follows from the phase: a pause keeps it, a bad end gives it back."""
    rollout = at_step(step).model_copy(update={"phase": phase})
    routes = Routes(model="digits", baseline="fp32", weights=rollout.weights)
    assert routes.share("int8") == share
    assert routes.share("fp32") == 1 - share


def test_the_limit_is_fixed_when_the_rollout_starts() -> None:
    """The latency limit is 1.25 times the baseline's quantile at the start, and stays."""
    rollout = begun()
    assert rollout.limit_ms == 12.5
    assert fix_limits(rollout, 99.0, NO_LIMITS) is rollout


def test_a_limit_that_was_not_known_can_be_fixed_later() -> None:
    """A limit that was unknown at the start can be set once later."""
    unknown = start("r1", RolloutPlan(model="digits", baseline="fp32", candidate="int8"), None, "ann", 0.0)
    assert unknown.limit_ms is None
    known = fix_limits(unknown, 8.0, (2.0, None, None))
    assert (known.limit_ms, known.steady_ms) == (10.0, (2.0, None, None))
    assert fix_limits(known, 9.0, (3.0, 5.0, 9.0)).steady_ms == (2.0, 5.0, 9.0)


def test_a_limit_in_ms_needs_no_baseline() -> None:
    """A latency limit in milliseconds is used without a baseline."""
    policy = Policy(guards=Guards(latency=LatencyGuard(limit_ms=40)))
    plan = RolloutPlan(model="digits", baseline="fp32", candidate="int8", policy=policy)
    assert start("r1", plan, None, "ann", 0.0).limit_ms == 40


def test_a_variant_is_not_rolled_out_against_itself() -> None:
    """A plan whose candidate is the baseline is refused, and the error names it."""
    with pytest.raises(ValidationError, match="candidate 'fp32' is the baseline"):
        RolloutPlan(model="digits", baseline="fp32", candidate="fp32")
