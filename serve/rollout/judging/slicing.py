"""Slicing: whether the shadow has seen enough of each part of the inputs to judge it by itself. Pure.

No step compares slices: what the shadow has not seen of one, nobody will."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from serve.counting.comparison import Comparison
from serve.rollout.evidence.evalues import log_rate_below
from serve.rollout.judging.shadow_likeness import design_effect, pairs_of
from serve.rollout.judging.watched import about
from serve.rollout.state.policy import Policy

# More pairs than this are asked of no slice.
_MOST = 100_000
# Slices that are named in one sentence.
_NAMED = 3


class Short(NamedTuple):
    """A slice of which too few pairs were seen."""

    name: str
    pairs: int
    # So many would show that it agrees, if all of them did.
    needed: int


def missing_of(policy: Policy, slices: Mapping[str, Comparison], waited_s: float) -> list[str]:
    """What the shadow still waits for; nothing, once it has waited for as long as the policy says."""
    if policy.shadow.slices is None or waited_s >= policy.shadow.slices.maximum_s:
        return []
    most = f"; for slices it waits {policy.shadow.slices.maximum_s:,.0f} s at most"
    said = [
        f"{_said(short)}{about(waited_s * (short.needed / short.pairs - 1))}"
        for short in short_of(policy, slices)
    ]
    return [f"{_first(said)}{most}"] if said else []


def not_compared(policy: Policy, slices: Mapping[str, Comparison]) -> str:
    """Which slices go on without having been judged, as the end of a sentence; empty: none."""
    said = [_said(short) for short in short_of(policy, slices)]
    return f"; not compared: {_first(said)}" if said else ""


def short_of(policy: Policy, slices: Mapping[str, Comparison]) -> list[Short]:
    """The slices of which too few pairs were seen, the rarest first."""
    if policy.shadow.slices is None:
        return []
    least = least_pairs(policy.shadow.slices.agreement or policy.shadow.agreement, policy.proof)
    return sorted(_find(slices, least), key=lambda short: (short.pairs / short.needed, short.name))


@cache
def least_pairs(agreement: float, proof: float) -> int:
    """So many pairs, none of which differs, show that a slice agrees as much as it must."""
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


def _first(said: Sequence[str]) -> str:
    more = len(said) - _NAMED
    return "; ".join(said[:_NAMED]) + (f"; and {more} more slices" if more > 0 else "")
