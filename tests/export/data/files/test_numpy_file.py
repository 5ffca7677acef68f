"""Arrays of numpy become inputs by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.data.files.row_file import read_rows
from export.data.files.row_form import RowForm
from export.errors import InvalidData

IMAGES = np.arange(12, dtype=np.float64).reshape(3, 2, 2)
LABELS = np.array([2, 0, 1])


def npz(folder: Path, **arrays: Any) -> Path:
    """Save a file of these arrays. Returns its path."""
    np.savez(folder / "rows.npz", **arrays)
    return folder / "rows.npz"


def read(path: Path, **form: Any) -> Any:
    """Return what a recipe with these settings reads from the file."""
    return read_rows(path, RowForm.parse(form, "form"))


def test_all_arrays_but_the_labels_are_inputs(tmp_path: Path) -> None:
    """Without `inputs`, each array but the labels is an input with its own name and type."""
    rows = read(npz(tmp_path, image=IMAGES, label=LABELS), labels="label")
    assert list(rows.inputs) == ["image"]
    assert rows.inputs["image"].dtype == np.float64
    assert np.array_equal(rows.inputs["image"], IMAGES)
    assert rows.labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("inputs", "names"), [(["image"], ["image"]), ({"x": "image"}, ["x"]), (None, ["image", "row_id"])]
)
def test_inputs_may_be_chosen_and_renamed(tmp_path: Path, inputs: Any, names: list[str]) -> None:
    """A list of inputs chooses arrays, and a mapping gives them other names."""
    rows = read(npz(tmp_path, image=IMAGES, row_id=LABELS), inputs=inputs)
    assert list(rows.inputs) == names
    assert rows.labels is None


def test_types_are_converted_on_demand(tmp_path: Path) -> None:
    """`dtypes` converts inputs by their new names, and labels by their key."""
    path = npz(tmp_path, image=IMAGES, label=LABELS.astype(float))
    rows = read(path, inputs={"x": "image"}, labels="label", dtypes={"x": "float32", "label": "int64"})
    assert (rows.inputs["x"].dtype, rows.labels.dtype) == (np.float32, np.int64)


def test_text_is_python_text(tmp_path: Path) -> None:
    """A tokenizer takes no other."""
    rows = read(npz(tmp_path, text=np.array(["good", "bad"]), label=np.array(["b", "a"])), labels="label")
    assert [type(item) for item in (rows.inputs["text"][0], rows.labels[0])] == [str, str]


def test_one_array_is_one_input(tmp_path: Path) -> None:
    """The array of an .npy file is one input, which the recipe names."""
    np.save(tmp_path / "rows.npy", IMAGES)
    rows = read(tmp_path / "rows.npy", inputs=["x"], dtypes={"x": "float32"})
    assert rows.inputs["x"].dtype == np.float32
    assert rows.inputs["x"].shape == (3, 2, 2)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"labels": "lable"}, r"rows\.npz has no array 'lable'; did you mean 'label'\?"),
        ({"inputs": ["img"]}, r"rows\.npz has no array 'img'"),
        ({"inputs": {"x": ["image", "label"]}}, "'x' comes from a list"),
        ({"dtypes": {"imag": "float32"}}, r"`dtypes` names 'imag', .*did you mean 'image'\?"),
        ({"images": {"size": [2, 2], "mean": [0], "scale": [1]}}, r"rows\.npz is no folder, and `images`"),
    ],
)
def test_refuses_settings_that_do_not_fit_the_file(tmp_path: Path, form: Any, message: str) -> None:
    """The error names what does not fit the file, and the nearest name if there is one."""
    with pytest.raises(InvalidData, match=message):
        read(npz(tmp_path, image=IMAGES, label=LABELS), **form)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (
            {"inputs": ["x"], "labels": "label"},
            r"rows\.npy is an \.npy file, which holds .* no labels 'label'",
        ),
        ({}, r"name the input: `inputs: \[image\]`"),
        ({"inputs": ["x", "y"]}, "holds one array without a name"),
    ],
)
def test_refuses_names_and_labels_in_a_single_array(tmp_path: Path, form: Any, message: str) -> None:
    """For an .npy file, labels, several inputs, or no input name are refused."""
    np.save(tmp_path / "rows.npy", IMAGES)
    with pytest.raises(InvalidData, match=message):
        read(tmp_path / "rows.npy", **form)


@pytest.mark.parametrize("name", ["rows.npz", "rows.npy"])
@pytest.mark.parametrize("content", [b"", b"text, not arrays", b"PK\x03\x04broken", b"\x93NUMPY\x01\x00"])
def test_refuses_files_of_other_content(tmp_path: Path, name: str, content: bytes) -> None:
    """An empty, broken or foreign file is refused and named."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidData, match=rf"{name} holds no plain arrays of numpy"):
        read(tmp_path / name, inputs=["x"])


def test_refuses_a_file_that_is_cut_off(tmp_path: Path) -> None:
    """A file that is cut off is refused and named."""
    np.save(tmp_path / "rows.npy", IMAGES)
    content = (tmp_path / "rows.npy").read_bytes()
    (tmp_path / "rows.npy").write_bytes(content[:-8])
    with pytest.raises(InvalidData, match=r"rows\.npy holds no plain arrays"):
        read(tmp_path / "rows.npy", inputs=["x"])


@pytest.mark.parametrize(("name", "other"), [("rows.npz", ".npy"), ("rows.npy", ".npz")])
def test_refuses_a_wrong_extension(tmp_path: Path, name: str, other: str) -> None:
    """A file whose content does not match its extension is refused, and the error has the right extension."""
    with (tmp_path / name).open("wb") as file:
        np.save(file, IMAGES) if other == ".npy" else np.savez(file, x=IMAGES)
    with pytest.raises(InvalidData, match=rf"rename the file to \{other}"):
        read(tmp_path / name, inputs=["x"])


def test_refuses_rows_of_several_sizes(tmp_path: Path) -> None:
    """An array of Python objects, such as rows of several sizes, is refused."""
    ragged = np.empty(2, object)
    ragged[:] = [np.zeros(2), np.zeros(3)]
    with pytest.raises(InvalidData, match=r"rows\.npz: the array 'x' cannot be read .*the same shape"):
        read(npz(tmp_path, x=ragged))


def test_refuses_labels_alone(tmp_path: Path) -> None:
    """There is nothing that a model could answer."""
    with pytest.raises(InvalidData, match=r"rows\.npz holds the labels 'y' and no inputs"):
        read(npz(tmp_path, y=LABELS), labels="y")


def test_refuses_a_label_that_is_not_a_number(tmp_path: Path) -> None:
    """A label that is NaN counts as missing and is refused."""
    with pytest.raises(InvalidData, match=r"rows\.npz: the label of row 1 is missing"):
        read(npz(tmp_path, x=LABELS, y=np.array([0.5, np.nan, 1])), labels="y")
