"""Check whether a rollout can start with the loaded variants and the present routes."""

from serve.base.errors import InvalidRequest, RefusedAction
from serve.rollout.api_records import RolloutRequest
from serve.rollout.model_state import ModelState
from serve.rollout.state.rollout import Phase
from serve.rollout.trail.qualification import unqualified


def check_start(state: ModelState, request: RolloutRequest) -> None:
    """Raise UnknownVariant, InvalidRequest or RefusedAction if it cannot start."""
    model, baseline, candidate = state.model, state.baseline, request.candidate
    if (running := state.running) is not None:
        raise RefusedAction(
            f"rollout {running.rollout} to {running.plan.candidate!r} of {model!r} "
            + (
                f"is being watched with all traffic; make {running.plan.candidate!r} the baseline, from "
                f"which the next rollout starts: counterweight rollout accept {model}; or go back with abort"
                if running.watched
                else "is in progress; wait for its end, or abort it"
            )
        )
    state.unserved.require(model, candidate, state.digests)
    if candidate == baseline:
        raise InvalidRequest(f"the candidate {candidate!r} is the baseline; name another variant")
    _require_all_at_baseline(state)
    if request.policy.shadow.skip and candidate in state.unproven:
        raise RefusedAction(
            f"{candidate!r} of {model!r} is unproven: it has not been measured on real held-out rows, so its "
            "rollout must begin in the shadow; leave `skip` out of the policy's shadow, or add the variant "
            "with its recipe"
        )
    if request.policy.qualified:
        _require_qualified(state, candidate)


def _require_all_at_baseline(state: ModelState) -> None:
    model, baseline = state.model, state.baseline
    if (share := state.routes.share(baseline)) < 1:
        others = [name for name, weight in state.routes.weights.items() if weight and name != baseline]
        weights = ",".join([f"{baseline}=100", *(f"{name}=0" for name in others)])
        last, accept = state.present.rollout, ""
        if last is not None and last.phase is Phase.DONE and others == [last.plan.candidate]:
            accept = f"make {others[0]!r} the baseline: counterweight rollout accept {model}; or "
        raise RefusedAction(
            f"a rollout begins with all traffic of {model!r} at the baseline {baseline!r}, which now gets "
            f"{100 * share:.4g} % of it; {accept}set the routes first: counterweight routes {model} --set "
            f"{weights}{' --yes' if share < 0.5 else ''}"
        )


def _require_qualified(state: ModelState, candidate: str) -> None:
    model, baseline = state.model, state.baseline
    why = unqualified(state.qualifications, candidate, baseline, state.digests)
    if why is not None:
        raise RefusedAction(
            f"the policy requires a QUALIFIED candidate (qualified: true), but {why}; run: "
            f"counterweight qualify {model} --to {candidate}"
        )
