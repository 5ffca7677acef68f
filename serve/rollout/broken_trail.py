"""The state of a model whose trail was changed, until a person has checked it. Pure."""

from serve.base.routing import Routes
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.state.rollout import Phase
from serve.rollout.store.store import Present


def describe_broken_trail(model: str, faults: tuple[str, ...]) -> str:
    """Explain in a sentence why the trail is not trusted, and what to do."""
    return (
        f"the trail of {model} was changed or damaged ({'; '.join(faults[:3])}): the baseline gets all "
        "traffic and nothing is written until a person has checked it with: counterweight verify"
    )


def all_to_baseline(model: str, baseline: str, before: Present | None, faults: tuple[str, ...]) -> Present:
    """Give all traffic to the baseline, and roll the rollout back; `before` is the stored state, if it can be
    read."""
    before = before or Present(number=0, routes=None, rollout=None, evidence=Evidence())
    rollout = before.rollout
    if rollout is not None:
        update = {"phase": Phase.ROLLED_BACK, "by": "keeper", "reason": describe_broken_trail(model, faults)}
        rollout = rollout.model_copy(update=update)
    revision = before.routes.revision + 1 if before.routes else 1
    routes = Routes(model=model, baseline=baseline, weights={baseline: 100.0}, revision=revision)
    return before.model_copy(update={"routes": routes, "rollout": rollout})
