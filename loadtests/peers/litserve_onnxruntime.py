"""A LitServe server with one LitAPI, written as in LitServe's README. Runs in LitServe's environment:

python -m loadtests.peers.litserve_onnxruntime PORT"""

import sys
from typing import Any

import litserve  # type: ignore[import-not-found]
import numpy as np
from numpy.typing import NDArray

from loadtests.peers.peer_session import BATCH_WAIT_S, batch_rows, open_session

Arrays = dict[str, NDArray[Any]]


class OnnxApi(litserve.LitAPI):  # type: ignore[misc]
    """Takes one row per request: {"image": [...]} -> {"logits": [...]}."""

    def setup(self, device: str) -> None:
        """Open the file in the environment variable, once in every worker."""
        self._session = open_session()

    def decode_request(self, request: dict[str, Any]) -> Arrays:
        """Decode arrays of shape [1, ...]."""
        return {name: np.array([request[name]], dtype) for name, dtype in self._session.inputs.items()}

    def batch(self, inputs: list[Arrays]) -> Arrays:
        """Concatenate rows; called only with batching."""
        return {name: np.concatenate([row[name] for row in inputs]) for name in self._session.inputs}

    def predict(self, x: Arrays) -> Arrays:
        """Run the model once."""
        return dict(zip(self._session.outputs, self._session.raw.run(None, x), strict=True))

    def unbatch(self, output: Arrays) -> list[Arrays]:
        """Split rows; called only with batching."""
        rows = len(output[self._session.outputs[0]])
        return [{name: array[row : row + 1] for name, array in output.items()} for row in range(rows)]

    def encode_response(self, output: Arrays) -> dict[str, Any]:
        """Encode nested lists."""
        return {name: array[0].tolist() for name, array in output.items()}


if __name__ == "__main__":
    rows = batch_rows()
    api = OnnxApi(max_batch_size=rows, batch_timeout=BATCH_WAIT_S if rows > 1 else 0.0)
    # LitServe recommends the fast queue for hundreds of requests per second.
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
