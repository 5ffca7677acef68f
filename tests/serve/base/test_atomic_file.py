"""A file is replaced whole or not changed, and no temporary file remains."""

import os
from pathlib import Path

import pytest

from serve.base.atomic_file import replacing, write_whole


@pytest.mark.parametrize(
    ("content", "bytes_"), [("größer\n", "größer\n".encode()), (b"\x00\r\n", b"\x00\r\n")]
)
def test_text_is_utf_8_and_bytes_are_as_they_are(tmp_path: Path, content: bytes | str, bytes_: bytes) -> None:
    """Text is written as UTF-8 and bytes unchanged."""
    write_whole(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == bytes_


def test_an_error_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    """If writing fails in the middle, the old file remains and no temporary file does."""
    write_whole(tmp_path / "file", "old")
    lines = (b"%d" % (1 // number) for number in (1, 0))
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "file") as file:
        file.writelines(lines)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    """Readers see the old file until the block ends, even after a flush."""
    write_whole(tmp_path / "file", "old")
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
        file.flush()
        assert (tmp_path / "file").read_text() == "old"
    assert (tmp_path / "file").read_text() == "new"


def test_two_who_write_at_once_do_not_mix(tmp_path: Path) -> None:
    """Two writers use different temporary files, and the last one to finish wins."""
    with replacing(tmp_path / "file") as one, replacing(tmp_path / "file") as other:
        one.write(b"one")
        other.write(b"other")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "one")]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """Writing to a symbolic link replaces the file to which the link points."""
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_a_synced_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A synced file is flushed to the disk before it is renamed."""
    done: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: done.append("synced"))
    monkeypatch.setattr(Path, "replace", lambda *_: done.append("replaced"))
    write_whole(tmp_path / "file", "new", synced=True)
    assert done == ["synced", "replaced"]
