"""Keeps layers in float whose quantized answers differ by more than rounding explains."""

from collections.abc import Sequence

from export.data.datasets import Split
from export.errors import StepFailed
from export.quantization.layers import Layer
from export.quantization.operator_trial import Miss, TrialPlan, find_misses


def find_untrue(plan: TrialPlan, layers: Sequence[Layer], split: Split) -> dict[str, str]:
    """Return the nodes that must stay in float, with the reasons: no range holds their input or output, or
    their quantized answers are wrong.

    The remaining layers answer like the float model on calibration rows. Raises StepFailed if no layer
    remains, or if a wrong answer comes from float nodes."""
    untrue = dict(plan.endless)
    while True:
        true = [layer for layer in layers if layer.node not in untrue]
        if not true:
            name, reason = next(iter(untrue.items()))
            raise StepFailed(
                f"no layer answers in integers as it does in floats: {name!r} {reason}; use another method"
            )
        misses = find_misses(plan, plan.make(true, untrue), true, split)
        if not misses:
            return untrue
        integers = {*(layer.node for layer in layers), *plan.others} - untrue.keys()
        for miss in misses:
            untrue |= dict.fromkeys(_blame(miss, {layer.node for layer in true}, integers), miss.reason)


def _blame(miss: Miss, layers: set[str], integers: set[str]) -> list[str]:
    """Return the nodes to blame: those with weights, else those that compute with integers, else those that
    made their inputs."""
    for nodes in (miss.nodes & layers, miss.nodes & integers, miss.before & integers):
        if nodes:
            return sorted(nodes)
    raise StepFailed(
        f"{', '.join(sorted(miss.nodes)) or 'a node'} {miss.reason}, and no more layers before it can be "
        "kept in float; use another method, or remove the step"
    )
