from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from export.data.datasets import Split, read_split
from export.data.random.random_form import RandomForm, RandomInput
from export.data.random.random_rows import make_rows, make_splits
from export.errors import InvalidData


def _read(place: str, pair: Any) -> Split:
    return read_split(place, pair, None, True)


def test_values_have_the_declared_shape_type_and_range() -> None:
    """Whole numbers lie within `low` and `high`, and both ends occur."""
    [ids] = make_rows({"ids": RandomInput(dtype="int32", shape=(6,), low=2, high=5)}, 50, 0).values()
    assert (ids.shape, str(ids.dtype)) == ((50, 6), "int32")
    assert set(ids.ravel().tolist()) == {2, 3, 4, 5}


def test_floats_without_a_range_are_normal() -> None:
    """Mean 0 and deviation 1; of 20,000 numbers, the mean is within 5 standard errors."""
    [x] = make_rows({"x": RandomInput(dtype="float32", shape=(100,))}, 200, 0).values()
    assert abs(float(x.mean())) < 5 / np.sqrt(x.size)
    assert abs(float(x.std()) - 1) < 0.05


def test_a_mask_marks_the_first_tokens() -> None:
    """Every row of an attention mask is ones, then zeros, and the first row has no zeros."""
    [mask] = make_rows({"attention_mask": RandomInput(dtype="int64", shape=(16,))}, 30, 0).values()
    assert mask[0].tolist() == [1] * 16
    assert (np.diff(mask, axis=1) <= 0).all()
    assert mask.sum(axis=1).min() >= 8


def test_the_same_seed_gives_the_same_rows() -> None:
    """Another seed gives other rows."""
    form = {"x": RandomInput(dtype="float32", shape=(3,))}
    first, again, other = (make_rows(form, 4, seed)["x"] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_splits_have_no_row_in_common() -> None:
    """Of 2 x 200 rows of a few numbers, equal ones are in one split."""
    form = RandomForm(rows=200, inputs={"x": RandomInput(dtype="int64", shape=(), low=0, high=30)})
    splits = make_splits(form, 0, _read)
    values = [set(inputs["x"].tolist()) for inputs, _ in splits.values()]
    assert list(splits) == ["calibration", "search", "held_out"]
    assert sum(map(len, values)) == len(set.union(*values))


def test_inputs_with_one_value_are_refused() -> None:
    """A measurement needs different rows."""
    form = RandomForm(inputs={"x": RandomInput(dtype="int64", shape=(2,), low=1, high=1)})
    with pytest.raises(InvalidData, match=r"data\.random holds 1 different rows"):
        make_splits(form, 0, _read)


def test_half_a_range_is_refused() -> None:
    """`low` without `high` is a mistake."""
    with pytest.raises(ValidationError, match="belong together"):
        RandomInput(dtype="float32", low=1)
