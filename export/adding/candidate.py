"""Candidate: a graph from elsewhere, in an ONNX file or in a bundle's folder, checked before it runs."""

from dataclasses import dataclass
from pathlib import Path

import onnx

from export.errors import InvalidSource
from export.onnx.graph import clean
from export.sources.onnx_file import read_graph
from serve.bundles.bundle import MANIFEST, MODEL, Bundle, read_bundle, read_file


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What somebody brings."""

    # What messages call it: the name of the file or folder, without its place on this machine.
    name: str
    graph: bytes
    # Over every byte that it was read from.
    sha256: str
    # Where it came as one.
    bundle: Bundle | None


def read_candidate(path: Path, assets: dict[str, str]) -> Candidate:
    """The ONNX file, or the bundle, at `path`. `assets` are the baseline's files beside its graph, by their
    digests. Raises InvalidSource and InvalidBundle."""
    bundle = read_bundle(path) if path.is_dir() else None
    if bundle is not None:
        _require_assets(path, bundle, assets)
        # Verified against its digest before anything reads it.
        read_file(path, bundle, MODEL)
    elif not path.exists():
        raise InvalidSource(
            f"{path} is not there; give --from an ONNX file, or the folder of a bundle ({MANIFEST})"
        )
    graph, digest = read_graph(path if bundle is None else path / MODEL)
    return Candidate(
        name=path.resolve().name, graph=clean(onnx.load_from_string(graph)), sha256=digest, bundle=bundle
    )


def _require_assets(path: Path, bundle: Bundle, assets: dict[str, str]) -> None:
    """Raise InvalidSource unless it has the baseline's tokenizer and labels, which serve all variants."""
    theirs = {file.path: file.sha256 for file in bundle.files if file.path != MODEL}
    for name in sorted({*theirs, *assets}):
        if theirs.get(name) != assets.get(name):
            raise InvalidSource(
                f"{path}: its {name} is not the baseline's, and variants of one model share it; take the "
                "candidate that was made with the same one"
            )
