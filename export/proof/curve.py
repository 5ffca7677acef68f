"""Summarizes the samples at all batch sizes: how much faster a variant is, up to which size, and where it is
not."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np

from export.proof.bootstrap import CONFIDENCE, Floats
from serve.bundles.figures import Estimate, SpeedPoint

_DRAWS = 1000
# The knee is the smallest batch whose cost per row is within this factor of the lowest.
_NEAR_BEST = 1.1


def compare(baseline_s: Floats, variant_s: Floats, seed: int) -> Estimate:
    """Return the ratio of the medians of two variants' CPU times.

    Args:
        baseline_s: CPU time of the baseline, [rounds], in seconds
        variant_s: CPU time of the variant in the same rounds, [rounds], in seconds
        seed: seed of the bootstrap over rounds

    Returns:
        How many times faster the variant is, with the bootstrap interval.
    """
    random = np.random.default_rng(seed)
    rounds = random.integers(0, len(variant_s), (_DRAWS, len(variant_s)))
    ratios = np.median(baseline_s[rounds], axis=1) / np.median(variant_s[rounds], axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(end) for end in np.quantile(ratios, [tail, 1 - tail]))
    value = float(np.median(baseline_s) / np.median(variant_s))
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def find_knee(points: Sequence[SpeedPoint]) -> int:
    """Return the smallest batch whose cost per row is within a tenth of the lowest; the largest of such
    batches over all lengths."""
    knees = []
    for _, group in groupby(sorted(points, key=_place), key=lambda point: point.tokens):
        per_row = {point.rows: point.cpu_p50_ms / point.rows for point in group}
        best = min(per_row.values())
        knees.append(min(rows for rows, cost in per_row.items() if cost <= _NEAR_BEST * best))
    return max(knees)


def warn(points: Sequence[SpeedPoint], baseline: str) -> str | None:
    """Say in words where the variant is not faster than its baseline; None if it is faster everywhere."""
    faster = [point for point in points if point.speedup.low > 1]
    slower = [point for point in points if point.speedup.high < 1]
    undecided = [point for point in points if point not in faster and point not in slower]
    if not slower and not undecided:
        return None
    parts = []
    if not faster:
        best = max(points, key=lambda point: point.speedup.value)
        parts.append(f"nowhere faster than {baseline}: at best {_number(best)}")
    if slower:
        worst = min(slower, key=lambda point: point.speedup.value)
        parts.append(f"slower than {baseline} at {_places(slower)}, worst {_number(worst)}")
    if undecided and faster:
        parts.append(f"not proven faster than {baseline} at {_places(undecided)}")
    if faster:
        parts.append(f"faster at {_places(faster)}")
    return "; ".join(parts)


def _place(point: SpeedPoint) -> tuple[int, int]:
    return point.tokens or 0, point.rows


def _number(point: SpeedPoint) -> str:
    speedup = point.speedup
    return f"{speedup.value:.2f}x [{speedup.low:.2f}, {speedup.high:.2f}] at {_places([point])}"


def _places(points: Iterable[SpeedPoint]) -> str:
    """Describe places, such as "1, 2 and 4 rows" or "1 row of 16 tokens, 8 rows of 64 tokens"."""
    words = []
    for tokens, group in groupby(sorted(points, key=_place), key=lambda point: point.tokens):
        *most, last = [str(point.rows) for point in group]
        rows = f"{', '.join(most)} and {last} rows" if most else f"{last} row{'s' * (last != '1')}"
        words.append(f"{rows} of {tokens} tokens" if tokens else rows)
    return ", ".join(words)
