"""A temporary folder goes away, and a full disk is named."""

import errno
import shutil
import tempfile
from typing import NamedTuple

import pytest

from export.scratch_folder import scratch_folder


class Usage(NamedTuple):
    """What `shutil.disk_usage` returns."""

    total: int
    used: int
    free: int


def test_the_folder_goes_away() -> None:
    """The folder is there inside, and removed at the end with its files."""
    with scratch_folder() as folder:
        (folder / "file").write_bytes(b"1")
    assert not folder.exists()


def use(failure: Exception | None) -> None:
    """Use a folder, with or without a failure inside."""
    with scratch_folder():
        if failure is not None:
            raise failure


@pytest.mark.parametrize("failure", [StopIteration(), None], ids=["with another error", "silently"])
def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch, failure: Exception | None) -> None:
    """An error on a full disk, and a file that was cut off in silence, become ENOSPC with the folder."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(8192, 8192, 0))
    with pytest.raises(OSError, match=r"0 bytes are free.*TMPDIR") as raised:
        use(failure)
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == tempfile.gettempdir()


def test_another_error_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error on a disk with space comes through as it is."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(8192, 0, 8192))
    with pytest.raises(KeyError):
        use(KeyError("x"))
