"""Channels are removed with all that depends on them, and nothing else changes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from export.artifacts import Context, Made
from export.errors import StepFailed
from export.pruning.surgery import replay
from export.recipes.digits import digits_model
from export.step import Prune, Training
from export.steps.prune import prune

ContextOf = Callable[..., Context]


class Residual(torch.nn.Module):
    """All that couples channels: additions, batch norms, depthwise and grouped kernels, concatenation,
    flattening; `image` [batch, 1, 8, 8] in, ten scores out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(1, 8, 3, padding=1)
        self.inner = torch.nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(8)
        self.outer = torch.nn.Conv2d(8, 8, 3, padding=1)
        self.depthwise = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = torch.nn.Conv2d(8, 16, 1, groups=2)
        self.group_norm = torch.nn.GroupNorm(4, 16)
        self.left = torch.nn.Conv2d(16, 4, 1)
        self.right = torch.nn.Conv2d(16, 6, 1)
        self.joined = torch.nn.Conv2d(10, 6, 1)
        self.wide = torch.nn.Linear(6 * 16, 20)
        self.head = torch.nn.Linear(20, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The ten scores."""
        x = self.stem(image).relu()
        x = (x + self.outer(self.norm(self.inner(x)).relu())).relu()
        x = self.group_norm(self.grouped(self.depthwise(x))).relu()
        x = self.joined(torch.cat([self.left(x), self.right(x)], 1)).relu()
        scores: torch.Tensor = self.head(self.wide(torch.nn.functional.max_pool2d(x, 2).flatten(1)).relu())
        return scores


class Reader(torch.nn.Module):
    """A recurrent layer between linear ones."""

    def __init__(self, recurrent: Any, last: bool) -> None:
        super().__init__()
        self.before = torch.nn.Linear(8, 12)
        self.recurrent = recurrent(12, 12, batch_first=True)
        self.after = torch.nn.Linear(12, 16)
        self.head = torch.nn.Linear(16, 10)
        self.last = last

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The ten scores, from the last state or from all outputs and what went in."""
        x = self.before(image[:, 0]).relu()
        outputs, states = self.recurrent(x)
        state = states[0] if isinstance(states, tuple) else states
        scores: torch.Tensor = self.head(self.after(state[-1] if self.last else (x + outputs)[:, -1]).relu())
        return scores


class TwoHeads(torch.nn.Module):
    """A shared layer, a reshaped head and a plain one."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = torch.nn.Linear(64, 8)
        self.wide = torch.nn.Linear(8, 6)
        self.plain = torch.nn.Linear(8, 2)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores of [2, 3] and of [2]."""
        shared = torch.relu(self.shared(image.flatten(1)))
        return self.wide(shared).reshape(-1, 2, 3).softmax(-1), self.plain(shared)


def pruned(context: Context, **settings: Any) -> Made:
    made = Made(module=context.trained.build())  # type: ignore[misc]
    return prune(made, Prune(step="prune", remove="channels", **settings), context)


def widths(made: Made) -> dict[str, int]:
    return {
        name: getattr(part, "out_channels", None) or part.out_features  # type: ignore[misc]
        for name, part in made.module.named_modules()
        if isinstance(part, torch.nn.Conv2d | torch.nn.Linear)
    }


def require_same_again(made: Made, context: Context) -> None:
    """Replayed on a fresh model, the surgery takes the weights and gives the answers."""
    again = replay(context.trained.build(), made.surgery, context)  # type: ignore[misc]
    again.load_state_dict(made.module.state_dict())
    image = torch.from_numpy(context.data.search.inputs["image"][:3].copy())
    assert torch.equal(again(image), made.module(image))


def test_every_layer_loses_the_share_that_was_asked_for(digits: Context) -> None:
    """Each layer loses half of its channels, and the ten classes stay."""
    assert list(widths(pruned(digits, ratio=0.5)).values()) == [4, 8, 8, 12, 10]


def test_over_all_layers_of_a_kind_the_share_holds_together(digits: Context) -> None:
    """With `scope: global` the first two convolutions lose half of their 24 channels together."""
    found = list(widths(pruned(digits, ratio=0.5, scope="global", importance="taylor")).values())
    assert sum(found[:2]) == 12
    assert found[2:] == [8, 12, 10]


@pytest.mark.parametrize("importance", ["l1", "l2", "taylor"])
def test_dead_channels_go_first_and_nobody_notices(context_of: ContextOf, importance: str) -> None:
    """Pruning removes the channels that were set to zero, and the answers stay the same."""

    def build() -> torch.nn.Module:
        model = Residual()
        with torch.no_grad():
            for layer in (model.inner, model.norm, model.left, model.right, model.joined, model.wide):
                layer.weight[1::2] = 0
                if layer.bias is not None:
                    layer.bias[1::2] = 0
        return model

    context = context_of(build)
    image = torch.from_numpy(context.data.search.inputs["image"][:3].copy())
    layers = ("inner", "left", "right", "joined", "wide")
    made = pruned(context, ratio=0.5, importance=importance, layers=layers)
    assert torch.allclose(made.module(image), context.trained.build()(image), atol=1e-6)  # type: ignore[misc]


def test_coupled_layers_shrink_together_and_can_be_made_again(context_of: ContextOf) -> None:
    """Coupled layers are pruned together and can be replayed; a group norm's layer stays whole."""
    context = context_of(Residual)
    made = pruned(context, ratio=0.5)
    assert list(widths(made).values()) == [4, 4, 4, 4, 16, 2, 3, 3, 10, 10]
    assert made.notes[-1]["left_whole"] == {
        "grouped": "group_norm takes its mean and variance over all of its channels"
    }
    assert made.module.get_submodule("norm").num_features == 4
    require_same_again(made, context)


@pytest.mark.parametrize("recurrent", [torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN])
@pytest.mark.parametrize("last", [False, True])
def test_recurrent_layers_stay_whole(
    context_of: ContextOf, recurrent: type[torch.nn.RNNBase], last: bool
) -> None:
    """Recurrent layers and their inputs keep their sizes, and the neurons after them are removed."""
    context = context_of(lambda: Reader(recurrent, last))
    made = pruned(context, ratio=0.5)
    assert widths(made) == {"before": 12, "after": 8, "head": 10}
    require_same_again(made, context)


def test_attention_stays_whole(context_of: ContextOf) -> None:
    """torch's encoder loses feed-forward neurons and keeps its width."""

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.nn.TransformerEncoderLayer(8, 2, 32, batch_first=True)
            self.head = torch.nn.Linear(8, 10)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.head(self.encoder(image[:, 0]).mean(1))
            return scores

    context = context_of(Encoder)
    made = pruned(context, ratio=0.5)
    assert made.notes[-1]["layers"] == {"encoder.linear1.out_features": [32, 16]}
    require_same_again(made, context)


def test_what_is_added_to_an_input_stays(context_of: ContextOf) -> None:
    """A layer that is added to an input keeps its size."""

    class Added(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Linear(8, 6)
            self.outer = torch.nn.Linear(6, 8)
            self.head = torch.nn.Linear(8, 10)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x = image[:, 0]
            scores: torch.Tensor = self.head(x + self.outer(self.inner(x).relu())).mean(1)
            return scores

    assert widths(pruned(context_of(Added), ratio=0.5)) == {"inner": 3, "outer": 8, "head": 10}


def test_neurons_of_a_transformer_go(bert: Context) -> None:
    """The feed-forward neurons that a pattern matches are removed."""
    made = pruned(bert, ratio=0.5, layers=("*intermediate.dense",))
    assert made.notes[-1]["layers"] == {
        f"bert.encoder.layer.{layer}.intermediate.dense.out_features": [64, 32] for layer in range(3)
    }


def test_finds_every_head(context_of: ContextOf) -> None:
    """Each output head keeps its size."""
    context = context_of(TwoHeads)
    assert widths(pruned(context, ratio=0.5)) == {"shared": 4, "wide": 6, "plain": 2}


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_multiply_adds_are_met_from_below(context_of: ContextOf, scope: str) -> None:
    """The multiply-adds are between 38 and 40 % where 40 % are asked for."""
    context = context_of(lambda: digits_model([16, 32, 64], 56))
    note: dict[str, Any] = pruned(context, multiply_adds=0.4, scope=scope).notes[-1]
    before, after = note["multiply_adds"]
    assert 0.38 <= after / before <= 0.4
    assert "nearest" not in note


def test_multiply_adds_that_no_removal_meets(digits: Context) -> None:
    """The error for unreachable multiply-adds gives the lowest reachable share."""
    with pytest.raises(StepFailed, match=r"even with one of the channels left .* of the multiply-adds stay"):
        pruned(digits, multiply_adds=0.05, layers=("features.0",))


def test_rounds_end_where_one_step_would(digits: Context) -> None:
    """Two rounds with recovery remove half in total and can be replayed."""
    training = Training(epochs=1, batch_size=64, learning_rate=1e-3)
    made = pruned(digits, ratio=0.5, rounds=2, recover=training)
    assert list(widths(made).values()) == [4, 8, 8, 12, 10]
    assert len(made.surgery) == 2
    assert len(made.notes[-1]["recovered"]) == 1  # type: ignore[arg-type]
    require_same_again(made, digits)


def test_the_same_again(digits: Context) -> None:
    """Two runs remove the same channels."""
    one, other = (pruned(digits, multiply_adds=0.5, importance="taylor", scope="global") for _ in range(2))
    assert one.surgery == other.surgery


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": 0.01}, r"less than one of the 24, 16, 16, 8 in each of .* remove the step"),
        ({"ratio": 0.5, "layers": ("head",)}, r"'head' matches none of 4 layers that can lose channels"),
        ({"ratio": 0.5, "keep": ("features.1",)}, r"matches none of 5 convolutions and linear layers"),
    ],
)
def test_what_removes_nothing_is_an_error(digits: Context, settings: dict[str, Any], message: str) -> None:
    """A setting that removes nothing is refused with the value and the fix."""
    with pytest.raises(StepFailed, match=message):
        pruned(digits, **settings)


def test_half_of_a_sum_cannot_go(context_of: ContextOf) -> None:
    """Layers whose channels are added are pruned together, or the step is refused."""
    with pytest.raises(StepFailed, match=r"depthwise, outer, stem can only lose them together"):
        pruned(context_of(Residual), ratio=0.5, layers=("outer",))


def test_a_model_that_is_all_head_has_nothing_to_lose(context_of: ContextOf) -> None:
    """A model with a head alone is refused."""
    with pytest.raises(StepFailed, match=r"Sequential has no removable channels.*remove the step"):
        pruned(
            context_of(lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))), ratio=0.5
        )
