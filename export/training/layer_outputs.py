"""Layers: what passes between the layers of a network while it runs, and which layer resembles which."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from export.artifacts import Note
from export.errors import StepFailed
from export.pruning.stack import find_stack


@dataclass(frozen=True)
class Seen:
    """What the layers of a stack put out in one run, by their numbers."""

    # [rows, ..., width]: channels come last.
    hidden: dict[int, torch.Tensor] = field(default_factory=dict)
    # [rows, heads, tokens, tokens].
    attention: dict[int, torch.Tensor] = field(default_factory=dict)


def layers_of(module: torch.nn.Module, surgery: Sequence[Note]) -> list[torch.nn.Module]:
    """The equal layers that make the module deep. Raises StepFailed when there are none."""
    if drops := _drops(surgery):
        # One layer may be all that is left, which is no stack any more.
        return list(module.get_submodule(str(drops[-1]["stack"])).children())
    return list(find_stack(module, None)[1])


def pair_layers(layers: int, teacher_layers: int, surgery: Sequence[Note]) -> list[int]:
    """For each layer the teacher's that it is to resemble: where layers were dropped, the last of those that
    it now has to stand for (what the next one is used to); or else evenly. For the last always the last."""
    kept = list(range(teacher_layers))
    for entry in _drops(surgery):
        assert isinstance(entry["kept"], list), "drop_layers writes numbers"
        kept = [kept[int(str(number))] for number in entry["kept"]]
    if len(kept) == layers:
        return [*(number - 1 for number in kept[1:]), teacher_layers - 1]
    return [max(0, (number + 1) * teacher_layers // layers - 1) for number in range(layers)]


def _drops(surgery: Sequence[Note]) -> list[Note]:
    """What was dropped of the stack that was shortened last."""
    drops = [entry for entry in surgery if entry["kind"] == "drop_layers"]
    return [entry for entry in drops if entry["stack"] == drops[-1]["stack"]]


@contextmanager
def watch(layers: Sequence[torch.nn.Module]) -> Iterator[Seen]:
    """Inside, what these layers put out is seen."""
    seen = Seen()
    hooks = []
    try:
        for number, layer in enumerate(layers):
            hooks.append(layer.register_forward_hook(_keep_hidden(seen, number)))
            # Whatever module computes the attention: it gives its map second, and its callers pass it on.
            for part in layer.modules():
                hooks.append(part.register_forward_hook(_keep_attention(seen, number)))
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def eager_attention(*modules: torch.nn.Module) -> Iterator[None]:
    """Inside, these transformers models compute their attention maps one by one, which the faster ways never
    do. Raises StepFailed for another kind of model."""
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
        f"`match: attention` needs attention maps, which only models of transformers give; "
        f"{type(module).__name__} holds none: match hidden instead"
    )


def _keep_hidden(seen: Seen, number: int) -> Any:
    def keep(_: torch.nn.Module, __: Any, output: Any) -> None:
        state = output if isinstance(output, torch.Tensor) else output[0]
        seen.hidden[number] = state.movedim(1, -1) if state.ndim == 4 else state

    return keep


def _keep_attention(seen: Seen, number: int) -> Any:
    def keep(_: torch.nn.Module, __: Any, output: Any) -> None:
        second = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if isinstance(second, torch.Tensor) and second.ndim == 4:
            seen.attention.setdefault(number, second)

    return keep
