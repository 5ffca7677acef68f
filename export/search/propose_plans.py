"""Proposes the plans of a search: for each method that can pay, its steps with spaces. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from export.compress.propose_variants import BASELINE, GraphProfile, propose_variants
from export.search.plan import Plans
from export.search.search_request import Method
from export.step import Training
from serve.bundles.bundle import Cpu
from serve.bundles.meaning import Task
from serve.tasks.task_table import TASKS

_VARIANTS: Mapping[str, Method] = {
    "int8-dynamic": "dynamic",
    "int8-static": "static",
    "int4-weights": "weights",
}
# A first training of a pruned network; a recipe with a training step has one that fits it better.
_TRAINING: Mapping[str, Any] = {
    "epochs": 8,
    "batch_size": 64,
    "learning_rate": {"from": 3e-4, "to": 1e-2, "log": True},
}


@dataclass(frozen=True, kw_only=True)
class Changeable:
    """What can change in the torch model."""

    # Whether channels can be removed.
    channels: bool
    # The number of equal layers in a row; 0: there is no such stack.
    layers: int
    # Whether there are rows to train on, and whether these have labels.
    rows: bool
    labels: bool
    # The recipe's first training step.
    training: Training | None


def propose_plans(
    profile: GraphProfile, cpu: Cpu, changeable: Changeable, task: Task, allowed: Collection[Method]
) -> tuple[Plans | None, tuple[str, ...]]:
    """Return the plans of the allowed methods that can pay, None without one, and why each is among them or
    not."""
    proposal = propose_variants(profile, cpu)
    quantized = {
        _VARIANTS[name]: [_widen(step.model_dump(mode="json", exclude_unset=True)) for step in steps]
        for name, steps in proposal.variants.items()
        if name != BASELINE
    }
    reasons = list(proposal.reasons)
    plans: dict[str, Any] = {str(method): steps for method, steps in quantized.items()}
    training = _train(task, changeable)
    finishing = _finish(quantized)
    if training is not None and changeable.channels:
        prune = {
            "step": "prune",
            "remove": "channels",
            "ratio": {"from": 0.1, "to": 0.7, "step": 0.1},
            "scope": ["layer", "global"],
        }
        plans["channels"] = [prune, training, *finishing]
    if training is not None and changeable.layers > 1:
        keep = [changeable.layers - 1] if changeable.layers == 2 else {"from": 1, "to": changeable.layers - 1}
        plans["drop_layers"] = [{"step": "drop_layers", "keep": keep}, training, *finishing]
    reasons += _explain_changes(changeable, training is not None)
    plans = {name: steps for name, steps in plans.items() if name in allowed}
    return (Plans.model_validate({"plans": plans}) if plans else None), tuple(reasons)


def _widen(step: dict[str, Any]) -> dict[str, Any]:
    """Return a quantize step with the settings that differ in what they are worth from model to model."""
    if step.get("method") == "static":
        spread = {"smooth": {"from": 0.3, "to": 0.9, "step": 0.1}} if "smooth" in step else {}
        return {**step, "calibrate": ["minmax", "entropy", "percentile"], "faithful": [None, 0.99], **spread}
    if step.get("method") == "weights":
        return {**step, "bits": [8, 4]}
    return step


def _finish(quantized: Mapping[Method, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the steps that quantize a smaller network, which may stay in float too."""
    for method in ("static", "dynamic"):
        if method in quantized:
            *before, last = quantized[method]
            plain = {key: value for key, value in last.items() if key not in ("calibrate", "faithful")}
            return [*before, {**plain, "optional": True}]
    return []


def _train(task: Task, changeable: Changeable) -> dict[str, Any] | None:
    if not changeable.rows:
        return None
    if changeable.training is not None:
        own = changeable.training.model_dump(mode="json", exclude_unset=True)
        return {key: value for key, value in own.items() if key != "student"}
    if changeable.labels and TASKS[task].learns_labels:
        return {"step": "finetune", **_TRAINING}
    match = "embeddings" if TASKS[task].rule == "vectors" else "logits"
    return {"step": "distill", "match": {match: 1.0}, **_TRAINING}


def _explain_changes(changeable: Changeable, trains: bool) -> list[str]:
    if not changeable.channels and not changeable.layers:
        return ["channels, drop_layers: no, because the layers of this source cannot change"]
    if not trains:
        return ["channels, drop_layers: no, because there is no split `train` to recover on"]
    stack = f"a stack of {changeable.layers} equal layers" if changeable.layers > 1 else "no stack of layers"
    return [
        "channels: yes, with training afterwards",
        f"drop_layers: {'yes' if changeable.layers > 1 else 'no'}, because there is {stack}",
    ]
