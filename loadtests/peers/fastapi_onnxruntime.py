"""A FastAPI application around onnxruntime, with one process and one model, as people would write it
themselves.

export COUNTERWEIGHT_PEER_MODEL=models/digits/fp32/model.onnx
uvicorn --factory loadtests.peers.fastapi_onnxruntime:create

The folders that contain `model.onnx` give the names of the model and its variant."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from loadtests.peers.peer_session import MODEL_VARIABLE, PeerSession

# ONNX Runtime's type names -> the protocol's and numpy's.
_TYPES = {
    "tensor(float)": ("FP32", "float32"),
    "tensor(double)": ("FP64", "float64"),
    "tensor(int32)": ("INT32", "int32"),
    "tensor(int64)": ("INT64", "int64"),
}
_DTYPES = dict(_TYPES.values())


class Tensor(BaseModel):
    """One tensor of a request or an answer."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class InferBody(BaseModel):
    """The body of an infer request."""

    id: str | None = None
    inputs: list[Tensor]


class InferResponse(BaseModel):
    """The body of an answer."""

    model_name: str
    model_version: str
    id: str | None
    outputs: list[Tensor]


def create_app(model_path: Path) -> FastAPI:
    """The application that serves one ONNX file."""
    session = PeerSession(model_path).raw
    name, version = model_path.parent.parent.name, model_path.parent.name
    outputs = [_describe(output) for output in session.get_outputs()]
    app = FastAPI()

    @app.get("/v2/health/ready")
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    @app.get("/v2/models/{model}")
    async def metadata(model: str) -> dict[str, Any]:
        _require(model, name)
        inputs = [_describe(tensor) for tensor in session.get_inputs()]
        return {"name": name, "versions": [version], "inputs": inputs, "outputs": outputs}

    @app.post("/v2/models/{model}/infer")
    async def infer(model: str, request: InferBody) -> InferResponse:
        _require(model, name)
        feed = {
            tensor.name: np.array(tensor.data, _DTYPES[tensor.datatype]).reshape(tensor.shape)
            for tensor in request.inputs
        }
        tensors = [
            Tensor(**{**spec, "shape": list(array.shape)}, data=array.ravel().tolist())
            for spec, array in zip(outputs, session.run(None, feed), strict=True)
        ]
        return InferResponse(model_name=name, model_version=version, id=request.id, outputs=tensors)

    return app


def _describe(tensor: Any) -> dict[str, Any]:
    shape = [dim if isinstance(dim, int) else -1 for dim in tensor.shape]
    return {"name": tensor.name, "datatype": _TYPES[tensor.type][0], "shape": shape}


def _require(model: str, name: str) -> None:
    if model != name:
        raise HTTPException(404, f"no model {model!r}; known: {name}")


def create() -> FastAPI:
    """Create the application for the file in the environment variable, for `uvicorn --factory`."""
    return create_app(Path(os.environ[MODEL_VARIABLE]))
