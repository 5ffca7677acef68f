"""Defines which random rows a model gets that has no data."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from export.data.files.row_form import Dtype, Key
from serve.base.record import Record

Size = Annotated[int, Field(ge=1)]
# Each split needs two different rows, and the held-out split is half of all.
FEWEST_ROWS = 16


class RandomInput(Record):
    """The values of one input."""

    # `string` is a number in words for each element; `text` is what a tokenizer takes.
    dtype: Dtype | Literal["string", "text"]
    # Of one row, without the batch.
    shape: tuple[Size, ...] = ()
    # The lowest and the highest value, inclusive. None: floats have the mean 0 and the deviation 1, and
    # whole numbers are 0 or 1.
    low: int | float | None = None
    high: int | float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("`low` and `high` belong together; give both, or neither")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low is {self.low:g}, above high, {self.high:g}; swap them")
        return self


class RandomForm(Record):
    """The number of rows, and the inputs of each."""

    rows: Annotated[int, Field(ge=FEWEST_ROWS)] = 400
    inputs: Annotated[dict[Key, RandomInput], Field(min_length=1)]
