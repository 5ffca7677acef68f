import json
from pathlib import Path

import httpx2
import pytest

from loadtests.peers.fastapi_onnxruntime import create_app
from loadtests.sending.answer_check import check_answer
from loadtests.sending.model_metadata import ModelMetadata
from loadtests.sending.payloads import make_payloads


@pytest.mark.anyio
async def test_the_peer_speaks_the_protocol(onnx_file: Path) -> None:
    """The reference server has the protocol's metadata, and its answer passes the load test's check."""
    transport = httpx2.ASGITransport(create_app(onnx_file))
    async with httpx2.AsyncClient(transport=transport, base_url="http://peer") as client:
        metadata = ModelMetadata.model_validate((await client.get("/v2/models/digits")).json())
        encoded = make_payloads(metadata, seed=0).encode(0, binary=False)
        body = encoded.with_id("7")
        answer = await client.post("/v2/models/digits/infer", content=body, headers=dict(encoded.headers))
    variant = check_answer(
        answer.status_code,
        answer.content,
        json_bytes=None,
        request_id="7",
        pinned="fp32",
        metadata=metadata,
    )
    assert variant == "fp32"
    (sent,), (got,) = json.loads(body)["inputs"], answer.json()["outputs"]
    assert got["data"] == pytest.approx([2 * element for element in sent["data"]])


@pytest.mark.anyio
async def test_the_peer_knows_its_one_model(onnx_file: Path) -> None:
    """An unknown model gives 404."""
    transport = httpx2.ASGITransport(create_app(onnx_file))
    async with httpx2.AsyncClient(transport=transport, base_url="http://peer") as client:
        assert (await client.get("/v2/models/other")).status_code == 404
