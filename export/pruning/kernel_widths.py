"""Chooses numbers of channels that the runtime's kernels like."""

from collections.abc import Mapping

import torch

from export.pruning.weakest import Removed, find_weakest

# The kernels work on blocks of 16 channels (8 without AVX-512). If the last block is incomplete, it costs as
# much as a whole one, or all channels take a slower path.
_WIDE, _NARROW = 16, 8
# A layer that had fewer channels is left alone: a block would be too large a part of what was asked for.
_LARGE = 64


def round_widths(
    importances: Mapping[str, torch.Tensor], removed: Removed, sizes: Mapping[str, int]
) -> Removed:
    """Return the removal with the number of channels that stay in each large layer rounded to the nearest
    multiple of 16, or of 8 if fewer than 64 stay; the removal itself if nothing would be left of it.

    Args:
        importances: the importance of each channel, by layer
        removed: the removal
        sizes: the number of channels that each layer had at first
    """
    rounded: Removed = {}
    for name, each in importances.items():
        left = len(each) - len(removed.get(name, ()))
        block = _WIDE if left >= _LARGE else _NARROW
        width = round(left / block) * block
        if sizes[name] < _LARGE or not 0 < width <= len(each):
            width = left
        rounded |= find_weakest({name: each}, len(each) - width)
    return rounded or removed
