"""However channels pass between layers, a pruned network answers as if the removed ones were zero."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from export.artifacts import Context, Made
from export.data.datasets import Data, Split
from export.errors import StepFailed
from export.step import Prune
from export.steps.prune import prune
from tests.export.pruning.concat_nets import JOINS
from tests.export.pruning.nets import KINDS, build

ContextOf = Callable[..., Context]


def rows(seed: int) -> Split:
    """Random images [24, 3, 8, 8]."""
    array = np.random.default_rng(seed).normal(size=(24, 3, 8, 8)).astype(np.float32)
    return Split(inputs={"x": array}, labels=None, lengths=None, row_hashes=tuple(map(str, range(24))))


DATA = Data(train=None, calibration=rows(0), search=rows(1), held_out=rows(2))


def zero(net: torch.nn.Module, pruned: torch.nn.Module) -> torch.nn.Module:
    """Set to 0 in the whole network what the pruned one lost: rows of weights, biases and norm factors. The
    biases, which all differ, show which these are."""
    for name, layer in net.named_modules():
        if (bias := getattr(layer, "bias", None)) is None or not isinstance(bias, torch.nn.Parameter):
            continue
        left = pruned.get_parameter(f"{name}.bias")
        gone = ~torch.isin(bias, left)
        assert int((~gone).sum()) == len(left), name
        with torch.no_grad():
            bias[gone] = 0
            if isinstance(layer, torch.nn.ConvTranspose2d):
                layer.weight[:, gone] = 0
            elif gone.any():
                layer.weight[gone] = 0
    return net


def pruned(context: Context, **settings: Any) -> Made:
    made = Made(module=context.trained.build())  # type: ignore[misc]
    return prune(made, Prune(step="prune", remove="channels", **settings), context)


@pytest.mark.parametrize("ratio", [0.5, 0.75])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_answers_as_if_the_rest_were_zero(
    context_of: ContextOf, kind: str, ratio: float
) -> None:
    """On other rows than the proof's, the pruned network answers as the one with zeros."""
    seed = int(ratio * 100)
    context = context_of(lambda: build(kind, seed), DATA)
    made = pruned(context, ratio=ratio)
    x = torch.from_numpy(DATA.held_out.inputs["x"])
    with torch.no_grad():
        came, wanted = made.module(x), zero(build(kind, seed), made.module)(x)
    assert made.module.get_submodule("free").out_features == round(16 * (1 - ratio))
    assert float((came - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def test_behind_a_sigmoid_a_channel_that_went_is_read_as_zero(context_of: ContextOf) -> None:
    """After a sigmoid a removed channel counts as 0, and not as the sigmoid's 0.5."""

    def make() -> torch.nn.Sequential:
        torch.manual_seed(1)
        layers = (torch.nn.Linear(192, 8), torch.nn.Sigmoid(), torch.nn.Linear(8, 4))
        return torch.nn.Sequential(torch.nn.Flatten(), *layers)

    made = pruned(context_of(make, DATA), ratio=0.5)
    net = make()
    left = torch.isin(net.get_parameter("1.bias"), made.module.get_parameter("1.bias"))
    with torch.no_grad():
        net.get_parameter("3.weight")[:, ~left] = 0
        x = torch.from_numpy(DATA.held_out.inputs["x"])
        assert torch.allclose(made.module(x), net(x), atol=1e-6)


def test_a_weight_of_two_layers_stays_one(context_of: ContextOf) -> None:
    """Two layers that share a weight lose the same neurons, and a third that would break this stays whole."""
    made = pruned(context_of(lambda: build("tied"), DATA), ratio=0.5)
    one, other = (made.module.get_parameter(f"{name}.weight") for name in ("a", "c"))
    assert one is other
    assert made.notes[-1]["left_whole"] == {"b": "c.weight is a.weight too, which would not lose the same"}


def test_neurons_are_ranked_by_all_weights_that_a_layer_has_under_other_names(context_of: ContextOf) -> None:
    """Neurons of a shared weight are ranked by the weight, and its zero half is removed."""

    def make() -> torch.nn.Module:
        net = build("tied")
        with torch.no_grad():
            for layer in (net.a, net.c):
                layer.weight[::2] = 0  # type: ignore[operator,union-attr]
                layer.bias[::2] = 0  # type: ignore[operator,union-attr]
        return net

    made = pruned(context_of(make, DATA), ratio=0.5)
    assert made.surgery[0]["removed"]["c"] == [0, 2, 4, 6]  # type: ignore[index,call-overload]


def test_a_search_goes_on_without_what_cannot_go(context_of: ContextOf) -> None:
    """The multiply-adds are met by the other layers if some cannot be pruned."""
    note = pruned(context_of(lambda: build("c2f"), DATA), multiply_adds=0.9).notes[-1]
    assert float(str(note["left_share"])) <= 0.9
    assert set(note["left_whole"]) == {"a", "b"}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "layer", "reason"),
    [
        ("gated", "a", "torch-pruning cannot follow its channels through the following layers"),
        ("weight norm", "a", "the weight of a is computed from others"),
        ("layer norm", "a", "n takes its mean and variance over all of its channels"),
        (
            "shuffle",
            "a",
            "the following layers move, mix or average its channels: with some at zero the answers .*",
        ),
        ("over channels", "a", "the following layers no longer fit"),
        ("mask", "b", "it, or a layer coupled with it, has only one channel, .*"),
    ],
)
def test_a_step_that_can_remove_nothing_says_why(
    context_of: ContextOf, kind: str, layer: str, reason: str
) -> None:
    """The error of a step that can remove nothing gives the layer, the reason and the fix."""
    with pytest.raises(
        StepFailed, match=rf"no channels can be removed \(.*{layer}.*: {reason}\); select other `layers`"
    ):
        pruned(context_of(lambda: build(kind), DATA), ratio=0.5, layers=("a", "b")[: 1 + (kind == "mask")])


@pytest.mark.parametrize("importance", ["l1", "l2", "taylor"])
def test_layers_in_double_precision_lose_their_share(context_of: ContextOf, importance: str) -> None:
    """Layers in double precision are pruned beside others in single precision."""
    context = context_of(lambda: build("double precision"), replace(DATA, train=rows(3)))
    made = pruned(context, ratio=0.5, importance=importance)
    layers: Any = made.notes[-1]["layers"]
    assert layers == {
        "a.out_channels": [8, 4],
        "b.out_channels": [8, 4],
        "free.out_features": [16, 8],
    }


@pytest.mark.parametrize("kind", ["channels last", "height last", "time first", "flip", "stack", "pyramid"])
def test_channels_are_found_again_where_they_are_moved(context_of: ContextOf, kind: str) -> None:
    """The layer before a transposition loses half of its channels."""
    made = pruned(context_of(lambda: build(kind), DATA), ratio=0.5)
    assert made.notes[-1]["layers"]["a.out_channels"] == [8, 4]  # type: ignore[index,call-overload]


def test_channels_are_ranked_by_the_columns_in_which_they_arrive(context_of: ContextOf) -> None:
    """Channels before a transposition are ranked by every eighth column, where they arrive."""

    def make() -> torch.nn.Module:
        net = build("channels last")
        with torch.no_grad():
            net.free.weight.mul_(100)
            for channel in (1, 2, 6, 7):
                net.free.weight[:, channel::8] /= 1000
        return net

    made = pruned(context_of(make, DATA), ratio=0.5)
    assert made.surgery[0]["removed"]["a"] == [1, 2, 6, 7]  # type: ignore[index,call-overload]


@pytest.mark.parametrize("kind", JOINS)
def test_what_is_joined_to_an_input_or_a_constant_loses_its_share(context_of: ContextOf, kind: str) -> None:
    """Layers joined to an input or a constant lose half of their channels."""
    note = pruned(context_of(lambda: build(kind), DATA), ratio=0.5).notes[-1]
    layers: Any = note["layers"]
    net = build(kind)
    able = [
        name
        for name, part in net.named_modules()
        if hasattr(part, "weight") and name not in ("n", "o", "head")
    ]
    assert {name.rpartition(".")[0] for name in layers} == set(able)
    assert all(after * 2 == before for before, after in layers.values())
    assert "left_whole" not in note
