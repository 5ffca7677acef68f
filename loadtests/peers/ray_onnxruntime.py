"""A plain Ray Serve application, written as in Ray's guides to HTTP and request batching. Runs in its own
environment:

python -m loadtests.peers.ray_onnxruntime PORT FOLDER"""

import sys
import time
from typing import Any

import numpy as np
import ray
from ray import serve as ray_serve
from starlette.requests import Request

from loadtests.peers.peer_session import BATCH_WAIT_S, batch_rows, open_session


# Allow more requests at a time than the batch size, as the batching guide says; the default of 5 costs twice
# as much per request.
@ray_serve.deployment(max_ongoing_requests=100)
class RayOnnx:
    """Takes one row per request: {"image": [...]} -> {"logits": [...]}."""

    def __init__(self) -> None:
        self._session = open_session()

    @ray_serve.batch(max_batch_size=batch_rows(), batch_wait_timeout_s=BATCH_WAIT_S)
    async def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Run the model once."""
        feed = {
            name: np.array([row[name] for row in rows], dtype) for name, dtype in self._session.inputs.items()
        }
        outputs = dict(zip(self._session.outputs, self._session.raw.run(None, feed), strict=True))
        return [{name: array[row].tolist() for name, array in outputs.items()} for row in range(len(rows))]

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answer one request."""
        return await self.predict(await request.json())


if __name__ == "__main__":
    port, folder = sys.argv[1:]
    # Start a separate Ray, independent of others on this machine and small enough for it.
    ray.init(address="local", _temp_dir=folder, object_store_memory=80 * 2**20, log_to_driver=False)
    ray_serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
    ray_serve.run(
        RayOnnx.bind(),  # type: ignore[attr-defined]
        logging_config={"enable_access_log": False},
    )
    while True:
        time.sleep(3600)
