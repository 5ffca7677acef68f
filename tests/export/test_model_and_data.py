"""The data of a recipe are part of the fingerprint, and may name the classes of its model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.errors import InvalidData
from export.model_and_data import read_model_and_data
from export.pipeline import run
from export.provenance import describe_origin, describe_variants
from export.recipe import load_recipe
from serve.bundles.bundle import LABELS, Provenance
from serve.bundles.labels_file import read_labels
from tests.export.tiny_data import make

Write = Callable[..., Path]
SPLITS = ("train", "calibration", "search", "held_out")
SPLIT = {"train": 0.4, "calibration": 0.1, "search": 0.1, "held_out": 0.4}


def save_splits(folder: Path, splits: dict[str, Any]) -> dict[str, str]:
    """Save an .npz file for each split. Returns the name of the file by split."""
    for name, (inputs, labels) in splits.items():
        np.savez(folder / f"{name}.npz", **inputs, label=labels)
    return {name: f"{name}.npz" for name in splits}


def save_images(folder: Path, rows: int = 60) -> None:
    """Save images of random pixels in the folders of ten classes, whose names are no numbers."""
    random = np.random.default_rng(0)
    for row in range(rows):
        home = folder / f"class {'abcdefghij'[row % 10]}"
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(home / f"{row}.png")


def describe(path: Path) -> Provenance:
    """Return the origin of a recipe's baseline."""
    recipe = load_recipe(path)
    origin = describe_origin(recipe, path.parent, *read_model_and_data(recipe, path.parent))
    return describe_variants(recipe, path.parent, origin)["fp32"]


def images(**changes: Any) -> dict[str, Any]:
    """Return the `data` of a recipe that reads a folder of images."""
    form = {"size": [8, 8], "mean": [0], "scale": [255]}
    files = {"path": "images", "inputs": ["image"], "labels": "folder", "images": form}
    return {"files": {**files, **changes}, "split": SPLIT}


def test_the_content_of_a_file_counts(write_recipe: Write) -> None:
    """Another pixel or label changes the fingerprint; the same content written again keeps it."""
    path = write_recipe(data={"files": {**{name: f"{name}.npz" for name in SPLITS}, "labels": "label"}})
    splits = make()
    save_splits(path.parent, splits)
    before = describe(path)
    save_splits(path.parent, make())
    assert describe(path).fingerprint == before.fingerprint
    splits["search"][0]["image"][0, 0, 0, 0] += 1
    save_splits(path.parent, splits)
    assert describe(path).fingerprint != before.fingerprint
    splits = make()
    splits["held_out"][1][:2] += [1, -1] if splits["held_out"][1][0] < 5 else [-1, 1]
    save_splits(path.parent, splits)
    assert describe(path).fingerprint != before.fingerprint


def test_the_seed_of_the_split_counts(write_recipe: Write) -> None:
    """Another seed of the split gives another held-out split."""
    fingerprints = []
    for seed in (0, 1):
        path = write_recipe(
            data={"files": {"path": "train.npz", "labels": "label"}, "split": SPLIT, "seed": seed}
        )
        save_splits(path.parent, make())
        fingerprints.append(describe(path).data["held_out"].sha256)
    assert fingerprints[0] != fingerprints[1]


def test_folders_name_the_classes(write_recipe: Write, tmp_path: Path) -> None:
    """The names of the subfolders become the class names of the bundle."""
    path = write_recipe(data=images(), floor={"agreement": 0.1})
    save_images(path.parent / "images")
    trained, data = read_model_and_data(load_recipe(path), path.parent)
    assert json.loads(trained.assets[LABELS]) == [f"class {letter}" for letter in "abcdefghij"]
    assert data.held_out.inputs["image"].shape == (24, 1, 8, 8)
    home = run(path, tmp_path).model.folder
    assert read_labels(home / "fp32")[3] == "class d"


def test_the_names_of_the_model_decide(write_recipe: Write) -> None:
    """If the model names its classes, a label becomes an index in the model's order."""
    source = {
        "factory": "export.recipes.digits:digits_model",
        "arguments": {"widths": [4, 4, 4], "hidden": 8},
        "checkpoint": "tiny.safetensors",
        "labels": "names.txt",
    }
    path = write_recipe(data=images(), source=source)
    save_images(path.parent / "images")
    (path.parent / "names.txt").write_text("\n".join(f"class {letter}" for letter in "jihgfedcba"))
    trained, data = read_model_and_data(load_recipe(path), path.parent)
    assert json.loads(trained.assets[LABELS])[0] == "class j"
    file = sorted((path.parent / "images" / "class j").iterdir())[0]
    row = np.asarray(Image.open(file), np.float32) / 255
    found = [split for split in data.splits.values() if (split.inputs["image"] == row).all((1, 2, 3)).any()]
    assert found[0].labels is not None
    assert found[0].labels[(found[0].inputs["image"] == row).all((1, 2, 3))].tolist() == [0]


def test_names_are_no_labels_of_an_embedding(write_recipe: Write) -> None:
    """For the task embedding, labels that are names are refused."""
    path = write_recipe(data=images(), task="embedding", floor={"agreement": 0.9})
    save_images(path.parent / "images")
    with pytest.raises(InvalidData, match="names of classes, such as 'class a', which the task embedding"):
        read_model_and_data(load_recipe(path), path.parent)


def test_the_second_of_two_names_is_the_positive_one(write_recipe: Write) -> None:
    """Binary labels that are words become 0 and 1 in alphabetical order, and the bundle gets the names."""
    path = write_recipe(
        data={"files": {"path": "rows.npz", "labels": "y"}, "split": SPLIT},
        task="binary",
        floor={"accuracy_drop": 0.5},
    )
    image = np.random.default_rng(0).random((120, 1, 8, 8)).astype(np.float32)
    malign = image[:, 0, 0, 0] > 0.5
    np.savez(path.parent / "rows.npz", image=image, y=np.where(malign, "malign", "benign"))
    trained, data = read_model_and_data(load_recipe(path), path.parent)
    assert json.loads(trained.assets[LABELS]) == ["benign", "malign"]
    assert data.held_out.labels is not None
    first = data.held_out.inputs["image"][:, 0, 0, 0].astype(np.float32)
    assert (data.held_out.labels == (first > 0.5)).all()


def test_a_third_name_of_a_binary_task_is_refused(write_recipe: Write) -> None:
    """The error says which names the labels have."""
    path = write_recipe(
        data={"files": {"path": "rows.npz", "labels": "y"}, "split": SPLIT},
        task="binary",
        floor={"accuracy_drop": 0.5},
    )
    image = np.random.default_rng(0).random((120, 1, 8, 8)).astype(np.float32)
    np.savez(path.parent / "rows.npz", image=image, y=np.resize(["no", "yes", "perhaps"], 120))
    with pytest.raises(InvalidData, match="two names, and these are 'no', 'perhaps', 'yes'"):
        read_model_and_data(load_recipe(path), path.parent)
