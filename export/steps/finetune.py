"""Finetune: train on the train split, keep the epoch that the search split likes best."""

import copy

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from export.datasets import Split
from export.errors import StepFailed
from export.forward import Tensors, forward, to_tensors
from export.recipe import Finetune
from export.reproducible import seed_everything


def finetune(
    model: torch.nn.Module, settings: Finetune, train: Split, search: Split, seed: int
) -> torch.nn.Module:
    """`model` after `settings.epochs` epochs of AdamW under a cosine schedule, changed in place: the
    weights of the epoch with the best accuracy on `search`, of equals the last. Raises StepFailed."""
    seed_everything(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)
    best_accuracy, best = -1.0, model.state_dict()
    with tqdm(range(1, settings.epochs + 1), desc="training", unit="epoch", leave=False) as epochs:
        for epoch in epochs:
            loss = _train_epoch(model, optimizer, train, settings.batch_size)
            schedule.step()
            if not loss < float("inf"):
                raise StepFailed(
                    f"the loss became {loss} in epoch {epoch}: training diverged; "
                    f"lower learning_rate from {settings.learning_rate}"
                )
            accuracy = accuracy_of(model, search)
            epochs.set_postfix(loss=f"{loss:.3f}", accuracy=f"{accuracy:.3f}")
            if accuracy >= best_accuracy:
                best_accuracy, best = accuracy, copy.deepcopy(model.state_dict())
    model.load_state_dict(best)
    return model.eval()


def accuracy_of(model: torch.nn.Module, split: Split) -> float:
    """The share of rows whose top class in the first output is their label."""
    model.eval()
    right = 0
    with torch.no_grad():
        for rows in torch.arange(len(split)).tensor_split(-(-len(split) // 256)):
            top = forward(model, _rows(split, rows))[0].argmax(1)
            right += int((top == torch.from_numpy(split.labels[rows.numpy()])).sum())
    return right / len(split)


def _train_epoch(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, train: Split, batch_size: int
) -> float:
    """The mean loss over one pass in a random order."""
    model.train()
    total = 0.0
    # Batches of nearly equal size: a last batch of one row would stop batch normalization.
    for rows in torch.randperm(len(train)).tensor_split(-(-len(train) // batch_size)):
        optimizer.zero_grad()
        logits = forward(model, _rows(train, rows))[0]
        loss = cross_entropy(logits, torch.from_numpy(train.labels[rows.numpy()]))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += float(loss.detach()) * len(rows)
    return total / len(train)


def _rows(split: Split, rows: torch.Tensor) -> Tensors:
    return to_tensors(split.take(rows.numpy()))
