"""The data of a recipe are a factory or files, and say how files are divided."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from export.data_source import DataFactory, DataFiles, DataSource, Shares
from export.recipe import Recipe
from serve.base.errors import InvalidRecord

SPLIT = {"calibration": 0.2, "search": 0.2, "held_out": 0.6}
EACH = {"calibration": "a.npz", "search": "b.npz", "held_out": "c.npz"}
RECIPE: dict[str, Any] = {
    "model": "m",
    "source": {"onnx": "m.onnx"},
    "outputs": ["y"],
    "floor": {"agreement": 0.9},
    "variants": {"fp32": []},
}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"factory": "a:b"}, DataFactory),
        ({"files": {"path": "a.npz"}, "split": SPLIT, "seed": 1}, DataFiles),
        ({"files": EACH}, DataFiles),
    ],
)
def test_the_key_decides(data: Any, kind: type) -> None:
    """The key `factory` or `files` decides the kind of the data."""
    assert isinstance(Recipe.parse({**RECIPE, "data": data}, "recipe").data, kind)


def test_what_is_written_of_a_factory_stays_the_same() -> None:
    """The JSON of a factory stays the same, because the fingerprints of older bundles depend on it."""
    read = TypeAdapter[Any](DataSource).validate_python({"factory": "a:b", "arguments": {"seed": 1}})
    assert read.model_dump(mode="json") == {"factory": "a:b", "arguments": {"seed": 1}}


def test_nothing_is_trained_unless_a_share_says_so() -> None:
    """Without a share for training, its share is 0."""
    assert Shares.parse(SPLIT, "split").by_split == {"train": 0, **SPLIT}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "data: data must have one of the keys factory, files"),
        ({"file": {}}, "one of the keys factory, files"),
        ({"files": {"path": "a.npz"}}, r"one `path` needs a `split`, such as split: \{train"),
        ({"files": {}}, "no file for calibration, search, held_out; give one `path`"),
        ({"files": {"train": "a.npz", "held_out": "b.npz"}}, "no file for calibration, search;"),
        ({"files": {**EACH, "path": "d.npz"}, "split": SPLIT}, "`path` is the file of all splits, and calib"),
        ({"files": EACH, "split": SPLIT}, "`split` and `seed` divide one `path`.*remove them"),
        ({"files": EACH, "seed": 1}, "`split` and `seed` divide one `path`"),
        (
            {"files": {"path": "a.npz"}, "split": {**SPLIT, "train": 0.1}},
            r"the shares sum to 1\.1; they must",
        ),
        ({"files": {"path": "a.npz"}, "split": {**SPLIT, "search": 0}}, "split.search: .*greater than 0"),
        ({"files": {"path": "a.npz"}, "split": {**SPLIT, "heldout": 0.1}}, "did you mean 'held_out'"),
        ({"files": {"paht": "a.npz"}, "split": SPLIT}, "unknown key 'paht'; did you mean 'path'"),
        ({"files": {"path": "a.npz", "dtypes": {"x": "float"}}, "split": SPLIT}, "dtypes.x: .*'float64'"),
        ({"files": {"path": "a.csv", "inputs": {"x": []}}, "split": SPLIT}, "inputs.mapping.x.several: "),
    ],
)
def test_refuses(data: Any, message: str) -> None:
    """Data settings that contradict each other are refused when the recipe is read."""
    with pytest.raises(InvalidRecord, match=message):
        Recipe.parse({**RECIPE, "data": data}, "recipe")
