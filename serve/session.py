"""Session: one bundle loaded into ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from serve.bundle import MODEL, Bundle, read_bundle, read_file
from serve.errors import InvalidBundle, ModelFailed
from serve.tensor import Arrays


class Session:
    """One bundle, verified, loaded and warmed up. Runs arrays, one call at a time."""

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        """Load the bundle in `folder`. Raises InvalidBundle when it is not what its manifest says."""
        self.bundle: Bundle = read_bundle(folder)
        content = read_file(folder, self.bundle, MODEL)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle threads that spin would take the shared cores from the other variants.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            raise InvalidBundle(f"{folder / MODEL}: onnxruntime refuses it: {error}") from error
        self._outputs = list(self.bundle.signature.output_names)
        self._check_names(folder)
        self._warm_up()

    def run(self, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
        """The model's outputs by name. Raises ModelFailed when the graph itself fails."""
        try:
            results = self._session.run(self._outputs, dict(arrays))
        except Exception as error:
            name = f"{self.bundle.model}/{self.bundle.variant}"
            raise ModelFailed(f"{name} failed on a valid input: {error}") from error
        return dict(zip(self._outputs, results, strict=True))

    def _check_names(self, folder: Path) -> None:
        signature = self.bundle.signature
        graph = (
            {item.name for item in self._session.get_inputs()},
            {item.name for item in self._session.get_outputs()},
        )
        manifest = (set(signature.input_by_name), set(signature.output_names))
        if graph != manifest:
            raise InvalidBundle(
                f"{folder}: the graph has inputs and outputs {graph}, its manifest says {manifest}"
            )

    def _warm_up(self) -> None:
        # The first runs allocate; nobody's request should pay for that. Two sizes: one row, and a batch.
        for rows in (1, 8):
            self.run({spec.name: spec.example(rows) for spec in self.bundle.signature.inputs})
