import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from loadtests.errors import LoadTestError
from loadtests.peers.bench import make_peer
from loadtests.peers.process import ServerProcess

# Starts a grandchild in a session of its own, outlives requests to end, and answers nobody.
_STUBBORN = """
import signal, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
"""


def test_a_server_and_its_orphans_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What will not end is ended, and so is a process whose parent is gone."""
    monkeypatch.setattr("loadtests.peers.process._STOP_S", 0.5)
    (tmp_path / "stubborn.py").write_text(_STUBBORN)
    server = ServerProcess("stubborn", ["stubborn"], {"PYTHONPATH": str(tmp_path)})
    with server:
        while len(found := server.processes()) < 2:
            time.sleep(0.05)
        os.kill(server._process.pid, signal.SIGKILL)
        server._process.wait()
    assert len(found) == 2
    # An orphan's entry stays until its new parent reads it.
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in found)
    assert server.processes() == []


def test_a_server_that_dies_is_quoted(tmp_path: Path) -> None:
    """Its own last words say why it never got ready."""
    with (
        make_peer(tmp_path / "digits" / "fp32" / "model.onnx") as server,
        pytest.raises(LoadTestError, match=r"(?s)fastapi ended with 1:.*model.onnx"),
    ):
        server.wait_until_ready()


def test_cpu_time_of_the_tree_is_counted(tmp_path: Path) -> None:
    """A busy child counts: 0.2 s of its work show up, less one clock tick for each reading."""
    busy = "import os, time\nos.fork()\nwhile time.process_time() < 0.2: pass\ntime.sleep(600)"
    (tmp_path / "busy.py").write_text(busy)
    with ServerProcess("busy", ["busy"], {"PYTHONPATH": str(tmp_path)}) as server:
        deadline_s = time.monotonic() + 20
        while sum(server.cpu_s().values()) < 0.4 - 0.02 and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert len(server.cpu_s()) == 2
        assert sum(server.cpu_s().values()) >= 0.4 - 0.02
