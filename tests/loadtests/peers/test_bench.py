import json
import os
import socket
from pathlib import Path

import pytest

from loadtests.peers import bench


def test_servers_are_measured_and_stopped(
    onnx_file: Path,
    wrk: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every server gets a figure for each number of connections, on screen and as JSON; no port is left.

    Requests cost CPU time, and no more of it than all cores have; clock ticks allow 0.02 s in the 1 s."""
    peer = bench.make_peer(onnx_file)
    monkeypatch.setattr(bench, "make_servers", lambda models, model: [peer])
    monkeypatch.setattr(bench, "CONNECTIONS", (1, 4))
    monkeypatch.setattr(bench, "_WARM_UP_S", 1)
    path = tmp_path / "bench.json"
    arguments = [str(tmp_path), "--model", "digits", "--rounds", "1", "--seconds", "1", "--json", str(path)]
    assert bench.main(arguments) == 0
    report = bench.BenchReport.model_validate(json.loads(path.read_text()))
    assert [(row.server, row.connections) for row in report.figures] == [("fastapi", 1), ("fastapi", 4)]
    for row in report.figures:
        assert 0 < row.cpu_ms_per_request * row.requests_per_s / 1000 < (os.cpu_count() or 1) + 0.02
        assert 0 < row.p50_ms <= row.p99_ms
    assert capsys.readouterr().out.count("fastapi") == 2
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", peer.port)) != 0
