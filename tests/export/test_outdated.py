"""No variant stays accepted beside another baseline than the one with which it was compared."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from export.cli import describe_remarks
from export.outdated import OUTDATED, reject_outdated
from export.pipeline import ExportOutcome, run
from export.sandbox.isolation import Result
from serve.base.atomic_file import write_whole
from serve.bundles.bundle import MODEL, DataSplit, read_bundle, sha256
from serve.bundles.repository import read_model
from tests.conftest import MakeBundle
from tests.export.conftest import RecipeWriter

QUANTIZE = {"step": "quantize", "method": "static"}


@pytest.fixture
def home(repository: Path, make_bundle: MakeBundle) -> Path:
    """The model `linear` with `base`, `light`, `poor`, which its floor rejected, and `theirs`, an added
    one."""
    light = read_bundle(repository / "linear" / "light").provenance
    provenance = light.model_copy(update={"source": {"added": "theirs.onnx"}, "data": {}})
    make_bundle(repository, "theirs", provenance=provenance)
    return repository / "linear"


@pytest.mark.parametrize(
    "update",
    [
        {"trained_sha256": sha256(b"another")},
        {"data": {"held_out": DataSplit(rows=10, sha256=sha256(b"others"))}},
        {"task": "embedding"},
        {"rules": {"y": {"kind": "numbers", "abs": 2.0}}},
        {"floor": {"agreement": 0.9}},
        {"metric": {"function": "m:f", "better": "lower", "code_sha256": "0" * 64}},
    ],
    ids=["trained model", "data", "task", "rules", "floor", "metric"],
)
def test_another_baseline_rejects_what_was_compared_with_the_old_one(
    home: Path, update: dict[str, Any]
) -> None:
    """If the baseline is replaced by another, the other bundles are rejected; a floor's own reason stays."""
    base = read_bundle(home / "base")
    new = base.model_copy(update={"provenance": base.provenance.model_copy(update=update)})
    assert reject_outdated(home, new)
    rejected = read_model(home).rejected
    assert {name for name, reason in rejected.items() if reason == OUTDATED} == {"light", "theirs"}
    assert rejected.keys() == {"light", "theirs", "poor"}


def test_another_graph_is_another_baseline(home: Path) -> None:
    """A baseline with another graph rejects the others, even if its provenance names the same model."""
    light = read_bundle(home / "light")
    new = read_bundle(home / "base").model_copy(update={"files": light.files})
    assert reject_outdated(home, new)
    assert read_model(home).rejected.keys() == {"light", "theirs", "poor"}


def test_the_same_baseline_rejects_nothing(home: Path) -> None:
    """A baseline with the same graph, made by another version, rejects nothing."""
    base = read_bundle(home / "base")
    provenance = base.provenance.model_copy(
        update={"code_sha256": sha256(b"newer"), "versions": {"torch": "9"}}
    )
    assert not reject_outdated(home, base.model_copy(update={"provenance": provenance}))
    assert read_model(home).rejected.keys() == {"poor"}


def test_a_variant_of_an_older_export_is_rejected(home: Path, make_bundle: MakeBundle) -> None:
    """A variant that an earlier version has left beside another model's baseline is rejected, too."""
    base = read_bundle(home / "base")
    provenance = base.provenance.model_copy(update={"trained_sha256": sha256(b"older")})
    make_bundle(home.parent, "old", provenance=provenance)
    assert reject_outdated(home, base)
    assert read_model(home).rejected.keys() == {"old", "poor"}


def test_an_added_variant_without_a_readable_baseline_is_rejected(home: Path) -> None:
    """If the old baseline cannot be read, nobody knows with what an added variant was compared."""
    base = read_bundle(home / "base")
    (home / "base" / "bundle.json").write_text("{")
    assert reject_outdated(home, base)
    assert read_bundle(home / "theirs").rejected == OUTDATED
    assert read_bundle(home / "light").rejected is None


@pytest.fixture
def models(tiny: ExportOutcome, tmp_path: Path) -> Path:
    """A copy of the tiny model's repository."""
    shutil.copytree(tiny.model.folder, tmp_path / "models" / "tiny")
    return tmp_path / "models"


def retrained(write_recipe: RecipeWriter, **keys: Any) -> Path:
    """A recipe with the same names beside other weights."""
    floor = {"accuracy_drop": 1, "agreement": 0}
    recipe = write_recipe(floor=floor, variants={"fp32": [], "int8": [QUANTIZE | keys]})
    checkpoint = recipe.parent / "tiny.safetensors"
    weights = safetensors.torch.load(checkpoint.read_bytes())
    turned = {name: value * 1.01 if value.is_floating_point() else value for name, value in weights.items()}
    checkpoint.write_bytes(safetensors.torch.save(turned))
    return recipe


def test_a_variant_that_fails_for_the_new_model_is_rejected(models: Path, write_recipe: RecipeWriter) -> None:
    """If a variant's step fails for a new model, its old bundle is rejected and named as not up to date."""
    outcome = run(retrained(write_recipe, keep_float=["zzz*"]), models)
    assert dict(outcome.status) == {"fp32": "built", "int8": "failed"}
    assert outcome.model.rejected == dict.fromkeys(["int8", "slim", "slim-int8"], OUTDATED)
    result = Result(
        status=dict(outcome.status),
        failed=dict(outcome.failed),
        stale=outcome.stale,
        folder=models / "tiny",
        report=models / "tiny" / "report.html",
    )
    assert "not up to date with this recipe: int8, slim, slim-int8 (" in describe_remarks(result)


def test_a_kill_leaves_no_old_variant_beside_a_new_baseline(
    models: Path, write_recipe: RecipeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the new baseline's graph is written, variants of the old model are already rejected."""

    def interrupt(path: Path, content: bytes | str, *, synced: bool = False) -> None:
        if path.name == MODEL and models in path.parents:
            raise KeyboardInterrupt
        write_whole(path, content, synced=synced)

    monkeypatch.setattr("serve.bundles.bundle.write_whole", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(retrained(write_recipe), models, only="fp32")
    assert list(read_model(models / "tiny").servable) == ["fp32"]


def test_a_rejected_variant_is_built_again(models: Path, tiny_recipe: Path) -> None:
    """A variant that was rejected as outdated is built again when its recipe is exported."""
    folder = models / "tiny"
    other = read_bundle(folder / "fp32").model_copy(update={"files": read_bundle(folder / "int8").files})
    reject_outdated(folder, other)
    assert read_model(folder).rejected.keys() == {"int8", "slim", "slim-int8"}
    outcome = run(tiny_recipe, models, only="int8")
    assert outcome.status == {"fp32": "unchanged", "int8": "built"}
    assert outcome.model.bundles["int8"].rejected is None
