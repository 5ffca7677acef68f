"""Simulates 8-bit weights and activations in a module during training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.nn.functional import linear

from export.data.datasets import Split
from export.errors import StepFailed
from export.training.answers import module_answers

_Layer = torch.nn.Linear | torch.nn.Conv1d | torch.nn.Conv2d
_TINY = torch.finfo(torch.float32).tiny


@contextmanager
def simulate_8bit(
    module: torch.nn.Module, calibration: Split, selected: bool = True
) -> Iterator[Callable[[], None]]:
    """Round weights and inputs of every Linear, Conv1d and Conv2d while the context lasts.

    Weights are rounded to int8, symmetric per output channel; inputs to uint8 over the range of the
    calibration rows, and gradients pass through unrounded (straight-through estimator). The yielded function
    observes these ranges again. Parameters and names do not change. Raises StepFailed if there is nothing to
    round; does nothing unless `selected`."""
    if not selected:
        yield lambda: None
        return
    layers = [layer for layer in module.modules() if isinstance(layer, _Layer)]
    if not layers:
        raise StepFailed(
            f"quantize_aware rounds Linear, Conv1d and Conv2d layers, and {type(module).__name__} has none; "
            "drop quantize_aware"
        )
    rounders = [_Rounder(layer) for layer in layers]

    def refresh() -> None:
        for rounder in rounders:
            rounder.forget()
        module_answers(module, calibration)
        for rounder in rounders:
            rounder.observing = False

    # In evaluation mode, torch's own transformer layers would bypass the rounding.
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for layer, rounder in zip(layers, rounders, strict=True):
            # Set on the instance, so that no parameter changes its name, as parametrizations would do.
            layer.forward = rounder.forward  # type: ignore[assignment, method-assign]
        refresh()
        yield refresh
    finally:
        for layer in layers:
            del layer.forward
        torch.backends.mha.set_fastpath_enabled(fast)


class _Rounder:
    """The 8-bit arithmetic of one layer, and the range of its inputs."""

    def __init__(self, layer: _Layer) -> None:
        self._layer = layer
        self.forget()

    def forget(self) -> None:
        """Observe the range anew from the next batch on; 0 is always in the range."""
        self.observing = True
        self._low = self._high = 0.0

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the layer's result with rounded input and weights."""
        # Training changes the ranges, too.
        if self.observing or self._layer.training:
            low, high = torch.aminmax(values.detach())
            self._low, self._high = min(self._low, float(low)), max(self._high, float(high))
        weight = _round_weight(self._layer.weight)
        if not self.observing:
            values = _round_input(values, self._low, self._high)
        if isinstance(self._layer, torch.nn.Linear):
            return linear(values, weight, self._layer.bias)
        convolved: torch.Tensor = self._layer._conv_forward(values, weight, self._layer.bias)
        return convolved


def _round_weight(weight: torch.Tensor) -> torch.Tensor:
    scale = (weight.detach().flatten(1).abs().amax(1) / 127).clamp(min=_TINY)
    zero = torch.zeros(len(scale), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)


def _round_input(values: torch.Tensor, low: float, high: float) -> torch.Tensor:
    scale = max((high - low) / 255, _TINY)
    return torch.fake_quantize_per_tensor_affine(values, scale, round(-low / scale), 0, 255)
