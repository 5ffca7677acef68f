"""An ONNX graph: the content of one file, or of two if the weights are too large for one.

A file in protobuf cannot exceed 2 GiB. A larger graph has its large weights in a second file beside it, and
the first file has the place of each weight there."""

import shutil
import weakref
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from serve.base.errors import InvalidBundle
from serve.bundles.bundle import MODEL, WEIGHTS, Bundle, digest_file, read_file, sha256, verify_file
from serve.bundles.weight_locations import find_locations


class WeightsFile:
    """The file with a graph's weights. Its name is `WEIGHTS`."""

    def __init__(self, path: Path, *, temporary: bool = False) -> None:
        """A temporary file is removed with its folder when no graph refers to it any more."""
        assert path.name == WEIGHTS, "graphs refer to this name"
        self.path = path
        if temporary:
            weakref.finalize(self, shutil.rmtree, path.parent, ignore_errors=True)

    @cached_property
    def sha256(self) -> str:
        """The digest of its content, which does not change."""
        return digest_file(self.path)


@dataclass(frozen=True, kw_only=True)
class SplitGraph:
    """A graph whose large weights are in a second file."""

    # The file `MODEL`.
    content: bytes
    weights: WeightsFile


Graph: TypeAlias = bytes | SplitGraph


def files_of(graph: Graph) -> dict[str, bytes | Path]:
    """Return the graph's files by name: their contents, or where they are."""
    if isinstance(graph, SplitGraph):
        return {MODEL: graph.content, WEIGHTS: graph.weights.path}
    return {MODEL: graph}


def count_bytes(graph: Graph) -> int:
    """Return the size of the graph's files."""
    if isinstance(graph, SplitGraph):
        return len(graph.content) + graph.weights.path.stat().st_size
    return len(graph)


def digest_graph(graph: Graph) -> str:
    """Return the SHA-256 of the graph's file; of two files, over the digests of both."""
    if isinstance(graph, SplitGraph):
        return sha256(f"{sha256(graph.content)} {graph.weights.sha256}".encode())
    return sha256(graph)


def write_graph(graph: Graph, path: Path) -> None:
    """Write the graph to `path`, and its weights beside it. Raises OSError."""
    if isinstance(graph, SplitGraph):
        path.write_bytes(graph.content)
        # No link: onnx refuses to read a file that has several.
        shutil.copyfile(graph.weights.path, path.with_name(WEIGHTS))
    else:
        path.write_bytes(graph)


def read_written(path: Path) -> Graph:
    """Return the graph that was written to `path`. It lasts as long as the files there. Raises OSError."""
    weights = path.with_name(WEIGHTS)
    if weights.exists():
        return SplitGraph(content=path.read_bytes(), weights=WeightsFile(weights))
    return path.read_bytes()


def read_graph(folder: Path, bundle: Bundle) -> Graph:
    """Read the graph of the bundle in `folder`, and verify the digests of its files.

    Raises InvalidBundle, also for weights in any other file, which is not read."""
    content = read_file(folder, bundle, MODEL)
    try:
        locations = find_locations(content)
    except ValueError as error:
        raise InvalidBundle(f"{folder / MODEL} is not an ONNX file: {error}; export it again") from None
    for location in sorted(locations - {WEIGHTS}):
        raise InvalidBundle(
            f"{folder / MODEL} has weights in {location!r}, which was not read: the weights of a bundle are "
            f"in {MODEL} itself or in {WEIGHTS} beside it; export the variant again"
        )
    if not locations:
        return content
    return SplitGraph(content=content, weights=WeightsFile(verify_file(folder, bundle, WEIGHTS)))
