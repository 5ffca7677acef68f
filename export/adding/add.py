"""Writes a candidate beside its baseline without measuring it on held-out rows.

This module does not need torch. With the model's recipe, `export/adding/prove.py` measures the candidate as
an export does."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from export.adding.candidate import Candidate, read_candidate
from export.adding.fit import inputs_of, require_fit
from export.adding.output_check import require_form
from export.cpu import read_cpu
from export.errors import InvalidSource
from export.onnx.graph import read_opset
from export.onnx.ranges import find_ranges
from export.proof.graph_stats import describe_graph_row
from serve.base.record import Record
from serve.bundles.bundle import (
    MODEL,
    WEIGHTS,
    Bundle,
    BundleFile,
    Name,
    Provenance,
    describe_file,
    read_file,
    sha256,
    write_bundle,
)
from serve.bundles.figures import Figures, Quality, Speed
from serve.bundles.onnx_graph import Graph, count_bytes, files_of
from serve.bundles.repository import StoredModel
from serve.engine.session import Session, open_session

_PACKAGES = ("counterweight", "numpy", "onnx", "onnxruntime")
_NOT_MEASURED = "it was added without a recipe, so it was not measured"


class AddOptions(Record):
    """The options of the command."""

    variant: Name


def choose_place(stored: StoredModel, variant: str) -> Path:
    """Return the folder of the new bundle. Raises InvalidRecord, or InvalidSource if the folder exists."""
    place = stored.folder / AddOptions.parse({"variant": variant}, "--variant").variant
    if place.exists():
        raise InvalidSource(f"{place} already exists; choose another --variant, or remove that folder first")
    return place


def read_fitting(stored: StoredModel, path: Path) -> Candidate:
    """Read the candidate at `path` and check that it can replace the baseline of `stored`. Raises
    InvalidSource and InvalidBundle."""
    baseline = stored.bundles[stored.baseline]
    candidate = read_candidate(path, {file.path: file.sha256 for file in _assets(baseline)})
    name = f"{stored.name}/{stored.baseline}"
    require_fit(candidate.graph, baseline.signature, name, candidate.name, baseline.sizes)
    session = Session(candidate.graph, baseline.signature, candidate.name, sizes=baseline.sizes)
    require_form(session, open_session(stored.folder / stored.baseline), baseline)
    return candidate


def add_unproven(stored: StoredModel, variant: str, path: Path) -> Bundle:
    """Write the candidate at `path` as a variant, completely or not at all. Raises InvalidRecord,
    InvalidSource and InvalidBundle."""
    place = choose_place(stored, variant)
    candidate = read_fitting(stored, path)
    baseline = stored.bundles[stored.baseline]
    folder = stored.folder / stored.baseline
    contents: dict[str, bytes | Path] = {
        file.path: read_file(folder, baseline, file.path) for file in _assets(baseline)
    }
    contents |= files_of(candidate.graph)
    bundle = Bundle(
        model=stored.name,
        variant=variant,
        baseline=stored.baseline,
        rejected=None,
        unproven=True,
        rows=_choose_rows(candidate),
        files=tuple(describe_file(name, content) for name, content in sorted(contents.items())),
        signature=baseline.signature,
        sizes=baseline.sizes,
        longest=baseline.longest,
        ranges=find_ranges(candidate.graph, _counted_backwards(baseline)),
        opset=read_opset(candidate.graph),
        figures=_figures(candidate.graph, baseline),
        provenance=_provenance(candidate, baseline),
    )
    write_bundle(place, bundle, contents)
    return bundle


def _assets(bundle: Bundle) -> list[BundleFile]:
    """Return the files beside the graph: tokenizer and labels."""
    return [file for file in bundle.files if file.path not in (MODEL, WEIGHTS)]


def _choose_rows(candidate: Candidate) -> Literal["together", "alone"]:
    """Return "together" only for a bundle whose export has proven that its rows do not affect each other."""
    bundle = candidate.bundle
    return "alone" if bundle is None or bundle.unproven else bundle.rows


def _counted_backwards(baseline: Bundle) -> set[str]:
    """Return the inputs for which the baseline accepts negative numbers, even if its bundle does not declare
    what it accepts."""
    names = baseline.signature.input_by_name
    return {name for name in names if baseline.ranges.get(name, (-1, 0))[0] < 0}


def _figures(graph: Graph, baseline: Bundle) -> Figures:
    """Return the figures that the graph alone determines; the best batch size is the baseline's."""
    graph_stats = describe_graph_row(graph, inputs_of(baseline.signature, 1, baseline.sizes))
    speed = baseline.figures.speed
    return Figures(
        **graph_stats.model_dump(),
        model_size_bytes=count_bytes(graph),
        parity=None,
        quality=Quality(task=baseline.figures.quality.task, rows=0),
        speed=Speed(
            threads=speed.threads,
            session_bytes=0,
            points=(),
            knee_rows=speed.knee_rows,
            warning=_NOT_MEASURED,
        ),
        steps=(),
    )


def _provenance(candidate: Candidate, baseline: Bundle) -> Provenance:
    if candidate.bundle is not None:
        return candidate.bundle.provenance
    return Provenance(
        fingerprint=sha256(f"added {candidate.sha256}".encode()),
        source={"added": candidate.name},
        steps=(),
        floor={},
        task=baseline.provenance.task,
        seed=0,
        threads=1,
        trained_sha256=candidate.sha256,
        code_sha256=sha256(b""),
        data={},
        versions={"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
        cpu=read_cpu(),
    )
