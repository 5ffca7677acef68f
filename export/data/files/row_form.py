"""Defines how the rows of a file become the inputs and the labels of a model."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from serve.base.record import Record

Key = Annotated[str, Field(min_length=1)]
# The types that training and every client support.
Dtype = Literal[
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"
]
_Size = Annotated[int, Field(ge=1)]

# One array, column or key of the file, or several columns that stand side by side.
Origin = Annotated[
    Annotated[Key, Tag("one")] | Annotated[tuple[Key, ...], Field(min_length=1), Tag("several")],
    Discriminator(lambda origin: "one" if isinstance(origin, str) else "several"),
]
# A list of names, or a mapping from names to the file's names.
Inputs = Annotated[
    Annotated[tuple[Key, ...], Field(min_length=1), Tag("list")]
    | Annotated[dict[Key, Origin], Field(min_length=1), Tag("mapping")],
    Discriminator(lambda inputs: "mapping" if isinstance(inputs, Mapping) else "list"),
]


class ImageForm(Record):
    """How an image becomes an array of float32."""

    # Height and width. Images of another size are resized, without regard to their proportions. None: each
    # keeps its size, for models that take any.
    size: tuple[_Size, _Size] | None = None
    # A pixel of 0 to 255 becomes (pixel - mean) / scale. There is one number for gray images, or one each for
    # red, green and blue.
    mean: tuple[float, ...]
    scale: tuple[Annotated[float, Field(gt=0)], ...]
    # Whether the channels come before or after height and width.
    layout: Literal["NCHW", "NHWC"] = "NCHW"

    @model_validator(mode="after")
    def _one_per_channel(self) -> Self:
        if len(self.mean) != len(self.scale) or len(self.mean) not in (1, 3):
            raise ValueError(
                f"mean has {len(self.mean)} numbers and scale {len(self.scale)}; give each one number for "
                "gray images, or three for red, green and blue"
            )
        return self


class RowForm(Record):
    """What to take from a file."""

    # None: every array or column except the labels, under its own name; for JSON lines, `text`.
    inputs: Inputs | None = None
    # The array, column or key with the label of each row; for images, `folder`: the name of the subfolder.
    # None: unlabelled.
    labels: Key | None = None
    # The types of inputs, by their names, and of the labels; others keep the file's type.
    dtypes: dict[Key, Dtype] = Field(default_factory=dict)
    # For a folder of images only.
    images: ImageForm | None = None
