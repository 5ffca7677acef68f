"""Records the outputs of a network's layers while it runs, and pairs layers of student and teacher."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from export.artifacts import Note
from export.errors import StepFailed
from export.pruning.stack import find_stack


@dataclass(frozen=True)
class LayerOutputs:
    """Outputs of the layers of a stack in one run, by layer number."""

    # [rows, ..., width]: channels are last.
    hidden: dict[int, torch.Tensor] = field(default_factory=dict)
    # [rows, heads, tokens, tokens].
    attention: dict[int, torch.Tensor] = field(default_factory=dict)


def layers_of(module: torch.nn.Module, surgery: Sequence[Note]) -> list[torch.nn.Module]:
    """Return the stack of equal layers of the module. Raises StepFailed if there is none."""
    if drops := _drops(surgery):
        # If only one layer is left, it no longer looks like a stack.
        return list(module.get_submodule(str(drops[-1]["stack"])).children())
    return list(find_stack(module, None)[1])


def pair_layers(layers: int, teacher_layers: int, surgery: Sequence[Note]) -> list[int]:
    """Return the teacher's layer for each layer. If layers were dropped, it is the last of those that the
    layer replaces, so that the next layer gets its usual input; otherwise layers are paired evenly. The last
    is paired with the last."""
    kept = list(range(teacher_layers))
    for entry in _drops(surgery):
        assert isinstance(entry["kept"], list), "drop_layers writes numbers"
        kept = [kept[int(str(number))] for number in entry["kept"]]
    if len(kept) == layers:
        return [*(number - 1 for number in kept[1:]), teacher_layers - 1]
    return [max(0, (number + 1) * teacher_layers // layers - 1) for number in range(layers)]


def _drops(surgery: Sequence[Note]) -> list[Note]:
    """Return the layers dropped from the stack that was shortened last."""
    drops = [entry for entry in surgery if entry["kind"] == "drop_layers"]
    return [entry for entry in drops if entry["stack"] == drops[-1]["stack"]]


@contextmanager
def watch(layers: Sequence[torch.nn.Module]) -> Iterator[LayerOutputs]:
    """Record the outputs of these layers while the context lasts."""
    seen = LayerOutputs()
    hooks = []
    try:
        for number, layer in enumerate(layers):
            hooks.append(layer.register_forward_hook(_keep_hidden(seen, number)))
            # The module that computes attention returns its map second, and its callers pass it on.
            for part in layer.modules():
                hooks.append(part.register_forward_hook(_keep_attention(seen, number)))
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def eager_attention(*modules: torch.nn.Module) -> Iterator[None]:
    """Make these transformers models compute explicit attention maps, which the faster implementations do
    not.

    Raises StepFailed for another kind of model."""
    models = [_find_transformers(module) for module in modules]
    before = [model.config._attn_implementation for model in models]
    try:
        for model in models:
            model.set_attn_implementation("eager")
        yield
    finally:
        for model, implementation in zip(models, before, strict=True):
            model.set_attn_implementation(implementation)


def _find_transformers(module: torch.nn.Module) -> Any:
    for part in module.modules():
        if hasattr(part, "set_attn_implementation"):
            return part
    raise StepFailed(
        f"`match: attention` needs attention maps, which only transformers models give; "
        f"{type(module).__name__} has none: match hidden instead"
    )


def _keep_hidden(seen: LayerOutputs, number: int) -> Any:
    def keep(_: torch.nn.Module, __: Any, output: Any) -> None:
        state = output if isinstance(output, torch.Tensor) else output[0]
        seen.hidden[number] = state.movedim(1, -1) if state.ndim == 4 else state

    return keep


def _keep_attention(seen: LayerOutputs, number: int) -> Any:
    def keep(_: torch.nn.Module, __: Any, output: Any) -> None:
        second = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if isinstance(second, torch.Tensor) and second.ndim == 4:
            seen.attention.setdefault(number, second)

    return keep
