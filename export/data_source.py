"""The data of a recipe: a function that returns the splits, files, or random rows."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, JsonValue, Tag, model_validator

from export.data.files.row_form import RowForm
from export.data.random.random_form import RandomForm
from export.step import ImportPath, Part, Share
from serve.base.record import Record

_Path = Annotated[str, Field(min_length=1)]


class DataFactory(Record):
    """A function that returns the splits; see export/data/datasets.py for its return value."""

    factory: ImportPath
    arguments: dict[str, JsonValue] = Field(default_factory=dict)


class DataPaths(RowForm):
    """One file for all rows, or one for each split; each is relative to the recipe's folder."""

    # A file (.npz, .npy, .parquet, .csv, .jsonl), or a folder of images.
    path: _Path | None = None
    train: _Path | None = None
    calibration: _Path | None = None
    search: _Path | None = None
    held_out: _Path | None = None

    @model_validator(mode="after")
    def _one_or_each(self) -> Self:
        needed = ("calibration", "search", "held_out")
        missing = [name for name in needed if getattr(self, name) is None]
        if self.path is not None and self.by_split:
            raise ValueError(
                f"`path` is the file of all splits, and {', '.join(self.by_split)} have files of their own; "
                "give one or the other"
            )
        if self.path is None and missing:
            raise ValueError(
                f"no file for {', '.join(missing)}; give one `path` and a `split`, or a file for each of "
                f"{', '.join(needed)} (and train)"
            )
        return self

    @property
    def by_split(self) -> dict[str, str]:
        """The file of each split that has its own."""
        found = {name: getattr(self, name) for name in ("train", "calibration", "search", "held_out")}
        return {name: path for name, path in found.items() if path is not None}


class Shares(Record):
    """The share of the rows of each split."""

    train: Share = 0.0
    calibration: Part
    search: Part
    held_out: Part

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = sum(self.by_split.values())
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"the shares sum to {total:g}; they must sum to 1")
        return self

    @property
    def by_split(self) -> dict[str, float]:
        """The share of each split."""
        return {name: getattr(self, name) for name in Shares.model_fields}


class DataFiles(Record):
    """Files with the rows, and how to divide them among the splits."""

    files: DataPaths
    # Only with `path`.
    split: Shares | None = None
    # Seeds the choice of the rows of each split.
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @model_validator(mode="after")
    def _divided_once(self) -> Self:
        if self.files.path is not None and self.split is None:
            raise ValueError(
                "one `path` needs a `split`, such as "
                "split: {train: 0.5, calibration: 0.1, search: 0.15, held_out: 0.25}"
            )
        if self.files.path is None and self.model_fields_set & {"split", "seed"}:
            raise ValueError(
                "`split` and `seed` divide one `path`, and each split has its own file; remove them"
            )
        return self


class DataRandom(Record):
    """Random rows, for a model without data. They prove nothing about its quality, which its bundles say."""

    random: RandomForm
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


def _kind(data: Any) -> str | None:
    for key, kind in (("factory", DataFactory), ("files", DataFiles), ("random", DataRandom)):
        if isinstance(data, kind) or (isinstance(data, Mapping) and key in data):
            return key
    return None


DataSource = Annotated[
    Annotated[DataFactory, Tag("factory")]
    | Annotated[DataFiles, Tag("files")]
    | Annotated[DataRandom, Tag("random")],
    Discriminator(
        _kind,
        custom_error_type="data",
        custom_error_message="data must have one of the keys factory, files, random",
    ),
]
