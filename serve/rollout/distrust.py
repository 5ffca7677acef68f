"""Distrust: what is in force of a model whose trail is not what was written, until somebody looked. Pure."""

from serve.base.routing import Routes
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.state.rollout import Phase
from serve.rollout.store.store import Present


def distrusted(model: str, faults: tuple[str, ...]) -> str:
    """Why its trail is not to be trusted, in a sentence, with what to do."""
    return (
        f"the trail of {model} is not what was written ({'; '.join(faults[:3])}): the "
        "baseline has all traffic and nothing is written until a person has looked: counterweight verify"
    )


def all_to_baseline(model: str, baseline: str, before: Present | None, faults: tuple[str, ...]) -> Present:
    """All traffic to the baseline, and the rollout rolled back; `before` is what the store says, if it can be
    read."""
    before = before or Present(number=0, routes=None, rollout=None, evidence=Evidence())
    rollout = before.rollout
    if rollout is not None:
        update = {"phase": Phase.ROLLED_BACK, "by": "keeper", "reason": distrusted(model, faults)}
        rollout = rollout.model_copy(update=update)
    revision = before.routes.revision + 1 if before.routes else 1
    routes = Routes(model=model, baseline=baseline, weights={baseline: 100.0}, revision=revision)
    return before.model_copy(update={"routes": routes, "rollout": rollout})
