"""The chain: train, export, serve, load and compare, each through the command a person would type."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from deployments.demo.summary import Summary, summarize
from deployments.ports import free_ports
from deployments.processes import stop, stop_if_asked
from serve.base.errors import ServerFailed
from serve.base.routing import Routes
from serve.base.whole_file import write_whole
from serve.bundles.repository import read_model

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
DIGITS = ROOT / "build" / "digits"
OUT = ROOT / "build" / "demo"
WEIGHTS = {"fp32": 90.0, "slim-int8": 10.0}
SPLIT = "digits:" + ",".join(f"{variant}={weight:g}" for variant, weight in WEIGHTS.items())

_RATE_PER_S = 100
_SPLIT_S = 20
_PINNED_S = 10
_START_TIMEOUT_S = 300
_STOP_TIMEOUT_S = 30

Say = Callable[[str], None]


def make_model(say: Say) -> None:
    """Train the digits model and export its variants to `models/digits`."""
    say("1/5  train a small convolutional network on handwritten digits")
    _run([sys.executable, "-m", "export.recipes.digits", "--out", str(DIGITS)])
    say("2/5  export fp32, int8, slim and slim-int8, each with its proof")
    recipe = ROOT / "export" / "recipes" / "digits.yaml"
    _run(_command("export", str(recipe), "--out", str(MODELS), "--json"))


@contextmanager
def served(port: int, say: Say, *, keep: bool) -> Iterator[int]:
    """The id of the server with all variants of `models/`, ready; stopped at the end unless it is kept."""
    say(f"3/5  start Ray Serve: 90 % fp32, 10 % slim-int8, on http://127.0.0.1:{port}")
    OUT.mkdir(parents=True, exist_ok=True)
    store = OUT.resolve() / "rollouts.db"
    store.unlink(missing_ok=True)
    with (OUT / "server.log").open("wb") as log:
        command = _command(
            "serve",
            str(MODELS),
            "--port",
            str(port),
            "--grpc-port",
            str(free_ports(1)[0]),
            "--weights",
            SPLIT,
            # Of its own: what was decided about models/ before is not the demo's to know, or to change.
            "--store",
            f"sqlite:///{store}",
        )
        server = _start(command, stdout=log, stderr=log)
    try:
        _wait_until_ready(server, port)
        yield server.pid
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            say("5/5  stop everything")
            _stop(server)


def measure(port: int, say: Say) -> Summary:
    """Load the endpoint, first as routed and then all variants in turn, and put everything side by side."""
    url = f"http://127.0.0.1:{port}"
    say(f"4/5  {_SPLIT_S} s of open-loop load as routed, then {_PINNED_S} s over all variants in turn")
    split = _load(url, "split", _SPLIT_S, "--records", str(OUT / "records.jsonl"))
    model = read_model(MODELS / "digits")
    pinned = _load(url, "pinned", _PINNED_S, "--pin", ",".join(model.servable))
    routes = Routes(model="digits", baseline=model.baseline, weights=WEIGHTS)
    return summarize(model, routes, split, pinned)


def write(path: Path, content: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def _load(url: str, name: str, duration_s: int, *more: str) -> dict[str, Any]:
    """The report of a load test, which stays in OUT under this name, too."""
    path = OUT / f"{name}.json"
    options = ["--model", "digits", "--rate", str(_RATE_PER_S), "--duration", str(duration_s)]
    inputs = ["--inputs", str(DIGITS / "inputs.npz"), "--json", str(path)]
    # Exit codes 1 and 3 are findings, and belong into the summary: some requests failed, or this machine was
    # too busy for figures that can be trusted.
    _run(_command("loadtest", "run", url, *options, *inputs, *more), {0, 1, 3})
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "counterweight", *words]


def _run(command: Sequence[str], accepted: set[int] | None = None) -> str:
    """What the command printed; its progress goes straight to the terminal. Raises ServerFailed."""
    child = _start(command, stdout=subprocess.PIPE)
    try:
        output, _ = child.communicate()
    finally:
        _stop(child)
    stop_if_asked()
    if child.returncode not in (accepted or {0}):
        raise ServerFailed(f"{' '.join(command[2:])} ended with exit code {child.returncode}; see above")
    return str(output.decode())


def _start(command: Sequence[str], **streams: Any) -> "subprocess.Popen[bytes]":
    # A session of its own: Ctrl-C reaches us alone, and we stop the children in order.
    environment: Mapping[str, str] = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **streams)


def _stop(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is not None:
        return
    tree = [psutil.Process(child.pid)]
    child.terminate()
    try:
        child.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        stop(tree, timeout_s=5)
        child.wait()


def _wait_until_ready(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    with tqdm(
        desc="waiting until it is ready", bar_format="{desc} {elapsed}", leave=False, disable=None
    ) as clock:
        while time.monotonic() < deadline and server.poll() is None:
            stop_if_asked()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5):
                    return
            except OSError:
                clock.refresh()
                time.sleep(0.25)
    last = (OUT / "server.log").read_text(errors="replace")[-2000:]
    raise ServerFailed(f"the server was not ready within {_START_TIMEOUT_S} s; its log ends with:\n{last}")
