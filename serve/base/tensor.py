"""The name, datatype and shape of tensors, and the signature of a model."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from serve.base.record import Record

Arrays = Mapping[str, NDArray[np.generic]]

# Open Inference Protocol datatype -> numpy. An element of BYTES is a `bytes` object. numpy has no BF16, so
# its values are stored as their 16 bits.
DATATYPES: dict[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "BF16": np.dtype(np.uint16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}
# Datatypes that JSON cannot represent exactly, as the protocol says.
BINARY_ONLY = frozenset({"FP16", "BF16"})
# NaN and infinity have all of these bits set; no finite number does.
_BF16_EXPONENT = np.uint16(0x7F80)
_NAMES = {dtype: name for name, dtype in DATATYPES.items() if name != "BF16"}


def datatype_of(dtype: np.dtype[np.generic]) -> str:
    """The protocol's name of a numpy type; never BF16. Raises KeyError if the protocol has no such type."""
    return _NAMES[dtype]


class TensorSpec(Record):
    """One tensor of a signature. A dimension is a number, or a name if it may vary; dimensions with the same
    name are equal within one request."""

    name: Annotated[str, Field(min_length=1)]
    datatype: str
    shape: tuple[Annotated[int, Field(ge=1)] | str, ...]

    @field_validator("datatype")
    @classmethod
    def _known(cls, datatype: str) -> str:
        if datatype not in DATATYPES:
            raise ValueError(f"datatype {datatype!r} cannot be served; known: {', '.join(DATATYPES)}")
        return datatype

    @cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """The numpy type of the tensor's elements."""
        return DATATYPES[self.datatype]

    def is_finite(self, array: NDArray[np.generic]) -> bool:
        """Whether `array`, stored as this datatype, has neither NaN nor infinity."""
        if self.datatype == "BF16":
            return not bool(((array.astype(np.uint16) & _BF16_EXPONENT) == _BF16_EXPONENT).any())
        # Counting is several times as fast as `all`.
        return array.dtype.kind != "f" or np.count_nonzero(np.isfinite(array)) == array.size

    def fits(self, array: NDArray[np.generic]) -> bool:
        """Whether `array` has this tensor's type, number of dimensions, and fixed dimensions."""
        shape = array.shape
        if array.dtype != self.dtype or len(shape) != len(self.shape):
            return False
        for place, dim in self._fixed:  # noqa: SIM110 - a generator takes twice as long, for every request
            if shape[place] != dim:
                return False
        return True

    @cached_property
    def _fixed(self) -> tuple[tuple[int, int], ...]:
        """The fixed dimensions, as (index, size)."""
        return tuple((place, dim) for place, dim in enumerate(self.shape) if isinstance(dim, int))

    @property
    def wire_shape(self) -> list[int]:
        """The shape in the form of the protocol: -1 for a dimension that may vary."""
        return [dim if isinstance(dim, int) else -1 for dim in self.shape]

    def example(self, rows: int = 1) -> NDArray[np.generic]:
        """An array of zeros, or of empty strings, of this shape; each varying dimension has size `rows`."""
        shape = [dim if isinstance(dim, int) else rows for dim in self.shape]
        return np.full(shape, b"" if self.datatype == "BYTES" else 0, self.dtype)


class Signature(Record):
    """The inputs and outputs of a model. All variants of a model have the same signature."""

    inputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]
    outputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]

    @cached_property
    def input_by_name(self) -> dict[str, TensorSpec]:
        """The inputs by their names."""
        return {spec.name: spec for spec in self.inputs}

    @cached_property
    def output_by_name(self) -> dict[str, TensorSpec]:
        """The outputs by their names."""
        return {spec.name: spec for spec in self.outputs}

    @cached_property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        return tuple(spec.name for spec in self.outputs)

    @cached_property
    def batches(self) -> bool:
        """Whether rows of several requests can share one run: all first dimensions have the same name."""
        firsts = {spec.shape[0] if spec.shape else 0 for spec in (*self.inputs, *self.outputs)}
        return len(firsts) == 1 and isinstance(firsts.pop(), str)
