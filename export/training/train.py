"""Trains a model in place, keeps the best epoch, and resumes after an interruption."""

from contextlib import closing

import torch
from torch.utils.tensorboard import SummaryWriter

from export.artifacts import Context, Made, Note
from export.data.datasets import Data
from export.errors import InvalidData
from export.forward import Tensors, forward
from export.reproducible import seed_everything
from export.step import Training
from export.training.batches import Rows
from export.training.checkpoint import read_checkpoint, write_checkpoint
from export.training.losses import labels_loss
from export.training.scores import score_labels
from export.training.trainer import Figures, Goal, Trainer
from serve.bundles.bundle import sha256
from serve.bundles.meaning import Rule

_CLASSES = Rule(kind="classes")


def train(made: Made, goal: Goal, settings: Training, context: Context) -> Note:
    """Train `made.module` in place on the train split, and keep the weights of the epoch with the best score
    (the last of equal ones). Pruned weights stay zero.

    Resumes from the checkpoint that the same call left in `context.scratch`. Raises StepFailed or
    InvalidData."""
    trainer = Trainer(made, goal, settings, context.data)
    checkpoint = context.scratch / f"training-{_describe_call(trainer.start, settings, context)}.pt"
    seed_everything(context.seed)
    if (state := read_checkpoint(checkpoint)) is not None:
        trainer.restore(state)
    # Events are written anew, because an interrupted training may have logged an epoch that is now repeated.
    for old in context.logs.glob("events.out.tfevents.*"):
        old.unlink()
    with closing(SummaryWriter(str(context.logs))) as events:
        for epoch, figures in enumerate(trainer.history, start=1):
            _log(events, epoch, figures)
        for figures in trainer.epochs():
            _log(events, len(trainer.history), figures)
            write_checkpoint(checkpoint, trainer.state)
    return trainer.finish()


def fit(
    module: torch.nn.Module, data: Data, settings: Training, seed: int, rule: Rule = _CLASSES
) -> torch.nn.Module:
    """Train `module` in place on the labels of `data`, without checkpoints and logs, and return it in
    evaluation mode. `rule` is that of its first output.

    Raises StepFailed or InvalidData."""
    trainer = Trainer(Made(module=module), learn_labels(data, rule), settings, data)
    seed_everything(seed)
    for _ in trainer.epochs():
        pass
    trainer.finish()
    return module


def learn_labels(data: Data, rule: Rule = _CLASSES) -> Goal:
    """Return the goal of a low loss on the labels of the train split and a high accuracy (or R2 of numbers)
    on the search split; `rule` is that of the first output. Raises InvalidData if one has none."""
    for name, split in (("train", data.require_train("training on labels")), ("search", data.search)):
        if split.labels is None:
            raise InvalidData(
                f"the {name} split has no labels, and training on labels needs them in train and search; "
                "add them, or use the step distill, which learns from the baseline's answers instead"
            )
    labels = torch.from_numpy(data.require_train("training on labels").labels)

    def loss(module: torch.nn.Module, inputs: Tensors, rows: Rows) -> torch.Tensor:
        return labels_loss(rule, forward(module, inputs)[0], labels[torch.from_numpy(rows)])

    return Goal(loss=loss, score=lambda module: score_labels(rule, module, data.search))


def _log(events: SummaryWriter, epoch: int, figures: Figures) -> None:
    for name, value in figures.items():
        events.add_scalar(name, value, epoch)
    events.flush()


def _describe_call(start: str, settings: Training, context: Context) -> str:
    """Return a digest of everything that determines the result, so that no other training is resumed by
    mistake."""
    rows = "".join(context.data.require_train("training").row_hashes)
    parts = (start, settings.model_dump_json(), str(context.seed), context.trained.sha256, rows)
    return sha256("\n".join(parts).encode())[:16]
