"""A tokenizer cuts and pads as its own file says, so a server needs nothing else."""

import pytest
import tokenizers

from export.data.tokenizer import Tokenizer
from export.errors import InvalidData, InvalidSource


def content(*, special: bool = True) -> bytes:
    """A tokenizer of words; with or without [CLS] and [SEP] around them."""
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "good": 4, "bad": 5}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    if special:
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return tokenizer.to_str().encode()


def test_pads_to_the_longest_on_the_right() -> None:
    """Texts are padded on the right to the longest, and the mask marks the real tokens."""
    encoded = Tokenizer("t", content(), 8, 0).encode("split", ["good", "good bad"])
    assert encoded["input_ids"].tolist() == [[2, 4, 3, 0], [2, 4, 5, 3]]
    assert encoded["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


def test_cuts_what_is_longer() -> None:
    """A text is cut to the maximum number of tokens, special ones included."""
    assert Tokenizer("t", content(), 3, 0).encode("split", ["good bad good"])["input_ids"].tolist() == [
        [2, 4, 3]
    ]


def test_the_file_alone_cuts_and_pads() -> None:
    """The stored tokenizer file cuts and pads without further settings."""
    served = tokenizers.Tokenizer.from_str(Tokenizer("t", content(), 3, 0).content.decode())
    assert [row.ids for row in served.encode_batch(["good bad good", ""])] == [[2, 4, 3], [2, 3, 0]]


def test_the_file_is_the_same_each_time() -> None:
    """Preparing a tokenizer file that was already prepared gives the same bytes."""
    once = Tokenizer("t", content(), 8, 0).content
    assert Tokenizer("t", once, 8, 0).content == once


def test_refuses_a_text_without_tokens() -> None:
    """A text without tokens is refused by its row."""
    with pytest.raises(InvalidData, match=r"split x: t finds no token in row 1, ' '; drop"):
        Tokenizer("t", content(special=False), 8, 0).encode("split x", ["good", " "])


@pytest.mark.parametrize(
    ("made", "max_tokens", "pad_id", "message"),
    [
        (b"{}", 8, 0, "t is not a tokenizer"),
        (b"\xff", 8, 0, "t is not a tokenizer"),
        (content(), 2, 0, "adds 2 tokens to every text.*give at least 3"),
        (content(), 8, 99, "t has no token 99"),
    ],
    ids=["no tokenizer", "no text", "no room", "no padding"],
)
def test_refuses_what_cannot_work(made: bytes, max_tokens: int, pad_id: int, message: str) -> None:
    """A file that is not a tokenizer, a maximum without room for text, and a missing pad token are
    refused."""
    with pytest.raises(InvalidSource, match=message):
        Tokenizer("t", made, max_tokens, pad_id)


def test_a_word_that_is_not_known() -> None:
    """The mask token stands for it, or the padding if the file has none."""
    masked = (
        content().replace(b'"bad": 5', b'"bad": 5, "[MASK]": 6').replace(b'"bad":5', b'"bad":5,"[MASK]":6')
    )
    assert Tokenizer("t", content(), 8, 0).unknown_id == 0
    assert Tokenizer("t", masked, 8, 0).unknown_id == 6
