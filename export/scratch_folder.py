"""A temporary folder that tells when its disk is full."""

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# No file system hands out less than a block, which is this large almost everywhere.
_BLOCK_BYTES = 4096


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new folder under TMPDIR, which is removed at the end.

    Raises OSError (ENOSPC) if the disk is full at the end: onnxruntime's tools then write a part of a file
    without an error, or fail without the reason."""
    with tempfile.TemporaryDirectory(prefix="counterweight-") as name:
        try:
            yield Path(name)
        except Exception as error:
            _require_space(Path(name), error)
            raise
        _require_space(Path(name), None)


def _require_space(folder: Path, cause: Exception | None) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < _BLOCK_BYTES:
        raise OSError(
            errno.ENOSPC,
            f"No space left in the temporary folder ({free_bytes} bytes are free); free some, or set "
            "TMPDIR to a folder on a larger disk",
            str(folder.parent),
        ) from cause
