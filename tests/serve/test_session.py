from pathlib import Path

import numpy as np
import pytest

from serve.bundle import MODEL, describe_file
from serve.errors import InvalidBundle, ModelFailed
from serve.session import open_session
from serve.tensor import Signature, TensorSpec
from tests.conftest import SIGNATURE, MakeBundle


def test_runs_the_bundles_graph(repository: Path) -> None:
    """`light` answers twice the sum of the row."""
    rows = np.array([[1, 2, 3, 4], [0, 0, 0, 1]], np.float32)
    outputs = open_session(repository / "linear" / "light").run({"x": rows})
    np.testing.assert_array_equal(outputs["y"], [[20, 20, 20], [2, 2, 2]])


def test_checks_the_digest_before_the_graph_is_parsed(repository: Path) -> None:
    """A changed graph never reaches onnxruntime."""
    (repository / "linear" / "base" / MODEL).write_bytes(b"not the graph")
    with pytest.raises(InvalidBundle, match="was changed after export"):
        open_session(repository / "linear" / "base")


def test_refuses_what_onnxruntime_cannot_load(repository: Path, make_bundle: MakeBundle) -> None:
    """A graph that is none is the bundle's fault, said so."""
    content = b"not a graph"
    folder = repository / "linear" / "base"
    bundle = make_bundle(repository, "base")
    (folder / MODEL).write_bytes(content)
    manifest = bundle.model_copy(update={"files": (describe_file(MODEL, content),)})
    (folder / "bundle.json").write_text(manifest.model_dump_json())
    with pytest.raises(InvalidBundle, match="onnxruntime refuses the graph"):
        open_session(folder)


def test_refuses_a_manifest_that_misnames_the_inputs(repository: Path, make_bundle: MakeBundle) -> None:
    """Requests are checked against the manifest, so it must tell the truth about the graph."""
    lie = Signature(
        inputs=(TensorSpec(name="z", datatype="FP32", shape=("batch", 4)),), outputs=SIGNATURE.outputs
    )
    make_bundle(repository, "base", signature=lie)
    with pytest.raises(InvalidBundle, match="its signature says"):
        open_session(repository / "linear" / "base")


def test_a_run_that_fails_names_the_variant(repository: Path) -> None:
    """The log says who failed."""
    with pytest.raises(ModelFailed, match="linear/base failed"):
        open_session(repository / "linear" / "base").run({"x": np.zeros((1, 9), np.float32)})
