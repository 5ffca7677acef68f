"""The shipped digits recipe: its splits and its model."""

from pathlib import Path

import numpy as np

from export.data.datasets import Data
from export.recipe import load_recipe
from export.sources.read_trained import read_trained
from export.training.scores import accuracy_of


def test_every_split_has_every_digit_in_its_share(data: Data) -> None:
    """Each digit's share of each split is within 2 percentage points of a tenth."""
    for split in data.splits.values():
        assert split.labels is not None
        shares = np.bincount(split.labels, minlength=10) / len(split)
        assert np.all(np.abs(shares - 0.1) < 0.02)


def test_all_scans_are_used(data: Data) -> None:
    """1,797 scans without duplicates go into the four splits."""
    assert sum(len(split) for split in data.splits.values()) == 1797


def test_images_are_scaled(data: Data) -> None:
    """Pixels from 0 to 16 are scaled to 0 to 1."""
    images = data.held_out.inputs["image"]
    assert images.dtype == np.float32
    assert images.shape[1:] == (1, 8, 8)
    assert (images.min(), images.max()) == (0, 1)


def test_the_trained_network_reads_digits(digits_recipe: Path, data: Data) -> None:
    """The trained network has an accuracy above 0.97 on held-out digits."""
    recipe = load_recipe(digits_recipe)
    trained = read_trained(recipe.source, digits_recipe.parent, recipe.task)
    assert trained.build is not None
    assert accuracy_of(trained.build(), data.held_out) > 0.97


def test_training_leaves_inputs_for_a_load_test(digits_recipe: Path, data: Data) -> None:
    """Training writes the held-out images under the model's input name, and no other file."""
    folder = digits_recipe.parent.parent.parent / "build" / "digits"
    assert sorted(path.name for path in folder.iterdir()) == ["digits.safetensors", "inputs.npz"]
    with np.load(folder / "inputs.npz") as inputs:
        assert np.array_equal(inputs["image"], data.held_out.inputs["image"])
