"""The advice to a person while a rollout waits for the proof that its candidate is cheaper."""

import pytest

from serve.rollout.evidence.evidence import Evidence
from serve.rollout.judging.advice import advise
from serve.rollout.judging.judge import Kind, judge
from serve.rollout.state.policy import Policy
from serve.rollout.state.rollout import Phase
from tests.serve.rollout.rollouts import at_step, proven, segment


def advice(
    cost: float,
    *,
    step: int = 4,
    phase: Phase = Phase.STEP,
    policy: Policy | None = None,
    requests: int = 60_000,
) -> tuple[str, ...]:
    """Return the advice on a candidate that costs this many times as much as the baseline, after 90 s."""
    rollout = at_step(step, policy)
    evidence = Evidence(segments=(segment(step, requests, errors=(4, 4), cost=cost),))
    verdict = judge(rollout, evidence, 90.0)
    return advise(rollout.model_copy(update={"phase": phase}), verdict, evidence, 90.0)


def test_a_candidate_that_is_not_cheaper_gets_the_way_out() -> None:
    """At 50 %, the advice names the ratio, the limit, and both ways to continue without the proof."""
    [said] = advice(1.0)
    assert "1 times as much as the baseline, but less than 0.95 times" in said
    assert "counterweight rollout promote digits" in said
    assert "`cheaper_by: null`" in said


def test_a_saving_that_is_not_certain_yet_takes_time() -> None:
    """For a ratio just below the limit, the advice says that the proof takes more time."""
    [said] = advice(0.93)
    assert "the proof takes more time" in said


@pytest.mark.parametrize(
    ("cost", "step", "phase", "policy", "requests"),
    [
        (0.5, 4, Phase.STEP, Policy(), 60_000),
        (1.0, 3, Phase.STEP, Policy(), 60_000),
        (1.0, 4, Phase.WAITING_APPROVAL, Policy(), 60_000),
        (1.0, 4, Phase.STEP, Policy(cheaper_by=None), 60_000),
        (1.0, 4, Phase.STEP, Policy(), 600),
    ],
    ids=["cheaper", "no proof needed", "approval due", "cost does not matter", "too few requests"],
)
def test_nothing_is_said_where_no_proof_of_the_cost_is_awaited(
    cost: float, step: int, phase: Phase, policy: Policy, requests: int
) -> None:
    """There is no advice if the step does not wait for the cost, or still lacks its requests."""
    assert advice(cost, step=step, phase=phase, policy=policy, requests=requests) == ()


def test_after_the_time_limit_the_advice_is_to_start_again() -> None:
    """After the time limit the advice names `cheaper_by: null` and does not mention `promote`."""
    [said] = advice(1.0, phase=Phase.INCONCLUSIVE)
    assert "cheaper_by: null" in said
    assert "promote" not in said


def test_a_policy_without_cheaper_by_promotes_at_any_cost() -> None:
    """Without `cheaper_by` the cost is measured and shown, but needs no proof."""
    evidence = Evidence(segments=(segment(4, 60_000, errors=(4, 4), cost=3.0),))
    verdict = judge(at_step(4, Policy(cheaper_by=None)), evidence, 90.0)
    cost = next(figure for figure in verdict.figures if figure.guard == "cost")
    assert verdict.kind is Kind.PROMOTE
    assert cost.estimate == pytest.approx(3.0, rel=1e-3)
    assert cost.safe is None


def test_nothing_is_missing_in_a_proven_step() -> None:
    """A step with every proof has no advice."""
    rollout = at_step(4)
    assert advise(rollout, judge(rollout, proven(), 90.0), proven(), 90.0) == ()
