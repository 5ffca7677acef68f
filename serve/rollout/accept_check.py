"""Check whether the candidate of a rollout can become the model's baseline."""

from serve.base.errors import RefusedAction
from serve.rollout.model_state import ModelState
from serve.rollout.state.rollout import Rollout


def check_accept(state: ModelState, rollout: Rollout) -> None:
    """Raise RefusedAction unless the promoted version is loaded and gets all traffic."""
    model, candidate = state.model, rollout.plan.candidate
    if (fault := state.fault(rollout)) is not None:
        raise RefusedAction(
            f"{candidate!r} of {model!r} cannot be made the baseline: {fault}; start a rollout to it again"
        )
    if (share := state.routes.share(candidate)) < 1:
        raise RefusedAction(
            f"{candidate!r} of {model!r} cannot be made the baseline, because it gets {100 * share:.4g} % of "
            "the traffic: other routes were set after its rollout; start a rollout to it again"
        )
