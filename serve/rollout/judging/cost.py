"""Test whether the candidate's runs take less CPU time than the baseline's runs of the same size."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from serve.counting.key_counts import KeyCounts
from serve.counting.run_costs import NOTHING, coarsen
from serve.rollout.evidence.evalues import Array, Number, log_mean
from serve.rollout.evidence.evidence import Cost, Segment
from serve.rollout.judging.guard_figure import Figure, tidy

# A likely difference, in logs, between the limit and the ratio: a fifth.
_SCALE = 0.2
# The minimum number of blocks in which both ran, as an effective number of equal blocks.
_LEAST_BLOCKS = 8.0
# Until it can be measured, the two are assumed to differ by this much by chance, in logs, for this long: a
# neighbour or the clock of a core moves the cost of either by about 10 %.
_DRIFT = 0.14
_DRIFT_S = 40.0


# The margin for sticky keys, in standard deviations: chance exceeds it once in twenty times.
_SURE = 1.645


class Contrast(NamedTuple):
    """Candidate and baseline at equal sizes of run, by block; the last axis is the block."""

    # The common support: rows of both, as the harmonic mean for each size.
    weights: Array
    # Weighted mean of the candidate's log time per run minus the baseline's, times the weights.
    logs: Array
    # The time per run of the candidate and of the baseline in ms, times the weights.
    candidate_ms: Array
    baseline_ms: Array


def contrast(runs: Array, logs: Array, ms: Array, rows: Array) -> Contrast:
    """Compare both variants within each block and size.

    The weights are Mantel and Haenszel's (J. Natl. Cancer Inst. 1959): sizes that only one variant ran in a
    block have weight 0, so neither the mix of sizes nor the time of day affects the result.

    Args:
        runs: numbers of runs, [..., variant, block, size].
        logs: sums of the logs of their CPU ms, the same shape.
        ms: sums of their CPU ms, the same shape.
        rows: rows of a run, [size].
    """
    base, mine = runs[..., 0, :, :], runs[..., 1, :, :]
    weights = rows * base * mine / np.maximum(base + mine, 1)
    counts = np.maximum(runs, 1)
    means, mean_ms = logs / counts, ms / counts
    return Contrast(
        weights=weights.sum(-1),
        logs=(weights * (means[..., 1, :, :] - means[..., 0, :, :])).sum(-1),
        candidate_ms=(weights * mean_ms[..., 1, :, :]).sum(-1),
        baseline_ms=(weights * mean_ms[..., 0, :, :]).sum(-1),
    )


def log_cheaper(
    comparison: Contrast, block_s: Number, cheaper_by: float, allowance: Number = 0.0
) -> tuple[Array, Array]:
    """Compare the ratio of the times per run with 1 - `cheaper_by`.

    The variance comes from the blocks (batch means: Conway, Management Science 1963) plus an assumed drift.
    There is no evidence while the arithmetic means contradict the geometric means.

    Args:
        comparison: the contrast, [..., block].
        block_s: the length of a block in s.
        cheaper_by: the required saving, as a share.
        allowance: a margin in logs, for differences between users.

    Returns:
        The log of the ratio, and the log evidence that it is below the limit even with the margin, both
        [...].
    """
    total = np.maximum(comparison.weights.sum(-1), 1e-9)
    ratio = comparison.logs.sum(-1) / total
    blocks = total**2 / np.maximum((comparison.weights**2).sum(-1), 1e-9)
    residuals = comparison.logs - ratio[..., None] * comparison.weights
    measured = (residuals**2).sum(-1) / total**2
    # As in Student's distribution: with few blocks, the variance is uncertain.
    measured = measured * (blocks + 3) / np.maximum(blocks - 1, 0.1)
    drift = _DRIFT**2 * _DRIFT_S / (_DRIFT_S + blocks * block_s)
    limit = np.log1p(-cheaper_by)
    evidence = log_mean(np.maximum(limit - allowance - ratio, 0.0), measured + drift, _SCALE)
    mean_ms, baseline_ms = comparison.candidate_ms.sum(-1), comparison.baseline_ms.sum(-1)
    shown = (blocks >= _LEAST_BLOCKS) & (mean_ms <= (1 - cheaper_by) * baseline_ms)
    return ratio, np.where(shown, evidence, 0.0)


def concentration(segments: Sequence[Segment]) -> float:
    """The probability that two requests of one variant have the same sticky key, summed over both variants; 0
    if there are no keys."""
    total = 0.0
    for name in ("baseline", "candidate"):
        requests = sum(getattr(segment.requests, name) for segment in segments)
        sticky = [segment for segment in segments if segment.sticky]
        keyed = sum(getattr(segment.requests, name) for segment in sticky)
        keys = sum((getattr(segment, f"{name}_keys") for segment in sticky), KeyCounts())
        total += keys.concentration * (keyed / requests) ** 2 if keyed else 0.0
    return total


def weigh_cost(
    baseline: Cost, candidate: Cost, cheaper_by: float | None, concentration: float = 0.0
) -> Figure:
    """Evidence that at equal sizes a run of the candidate costs less than 1 - `cheaper_by` of the baseline's;
    the estimate alone if `cheaper_by` is None.

    Both costs must come from the same period with one split. With sticky keys, each variant keeps its users
    for the whole step, and this difference cannot be measured. Therefore the whole variance between runs of
    one size is attributed to users, with `concentration` from the function above."""
    open_proof = None if cheaper_by is None else 0.0
    if not (baseline.cpu_ms and candidate.cpu_ms and min(baseline.rows, candidate.rows)):
        return Figure(guard="cost", seen="only one variant ran in this step", safe=open_proof)
    costs = (candidate.cpu_ms / candidate.rows, baseline.cpu_ms / baseline.rows)
    seen = f"{costs[0]:.3g} ms of CPU a row against {costs[1]:.3g}"
    block_s = max(baseline.block_s, candidate.block_s)
    comparison = _compare(baseline, candidate, block_s)
    if not comparison.weights.any():
        return Figure(guard="cost", seen=f"{seen}, but no runs of equal size to compare", safe=open_proof)
    allowance = _SURE * math.sqrt(_scatter(baseline, candidate) * concentration)
    log_ratio, evidence = log_cheaper(comparison, block_s, cheaper_by or 0.0, allowance)
    ratio = float(np.exp(log_ratio))
    mean = comparison.candidate_ms.sum() / max(comparison.baseline_ms.sum(), 1e-9)
    seen += f", {ratio:.3g} times at equal sizes of run"
    if cheaper_by is None:
        return Figure(guard="cost", seen=seen, estimate=tidy(ratio))
    if ratio < 1 - cheaper_by < mean:
        seen += f", but {mean:.3g} times by the arithmetic mean, because a few runs take very long"
    if allowance:
        seen += f", of which differences between users may explain {math.exp(allowance):.3g} times"
    return Figure(
        guard="cost",
        seen=f"{seen}; required below {1 - cheaper_by:.3g} times",
        estimate=tidy(ratio),
        safe=tidy(min(float(evidence), 1e6)),
    )


def _compare(baseline: Cost, candidate: Cost, block_s: int) -> Contrast:
    variants = [coarsen(cost, block_s) for cost in (baseline, candidate)]
    blocks = sorted(set(variants[0]) & set(variants[1]))
    sizes = sorted({size for cells in variants for block in blocks for size in cells[block]})
    cells = np.array(
        [[[cells[block].get(size, NOTHING) for size in sizes] for block in blocks] for cells in variants],
        float,
    ).reshape(2, len(blocks), len(sizes), 4)
    return contrast(cells[..., 0], cells[..., 2] / 1e6, cells[..., 1] / 1e3, np.array(sizes, float))


def _scatter(baseline: Cost, candidate: Cost) -> float:
    """The variance of the logs between runs of one size in one block, scaled to runs of one row: an upper
    bound of how much users differ, because a run with many users varies like their mean."""
    squares, freedom = 0.0, 0
    for cost in (baseline, candidate):
        for block in cost.cells.values():
            for size, (runs, _, logs, log_squares) in block.items():
                squares += size * max(log_squares / 1e6 - (logs / 1e6) ** 2 / runs, 0.0)
                freedom += runs - 1
    return squares / freedom if freedom else 1.0
