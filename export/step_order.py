"""Decides which steps may follow which."""

from itertools import pairwise

from export.step import Distill, Finetune, Fuse, Half, Prune, Quantize, Step, Steps
from serve.bundles.meaning import Task
from serve.tasks.task_table import TASKS

_GRAPH = (Fuse, Quantize, Half)


def refuse_order(steps: Steps, torch_model: bool, changeable: bool) -> str | None:
    """Return why these steps are in a wrong order, with the fix; None if the order is right.

    `torch_model`: the source is a torch module and not an ONNX file; `changeable`: its layers can change."""
    for number, step in enumerate(steps, start=1):
        if reason := _refuse_source(step, torch_model, changeable):
            return f"step {number} ({step.step}) {reason}"
    for number, (before, step) in enumerate(pairwise(steps), start=2):
        if reason := _refuse_pair(before, step):
            return f"step {number} ({step.step}) cannot follow {before.step}: {reason}"
    for number, step in enumerate(steps, start=1):
        if getattr(step, "quantize_aware", False) and not _is_static(steps[number:]):
            return (
                f"step {number} ({step.step}) trains for 8 bits, but no later step quantizes: "
                "add {step: quantize, method: static}, or drop quantize_aware"
            )
    return None


def refuse_training(steps: Steps, task: Task, outputs: int) -> str | None:
    """Return why steps of a task whose labels are not learnt cannot train, with the fix; None if they can."""
    if TASKS[task].learns_labels:
        return None
    for number, step in enumerate(steps, start=1):
        place = f"step {number} ({step.step})"
        if isinstance(step, Finetune) or (isinstance(step, Distill) and "labels" in step.match):
            return (
                f"{place} learns from labels, which is not supported for the task {task}; use the step "
                "distill with `match: logits`, which learns the baseline's numbers"
            )
        if outputs > 1 and (isinstance(step, Distill) or getattr(step, "recover", None) is not None):
            return (
                f"{place} teaches the first output alone, and the task {task} has {outputs} outputs here; "
                "prune and quantize without training, or give a model with one output"
            )
    return None


def _refuse_source(step: Step, torch_model: bool, changeable: bool) -> str | None:
    if isinstance(step, _GRAPH):
        return None
    student = isinstance(step, Distill) and step.student is not None and step.student.factory is not None
    if not torch_model and not student:
        return (
            "needs a torch model, but the source is an ONNX file; only quantize, fuse, half, and distill "
            "into a student with its own factory can start from one"
        )
    if not changeable and not student and not isinstance(step, Finetune):
        return (
            "changes layers, but those of a torch.export program cannot change; "
            "name the model's factory and checkpoint instead"
        )
    return None


def _refuse_pair(before: Step, step: Step) -> str | None:
    reason = None
    if isinstance(before, _GRAPH) and not isinstance(step, _GRAPH):
        reason = f"it needs the torch model, but {before.step} works on the ONNX graph; put it first"
    elif isinstance(before, Quantize):
        reason = "a graph is quantized only once; use one quantize step, at the end"
    elif isinstance(before, Half) and isinstance(step, Quantize | Half):
        reason = "half already sets the number format; keep one of the two"
    elif isinstance(before, Fuse) and isinstance(step, Fuse):
        reason = "the graph is already fused; remove one of the two"
    elif isinstance(before, Distill) and isinstance(step, Distill) and step.student is not None:
        reason = "a new student starts over; give the first distill step that student"
    elif isinstance(before, Prune) and before.remove in ("weights", "2:4") and _is_structural(step):
        reason = "removing channels afterwards breaks the pattern of zeros; remove channels first"
    return reason


def _is_structural(step: Step) -> bool:
    return isinstance(step, Prune) and step.remove in ("channels", "heads")


def _is_static(steps: Steps) -> bool:
    return any(isinstance(step, Quantize) and step.method == "static" for step in steps)
