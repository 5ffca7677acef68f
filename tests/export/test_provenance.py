"""The fingerprint covers what decides the result, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export import provenance
from export.datasets import Data
from export.provenance import describe_variants
from export.recipe import load_recipe
from serve.bundle import Cpu


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "other"},
        {"seed": 1},
        {"outputs": ["scores"]},
        {"opset": 21},
        {"floor": {"accuracy_drop": 0.1, "macro_f1_drop": 0, "agreement": 1}},
    ],
    ids=str,
)
def test_every_decision_of_the_recipe_counts(
    write_recipe: Callable[..., Path], data: Data, changes: dict[str, Any]
) -> None:
    """A recipe that says something else makes another variant."""
    before = describe_variants(load_recipe(write_recipe()), Path(), b"weights", data)["fp32"]
    after = describe_variants(load_recipe(write_recipe(**changes)), Path(), b"weights", data)["fp32"]
    assert after.fingerprint != before.fingerprint


def test_weights_data_and_steps_count(write_recipe: Callable[..., Path], data: Data) -> None:
    """Another checkpoint, another split or another step is another variant."""
    recipe = load_recipe(write_recipe(variants={"fp32": [], "slim": [{"step": "prune", "channels": 0.5}]}))
    swapped = Data(train=data.search, calibration=data.calibration, search=data.train, held_out=data.held_out)
    made = [
        *describe_variants(recipe, Path(), b"weights", data).values(),
        describe_variants(recipe, Path(), b"others", data)["fp32"],
        describe_variants(recipe, Path(), b"weights", swapped)["fp32"],
    ]
    assert len({item.fingerprint for item in made}) == 4


def test_the_processor_does_not_count(
    write_recipe: Callable[..., Path], data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same recipe on another machine is the same variant; the machine is on record all the same."""
    recipe = load_recipe(write_recipe())
    here = describe_variants(recipe, Path(), b"weights", data)["fp32"]
    monkeypatch.setattr(provenance, "read_cpu", lambda: Cpu(model="another", flags=()))
    there = describe_variants(recipe, Path(), b"weights", data)["fp32"]
    assert there.cpu != here.cpu
    assert there.fingerprint == here.fingerprint
