"""A recipe becomes bundles, whole or not at all, and the same ones each time."""

import contextlib
import fcntl
import json
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
from serve.bundle import Bundle, read_bundle, read_file
from serve.errors import UnknownVariant
from serve.figures import Estimate, Speed
from serve.repository import read_model

VARIANTS = ["fp32", "int8", "slim", "slim-int8"]
PRUNE = {"step": "prune", "remove": "channels", "ratio": 0.5}
QUANTIZE = {"step": "quantize", "method": "static"}
FINETUNE = {"step": "finetune", "epochs": 3, "learning_rate": 0.01, "batch_size": 64}
# The command, told what the test runner's own interpreter is told.
EXPORT = "import sys; from counterweight import main; raise SystemExit(main(['export', *sys.argv[1:]]))"
DIVERGE = {"step": "finetune", "epochs": 1, "learning_rate": 1e30, "batch_size": 64}


def listing(folder: Path) -> list[str]:
    """Everything in a folder, hidden things too; nothing when there is none."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def timeless(bundle: Bundle) -> Bundle:
    """The bundle without what a clock has measured."""
    speed = Speed(threads=1, session_bytes=0, points=(), knee_rows=1, warning=None)
    figures = bundle.figures.model_copy(update={"speed": speed})
    return bundle.model_copy(update={"figures": figures})


def test_the_shipped_recipe_makes_four_sound_variants(outcome: Outcome) -> None:
    """Each is built, passes its floor, and is within it by what was measured."""
    assert dict(outcome.status) == dict.fromkeys(VARIANTS, "built")
    assert outcome.rejected == []
    for variant in outcome.model.bundles.values():
        quality = variant.figures.quality
        assert quality.accuracy is not None
        assert quality.accuracy.value > 0.97
        assert quality.agreement is not None
        assert quality.agreement.value >= 0.96


def test_the_baseline_comes_first_and_agrees_with_itself(outcome: Outcome) -> None:
    """All others are weighed against it."""
    assert next(iter(outcome.status)) == "fp32"
    assert outcome.model.bundles["fp32"].figures.quality.agreement == Estimate(value=1, low=1, high=1)


def test_an_unchanged_variant_is_not_built_again(digits_recipe: Path, outcome: Outcome) -> None:
    """A second export leaves every file as it is and says so."""
    files = sorted(outcome.model.folder.glob("*/*"))
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files]
    again = run(digits_recipe, outcome.model.folder.parent)
    assert dict(again.status) == dict.fromkeys(VARIANTS, "unchanged")
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files] == before


def test_another_process_makes_the_same_bytes(digits_recipe: Path, outcome: Outcome, tmp_path: Path) -> None:
    """Same recipe, same seed, same versions: same digests, however the interpreter hashes."""
    command = [sys.executable, "-c", EXPORT, str(digits_recipe), "--out", str(tmp_path)]
    subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": "7"}, capture_output=True, check=True)
    made = read_model(tmp_path / "digits").bundles
    assert {name: timeless(made[name]) for name in VARIANTS} == {
        name: timeless(bundle) for name, bundle in outcome.model.bundles.items()
    }


def test_a_changed_file_is_built_again(digits_recipe: Path, outcome: Outcome, tmp_path: Path) -> None:
    """A bundle that is not what its manifest says is replaced by the one that it was."""
    shutil.copytree(outcome.model.folder, tmp_path / "digits")
    graph = tmp_path / "digits" / "fp32" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    again = run(digits_recipe, tmp_path, only="fp32")
    assert again.status == {"fp32": "built"}
    assert timeless(again.model.bundles["fp32"]) == timeless(outcome.model.bundles["fp32"])


def test_force_builds_what_is_unchanged(digits_recipe: Path, outcome: Outcome, tmp_path: Path) -> None:
    """Forced, a sound bundle is made once more, and is the same."""
    shutil.copytree(outcome.model.folder, tmp_path / "digits")
    forced = run(digits_recipe, tmp_path, only="fp32", force=True)
    assert forced.status == {"fp32": "built"}
    assert timeless(forced.model.bundles["fp32"]) == timeless(outcome.model.bundles["fp32"])


def test_a_variant_below_the_floor_is_written_as_rejected(ruined: Outcome) -> None:
    """It may be looked at, with the reason in words and numbers, and is not servable."""
    assert ruined.rejected == ["ruin"]
    assert list(ruined.model.servable) == ["fp32"]
    reason = ruined.model.bundles["ruin"].rejected
    assert reason is not None
    assert "below the baseline's" in reason
    assert "agreement" in reason


def test_a_failing_variant_is_recorded_and_the_others_go_on(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    """The reason says which variant and step; it leaves no bundle, and the one after it is made."""
    recipe = write_recipe(variants={"fp32": [], "wild": [PRUNE, DIVERGE], "int8": [QUANTIZE]})
    outcome = run(recipe, tmp_path / "models")
    assert dict(outcome.status) == {"fp32": "built", "wild": "failed", "int8": "built"}
    assert "variant 'wild', step 2, finetune: the loss became nan" in outcome.failed["wild"]
    assert listing(tmp_path / "models" / "tiny") == [".work", "fp32", "int8", "report.html"]


def test_a_baseline_that_fails_ends_the_export(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    """Without it there is nothing to weigh against."""
    recipe = write_recipe(outputs=["logits", "more"])
    with pytest.raises(StepFailed, match="variant 'fp32', export to ONNX: the model returns 1 outputs"):
        run(recipe, tmp_path / "models")


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
    assert listing(tmp_path / "models" / "tiny") == [".work"]


def test_leftovers_of_a_killed_export_are_removed(digits_recipe: Path, outcome: Outcome) -> None:
    """Hidden folders that nobody will ever finish go at the next start."""
    leftover = outcome.model.folder / ".int8.killed"
    (leftover / "new").mkdir(parents=True)
    (leftover / "new" / "model.onnx").write_bytes(b"half")
    run(digits_recipe, outcome.model.folder.parent)
    assert listing(outcome.model.folder) == sorted([".work", *VARIANTS, "report.html"])


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
    with pytest.raises(InvalidSource, match="make the model first"):
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
    assert listing(tmp_path / "models" / "tiny") == [".work"]


def test_a_bundle_that_this_recipe_would_not_make_is_named(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    """With `only`, the others are not made; those of an earlier recipe do not go unnoticed."""
    run(write_recipe(variants={"fp32": [], "int8": [QUANTIZE], "gone": [QUANTIZE]}), tmp_path / "models")
    changed = write_recipe(variants={"fp32": [], "int8": [{**QUANTIZE, "per_channel": False}]})
    assert run(changed, tmp_path / "models", only="fp32").stale == ("gone", "int8")


def test_killed_with_9_it_goes_on_and_ends_the_same(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    """Killed twice and then let through: its graphs are those of one that was left in peace, and no bundle
    was ever half there."""
    recipe = write_recipe(variants={"fp32": [], "slim-int8": [PRUNE, FINETUNE, QUANTIZE]})
    home = tmp_path / "killed" / "tiny"
    request = {"recipe": str(recipe), "out": str(home.parent), "only": None, "force": False}
    for patience_s in (5, 8, None):
        with subprocess.Popen(
            # The pipe for its answer is the standard error that nobody reads.
            [sys.executable, "-m", "export.worker", "2"],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(json.dumps(request).encode() + b"\n", timeout=patience_s)
            process.kill()
        for folder in (home / "fp32", home / "slim-int8"):
            if folder.exists():
                read_file(folder, read_bundle(folder), "model.onnx")
    peaceful = run(recipe, tmp_path / "peaceful").model
    made = read_model(home)
    assert {name: bundle.digest for name, bundle in made.bundles.items()} == {
        name: bundle.digest for name, bundle in peaceful.bundles.items()
    }


def test_a_folder_that_cannot_be_written_is_named(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    """A file stands where the repository should be."""
    (tmp_path / "models").write_text("")
    with pytest.raises(ExportFailed, match=r"models.*: Not a directory; mend that and export again"):
        run(write_recipe(), tmp_path / "models")


@pytest.mark.parametrize("kibibytes", [16, 48, 96])
def test_a_full_disk_leaves_no_half_bundle(
    write_recipe: Callable[..., Path], tmp_path: Path, kibibytes: int
) -> None:
    """On a file system of so little space the export says what is full, and every bundle there is whole."""
    mount = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*mount, "mount -t tmpfs none /mnt"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel mounts no file system for an ordinary user")
    recipe = write_recipe(variants={"fp32": [], "int8": [QUANTIZE]})
    script = (
        f"mount -t tmpfs -o size={kibibytes}k none {tmp_path} && "
        f'{sys.executable} -c "{EXPORT}" {recipe} --out {tmp_path}/models; echo code $?; '
        f"for folder in {tmp_path}/models/tiny/[a-z]*/; do echo $(ls $folder); done"
    )
    done = subprocess.run([*mount, script], capture_output=True, text=True, check=False)
    assert "code 2" in done.stdout
    assert "No space left on device; mend that and export again" in done.stderr
    assert set(done.stdout.splitlines()[1:]) <= {"bundle.json model.onnx", ""}


def test_making_one_variant_keeps_the_finished_work_of_the_others(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    """A long training is not forgotten because another variant was asked for alone."""
    recipe = write_recipe(variants={"fp32": [], "slim": [PRUNE, FINETUNE], "int8": [QUANTIZE]})
    run(recipe, tmp_path / "models")
    shelf = tmp_path / "models" / "tiny" / ".work"
    before = listing(shelf)
    shutil.rmtree(tmp_path / "models" / "tiny" / "int8")
    run(recipe, tmp_path / "models", only="int8")
    assert listing(shelf) == before


def test_a_variant_without_data_to_train_on_is_recorded(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    """Whatever of ours goes wrong in one variant, the others go on."""
    recipe = write_recipe(
        variants={"fp32": [], "slim": [PRUNE, FINETUNE]}, data={"factory": "data_without_train:make"}
    )
    (recipe.parent / "data_without_train.py").write_text(
        "from export.recipes.digits import digits_data\n\n\n"
        "def make():\n"
        "    return {name: split for name, split in digits_data().items() if name != 'train'}\n"
    )
    outcome = run(recipe, tmp_path / "models")
    assert outcome.status == {"fp32": "built", "slim": "failed"}
    assert "train" in outcome.failed["slim"]
