"""Trains on the labels; `recover` uses the baseline's answers if there are no labels."""

from dataclasses import replace

from export.artifacts import Context, Made
from export.step import Distill, Match, Training
from export.steps.distill import distill
from export.training.scores import label_rule
from export.training.train import learn_labels, train


def finetune(made: Made, settings: Training, context: Context) -> Made:
    """Train the model in place on the labels. Raises StepFailed, or InvalidData without labels."""
    note = train(made, learn_labels(context.data, label_rule(context)), settings, context)
    return replace(made, notes=(*made.notes, {"step": "finetune", **note}))


def recover(made: Made, settings: Training, context: Context) -> Made:
    """Train the model in place on the labels, or to answer like the baseline if there are none."""
    left = sum(int(value.count_nonzero()) for value in made.module.parameters())
    # A step may recover several times, each time with fewer weights.
    context = replace(context, logs=context.logs / f"recover-{left}")
    if all(
        split is not None and split.labels is not None for split in (context.data.train, context.data.search)
    ):
        return finetune(made, settings, context)
    match: dict[Match, float] = {"embeddings": 1} if context.kind == "vectors" else {"logits": 1}
    values = settings.model_dump(exclude={"step"})
    return distill(made, Distill(step="distill", match=match, **values), context)
