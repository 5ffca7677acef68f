"""Check whether the shadow has compared enough pairs of each slice to judge it by itself. Pure.

Later steps do not compare slices, so this is the only chance."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from serve.counting.comparison import Comparison
from serve.rollout.evidence.evalues import log_rate_below
from serve.rollout.judging.guarded_metric import about
from serve.rollout.judging.shadow_likeness import design_effect, pairs_of
from serve.rollout.state.policy import Policy

# No slice needs more pairs than this.
_MOST = 100_000
# Slices that are named in one sentence.
_NAMED = 3


class Short(NamedTuple):
    """A slice with too few pairs."""

    name: str
    pairs: int
    # The number of pairs that would show agreement if none differed.
    needed: int


def missing_of(policy: Policy, slices: Mapping[str, Comparison], waited_s: float) -> list[str]:
    """The slices that the shadow still waits for; none after the policy's time limit."""
    if policy.shadow.slices is None or waited_s >= policy.shadow.slices.maximum_s:
        return []
    most = f"; waits for slices for at most {policy.shadow.slices.maximum_s:,.0f} s"
    sentences = [
        f"{_said(short)}{about(waited_s * (short.needed / short.pairs - 1))}"
        for short in short_of(policy, slices)
    ]
    return [f"{_first(sentences)}{most}"] if sentences else []


def not_compared(policy: Policy, slices: Mapping[str, Comparison]) -> str:
    """The slices that were not judged, as the end of a sentence; empty if all were."""
    sentences = [_said(short) for short in short_of(policy, slices)]
    return f"; not compared: {_first(sentences)}" if sentences else ""


def short_of(policy: Policy, slices: Mapping[str, Comparison]) -> list[Short]:
    """The slices with too few pairs, the rarest first."""
    if policy.shadow.slices is None:
        return []
    least = least_pairs(policy.shadow.slices.agreement or policy.shadow.agreement, policy.proof)
    return sorted(_find(slices, least), key=lambda short: (short.pairs / short.needed, short.name))


@cache
def least_pairs(agreement: float, proof: float) -> int:
    """The number of pairs without a difference that shows the required agreement."""
    pairs = np.unique(np.geomspace(1, _MOST, 5000).astype(int))
    shown = log_rate_below(np.zeros(len(pairs)), pairs.astype(float), 1 - agreement) >= -math.log(1 - proof)
    return int(pairs[shown.argmax()]) if shown.any() else _MOST


def _find(slices: Mapping[str, Comparison], least: int) -> Iterator[Short]:
    for name, seen in slices.items():
        needed = math.ceil(least * float(design_effect(pairs_of(seen))))
        if 0 < seen.pairs < needed:
            yield Short(name, seen.pairs, needed)


def _said(short: Short) -> str:
    return f"slice {short.name!r}: {short.pairs:,} of {short.needed:,} pairs"


def _first(sentences: Sequence[str]) -> str:
    more = len(sentences) - _NAMED
    return "; ".join(sentences[:_NAMED]) + (f"; and {more} more slices" if more > 0 else "")
