import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.peers import bench
from loadtests.peers.peer_measurement import BenchRound
from loadtests.peers.peer_servers import Server
from loadtests.peers.report import ServingReport
from loadtests.peers.workload import Workload

Run = Callable[..., int]


@pytest.fixture
def run(
    workload: Workload, onnx_file: Path, wrk: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """The bench with one short part over the servers given; its figures are in bench.json."""

    def main(*servers: Server, steady: bool = False) -> int:
        part = BenchRound(name="short", workload=workload, servers=servers, connections=(1, 4), steady=steady)
        monkeypatch.setattr(bench, "PARTS", {"short": lambda models, scratch: part})
        files = ["--json", str(tmp_path / "bench.json"), "--picture", str(tmp_path / "bench.svg")]
        options = ["--parts", "short", "--rounds", "1", "--seconds", "0.5"]
        return bench.main([str(onnx_file.parents[2]), *options, *files])

    return main


def test_every_server_gets_its_figures(
    run: Run, peer: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each server has figures for each number of connections, on screen, as JSON and as a picture. Its CPU
    time is at most that of all cores, plus 0.02 s in 0.5 s for clock ticks."""
    assert run(peer, replace(peer, name="twin")) == 0
    report = ServingReport.model_validate(json.loads((tmp_path / "bench.json").read_text()))
    (part,) = report.parts
    assert [(row.connections, row.server) for row in part.figures] == [
        (1, "fastapi"),
        (1, "twin"),
        (4, "fastapi"),
        (4, "twin"),
    ]
    for row in part.figures:
        assert 0 < row.cpu_ms_per_request * row.requests_per_s / 1000 < (os.cpu_count() or 1) + 0.04
        assert 0 < row.p50_ms <= row.p99_ms
    assert capsys.readouterr().out.count("twin") == 3
    assert "twin" in (tmp_path / "bench.svg").read_text()


def test_a_peer_that_cannot_be_installed_is_left_out(run: Run, peer: Server, tmp_path: Path) -> None:
    """A server that cannot be installed is reported and left out; the exit code is 1."""
    absent = replace(peer, name="absent", requirements=(str(tmp_path / "no-such-package"),))
    assert run(absent, peer) == 1
    (part,) = json.loads((tmp_path / "bench.json").read_text())["parts"]
    assert "no-such-package" in part["servers"][0]["failure"]
    assert {row["server"] for row in part["figures"]} == {"fastapi"}


def test_an_unknown_part_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown part is refused with the nearest known one."""
    with pytest.raises(SystemExit, match="2"):
        bench.main(["models", "--parts", "digit"])
    assert "no part 'digit'; did you mean 'digits'?" in capsys.readouterr().err
