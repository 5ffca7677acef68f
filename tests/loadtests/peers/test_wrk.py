from pathlib import Path

import pytest

from loadtests.errors import LoadTestError
from loadtests.peers.bench import make_peer
from loadtests.peers.wrk import find_wrk, run_wrk


def test_a_missing_wrk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which package to install."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LoadTestError, match="wrk is not installed; it is a Debian package"):
        find_wrk()


def test_refused_requests_make_a_run_invalid(onnx_file: Path, wrk: None) -> None:
    """A server that refuses is fast, and must not win by it."""
    with make_peer(onnx_file) as server:
        server.wait_until_ready()
        with pytest.raises(LoadTestError, match=r"invalid run on .* with 1 connections: of [0-9]+ requests"):
            run_wrk(f"{server.url}/v2/models/other/infer", b"{]]}", connections=1, seconds=1)
