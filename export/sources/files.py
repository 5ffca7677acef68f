"""Reads a model's files, up to a maximum size, with messages that name the missing file."""

from pathlib import Path

from export.errors import InvalidSource

# ONNX (protobuf) files cannot be larger, and larger models are not worth serving on a CPU.
MAX_BYTES = 2**31 - 2**20


def read_file(path: Path, key: str, start: int = 0, length: int = -1) -> bytes:
    """Return the content of the file that the recipe names under `source.<key>`: from `start` on, at most
    `length` bytes unless it is -1. Raises InvalidSource."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InvalidSource(f"{path} has {size} bytes; the maximum is {MAX_BYTES}: give a smaller model")
        with path.open("rb") as file:
            file.seek(start)
            return file.read(length)
    except OSError as error:
        raise InvalidSource(
            f"{path}: {error.strerror}; make the model first, or correct `source.{key}`, which is relative "
            "to the recipe's folder"
        ) from None
