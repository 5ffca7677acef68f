from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.base.errors import InvalidRequest, RequestTooLarge, UnsupportedEncoding
from serve.base.tensor import Signature, TensorSpec
from serve.oip import grpc_codec, http_codec
from serve.oip.compression import compress, decompress
from serve.oip.inference_pb2 import InferParameter, InferTensorContents, ModelInferRequest

Y = TensorSpec(name="y", datatype="FP32", shape=("batch", 2))
FORMS = (
    Signature(inputs=(TensorSpec(name="text", datatype="BYTES", shape=("batch",)),), outputs=(Y,)),
    Signature(
        inputs=(
            TensorSpec(name="x", datatype="FP32", shape=("batch", 2)),
            TensorSpec(name="n", datatype="INT8", shape=("batch", "length")),
        ),
        outputs=(Y,),
    ),
)
REFUSALS = (InvalidRequest, RequestTooLarge, UnsupportedEncoding)

_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
)
_JUNK = st.recursive(
    _SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6
)
_NUMBERS = st.integers(-1, 3) | st.floats(allow_nan=False)


def perhaps(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw mostly from `good`, and sometimes junk."""
    return st.one_of(good, good, good, _JUNK)


def objects(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Objects with some of the fields."""
    return perhaps(st.fixed_dictionaries({}, optional={key: perhaps(value) for key, value in fields.items()}))


_TENSORS = objects(
    {
        "name": st.sampled_from(["x", "n", "text", "y"]),
        "datatype": st.sampled_from(["FP32", "INT8", "BYTES", "FP16"]),
        "shape": st.lists(st.integers(0, 3), max_size=3),
        "parameters": objects({"binary_data_size": st.integers(-1, 30)}),
        "data": st.lists(_NUMBERS, max_size=6) | st.lists(st.lists(_NUMBERS, max_size=3), max_size=3),
    }
)
_OUTPUTS = objects(
    {
        "name": st.sampled_from(["y", "x"]),
        "parameters": objects({"binary_data": st.booleans(), "classification": st.integers(-1, 3)}),
    }
)
_PARAMETERS = objects({"timeout": st.integers(-1, 9), "priority": st.integers(-1, 9), "mine": _SCALARS})
_REQUESTS = objects(
    {
        "id": st.text(),
        "inputs": st.lists(_TENSORS, max_size=3),
        "outputs": st.lists(_OUTPUTS, max_size=2),
        "parameters": _PARAMETERS,
    }
)


@settings(max_examples=200, deadline=None)
@given(_REQUESTS, st.binary(max_size=30), st.none() | st.integers(-40, 10), st.booleans())
def test_no_body_is_more_than_an_invalid_request(
    request: Any, tail: bytes, shift: int | None, packed: bool
) -> None:
    """Any body is decoded or refused with a client error, even if its length header is wrong."""
    json = orjson.dumps(request)
    json_bytes = None if shift is None else max(0, len(json) + shift)
    body, coding = compress(json + tail, "gzip") if packed else (json + tail, None)
    try:
        if coding is not None:
            body = decompress(body[: len(body) + (shift or 0)], coding, 10_000)
        http_codec.decode_request(body, json_bytes, FORMS, 20)
    except REFUSALS:
        return


_PARAMETER = st.builds(InferParameter, int64_param=st.integers(-1, 3)) | st.builds(
    InferParameter, string_param=st.text()
)
_MAPS = st.dictionaries(st.sampled_from(["classification", "timeout", "priority"]), _PARAMETER, max_size=2)
_CONTENTS = st.builds(
    InferTensorContents,
    fp32_contents=st.lists(st.floats(width=32), max_size=4),
    int_contents=st.lists(st.integers(-200, 200), max_size=4),
    bytes_contents=st.lists(st.binary(), max_size=2),
)
_MESSAGES = st.builds(
    ModelInferRequest,
    id=st.text(),
    parameters=_MAPS,
    inputs=st.lists(
        st.builds(
            ModelInferRequest.InferInputTensor,
            name=st.sampled_from(["x", "n", "text", "y"]),
            datatype=st.sampled_from(["FP32", "INT8", "BYTES", ""]),
            shape=st.lists(st.integers(-1, 3) | st.just(2**62), max_size=3),
            parameters=_MAPS,
            contents=st.none() | _CONTENTS,
        ),
        max_size=3,
    ),
    outputs=st.lists(
        st.builds(
            ModelInferRequest.InferRequestedOutputTensor, name=st.sampled_from(["y", "x"]), parameters=_MAPS
        ),
        max_size=2,
    ),
    raw_input_contents=st.lists(st.binary(max_size=20), max_size=3),
)


@settings(max_examples=200, deadline=None)
@given(_MESSAGES)
def test_no_message_is_more_than_an_invalid_request(message: ModelInferRequest) -> None:
    """Any message is decoded or refused with a client error."""
    try:
        grpc_codec.decode_request(message, FORMS, 20)
    except REFUSALS:
        return
