"""Reads a candidate (an ONNX file or the folder of a bundle) and checks it before it runs."""

from dataclasses import dataclass
from pathlib import Path

from export.errors import InvalidSource
from export.onnx.graph import clean
from export.onnx.model_proto import load
from export.sources.onnx_file import read_graph
from serve.bundles.bundle import MANIFEST, MODEL, WEIGHTS, Bundle, read_bundle, read_file
from serve.bundles.onnx_graph import Graph


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A candidate."""

    # The name in messages: the file's or folder's name without its path.
    name: str
    graph: Graph
    # Over every byte that it was read from.
    sha256: str
    # The bundle, if the candidate is one.
    bundle: Bundle | None


def read_candidate(path: Path, assets: dict[str, str]) -> Candidate:
    """Read the ONNX file or the bundle at `path`.

    `assets` are the baseline's files beside its graph, by their digests. Raises InvalidSource and
    InvalidBundle."""
    bundle = read_bundle(path) if path.is_dir() else None
    if bundle is not None:
        _require_assets(path, bundle, assets)
        # The file is verified against its digest before anything parses it.
        read_file(path, bundle, MODEL)
    elif not path.exists():
        raise InvalidSource(
            f"{path} does not exist; give --from an ONNX file, or the folder of a bundle ({MANIFEST})"
        )
    graph, digest = read_graph(path if bundle is None else path / MODEL)
    return Candidate(name=path.resolve().name, graph=clean(load(graph)), sha256=digest, bundle=bundle)


def _require_assets(path: Path, bundle: Bundle, assets: dict[str, str]) -> None:
    """Raise InvalidSource unless it has the baseline's tokenizer and labels, which all variants share."""
    baseline_assets = {file.path: file.sha256 for file in bundle.files if file.path not in (MODEL, WEIGHTS)}
    for name in sorted({*baseline_assets, *assets}):
        if baseline_assets.get(name) != assets.get(name):
            raise InvalidSource(
                f"{path}: its {name} differs from the baseline's, and variants of one model share it; use "
                "the candidate that was made with the same one"
            )
