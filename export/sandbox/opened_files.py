"""Sees which files foreign code reads."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from serve.bundles.bundle import sha256

_CODE = (".py", ".pyc")
_PACKAGES = ("site-packages", "dist-packages")
# What Python reads of a package at its first import.
_METADATA = (".egg-info", ".dist-info")

# The paths that were opened for reading, for each context that is active.
_records: list[set[str]] = []


@contextmanager
def record_reads(folders: Sequence[Path]) -> Iterator[set[Path]]:
    """Collect the regular files below `folders` that Python opens for reading while the context lasts.

    The set is filled at the end. Python code, installed packages and their metadata are left out."""
    _install()
    paths: set[str] = set()
    files: set[Path] = set()
    _records.append(paths)
    try:
        yield files
    finally:
        _records.pop()
        roots = [Path(os.path.abspath(folder)) for folder in folders]
        files.update(path for path in map(Path, paths) if _counts(path, roots))


def digest_files(files: Iterable[Path], folder: Path) -> str:
    """Return the SHA-256 of the files' contents and of their places relative to `folder`."""
    digests = {os.path.relpath(path, folder): sha256(path.read_bytes()) for path in files}
    return sha256("".join(f"{place} {digests[place]}\n" for place in sorted(digests)).encode())


@cache
def _install() -> None:
    sys.addaudithook(_hear)  # Python has no way to remove it


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or not _records:
        return
    path, _, flags = arguments
    if not isinstance(path, str | bytes | os.PathLike) or not isinstance(flags, int):
        return
    if flags & os.O_ACCMODE == os.O_RDONLY:
        for record in _records:
            record.add(os.path.abspath(os.fsdecode(path)))


def _counts(path: Path, roots: Sequence[Path]) -> bool:
    return (
        any(path.is_relative_to(root) for root in roots)
        and path.suffix not in _CODE
        and not any(part in _PACKAGES or part.endswith(_METADATA) for part in path.parts)
        and path.is_file()
    )
