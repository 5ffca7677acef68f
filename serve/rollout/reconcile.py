"""Compute routes that use only loaded variants. Pure."""

from serve.base.routing import Routes
from serve.rollout.model_state import ModelState
from serve.rollout.state.rollout import Phase


def reconcile(state: ModelState) -> Routes:
    """The routes for the loaded variants: from what people decided, or else from the initial split of the
    server."""
    baseline, loaded, before = state.baseline, state.digests, state.present.routes
    start = before is None or (not state.decided and state.weights is not None)
    requested = state.weights if start else before and before.weights
    if not start and _promoted_another(state):
        requested = {baseline: 100.0}
    weights = {baseline: 0.0} | {name: weight for name, weight in (requested or {}).items() if name in loaded}
    if not any(weights.values()):
        weights[baseline] = 100.0
    if before is None:
        return Routes(model=state.model, baseline=baseline, weights=weights)
    shadows = {
        name: share
        for name, share in before.shadows.items()
        if name in loaded and name != baseline and not weights.get(name)
    }
    if (before.baseline, before.weights, before.shadows) == (baseline, weights, shadows):
        return before
    return Routes(
        model=state.model,
        baseline=baseline,
        weights=weights,
        shadows=shadows,
        sticky=before.sticky,
        revision=before.revision + 1,
    )


def _promoted_another(state: ModelState) -> bool:
    """Whether a rollout gave all traffic to a variant that has since been replaced by another version. A
    version that became the baseline is excluded."""
    rollout, routes = state.present.rollout, state.present.routes
    if rollout is None or routes is None or rollout.phase is not Phase.DONE:
        return False
    candidate = rollout.plan.candidate
    promoted = candidate != state.baseline and routes.revision in state.splits
    return promoted and state.strange(rollout, candidate) is not None
