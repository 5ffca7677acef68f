import numpy as np
import pytest

from serve.base.errors import InvalidRequest, RequestTooLarge
from serve.base.tensor import Signature, TensorSpec
from serve.engine.request import InferRequest
from serve.oip.http_codec import decode_request


def decode(body: bytes, *inputs: TensorSpec) -> InferRequest:
    output = TensorSpec(name="y", datatype="FP32", shape=("batch", 2))
    return decode_request(body, 0, (Signature(inputs=inputs, outputs=(output,)),), 10)


def fp32(*shape: int | str) -> TensorSpec:
    return TensorSpec(name="x", datatype="FP32", shape=shape)


def test_the_body_is_the_input_as_a_batch_of_one() -> None:
    """A raw body is a batch of one row, and the answer is binary."""
    values = np.arange(6, dtype=np.float32)
    asked = decode(values.tobytes(), fp32("batch", 2, 3))
    np.testing.assert_array_equal(asked.arrays["x"], values.reshape(1, 2, 3))
    assert [(wanted.name, wanted.binary) for wanted in asked.outputs] == [("y", True)]
    assert (asked.id, asked.timeout_s) == (None, None)


def test_one_dimension_besides_the_batch_is_told_from_the_size() -> None:
    """One free dimension is derived from the size of the body, two are refused."""
    assert decode(bytes(24), fp32("batch", "length", 2)).arrays["x"].shape == (1, 3, 2)
    with pytest.raises(InvalidRequest, match=r"from 24 bytes,.*2 of its dimensions vary"):
        decode(bytes(24), fp32("batch", "length", "width"))


def test_without_a_batch_the_first_dimension_may_be_the_one_that_varies() -> None:
    """Without a batch dimension, the size of the body gives the free first dimension."""
    assert decode(bytes(16), fp32("rows", 2)).arrays["x"].shape == (2, 2)


@pytest.mark.parametrize("size_bytes", [0, 4, 20])
def test_a_size_that_fits_no_shape_is_refused(size_bytes: int) -> None:
    """A body whose size fits no shape is refused with the multiple that would."""
    with pytest.raises(InvalidRequest, match=f"'x' has {size_bytes} bytes, expected a multiple of 8"):
        decode(bytes(size_bytes), fp32("batch", "length", 2))


def test_a_fixed_shape_has_one_size() -> None:
    """A body of the wrong size is refused, and the error has both sizes."""
    with pytest.raises(InvalidRequest, match="'x' has 5 bytes, expected 8"):
        decode(bytes(5), fp32("batch", 2))


def test_bytes_are_one_element_as_they_stand() -> None:
    """A raw body is one BYTES element without a length prefix; an input with two elements is refused."""
    text = TensorSpec(name="text", datatype="BYTES", shape=("batch",))
    assert decode(b"\xff text", text).arrays["text"].tolist() == [b"\xff text"]
    pair = TensorSpec(name="text", datatype="BYTES", shape=("batch", 2))
    with pytest.raises(InvalidRequest, match="is one element of BYTES"):
        decode(b"text", pair)


def test_a_model_of_two_inputs_takes_no_raw_body() -> None:
    """A raw body for two inputs is refused, and the error names them."""
    with pytest.raises(InvalidRequest, match="this model has x, z"):
        decode(bytes(8), fp32("batch", 2), TensorSpec(name="z", datatype="FP32", shape=("batch",)))


def test_the_limit_on_elements_holds() -> None:
    """A raw body has the same limit of elements as other requests."""
    with pytest.raises(RequestTooLarge, match=r"have 12 elements,.*at most 10"):
        decode(bytes(48), fp32("batch", "length"))
