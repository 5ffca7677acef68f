"""The proposal of variants depends on the operators, the weights and the processor."""

from collections.abc import Mapping

import pytest

from export.compress.propose_variants import GraphProfile, Proposal, propose_variants
from export.step import Fuse, Quantize
from serve.bundles.bundle import Cpu

_VNNI = Cpu(model="x86 with VNNI", flags=("avx2", "avx512_vnni"))
_OLD = Cpu(model="x86 without VNNI", flags=("avx2",))


def _propose(
    multiply_adds: Mapping[str, int], *, weights: int = 10_000, fuses: bool = False, cpu: Cpu = _VNNI
) -> Proposal:
    profile = GraphProfile(
        multiply_adds=multiply_adds, product_weights=weights, fuses=fuses, normalizes=fuses
    )
    return propose_variants(profile, cpu)


def test_convolutions_get_static_quantization_only() -> None:
    """Dynamic quantization has no convolution, so a convolutional network gets only a static variant."""
    assert list(_propose({"Conv": 900, "Gemm": 100}).variants) == ["fp32", "int8-static"]


def test_products_get_both_methods() -> None:
    """A network of matrix products gets a dynamic and a static variant."""
    assert list(_propose({"MatMul": 100}).variants) == ["fp32", "int8-dynamic", "int8-static"]


def test_an_lstm_gets_dynamic_quantization_only() -> None:
    """Static quantization has no LSTM."""
    assert list(_propose({"LSTM": 90, "Gemm": 10}).variants) == ["fp32", "int8-dynamic"]


@pytest.mark.parametrize("multiply_adds", [{}, {"GRU": 100}, {"Conv": 10, "GRU": 90}])
def test_a_graph_that_no_method_covers_gets_the_baseline_only(multiply_adds: dict[str, int]) -> None:
    """A graph whose multiply-adds lie in operators without an integer form gets only the baseline."""
    assert list(_propose(multiply_adds).variants) == ["fp32"]


def test_many_weights_in_products_get_4_bits() -> None:
    """With more weights than the processor's cache holds, a variant with 4-bit weights is proposed."""
    steps = _propose({"MatMul": 100}, weights=20_000_000).variants["int4-weights"]
    assert steps == (Quantize(step="quantize", method="weights", bits=4),)


def test_a_graph_that_can_be_fused_is_fused_before_it_is_quantized() -> None:
    """The fuse step comes first, and normalized activations get their ranges smoothed."""
    fuse, quantize = _propose({"MatMul": 100}, fuses=True).variants["int8-static"]
    assert isinstance(fuse, Fuse)
    assert isinstance(quantize, Quantize)
    assert (quantize.smooth, quantize.split_outliers) == (0.7, True)


@pytest.mark.parametrize(("cpu", "reduced"), [(_VNNI, False), (_OLD, True)])
def test_processors_without_vnni_get_7_bits(cpu: Cpu, reduced: bool) -> None:
    """Without VNNI, 8-bit products overflow, so weights use 7 bits."""
    [quantize] = _propose({"Conv": 100}, cpu=cpu).variants["int8-static"]
    assert isinstance(quantize, Quantize)
    assert quantize.reduce_range is reduced
