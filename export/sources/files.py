"""Files: how a model's files are read: at most so large, and with a message that says which was missing."""

from pathlib import Path

from export.errors import InvalidSource

# Neither ONNX (protobuf) nor anything that is worth serving on a processor is larger.
MAX_BYTES = 2**31 - 2**20


def read_file(path: Path, key: str) -> bytes:
    """The content of the file that the recipe names under `source.<key>`. Raises InvalidSource."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InvalidSource(
                f"{path} has {size} bytes; a model here has at most {MAX_BYTES}: give a smaller one"
            )
        return path.read_bytes()
    except OSError as error:
        raise InvalidSource(
            f"{path}: {error.strerror}; make the model first, or correct `source.{key}`, which is relative "
            "to the recipe's folder"
        ) from None
