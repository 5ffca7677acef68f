import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.models import WordLevel

from serve.base.errors import InvalidBundle, InvalidRequest
from serve.base.tensor import Signature, TensorSpec
from serve.engine.text_input import TOKENIZER, open_text
from tests.conftest import MakeBundle
from tests.serve.texts import (
    IDS,
    MASK,
    SIGNATURE,
    VECTOR,
    as_bytes,
    make_text_bundle,
    text_input,
    tokenizer_json,
)

TEXTS = text_input()
LIBRARY = tokenizers.Tokenizer.from_str(tokenizer_json().decode())
LIBRARY.enable_padding()
TYPES = TensorSpec(name="token_type_ids", datatype="INT64", shape=("batch", "tokens"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=300), min_size=1, max_size=6))
def test_gives_the_librarys_own_tokens(texts: list[str]) -> None:
    """Any texts get the same token ids and masks as from the `tokenizers` library, padded to the longest."""
    encoded = TEXTS.encode(as_bytes(*texts))
    rows = LIBRARY.encode_batch(texts)
    np.testing.assert_array_equal(encoded.arrays["input_ids"], [row.ids for row in rows])
    np.testing.assert_array_equal(encoded.arrays["attention_mask"], [row.attention_mask for row in rows])


def test_pads_to_the_longest_of_the_request() -> None:
    """Texts are padded to the longest of the request."""
    encoded = TEXTS.encode(as_bytes("", "hello there"))
    np.testing.assert_array_equal(encoded.arrays["input_ids"], [[101, 102, 0, 0], [101, 7592, 2045, 102]])
    np.testing.assert_array_equal(encoded.arrays["attention_mask"], [[1, 1, 0, 0], [1, 1, 1, 1]])


def test_counts_tokens_without_padding() -> None:
    """The number of tokens includes special ones and excludes padding."""
    assert TEXTS.encode(as_bytes("", "hello there")).tokens == 6


def test_gives_each_input_its_own_datatype() -> None:
    """Each input gets the datatype that the graph declares, token types included."""
    narrow = TensorSpec(name="input_ids", datatype="INT32", shape=IDS.shape)
    signature = Signature(inputs=(narrow, TYPES, MASK), outputs=(VECTOR,))
    arrays = text_input(signature=signature).encode(as_bytes("a", "b c")).arrays
    assert {name: array.dtype.name for name, array in arrays.items()} == {
        "input_ids": "int32",
        "token_type_ids": "int64",
        "attention_mask": "int64",
    }


def test_tells_what_pads_each_input() -> None:
    """Each input's padding value is that of the tokenizer, or 0 for masks and types."""
    content = tokenizer_json().replace(b'"pad_id": 0', b'"pad_id": 7').replace(b'"pad_id":0', b'"pad_id":7')
    signature = Signature(inputs=(IDS, MASK, TYPES), outputs=(VECTOR,))
    texts = text_input(content=content, signature=signature)
    assert texts.pads == {"input_ids": 7, "attention_mask": 0, "token_type_ids": 0}
    assert texts.encode(as_bytes("", "hello there")).arrays["input_ids"][0].tolist() == [101, 102, 7, 7]


def test_cuts_a_long_text_and_says_so() -> None:
    """A long text is cut to the model's maximum, ends with the special token, and is reported as
    truncated."""
    encoded = TEXTS.encode(as_bytes("short", "long " * 127))
    assert encoded.arrays["input_ids"].shape == (2, TEXTS.max_tokens)
    assert encoded.arrays["input_ids"][1, -1] == 102
    assert encoded.parameters == {"truncated_rows": 1}


def test_a_text_that_just_fits_is_not_cut() -> None:
    """A text of 126 words and two special tokens fits into 128 tokens and is not cut."""
    assert TEXTS.encode(as_bytes("long " * 126)).parameters == {}


def test_looks_at_no_more_of_a_text_than_it_can_need() -> None:
    """Of a text of a megabyte only the first 8,192 characters are read, and its tokens are the same."""
    text = "".join(f"word{number} " for number in range(100_000))
    encoded = TEXTS.encode(as_bytes(text))
    np.testing.assert_array_equal(encoded.arrays["input_ids"], [LIBRARY.encode(text[:20_000]).ids])
    assert encoded.truncated_rows == 1


def test_says_that_the_end_of_a_blank_text_was_not_looked_at() -> None:
    """A text with a word after 9,000 blanks is reported as truncated."""
    encoded = TEXTS.encode(as_bytes(" " * 9000 + "word"))
    assert (encoded.tokens, encoded.truncated_rows) == (2, 1)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([b"fine", b"caf\xe9"], "text 1 .* byte 0xe9 at 3"),
        ([], "has 0 texts, expected 1 to 2048"),
        ([b""] * 2049, "has 2049 texts, expected 1 to 2048"),
    ],
    ids=["latin-1", "no texts", "too many"],
)
def test_refuses_what_it_cannot_read(texts: list[bytes], message: str) -> None:
    """The error names the invalid text and its fault."""
    with pytest.raises(InvalidRequest, match=message):
        TEXTS.encode(as_bytes(*texts))


def test_refuses_a_text_without_tokens() -> None:
    """A text for which the tokenizer gives no tokens is refused."""
    words = tokenizers.Tokenizer(WordLevel({"[UNK]": 0, "word": 1}, unk_token="[UNK]"))
    words.enable_truncation(8)
    words.enable_padding()
    with pytest.raises(InvalidRequest, match="text 1 has no tokens"):
        text_input(content=words.to_str().encode()).encode(as_bytes("word", ""))


def test_pads_tokens_that_the_client_made() -> None:
    """Tokens from the client are padded and otherwise unchanged."""
    encoded = TEXTS.accept_tokens([[7592], [101, 7592, 102]])
    np.testing.assert_array_equal(encoded.arrays["input_ids"], [[7592, 0, 0], [101, 7592, 102]])
    np.testing.assert_array_equal(encoded.arrays["attention_mask"], [[1, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[5], [30522]], "text 1 has tokens from 30522 to 30522, expected 0 to 30521"),
        ([[-1, 5]], "text 0 has tokens from -1 to 5"),
        ([[5] * 129], "text 0 has 129 tokens, expected at most 128"),
        ([[5], []], "text 1 has no tokens"),
        ([[10**30]], "text 0 has tokens from 10+ to 10+, expected"),
    ],
    ids=["beyond the vocabulary", "negative", "too long", "none", "beyond 64 bits"],
)
def test_refuses_tokens_that_the_model_has_not(rows: list[list[int]], message: str) -> None:
    """Tokens outside the vocabulary are refused."""
    with pytest.raises(InvalidRequest, match=message):
        TEXTS.accept_tokens(rows)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (TensorSpec(name="pixels", datatype="INT64", shape=("batch", "tokens")), "the input 'pixels'"),
        (TensorSpec(name="input_ids", datatype="INT64", shape=("batch", 128)), r"\[-1, 128\]"),
        (TensorSpec(name="input_ids", datatype="FP32", shape=("batch", "tokens")), "FP32"),
        (MASK, "without the input 'input_ids'"),
    ],
    ids=["another input", "one length only", "floats", "no tokens"],
)
def test_refuses_a_graph_that_takes_something_else(spec: TensorSpec, message: str) -> None:
    """A graph whose inputs no tokenizer gives is refused when the bundle is opened."""
    with pytest.raises(InvalidBundle, match=message):
        text_input(signature=Signature(inputs=(spec,), outputs=(VECTOR,)))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{}", "is not a tokenizer"), (b"\xff", "is not a tokenizer"), (None, "expected both, on the right")],
    ids=["no tokenizer", "no text", "no limits"],
)
def test_refuses_a_tokenizer_that_does_not_say_how(content: bytes | None, message: str) -> None:
    """A tokenizer file without a maximum length or padding is refused."""
    bare = tokenizers.Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]")).to_str().encode()
    with pytest.raises(InvalidBundle, match=message):
        text_input(content=content or bare)


def test_a_request_with_texts_has_one_input() -> None:
    """The form for texts has one BYTES input, one string a row, and the model's outputs."""
    [spec] = TEXTS.form.inputs
    assert (spec.name, spec.datatype, spec.shape) == ("text", "BYTES", ("batch",))
    assert TEXTS.form.outputs == SIGNATURE.outputs
    assert TEXTS.form.batches


def test_opens_the_bundles_tokenizer(tmp_path: Path) -> None:
    """The tokenizer is read from the bundle."""
    make_text_bundle(tmp_path, "base")
    texts = open_text(tmp_path / "words" / "base")
    assert texts is not None
    assert texts.encode(as_bytes("hello there")).tokens == 4
    assert texts.embedding == VECTOR


def test_a_classifier_answers_no_embeddings(tmp_path: Path) -> None:
    """A classifier with a tokenizer has no embedding output."""
    make_text_bundle(tmp_path, "base", task="classification")
    texts = open_text(tmp_path / "words" / "base")
    assert texts is not None
    assert texts.embedding is None


def test_a_bundle_without_tokenizer_takes_no_texts(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """A bundle without a tokenizer has no form for texts."""
    make_bundle(tmp_path, "base")
    assert open_text(tmp_path / "linear" / "base") is None


def test_refuses_a_tokenizer_that_was_changed(tmp_path: Path) -> None:
    """A tokenizer file that was changed is refused."""
    make_text_bundle(tmp_path, "base")
    (tmp_path / "words" / "base" / TOKENIZER).write_bytes(b"{}")
    with pytest.raises(InvalidBundle, match="was changed after export"):
        open_text(tmp_path / "words" / "base")


def test_several_threads_get_the_same_tokens() -> None:
    """Calls in four threads give the same tokens as one call alone."""
    texts = as_bytes(*(f"number {number} of a few " * (number % 7 + 1) for number in range(40)))
    once = TEXTS.encode(texts).arrays["input_ids"]
    with ThreadPoolExecutor(4) as threads:
        for encoded in threads.map(TEXTS.encode, [texts] * 12):
            np.testing.assert_array_equal(encoded.arrays["input_ids"], once)


@pytest.mark.parametrize(("words", "turns"), [(5, 0), (1000, 1)], ids=["short", "long"])
def test_only_a_long_request_leaves_the_event_loop(words: int, turns: int) -> None:
    """A long request is tokenized in a thread, and a short one in the event loop."""

    async def encode() -> int:
        passed = 0

        async def count() -> None:
            nonlocal passed
            while True:
                passed += 1
                await asyncio.sleep(0)

        others = asyncio.create_task(count())
        encoded = await TEXTS.encode_async(as_bytes("word " * words))
        assert encoded.tokens == min(words, 126) + 2
        others.cancel()
        return passed

    assert min(asyncio.run(encode()), 1) == turns
