"""Makes random rows, and divides them among the splits. Pure."""

import string
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from export.data.datasets import Split
from export.data.files.splitting import split_rows
from export.data.inputs import MASK
from export.data.random.random_form import RandomForm, RandomInput

Rows = dict[str, NDArray[np.generic]]
Pair = tuple[Rows, None]
SHARES = {"calibration": 0.25, "search": 0.25, "held_out": 0.5}
_MOST_WORDS, _MOST_LETTERS = 40, 8
# A text that is much shorter than the others would leave nothing to cut.
_FEWEST_TOKENS = 8


def make_rows(inputs: Mapping[str, RandomInput], rows: int, seed: int) -> Rows:
    """Return random values for each input, [rows, *shape]. An attention mask marks the tokens of a row, the
    first 8 or more."""
    # One stream for each input, so that another range of one does not change the others.
    streams = np.random.default_rng(seed).spawn(len(inputs))
    return {
        name: _make_masks(form, rows, stream)
        if name == MASK and len(form.shape) == 1
        else _make_values(form, rows, stream)
        for (name, form), stream in zip(inputs.items(), streams, strict=True)
    }


def make_splits(form: RandomForm, seed: int, read: Callable[[str, Pair], Split]) -> dict[str, Pair]:
    """Return the splits calibration, search and held_out, without labels and with no row in two of them.

    `read` checks the rows; its first argument is their place in messages. Raises InvalidData if the inputs
    have too few different values."""
    rows = make_rows(form.inputs, form.rows, seed)
    place = "data.random"
    hashes = read(place, (rows, None)).row_hashes
    parts = split_rows(place, hashes, None, SHARES, seed)
    return {name: ({key: array[part] for key, array in rows.items()}, None) for name, part in parts.items()}


def _make_values(form: RandomInput, rows: int, random: np.random.Generator) -> NDArray[np.generic]:
    shape = (rows, *form.shape)
    if form.dtype == "text":
        return np.array([_make_text(random) for _ in range(rows)], object)
    if form.dtype == "string":
        low, high = (0, 9) if form.low is None or form.high is None else (form.low, form.high)
        return random.integers(int(low), int(high), shape, endpoint=True).astype(str).astype(object)
    dtype = np.dtype(form.dtype)
    if form.low is None or form.high is None:
        if dtype.kind == "f":
            return random.standard_normal(shape).astype(dtype)
        return random.integers(0, 1, shape, endpoint=True).astype(dtype)
    if dtype.kind == "f":
        return random.uniform(form.low, form.high, shape).astype(dtype)
    return random.integers(int(form.low), int(form.high), shape, endpoint=True).astype(dtype)


def _make_masks(form: RandomInput, rows: int, random: np.random.Generator) -> NDArray[np.generic]:
    longest = form.shape[0]
    lengths = random.integers(min(_FEWEST_TOKENS, longest), longest, rows, endpoint=True)
    # At least one row has every token.
    lengths[0] = longest
    return (np.arange(longest) < lengths[:, None]).astype(form.dtype)


def _make_text(random: np.random.Generator) -> str:
    sizes = random.integers(1, _MOST_LETTERS, random.integers(_FEWEST_TOKENS, _MOST_WORDS), endpoint=True)
    letters = list(string.ascii_lowercase)
    return " ".join("".join(random.choice(letters, size)) for size in sizes)
