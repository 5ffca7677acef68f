"""Cost: whether the candidate's runs take less CPU time per row."""

import numpy as np

from serve.rollout.evidence import Cost
from serve.rollout.figure import Figure, tidy
from serve.rollout.sequential import log_mean

# A likely distance, in logs, between what is asked and what is: a fifth.
_SCALE = 0.2
_LEAST_BLOCKS = 30


def weigh_cost(baseline: Cost, candidate: Cost, cheaper_by: float) -> Figure:
    """Evidence for "a row costs the candidate less than 1 - `cheaper_by` of what it costs the baseline".

    Both must come from one stretch with a split that loads them alike: larger batches cost less per row."""
    if not (baseline.cpu_ms and candidate.cpu_ms and min(baseline.rows, candidate.rows)):
        return Figure(guard="cost", seen="only one of the two ran in this step", safe=0.0)
    costs = (candidate.cpu_ms / candidate.rows, baseline.cpu_ms / baseline.rows)
    ratio = costs[0] / costs[1]
    variance = _log_variance(candidate) + _log_variance(baseline)
    gain = max(np.log1p(-cheaper_by) - np.log(ratio), 0.0)
    enough = min(baseline.blocks, candidate.blocks) >= _LEAST_BLOCKS
    safe = min(float(log_mean(gain, variance, _SCALE)), 1e6) if enough else 0.0
    return Figure(
        guard="cost",
        seen=f"{costs[0]:.3g} ms of CPU a row against {costs[1]:.3g}, {ratio:.3g} times; "
        f"below {1 - cheaper_by:.3g} times asked",
        estimate=tidy(ratio),
        safe=tidy(safe),
    )


def _log_variance(cost: Cost) -> float:
    """The variance of the log of time per row, from the blocks' residuals (delta method for a ratio)."""
    per_row = cost.cpu_ms / cost.rows
    residuals = cost.cpu_ms_squares - 2 * per_row * cost.products + per_row**2 * cost.rows_squares
    return max(residuals, 0.0) / cost.cpu_ms**2
