"""Training learns, keeps the best epoch, and is reproducible, even after a kill."""

import copy
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from export.artifacts import Context, Made, Trained
from export.data.datasets import Data, Split, read_data
from export.errors import InvalidData, StepFailed
from export.forward import Tensors, forward
from export.reproducible import reproducible, seed_everything
from export.step import Training
from export.training.train import fit, learn_labels, train
from export.training.trainer import Goal, Trainer

Loss = Callable[[torch.nn.Module, Tensors, Any], torch.Tensor]


@pytest.fixture(autouse=True)
def _reproducible() -> Iterator[None]:
    """Train on one thread with reproducible results, as an export does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with reproducible():
        yield
    torch.set_num_threads(threads)


def settings(**changes: Any) -> Training:
    """Four epochs of training, some settings changed."""
    return Training.model_validate({"epochs": 4, "learning_rate": 0.01, "batch_size": 8} | changes)


def make_data(rows: int = 40, labels: bool = True) -> Data:
    """Return two classes by the sign of the first of four numbers."""
    draw = np.random.default_rng(0)
    splits: dict[str, Any] = {}
    for name in ("train", "calibration", "search", "held_out"):
        x = draw.normal(size=(rows, 4)).astype(np.float32)
        splits[name] = ({"x": x}, (x[:, 0] > 0).astype(np.int64) if labels else None)
    return read_data(splits, "make_data")


def make_module() -> torch.nn.Module:
    """A small network with batch normalization and dropout, the same each time."""
    seed_everything(7)
    layers = [torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.ReLU(), torch.nn.Dropout(0.2)]
    return torch.nn.Sequential(*layers, torch.nn.Linear(6, 2))


def make_context(folder: Path, data: Data) -> Context:
    """The context of a step that works in `folder`."""
    trained = Trained(name="toy", sha256="0" * 64, build=make_module, assets={})
    return Context(
        trained=trained,
        task="classification",
        data=data,
        seed=0,
        scratch=folder / "scratch",
        logs=folder / "logs",
    )


def run(folder: Path, module: torch.nn.Module, data: Data | None = None, **changes: Any) -> Any:
    """Train on labels in `folder`; the note."""
    data = data or make_data()
    return train(Made(module=module), learn_labels(data), settings(**changes), make_context(folder, data))


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether two modules hold the same bytes."""
    left, right = one.state_dict(), other.state_dict()
    return all(torch.equal(left[name], right[name]) for name in left)


def test_learns(tmp_path: Path) -> None:
    """Twenty epochs give a score above 0.9."""
    note = run(tmp_path, make_module(), epochs=20, learning_rate=0.05)
    assert note["score"] > 0.9


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_every_optimizer_learns(optimizer: str) -> None:
    """The loss is lower after eight epochs with each optimizer."""
    data, module = make_data(), make_module()
    trainer = Trainer(Made(module=module), learn_labels(data), settings(optimizer=optimizer, epochs=8), data)
    losses = [figures["loss"] for figures in trainer.epochs()]
    assert losses[-1] < losses[0]


def test_the_same_seed_gives_the_same_weights() -> None:
    """Two runs agree bit for bit, and another seed draws other batches."""
    one, again, other = (fit(make_module(), make_data(), settings(), seed) for seed in (1, 1, 2))
    assert same(one, again)
    assert not same(one, other)


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_goes_on_after_an_error_between_epochs(tmp_path: Path, moment: int) -> None:
    """After an error between epochs the same call ends with the same weights."""
    whole, cut = make_module(), make_module()
    run(tmp_path / "whole", whole)
    data = make_data()
    goal = learn_labels(data)
    calls = 0

    def fail(module: torch.nn.Module) -> float:
        nonlocal calls
        calls += 1
        if calls > moment:
            raise KeyboardInterrupt
        return goal.score(module)

    context = make_context(tmp_path / "cut", data)
    with pytest.raises(KeyboardInterrupt):
        train(Made(module=cut), replace(goal, score=fail), settings(), context)
    continued = make_module()
    note = train(Made(module=continued), goal, settings(), context)
    assert note["epochs_run"] == 4
    assert same(continued, whole)


_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, str(Path({file!r}).parent))
import export.training.train as training
from {name} import run, make_module
write = training.write_checkpoint
def write_and_die(path, state):
    write(path, state)
    if len(state["history"]) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
training.write_checkpoint = write_and_die
from export.reproducible import reproducible
with reproducible():
    run(Path({folder!r}), make_module())
"""


def test_goes_on_after_kill_9(tmp_path: Path) -> None:
    """A process killed after its second epoch continues with the third and ends with the same weights."""
    script = _KILLED.format(file=__file__, name=Path(__file__).stem, folder=str(tmp_path / "cut"))
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    whole, continued = make_module(), make_module()
    run(tmp_path / "whole", whole)
    run(tmp_path / "cut", continued)
    assert same(continued, whole)
    assert _steps(tmp_path / "cut" / "logs", "loss") == [1, 2, 3, 4]


def test_a_checkpoint_that_cannot_be_read_starts_over(tmp_path: Path) -> None:
    """After a truncated checkpoint the training starts over with the same result."""
    whole, again = make_module(), make_module()
    run(tmp_path, whole)
    (checkpoint,) = (tmp_path / "scratch").iterdir()
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    run(tmp_path, again)
    assert same(again, whole)
    assert _steps(tmp_path / "logs", "score") == [1, 2, 3, 4]


def test_other_settings_do_not_continue_a_training(tmp_path: Path) -> None:
    """A training with other settings does not continue the checkpoint."""
    run(tmp_path, make_module())
    fresh, beside = make_module(), make_module()
    run(tmp_path / "fresh", fresh, learning_rate=0.02)
    run(tmp_path, beside, learning_rate=0.02)
    assert same(fresh, beside)


def test_logs_loss_learning_rate_and_score(tmp_path: Path) -> None:
    """TensorBoard has one point per epoch for loss, learning rate and score."""
    run(tmp_path, make_module())
    for figure in ("loss", "learning_rate", "score"):
        assert _steps(tmp_path / "logs", figure) == [1, 2, 3, 4]


def _steps(logs: Path, figure: str) -> list[int]:
    events = EventAccumulator(str(logs))
    events.Reload()
    return [event.step for event in events.Scalars(figure)]


def scored(scores: list[float], **changes: Any) -> tuple[Any, list[torch.nn.Module]]:
    """The note of a training whose epochs score so, and the module: at the end, then after each epoch."""
    data, module = make_data(), make_module()
    waiting, states = iter(scores), []

    def score(current: torch.nn.Module) -> float:
        states.append(copy.deepcopy(current))
        return next(waiting)

    goal = replace(learn_labels(data), score=score)
    trainer = Trainer(Made(module=module), goal, settings(**changes), data)
    for _ in trainer.epochs():
        pass
    return trainer.finish(), [module, *states]


def test_keeps_the_best_epoch() -> None:
    """The result has the weights of the epoch with the highest score."""
    note, (module, *epochs) = scored([0.1, 0.9, 0.3, 0.2])
    assert note["best_epoch"] == 2
    assert note["score"] == 0.9
    assert same(module, epochs[1])


def test_equally_good_epochs_go_to_the_last() -> None:
    """Of epochs with equal scores the last one is kept."""
    note, (module, *epochs) = scored([0.5, 0.9, 0.9, 0.2])
    assert note["best_epoch"] == 3
    assert same(module, epochs[2])


def test_patience_ends_it() -> None:
    """Training ends after two epochs without a better score."""
    note, _ = scored([0.5, 0.9, 0.9, 0.9], patience=2, epochs=9)
    assert note["epochs_run"] == 4


def test_a_score_that_is_no_number_is_an_error() -> None:
    """A score of NaN is an error that recommends a lower learning rate."""
    with pytest.raises(StepFailed, match=r"the score became nan in epoch 2: .* lower learning_rate"):
        scored([0.5, float("nan")])


def test_frozen_parameters_stay() -> None:
    """Frozen parameters and the statistics of a frozen norm are unchanged."""
    before, module = make_module(), make_module()
    fit(module, make_data(), settings(freeze=["0.*", "1.*"]), 0)
    changed = {
        name.partition(".")[0]
        for name, value in module.state_dict().items()
        if not torch.equal(value, before.state_dict()[name])
    }
    assert changed == {"4"}
    assert all(value.requires_grad for value in module.parameters())


class Backbone(torch.nn.Module):
    """A layer and a norm without weights, then a head."""

    def __init__(self, *, fixed: bool = False) -> None:
        super().__init__()
        seed_everything(7)
        self.body = torch.nn.Sequential(
            torch.nn.Linear(4, 6).requires_grad_(not fixed), torch.nn.BatchNorm1d(6, affine=False)
        )
        self.head = torch.nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return two scores."""
        scores: torch.Tensor = self.head(self.body(x).relu())
        return scores


@pytest.mark.parametrize(
    ("freeze", "fixed", "held"),
    [
        (["body.*"], False, True),
        (["body.1.*"], False, True),
        (["body.1.running_*"], False, True),
        (["body.0.*"], False, True),
        (["body.0.weight"], False, False),
        ([], True, True),
        ([], False, False),
        (["head.*"], False, False),
    ],
    ids=[
        "all around it",
        "itself",
        "its statistics",
        "all parameters around it",
        "some parameters around it",
        "parameters around it that the model fixes",
        "nothing",
        "what comes later",
    ],
)
def test_a_frozen_norm_without_weights_keeps_its_statistics(
    freeze: list[str], fixed: bool, held: bool
) -> None:
    """A frozen norm without weights keeps its statistics."""
    before, module = Backbone(fixed=fixed), Backbone(fixed=fixed)
    fit(module, make_data(), settings(freeze=freeze), 0)
    mean = [each.body.get_buffer("1.running_mean") for each in (before, module)]
    assert torch.equal(*mean) is held


def test_a_pattern_that_freezes_nothing_is_an_error() -> None:
    """A pattern in `freeze` that matches nothing is refused."""
    with pytest.raises(StepFailed, match=r"the pattern 'hed\.\*' matches none of 9 parameters and buffers"):
        fit(make_module(), make_data(), settings(freeze=["hed.*"]), 0)


def test_to_freeze_everything_is_an_error() -> None:
    """Freezing all parameters is an error, because nothing would change."""
    with pytest.raises(StepFailed, match="nothing is left to train: of 6 parameters `freeze` holds 6"):
        fit(make_module(), make_data(), settings(freeze=["*"]), 0)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_pruned_zeros_stay(tmp_path: Path, optimizer: str) -> None:
    """Pruned weights stay 0 with each optimizer, and all others are trained."""
    module, data = make_module(), make_data()
    weight = module.get_parameter("0.weight")
    with torch.no_grad():
        weight[::2] = 0
    made = Made(module=module, pruned=frozenset({"0.weight"}))
    train(made, learn_labels(data), settings(optimizer=optimizer), make_context(tmp_path, data))
    assert int(weight[::2].count_nonzero()) == 0
    assert int(weight[1::2].count_nonzero()) == weight[1::2].numel()


def test_l1_makes_weights_smaller() -> None:
    """With `l1` the sum of absolute weights falls to less than half."""
    sizes = []
    for l1 in (0.0, 0.5):
        _, (module, *_) = scored([0.5] * 30, l1=l1, epochs=30)
        sizes.append(module.get_parameter("0.weight").norm(1).item())
    assert sizes[1] < sizes[0] / 2


def test_a_huge_learning_rate_is_an_error() -> None:
    """A loss that is not finite is an error with the epoch and the fix."""
    with pytest.raises(StepFailed, match=r"became (nan|inf) in epoch \d: .*lower learning_rate from 1e\+30"):
        fit(torch.nn.Linear(4, 2), make_data(), settings(learning_rate=1e30, optimizer="sgd", epochs=9), 0)


def test_a_gradient_that_is_no_number_is_an_error() -> None:
    """A gradient that is not finite is an error, even if the loss is finite."""

    def loss(module: torch.nn.Module, inputs: Tensors, rows: Any) -> torch.Tensor:
        return (forward(module, inputs)[0] * 0).abs().sum().sqrt()

    data, module = make_data(), make_module()
    trainer = Trainer(Made(module=module), Goal(loss=loss, score=lambda _: 1.0), settings(), data)
    with pytest.raises(StepFailed, match=r"the gradient became (nan|inf) in epoch 1"):
        next(trainer.epochs())


def test_a_training_that_changes_nothing_is_an_error() -> None:
    """A training that changes no weight is an error."""
    with pytest.raises(StepFailed, match="4 epochs changed no weight; raise learning_rate from 1e-30"):
        fit(torch.nn.Linear(4, 2), make_data(), settings(learning_rate=1e-30), 0)


def test_too_few_rows_for_a_batch_are_an_error() -> None:
    """A batch size above the number of rows is an error."""
    with pytest.raises(StepFailed, match="the train split has 40 rows, fewer than one batch of 64"):
        fit(make_module(), make_data(), settings(batch_size=64), 0)


@pytest.mark.parametrize("split", ["train", "search"])
def test_without_labels_there_is_another_way(split: str) -> None:
    """Without labels, the error recommends the step distill."""
    data = make_data()
    bare: Split = replace(getattr(data, split), labels=None)
    with pytest.raises(InvalidData, match=f"the {split} split has no labels.*use the step distill"):
        learn_labels(replace(data, **{split: bare}))


def test_needs_rows_to_train_on() -> None:
    """Training without a train split is refused."""
    with pytest.raises(InvalidData, match="add the split 'train'"):
        learn_labels(replace(make_data(), train=None))
