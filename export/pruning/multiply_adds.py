"""Counts the multiply-adds of a torch model for one row."""

from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from export.data.datasets import Split
from export.forward import forward, to_tensors


def count_multiply_adds(module: torch.nn.Module, rows: Split) -> int:
    """Count the multiply-adds of matrix products and convolutions for one row, the longest of `rows`."""
    row = 0 if rows.lengths is None else int(rows.lengths.argmax())
    inputs = to_tensors(rows.take(np.array([row], dtype=np.int64)))
    counter = FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.mkldnn_rnn_layer: _count_recurrent_layer}
    )
    # The counter does not support all fused kernels of torch. It supports plain attention, and with gradients
    # enabled torch does not fuse a whole encoder layer.
    with sdpa_kernel(SDPBackend.MATH), torch.enable_grad(), counter:
        forward(module, inputs)
    return int(counter.get_total_flops()) // 2


def _count_recurrent_layer(inputs: Any, input_weights: Any, hidden_weights: Any, *_: Any, **__: Any) -> int:
    """Count two operations for each weight in each step; `inputs` is a shape [steps, rows, width]."""
    steps, rows, _ = inputs
    return 2 * int(steps * rows * (np.prod(input_weights) + np.prod(hidden_weights)))
