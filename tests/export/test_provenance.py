"""The fingerprint covers what decides the result, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export import provenance
from export.artifacts import Trained
from export.data.datasets import Data
from export.provenance import describe_origin, describe_variants, digest_origin
from export.recipe import Recipe, load_recipe
from serve.bundles.bundle import Cpu, Provenance, sha256


def describe(recipe: Recipe, data: Data, weights: str = "weights") -> dict[str, Provenance]:
    """Where the recipe's variants come from, were it trained weights with this digest."""
    trained = Trained(name="tiny", sha256=sha256(weights.encode()), assets={})
    folder = Path("tests/export")
    return describe_variants(recipe, folder, describe_origin(recipe, folder, trained, data))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "other"},
        {"seed": 1},
        {"outputs": ["scores"]},
        {"opset": 21},
        {"threads": 2},
        {"task": "embedding"},
        {"floor": {"accuracy_drop": 0.1}},
        {"metric": "tests.export.proof.rating_functions:hit"},
    ],
    ids=str,
)
def test_every_decision_of_the_recipe_counts(
    write_recipe: Callable[..., Path], data: Data, changes: dict[str, Any]
) -> None:
    """Each change of the recipe that affects the result changes the fingerprint."""
    before = describe(load_recipe(write_recipe()), data)["fp32"]
    after = describe(load_recipe(write_recipe(**changes)), data)["fp32"]
    assert after.fingerprint != before.fingerprint


def test_the_code_of_the_metric_counts_and_builds_nothing_anew(
    write_recipe: Callable[..., Path], data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed metric gives another fingerprint, and the cache of built graphs keeps its key."""
    folder = Path("tests/export").resolve()
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(write_recipe(metric={"function": "counted:share", "better": "lower"}))
    trained = Trained(name="tiny", sha256=sha256(b"weights"), assets={})
    made, keys = [], []
    for code in ("def share(): return 0", "def share(): return 1"):
        (tmp_path / "counted.py").write_text(code)
        origin = describe_origin(recipe, folder, trained, data)
        keys.append(digest_origin(origin))
        made.append(describe_variants(recipe, folder, origin)["fp32"])
    assert keys[0] == keys[1]
    assert made[0].fingerprint != made[1].fingerprint
    assert made[0].metric != made[1].metric


def test_weights_data_and_steps_count(write_recipe: Callable[..., Path], data: Data) -> None:
    """Other weights, other data and other steps give different fingerprints."""
    recipe = load_recipe(
        write_recipe(variants={"fp32": [], "slim": [{"step": "prune", "remove": "channels", "ratio": 0.5}]})
    )
    swapped = Data(train=None, calibration=data.search, search=data.calibration, held_out=data.held_out)
    made = [
        *describe(recipe, data).values(),
        describe(recipe, data, "others")["fp32"],
        describe(recipe, swapped)["fp32"],
    ]
    assert len({item.fingerprint for item in made}) == 4


def test_the_processor_does_not_count(
    write_recipe: Callable[..., Path], data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another processor gives the same fingerprint and is recorded."""
    recipe = load_recipe(write_recipe())
    here = describe(recipe, data)["fp32"]
    monkeypatch.setattr(provenance, "read_cpu", lambda: Cpu(model="another", flags=()))
    there = describe(recipe, data)["fp32"]
    assert there.cpu != here.cpu
    assert there.fingerprint == here.fingerprint
