"""Splits are validated, fingerprinted by content, and share no row."""

from typing import Any

import numpy as np
import pytest
import tokenizers
from numpy.typing import NDArray

from export.data.datasets import Data, read_data
from export.data.label_check import require_labels_below, require_labels_for
from export.data.tokenizer import Tokenizer
from export.errors import InvalidData

NAMES = ("train", "calibration", "search", "held_out")


def raw(**changes: Any) -> dict[str, Any]:
    """Return four valid splits of three rows, with these changes."""
    splits = {
        name: ({"x": np.arange(6, dtype=np.float32).reshape(3, 2) + 10 * number}, np.array([0, 1, 2]))
        for number, name in enumerate(NAMES)
    }
    return {**splits, **changes}


def rows(*values: float) -> NDArray[np.float32]:
    """One row of two elements per value."""
    return np.array([[value, value] for value in values], np.float32)


def padded(*ids: list[int], width: int) -> dict[str, NDArray[np.int64]]:
    """Rows of tokens as a model takes them."""
    return {
        "input_ids": np.array([[*row, *[0] * (width - len(row))] for row in ids]),
        "attention_mask": np.array([[1] * len(row) + [0] * (width - len(row)) for row in ids]),
    }


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """A word for each letter."""
    vocabulary = {"[PAD]": 0, "[UNK]": 1, **{letter: number for number, letter in enumerate("abcdefgh", 2)}}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return Tokenizer("letters", made.to_str().encode(), 8, 0)


def text(**changes: Any) -> dict[str, Any]:
    """Return three valid splits of two texts without labels, with these changes."""
    splits = {"calibration": ["a", "a b c"], "search": ["b", "b c"], "held_out": ["c", "d"]}
    return {**{name: ({"text": texts}, None) for name, texts in splits.items()}, **changes}


def test_accepts_sound_splits() -> None:
    """Valid splits keep their inputs, and the signature has their dimensions."""
    data = read_data(raw(), "make")
    assert len(data.held_out) == 3
    assert data.calibration.inputs["x"].tolist() == [[10, 11], [12, 13], [14, 15]]
    assert data.calibration.dims == {"x": ("batch", 2)}


def test_splits_cannot_be_changed() -> None:
    """The arrays of a split are read-only."""
    with pytest.raises(ValueError, match="read-only"):
        read_data(raw(), "make").search.inputs["x"][0] = 1


def test_labels_and_the_train_split_may_be_missing() -> None:
    """Labels and the train split are optional; a step that needs the train split says so."""
    splits = raw(held_out=({"x": rows(7, 8)}, None))
    del splits["train"]
    data = read_data(splits, "make")
    assert data.held_out.labels is None
    assert list(data.splits) == ["calibration", "search", "held_out"]
    with pytest.raises(InvalidData, match="finetune needs rows to train on; add the split 'train'"):
        data.require_train("finetune")


def test_texts_become_tokens(tokenizer: Tokenizer) -> None:
    """Texts are tokenized, and the split has the length of each."""
    split = read_data(text(), "make", tokenizer).calibration
    assert split.inputs["input_ids"].tolist() == [[2, 0, 0], [2, 3, 4]]
    assert split.lengths is not None
    assert split.lengths.tolist() == [1, 3]
    assert split.dims == {"input_ids": ("batch", "tokens"), "attention_mask": ("batch", "tokens")}


def test_a_batch_is_padded_no_further_than_it_needs(tokenizer: Tokenizer) -> None:
    """A batch is padded to its own longest row."""
    split = read_data(text(), "make", tokenizer).calibration
    assert split.take(np.array([0]))["input_ids"].tolist() == [[2]]


def test_other_inputs_are_cut_with_the_mask() -> None:
    """Inputs of the padded width are cut with the mask, and other inputs are not."""
    extra = {"type_ids": np.zeros((2, 4), np.int64), "image": np.zeros((2, 5, 4), np.float32)}
    splits = {
        name: ({**padded([number, 1], [number], width=4), **extra}, None) for number, name in enumerate(NAMES)
    }
    split = read_data(splits, "make").search
    assert split.dims["image"] == ("batch", 5, 4)
    assert {name: array.shape for name, array in split.take(np.array([0, 1])).items()} == {
        "input_ids": (2, 2),
        "attention_mask": (2, 2),
        "type_ids": (2, 2),
        "image": (2, 5, 4),
    }


def test_padding_does_not_hide_a_shared_row() -> None:
    """The same tokens are the same row however far they are padded."""
    splits = {
        "calibration": (padded([1], [2], width=2), None),
        "search": (padded([3], [4], width=2), None),
        "held_out": (padded([5], [2], width=7), None),
    }
    with pytest.raises(
        InvalidData, match=r"calibration and held_out share 1 rows \(calibration\[1\] = held_out\[1"
    ):
        read_data(splits, "make")


def test_labels_per_token_are_padded_with_the_tokens(tokenizer: Tokenizer) -> None:
    """Labels per token are padded with -100."""
    data = read_data(text(search=({"text": ["b", "b c"]}, [[1], [0, -100]])), "make", tokenizer)
    assert data.search.labels is not None
    assert data.search.labels.tolist() == [[1, -100], [0, -100]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[1], [0, 1, 1]], "row 1 has 2 tokens and 3 labels"),
        ([[1, 1], [0, 1]], "row 0 has 1 tokens and 2 labels"),
        ([[1], [0, -1]], "label -1 in row 1"),
        ([[-100], [-100, -100]], "all labels are -100"),
        ([[1]], "2 rows and 1 labels"),
    ],
)
def test_refuses_labels_that_do_not_fit_the_tokens(tokenizer: Tokenizer, labels: Any, message: str) -> None:
    """Labels whose number differs from the number of tokens are refused."""
    with pytest.raises(InvalidData, match=message):
        read_data(text(search=({"text": ["b", "b c"]}, labels)), "make", tokenizer)


def test_shared_rows_are_named() -> None:
    """The error for shared rows gives the splits, the number of rows and their places."""
    changes = {"train": ({"x": rows(1, 2, 3)}, [0, 1, 2]), "held_out": ({"x": rows(9, 3, 2)}, [0, 0, 0])}
    with pytest.raises(
        InvalidData,
        match=r"train and held_out share 2 rows \(train\[2\] = held_out\[1\], train\[1\] = held_out\[2\]\)",
    ):
        read_data(raw(**changes), "make")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heldout": None}, "unknown split 'heldout'; did you mean 'held_out'"),
        ({"search": None}, "split search is not a pair"),
        ({"search": (rows(1), [0])}, "split search is not a pair"),
        ({"search": ({"x": rows(1, 2)}, [0])}, "split search has 2 rows and 1 labels"),
        ({"search": ({"x": rows(1, 2)}, 3)}, "split search has 2 rows and 0 labels"),
        ({"search": ({"x": rows(1, 2), "y": rows(1)}, [0, 1])}, "input y has the shape .* equally many rows"),
        ({"search": ({"x": rows()}, np.array([], int))}, "split search: input x is empty"),
        ({"search": ({"x": rows(1)}, [0])}, "split search holds 1 different rows; fewer than 2"),
        ({"search": ({"x": rows(1, 1, 1)}, [0, 1, 2])}, "split search holds 1 different rows"),
        ({"search": ({"x": rows(1, np.nan)}, [0, 1])}, "input x holds NaN or infinity, first in row 1"),
        (
            {"search": ({"x": rows(1, 2).astype("c8")}, [0, 1])},
            "input x is complex64, which is not supported",
        ),
        (
            {"search": ({"x": [[1, 2], [3]]}, [0, 1])},
            "input x is not an array: .*give all rows the same shape",
        ),
        ({"search": ({"text": ["a", "b"]}, [0, 1])}, "input text is <U1, .*give the source a `tokenizer`"),
        ({"search": ({"x": rows(1, 2)}, [0.5, 1])}, "labels are float64"),
        ({"search": ({"x": rows(1, 2)}, [0, -1])}, "label -1 in row 1; labels start at 0"),
        ({"search": ({"y": rows(1, 2)}, [0, 1])}, "split search has the inputs {'y'"),
        (
            {"search": ({"x": rows(1, 2).astype(np.float64)}, [0, 1])},
            "split search has the inputs {'x': 'float64",
        ),
    ],
)
def test_refuses_unsound_splits(changes: dict[str, Any], message: str) -> None:
    """A fault is named with its split and its row."""
    with pytest.raises(InvalidData, match=message):
        read_data(raw(**changes), "make")


def test_half_floats_become_floats() -> None:
    """Half floats are converted exactly to float32."""
    halves = {
        name: ({"x": inputs["x"].astype(np.float16) / 3}, labels) for name, (inputs, labels) in raw().items()
    }
    came = read_data(halves, "make").calibration.inputs["x"]
    assert came.dtype == np.float32
    assert np.array_equal(came, halves["calibration"][0]["x"])


def test_a_file_may_take_strings() -> None:
    """A file's inputs may be strings, and shared string rows are found."""
    words = {"search": ["a", "b"], "calibration": ["c", "d"], "held_out": ["e", "ff"]}
    splits: dict[str, Any] = {name: ({"word": np.array(some)[:, None]}, None) for name, some in words.items()}
    data = read_data(splits, "make", of_file=True)
    assert data.held_out.inputs["word"].tolist() == [["e"], ["ff"]]
    splits["search"] = ({"word": [["a"], ["ff"]]}, None)
    with pytest.raises(InvalidData, match=r"search\[1\] = held_out\[1\]"):
        read_data(splits, "make", of_file=True)


def test_a_file_may_take_one_string_per_row() -> None:
    """Strings of shape [rows] are told apart, too."""
    words = {"search": ["a", "b"], "calibration": ["c", "d"], "held_out": ["e", "f"]}
    splits: dict[str, Any] = {name: ({"word": np.array(some)}, None) for name, some in words.items()}
    assert read_data(splits, "make", of_file=True).held_out.inputs["word"].tolist() == ["e", "f"]
    splits["search"] = ({"word": ["a", "f"]}, None)
    with pytest.raises(InvalidData, match=r"search\[1\] = held_out\[1\]"):
        read_data(splits, "make", of_file=True)


def test_what_is_no_string_among_strings_is_refused() -> None:
    """An array with strings and other objects is refused."""
    changes = {"search": ({"x": np.array([["a"], [None]], object)}, [0, 1])}
    with pytest.raises(InvalidData, match=r"input x is object, .*give numbers, or strings only"):
        read_data(raw(**changes), "make", of_file=True)


def test_nan_is_a_missing_value_of_a_file() -> None:
    """NaN in the data of a file is accepted, and infinity is refused."""
    changes = {"search": ({"x": rows(1, np.nan)}, [0, 1])}
    assert np.isnan(read_data(raw(**changes), "make", of_file=True).search.inputs["x"][1]).all()
    changes = {"search": ({"x": rows(1, np.inf)}, [0, 1])}
    with pytest.raises(InvalidData, match="input x holds infinity, first in row 1"):
        read_data(raw(**changes), "make", of_file=True)


@pytest.mark.parametrize(
    "mask", [[[0, 1], [1, 1]], [[1, 2], [1, 1]], [[0, 0], [1, 1]]], ids=["left", "2", "none"]
)
def test_refuses_rows_that_are_not_padded_on_the_right(mask: list[list[int]]) -> None:
    """A mask that is not ones followed by zeros is refused."""
    inputs = {"input_ids": np.array([[1, 2], [3, 4]]), "attention_mask": np.array(mask)}
    with pytest.raises(InvalidData, match=r"in row 0; expected .* pad on the right"):
        read_data(raw(train=(inputs, None)), "make")


@pytest.mark.parametrize("texts", ["a b", ["a", 3], []])
def test_refuses_texts_that_are_no_list_of_strings(tokenizer: Tokenizer, texts: Any) -> None:
    """Texts that are not a list of strings are refused."""
    with pytest.raises(InvalidData, match=r"list of strings|is empty"):
        read_data(text(search=({"text": texts}, None)), "make", tokenizer)


def test_refuses_a_missing_split() -> None:
    """A missing split other than `train` is refused."""
    splits = raw()
    del splits["calibration"]
    with pytest.raises(InvalidData, match="no split 'calibration'"):
        read_data(splits, "make")


def test_labels_must_be_classes_of_the_model(data: Data) -> None:
    """A label beyond the model's outputs is named with its row."""
    require_labels_below(data, 10)
    with pytest.raises(InvalidData, match=r"labels are out of range, first 9 in row \d+; .* 0 to 8"):
        require_labels_below(data, 9)


def test_labels_that_begin_at_1_are_told_so() -> None:
    """Labels of 1 to 3 for 3 classes come with the advice to subtract 1."""
    splits = raw()
    shifted = {name: (inputs, None if y is None else y + 1) for name, (inputs, y) in splits.items()}
    with pytest.raises(InvalidData, match="begin at 1: subtract 1"):
        require_labels_below(read_data(shifted, "make"), 3)


def test_labels_must_be_of_the_tasks_kind() -> None:
    """Labels per row are refused for embeddings and for tokens."""
    data = read_data(raw(), "make")
    require_labels_for(data, "classification")
    with pytest.raises(
        InvalidData, match=r"split train has one label per row, .* embedding, takes no labels"
    ):
        require_labels_for(data, "embedding")
    with pytest.raises(InvalidData, match="takes one label per token"):
        require_labels_for(data, "token_classification")


def test_fingerprint_ignores_the_order_of_rows() -> None:
    """The same rows in another order are the same data."""
    one = read_data(raw(search=({"x": rows(1, 2)}, [0, 1])), "make").search.fingerprint
    other = read_data(raw(search=({"x": rows(2, 1)}, [1, 0])), "make").search.fingerprint
    assert one == other


def test_fingerprint_knows_the_labels() -> None:
    """The same rows with other labels are other data."""
    one = read_data(raw(search=({"x": rows(1, 2)}, [0, 1])), "make").search.fingerprint
    other = read_data(raw(search=({"x": rows(1, 2)}, [1, 0])), "make").search.fingerprint
    assert one != other
