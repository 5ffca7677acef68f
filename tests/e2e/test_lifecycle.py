import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from deployments.ports import free_ports
from tests.e2e.server import alive, running_server, wait_until

ROOT = Path(__file__).parents[2]


def serve(*arguments: Path | str, **environment: str) -> "subprocess.Popen[str]":
    """Start `counterweight serve` with its output captured; the caller waits for its end."""
    port, grpc_port = map(str, free_ports(2))
    command = [sys.executable, "-m", "counterweight", "serve", "--port", port, "--grpc-port", grpc_port]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_killed_server_leaves_nothing(module_repository: Path) -> None:
    """After kill -9 of the command, all processes end within 50 s, and no file remains in the temporary or
    home folder."""
    home = Path.home()
    before = set(home.iterdir())
    with running_server(module_repository, "--placement", "together") as server:
        tree = server.tree()
        server.process.kill()
        wait_until(lambda: alive(tree) == [], timeout_s=50)
        assert list(server.scratch.iterdir()) == []
    assert set(home.iterdir()) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_during_the_start_leaves_nothing(module_repository: Path, number: signal.Signals) -> None:
    """A signal while Ray starts ends all processes and leaves no temporary file."""
    with tempfile.TemporaryDirectory(prefix="t-") as scratch:
        process = serve(module_repository, TMPDIR=scratch)
        root = psutil.Process(process.pid)
        try:
            while len(tree := root.children(recursive=True)) < 4:
                assert process.poll() is None
                time.sleep(0.02)
            os.killpg(process.pid, number)
            process.communicate(timeout=120)
            assert process.returncode == 0
            assert alive(tree) == []
            assert list(Path(scratch).iterdir()) == []
        finally:
            for child in [*root.children(recursive=True), root] if process.poll() is None else []:
                child.kill()


def test_a_long_temporary_folder_is_named(module_repository: Path, tmp_path: Path) -> None:
    """A temporary folder with a long path exits with 2 and the fix, because socket paths are limited."""
    process = serve(module_repository, TMPDIR=str(tmp_path))
    _, shown = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "start with TMPDIR=/tmp" in shown


# This mocks a fault: on an overloaded machine Ray gives up after 30 s.
_LATE = """
import sys
import ray
from counterweight import main
def init(**options):
    print("once")
    raise Exception("The current node timed out during startup")
ray.init = init
sys.exit(main(["serve", *sys.argv[1:]]))
"""


def test_a_ray_that_does_not_come_up_is_no_bug_of_ours(module_repository: Path) -> None:
    """Ray gets three attempts to start; then the exit code is 2 with Ray's reason and the fix."""
    port, grpc_port = map(str, free_ports(2))
    words = [str(module_repository), "--port", port, "--grpc-port", grpc_port]
    done = subprocess.run(
        [sys.executable, "-c", _LATE, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout.split() == ["once"] * 3
    assert "counterweight: Ray could not start: The current node timed out during startup; " in done.stderr


WRONG = {
    "no repository": (["missing"], "export a recipe into it first"),
    "unknown model": (["--weights", "other:base=1"], "no model 'other'"),
    "unknown variant": (["--weights", "linear:base=1,ligt=1"], "did you mean 'light'"),
    "rejected variant": (["--weights", "linear:base=1,poor=1"], "was rejected: accuracy 0.50"),
    "no baseline": (["--weights", "linear:light=1"], "not name the baseline 'base'"),
    "no port": (["--port", "99999"], "port"),
    "nowhere": (["--placement", "linaer=together"], "did you mean 'linear'"),
    "no placement": (["--placement", "elsewhere"], "'apart' or 'together'"),
    "no setting": (["--set", "max_batch_row=1"], "did you mean 'max_batch_rows'"),
}
# Runs each command line in turn and prints its exit code, its output, and whether it imported Ray.
_DOOR = """
import contextlib, io, json, sys
from counterweight import main
told = {}
for name, arguments in json.loads(sys.argv[1]).items():
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(["serve", *arguments])
    told[name] = code, said.getvalue(), "ray" in sys.modules
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(module_repository: Path) -> dict[str, tuple[int, str, bool]]:
    """The results of all invalid command lines, from one process because its imports take a second."""
    ports = dict(zip(("--port", "--grpc-port"), map(str, free_ports(2)), strict=True))
    lines = {}
    for name, (options, _) in WRONG.items():
        where = [] if options == ["missing"] else [str(module_repository)]
        lines[name] = [*(word for pair in ports.items() for word in pair), *where, *options]
    done = subprocess.run(
        [sys.executable, "-c", _DOOR, json.dumps(lines)],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=120,
    )
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_command_line_ends_at_the_door(told: dict[str, tuple[int, str, bool]], name: str) -> None:
    """An invalid command line exits with 2 and a message before Ray is imported."""
    code, said, imported = told[name]
    assert code == 2
    assert WRONG[name][1] in said
    assert not imported


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
def test_a_taken_port_is_named(module_repository: Path, option: str) -> None:
    """The error for a port in use names the address and the option."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        process = serve(module_repository, option, str(port))
        _, shown = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use; give another {option}" in shown
