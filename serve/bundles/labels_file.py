"""Reads the names of a bundle's classes."""

import json
from pathlib import Path

from serve.base.errors import InvalidBundle
from serve.bundles.bundle import LABELS, read_bundle, read_file


def read_labels(folder: Path) -> tuple[str, ...]:
    """The class names of the bundle in `folder`; empty if it has none. Raises InvalidBundle."""
    bundle = read_bundle(folder)
    if all(file.path != LABELS for file in bundle.files):
        return ()
    try:
        labels = json.loads(read_file(folder, bundle, LABELS))
    except ValueError as error:
        raise InvalidBundle(f"{folder / LABELS} is not JSON: {error}; export the variant again") from None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InvalidBundle(f"{folder / LABELS} is not a list of names; export the variant again")
    return tuple(labels)
