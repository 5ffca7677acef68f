"""What the export tests share: real data, one trained network, one export of the shipped recipe."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import yaml

from export.datasets import Data, read_data
from export.pipeline import Outcome, run
from export.recipe import Finetune, Quantize
from export.recipes.digits import digits_data, digits_model, train
from export.reproducible import reproducible, seed_everything
from export.steps.finetune import finetune

RecipeWriter = Callable[..., Path]


@pytest.fixture(scope="session")
def data() -> Data:
    """The digits, in their four splits."""
    return read_data(digits_data(), "digits_data")


@pytest.fixture(scope="session")
def digits_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped recipe beside the checkpoint that the shipped training makes for it."""
    root = tmp_path_factory.mktemp("digits")
    train(root / "build" / "digits")
    folder = root / "export" / "recipes"
    folder.mkdir(parents=True)
    return Path(shutil.copy("export/recipes/digits.yaml", folder))


@pytest.fixture(scope="session")
def outcome(digits_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The shipped recipe, exported once. Tests only look at it."""
    return run(digits_recipe, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def float_graph(outcome: Outcome) -> bytes:
    """The baseline's graph."""
    return (outcome.model.folder / "fp32" / "model.onnx").read_bytes()


@pytest.fixture(scope="session")
def static() -> Quantize:
    """The usual way to quantize."""
    return Quantize(step="quantize", method="static")


@pytest.fixture(scope="session")
def tiny_checkpoint(data: Data) -> bytes:
    """A network of a few hundred parameters that was trained just enough to have opinions."""
    with reproducible():
        seed_everything(0)
        settings = Finetune(step="finetune", epochs=3, learning_rate=0.01, batch_size=64)
        model = finetune(digits_model([4, 4, 4], 8), settings, data.train, data.search, seed=0)
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
    return write_recipe(variants={"fp32": [], "ruin": [{"step": "prune", "channels": 0.75}]})


@pytest.fixture(scope="session")
def ruined(ruinous_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """That recipe, exported once."""
    return run(ruinous_recipe, tmp_path_factory.mktemp("models"))
