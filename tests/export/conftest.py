"""What the export tests share: real data, one trained network, one export of the shipped recipe."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
import yaml

if TYPE_CHECKING:
    from export.data.datasets import Data
    from export.pipeline import Outcome

RecipeWriter = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """As an export has it. Threads that wait for each other on shared cores wait long."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data() -> Data:
    """The digits, in their four splits."""
    from export.data.datasets import read_data
    from export.recipes.digits import digits_data

    return read_data(digits_data(), "digits_data")


@pytest.fixture(scope="session")
def digits_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped recipe beside the checkpoint that the shipped training makes for it."""
    from export.recipes.digits import train

    root = tmp_path_factory.mktemp("digits")
    train(root / "build" / "digits")
    folder = root / "export" / "recipes"
    folder.mkdir(parents=True)
    return Path(shutil.copy("export/recipes/digits.yaml", folder))


@pytest.fixture(scope="session")
def outcome(digits_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The shipped recipe, exported once. Tests only look at it."""
    from export.pipeline import run

    return run(digits_recipe, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def float_graph(outcome: Outcome) -> bytes:
    """The baseline's graph."""
    return (outcome.model.folder / "fp32" / "model.onnx").read_bytes()


@pytest.fixture(scope="session")
def tiny_checkpoint(data: Data) -> bytes:
    """A network of a few hundred parameters that was trained just enough to have opinions."""
    from export.recipes.digits import digits_model
    from export.reproducible import reproducible, seed_everything
    from export.step import Training
    from export.training.train import fit

    with reproducible():
        seed_everything(0)
        settings = Training(epochs=3, learning_rate=0.01, batch_size=64)
        model = fit(digits_model([4, 4, 4], 8), data, settings, seed=0)
    return safetensors.torch.save(model.state_dict())


@pytest.fixture(scope="session")
def write_recipe(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: bytes) -> RecipeWriter:
    """Write a recipe of the tiny network to a fresh folder, with these keys instead of the usual."""

    def write(**changes: Any) -> Path:
        folder = tmp_path_factory.mktemp("tiny")
        (folder / "tiny.safetensors").write_bytes(tiny_checkpoint)
        content: dict[str, Any] = {
            "model": "tiny",
            "source": {
                "factory": "export.recipes.digits:digits_model",
                "arguments": {"widths": [4, 4, 4], "hidden": 8},
                "checkpoint": "tiny.safetensors",
            },
            "data": {"factory": "export.recipes.digits:digits_data"},
            "outputs": ["logits"],
            "floor": {"accuracy_drop": 0, "macro_f1_drop": 0, "agreement": 1},
            "variants": {"fp32": []},
        }
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(content | changes, sort_keys=False))
        return path

    return write


@pytest.fixture(scope="session")
def ruinous_recipe(write_recipe: RecipeWriter) -> Path:
    """A recipe whose variant `ruin` loses three quarters of its channels and gets no training."""
    ruin = {"step": "prune", "remove": "channels", "ratio": 0.75}
    return write_recipe(variants={"fp32": [], "ruin": [ruin]})


@pytest.fixture(scope="session")
def ruined(ruinous_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """That recipe, exported once."""
    from export.pipeline import run

    return run(ruinous_recipe, tmp_path_factory.mktemp("models"))
