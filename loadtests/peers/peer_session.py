"""Opens an ONNX file in onnxruntime in the same way for every server, each in its own environment."""

import os
from pathlib import Path

# onnxruntime reports sessions to its vendor unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

# Which file a server serves, and how many rows it may batch.
MODEL_VARIABLE = "COUNTERWEIGHT_PEER_MODEL"
BATCH_VARIABLE = "COUNTERWEIGHT_PEER_BATCH_ROWS"
# How long the first row of a batch waits for others: less than half of a MiniLM run.
BATCH_WAIT_S = 0.005

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}


class PeerSession:
    """An ONNX file on one thread."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.raw = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        # Name of an input -> numpy's name of its type.
        self.inputs = {spec.name: _DTYPES[spec.type] for spec in self.raw.get_inputs()}
        self.outputs = [spec.name for spec in self.raw.get_outputs()]


def open_session() -> PeerSession:
    """Open the file in the environment variable."""
    return PeerSession(Path(os.environ[MODEL_VARIABLE]))


def batch_rows() -> int:
    """Return how many rows may run together; 1 means no batching."""
    return int(os.environ.get(BATCH_VARIABLE, "1"))
