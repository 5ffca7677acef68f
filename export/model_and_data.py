"""Reads the trained model and the data of a recipe."""

import json
from pathlib import Path
from typing import Any

from export.artifacts import Trained
from export.data.datasets import Data, Split, read_data, read_split
from export.data.files.load_files import load_files
from export.data.label_check import require_labels_for
from export.data.random.random_rows import make_splits
from export.data_source import DataFactory, DataRandom, DataSource
from export.errors import InvalidData
from export.factories import call_factory, import_function
from export.proof.floor import require_defined, require_measurable
from export.recipe import Recipe
from export.reproducible import seed_everything
from export.sources.companion_files import complete
from export.sources.read_trained import read_trained
from serve.bundles.bundle import LABELS
from serve.bundles.meaning import Task


def read_model_and_data(recipe: Recipe, folder: Path) -> tuple[Trained, Data]:
    """Return the trained model and the splits of the recipe in `folder`. Raises InvalidSource or
    InvalidData."""
    if recipe.metric is not None:
        import_function("metric", recipe.metric.function)
    trained = read_trained(recipe.source, folder, recipe.task)
    seed_everything(recipe.seed)
    data, names = _load_data(recipe.data, folder, trained, recipe.task)
    if names:
        _require_names(recipe.task, names)
        trained = complete(trained, trained.tokenizer, names)
    require_labels_for(data, recipe.task)
    require_measurable(recipe.floor, recipe.task, data.held_out.labels is not None)
    require_defined(recipe.floor, recipe.task, data.held_out.labels)
    return trained, data


def _load_data(
    source: DataSource, folder: Path, trained: Trained, task: Task
) -> tuple[Data, tuple[str, ...]]:
    """Return the splits, and the names of the classes if only the labels have given them."""
    of_file = trained.graph is not None

    def read(place: str, pair: Any) -> Split:
        return read_split(place, pair, trained.tokenizer, of_file, task)

    names: tuple[str, ...] = ()
    raw: Any
    match source:
        case DataFactory():
            place, raw = source.factory, call_factory(source.factory, source.arguments)
        case DataRandom():
            place, raw = "data.random", make_splits(source.random, source.seed, read)
        case _:
            known = json.loads(trained.assets.get(LABELS, b"[]"))
            place = "data.files"
            raw, names = load_files(source, folder, known, read, task)
    return read_data(raw, place, trained.tokenizer, of_file=of_file, task=task), names


def _require_names(task: Task, names: tuple[str, ...]) -> None:
    """Raise InvalidData unless the labels of the task may have these names."""
    if task not in ("classification", "binary", "multilabel"):
        raise InvalidData(
            f"the labels are names of classes, such as {names[0]!r}, which the task {task} does not have; "
            "leave out `labels` of `data.files`, or name the labels that belong to the task"
        )
