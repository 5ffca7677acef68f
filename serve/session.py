"""Session: one graph loaded into ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from serve.bundle import MODEL, read_bundle, read_file
from serve.errors import InvalidBundle, ModelFailed
from serve.tensor import Arrays, Signature


class Session:
    """One graph, loaded and warmed up. Runs arrays, one call at a time."""

    def __init__(self, graph: bytes, signature: Signature, name: str, *, threads: int = 1) -> None:
        """Load `graph`; messages call it `name`. Raises InvalidBundle when `signature` is not its own."""
        self.signature = signature
        self.name = name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle threads that spin would take the shared cores from the other variants.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            raise InvalidBundle(f"{name}: onnxruntime refuses the graph: {error}") from error
        self._outputs = list(signature.output_names)
        self._check_names()
        self._warm_up()

    def run(self, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
        """The model's outputs by name. Raises ModelFailed when the graph itself fails."""
        try:
            results = self._session.run(self._outputs, dict(arrays))
        except Exception as error:
            raise ModelFailed(f"{self.name} failed on a valid input: {error}") from error
        return dict(zip(self._outputs, results, strict=True))

    def _check_names(self) -> None:
        graph = (
            {item.name for item in self._session.get_inputs()},
            {item.name for item in self._session.get_outputs()},
        )
        manifest = (set(self.signature.input_by_name), set(self.signature.output_names))
        if graph != manifest:
            raise InvalidBundle(
                f"{self.name}: the graph has inputs and outputs {graph}, its signature says {manifest}"
            )

    def _warm_up(self) -> None:
        # The first runs allocate; nobody's request should pay for that. Two sizes: one row, and a batch.
        for rows in (1, 8):
            self.run({spec.name: spec.example(rows) for spec in self.signature.inputs})


def open_session(folder: Path, *, threads: int = 1) -> Session:
    """The bundle in `folder`, verified and loaded. Raises InvalidBundle when it is not what it says it is."""
    bundle = read_bundle(folder)
    graph = read_file(folder, bundle, MODEL)
    return Session(graph, bundle.signature, f"{bundle.model}/{bundle.variant}", threads=threads)
