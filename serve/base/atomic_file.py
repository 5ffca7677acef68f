"""Writes files atomically: a reader sees the old content or the new one, even if the program is killed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, content: bytes | str, *, synced: bool = False) -> None:
    """Write the file atomically, text as UTF-8; see `replacing`. Raises OSError."""
    with replacing(path, synced=synced) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path, *, synced: bool = False) -> Iterator[BinaryIO]:
    """Yield a file that replaces `path` when the context ends, and is deleted if the context raises.

    With `synced`, the content is on disk before it replaces `path`, so a power cut leaves the old file or the
    new one. If `path` is a link, its target is replaced. Raises OSError."""
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
