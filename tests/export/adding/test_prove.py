"""With its model's recipe a candidate from elsewhere is measured as an export measures its variants."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from counterweight import main
from export.adding.prove import prove
from export.pipeline import run
from serve.bundles.bundle import MODEL, read_bundle
from tests.export.conftest import RecipeWriter


@pytest.fixture(scope="module")
def recipe(write_recipe: RecipeWriter) -> Path:
    """A baseline alone, and a floor that asks for nearly the same answers."""
    return write_recipe(floor={"agreement": 0.9})


@pytest.fixture(scope="module")
def models(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with that baseline."""
    models = tmp_path_factory.mktemp("models")
    run(recipe, models)
    return models


def theirs(models: Path, folder: Path, factor: float) -> Path:
    """The baseline's graph in a file, its weights times `factor`."""
    model = onnx.load(models / "tiny" / "fp32" / MODEL)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(array * np.float32(factor), tensor.name))
    path = folder / "theirs.onnx"
    onnx.save(model, path)
    return path


def test_a_candidate_with_the_recipe_is_proven(
    models: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`add --recipe` measures the candidate on all held-out rows."""
    source = theirs(models, tmp_path, 1.0)
    words = ["add", "tiny", "--variant", "same", "--from", str(source), "--recipe", str(recipe)]
    assert main([*words, "--out", str(models)]) == 0
    bundle = read_bundle(models / "tiny" / "same")
    quality = bundle.figures.quality
    assert (bundle.unproven, bundle.rejected, quality.rows) == (False, None, 300)
    assert quality.agreement is not None
    assert quality.agreement.value == 1
    assert "accepted by the floor" in capsys.readouterr().out


def test_a_candidate_below_the_floor_is_rejected(models: Path, recipe: Path, tmp_path: Path) -> None:
    """A candidate below the floor is written as rejected, with the reason."""
    folder = prove(recipe, models, "worse", theirs(models, tmp_path, -1.0))
    rejected = read_bundle(folder).rejected
    assert rejected is not None
    assert rejected.startswith("agreement with the baseline is")


def test_the_next_export_leaves_it_alone(models: Path, recipe: Path, tmp_path: Path) -> None:
    """The next export neither removes an added variant nor lists it as stale."""
    prove(recipe, models, "kept", theirs(models, tmp_path, 1.0))
    outcome = run(recipe, models)
    assert "kept" not in outcome.stale
    assert "kept" in outcome.model.bundles


def test_another_models_recipe_is_refused(
    models: Path, write_recipe: RecipeWriter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipe of another model is refused."""
    other = write_recipe(model="other")
    source = theirs(models, tmp_path, 1.0)
    words = ["add", "tiny", "--variant", "x", "--from", str(source), "--recipe", str(other)]
    assert main([*words, "--out", str(models)]) == 2
    assert "is the recipe of 'other'; give that of 'tiny'" in capsys.readouterr().err
