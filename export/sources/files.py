"""Reads a model's files, up to a maximum size, with messages that name the missing file."""

from pathlib import Path

import psutil

from export.errors import InvalidSource

# An export holds the weights more than five times: 12.7 GB for 2.4 GB, of which sessions have packed copies.
_COPIES = 6
# The largest model that an export on this machine can take.
MAX_BYTES = psutil.virtual_memory().total // _COPIES
TOO_LARGE = (
    f"{MAX_BYTES}, a sixth of this machine's memory, since an export holds the weights up to {_COPIES} "
    "times: export it on a machine with more memory, or give a smaller model"
)


def read_file(path: Path, key: str, start: int = 0, length: int = -1) -> bytes:
    """Return the content of the file that the recipe names under `source.<key>`: from `start` on, at most
    `length` bytes unless it is -1. Raises InvalidSource."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InvalidSource(f"{path} has {size} bytes; the maximum is {TOO_LARGE}")
        with path.open("rb") as file:
            file.seek(start)
            return file.read(length)
    except OSError as error:
        raise InvalidSource(
            f"{path}: {error.strerror}; make the model first, or correct `source.{key}`, which is relative "
            "to the recipe's folder"
        ) from None
