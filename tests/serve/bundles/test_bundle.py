import json
from pathlib import Path

import pytest

from serve.base.errors import InvalidBundle
from serve.bundles.bundle import MANIFEST, MODEL, read_bundle, read_file, write_bundle, write_manifest
from tests.conftest import MakeBundle, linear_graph


def test_reads_back_what_was_written(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """A manifest that was written is read back the same."""
    written = make_bundle(tmp_path, "base")
    assert read_bundle(tmp_path / "linear" / "base") == written


def test_a_manifest_is_replaced_whole(
    tmp_path: Path, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed write leaves the old manifest; the next write replaces it and leaves no other file."""
    written = make_bundle(tmp_path, "base")
    folder = tmp_path / "linear" / "base"
    moved = written.model_copy(update={"position": 3})

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as fault:
        fault.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space"):
            write_manifest(folder, moved)
    assert read_bundle(folder) == written
    write_manifest(folder, moved)
    assert read_bundle(folder) == moved
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST, MODEL]


def test_refuses_a_file_that_was_changed(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """A file with one changed byte is refused."""
    bundle = make_bundle(tmp_path, "base")
    folder = tmp_path / "linear" / "base"
    content = bytearray((folder / MODEL).read_bytes())
    content[-1] ^= 1
    (folder / MODEL).write_bytes(content)
    with pytest.raises(InvalidBundle, match="was changed after export"):
        read_file(folder, bundle, MODEL)


def test_refuses_a_link(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """A model file that is a symbolic link is refused."""
    bundle = make_bundle(tmp_path, "base")
    folder = tmp_path / "linear" / "base"
    (folder / MODEL).rename(tmp_path / "elsewhere.onnx")
    (folder / MODEL).symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(InvalidBundle, match=r"model\.onnx is missing or not"):
        read_file(folder, bundle, MODEL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 1}, "schema_version"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"files": [{"path": "../model.onnx", "size_bytes": 1, "sha256": "0" * 64}]}, "files.0.path"),
        ({"model": "../digits"}, "model"),
    ],
    ids=["another schema", "unknown key", "path outside the folder", "name with a path in it"],
)
def test_refuses_an_unsound_manifest(
    tmp_path: Path, make_bundle: MakeBundle, change: dict[str, object], message: str
) -> None:
    """A manifest with unknown or invalid fields is refused."""
    make_bundle(tmp_path, "base")
    path = tmp_path / "linear" / "base" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidBundle, match=message):
        read_bundle(path.parent)


def test_says_so_when_the_manifest_is_no_json(tmp_path: Path) -> None:
    """A truncated manifest is refused with the fix."""
    (tmp_path / MANIFEST).write_text('{"model": ')
    with pytest.raises(InvalidBundle, match=r"is not JSON.*export the variant again"):
        read_bundle(tmp_path)


def test_replaces_a_bundle_whole(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """A second write leaves only the second bundle."""
    make_bundle(tmp_path, "base", scale=1.0)
    second = make_bundle(tmp_path, "base", scale=2.0)
    folder = tmp_path / "linear" / "base"
    assert read_file(folder, read_bundle(folder), MODEL) == linear_graph(2.0)
    assert read_bundle(folder) == second
    assert [path.name for path in folder.parent.iterdir()] == ["base"]


def test_a_failed_write_leaves_the_old_bundle(
    tmp_path: Path, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails leaves the old bundle and no temporary folder."""
    first = make_bundle(tmp_path, "base")
    folder = tmp_path / "linear" / "base"

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("serve.base.atomic_file.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(folder, first, {MODEL: linear_graph(1.0)})
    assert read_bundle(folder) == first
    assert [path.name for path in folder.parent.iterdir()] == ["base"]


def test_a_failed_rename_puts_the_old_bundle_back(
    tmp_path: Path, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the second of the two renames fails, the old bundle is restored."""
    first = make_bundle(tmp_path, "base")
    folder = tmp_path / "linear" / "base"
    rename = Path.rename

    def fail_for_new(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_new)
    with pytest.raises(OSError, match="Input/output"):
        write_bundle(folder, first, {MODEL: linear_graph(1.0)})
    assert read_bundle(folder) == first


def test_the_digest_is_of_the_files_alone(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """Bundles with the same graph have the same digest, even if one of them was rejected."""
    one = make_bundle(tmp_path, "base")
    rejected = make_bundle(tmp_path, "base", rejected="too bad")
    other = make_bundle(tmp_path, "base", scale=2.0)
    assert one.digest == rejected.digest != other.digest
