"""Session: one ONNX file in onnxruntime, opened alike by every peer, each in its own environment."""

import os
from pathlib import Path

# onnxruntime reports sessions to its vendor unless this stands before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

# Which file a peer serves, and how many rows it may run together where it can batch.
MODEL_VARIABLE = "COUNTERWEIGHT_PEER_MODEL"
BATCH_VARIABLE = "COUNTERWEIGHT_PEER_BATCH_ROWS"
# How long the first row of a batch waits for others: less than half of what one of MiniLM's takes.
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
    """The file that the environment names."""
    return PeerSession(Path(os.environ[MODEL_VARIABLE]))


def batch_rows() -> int:
    """How many rows may run together; 1 is no batching."""
    return int(os.environ.get(BATCH_VARIABLE, "1"))
