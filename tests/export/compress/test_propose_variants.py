"""The proposal of variants depends on the operators, the weights and the processor."""

from collections.abc import Mapping
from typing import Any

import pytest

from export.compress.propose_variants import GraphProfile, Proposal, propose_variants
from export.step import Fuse, Quantize
from serve.bundles.bundle import Cpu

_VNNI = Cpu(model="x86 with VNNI", flags=("avx2", "avx512_vnni"))
_OLD = Cpu(model="x86 without VNNI", flags=("avx2",))


def _propose(
    multiply_adds: Mapping[str, int], *, cpu: Cpu = _VNNI, weights: int = 10_000, **settings: Any
) -> Proposal:
    fuses = settings.get("fuses", False)
    known = {"fuses": fuses, "normalizes": fuses, "trees": False, "rows": 64, "run_s": 1e-9, **settings}
    profile = GraphProfile(multiply_adds=multiply_adds, product_weights=weights, **known)
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


@pytest.mark.parametrize(("run_s", "variants"), [(2.5e-4, 1), (2.4e-5, 3)])
def test_a_model_that_is_too_small_gets_the_baseline_only(run_s: float, variants: int) -> None:
    """If the multiply-adds of 64 rows, 6 us at 1e10 a second, take less than a fourth of the run, none is
    offered, and the reason says so."""
    proposal = _propose({"MatMul": 1000}, run_s=run_s)
    assert len(proposal.variants) == variants
    assert ("too small" in proposal.reasons[0]) == (variants == 1)


@pytest.mark.parametrize("multiply_adds", [{}, {"MatMul": 100}])
def test_trees_cannot_be_compressed(multiply_adds: dict[str, int]) -> None:
    """An ensemble of trees gets the baseline only, and one sentence says what can be done."""
    proposal = _propose(multiply_adds, trees=True, run_s=1e-3)
    assert list(proposal.variants) == ["fp32"]
    assert "ensemble of trees" in proposal.reasons[0]
    assert "`distill`" in proposal.reasons[0]
