"""Checks of an array's values as a tensor."""

import numpy as np
import pytest
from numpy.typing import NDArray

from serve.base.tensor import TensorSpec


@pytest.mark.parametrize(
    ("datatype", "array", "finite"),
    [
        ("FP32", np.array([1, -3e38], np.float32), True),
        ("FP32", np.array([1, np.nan], np.float32), False),
        ("FP16", np.array([-np.inf], np.float16), False),
        # The largest number of BF16, infinity, and NaN, as bits.
        ("BF16", np.array([0x7F7F, 0xFF7F], np.uint16), True),
        ("BF16", np.array([0, 0xFF80], np.uint16), False),
        ("BF16", np.array([0x7FC0], np.uint16), False),
        ("UINT16", np.array([0x7F80], np.uint16), True),
        ("BYTES", np.array([b"nan"], object), True),
    ],
)
def test_numbers_are_told_from_what_is_none(datatype: str, array: NDArray[np.generic], finite: bool) -> None:
    """NaN and infinity are found in each floating-point datatype; other datatypes are always finite."""
    assert TensorSpec(name="y", datatype=datatype, shape=("batch",)).is_finite(array) == finite
