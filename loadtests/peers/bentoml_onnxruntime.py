"""A BentoML service written as in BentoML's guides to services and adaptive batching. Runs in BentoML's
environment:

bentoml serve loadtests.peers.bentoml_onnxruntime:Onnx"""

from typing import Any

import bentoml  # type: ignore[import-not-found]
import numpy as np

from loadtests.peers.peer_session import batch_rows, open_session

_ROWS = batch_rows()
_BATCHING = {"batchable": True, "max_batch_size": _ROWS} if _ROWS > 1 else {}


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class BentoOnnx:
    """Takes rows and returns rows: {"rows": [{"image": [...]}]} -> [{"logits": [...]}]."""

    def __init__(self) -> None:
        self._session = open_session()

    @bentoml.api(**_BATCHING)  # type: ignore[untyped-decorator]
    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Run the model once; with batching, BentoML concatenates the lists of several requests."""
        feed = {
            name: np.array([row[name] for row in rows], dtype) for name, dtype in self._session.inputs.items()
        }
        outputs = dict(zip(self._session.outputs, self._session.raw.run(None, feed), strict=True))
        return [{name: array[row].tolist() for name, array in outputs.items()} for row in range(len(rows))]
