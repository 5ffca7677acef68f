"""Find out what a trained model on disk is, and which inputs it takes."""

import inspect
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from export.artifacts import Trained
from export.compress.match_inputs import ModelInput
from export.errors import InvalidSource
from export.onnx.model_proto import load
from export.repair.input_axes import read_dtype, read_shape
from serve.bundles.meaning import Task

# Ending of the architecture in a Hugging Face configuration -> the task.
_HEADS: dict[str, Task] = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "token_classification",
}
_TEXT = "text"


def describe_source(model: Path, home: Path) -> dict[str, Any]:
    """Return the recipe's `source` for the model at this path, relative to the recipe's folder `home`. Raises
    InvalidSource."""
    if not model.exists():
        raise InvalidSource(
            f"{model} does not exist; give an ONNX file, a .pt2 file, or a Hugging Face folder"
        )
    relative = os.path.relpath(model.resolve(), home.resolve())
    if (model / "config.json").is_file():
        return {"huggingface": relative}
    kinds = {".onnx": "onnx", ".pt2": "program"}
    if model.suffix not in kinds:
        raise InvalidSource(
            f"{model} is not an ONNX file (.onnx), a program of torch.export (.pt2), or a Hugging Face "
            "folder with a config.json; for weights alone, write a recipe with a `factory` (see "
            "export/BRING_YOUR_OWN_MODEL.md)"
        )
    return {kinds[model.suffix]: relative}


def read_head(model: Path) -> Task:
    """Return the task that a Hugging Face folder was trained for, by its configuration."""
    try:
        config = json.loads((model / "config.json").read_bytes())
    except ValueError as error:
        raise InvalidSource(f"{model / 'config.json'} is not JSON: {error}; save the model again") from None
    names = config.get("architectures") or [""]
    return next((task for ending, task in _HEADS.items() if names[0].endswith(ending)), "embedding")


def read_model_inputs(trained: Trained) -> dict[str, ModelInput]:
    """Return the inputs that the recipe's data must have, by name."""
    if trained.tokenizer is not None:
        return {_TEXT: ModelInput(dtype=None, dims=1)}
    if trained.graph is None:
        assert trained.build is not None, "a model without a graph is a module"
        parameters = inspect.signature(trained.build().forward).parameters
        return {name: ModelInput(dtype=None, dims=None) for name in parameters}
    graph = load(trained.graph).graph
    weights = {item.name for item in graph.initializer}
    return {
        item.name: ModelInput(dtype=np.dtype(read_dtype(item)), dims=len(read_shape(item)) or None)
        for item in graph.input
        if item.name not in weights
    }
