"""A recipe becomes bundles, whole or not at all, and the same ones each time."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from export.errors import ExportFailed, InvalidData, InvalidSource, StepFailed
from export.pipeline import Outcome, run
from serve import bundle as bundles
from serve.errors import UnknownVariant
from serve.repository import read_model

VARIANTS = ["fp32", "int8", "slim", "slim-int8"]
DIVERGE = {"step": "finetune", "epochs": 1, "learning_rate": 1e30, "batch_size": 64}


def listing(folder: Path) -> list[str]:
    """Everything in a folder, hidden things too; nothing when there is none."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_the_shipped_recipe_makes_four_sound_variants(outcome: Outcome) -> None:
    """Each is built, passes its floor, and is within it by what was measured."""
    assert dict(outcome.status) == dict.fromkeys(VARIANTS, "built")
    assert outcome.rejected == []
    for variant in outcome.model.bundles.values():
        assert variant.figures.accuracy > 0.97
        assert variant.figures.agreement >= 0.96


def test_the_baseline_comes_first_and_agrees_with_itself(outcome: Outcome) -> None:
    """All others are weighed against it."""
    assert next(iter(outcome.status)) == "fp32"
    assert outcome.model.bundles["fp32"].figures.agreement == 1


def test_an_unchanged_variant_is_not_built_again(digits_recipe: Path, outcome: Outcome) -> None:
    """A second export leaves every file as it is and says so."""
    files = sorted(outcome.model.folder.glob("*/*"))
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files]
    again = run(digits_recipe, outcome.model.folder.parent)
    assert dict(again.status) == dict.fromkeys(VARIANTS, "unchanged")
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files] == before


def test_another_process_makes_the_same_bytes(digits_recipe: Path, outcome: Outcome, tmp_path: Path) -> None:
    """Same recipe, same seed, same versions: same digests, however the interpreter hashes."""
    program = "import sys; from export.cli import export; raise SystemExit(export(sys.argv[1:]))"
    subprocess.run(
        [sys.executable, "-c", program, str(digits_recipe), "--out", str(tmp_path)],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
    )
    made = read_model(tmp_path / "digits").bundles
    assert {name: made[name] for name in VARIANTS} == dict(outcome.model.bundles)


def test_a_changed_file_is_built_again(digits_recipe: Path, outcome: Outcome, tmp_path: Path) -> None:
    """A bundle that is not what its manifest says is replaced by the one that it was."""
    shutil.copytree(outcome.model.folder, tmp_path / "digits")
    graph = tmp_path / "digits" / "fp32" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    again = run(digits_recipe, tmp_path, only="fp32")
    assert again.status == {"fp32": "built"}
    assert again.model.bundles == outcome.model.bundles


def test_force_builds_what_is_unchanged(digits_recipe: Path, outcome: Outcome, tmp_path: Path) -> None:
    """Forced, a sound bundle is made once more, and is the same."""
    shutil.copytree(outcome.model.folder, tmp_path / "digits")
    forced = run(digits_recipe, tmp_path, only="fp32", force=True)
    assert forced.status == {"fp32": "built"}
    assert forced.model.bundles == outcome.model.bundles


def test_a_variant_below_the_floor_is_written_as_rejected(ruined: Outcome) -> None:
    """It may be looked at, with the reason in words and numbers, and is not servable."""
    assert ruined.rejected == ["ruin"]
    assert list(ruined.model.servable) == ["fp32"]
    reason = ruined.model.bundles["ruin"].rejected
    assert reason is not None
    assert "below the baseline's" in reason
    assert "agreement with the baseline" in reason


def test_a_failing_step_is_named_and_leaves_no_bundle(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    """The error says which variant and step; what was complete before stays, and nothing else."""
    recipe = write_recipe(variants={"fp32": [], "wild": [{"step": "prune", "channels": 0.5}, DIVERGE]})
    with pytest.raises(StepFailed, match="variant 'wild', step 2, finetune: the loss became nan"):
        run(recipe, tmp_path / "models")
    assert listing(tmp_path / "models" / "tiny") == ["fp32"]


def test_an_interrupt_while_writing_leaves_nothing(
    write_recipe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between the graph and the manifest is as if the export had never been."""
    write = bundles._write_synced

    def interrupt(path: Path, content: bytes) -> None:
        if path.name == bundles.MANIFEST and tmp_path in path.parents:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(bundles, "_write_synced", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(write_recipe(), tmp_path / "models")
    assert listing(tmp_path / "models") == []


def test_leftovers_of_a_killed_export_are_removed(digits_recipe: Path, outcome: Outcome) -> None:
    """Hidden folders that nobody will ever finish go at the next start."""
    leftover = outcome.model.folder / ".int8.killed"
    (leftover / "new").mkdir(parents=True)
    (leftover / "new" / "model.onnx").write_bytes(b"half")
    run(digits_recipe, outcome.model.folder.parent)
    assert listing(outcome.model.folder) == VARIANTS


@pytest.mark.parametrize("only", ["fp32", "int8"])
def test_only_makes_one_variant_and_its_baseline(digits_recipe: Path, outcome: Outcome, only: str) -> None:
    """The others are not looked at."""
    again = run(digits_recipe, outcome.model.folder.parent, only=only)
    assert list(again.status) == list(dict.fromkeys(["fp32", only]))


def test_only_an_existing_variant(digits_recipe: Path, tmp_path: Path) -> None:
    """A name that the recipe does not have is refused with the nearest."""
    with pytest.raises(UnknownVariant, match="no variant 'int9'; did you mean 'int8'"):
        run(digits_recipe, tmp_path, only="int9")


def test_two_exports_do_not_write_to_one_model(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    """The second one is refused while the first is at work."""
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
    """A run that fails before its first bundle leaves the repository as it was."""
    recipe = write_recipe()
    (recipe.parent / "tiny.safetensors").unlink()
    with pytest.raises(InvalidSource, match="train the model first"):
        run(recipe, tmp_path / "models")
    assert listing(tmp_path / "models") == []


def test_labels_beyond_the_models_classes_are_refused(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    """Data of another task cannot measure this model."""
    recipe = write_recipe(data={"factory": "data_of_another_task:make"})
    (recipe.parent / "data_of_another_task.py").write_text(
        "from export.recipes.digits import digits_data\n\n\n"
        "def make():\n"
        "    return {name: (inputs, labels + 5) for name, (inputs, labels) in digits_data().items()}\n"
    )
    with pytest.raises(InvalidData, match="labels are out of range"):
        run(recipe, tmp_path / "models")
    assert listing(tmp_path / "models") == []
