"""The base class of records whose fields are added: over ticks, gateways and outputs."""

from typing import Annotated, Self

from pydantic import Field

from serve.base.record import Record

Sum = Annotated[int, Field(ge=0)]
Total = Annotated[float, Field(ge=0)]


class Sums(Record):
    """Counts that can be added in any order."""

    def __add__(self, other: Self) -> Self:
        return type(self)(
            **{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields}
        )
