"""Prepares valid inputs for any signature, from a file or generated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.errors import LoadTestError
from loadtests.sending.body import Arrays, Body, encode_binary, encode_json
from loadtests.sending.datatypes import DTYPES
from loadtests.sending.input_files import Columns
from loadtests.sending.input_rows import read_rows
from loadtests.sending.model_metadata import ModelMetadata, TensorMetadata
from serve.base.record import nearest

_MADE = 64
# Number of words in generated texts, from short questions to pasted paragraphs.
_WORDS_LEAST, _WORDS_MOST = 4, 60
_WORDS = (
    "the a of and to in is it that for on with as was at by from this have not are but what all when we "
    "there can an your which their one would about model answer traffic weight balance request server user "
    "morning river engine question price paper window garden measure little quick silent heavy careful "
    "different open finds moves carries asks waits promises understanding responsibility nevertheless "
    "Zürich café 2026 42"
)


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """What the requests contain."""

    # None: inputs are made.
    path: Path | None = None
    # With a file: what each input comes from, if that does not have its name.
    columns: Columns = field(default_factory=dict)
    # Without a file: the least and the largest number of an input; others lie in 0..1.
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Payloads:
    """Inputs by index."""

    count: int
    # Returns the arrays of one index, by input.
    arrays: Callable[[int], Arrays]
    metadata: ModelMetadata

    def encode(self, index: int, *, binary: bool) -> Body:
        """Encode the request with this input, as JSON or with tensors as bytes. Raises LoadTestError."""
        encode = encode_binary if binary else encode_json
        body = encode(self.arrays(index), self.metadata)
        limit = self.metadata.max_body_bytes
        if limit is not None and len(body.rest) > limit:
            raise LoadTestError(self._too_large(index, len(body.rest), limit, binary=binary))
        return body

    def _too_large(self, index: int, size: int, limit: int, *, binary: bool) -> str:
        problem = f"one request to {self.metadata.name} has {size:,} bytes, the server takes {limit:,}"
        if not binary:
            size = len(encode_binary(self.arrays(index), self.metadata).rest)
            if size <= limit:
                return f"{problem}; add --binary, which makes it {size:,}"
        return f"{problem}; start the server with --set max_body_bytes={size + 1024} or more"


def prepare_payloads(options: InputOptions, metadata: ModelMetadata) -> Payloads:
    """Return the inputs that the options ask for. Raises LoadTestError."""
    known = [spec.name for spec in metadata.inputs]
    for name in (*options.columns, *options.ranges):
        if name not in known:
            raise LoadTestError(f"{name!r} is not an input of {metadata.name}; {nearest(name, known)}")
    if options.path is not None:
        return read_payloads(options.path, metadata, options.columns)
    return make_payloads(metadata, options.seed, options.ranges)


def make_payloads(
    metadata: ModelMetadata, seed: int, ranges: Mapping[str, tuple[float, float]] = MappingProxyType({})
) -> Payloads:
    """Generate inputs of one row from the signature, with numbers in the `ranges` of their inputs, ends
    included. Raises LoadTestError for unknown datatypes."""
    _check(metadata)

    def arrays(index: int) -> Arrays:
        rng = np.random.default_rng([seed, index])
        return {spec.name: _draw(spec, rng, ranges.get(spec.name, (0, 1))) for spec in metadata.inputs}

    return Payloads(count=_MADE, arrays=arrays, metadata=metadata)


def read_payloads(path: Path, metadata: ModelMetadata, columns: Columns = MappingProxyType({})) -> Payloads:
    """Read one payload per row from a file of any form that `read_inputs` knows.

    Raises LoadTestError if the file does not fit the signature."""
    _check(metadata)
    rows = read_rows(path, metadata, columns)

    def arrays(index: int) -> Arrays:
        return {name: array[index : index + 1] for name, array in rows.items()}

    return Payloads(count=len(next(iter(rows.values()))), arrays=arrays, metadata=metadata)


def _check(metadata: ModelMetadata) -> None:
    if not metadata.inputs:
        raise LoadTestError(f"{metadata.name} has no inputs, so nothing can be sent; name another --model")
    for spec in metadata.inputs:
        if spec.datatype not in DTYPES:
            raise LoadTestError(
                f"input {spec.name!r} of {metadata.name} has datatype {spec.datatype!r}, expected one of "
                f"{', '.join(DTYPES)}; is this server of the Open Inference Protocol?"
            )


def _draw(spec: TensorMetadata, rng: np.random.Generator, limits: tuple[float, float]) -> NDArray[Any]:
    # A size of 1 for a variable dimension may be too small for the model, and would be less work than real
    # inputs.
    example = spec.example_shape if len(spec.example_shape or ()) == len(spec.shape) else None
    shape = [
        size if dim == -1 else dim
        for dim, size in zip(spec.shape, example or [1] * len(spec.shape), strict=True)
    ]
    dtype = DTYPES[spec.datatype]
    if dtype.kind == "f":
        return rng.uniform(*limits, shape).astype(dtype)
    if dtype.kind == "U":
        texts = [_write(rng) for _ in range(int(np.prod(shape)))]
        return np.array(texts, dtype).reshape(shape)
    # 0 and 1, which is the default, are valid for most integer inputs: token ids, masks, counts.
    low, high = map(int, limits)
    return rng.integers(low, high, shape, endpoint=True).astype(dtype)


def _write(rng: np.random.Generator) -> str:
    return " ".join(rng.choice(_WORDS.split(), rng.integers(_WORDS_LEAST, _WORDS_MOST + 1)))
