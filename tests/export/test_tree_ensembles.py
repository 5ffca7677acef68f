"""An ensemble of trees is served as it is, and a small network learns its answers."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor

from export.compress.compress_request import CompressRequest
from export.compress.draft import draft
from export.pipeline import ExportOutcome, run
from export.progress import keep_silent
from export.recipe import load_recipe
from serve.engine.session import open_session
from tests.export.onnx_files import answers

_CODE = """
import numpy as np, torch
from sklearn.datasets import load_diabetes
def make_net():
    torch.manual_seed(0)
    hidden = torch.nn.Linear(10, 64)
    return torch.nn.Sequential(hidden, torch.nn.ReLU(), torch.nn.Linear(64, 1))
def make():
    rows = load_diabetes(scaled=True).data.astype(np.float32) * 20
    parts = {"held_out": rows[:120], "calibration": rows[120:160], "search": rows[160:200]}
    parts["train"] = rows[200:]
    return {name: ({"X": part}, None) for name, part in parts.items()}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a gradient boosting of scikit-learn's as trees.onnx, and rows.npz."""
    folder = tmp_path_factory.mktemp("trees")
    x, y = load_diabetes(return_X_y=True)
    x = (x * 20).astype(np.float32)
    trees = GradientBoostingRegressor(n_estimators=20, max_depth=2, random_state=0).fit(x, y / 100)
    (folder / "trees.onnx").write_bytes(import_module("skl2onnx").to_onnx(trees, x[:1]).SerializeToString())
    np.savez(folder / "rows.npz", X=x)
    (folder / "tree_rows.py").write_text(_CODE)
    return folder


@pytest.fixture(scope="module")
def taught(folder: Path) -> ExportOutcome:
    """The trees, and a network that has learnt their answers."""
    distill = {"step": "distill", "match": {"logits": 1.0}, "epochs": 30, "batch_size": 16}
    student = {**distill, "learning_rate": 0.01, "student": {"factory": "tree_rows:make_net"}}
    recipe = {
        "model": "trees",
        "task": "regression",
        "source": {"onnx": "trees.onnx"},
        "data": {"factory": "tree_rows:make"},
        "outputs": ["variable"],
        "floor": {"agreement": 0.1},
        "variants": {"fp32": [], "student": [student]},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return run(folder / "recipe.yaml", folder / "models")


def test_trees_answer_as_in_the_file(taught: ExportOutcome, folder: Path) -> None:
    """The baseline gives the file's answers for many rows at once."""
    x = np.load(folder / "rows.npz")["X"][:9]
    session = open_session(taught.model.folder / "fp32")
    came = session.run({"X": x})["variable"].astype(np.float64)
    np.testing.assert_allclose(came, answers((folder / "trees.onnx").read_bytes(), X=x)[0], rtol=1e-5)


def test_a_network_learns_the_trees(taught: ExportOutcome) -> None:
    """The student follows the trees on held-out rows, and is an ordinary network."""
    assert not taught.failed
    quality = taught.model.bundles["student"].figures.quality
    assert quality.agreement is not None
    assert quality.agreement.value > 0.3
    assert taught.model.bundles["student"].figures.parameters == 769


def test_compress_says_that_trees_stay_as_they_are(folder: Path) -> None:
    """The draft has only the baseline, and its one reason names the way out."""
    request = CompressRequest(
        model=folder / "trees.onnx", inputs=folder / "rows.npz", out=folder / "drafts", name="plain"
    )
    drafted = draft(request, keep_silent)
    assert list(load_recipe(drafted.path).variants) == ["fp32"]
    assert drafted.reasons[-1].startswith("no variants, because the model is an ensemble of trees")
