"""Withdrawal: a change that takes traffic away from a candidate, the only kind that is in force before it is
written. Pure."""

from serve.base.routing import Routes
from serve.rollout.advance import abort
from serve.rollout.state.rollout import Phase, Rollout, routes_of
from serve.rollout.trail.trail import Action, Change


def takes_away(rollout: Rollout) -> bool:
    """Whether a rollout that has come here leaves all traffic to the baseline."""
    return rollout.phase in (Phase.ROLLED_BACK, Phase.INCONCLUSIVE)


def withdraw(rollout: Rollout, routes: Routes, by: str, reason: str, now_s: float) -> Change:
    """The abort of a rollout. Raises RefusedAction when it is over."""
    after = abort(rollout, by, reason)
    change = Change(model=rollout.plan.model, action=Action.ABORT, by=by, at_s=now_s, rollout=after)
    return with_routes(change, routes)


def with_routes(change: Change, before: Routes) -> Change:
    """A step of a rollout with the routes that follow from it; as it is where they stay as they were."""
    if change.rollout is None or (routes := routes_of(change.rollout, before)) is before:
        return change
    return change.model_copy(update={"routes": routes})


def on_top(ahead: Change, rollout: Rollout | None, routes: Routes, now_s: float) -> Change | None:
    """What `ahead` comes to when this is what was written before it; None: there is nothing left to do.

    A rollout that goes on is aborted. One that was completed meanwhile is over: its routes are taken back."""
    if ahead.rollout is None:
        # Routes that were taken back, of a rollout that is over: whoever wrote since has seen as much.
        return None
    if rollout is None or rollout.rollout != ahead.rollout.rollout or takes_away(rollout):
        return None
    if rollout.phase is not Phase.DONE:
        return withdraw(rollout, routes, ahead.by, ahead.rollout.reason, now_s)
    # Of the plan: its candidate may have been made the baseline meanwhile.
    baseline = rollout.plan.baseline
    weights = {**dict.fromkeys(routes.weights, 0.0), baseline: 1.0}
    update = {"baseline": baseline, "weights": weights, "revision": routes.revision + 1}
    back = routes.model_copy(update=update)
    return Change(model=routes.model, action=Action.ROUTES, by=ahead.by, at_s=now_s, routes=back)
