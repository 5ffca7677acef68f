import numpy as np
import pytest

from loadtests.sending.datatypes import DTYPES, from_bytes, to_bytes


@pytest.mark.parametrize("datatype", [name for name in DTYPES if name != "BYTES"])
def test_bytes_give_back_what_went_in(datatype: str) -> None:
    """Numbers of each datatype are the same after a round trip through bytes, whatever the memory layout."""
    array = np.array([[0, 1], [1, 0]]).astype(DTYPES[datatype]).T
    assert from_bytes(to_bytes(array, datatype), datatype).tolist() == array.ravel().tolist()


@pytest.mark.parametrize(
    ("given", "kept"),
    [(1.0, 1.0), (1 + 2**-8, 1.0), (1 + 3 * 2**-8, 1 + 2**-6), (1 + 2**-8 + 2**-12, 1 + 2**-7), (-0.0, -0.0)],
)
def test_bfloat16_is_rounded_to_the_nearest(given: float, kept: float) -> None:
    """A float is rounded to the nearest BF16, and a tie to the even one."""
    content = to_bytes(np.array([given], np.float32), "BF16")
    assert from_bytes(content, "BF16").tolist() == [kept]


def test_part_of_an_element_is_an_error() -> None:
    """Bytes that are no whole number of elements are refused."""
    with pytest.raises(ValueError, match="buffer size must be a multiple"):
        from_bytes(b"abc", "BF16")
