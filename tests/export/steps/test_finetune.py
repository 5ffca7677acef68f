"""`finetune` trains on labels; `recover` uses the baseline's answers if there are none."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from export.artifacts import Context, Made, Note, Trained
from export.data.datasets import Data
from export.errors import InvalidData
from export.recipes.digits import digits_model
from export.reproducible import seed_everything
from export.step import Finetune, Training
from export.steps.finetune import finetune, recover
from export.training.scores import accuracy_of
from export.training.train import fit

SETTINGS: dict[str, Any] = {"epochs": 2, "learning_rate": 0.01, "batch_size": 64}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def untrained() -> torch.nn.Module:
    """A small network, the same each time."""
    seed_everything(0)
    return digits_model([4, 8, 8], 16)


@pytest.fixture
def context(tmp_path: Path, data: Data) -> Context:
    """The context of a step on a network for digits."""

    def build() -> torch.nn.Module:
        return fit(untrained(), data, Training(**SETTINGS), seed=0)

    return Context(
        trained=Trained(name="digits", sha256="d" * 64, build=build, assets={}),
        task="classification",
        data=data,
        seed=0,
        scratch=tmp_path / "scratch",
        logs=tmp_path / "logs",
    )


def without_labels(context: Context) -> Context:
    """The same with no label anywhere."""
    splits = {name: replace(split, labels=None) for name, split in context.data.splits.items()}
    return replace(context, data=replace(context.data, **splits))


def test_learns_and_says_so(context: Context) -> None:
    """Two epochs give an accuracy above 0.5, and the note follows the earlier ones."""
    before: Note = {"step": "before"}
    surgery: Note = {"kind": "channels"}
    made = Made(module=untrained(), notes=(before,), surgery=(surgery,), pruned=frozenset({"head.weight"}))
    after = finetune(made, Finetune(step="finetune", **SETTINGS), context)
    assert accuracy_of(after.module, context.data.held_out) > 0.5
    assert (after.surgery, after.pruned) == (made.surgery, made.pruned)
    first, note = after.notes
    assert first == before
    assert {key: note[key] for key in ("step", "rows", "epochs_run")} == {
        "step": "finetune",
        "rows": 897,
        "epochs_run": 2,
    }


def test_needs_labels(context: Context) -> None:
    """`finetune` without labels is refused, and the error suggests distill."""
    with pytest.raises(InvalidData, match="use the step distill"):
        finetune(Made(module=untrained()), Finetune(step="finetune", **SETTINGS), without_labels(context))


def test_recovers_by_labels(context: Context) -> None:
    """`recover` with labels is a finetune step."""
    (note,) = recover(Made(module=untrained()), Training(**SETTINGS), context).notes
    assert note["step"] == "finetune"


def test_recovers_without_labels(context: Context) -> None:
    """`recover` without labels restores at least half of the accuracy that pruning lost."""
    assert context.trained.build is not None
    module = context.trained.build()
    whole = accuracy_of(module, context.data.held_out)
    with torch.no_grad():
        module.get_parameter("features.3.weight")[::2] = 0
    broken = accuracy_of(module, context.data.held_out)
    made = recover(Made(module=module), Training(**SETTINGS), without_labels(context))
    (note,) = made.notes
    assert note["step"] == "distill"
    assert accuracy_of(made.module, context.data.held_out) > (whole + broken) / 2


def test_recoveries_of_one_step_have_logs_of_their_own(context: Context) -> None:
    """Two recoveries of one step write to different log folders."""
    for zeros in (0, 5):
        module = untrained()
        with torch.no_grad():
            module.get_parameter("head.weight")[:zeros] = 0
        recover(Made(module=module, pruned=frozenset({"head.weight"})), Training(**SETTINGS), context)
    assert len(list(context.logs.iterdir())) == 2
