"""Removes whole attention heads: their queries, keys and values, and the inputs of the layers that read
them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from export.errors import StepFailed
from export.onnx.patterns import match
from export.pruning.importance import Worth
from export.step import Prune

_PROJECTIONS = ("self.query", "self.key", "self.value")
_OUTPUT = "output.dense"


@dataclass(frozen=True, kw_only=True)
class Heads:
    """The attention of one layer, in the form of BERT and related models."""

    # The name of the module that contains `self` (query, key, value) and `output`.
    name: str
    count: int
    # Channels of one head.
    width: int


def find_heads(module: torch.nn.Module, settings: Prune) -> tuple[tuple[Heads, ...], dict[str, str]]:
    """Return the attention modules that may lose heads, and why the others selected by the settings cannot.

    Raises StepFailed if the module has no such attention, or a pattern matches nothing."""
    known = {
        name: Heads(name=name, count=inner.num_attention_heads, width=inner.attention_head_size)
        for name, part in module.named_modules()
        if _is_attention(part) and (inner := part.get_submodule("self"))
    }
    if not known:
        raise StepFailed(_explain_none(module))
    kept = set(match(settings.keep, known, "attention modules"))
    chosen = [name for name in match(settings.layers, known, "attention modules") if name not in kept]
    if not chosen:
        raise StepFailed(f"`keep` {list(settings.keep)} leaves no attention to prune; keep less")
    able = [name for name in chosen if _is_separable(module.get_submodule(name), known[name])]
    return tuple(known[name] for name in able), {
        name: "its queries, keys and values do not have the same heads" for name in chosen if name not in able
    }


def rank_heads(heads: Heads, worth: Worth) -> torch.Tensor:
    """Return the importance of each head: the total importance of its weights, relative to the mean over all
    heads."""
    prefix = f"{heads.name}." if heads.name else ""
    weights = [worth[f"{prefix}{name}.weight"] for name in _PROJECTIONS]
    weights.append(worth[f"{prefix}{_OUTPUT}.weight"].T)
    total = torch.stack([weight.reshape(heads.count, -1).sum(1) for weight in weights]).sum(0)
    return total / total.mean().clamp(min=torch.finfo(torch.float32).tiny)


def find_values(heads: Sequence[Heads], removed: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """Return the value channels of these heads, by the layer that computes them."""
    widths = {item.name: item.width for item in heads}
    return {
        f"{name}.self.value".lstrip("."): [
            head * widths[name] + channel for head in indices for channel in range(widths[name])
        ]
        for name, indices in removed.items()
    }


def remove_heads(module: torch.nn.Module, removed: Mapping[str, list[int]]) -> None:
    """Remove these heads of these attention modules in place."""
    for name, indices in removed.items():
        attention = module.get_submodule(name)
        inner: Any = attention.get_submodule("self")
        kept = [head for head in range(inner.num_attention_heads) if head not in indices]
        width = inner.attention_head_size
        channels = torch.tensor([head * width + channel for head in kept for channel in range(width)])
        for projection in _PROJECTIONS:
            _keep(attention.get_submodule(projection), channels, 0)
        _keep(attention.get_submodule(_OUTPUT), channels, 1)
        inner.num_attention_heads = len(kept)
        inner.all_head_size = len(kept) * width


def _keep(linear: torch.nn.Module, channels: torch.Tensor, dim: int) -> None:
    """Keep only these outputs (dim 0) or inputs (dim 1)."""
    assert isinstance(linear, torch.nn.Linear), "find_heads looked"
    linear.weight = torch.nn.Parameter(linear.weight.detach().index_select(dim, channels))
    if dim == 1:
        linear.in_features = len(channels)
        return
    linear.out_features = len(channels)
    if linear.bias is not None:
        linear.bias = torch.nn.Parameter(linear.bias.detach().index_select(0, channels))


def _is_attention(part: torch.nn.Module) -> bool:
    layers = dict(part.named_modules())
    inner = layers.get("self")
    return all(isinstance(layers.get(name), torch.nn.Linear) for name in (*_PROJECTIONS, _OUTPUT)) and all(
        isinstance(getattr(inner, name, None), int)
        for name in ("num_attention_heads", "attention_head_size", "all_head_size")
    )


def _is_separable(attention: torch.nn.Module, heads: Heads) -> bool:
    """Whether every head has its own channels in each projection."""
    rows = [attention.get_submodule(name).out_features for name in _PROJECTIONS]
    return {*rows, attention.get_submodule(_OUTPUT).in_features} == {heads.count * heads.width}


def _explain_none(module: torch.nn.Module) -> str:
    fixed = [name for name, part in module.named_modules() if isinstance(part, torch.nn.MultiheadAttention)]
    if fixed:
        return (
            f"torch.nn.MultiheadAttention ({', '.join(fixed[:3])}) ties the width of its heads to that of "
            "its output, so none of its heads can leave the graph; remove `channels` of the feed-forward "
            "layers, or add a drop_layers step"
        )
    return (
        f"{type(module).__name__} has no attention of BERT's form (self.query, self.key, self.value, "
        "output.dense); remove `channels` instead, or remove the step"
    )
