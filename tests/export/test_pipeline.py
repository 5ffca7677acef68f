"""A recipe becomes whole bundles or none, and the same ones each time."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import yaml

from export.errors import ExportFailed, InvalidData, InvalidSource, StepFailed
from export.pipeline import ExportOutcome, run
from serve.base.atomic_file import write_whole
from serve.base.errors import UnknownVariant
from serve.bundles.bundle import MANIFEST
from serve.bundles.figures import Estimate
from tests.export.conftest import timeless

VARIANTS = ["fp32", "int8", "slim", "slim-int8"]
PRUNE = {"step": "prune", "remove": "channels", "ratio": 0.5}
QUANTIZE = {"step": "quantize", "method": "static"}
FINETUNE = {"step": "finetune", "epochs": 3, "learning_rate": 0.01, "batch_size": 64}
DIVERGE = {"step": "finetune", "epochs": 1, "learning_rate": 1e30, "batch_size": 64}


@pytest.fixture
def finished_work(tiny: ExportOutcome, tmp_path: Path) -> Path:
    """A repository without bundles, in which an export of the tiny model was killed late."""
    shutil.copytree(tiny.model.folder / ".work", tmp_path / "tiny" / ".work")
    return tmp_path


def listing(folder: Path) -> list[str]:
    """Return the names in a folder, hidden ones included; an empty list if it does not exist."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_the_shipped_recipe_makes_four_sound_variants(outcome: ExportOutcome) -> None:
    """The digits recipe builds four variants that pass their floor."""
    assert dict(outcome.status) == dict.fromkeys(VARIANTS, "built")
    assert outcome.rejected == []
    for variant in outcome.model.bundles.values():
        quality = variant.figures.quality
        assert quality.accuracy is not None
        assert quality.accuracy.value > 0.97
        assert quality.agreement is not None
        assert quality.agreement.value >= 0.96


def test_the_baseline_comes_first_and_agrees_with_itself(outcome: ExportOutcome) -> None:
    """The baseline is built first, and agrees with itself to 1 without an interval."""
    assert next(iter(outcome.status)) == "fp32"
    assert outcome.model.bundles["fp32"].figures.quality.agreement == Estimate(value=1, low=1, high=1)


def test_an_unchanged_variant_is_not_built_again(digits_recipe: Path, outcome: ExportOutcome) -> None:
    """A second export changes no file and reports `unchanged`."""
    files = sorted(outcome.model.folder.glob("*/*"))
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files]
    again = run(digits_recipe, outcome.model.folder.parent)
    assert dict(again.status) == dict.fromkeys(VARIANTS, "unchanged")
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files] == before


def test_variants_stand_in_the_recipe_s_order(
    write_recipe: Callable[..., Path], tiny_recipe: Path, tiny: ExportOutcome, tmp_path: Path
) -> None:
    """Variants are listed in the recipe's order, and a new order builds nothing."""
    assert list(tiny.model.bundles) == ["fp32", "int8", "slim", "slim-int8"]
    shutil.copytree(tiny.model.folder, tmp_path / "tiny")
    content = yaml.safe_load(tiny_recipe.read_text())
    turned = dict(reversed(content["variants"].items()))
    again = run(write_recipe(floor=content["floor"], variants=turned), tmp_path)
    assert set(again.status.values()) == {"unchanged"}
    assert list(again.model.bundles) == ["fp32", "slim-int8", "slim", "int8"]
    page = (tmp_path / "tiny" / "report.html").read_text()
    assert page.index("<b>fp32</b>") < page.index("<b>slim</b>") < page.index("<b>int8</b>")


def test_shipped_graphs_name_no_folder_of_this_machine(outcome: ExportOutcome) -> None:
    """The graphs contain no Python paths and only the standard domain."""
    for name in outcome.model.bundles:
        content = (outcome.model.folder / name / "model.onnx").read_bytes()
        assert b".py" not in content
        assert {item.domain for item in onnx.load_from_string(content).opset_import} == {""}


def test_a_changed_file_is_built_again(tiny_recipe: Path, tiny: ExportOutcome, tmp_path: Path) -> None:
    """A bundle whose file was changed is built again and is the same as before."""
    shutil.copytree(tiny.model.folder, tmp_path / "tiny")
    graph = tmp_path / "tiny" / "fp32" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    again = run(tiny_recipe, tmp_path, only="fp32")
    assert again.status == {"fp32": "built"}
    assert timeless(again.model.bundles["fp32"]) == timeless(tiny.model.bundles["fp32"])


def test_force_builds_what_is_unchanged(tiny_recipe: Path, tiny: ExportOutcome, tmp_path: Path) -> None:
    """With `force` an unchanged bundle is built again with the same result."""
    shutil.copytree(tiny.model.folder, tmp_path / "tiny")
    forced = run(tiny_recipe, tmp_path, only="fp32", force=True)
    assert forced.status == {"fp32": "built"}
    assert timeless(forced.model.bundles["fp32"]) == timeless(tiny.model.bundles["fp32"])


def test_a_variant_below_the_floor_is_written_as_rejected(ruined: ExportOutcome) -> None:
    """A variant below the floor is written as rejected with its reason, and is not servable."""
    assert ruined.rejected == ["ruin"]
    assert list(ruined.model.servable) == ["fp32"]
    reason = ruined.model.bundles["ruin"].rejected
    assert reason is not None
    assert "below the baseline's" in reason
    assert "agreement" in reason


def test_a_failing_variant_is_recorded_and_the_others_go_on(
    write_recipe: Callable[..., Path], finished_work: Path
) -> None:
    """The failure of a variant gives the step and the reason, and later variants are built."""
    recipe = write_recipe(variants={"fp32": [], "wild": [PRUNE, DIVERGE], "int8": [QUANTIZE]})
    outcome = run(recipe, finished_work)
    assert dict(outcome.status) == {"fp32": "built", "wild": "failed", "int8": "built"}
    assert "variant 'wild', step 2, finetune: the loss became nan" in outcome.failed["wild"]
    assert listing(finished_work / "tiny") == [".work", "fp32", "int8", "report.html"]


def test_a_baseline_that_fails_ends_the_export(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    """An error in the baseline ends the export."""
    recipe = write_recipe(outputs=["logits", "more"])
    with pytest.raises(StepFailed, match="variant 'fp32', export to ONNX: the model returns 1 outputs"):
        run(recipe, tmp_path / "models")


def test_an_interrupt_while_writing_leaves_nothing(
    write_recipe: Callable[..., Path], finished_work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the manifest is written leaves no bundle."""

    def interrupt(path: Path, content: bytes | str, *, synced: bool = False) -> None:
        if path.name == MANIFEST and finished_work in path.parents:
            raise KeyboardInterrupt
        write_whole(path, content, synced=synced)

    monkeypatch.setattr("serve.bundles.bundle.write_whole", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(write_recipe(), finished_work)
    assert listing(finished_work / "tiny") == [".work"]


def test_leftovers_of_a_killed_export_are_removed(digits_recipe: Path, outcome: ExportOutcome) -> None:
    """Hidden files of a killed export are removed at the next start."""
    leftover = outcome.model.folder / ".int8.killed"
    (leftover / "new").mkdir(parents=True)
    (leftover / "new" / "model.onnx").write_bytes(b"half")
    leftover.with_name(".int8.killed-file").write_bytes(b"half")
    run(digits_recipe, outcome.model.folder.parent)
    assert listing(outcome.model.folder) == sorted([".work", *VARIANTS, "report.html"])


@pytest.mark.parametrize("only", ["fp32", "int8"])
def test_only_makes_one_variant_and_its_baseline(
    digits_recipe: Path, outcome: ExportOutcome, only: str
) -> None:
    """`only` builds one variant and the baseline."""
    again = run(digits_recipe, outcome.model.folder.parent, only=only)
    assert list(again.status) == list(dict.fromkeys(["fp32", only]))


def test_only_an_existing_variant(digits_recipe: Path, tmp_path: Path) -> None:
    """A name that the recipe does not have is refused with the nearest."""
    with pytest.raises(UnknownVariant, match="no variant 'int9'; did you mean 'int8'"):
        run(digits_recipe, tmp_path, only="int9")


def test_two_exports_do_not_write_to_one_model(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    """A second export to the same model is refused."""
    home = tmp_path / "models" / "tiny"
    home.mkdir(parents=True)
    handle = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(ExportFailed, match="another export is writing to"):
            run(write_recipe(), tmp_path / "models")
    finally:
        os.close(handle)


def test_a_missing_checkpoint_leaves_no_folder(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    """A run with a missing checkpoint leaves the repository as it was."""
    recipe = write_recipe()
    (recipe.parent / "tiny.safetensors").unlink()
    with pytest.raises(InvalidSource, match="make the model first"):
        run(recipe, tmp_path / "models")
    assert listing(tmp_path / "models") == []


def test_labels_beyond_the_models_classes_are_refused(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    """Labels outside the model's classes are refused, and nothing is written."""
    recipe = write_recipe(data={"factory": "tiny_data:make", "arguments": {"first_label": 5}})
    with pytest.raises(InvalidData, match="labels are out of range"):
        run(recipe, tmp_path / "models")
    assert listing(tmp_path / "models" / "tiny") == [".work"]


def test_a_bundle_that_this_recipe_would_not_make_is_named(
    write_recipe: Callable[..., Path], tiny: ExportOutcome, tmp_path: Path
) -> None:
    """With `only`, bundles that the recipe would not make are listed as stale."""
    shutil.copytree(tiny.model.folder, tmp_path / "tiny")
    changed = write_recipe(
        floor={"accuracy_drop": 1, "agreement": 0},
        variants={"fp32": [], "int8": [{**QUANTIZE, "per_channel": False}], "slim": [PRUNE, FINETUNE]},
    )
    assert run(changed, tmp_path, only="fp32").stale == ("int8", "slim-int8")


def test_making_one_variant_keeps_the_finished_work_of_the_others(
    tiny_recipe: Path, tiny: ExportOutcome, tmp_path: Path
) -> None:
    """Building one variant keeps the cached steps of the others."""
    shutil.copytree(tiny.model.folder, tmp_path / "tiny")
    cache = tmp_path / "tiny" / ".work"
    before = listing(cache)
    shutil.rmtree(tmp_path / "tiny" / "int8")
    assert run(tiny_recipe, tmp_path, only="int8").status["int8"] == "built"
    assert listing(cache) == before


def test_a_variant_without_data_to_train_on_is_recorded(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    """A variant without a train split fails, and the others are built."""
    recipe = write_recipe(
        variants={"fp32": [], "slim": [PRUNE, FINETUNE]},
        data={"factory": "tiny_data:make_without_train"},
    )
    outcome = run(recipe, tmp_path / "models")
    assert outcome.status == {"fp32": "built", "slim": "failed"}
    assert "train" in outcome.failed["slim"]
