"""Shared test tools: tiny bundles whose answers show which variant gave them."""

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from serve.base.tensor import Signature, TensorSpec
from serve.bundles.bundle import (
    MODEL,
    Bundle,
    Cpu,
    DataSplit,
    Provenance,
    describe_file,
    sha256,
    write_bundle,
)
from serve.bundles.figures import Compared, Estimate, Figures, Parity, Quality, Speed, SpeedPoint
from tests.schedule import Lines, arrange

# Examples have no deadline: other programs share the machine, so its speed varies.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

FEATURES = 4
CLASSES = 3
SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", datatype="FP32", shape=("batch", FEATURES)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=("batch", CLASSES)),),
)

MakeBundle = Callable[..., Bundle]


def linear_graph(scale: float) -> bytes:
    """An ONNX graph y = x @ (scale * ones): each output is `scale` times the row's sum."""
    weights = np.full((FEATURES, CLASSES), scale, np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return _serialize(graph)


def lookup_graph() -> bytes:
    """An ONNX graph y = table[x] over a table of two rows: any other index makes onnxruntime fail."""
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        "lookup",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["batch"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(np.arange(2 * CLASSES, dtype=np.float32).reshape(2, CLASSES), "table")],
    )
    return _serialize(graph)


def _serialize(graph: Any) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = onnx.ModelProto.SerializeToString(model)
    return content


def make_lookup(repository: Path) -> Bundle:
    """Write a second model, `lookup`, with a baseline alone."""
    x = TensorSpec(name="x", datatype="INT64", shape=("batch",))
    signature = Signature(inputs=(x,), outputs=SIGNATURE.outputs)
    return make_bundle(repository, "base", content=lookup_graph(), model="lookup", signature=signature)


def make_figures(model_size_bytes: int, **changes: Any) -> Figures:
    """Figures of a classifier that is the baseline: 9 of 10 held-out rows right, a knee at 8 rows."""
    same = Estimate(value=1, low=1, high=1)
    nine_of_ten = Compared(value=0.9, change=0, low=0, high=0)
    points = tuple(
        SpeedPoint(
            rows=rows,
            tokens=None,
            samples=100,
            cpu_p50_ms=0.5 + 0.5 * rows,
            wall_p50_ms=0.5 + 0.5 * rows,
            wall_p90_ms=0.6 + 0.6 * rows,
            wall_p99_ms=None,
            speedup=same,
        )
        for rows in (1, 8)
    )
    fields: dict[str, Any] = {
        "parameters": FEATURES * CLASSES,
        "nonzero_parameters": FEATURES * CLASSES,
        "multiply_adds": FEATURES * CLASSES,
        "model_size_bytes": model_size_bytes,
        "compressed_size_bytes": model_size_bytes // 2,
        "operators": {"MatMul": 1},
        "operators_loaded": {"MatMul": 1},
        "parity": Parity(batch_sizes=(1, 3, 17), max_abs_difference=0.0),
        "quality": Quality(
            task="classification", rows=10, accuracy=nine_of_ten, macro_f1=nine_of_ten, agreement=same
        ),
        "speed": Speed(threads=1, session_bytes=1 << 20, points=points, knee_rows=8, warning=None),
        "steps": (),
    }
    return Figures(**fields | changes)


def make_bundle(
    repository: Path, variant: str, *, scale: float = 1.0, content: bytes = b"", **changes: Any
) -> Bundle:
    """Write a bundle of the model `linear` to `repository`; its outputs are `scale` times the row's sum."""
    content = content or linear_graph(scale)
    fields: dict[str, Any] = {
        "model": "linear",
        "variant": variant,
        "baseline": "base",
        "rejected": None,
        "files": (describe_file(MODEL, content),),
        "signature": SIGNATURE,
        "opset": 20,
        "figures": make_figures(len(content)),
        "provenance": Provenance(
            fingerprint=sha256(variant.encode()),
            task="classification",
            threads=1,
            source={},
            steps=(),
            floor={},
            seed=0,
            trained_sha256=sha256(b"trained"),
            code_sha256=sha256(b"code"),
            data={"held_out": DataSplit(rows=10, sha256=sha256(b"rows"))},
            versions={},
            cpu=Cpu(model="test", flags=()),
        ),
    }
    bundle = Bundle(**fields | changes)
    write_bundle(repository / bundle.model / variant, bundle, {MODEL: content})
    return bundle


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Make a file that is skipped whole fail where `FAIL_SKIPS` is set."""
    report = yield
    if report.outcome == "skipped" and os.environ.get("FAIL_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"FAIL_SKIPS is set, and this file was skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make a skipped test fail where `FAIL_SKIPS` is set, as in CI: nothing may be missing there."""
    report = yield
    if report.skipped and os.environ.get("FAIL_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"FAIL_SKIPS is set, and this test was skipped: {report.longrepr}"
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests after pytest has put them in order."""
    arrange(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lines:
    """Return the scheduler for `--numprocesses`, whatever `--dist` is."""
    config.option.loadscopereorder = False
    return Lines(config, log)


@pytest.fixture(name="make_bundle")
def _make_bundle() -> MakeBundle:
    return make_bundle


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one model, `linear`: the baseline `base` (scale 1), `light` (2), and `poor`."""
    fill_repository(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture(scope="module")
def module_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same repository, made once for a module that only reads it."""
    folder = tmp_path_factory.mktemp("repository") / "models"
    fill_repository(folder)
    return folder


def fill_repository(folder: Path) -> None:
    """Write the three bundles of `linear`."""
    make_bundle(folder, "base", scale=1.0)
    make_bundle(folder, "light", scale=2.0)
    make_bundle(folder, "poor", scale=3.0, rejected="accuracy 0.50 is 0.40 below the baseline's, floor 0.02")
