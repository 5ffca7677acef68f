"""Startable: whether a rollout that is wanted may begin with what is loaded and in force now."""

from serve.base.errors import InvalidRequest, RefusedAction
from serve.rollout.api_records import RolloutWanted
from serve.rollout.situation import Situation
from serve.rollout.state.rollout import Phase
from serve.rollout.trail.qualification import unqualified


def require_startable(situation: Situation, wanted: RolloutWanted) -> None:
    """Raise UnknownVariant, InvalidRequest or RefusedAction unless it may."""
    model, baseline, candidate = situation.model, situation.baseline, wanted.candidate
    if (running := situation.running) is not None:
        raise RefusedAction(
            f"rollout {running.rollout} to {running.plan.candidate!r} of {model!r} "
            + (
                f"is watched with all traffic; make {running.plan.candidate!r} the baseline, from which the "
                f"next rollout starts: counterweight rollout accept {model}; or go back with abort"
                if running.watched
                else "runs already; wait for its end, or abort it"
            )
        )
    situation.unserved.require(model, candidate, situation.digests)
    if candidate == baseline:
        raise InvalidRequest(f"the candidate {candidate!r} is the baseline; name another variant")
    _require_all_at_baseline(situation)
    if wanted.policy.shadow.skip and candidate in situation.unproven:
        raise RefusedAction(
            f"{candidate!r} of {model!r} is unproven: nobody has measured it on held-out rows, so a rollout "
            "to it begins in the shadow; leave `skip` out of the policy's shadow, or add it with its recipe"
        )
    if wanted.policy.qualified:
        _require_qualified(situation, candidate)


def _require_all_at_baseline(situation: Situation) -> None:
    model, baseline = situation.model, situation.baseline
    if (share := situation.routes.share(baseline)) < 1:
        others = [name for name, weight in situation.routes.weights.items() if weight and name != baseline]
        weights = ",".join([f"{baseline}=100", *(f"{name}=0" for name in others)])
        last, accept = situation.present.rollout, ""
        if last is not None and last.phase is Phase.DONE and others == [last.plan.candidate]:
            accept = f"make {others[0]!r} the baseline: counterweight rollout accept {model}; or "
        raise RefusedAction(
            f"a rollout begins with all traffic of {model!r} at {baseline!r}, which gets {100 * share:.4g} % "
            f"of it; {accept}set its routes first: counterweight routes {model} --set {weights}"
            f"{' --yes' if share < 0.5 else ''}"
        )


def _require_qualified(situation: Situation, candidate: str) -> None:
    model, baseline = situation.model, situation.baseline
    why = unqualified(situation.qualifications, candidate, baseline, situation.digests)
    if why is not None:
        raise RefusedAction(
            f"the policy asks for a QUALIFIED candidate (qualified: true), and {why}; run: "
            f"counterweight qualify {model} --to {candidate}"
        )
