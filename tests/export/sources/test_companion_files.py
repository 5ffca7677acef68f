"""A tokenizer and class names may be given beside a model of any kind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import tokenizers
import torch
from onnx import helper

from export.artifacts import Trained
from export.errors import InvalidSource
from export.recipe import FactorySource, OnnxSource
from export.sources.read_trained import read_trained
from tests.export.onnx_files import FLOAT, INT64, file_of, random

INT32 = 6
WORDS = {"[PAD]": 0, "[UNK]": 1, "a": 2, "b": 3}


class Bag(torch.nn.Module):
    """The mean of the tokens' vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(4, 3)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """[rows, 3]."""
        mask = attention_mask.unsqueeze(2).float()
        vectors: torch.Tensor = self.table(input_ids) * mask
        return vectors.sum(1) / mask.sum(1)


def make_bag() -> torch.nn.Module:
    """Return the model."""
    return Bag()


def make_linear() -> torch.nn.Module:
    """A factory of a module that takes no tokens."""
    return torch.nn.Linear(2, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe's folder with a tokenizer, names of three classes, and a file of each kind of model."""
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "words.json"))
    (tmp_path / "names.txt").write_text("cat\ndog\nhörse\n")
    (tmp_path / "bag.safetensors").write_bytes(safetensors.torch.save(Bag().state_dict()))
    (tmp_path / "linear.safetensors").write_bytes(safetensors.torch.save(make_linear().state_dict()))
    (tmp_path / "m.onnx").write_bytes(bert())
    return tmp_path


def bert(*, mask: str = "attention_mask") -> bytes:
    """A graph with three inputs of a transformer's, whole numbers of 32 and 64 bits."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("Cast", [mask], ["m"], to=FLOAT),
        helper.make_node("Cast", ["token_type_ids"], ["t"], to=FLOAT),
        helper.make_node("Add", ["m", "t"], ["s"]),
        helper.make_node("Unsqueeze", ["s", "two"], ["u"]),
        helper.make_node("Mul", ["vectors", "u"], ["weighed"]),
        helper.make_node("ReduceMean", ["weighed"], ["y"], axes=[1], keepdims=0),
    ]
    tokens = ["n", "s"]
    inputs = [("input_ids", INT32, tokens), (mask, INT64, tokens), ("token_type_ids", INT64, tokens)]
    return file_of(
        nodes, inputs, [("y", FLOAT, ["n", 3])], {"table": random(4, 3), "two": np.array([2], np.int64)}
    )


def read(folder: Path, **settings: Any) -> Trained:
    """The ONNX file with these settings."""
    return read_trained(OnnxSource(onnx="m.onnx", **settings), folder, "classification")


def test_a_file_gets_the_inputs_that_it_takes(folder: Path) -> None:
    """A file gets the inputs that it declares, in their types, padded with the tokenizer's token."""
    tokenizer = read(folder, tokenizer="words.json", max_tokens=3).tokenizer
    assert tokenizer is not None
    arrays = tokenizer.encode("place", ["a b a b", "b"])
    assert arrays["input_ids"].tolist() == [[2, 3, 2], [3, 0, 0]]
    assert {name: str(array.dtype) for name, array in arrays.items()} == {
        "input_ids": "int32",
        "attention_mask": "int64",
        "token_type_ids": "int64",
    }


def test_a_factory_gets_the_parameters_of_its_forward(folder: Path) -> None:
    """A factory's model gets only the inputs that its forward names."""
    source = FactorySource(
        factory=f"{__name__}:make_bag", checkpoint="bag.safetensors", tokenizer="words.json"
    )
    tokenizer = read_trained(source, folder, "classification").tokenizer
    assert tokenizer is not None
    assert list(tokenizer.encode("place", ["a"])) == ["input_ids", "attention_mask"]


def test_every_bundle_carries_them(folder: Path) -> None:
    """Every bundle contains the tokenizer and the labels in the server's format."""
    trained = read(folder, tokenizer="words.json", max_tokens=3, labels="names.txt")
    assert json.loads(trained.assets["labels.json"]) == ["cat", "dog", "hörse"]
    assert json.loads(trained.assets["tokenizer.json"])["truncation"]["max_length"] == 3


def test_they_are_part_of_what_the_model_is(folder: Path) -> None:
    """The digest of the model depends on the class names; without any it is the file's."""
    bare = read(folder).sha256
    before = read(folder, labels="names.txt").sha256
    (folder / "names.txt").write_text('["cat", "dog", "cow"]')
    assert len({bare, before, read(folder, labels="names.txt").sha256}) == 3


def test_a_model_that_takes_no_tokens_is_refused(folder: Path) -> None:
    """The error for a model without token inputs names its inputs and the needed ones."""
    source = FactorySource(
        factory=f"{__name__}:make_linear", checkpoint="linear.safetensors", tokenizer="words.json"
    )
    with pytest.raises(InvalidSource, match=r"takes input and not input_ids and attention_mask"):
        read_trained(source, folder, "classification")
    (folder / "m.onnx").write_bytes(bert(mask="mask"))
    with pytest.raises(InvalidSource, match=r"takes input_ids, mask, token_type_ids and not attention_mask"):
        read(folder, tokenizer="words.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "is not a list of names"),
        ('{"0": "cat"}', "is not a list of names"),
        ("[", "is not JSON"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_labels_that_are_no_names_are_refused(folder: Path, content: str | bytes, message: str) -> None:
    """A file of labels that is not a list of names is refused, with the name of the file."""
    (folder / "names.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidSource, match=f"names.txt {message}"):
        read(folder, labels="names.txt")


def test_a_tokenizer_without_padding_is_refused(folder: Path) -> None:
    """A tokenizer without a padding token is refused, and the error gives the fix."""
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    made.save(str(folder / "words.json"))
    with pytest.raises(InvalidSource, match=r"names no padding token.*enable_padding"):
        read(folder, tokenizer="words.json")
    made.enable_padding(pad_id=1, pad_token="?")
    made.save(str(folder / "words.json"))
    assert read(folder, tokenizer="words.json").tokenizer is not None


def test_names_a_file_that_is_missing(folder: Path) -> None:
    """The error names the missing file and its key in the recipe."""
    with pytest.raises(InvalidSource, match=r"gone.json: No such file.*`source.tokenizer`"):
        read(folder, tokenizer="gone.json")
