"""An export that is killed, or whose disk is full, leaves no incomplete bundle."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from export.errors import ExportFailed
from export.pipeline import ExportOutcome, run
from serve.bundles.bundle import read_bundle, read_file
from serve.bundles.repository import read_model
from tests.export.conftest import timeless

# For each size, exports to a file system of that many KiB and prints the outcome.
FULL_DISKS = """
import json, subprocess, sys
from pathlib import Path
from export.errors import ExportFailed
from export.pipeline import run

recipe, place, *sizes = sys.argv[1:]
for size in sizes:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", place], check=True)
    try:
        run(Path(recipe), Path(place, "models"))
    except ExportFailed as error:
        bundles = [sorted(path.name for path in folder.iterdir())
                   for folder in Path(place, "models", "tiny").glob("[a-z]*/")]
        print(json.dumps({"exit_code": error.exit_code, "error": str(error), "bundles": bundles}))
    subprocess.run(["umount", place], check=True)
"""


def export_elsewhere(recipe: Path, out: Path, last_words: str | None) -> None:
    """Export `slim-int8` in a process that hashes in another way; with last words, kill it once it has said
    them."""
    request = {"recipe": str(recipe), "out": str(out), "only": "slim-int8", "force": False}
    with subprocess.Popen(
        # The worker writes its answer to the standard error, where it also prints its progress.
        [sys.executable, "-m", "export.sandbox.worker", "2"],
        env=os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(["export", request]) + "\n")
        process.stdin.close()
        if last_words is None:
            process.stderr.read()
            assert process.wait() == 0
        else:
            assert any(line.endswith(f"{last_words}\n") for line in process.stderr)
            process.kill()


def test_killed_with_9_it_goes_on_and_ends_the_same(
    tiny_recipe: Path, tiny: ExportOutcome, tmp_path: Path
) -> None:
    """An export that was killed twice ends with the same bundles as one that was not, each of them whole."""
    home = tmp_path / "tiny"
    for last_words in ("slim-int8: step 2, finetune", "slim-int8: measure and write", None):
        export_elsewhere(tiny_recipe, tmp_path, last_words)
        for folder in home.glob("[a-z]*/"):
            read_file(folder, read_bundle(folder), "model.onnx")
    made = read_model(home).bundles
    assert {name: timeless(bundle) for name, bundle in made.items()} == {
        name: timeless(tiny.model.bundles[name]) for name in ("fp32", "slim-int8")
    }


def test_a_folder_that_cannot_be_written_is_named(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    """A file in place of the repository is refused."""
    (tmp_path / "models").write_text("")
    with pytest.raises(ExportFailed, match=r"models.*: Not a directory; correct this and export again"):
        run(write_recipe(), tmp_path / "models")


def test_a_full_disk_leaves_no_half_bundle(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    """On a full disk the export says what is full, and each bundle is whole."""
    alone = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*alone, "mount", "-t", "tmpfs", "none", "/mnt"], check=False).returncode:
        pytest.skip("this kernel mounts no file system for an ordinary user")
    recipe = write_recipe(variants={"fp32": [], "int8": [{"step": "quantize", "method": "static"}]})
    command = [*alone, sys.executable, "-c", FULL_DISKS, str(recipe), str(tmp_path), "16", "48", "96"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert [end["exit_code"] for end in ends] == [2, 2, 2]
    assert all("No space left on device; correct this and export again" in end["error"] for end in ends)
    assert all(files == ["bundle.json", "model.onnx"] for end in ends for files in end["bundles"])
