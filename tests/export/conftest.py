"""Shared by the export tests: real data, a trained network and an export of the shipped recipe."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
import yaml

from serve.bundles.bundle import Bundle
from serve.bundles.figures import Speed

if TYPE_CHECKING:
    from export.data.datasets import Data
    from export.pipeline import ExportOutcome

RecipeWriter = Callable[..., Path]


def timeless(bundle: Bundle) -> Bundle:
    """The bundle without what a clock has measured."""
    speed = Speed(threads=1, session_bytes=0, points=(), knee_rows=1, warning=None)
    figures = bundle.figures.model_copy(update={"speed": speed})
    return bundle.model_copy(update={"figures": figures})


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Use one torch thread, as an export does; several threads would wait on shared cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _one_registry() -> Iterator[None]:
    """Keep torch's registry of ONNX translations, because each export reads it again, which takes most of a
    second. Exports in a process of their own, such as the guide's, are not affected."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        yield


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
def outcome(digits_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """The shipped recipe, exported once. Tests only look at it."""
    from export.pipeline import run

    return run(digits_recipe, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def tiny_checkpoint() -> bytes:
    """A network of a few hundred parameters after a short training."""
    from export.data.datasets import read_data
    from export.recipes.digits import digits_model
    from export.reproducible import reproducible, seed_everything
    from export.step import Training
    from export.training.train import fit
    from tests.export.tiny_data import make

    data = read_data(make(), "tiny_data:make")
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
        # All recipes of a process use the same file, or Python would take it for another module of that name.
        (folder / "tiny_data.py").symlink_to(Path("tests/export/tiny_data.py").resolve())
        content: dict[str, Any] = {
            "model": "tiny",
            "source": {
                "factory": "export.recipes.digits:digits_model",
                "arguments": {"widths": [4, 4, 4], "hidden": 8},
                "checkpoint": "tiny.safetensors",
            },
            "data": {"factory": "tiny_data:make"},
            "outputs": ["logits"],
            "floor": {"accuracy_drop": 0, "macro_f1_drop": 0, "agreement": 1},
            "variants": {"fp32": []},
        }
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(content | changes, sort_keys=False))
        return path

    return write


@pytest.fixture(scope="session")
def tiny_recipe(write_recipe: RecipeWriter) -> Path:
    """A recipe with each kind of step, whose floor accepts all variants."""
    quantize = {"step": "quantize", "method": "static"}
    slim = [
        {"step": "prune", "remove": "channels", "ratio": 0.5},
        {"step": "finetune", "epochs": 3, "learning_rate": 0.01, "batch_size": 64},
    ]
    return write_recipe(
        floor={"accuracy_drop": 1, "agreement": 0},
        variants={"fp32": [], "int8": [quantize], "slim": slim, "slim-int8": [*slim, quantize]},
    )


@pytest.fixture(scope="session")
def tiny(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """The tiny recipe, exported once. Tests read or copy it."""
    from export.pipeline import run

    return run(tiny_recipe, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def ruinous_recipe(write_recipe: RecipeWriter) -> Path:
    """A recipe whose variant `ruin` loses three quarters of its channels and gets no training."""
    ruin = {"step": "prune", "remove": "channels", "ratio": 0.75}
    return write_recipe(variants={"fp32": [], "ruin": [ruin]})


@pytest.fixture(scope="session")
def ruined(ruinous_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """The ruinous recipe, exported once."""
    from export.pipeline import run

    return run(ruinous_recipe, tmp_path_factory.mktemp("models"))
