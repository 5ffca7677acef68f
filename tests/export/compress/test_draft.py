"""A recipe is drafted from a trained model and a file with rows for it."""

import csv
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

from export.compress.compress_request import CompressRequest
from export.compress.draft import draft
from export.errors import ExportFailed
from export.recipe import Recipe, load_recipe
from serve.base.errors import CounterweightError


class _Net(torch.nn.Module):
    """Ten scores from 64 numbers, by one hidden layer that is wide enough to take most of the time."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(64, 512)
        self.scores = torch.nn.Linear(512, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the scores."""
        scores: torch.Tensor = self.scores(torch.relu(self.hidden(pixels)))
        return scores


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the handwritten digits as rows.npz and rows.csv, and the models sklearn.onnx and
    net.pt2."""
    folder = tmp_path_factory.mktemp("files")
    x, y = load_digits(return_X_y=True)
    x = x.astype(np.float32)
    np.savez(folder / "rows.npz", X=x, y=y)
    with (folder / "rows.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"p{number}" for number in range(64)), "digit"])
        writer.writerows([*row, label] for row, label in zip(x.tolist(), y.tolist(), strict=True))
    fitted = GaussianNB().fit(x[:400], y[:400])
    (folder / "sklearn.onnx").write_bytes(
        import_module("skl2onnx").to_onnx(fitted, x[:1]).SerializeToString()
    )
    torch.manual_seed(0)
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(_Net().eval(), (torch.from_numpy(x[:2]),), dynamic_shapes=shapes)
    torch.export.save(program, folder / "net.pt2")
    return folder


@pytest.fixture
def folder(files: Path, tmp_path: Path) -> Path:
    """The same files in a folder of the test's own."""
    for path in files.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    return tmp_path


def _draft(folder: Path, model: str, inputs: str, **settings: Any) -> Recipe:
    request = CompressRequest(model=folder / model, inputs=folder / inputs, out=folder / "models", **settings)
    return load_recipe(draft(request, lambda text: None).path)


def test_the_scores_of_a_scikit_learn_classifier_come_first(folder: Path) -> None:
    """Labels fit the probabilities, which the file has after the class; both outputs are kept."""
    recipe = _draft(folder, "sklearn.onnx", "rows.npz", labels="y")
    assert (recipe.task, list(recipe.named_outputs)) == (
        "classification",
        ["output_probability", "output_label"],
    )


def test_a_program_takes_the_columns_of_a_table(folder: Path) -> None:
    """The single parameter of a program takes all columns but the label's, as float32."""
    recipe = _draft(folder, "net.pt2", "rows.csv", labels="digit")
    files = recipe.data.model_dump()["files"]
    assert list(files["inputs"]) == ["pixels"]
    assert len(files["inputs"]["pixels"]) == 64
    assert list(recipe.variants) == ["fp32", "int8-dynamic", "int8-static"]


def test_the_recipe_lies_in_the_folder_of_the_model_and_names_files_relative_to_it(folder: Path) -> None:
    """The model's name is that of its file, and the recipe can be exported from any folder."""
    recipe = _draft(folder, "net.pt2", "rows.npz", labels="y")
    path = folder / "models" / "net" / "recipe.yaml"
    assert path.is_file()
    assert (path.parent / recipe.source.model_dump()["program"]).resolve() == folder / "net.pt2"


def test_an_existing_recipe_is_kept(folder: Path) -> None:
    """A recipe that a person may have changed is not overwritten."""
    _draft(folder, "net.pt2", "rows.npz", labels="y")
    path = folder / "models" / "net" / "recipe.yaml"
    path.write_text("mine")
    with pytest.raises(ExportFailed, match="counterweight export"):
        _draft(folder, "net.pt2", "rows.npz", labels="y")
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("model", "inputs", "labels", "reason"),
    [
        ("missing.onnx", "rows.npz", "y", "missing.onnx does not exist"),
        ("rows.csv", "rows.npz", "y", r"rows.csv is not an ONNX file.*\.pt2"),
        ("net.pt2", "rows.csv", None, "cannot run on these rows.*--labels"),
        ("net.pt2", "rows.npz", "label", "did you mean|has no array 'label'"),
    ],
)
def test_what_cannot_be_drafted_leaves_nothing_behind(
    folder: Path, model: str, inputs: str, labels: str | None, reason: str
) -> None:
    """A missing model, an unknown kind, wrong rows and a missing label are refused, and no folder stays."""
    with pytest.raises(CounterweightError, match=reason):
        _draft(folder, model, inputs, labels=labels)
    assert not (folder / "models").exists()
