"""Propose the form of random inputs from what a model declares. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from export.data.inputs import MASK
from export.data.random.random_form import RandomInput
from export.repair.input_axes import BATCH_NAMES, Shape

# Sizes to try for the free dimensions of an image, and of everything else, the likeliest first.
_IMAGE_SIZES = (224, 320, 640, 48, 32, 64, 112, 128, 256, 512)
_SIZES = (64, 32, 128, 16, 256, 512, 576, 1024, 1280, 16_000, 48_000, 8, 4, 2, 1)
_IMAGE_DIMS = 4
_LENGTHS = re.compile(r"len|length", re.IGNORECASE)
_RATE = re.compile(r"^sr$|rate", re.IGNORECASE)
_RATE_HZ = 16_000
_BYTE = 255


@dataclass(frozen=True, kw_only=True)
class DeclaredInput:
    """What a model declares of one input."""

    dtype: np.dtype[np.generic]
    # With the rows, along any axis.
    shape: Shape
    # The valid indices, if the values are indices of a table.
    indices: tuple[int, int] | None = None


def find_row_axis(shape: Shape) -> int:
    """Return the likeliest axis of the rows: the one called batch, or the first free one or one of size 1,
    where the first axis comes first."""
    named = [axis for axis, size in enumerate(shape) if isinstance(size, str) and BATCH_NAMES.fullmatch(size)]
    open_ended = [axis for axis in (0,) if shape and (isinstance(shape[0], str) or shape[0] == 1)]
    free = [axis for axis, size in enumerate(shape) if isinstance(size, str)]
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    return next(iter([*named, *open_ended, *free, *ones]), 0)


def propose_inputs(declared: Mapping[str, DeclaredInput]) -> Iterator[dict[str, RandomInput]]:
    """Yield forms of the inputs, the likeliest first: for each size of the free dimensions with normal and
    with small positive floats."""
    free = any(isinstance(size, str) for item in declared.values() for size in _of_row(item.shape))
    images = any(len(item.shape) == _IMAGE_DIMS for item in declared.values())
    sizes = dict.fromkeys((*_IMAGE_SIZES, *_SIZES) if images else _SIZES) if free else {1: None}
    for size in sizes:
        for low, high in ((None, None), (0.0, 1.0)):
            yield {name: _propose(name, item, size, low, high) for name, item in declared.items()}


def _propose(name: str, item: DeclaredInput, size: int, low: float | None, high: float | None) -> RandomInput:
    shape = tuple(size if isinstance(length, str) else length for length in _of_row(item.shape))
    kind = item.dtype.kind
    if kind == "O":
        return RandomInput(dtype="string", shape=shape)
    if item.dtype == np.float16:
        item = DeclaredInput(dtype=np.dtype(np.float32), shape=item.shape)
    if kind in "iu":
        low, high = _find_integers(name, item, shape, size)
    elif kind == "b":
        low, high = None, None
    return RandomInput.model_validate({"dtype": item.dtype.name, "shape": shape, "low": low, "high": high})


def _find_integers(
    name: str, item: DeclaredInput, shape: tuple[int, ...], size: int
) -> tuple[int | None, int | None]:
    if name == MASK:
        return 1, 1
    if item.indices is not None:
        return max(item.indices[0], 0), item.indices[1]
    if item.dtype == np.uint8:
        return 0, _BYTE
    if not shape and _LENGTHS.search(name):
        return size, size
    if not item.shape:
        return (_RATE_HZ, _RATE_HZ) if _RATE.search(name) else (1, 1)
    return None, None


def _of_row(shape: Shape) -> Shape:
    axis = find_row_axis(shape)
    return shape[:axis] + shape[axis + 1 :]
