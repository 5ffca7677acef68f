"""Changes that take traffic away from a candidate, the only ones that take effect before they are written.
Pure."""

from serve.base.routing import Routes
from serve.rollout.advance import abort
from serve.rollout.state.rollout import Phase, Rollout, routes_of
from serve.rollout.trail.trail import Action, Change


def takes_away(rollout: Rollout) -> bool:
    """Whether all traffic goes to the baseline in the rollout's phase."""
    return rollout.phase in (Phase.ROLLED_BACK, Phase.INCONCLUSIVE)


def withdraw(rollout: Rollout, routes: Routes, by: str, reason: str, now_s: float) -> Change:
    """Create the abort of a rollout. Raises RefusedAction if it is over."""
    after = abort(rollout, by, reason)
    change = Change(model=rollout.plan.model, action=Action.ABORT, by=by, at_s=now_s, rollout=after)
    return with_routes(change, routes)


def with_routes(change: Change, before: Routes) -> Change:
    """Add the routes that follow from a step of a rollout; unchanged if the routes stay the same."""
    if change.rollout is None or (routes := routes_of(change.rollout, before)) is before:
        return change
    return change.model_copy(update={"routes": routes})


def on_top(ahead: Change, rollout: Rollout | None, routes: Routes, now_s: float) -> Change | None:
    """Apply the unwritten change `ahead` to newer written state; None if nothing is left to do.

    A rollout in progress is aborted. If the rollout was completed meanwhile, its routes are reverted."""
    if ahead.rollout is None:
        # The routes of a finished rollout were already reverted; later writers have seen this.
        return None
    if rollout is None or rollout.rollout != ahead.rollout.rollout or takes_away(rollout):
        return None
    if rollout.phase is not Phase.DONE:
        return withdraw(rollout, routes, ahead.by, ahead.rollout.reason, now_s)
    # The baseline of the plan, because the candidate may have become the baseline meanwhile.
    baseline = rollout.plan.baseline
    weights = {**dict.fromkeys(routes.weights, 0.0), baseline: 1.0}
    update = {"baseline": baseline, "weights": weights, "revision": routes.revision + 1}
    back = routes.model_copy(update=update)
    return Change(model=routes.model, action=Action.ROUTES, by=ahead.by, at_s=now_s, routes=back)
