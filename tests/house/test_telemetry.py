import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "module", ["serve.engine.session", "export.pipeline", "loadtests.peers.fastapi_onnxruntime"]
)
def test_onnxruntime_reports_to_nobody(module: str, tmp_path: Path) -> None:
    """Importing onnxruntime through our modules leaves no telemetry file in the temporary folder."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "CI")
    }
    subprocess.run(
        [sys.executable, "-c", f"import {module}, onnxruntime; assert onnxruntime.__version__"],
        env=environment | {"TMPDIR": str(tmp_path)},
        check=True,
    )
    assert list(tmp_path.iterdir()) == []
