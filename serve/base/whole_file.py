"""Whole files: a file is replaced whole or not at all, whenever it is read and wherever the program ends."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, content: bytes | str, *, synced: bool = False) -> None:
    """Replace the file, text as UTF-8; see `replacing`. Raises OSError."""
    with replacing(path, synced=synced) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path, *, synced: bool = False) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when the context ends, and goes away if it ends by an error.
    `synced`: it is on the disk before it takes that place, so a power cut leaves the old one or the new one.

    What `path` links to is replaced, and the link stays. Raises OSError."""
    path = path.resolve()
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with scratch.open("xb") as file:
            yield file
            if synced:
                file.flush()
                os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
