"""Products with integers: their steps and the values to which they apply."""

import numpy as np
import pytest

from export.quantization.integer_products import choose_steps, quantize_weight
from export.step import Quantize

DYNAMIC = Quantize(step="quantize", method="dynamic")


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.5, 2.0), (-4.0, -1.0), (0.0, 0.0)])
@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_steps_hold_the_range_and_zero(low: float, high: float, kind: str) -> None:
    """The steps reach both ends of the range to one step, and 0 is exact."""
    scale, zero = choose_steps(low, high, kind)
    info = np.iinfo(zero.dtype)
    ends = (np.array([info.min, info.max]) - int(zero)) * float(scale)
    assert ends[0] <= min(low, 0) + float(scale)
    assert ends[1] >= max(high, 0) - float(scale)
    assert zero.dtype == kind


def test_unsigned_weights_are_the_signed_ones_around_128() -> None:
    """Unsigned weights are the signed integers, shifted by the zero point."""
    weight = np.random.default_rng(0).normal(0, 1, (8, 4)).astype(np.float32)
    signed, *_ = quantize_weight(weight, 0, DYNAMIC)
    unsigned, _, zero = quantize_weight(weight, 0, DYNAMIC.model_copy(update={"weights": "uint8"}))
    assert np.array_equal(unsigned.astype(int) - int(zero), signed)


def test_a_reduced_range_has_7_bits() -> None:
    """With `reduce_range` the integers have 7 bits, which avoids overflow without VNNI."""
    weight = np.random.default_rng(0).normal(0, 1, (8, 4)).astype(np.float32)
    integers, *_ = quantize_weight(weight, 0, DYNAMIC.model_copy(update={"reduce_range": True}))
    assert np.abs(integers.astype(int)).max() == 63
