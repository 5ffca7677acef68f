from pathlib import Path

import pytest

from loadtests.errors import LoadTestError
from loadtests.peers.answer_parity import Onnxruntime
from loadtests.peers.peer_servers import Server
from loadtests.peers.wrk import find_wrk, run_wrk


def test_a_missing_wrk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for a missing wrk names the package."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LoadTestError, match="wrk is not installed; it is a Debian package"):
        find_wrk()


def test_refused_requests_make_a_run_invalid(peer: Server, wrk: None, tmp_path: Path) -> None:
    """A run with refused requests is invalid."""
    with peer.process(tmp_path) as process:
        process.wait_until_ready()
        with pytest.raises(LoadTestError, match=r"invalid run on .* with 1 connections: of [0-9]+ requests"):
            run_wrk(f"{process.url}/v2/models/other/infer", b"{]]}", connections=1, seconds=0.5)


def test_a_steady_rate_is_kept(peer: Server, truth: Onnxruntime, wrk: None, tmp_path: Path) -> None:
    """The number of requests is within four standard deviations of the Poisson mean."""
    with peer.process(tmp_path) as process:
        process.wait_until_ready()
        body = peer.form.encode(truth.rows[0])
        result = run_wrk(f"{process.url}{peer.path}", body, connections=8, seconds=1, rate_per_s=50)
    assert abs(result.requests - 50) <= 4 * 50**0.5
