import re
import shutil
import subprocess
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import MakeBundle
from tests.e2e.linked_environment import link_environment
from tests.e2e.server import running_server

ROOT = Path(__file__).parents[2]


def test_a_host_with_only_the_serving_extra_serves(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """The image `serve` can serve with the files that it copies and the packages that it installs, without
    torch and locust. The packages are those that make would install, linked from this environment."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    base, serve = re.split(r"^FROM .*$", dockerfile, flags=re.MULTILINE)[1:3]
    for line in re.findall(r"^COPY (.*) \S+$", base + serve, re.MULTILINE):
        for source in line.split():
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, tmp_path / source)
    [setup] = re.findall(r"^RUN (make setup \S+)", serve, re.MULTILINE)
    said = subprocess.run(
        [*setup.split(), "--dry-run"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    [extras] = re.findall(
        r"pip install --quiet --constraint constraints.txt --editable '\.\[(.*)\]'$", said, re.M
    )
    versions = link_environment(tmp_path, extras.split(","))
    assert {"ray", "onnxruntime"} <= set(versions)
    assert not {"torch", "locust", "onnx"} & set(versions)
    pins = map(Requirement, (tmp_path / "constraints.txt").read_text().splitlines())
    pinned = {canonicalize_name(pin.name): str(pin.specifier) for pin in pins}
    assert {name: f"=={version}" for name, version in versions.items()}.items() <= pinned.items()
    python = str(tmp_path / ".venv" / "bin" / "python")
    make_bundle(tmp_path / "models", "base")
    with running_server(tmp_path / "models", python=python, folder=tmp_path) as server:
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
        answer = server.post("/v2/models/linear/infer", {"inputs": [tensor]})
        assert answer.json["outputs"][0]["data"] == [10.0, 10.0, 10.0]
