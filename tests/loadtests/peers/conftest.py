"""A real model file for the peers, and a stand-in for wrk where it is not installed."""

import os
import shutil
import sys
from pathlib import Path

import onnx
import pytest

_STAND_IN = '''#!{python}
"""Takes wrk's arguments, posts the script's body over one connection, and prints what the script would."""
import http.client, json, re, statistics, sys, time
from urllib.parse import urlsplit

seconds = float(re.search(r"-d(\\d+)s", " ".join(sys.argv)).group(1))
script = open(next(word for word in sys.argv if word.endswith(".lua"))).read()
body = re.match(r"wrk.body = \\[(=*)\\[(.*?)\\]\\1\\]", script, re.S).group(2)
url = urlsplit(sys.argv[-1])
connection = http.client.HTTPConnection(url.hostname, url.port)
started, times, refused = time.monotonic(), [], 0
while time.monotonic() - started < seconds:
    before = time.monotonic()
    connection.request("POST", url.path, body, {{"Content-Type": "application/json"}})
    answer = connection.getresponse()
    answer.read()
    refused += answer.status >= 400
    times.append((time.monotonic() - before) * 1e6)
times.sort()
print("counterweight " + json.dumps({{
    "requests": len(times), "duration_us": int(seconds * 1e6), "p50_us": times[len(times) // 2],
    "p99_us": times[len(times) * 99 // 100], "refused": refused, "broken": 0, "late": 0}}))
'''


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


@pytest.fixture
def wrk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real wrk where it is installed (CI installs it), else a slow program that talks like it."""
    if shutil.which("wrk") is None:
        program = tmp_path / "bin" / "wrk"
        program.parent.mkdir()
        program.write_text(_STAND_IN.format(python=sys.executable))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
