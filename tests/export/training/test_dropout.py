import pytest
import torch
import transformers

from export.training.dropout import no_dropout


def bert() -> torch.nn.Module:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=8,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=8,
        hidden_dropout_prob=0.5,
        attention_probs_dropout_prob=0.5,
    )
    return transformers.BertModel(config, add_pooling_layer=False)


def gru() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.GRU(4, 4, num_layers=2, dropout=0.5)


INPUTS = {"bert": torch.arange(8)[None], "gru": torch.ones(5, 1, 4)}
MODULES = {"bert": bert, "gru": gru}


@pytest.mark.parametrize("name", MODULES)
def test_without_dropout_training_mode_answers_like_evaluation(name: str) -> None:
    """Without dropout, training mode gives evaluation's answers, also in attention and recurrent layers."""
    module, inputs = MODULES[name](), INPUTS[name]
    expected = module.eval()(inputs)[0]
    module.train()
    with no_dropout(module):
        assert torch.allclose(module(inputs)[0], expected, atol=1e-6)


@pytest.mark.parametrize("name", MODULES)
def test_dropout_comes_back(name: str) -> None:
    """After the context, dropout is as it was before."""
    module, inputs = MODULES[name](), INPUTS[name]
    expected = module.eval()(inputs)[0]
    with no_dropout(module):
        pass
    assert not torch.allclose(module.train()(inputs)[0], expected, atol=1e-3)
