"""What a person can do if a rollout waits for a proof that may never come. Pure."""

from serve.rollout.evidence.evidence import Evidence
from serve.rollout.judging.guard_figure import Figure
from serve.rollout.judging.judge import Verdict, needs_proof, too_early
from serve.rollout.state.rollout import Phase, Rollout


def advise(rollout: Rollout, verdict: Verdict, evidence: Evidence, judged_s: float) -> tuple[str, ...]:
    """Advice for a step that has had its time and its requests, and still waits for the proof that the
    candidate is cheaper.

    Args:
        rollout: a rollout in any phase.
        verdict: its last verdict.
        evidence: the evidence of the rollout.
        judged_s: the time of the verdict, in seconds since 1970.
    """
    policy, step = rollout.policy, rollout.step
    if rollout.phase not in (Phase.STEP, Phase.PAUSED, Phase.INCONCLUSIVE):
        return ()
    # The proof of the cost is required before the last step only.
    if not 0 < step < len(policy.steps) or not needs_proof(policy, step):
        return ()
    if too_early(rollout, evidence, judged_s):
        return ()
    costs = [figure for figure in verdict.figures if figure.guard == "cost" and figure.safe is not None]
    return tuple(_accept_cost(rollout, figure) for figure in costs if not figure.proven)


def _accept_cost(rollout: Rollout, cost: Figure) -> str:
    again = "start again with `cheaper_by: null` in the policy"
    if rollout.phase.over:
        return f"{_found(rollout, cost)}; if the cost does not matter, {again}"
    return (
        f"the rollout stays at {100 * rollout.share:.4g} % until the candidate is shown to be cheaper: "
        f"{_found(rollout, cost)}; if the cost does not matter, run `counterweight rollout promote "
        f"{rollout.plan.model}`, or abort and {again}"
    )


def _found(rollout: Rollout, cost: Figure) -> str:
    """What is known about the cost, and whether more time can help."""
    if cost.estimate is None:
        return f"the costs cannot be compared ({cost.seen})"
    cheaper_by = rollout.policy.cheaper_by
    assert cheaper_by is not None
    found = f"it costs about {cost.estimate:.3g} times as much as the baseline"
    required = f"less than {1 - cheaper_by:.3g} times is required (`cheaper_by: {cheaper_by:g}`)"
    if cost.estimate < 1 - cheaper_by:
        return f"{found}, {required}, and the proof takes more time"
    return f"{found}, but {required}"
