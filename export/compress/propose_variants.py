"""Propose the variants that can pay for a graph on a processor. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from export.step import Fuse, Quantize, Steps
from serve.bundles.bundle import Cpu

BASELINE = "fp32"
# Each method can only make these operators cheaper (see export/quantization/layers.py).
_STATIC = frozenset({"Conv", "Gemm", "MatMul"})
_DYNAMIC = frozenset({"Gemm", "MatMul", "Attention", "LSTM"})
_WEIGHTS = frozenset({"MatMul"})
# With a smaller share of the multiply-adds, even a method that made them free would save less than a fourth.
_LEAST_SHARE = 0.25
# Multiply-adds of one core in a second, which small products do not reach: what a run does beside them is at
# least the rest.
_MULTIPLY_ADDS_PER_S = 1e10
# Smaller weights stay in the processor's cache, so reading them as 4 bits saves no time.
_LEAST_WEIGHTS = 2_000_000
# Instructions that multiply and add 8-bit integers without an overflow at 16 bits, on x86 and ARM.
_EXACT_8_BITS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})

_TREES = (
    "no variants, because the model is an ensemble of trees, which no step makes smaller; a small network "
    "can learn its answers instead: write a variant with the step `distill` and a `student` "
    "(see export/BRING_YOUR_OWN_MODEL.md)"
)


@dataclass(frozen=True, kw_only=True)
class GraphProfile:
    """What decides which methods can pay."""

    # Operator -> its multiply-adds for one row.
    multiply_adds: Mapping[str, int]
    # Number of weights that matrix products hold.
    product_weights: int
    # Whether the fuse step finds something to fuse in it.
    fuses: bool
    # Whether it has layer normalizations, whose outputs have few channels with far larger values.
    normalizes: bool
    # Whether it has ensembles of trees.
    trees: bool
    # The CPU time of a run of `rows` rows.
    rows: int
    run_s: float


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """The variants to make, the baseline first, and a sentence for each method on why it is among them or
    not."""

    variants: dict[str, Steps]
    reasons: tuple[str, ...]


def propose_variants(profile: GraphProfile, cpu: Cpu) -> Proposal:
    """Return the variants that can be cheaper than the float graph.

    A graph without multiply-adds in operators that can be quantized, such as an ensemble of trees, gets only
    the baseline; so does one that is too small, where most of a run is spent on other things."""
    if profile.trees and _measure_share(profile) < _LEAST_SHARE:
        return Proposal(variants={BASELINE: ()}, reasons=(_TREES,))
    if profile.multiply_adds and _measure_share(profile) < _LEAST_SHARE:
        return Proposal(variants={BASELINE: ()}, reasons=(_explain_small(profile),))
    exact = bool(_EXACT_8_BITS.intersection(cpu.flags))
    narrow: dict[str, Any] = {} if exact else {"reduce_range": True}
    fused: Steps = (Fuse(step="fuse"),) if profile.fuses else ()
    covered = {
        "dynamic": _share(profile, _DYNAMIC),
        "static": _share(profile, _STATIC),
        "weights": _share(profile, _WEIGHTS),
    }
    variants: dict[str, Steps] = {BASELINE: ()}
    if covered["dynamic"] >= _LEAST_SHARE:
        variants["int8-dynamic"] = (*fused, Quantize(step="quantize", method="dynamic", **narrow))
    if covered["static"] >= _LEAST_SHARE:
        variants["int8-static"] = (
            *fused,
            Quantize(step="quantize", method="static", **_ranges(profile), **narrow),
        )
    large = profile.product_weights >= _LEAST_WEIGHTS
    if covered["weights"] >= _LEAST_SHARE and large:
        variants["int4-weights"] = (*fused, Quantize(step="quantize", method="weights", bits=4))
    reasons = [_explain(method, share) for method, share in covered.items()]
    if not large:
        reasons[-1] = (
            f"weights: no, because matrix products hold {profile.product_weights:,} weights, which stay in "
            f"the processor's cache; from {_LEAST_WEIGHTS:,} on, reading fewer bytes saves time"
        )
    if not exact:
        reasons.append("8-bit weights use 7 bits, because this processor has no VNNI and would overflow")
    return Proposal(variants=variants, reasons=tuple(reasons))


def _measure_share(profile: GraphProfile) -> float:
    """Return the largest possible share of the multiply-adds in the time of a run."""
    products_s = sum(profile.multiply_adds.values()) * profile.rows / _MULTIPLY_ADDS_PER_S
    return products_s / profile.run_s if profile.run_s > 0 else 1.0


def _explain_small(profile: GraphProfile) -> str:
    return (
        f"no variants, because the model is too small: its multiply-adds take at most "
        f"{_measure_share(profile):.1%} of a run of {profile.rows} rows ({profile.run_s * 1e3:.3g} ms), so "
        "no method that makes them cheaper saves a time that could be measured"
    )


def _ranges(profile: GraphProfile) -> dict[str, Any]:
    """Return the settings for the wide ranges of a transformer's activations; convolutions need none."""
    return {"smooth": 0.7, "split_outliers": True} if profile.normalizes else {}


def _share(profile: GraphProfile, operators: Collection[str]) -> float:
    """Return the share of all multiply-adds that these operators have; 0 if there are none."""
    total = sum(profile.multiply_adds.values())
    part = sum(count for name, count in profile.multiply_adds.items() if name in operators)
    return part / total if total else 0.0


def _explain(method: str, share: float) -> str:
    verdict = "yes" if share >= _LEAST_SHARE else "no"
    return f"{method}: {verdict}, because it covers {share:.0%} of the multiply-adds"
