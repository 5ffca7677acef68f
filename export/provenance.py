"""Provenance: everything that decides what a variant becomes, and its fingerprint."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from export.cpu import read_cpu
from export.datasets import Data
from export.factories import digest_code
from export.recipe import Recipe, Step
from serve.bundle import DataSplit, Provenance, sha256

_PACKAGES = (
    "counterweight",
    "numpy",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "onnxscript",
    "safetensors",
    "scikit-learn",
    "torch",
    "torch-pruning",
)


def describe_variants(
    recipe: Recipe, folder: Path, checkpoint: bytes, data: Data
) -> Mapping[str, Provenance]:
    """Where each variant of the recipe in `folder` comes from, computed before any of it is built."""
    code = digest_code([recipe.source.factory, recipe.data.factory], [folder, Path.cwd()])
    fingerprints = {name: split.fingerprint for name, split in data.splits.items()}
    return {
        variant: _describe(recipe, steps, sha256(checkpoint), code, fingerprints)
        for variant, steps in recipe.variants.items()
    }


def _describe(
    recipe: Recipe,
    steps: tuple[Step, ...],
    checkpoint_sha256: str,
    code_sha256: str,
    data: dict[str, DataSplit],
) -> Provenance:
    described: dict[str, Any] = {
        "source": {**recipe.source.model_dump(mode="json"), "data": recipe.data.model_dump(mode="json")},
        "steps": [step.model_dump(mode="json") for step in steps],
        "floor": recipe.floor.model_dump(mode="json"),
        "seed": recipe.seed,
        "checkpoint_sha256": checkpoint_sha256,
        "code_sha256": code_sha256,
        "data": {name: split.model_dump(mode="json") for name, split in data.items()},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
    }
    # What the bundle says elsewhere, and depends on as much.
    elsewhere = {
        "model": recipe.model,
        "baseline": recipe.baseline,
        "outputs": recipe.outputs,
        "opset": recipe.opset,
    }
    decisive = json.dumps(described | elsewhere, sort_keys=True)
    return Provenance(fingerprint=sha256(decisive.encode()), cpu=read_cpu(), **described)
