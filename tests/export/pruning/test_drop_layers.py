"""How layers are dropped from a stack: evenly, from its end, or the least important first."""

from typing import Any

import pytest
import torch

from export.artifacts import Context, Made
from export.errors import StepFailed
from export.step import DropLayers
from export.steps.drop_layers import drop_layers


class Deep(torch.nn.Module):
    """Five linear residual layers; the third adds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(64, 64) for _ in range(5))
        self.head = torch.nn.Linear(64, 10)
        with torch.no_grad():
            for value in self.layers[2].parameters():
                value.zero_()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return ten scores."""
        x = image.flatten(1)
        for layer in self.layers:
            x = x + layer(x)
        scores: torch.Tensor = self.head(x)
        return scores


def dropped(context: Context, **settings: Any) -> Made:
    made = Made(module=context.trained.build())  # type: ignore[misc]
    return drop_layers(made, DropLayers(step="drop_layers", **settings), context)


@pytest.mark.parametrize(
    ("choose", "keep", "kept"),
    [
        ("even", 3, [0, 2, 4]),
        ("even", 2, [0, 4]),
        ("even", 1, [0]),
        ("top", 3, [0, 1, 2]),
        ("importance", 4, [0, 1, 3, 4]),
    ],
)
def test_keeps_what_was_chosen(context_of: Any, choose: str, keep: int, kept: list[int]) -> None:
    """The note and the surgery have the kept layers' original numbers."""
    made = dropped(context_of(Deep), choose=choose, keep=keep)
    assert made.notes[-1]["kept"] == kept
    assert made.surgery == ({"kind": "drop_layers", "stack": "layers", "kept": kept},)


def test_the_layers_left_are_the_ones_kept(context_of: Any) -> None:
    """The remaining layers keep their weights."""
    context = context_of(Deep)
    before = context.trained.build().layers[4].weight
    assert torch.equal(dropped(context, keep=2).module.get_parameter("layers.1.weight"), before)


def test_importance_drops_one_layer_after_the_other(context_of: Any) -> None:
    """`importance` drops the layer that adds nothing first, and the note has each turn."""
    turns: Any = dropped(context_of(Deep), choose="importance", keep=3).notes[-1]["changes"]
    assert turns[0]["dropped"] == 2
    assert turns[0]["change"]["2"] == pytest.approx(0, abs=1e-9)
    assert [len(turn["change"]) for turn in turns] == [5, 4]


def test_embeddings_are_compared_by_their_cosine(context_of: Any) -> None:
    """For embeddings the layer that adds nothing is found by the cosine."""
    made = dropped(context_of(Deep, task="embedding"), choose="importance", keep=4)
    assert made.notes[-1]["kept"] == [0, 1, 3, 4]


def test_a_transformers_configuration_learns_its_new_depth(bert: Context) -> None:
    """The configuration and the layers of a transformer get the new depth; fresh models keep the old one."""
    module: Any = dropped(bert, keep=2).module
    assert module.config.num_hidden_layers == module.bert.encoder.config.num_hidden_layers == 2
    assert [layer.attention.self.layer_idx for layer in module.bert.encoder.layer] == [0, 1]
    assert len(bert.trained.build().bert.encoder.layer) == 3  # type: ignore[misc, union-attr, arg-type]


def test_pruned_zeros_move_with_their_layer(context_of: Any) -> None:
    """The pruned weights of layer 4 are those of layer 1 after the removal."""
    context = context_of(Deep)
    made = Made(module=context.trained.build(), pruned=frozenset({"layers.4.weight", "layers.1.weight"}))
    made = drop_layers(made, DropLayers(step="drop_layers", keep=2), context)
    assert made.pruned == {"layers.1.weight"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": 5}, "keep 5 of the 5 layers of 'layers' drops none; keep at most 4"),
        ({"keep": 2, "stack": "layer"}, "did you mean 'layers'"),
    ],
)
def test_what_drops_nothing_is_an_error(context_of: Any, settings: dict[str, Any], message: str) -> None:
    """A setting that drops no layer is refused with the value and the fix."""
    with pytest.raises(StepFailed, match=message):
        dropped(context_of(Deep), **settings)


@pytest.mark.parametrize("choose", ["even", "importance"])
def test_layers_that_do_not_fit_onto_each_other(context_of: Any, choose: str) -> None:
    """Layers of different widths cannot be dropped, and the error suggests another stack."""

    def build() -> torch.nn.Module:
        layers = [torch.nn.Linear(*size) for size in ((64, 32), (32, 16), (16, 10))]
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Sequential(*layers))

    with pytest.raises(StepFailed, match=r"no longer runs.*name another `stack`"):
        dropped(context_of(build), choose=choose, keep=2)


def test_layers_whose_number_counts_are_not_dropped(context_of: Any) -> None:
    """Layers that depend on their number are not dropped."""

    class Numbered(Deep):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x = image.flatten(1)
            for number, layer in enumerate(self.layers):
                x = x + (-1) ** number * layer(x)
            scores: torch.Tensor = self.head(x)
            return scores

    with pytest.raises(StepFailed, match=r"only the layers 0, 4 of 'layers' the model does not answer as if"):
        dropped(context_of(Numbered), keep=2)


def test_layers_that_pass_on_what_they_read_can_be_dropped(context_of: Any) -> None:
    """Layers in a Sequential can be dropped if one's output is the next one's input."""
    layers = [torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU()) for _ in range(4)]
    context = context_of(
        lambda: torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Sequential(*layers), torch.nn.Sequential(torch.nn.Linear(64, 10))
        )
    )
    made = dropped(context, stack="1", keep=2)
    assert made.notes[-1]["kept"] == [0, 3]
