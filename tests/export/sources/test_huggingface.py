"""A transformer comes from its folder with every weight it uses, its tokenizer, and no code."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import tokenizers
import torch
import transformers

from export.artifacts import Trained
from export.errors import InvalidSource
from export.recipe import HuggingFaceSource
from export.sources.read_trained import read_trained
from serve.bundles.meaning import Task

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "on", "a", "mat"]
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
IDS = torch.tensor([[2, 4, 5, 3], [2, 6, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def save(folder: Path, kind: type[Any]) -> Path:
    """A tiny BERT of this kind and its tokenizer, as transformers saves them."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {"num_labels": 3, **SIZES}
    config = transformers.BertConfig(vocab_size=len(WORDS), max_position_embeddings=16, **settings)
    kind(config).save_pretrained(folder)
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder alone."""
    return save(tmp_path_factory.mktemp("encoder"), transformers.BertModel)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with a head for three classes."""
    return save(tmp_path_factory.mktemp("classifier"), transformers.BertForSequenceClassification)


@pytest.fixture
def folder(encoder: Path, tmp_path: Path) -> Path:
    """A copy of the encoder, to be spoilt."""
    return Path(shutil.copytree(encoder, tmp_path / "bert"))


def read(folder: Path, task: Task = "embedding", **settings: Any) -> Trained:
    """The model in `folder`, named as a recipe beside it would."""
    source = HuggingFaceSource(huggingface=folder.name, **{"max_tokens": 16, **settings})
    return read_trained(source, folder.parent, task)


def answer(trained: Trained) -> torch.Tensor:
    """What the model makes of two rows, the second padded."""
    assert trained.build is not None
    with torch.no_grad():
        result: torch.Tensor = trained.build()(input_ids=IDS, attention_mask=MASK)
    return result


def change(folder: Path, **values: Any) -> None:
    """Change these values of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def spoil(folder: Path, change_key: str, value: torch.Tensor | None) -> None:
    """Replace or remove one weight."""
    state = safetensors.torch.load_file(folder / "model.safetensors")
    del state[change_key]
    if value is not None:
        state[change_key] = value
    safetensors.torch.save_file(state, folder / "model.safetensors", {"format": "pt"})


def test_embedding_is_the_normalised_mean_of_the_tokens(encoder: Path) -> None:
    """The embedding is the mean over the tokens without padding, with length 1."""
    with torch.no_grad():
        tokens = transformers.BertModel.from_pretrained(encoder)(input_ids=IDS, attention_mask=MASK)[0]
    expected = torch.stack([tokens[0].mean(dim=0), tokens[1, :3].mean(dim=0)])
    expected /= expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(answer(read(encoder)), expected)


def test_pooling_is_the_folders(folder: Path) -> None:
    """The pooling of sentence-transformers' configuration is used."""
    modules = [
        {"type": f"sentence_transformers.models.{kind}", "path": path}
        for kind, path in (("Transformer", ""), ("Pooling", "1_Pooling"))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    with torch.no_grad():
        tokens = transformers.BertModel.from_pretrained(folder)(input_ids=IDS, attention_mask=MASK)[0]
    torch.testing.assert_close(answer(read(folder)), tokens[:, 0])


def test_classification_gives_logits(classifier: Path) -> None:
    """The scores of a classifier equal those of transformers."""
    with torch.no_grad():
        model = transformers.BertForSequenceClassification.from_pretrained(classifier)
        expected = model(input_ids=IDS, attention_mask=MASK).logits
    torch.testing.assert_close(answer(read(classifier, "classification")), expected)


def test_token_classification_gives_logits_per_token(tmp_path: Path) -> None:
    """A token classifier gives a score per token and class."""
    folder = save(tmp_path / "tokens", transformers.BertForTokenClassification)
    assert answer(read(folder, "token_classification")).shape == (2, 4, 3)


def test_the_tokenizer_goes_into_the_bundle(encoder: Path) -> None:
    """The bundle has the tokenizer, which cuts at the recipe's length."""
    trained = read(encoder, max_tokens=4)
    assert list(trained.assets) == ["tokenizer.json"]
    served = tokenizers.Tokenizer.from_str(trained.assets["tokenizer.json"].decode())
    assert served.encode("the cat sat on").ids == [2, 4, 5, 3]


def test_the_names_of_the_classes_go_into_the_bundle(classifier: Path, tmp_path: Path) -> None:
    """The bundle has the class names in the order of the scores, if the model has any."""
    assert "labels.json" not in read(classifier, "classification").assets
    named = tmp_path / "named"
    shutil.copytree(classifier, named)
    change(named, id2label={"0": "bad", "2": "good", "1": "so-so"})
    assert json.loads(read(named, "classification").assets["labels.json"]) == ["bad", "so-so", "good"]


def test_loading_says_nothing(encoder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Loading a model prints nothing."""
    read(encoder)
    assert capfd.readouterr() == ("", "")


def test_a_changed_configuration_keeps_the_weights_that_fit(encoder: Path) -> None:
    """A changed configuration keeps the trained weights of the remaining layers."""
    trained = read(encoder)
    assert trained.build is not None
    assert trained.build_with is not None
    student, teacher = trained.build_with({"num_hidden_layers": 1, "hidden_act": "relu"}), trained.build()
    assert len([name for name, _ in student.named_modules() if name.endswith("attention.self")]) == 1
    expected = teacher.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in student.state_dict().items())
    assert not student.training


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 1}, "no 'num_layers' to change; did you mean 'num_hidden_layers'"),
        ({"hidden_act": "rule"}, "cannot be built with {'hidden_act': 'rule'}"),
    ],
)
def test_refuses_a_configuration_that_there_is_not(encoder: Path, changes: Any, message: str) -> None:
    """A key or value that the configuration does not have is refused."""
    trained = read(encoder)
    assert trained.build_with is not None
    with pytest.raises(InvalidSource, match=message):
        trained.build_with(changes)


def test_a_missing_head_is_named(encoder: Path) -> None:
    """A classifier without weights for its head is refused."""
    with pytest.raises(
        InvalidSource, match=r"no weights for classifier\.bias, classifier\.weight; .* at random"
    ):
        read(encoder, "classification")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"no weights for .*output\.dense\.bias"),
        (torch.full((32,), torch.nan), r"dense\.bias holds NaN"),
    ],
    ids=["missing", "NaN"],
)
def test_refuses_a_weight_that_is_none(folder: Path, value: torch.Tensor | None, message: str) -> None:
    """A missing weight, or one with NaN, is refused."""
    spoil(folder, "encoder.layer.0.output.dense.bias", value)
    with pytest.raises(InvalidSource, match=message):
        read(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_hidden_layers": 1}, r"config.json does not use: encoder\.layer\.1\."),
        ({"num_hidden_layers": 3}, r"has no weights for encoder\.layer\.2\."),
        ({"hidden_size": 64}, "does not load as AutoModel"),
        ({"model_type": "distilbert"}, "has no weights for"),
        ({"model_type": "no such"}, "save the model again"),
        ({"vocab_size": 5}, "says vocab_size: 5, but 10 are needed; take tokenizer and model"),
    ],
    ids=["fewer layers", "more layers", "wider", "another model", "unknown model", "fewer words"],
)
def test_refuses_a_config_that_lies(folder: Path, values: dict[str, Any], message: str) -> None:
    """A config.json that does not fit the weights is refused."""
    change(folder, **values)
    with pytest.raises(InvalidSource, match=message):
        read(folder)


def test_refuses_code_in_the_folder(folder: Path) -> None:
    """A model that brings its own Python is not run."""
    trace = folder / "trace"
    (folder / "own.py").write_text(f"open({str(trace)!r}, 'w')\n")
    change(folder, model_type="own", auto_map={"AutoConfig": "own.C", "AutoModel": "own.M"})
    with pytest.raises(InvalidSource, match=r"trust_remote_code|save the model again"):
        read(folder)
    assert not trace.exists()


def test_refuses_weights_that_are_a_pickle(folder: Path) -> None:
    """Pickled weights are refused; only safetensors are read."""
    state = safetensors.torch.load_file(folder / "model.safetensors")
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InvalidSource, match=r"does not load as AutoModel.*as safetensors"):
        read(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_names_a_file_that_is_missing(folder: Path, name: str) -> None:
    """The error names the missing file of the model or tokenizer."""
    (folder / name).unlink()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    with pytest.raises(InvalidSource, match=name):
        read(folder)


def test_refuses_more_tokens_than_the_model_has_places(encoder: Path) -> None:
    """A maximum above the model's number of positions is refused."""
    with pytest.raises(
        InvalidSource, match=r"positions for 16 tokens, and `source\.max_tokens` is 17; lower it to 16"
    ):
        read(encoder, max_tokens=17)


@pytest.mark.parametrize("kind", ["Roberta", "XLMRoberta", "Camembert", "MPNet"])
def test_positions_that_begin_behind_the_padding_token_are_fewer(folder: Path, kind: str) -> None:
    """For RoBERTa and similar models two of 16 positions are reserved, so the maximum is 14 tokens."""
    settings = {"vocab_size": len(WORDS), "max_position_embeddings": 16, "pad_token_id": 1, **SIZES}
    getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**settings)).save_pretrained(
        folder
    )
    with pytest.raises(InvalidSource, match=r"positions for 14 tokens, and .* is 15; lower it to 14"):
        read(folder, max_tokens=15)
    assert read(folder, max_tokens=14).tokenizer is not None


def test_refuses_a_model_that_is_too_large_before_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is too large for the machine is refused before its weights are read."""
    monkeypatch.setattr("export.sources.module.MAX_BYTES", 2**30)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 20_000_000}))
    (folder / "model.safetensors").unlink()
    with pytest.raises(InvalidSource, match=r"has 25600\d{5} bytes of weights; the maximum is"):
        read(folder)
