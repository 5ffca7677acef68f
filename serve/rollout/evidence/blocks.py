"""How evenly events fell in time, measured in blocks of 1 to 64 seconds. Arrays; pure."""

import numpy as np

from serve.rollout.evidence.evalues import Array

# Blocks of 1, 2, 4 ... 64 s.
SCALES = 7
# Closed blocks, blocks with an event of the candidate, the candidate's events, both's, and the sums of
# candidate**2, candidate * both, and both**2.
COLUMNS = 7
# The weight of the initial caution, in seconds with an event of the candidate.
_FEW_SECONDS = 10
# The same for longer blocks.
_FEW_BLOCKS = 10


def close(opened: Array) -> Array:
    """The columns of closed blocks, [..., scale, column].

    Args:
        opened: the events of the candidate and of both in each block, [..., scale, 2].
    """
    candidate, both = opened[..., 0], opened[..., 1]
    ones = np.ones_like(candidate)
    columns = [ones, candidate > 0, candidate, both, candidate**2, candidate * both, both**2]
    return np.stack(columns, -1).astype(float)


def closing(seconds: Array) -> Array:
    """Which scales close a block with this second: [...] to [..., scale]."""
    return np.asarray(seconds[..., None] % 2.0 ** np.arange(SCALES) == 0)


def dispersion(blocks: Array) -> Array:
    """The number of events per independent draw: 1 if requests are assigned one by one, m if m share a draw.

    Pearson's statistic of the blocks' labels divided by the number of events (quasi-likelihood: Wedderburn,
    Biometrika 1974), at the block length with the largest value (batch means), so that events that last some
    seconds count together. A few blocks are unreliable. In blocks of one second, while few had an event of
    the candidate, the events of a second count as one draw, against equally frequent ones of the baseline
    (hence the factor 2). In longer blocks only the part beyond chance counts.

    Args:
        blocks: [..., scale, column], see `COLUMNS`.

    Returns:
        Numbers of at least 1, [...].
    """
    count, ticks, candidate, both, squares, products, both_squares = np.moveaxis(np.maximum(blocks, 0), -1, 0)
    label = candidate / np.maximum(both, 1)
    unit = label * (1 - label) * both
    misfit = squares - 2 * label * products + label**2 * both_squares
    pearson = np.divide(misfit, unit, out=np.ones_like(misfit), where=unit > 0)
    seconds = ticks[..., 0]
    measured = np.maximum(1.0, pearson[..., 0])
    assumed = np.maximum(measured, 2 * candidate[..., 0] / np.maximum(seconds, 1) - 1)
    together = (seconds * measured + _FEW_SECONDS * assumed) / (seconds + _FEW_SECONDS)
    beyond = np.maximum(0, pearson - 1 - np.sqrt(2 / np.maximum(count, 1))) * count / (count + _FEW_BLOCKS)
    return np.asarray(np.maximum(together, 1 + beyond[..., 1:].max(-1)))
