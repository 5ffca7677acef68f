"""Writes what a search has found as a recipe, from which a person can go on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from export.search.trial_front import Results
from serve.base.atomic_file import write_whole
from serve.base.yaml_file import read_yaml

_SUFFIX = ".found.yaml"
_PREFIX = "trial-"


def place_of(recipe: Path) -> Path:
    """Return where the found recipe of `recipe` stands: beside it, because its paths are relative to it."""
    return recipe.with_name(recipe.name.removesuffix(".yaml").removesuffix(".yml") + _SUFFIX)


def name_variant(number: int) -> str:
    """Return the name of a trial's variant."""
    return f"{_PREFIX}{number}"


def read_number(name: str) -> int:
    """Return the number of the trial with this variant."""
    return int(name.removeprefix(_PREFIX))


def write_found(recipe: Path, baseline: str, numbers: Sequence[int], results: Results) -> Path:
    """Write the recipe with the baseline and these trials as its variants, and return its place."""
    found: dict[str, Any] = dict(read_yaml(recipe, "a recipe"))
    found.pop("search", None)
    found["variants"] = {baseline: []} | {
        name_variant(number): [
            step.model_dump(mode="json", exclude_unset=True) for step in results[number].steps
        ]
        for number in numbers
    }
    path = place_of(recipe)
    words = f"# Found by counterweight search {recipe.name}, which replaces it each time; fastest first.\n"
    write_whole(path, (words + yaml.safe_dump(found, sort_keys=False, width=100)).encode())
    return path
