"""A real model file, a real peer that serves it, and wrk."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from loadtests.peers.answer_parity import Onnxruntime
from loadtests.peers.peer_servers import Server, fastapi
from loadtests.peers.report import LoadFigures, PartReport, ServerFigures, ServingReport
from loadtests.peers.workload import Workload


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """digits/fp32/model.onnx, which doubles its input of shape [rows, 3]."""
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "x"], ["y"])],
        "double",
        [onnx.helper.make_tensor_value_info("x", kind, ["rows", 3])],
        [onnx.helper.make_tensor_value_info("y", kind, ["rows", 3])],
    )
    path = tmp_path_factory.mktemp("models") / "digits" / "fp32" / "model.onnx"
    path.parent.mkdir(parents=True)
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10), path)
    return path


@pytest.fixture(scope="session")
def workload() -> Workload:
    """Requests to that model."""
    return Workload(
        model="digits",
        weights={"fp32": 100},
        batch_rows=1,
        draw=lambda rng: {"x": rng.random((1, 3), np.float32)},
    )


@pytest.fixture(scope="session")
def peer(onnx_file: Path, workload: Workload) -> Server:
    """FastAPI on that model, in our own environment."""
    return replace(fastapi(onnx_file, workload), requirements=())


@pytest.fixture(scope="session")
def truth(onnx_file: Path, workload: Workload, tmp_path_factory: pytest.TempPathFactory) -> Onnxruntime:
    """The right answers."""
    return Onnxruntime(onnx_file.parents[2], workload, tmp_path_factory.mktemp("truth"))


@pytest.fixture
def wrk(monkeypatch: pytest.MonkeyPatch) -> None:
    """wrk, with pauses of a tenth of a second around a run, and five seconds for an answer."""
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed; apt-get install wrk")
    monkeypatch.setattr("loadtests.peers.peer_measurement._WARM_UP_S", 0.1)
    monkeypatch.setattr("loadtests.peers.peer_measurement._IDLE_S", 0.1)
    monkeypatch.setattr("loadtests.peers.peer_measurement._SETTLE_S", 0.1)
    monkeypatch.setattr("loadtests.peers.wrk._TIMEOUT_S", 5)


def _figures(server: str, connections: int, rate_per_s: float | None, late_ms: float = 0) -> LoadFigures:
    return LoadFigures(
        server=server,
        connections=connections,
        rate_per_s=rate_per_s,
        requests=1000,
        cpu_ms_per_request=0.25,
        client_cpu_ms_per_request=0.01,
        requests_per_s=1234.5,
        p50_ms=1.5,
        p99_ms=1500.0,
        late_ms=late_ms,
    )


@pytest.fixture
def report() -> ServingReport:
    """The report of one part with a quick server, one that did not keep up, and one that is absent."""
    entries = (
        ServerFigures(name="quick", requirements=(), idle_cores=0.125, failure=None),
        ServerFigures(
            name="<absent>", requirements=("absent==1",), idle_cores=None, failure="it is not there"
        ),
    )
    figures = (
        _figures("quick", 1, None),
        _figures("quick", 64, 40.6),
        _figures("slow", 64, 40.6, late_ms=21),
    )
    part = PartReport(name="digits", model="digits", floor_cpu_ms=0.05, servers=entries, figures=figures)
    return ServingReport(rounds=3, seconds=2, cpu="a processor", cores=2, parts=(part,))
