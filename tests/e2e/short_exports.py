"""Exports of the shipped recipes that take a second or two: few rows, and little training."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import yaml

from export.data.datasets import read_data
from export.pipeline import run
from export.proof import speed
from export.reproducible import reproducible, seed_everything
from export.step import Training
from export.training.train import fit
from serve.base.tensor import Arrays
from serve.bundles.meaning import Rule

_ROWS = {"held_out": 100, "search": 40, "calibration": 40, "train": 600}
# The training of a recipe that is not here takes a second or two.
_EPOCHS = {"two_digits": 6, "digit_map": 2, "digit_boxes": 16, "digit_search": 3}


def take(recipe: str) -> dict[str, tuple[Arrays, Any]]:
    """Return the first rows of each split of a recipe; the data of its short export."""
    splits = getattr(import_module(f"export.recipes.{recipe}"), f"{recipe}_data")()
    return {
        name: ({key: rows[: _ROWS[name]] for key, rows in inputs.items()}, labels[: _ROWS[name]])
        for name, (inputs, labels) in splits.items()
    }


def export_short(recipe: str, variant: str, folder: Path) -> None:
    """Train the network of a recipe, and export its baseline and one variant to `folder`/models."""
    content = yaml.safe_load(Path(f"export/recipes/{recipe}.yaml").read_text())
    _train(recipe, content, folder)
    content["source"]["checkpoint"] = f"{content['model']}.safetensors"
    content["data"] = {"factory": f"{__name__}:take", "arguments": {"recipe": recipe}}
    # Few rows prove less.
    content["floor"] = {"agreement": 0.5}
    content["variants"] = {name: content["variants"][name] for name in ("fp32", variant)}
    path = folder / f"{recipe}.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "BUDGET_S", 0.02)
        outcome = run(path, folder / "models")
    assert not outcome.failed
    assert not outcome.rejected


def _train(recipe: str, content: Mapping[str, Any], folder: Path) -> None:
    module = import_module(f"export.recipes.{recipe}")
    if recipe not in _EPOCHS:
        module.train(folder)
        return
    data = read_data(take(recipe), recipe, task=content["task"])
    with reproducible():
        seed_everything(0)
        model = getattr(module, f"{recipe}_model")()
        if hasattr(module, "learn"):
            module.learn(model, data.train, _EPOCHS[recipe])
        else:
            [rule] = content["rules"].values()
            training = Training(epochs=_EPOCHS[recipe], batch_size=32, learning_rate=5e-3)
            fit(model, data, training, seed=0, rule=Rule(**rule))
    checkpoint = folder / f"{content['model']}.safetensors"
    checkpoint.write_bytes(safetensors.torch.save(model.state_dict()))
