import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from loadtests.errors import LoadTestError
from loadtests.peers.peer_servers import Server
from loadtests.peers.peer_session import MODEL_VARIABLE
from loadtests.peers.process import ServerProcess
from tests.loadtests.loadtest_process import ROOT

# Starts a grandchild in a session of its own, ignores requests to end, and answers nothing.
_STUBBORN = """
import signal, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
"""


def test_a_server_and_its_orphans_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ignores SIGTERM and a process without a parent are ended."""
    monkeypatch.setattr("loadtests.peers.process._STOP_S", 0.5)
    server = ServerProcess("stubborn", [sys.executable, "-c", _STUBBORN], {})
    with server:
        while len(found := server.processes()) < 2:
            time.sleep(0.05)
        os.kill(server._process.pid, signal.SIGKILL)
        server._process.wait()
    assert len(found) == 2
    # An orphan's entry stays until its new parent reads it.
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in found)
    assert server.processes() == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_bench_that_is_ended_leaves_no_server(number: signal.Signals) -> None:
    """When the benchmark ends, or its terminal closes, its servers are stopped."""
    bench = """
import sys, time
from loadtests.peers.process import ServerProcess, end_in_order
end_in_order()
with ServerProcess("idle", [sys.executable, "-c", "import time; time.sleep(600)"], {}) as server:
    print(*(process.pid for process in server.processes()), flush=True)
    time.sleep(600)"""
    with subprocess.Popen(
        [sys.executable, "-c", bench], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        [server] = [psutil.Process(int(word)) for word in process.stdout.readline().split()]
        process.send_signal(number)
        process.wait(30)
    assert not server.is_running()


def test_a_server_that_dies_is_quoted(peer: Server, tmp_path: Path) -> None:
    """The error of a server that ends at its start has the server's output."""
    broken = replace(peer, variables={MODEL_VARIABLE: str(tmp_path / "none.onnx")})
    with (
        broken.process(tmp_path) as process,
        pytest.raises(LoadTestError, match=r"(?s)fastapi ended with 1:.*none.onnx"),
    ):
        process.wait_until_ready()


def test_cpu_time_of_the_tree_is_counted() -> None:
    """The CPU time includes child processes, to one clock tick each."""
    busy = "import os, time\nos.fork()\nwhile time.process_time() < 0.2: pass\ntime.sleep(600)"
    with ServerProcess("busy", [sys.executable, "-c", busy], {}) as server:
        deadline_s = time.monotonic() + 120
        while sum(server.cpu_s().values()) < 0.4 - 0.02 and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert len(server.cpu_s()) == 2
        assert sum(server.cpu_s().values()) >= 0.4 - 0.02


def test_a_frozen_server_uses_no_cpu_until_it_is_thawed() -> None:
    """A frozen server's processes use no CPU time until they are thawed."""
    busy = "import os\nos.fork()\nwhile True: pass"
    with ServerProcess("busy", [sys.executable, "-c", busy], {}) as server:
        while len(server.processes()) < 2:
            time.sleep(0.05)
        server.freeze()
        frozen = server.cpu_s()
        time.sleep(0.2)
        assert server.cpu_s() == frozen
        server.thaw()
        deadline_s = time.monotonic() + 120
        while any(server.cpu_s()[process] == spent_s for process, spent_s in frozen.items()):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)


def test_a_frozen_server_is_stopped() -> None:
    """A frozen server gets SIGTERM and exits by itself."""
    polite = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\ntime.sleep(600)"
    )
    with ServerProcess("polite", [sys.executable, "-c", polite], {}) as server:
        # This waits until the process has its signal handler.
        while "sleep" not in Path(f"/proc/{server._process.pid}/wchan").read_text():
            time.sleep(0.05)
        server.freeze()
    assert server._process.returncode == 7
