import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import running_server

ROOT = Path(__file__).parents[2]


def test_a_host_with_only_the_serving_extra_serves(tmp_path: Path, module_repository: Path) -> None:
    """What the image `serve` copies and runs is enough, and brings neither torch nor locust."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    base, serve = re.split(r"^FROM .*$", dockerfile, flags=re.MULTILINE)[1:3]
    for line in re.findall(r"^COPY (.*) \S+$", base + serve, re.MULTILINE):
        for source in line.split():
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, tmp_path / source)
    [setup] = re.findall(r"^RUN (make .*)$", serve, re.MULTILINE)
    # Most of what comes is never imported here: what is, is compiled then.
    environment = os.environ | {"PIP_NO_COMPILE": "1"}
    subprocess.run([*setup.split(), f"PYTHON={sys.executable}"], cwd=tmp_path, env=environment, check=True)
    python = tmp_path / ".venv" / "bin" / "python"
    installed = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    names = {line.partition("==")[0] for line in installed.stdout.splitlines()}
    assert {"ray", "onnxruntime"} <= names
    assert not {"torch", "locust", "onnx"} & names
    with running_server(module_repository, python=str(python), folder=tmp_path) as server:
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
        answer = server.post("/v2/models/linear/infer", {"inputs": [tensor]})
        assert answer.json["outputs"][0]["data"] == [10.0, 10.0, 10.0]
