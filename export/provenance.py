"""Describes everything that determines a variant, and computes its fingerprint."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from export.artifacts import Trained
from export.cpu import read_cpu
from export.data.datasets import Data
from export.data_source import DataFactory
from export.factories import digest_code, digest_function
from export.recipe import FactorySource, Recipe
from export.step import Distill, Steps
from serve.bundles.bundle import Provenance, sha256

_PACKAGES = (
    "counterweight",
    "numpy",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "onnxscript",
    "safetensors",
    "scikit-learn",
    "tokenizers",
    "torch",
    "torch-pruning",
    "transformers",
)


def describe_origin(recipe: Recipe, folder: Path, trained: Trained, data: Data) -> dict[str, Any]:
    """Return everything that determines all variants of the recipe in `folder`, except their steps, as plain
    data."""
    code = digest_code(_factories(recipe), [folder, Path.cwd()])
    rules = {name: rule.model_dump(mode="json") for name, rule in recipe.rules.items()}
    return {
        "source": {**recipe.source.model_dump(mode="json"), "data": recipe.data.model_dump(mode="json")},
        "task": recipe.task,
        "rules": rules,
        "seed": recipe.seed,
        "threads": recipe.threads,
        "trained_sha256": trained.sha256,
        "code_sha256": code,
        "data": {name: split.fingerprint.model_dump(mode="json") for name, split in data.splits.items()},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
    }


def digest_origin(origin: Mapping[str, Any]) -> str:
    """Return the SHA-256 of `describe_origin`."""
    return sha256(json.dumps(origin, sort_keys=True).encode())


def describe_variants(recipe: Recipe, folder: Path, origin: Mapping[str, Any]) -> dict[str, Provenance]:
    """Return the provenance of each variant of the recipe in `folder`, before any is built."""
    metric = None
    if recipe.metric is not None:
        code = digest_function(recipe.metric.function, [folder, Path.cwd()])
        metric = {**recipe.metric.model_dump(mode="json"), "code_sha256": code}
    measured = {**origin, "metric": metric}
    return {variant: _describe(recipe, steps, measured) for variant, steps in recipe.variants.items()}


def _describe(recipe: Recipe, steps: Steps, measured: Mapping[str, Any]) -> Provenance:
    described = {
        **measured,
        "steps": [step.model_dump(mode="json") for step in steps],
        "floor": recipe.floor.model_dump(mode="json"),
    }
    # Facts that the bundle records elsewhere and that also determine it.
    elsewhere = {
        "model": recipe.model,
        "baseline": recipe.baseline,
        "outputs": list(recipe.named_outputs.items()),
        "opset": recipe.opset,
        "explanations": recipe.explanations,
    }
    fingerprint = sha256(json.dumps(described | elsewhere, sort_keys=True).encode())
    return Provenance(fingerprint=fingerprint, cpu=read_cpu(), **described)


def _factories(recipe: Recipe) -> list[str]:
    """Return every user function that the recipe names."""
    named = [recipe.data.factory] if isinstance(recipe.data, DataFactory) else []
    if isinstance(recipe.source, FactorySource):
        named.append(recipe.source.factory)
    for steps in recipe.variants.values():
        for step in steps:
            if isinstance(step, Distill) and step.student is not None and step.student.factory is not None:
                named.append(step.student.factory)
    return sorted(set(named))
