"""Removing attention heads leaves a working graph."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from export.artifacts import Context, Made
from export.errors import StepFailed
from export.forward import forward, to_tensors
from export.pruning.surgery import replay
from export.step import Prune
from export.steps.prune import prune


def pruned(context: Context, made: Made | None = None, **settings: Any) -> Made:
    made = made or Made(module=context.trained.build())  # type: ignore[misc]
    return prune(made, Prune(step="prune", remove="heads", **settings), context)


def attention(made: Made, layer: int) -> Any:
    return made.module.get_submodule(f"bert.encoder.layer.{layer}.attention")


def answers(module: torch.nn.Module, context: Context) -> torch.Tensor:
    split = context.data.search
    return forward(module, to_tensors(split.inputs))[0]


def test_half_of_the_heads_leave_every_layer(bert: Context) -> None:
    """Half of the heads are removed from each layer, and the hidden size stays."""
    part = attention(pruned(bert, ratio=0.5), 1)
    shapes = [tuple(getattr(part.self, name).weight.shape) for name in ("query", "key", "value")]
    assert shapes == [(16, 32)] * 3
    assert part.output.dense.weight.shape == (32, 16)
    assert (part.self.num_attention_heads, part.self.all_head_size) == (2, 16)


@pytest.mark.parametrize("form", ["eager", "sdpa"])
def test_a_dead_head_goes_and_nobody_notices(bert: Context, form: str) -> None:
    """Removing a head that was set to zero does not change the answers."""
    build = bert.trained.build

    def cut() -> torch.nn.Module:
        model: Any = build()  # type: ignore[misc]
        model.set_attn_implementation(form)
        with torch.no_grad():
            for layer in model.bert.encoder.layer:
                for linear in (
                    layer.attention.self.query,
                    layer.attention.self.key,
                    layer.attention.self.value,
                ):
                    linear.weight[16:24] = 0
                    linear.bias[16:24] = 0
                layer.attention.output.dense.weight[:, 16:24] = 0
        return model  # type: ignore[no-any-return]

    context = replace(bert, trained=replace(bert.trained, build=cut))
    made = pruned(context, ratio=0.25)
    assert made.surgery[0]["removed"] == {f"bert.encoder.layer.{n}.attention": [2] for n in range(3)}
    assert torch.allclose(answers(made.module, context), answers(cut(), context), atol=1e-6)


def test_over_all_layers_one_head_stays_in_each(bert: Context) -> None:
    """With `scope: global` at least one head stays in each layer."""
    made = pruned(bert, ratio=0.95, scope="global", importance="taylor")
    assert [attention(made, layer).self.num_attention_heads for layer in range(3)] == [1, 1, 1]


def test_heads_go_until_the_multiply_adds_are_met(bert: Context) -> None:
    """Heads are removed until 90 % of the multiply-adds are left, in one layer after another."""
    note = pruned(bert, multiply_adds=0.9).notes[-1]
    assert 0.85 < float(str(note["left_share"])) <= 0.9


def test_the_surgery_can_be_done_again(bert: Context) -> None:
    """Two removals of heads can be replayed on a fresh model with the same answers."""
    made = pruned(bert, pruned(bert, ratio=0.25), ratio=0.34)
    again = replay(bert.trained.build(), made.surgery, bert)  # type: ignore[misc]
    again.load_state_dict(made.module.state_dict())
    assert torch.equal(answers(again, bert), answers(made.module, bert))


def test_a_pattern_that_fits_no_attention(bert: Context) -> None:
    """A pattern that matches no attention is refused with the nearest name."""
    with pytest.raises(StepFailed, match=r"matches none of 3 attention modules; did you mean 'bert"):
        pruned(bert, ratio=0.5, layers=("bert.encoder.layer.7.attention",))


def test_heads_of_torchs_own_attention_cannot_go(context_of: Any) -> None:
    """Removing heads of torch.nn.MultiheadAttention is refused with the reason."""

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.nn.TransformerEncoderLayer(8, 2, 32, batch_first=True)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.encoder(image[:, 0]).mean(1)
            return scores

    with pytest.raises(StepFailed, match=r"encoder\.self_attn\) ties the width of its heads"):
        pruned(context_of(Encoder), ratio=0.5)


def test_a_model_without_attention(digits: Context) -> None:
    """A model without attention is refused, and the error says which form is needed."""
    with pytest.raises(StepFailed, match=r"DigitsNet has no attention of BERT's form"):
        pruned(digits, ratio=0.5)


def test_attention_whose_heads_are_not_alike_stays_whole(bert: Context) -> None:
    """A layer whose queries share keys and values stays whole, and other layers lose heads."""

    class Shared(torch.nn.Linear):
        """Half of the outputs, each given twice."""

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            half = super().forward(input)
            return half.reshape(*half.shape[:-1], 2, 8).repeat_interleave(2, -2).flatten(-2)

    build = bert.trained.build

    def shared() -> torch.nn.Module:
        model: Any = build()  # type: ignore[misc]
        inner = model.bert.encoder.layer[1].attention.self
        inner.key, inner.value = Shared(32, 16), Shared(32, 16)
        return model  # type: ignore[no-any-return]

    context = replace(bert, trained=replace(bert.trained, build=shared))
    made = pruned(context, ratio=0.5)
    assert [attention(made, layer).self.num_attention_heads for layer in range(3)] == [2, 4, 2]
    assert made.notes[-1]["left_whole"] == {
        "bert.encoder.layer.1.attention": "its queries, keys and values do not have the same heads"
    }


def test_a_head_that_others_read_does_not_go(bert: Context) -> None:
    """Heads that are mixed before the output are kept."""
    build = bert.trained.build

    def mixed() -> torch.nn.Module:
        model: Any = build()  # type: ignore[misc]
        for layer in model.bert.encoder.layer[:2]:
            layer.attention.output.dense.register_forward_pre_hook(lambda _, args: (args[0].roll(8, -1),))
        return model  # type: ignore[no-any-return]

    context = replace(bert, trained=replace(bert.trained, build=mixed))
    note = pruned(context, ratio=0.5).notes[-1]
    assert set(note["left_whole"]) == {f"bert.encoder.layer.{layer}.attention" for layer in range(2)}  # type: ignore[arg-type]
