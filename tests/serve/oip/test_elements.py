"""Integers in JSON, which are never converted to floats."""

import orjson
import pytest

from serve.base.errors import InvalidRequest
from serve.base.tensor import TensorSpec
from serve.oip.elements import read_elements, write_elements


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("INT64", 2**53 + 1),
        ("INT64", 2**63 - 1),
        ("INT64", -(2**63)),
        ("UINT64", 2**53 + 1),
        ("UINT64", 2**64 - 1),
    ],
)
def test_whole_numbers_are_read_and_written_exactly(datatype: str, value: int) -> None:
    """Integers are read and written exactly, even beyond the precision of a double."""
    spec = TensorSpec(name="x", datatype=datatype, shape=("batch",))
    array = read_elements(orjson.loads(f"[{value}]"), spec, (1,))
    assert array.tolist() == [value]
    written = orjson.dumps(write_elements(array, "y", "m/v"), option=orjson.OPT_SERIALIZE_NUMPY)
    assert written == f"[{value}]".encode()


@pytest.mark.parametrize(
    ("datatype", "value", "words"),
    [
        ("INT64", 2**63, r"elements from 9223372036854775808 to 9223372036854775808, which.*INT64"),
        ("UINT64", -1, r"elements from -1 to -1, which.*UINT64"),
        ("UINT64", 2**64, "expected UINT64 elements; 1.84467e"),
        ("INT64", -(2**63) - 1, "expected INT64 elements; -9.22337e"),
    ],
)
def test_a_whole_number_that_does_not_fit_is_named(datatype: str, value: int, words: str) -> None:
    """An integer that does not fit the datatype is refused."""
    spec = TensorSpec(name="x", datatype=datatype, shape=("batch",))
    with pytest.raises(InvalidRequest, match=words):
        read_elements(orjson.loads(f"[{value}]"), spec, (1,))
