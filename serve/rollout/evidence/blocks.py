"""Blocks: how evenly events fell in time, at lengths of 1 to 64 seconds at once. Arrays, and pure."""

import numpy as np

from serve.rollout.evidence.evalues import Array

# Blocks of 1, 2, 4 ... 64 s.
SCALES = 7
# Blocks closed, blocks with an event of the candidate, the candidate's events, both's, and the candidate's
# squared, times both's, and both's squared.
COLUMNS = 7
# So many seconds with an event of the candidate weigh as much as the caution before there were any.
_FEW_SECONDS = 10
# The same for blocks of more than a second.
_FEW_BLOCKS = 10


def close(opened: Array) -> Array:
    """The columns of blocks [..., scale] with these events of the candidate and of both [..., scale, 2]."""
    candidate, both = opened[..., 0], opened[..., 1]
    ones = np.ones_like(candidate)
    columns = [ones, candidate > 0, candidate, both, candidate**2, candidate * both, both**2]
    return np.stack(columns, -1).astype(float)


def closing(seconds: Array) -> Array:
    """Which scales close a block with this second: [...] to [..., scale]."""
    return np.asarray(seconds[..., None] % 2.0 ** np.arange(SCALES) == 0)


def dispersion(blocks: Array) -> Array:
    """How many events come as one: 1 when labels are drawn one by one, m when m share a draw; of [..., scale,
    column].

    Pearson's statistic of the blocks' labels over the number of events (quasi-likelihood: Wedderburn,
    Biometrika 1974), at the length at which it is largest (batch means), so that what lasts for some seconds
    counts as often as it came. A few blocks know little: of those of a second, while few had an event of the
    candidate, a second's events are taken as one, drawn against equally frequent ones of the baseline (hence
    twice); of longer ones only what is beyond chance counts."""
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
