"""Data from files give the same bundles as a factory."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from export.pipeline import ExportOutcome, run
from export.recipes.digits import digits_data

BUILT = ("fp32", "int8")


def test_files_give_the_figures_of_the_factory(
    outcome: ExportOutcome, digits_recipe: Path, tmp_path: Path
) -> None:
    """The digits in four .npz files give the same graphs and quality as the factory, and a second export
    changes nothing."""
    recipe = yaml.safe_load(digits_recipe.read_text())
    splits = digits_data()
    for name, (inputs, labels) in splits.items():
        arrays: dict[str, Any] = {**inputs, "digit": labels}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    recipe["data"] = {"files": {**{name: f"{name}.npz" for name in splits}, "labels": "digit"}}
    recipe["variants"] = {name: recipe["variants"][name] for name in BUILT}
    recipe["source"]["checkpoint"] = str(digits_recipe.parents[2] / "build/digits/digits.safetensors")
    path = tmp_path / "digits.yaml"
    path.write_text(yaml.safe_dump(recipe))
    made = run(path, tmp_path / "models").model
    for name in BUILT:
        expected = outcome.model.bundles[name]
        assert made.bundles[name].figures.quality == expected.figures.quality
        graphs = [(model.folder / name / "model.onnx").read_bytes() for model in (made, outcome.model)]
        assert graphs[0] == graphs[1]
    assert made.bundles["int8"].figures.quality.accuracy is not None
    assert set(run(path, tmp_path / "models").status.values()) == {"unchanged"}
