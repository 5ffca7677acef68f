import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from deployments.environment import free_ports
from tests.e2e.conftest import running_server

ROOT = Path(__file__).parents[2]


def serve(*arguments: Path | str, **environment: str) -> "subprocess.Popen[str]":
    """`counterweight serve`, what it says captured; the caller waits for its end."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "counterweight",
            "serve",
            "--port",
            str(free_ports(1)[0]),
            *map(str, arguments),
        ],
        cwd=ROOT,
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_stopped_server_leaves_nothing(module_repository: Path) -> None:
    """After SIGTERM: exit code 0, no process, no port, no temporary file, nothing new in the home folder."""
    home = Path.home()
    before = set(home.iterdir())
    with running_server(module_repository) as server:
        tree = server.tree()
        assert len(tree) > 5
        assert server.stop() == 0
        assert not [process for process in tree if process.is_running()]
        assert list(server.scratch.iterdir()) == []
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", server.port)) != 0
    assert set(home.iterdir()) == before


def test_ctrl_c_during_the_start_leaves_nothing(module_repository: Path) -> None:
    """Ray is half up when the key is pressed; it goes away all the same."""
    with tempfile.TemporaryDirectory(prefix="t-") as scratch:
        process = serve(module_repository, TMPDIR=scratch)
        root = psutil.Process(process.pid)
        try:
            while len(tree := root.children(recursive=True)) < 3:
                assert process.poll() is None
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=60)
            assert process.returncode == 0
            assert not [child for child in tree if child.is_running()]
            assert list(Path(scratch).iterdir()) == []
        finally:
            for child in [*root.children(recursive=True), root] if process.poll() is None else []:
                child.kill()


def test_a_long_temporary_folder_is_named(module_repository: Path, tmp_path: Path) -> None:
    """Sockets have short names; the message says what to set."""
    process = serve(module_repository, TMPDIR=str(tmp_path))
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "start with TMPDIR=/tmp" in shown


def test_without_haproxy_the_plain_proxy_serves(module_repository: Path) -> None:
    """Where there is no HAProxy the same endpoint answers, a little slower."""
    with running_server(
        module_repository, RAY_SERVE_ENABLE_HA_PROXY="0", RAY_SERVE_ENABLE_DIRECT_INGRESS="0"
    ) as server:
        assert not [process for process in server.tree() if process.name() == "haproxy"]
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
        answer = server.post("/v2/models/linear/infer", {"inputs": [tensor]})
        assert answer.json["outputs"][0]["data"] == [10.0, 10.0, 10.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["missing"], "export a recipe into it first"),
        (["--weights", "other:base=1"], "no model 'other'"),
        (["--weights", "linear:base=1,ligt=1"], "did you mean 'light'"),
        (["--weights", "linear:base=1,poor=1"], "was rejected: accuracy 0.50"),
        (["--weights", "linear:light=1"], "name no baseline 'base'"),
        (["--port", "99999"], "port"),
    ],
    ids=["no repository", "unknown model", "unknown variant", "rejected variant", "no baseline", "no port"],
)
def test_a_wrong_command_line_ends_at_the_door(
    module_repository: Path, options: list[str], message: str
) -> None:
    """Exit code 2 and a message, before Ray is even imported."""
    where = [] if options == ["missing"] else [module_repository]
    process = serve(*where, *options)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message in shown
    assert "starting Ray" not in shown


def test_a_taken_port_is_named(module_repository: Path) -> None:
    """Somebody else's server is not disturbed."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        process = serve(module_repository, "--port", str(port))
        _, shown = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in shown
