"""Attempts: every step on a random network, and whether what came is what its note says.

A step on torch modules gets its line in ATTEMPTS. Steps on graphs have random graphs of their own
(graph_attempts.py), which take milliseconds where an export takes seconds."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.artifacts import Context, Made, Trained
from export.errors import StepFailed
from export.pruning.surgery import replay
from export.step import DropLayers, Prune
from export.steps.drop_layers import drop_layers
from export.steps.prune import prune
from tests.export.property.random_network import Grown, make_rows

# The allowed difference as a share of the largest answer, in double precision.
_NOISE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of an attempt."""

    # Whether the step made something.
    made: bool
    # The fault of the result, if there is one.
    fault: str | None = None


def attempt(name: str, seed: int, folder: Path) -> Outcome:
    """Run the step of this name on the network of this seed; `folder` is for the steps' files."""

    def build() -> nn.Module:
        return Grown(seed)

    context = Context(
        trained=Trained(name="grown", sha256="0" * 64, build=build, assets={}),
        task="classification",
        data=make_rows(Grown(seed).shape),
        seed=0,
        scratch=folder,
        logs=folder,
    )
    return ATTEMPTS[name](context, random.Random(seed))


def _remove_channels(context: Context, dice: random.Random, **settings: Any) -> Outcome:
    asked = Prune(
        step="prune",
        remove="channels",
        importance=dice.choice(("l1", "l2")),
        rounds=dice.choice((1, 1, 2)),
        **settings,
    )
    try:
        made = prune(_start(context), asked, context)
    except StepFailed as error:
        known = asked.multiply_adds is not None and "of the multiply-adds stay" in str(error)
        return Outcome(made=False, fault=None if known else str(error))
    if made.module.get_submodule("free").out_features == 16 and asked.ratio is not None:
        return Outcome(made=True, fault="`free` lost nothing")
    return Outcome(made=True, fault=_find_fault(context, made, _zero(context, made)))


def _remove_weights(context: Context, dice: random.Random, **settings: Any) -> Outcome:
    try:
        made = prune(_start(context), Prune(step="prune", **settings), context)
    except StepFailed as error:
        known = "2:4 needs layers whose inputs" in str(error)
        return Outcome(made=False, fault=None if known else str(error))
    return Outcome(made=True, fault=_find_fault(context, made, _zero(context, made)))


def _drop_layers(context: Context, dice: random.Random) -> Outcome:
    started = _start(context)
    stack = next(
        (name for name, part in started.module.named_modules() if isinstance(part, nn.Sequential)), None
    )
    if stack is None:
        return Outcome(made=False)
    made = drop_layers(started, DropLayers(step="drop_layers", keep=2, stack=stack), context)
    whole = _start(context).module
    layers: Any = whole.get_submodule(stack)
    for index in {*range(len(layers))} - {*made.surgery[0]["kept"]}:  # type: ignore[misc]
        layers[index] = nn.Identity()
    return Outcome(made=True, fault=_find_fault(context, made, whole))


def _start(context: Context) -> Made:
    assert context.trained.build is not None, "attempts start from a network"
    return Made(module=context.trained.build())


def _zero(context: Context, made: Made) -> nn.Module:
    """The whole network with every number at 0 that is at 0 in the parameter of that name, or no longer in
    it."""
    whole = _start(context).module
    with torch.no_grad():
        for name, value in whole.named_parameters():
            kept = made.module.get_parameter(name)
            # Two numbers of a parameter may be equal, so places tell more where there are the same ones.
            value.mul_(kept != 0 if kept.shape == value.shape else torch.isin(value, kept))
    return whole


def _find_fault(context: Context, made: Made, wanted: nn.Module) -> str | None:
    """Whether it answers otherwise than it should, or cannot be made again."""
    x = torch.from_numpy(context.data.held_out.inputs["x"]).double()
    again = replay(_start(context).module, made.surgery, context)
    again.load_state_dict(made.module.state_dict())
    with torch.no_grad():
        came, right, twice = (module.double()(x) for module in (made.module, wanted, again))
    off, scale = float((came - right).abs().max()), float(right.abs().max())
    if not off <= _NOISE * scale:
        return f"the answers are off by {off:.2g} (the largest is {scale:.2g})"
    return None if torch.equal(came, twice) else "made again, it answers otherwise"


Attempt = Callable[[Context, random.Random], Outcome]


def _with(remove: Callable[..., Outcome], draw: Callable[[random.Random], dict[str, Any]]) -> Attempt:
    return lambda context, dice: remove(context, dice, **draw(dice))


ATTEMPTS: Mapping[str, Attempt] = {
    "channels by ratio": _with(_remove_channels, lambda dice: {"ratio": dice.choice((0.25, 0.5, 0.75))}),
    "channels over all layers": _with(_remove_channels, lambda dice: {"ratio": 0.5, "scope": "global"}),
    "channels by multiply-adds": _with(_remove_channels, lambda dice: {"multiply_adds": 0.8}),
    "weights": _with(_remove_weights, lambda dice: {"remove": "weights", "ratio": dice.choice((0.3, 0.7))}),
    "2:4": _with(_remove_weights, lambda dice: {"remove": "2:4"}),
    "drop layers": _drop_layers,
}
