"""Match the arrays or columns of a file to the inputs of a model. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import InvalidData

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class ModelInput:
    """What a model says of one input; None: it does not say."""

    dtype: np.dtype[Any] | None
    dims: int | None


@dataclass(frozen=True, kw_only=True)
class Match:
    """The keys `inputs` and `dtypes` of a recipe's files."""

    # Input -> its array or column, or the columns that stand side by side in it.
    inputs: Mapping[str, str | tuple[str, ...]]
    # Input -> its type, where the file has another one.
    dtypes: Mapping[str, str]


def match_inputs(place: str, expected: Mapping[str, ModelInput], arrays: Mapping[str, Array]) -> Match:
    """Return where each input of the model is in the file at `place`, whose `arrays` exclude the labels.

    Names decide. A single input takes a single array of another name, and all columns if it has two
    dimensions. Raises InvalidData, which lists both sides."""
    inputs: dict[str, str | tuple[str, ...]] = {}
    only = next(iter(expected)) if len(expected) == 1 else None
    if set(expected) <= set(arrays):
        inputs = {name: name for name in expected}
    elif only is not None and len(arrays) == 1:
        inputs = {only: next(iter(arrays))}
    elif only is not None and expected[only].dims in (None, 2) and _are_columns(arrays):
        inputs = {only: tuple(arrays)}
    else:
        raise InvalidData(
            f"{place} has {_list(arrays)}, and the model takes {_list(expected)}: name them alike, or name "
            "the labels with --labels"
        )
    dtypes = {name: _other_type(expected[name], _origin(arrays, of)) for name, of in inputs.items()}
    return Match(inputs=inputs, dtypes={name: dtype for name, dtype in dtypes.items() if dtype is not None})


def _are_columns(arrays: Mapping[str, Array]) -> bool:
    return all(array.ndim == 1 and array.dtype.kind in "biuf" for array in arrays.values())


def _origin(arrays: Mapping[str, Array], of: str | tuple[str, ...]) -> np.dtype[Any]:
    return arrays[of].dtype if isinstance(of, str) else np.result_type(*(arrays[name] for name in of))


def _other_type(expected: ModelInput, dtype: np.dtype[Any]) -> str | None:
    wanted = expected.dtype
    return None if wanted is None or wanted == dtype or wanted.kind not in "biuf" else wanted.name


def _list(names: Mapping[str, object]) -> str:
    return ", ".join(names)
