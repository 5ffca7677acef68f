"""Propose the form of random inputs from what a model declares. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from export.data.random.random_form import RandomInput
from export.repair.input_axes import BATCH_NAMES, Shape

# Sizes to try for the free dimensions of an image, and of everything else, the likeliest first.
_IMAGE_SIZES = (224, 320, 640, 48, 32, 64, 112, 128, 256, 512)
_SIZES = (64, 32, 128, 16, 256, 512, 576, 1024, 1280, 16_000, 48_000, 8, 4, 2, 1)
_IMAGE_DIMS = 4
_LENGTHS = re.compile(r"len|length", re.IGNORECASE)
_RATE = re.compile(r"^sr$|rate", re.IGNORECASE)
_RATE_HZ = 16_000
# The highest whole number to try: bytes, classes, flags.
_HIGHEST = (255, 9, 1)
_INT8_MAX = 127


@dataclass(frozen=True, kw_only=True)
class DeclaredInput:
    """What a model declares of one input."""

    dtype: np.dtype[np.generic]
    shape: Shape
    # That of the rows; None: it has none.
    axis: int | None
    # The valid indices, if the values are indices of a table.
    indices: tuple[int, int] | None = None


def have_rows(shapes: Iterable[Shape]) -> bool:
    """Whether the inputs have rows: not if their first dimensions are free and have different names, such as
    the nodes and the edges of a graph."""
    firsts = {shape[0] for shape in shapes if shape and isinstance(shape[0], str)}
    named = any(BATCH_NAMES.fullmatch(str(size)) for shape in shapes for size in shape)
    return named or len(firsts) < 2


def find_row_axis(shape: Shape) -> int:
    """Return the likeliest axis of the rows: the one called batch, or the first free one or one of size 1,
    where the first axis comes first."""
    named = [axis for axis, size in enumerate(shape) if isinstance(size, str) and BATCH_NAMES.fullmatch(size)]
    open_ended = [axis for axis in (0,) if shape and (isinstance(shape[0], str) or shape[0] == 1)]
    free = [axis for axis, size in enumerate(shape) if isinstance(size, str)]
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    return next(iter([*named, *open_ended, *free, *ones]), 0)


def propose_inputs(declared: Mapping[str, DeclaredInput]) -> Iterator[dict[str, RandomInput]]:
    """Yield forms of the inputs, the likeliest first: for each size of the free dimensions with whole numbers
    of several ranges, and with normal and with small positive floats."""
    free = any(isinstance(size, str) for item in declared.values() for size in _of_row(item))
    images = any(len(item.shape) == _IMAGE_DIMS for item in declared.values())
    sizes = dict.fromkeys((*_IMAGE_SIZES, *_SIZES) if images else _SIZES) if free else {1: None}
    for size, highest, floats in product(sizes, _HIGHEST, (None, (0.0, 1.0))):
        draw = _Draw(size=size, highest=highest, floats=floats)
        # Without whole numbers, the three ranges of them are the same.
        if highest == _HIGHEST[0] or any(item.dtype.kind in "iu" for item in declared.values()):
            yield {name: _propose(name, item, draw) for name, item in declared.items()}


@dataclass(frozen=True, kw_only=True)
class _Draw:
    """What is tried at once."""

    # Of every free dimension.
    size: int
    # The highest whole number, where the graph does not tell.
    highest: int
    # The lowest and the highest float; None: normal.
    floats: tuple[float, float] | None


def _propose(name: str, item: DeclaredInput, draw: _Draw) -> RandomInput:
    shape = tuple(draw.size if isinstance(length, str) else length for length in _of_row(item))
    if item.dtype.kind == "O":
        return RandomInput(dtype="string", shape=shape)
    limits: tuple[float, float] | None = None
    if item.dtype.kind == "f":
        limits = draw.floats
    elif item.dtype.kind in "iu":
        limits = _limit_integers(name, item, shape, draw)
    low, high = limits or (None, None)
    dtype = "float32" if item.dtype == np.float16 else item.dtype.name
    return RandomInput.model_validate({"dtype": dtype, "shape": shape, "low": low, "high": high})


def _limit_integers(
    name: str, item: DeclaredInput, shape: tuple[int, ...], draw: _Draw
) -> tuple[float, float]:
    if "mask" in name:
        return 1, 1
    if item.indices is not None:
        return max(item.indices[0], 0), item.indices[1]
    if not shape and _LENGTHS.search(name):
        return draw.size, draw.size
    if not item.shape:
        return (_RATE_HZ, _RATE_HZ) if _RATE.search(name) else (1, 1)
    return 0, min(draw.highest, _INT8_MAX if item.dtype == np.int8 else draw.highest)


def _of_row(item: DeclaredInput) -> Shape:
    return item.shape if item.axis is None else item.shape[: item.axis] + item.shape[item.axis + 1 :]
