"""Exports of small models of any task, trained on the spot."""

import re
from pathlib import Path
from typing import Any

import safetensors.torch
import yaml

from export.data.datasets import read_data
from export.factories import call_factory, importable
from export.pipeline import ExportOutcome, run
from export.reproducible import reproducible, seed_everything
from export.step import Training
from export.training.train import fit
from serve.bundles.bundle import read_bundle
from serve.bundles.figures import Quality
from serve.bundles.meaning import Rule, Task


def export_task(folder: Path, code: str, task: Task, rule: Rule, **recipe: Any) -> ExportOutcome:
    """Train `make_net` of this code on the labels of `make`, and export it by this recipe."""
    module = _write_code(folder, code)
    with importable([folder]), reproducible():
        seed_everything(0)
        net = call_factory(f"{module}:make_net", {})
        data = read_data(call_factory(f"{module}:make", {}), "make", task=task)
        fit(net, data, Training(epochs=30, learning_rate=0.01, batch_size=64), seed=0, rule=rule)
    return _export(folder, module, net, {"task": task} | recipe)


def export_untrained(folder: Path, code: str, task: Task, **recipe: Any) -> ExportOutcome:
    """Export `make_net` of this code as it is, with the data of `make`, by this recipe."""
    module = _write_code(folder, code)
    with importable([folder]):
        net = call_factory(f"{module}:make_net", {})
    return _export(folder, module, net, {"task": task} | recipe)


def _write_code(folder: Path, code: str) -> str:
    # A process imports each name once.
    module = re.sub(r"\W", "_", folder.name)
    (folder / f"{module}.py").write_text(code)
    return module


def _export(folder: Path, module: str, net: Any, recipe: dict[str, Any]) -> ExportOutcome:
    (folder / "net.safetensors").write_bytes(safetensors.torch.save(net.state_dict()))
    content = {
        "model": module,
        "source": {"factory": f"{module}:make_net", "checkpoint": "net.safetensors"},
        "data": {"factory": f"{module}:make"},
        "outputs": ["y"],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content | recipe))
    return run(folder / "recipe.yaml", folder / "models")


def quality_of(outcome: ExportOutcome, variant: str) -> Quality:
    """What was measured of a variant."""
    return read_bundle(outcome.model.folder / variant).figures.quality
