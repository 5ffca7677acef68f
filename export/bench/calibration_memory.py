"""Measures the peak memory of calibration for static quantization, with each method in its own process.

python -m export.bench.calibration_memory METHOD GRAPH.onnx INPUTS.npz prints {"before_bytes",
"peak_bytes"}."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from export.bench.report import Peak

METHODS = ("minmax", "percentile", "entropy")


def measure_calibration(graph: Path, inputs: Path) -> tuple[Peak, ...]:
    """Return the peak of each method on this float graph and the rows in the archive `inputs`."""
    with np.load(inputs) as arrays:
        rows = len(arrays[arrays.files[0]])
    peaks = []
    for method in METHODS:
        command = [sys.executable, "-m", "export.bench.calibration_memory", method, str(graph), str(inputs)]
        output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        peaks.append(Peak(calibrate=method, rows=rows, **json.loads(output)))
    return tuple(peaks)


def main(arguments: Sequence[str]) -> int:
    """Calibrate once in this process, and print the memory used."""
    from export.data.datasets import read_data
    from export.onnx.model_proto import load
    from export.quantization import static
    from export.quantization.calibration import calibrate
    from export.quantization.layers import find_layers
    from export.quantization.prepare import prepare
    from export.step import Quantize

    method, graph, inputs = arguments
    settings = Quantize.model_validate({"step": "quantize", "method": "static", "calibrate": method})
    with np.load(inputs) as arrays:
        rows: dict[str, Any] = dict(arrays)
    # Only the calibration rows are used, but the other splits must exist and have their own rows.
    cut = {name: ({key: value[at] for key, value in rows.items()}, None) for name, at in _SLICES.items()}
    data = read_data(cut, "INPUTS.npz")
    model = load(prepare(Path(graph).read_bytes()))
    layers = find_layers(model, ("Conv", "Gemm", "MatMul"))
    before = psutil.Process().memory_info().rss
    calibrate(model, static.activations(model, [layer.node for layer in layers]), data.calibration, settings)
    peak = _read_peak(Path("/proc/self/status").read_text())
    sys.stdout.write(json.dumps({"before_bytes": before, "peak_bytes": peak}))
    return 0


def _read_peak(status: str) -> int:
    """Return the peak of resident memory of this program; getrusage would include the parent's."""
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None, "Linux always says so"
    return int(match[1]) * 1024


_SLICES = {"search": slice(0, 2), "held_out": slice(2, 4), "calibration": slice(4, None)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
