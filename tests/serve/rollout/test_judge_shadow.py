import pytest

from serve.rollout.evidence import Comparison, Evidence, Moments
from serve.rollout.judge import Kind, judge
from serve.rollout.policy import Policy, Shadow
from tests.serve.rollout.rollouts import at_step, shadowed


def test_the_shadow_waits_for_its_pairs() -> None:
    """Without a user at risk there is no hurry."""
    verdict = judge(at_step(0), Evidence(shadow=shadowed(999, 0)), 600.0)
    assert (verdict.kind, verdict.reason) == (Kind.CONTINUE, "in the shadow: 999 of 1,000 pairs")


def test_a_shadow_that_disagrees_ends_before_any_user_sees_it() -> None:
    """5 % where 2 % may."""
    verdict = judge(at_step(0), Evidence(shadow=shadowed(2000, 100)), 60.0)
    assert verdict.kind is Kind.ROLLBACK
    assert "disagreement: 100 of 2,000 pairs differ, 5.00% [" in verdict.reason


def test_a_shadow_between_pass_and_fail_goes_on() -> None:
    """2 % where 2 % may is neither shown."""
    verdict = judge(at_step(0), Evidence(shadow=shadowed(2000, 40)), 60.0)
    assert verdict.kind is Kind.CONTINUE
    assert "disagreement unproven" in verdict.reason


@pytest.mark.parametrize(
    ("cosine", "kind"), [(0.999, Kind.PROMOTE), (0.97, Kind.ROLLBACK), (0.98, Kind.CONTINUE)]
)
def test_drift_is_judged_by_its_limit(cosine: float, kind: Kind) -> None:
    """Against a mean cosine of at least 0.98: above it, below it, and at it."""
    policy = Policy(shadow=Shadow(cosine=0.98))
    assert judge(at_step(0, policy), Evidence(shadow=shadowed(2000, 2, cosine)), 60.0).kind is kind


@pytest.mark.parametrize(("kl", "kind"), [(0.001, Kind.PROMOTE), (0.02, Kind.ROLLBACK)])
def test_divergence_is_judged_by_its_limit(kl: float, kind: Kind) -> None:
    """Against a mean KL divergence of at most 0.01 nats."""
    moments = Moments(count=2000, total=2000 * kl, squares=2000 * 2 * kl**2)
    shadow = shadowed(2000, 2) + Comparison(kl=moments)
    assert judge(at_step(0, Policy(shadow=Shadow(kl=0.01))), Evidence(shadow=shadow), 60.0).kind is kind
