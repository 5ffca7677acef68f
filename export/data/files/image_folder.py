"""Reads a folder of images, with or without a subfolder for each class."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.data.files.casting import cast
from export.data.files.file_rows import FileRows
from export.data.files.row_form import ImageForm, RowForm
from export.errors import InvalidData

# The value of `labels` for a folder of images.
FOLDER = "folder"
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_MODES = {1: "L", 3: "RGB"}
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)
# A broken PNG file is a SyntaxError.
_BROKEN = (OSError, ValueError, SyntaxError, *_TOO_LARGE)


def read_images(path: Path, form: RowForm) -> FileRows:
    """Read all images below a folder, in the order of their names: [rows, channels, height, width], or with
    the channels last.

    With `labels: folder`, an image's label is the name of the subfolder that it lies in. Raises
    InvalidData."""
    if form.images is None:
        raise InvalidData(
            f"{path} is a folder; say how its images become numbers: "
            "`images: {size: [224, 224], mean: [127.5, 127.5, 127.5], scale: [127.5, 127.5, 127.5]}`"
        )
    names = form.inputs if isinstance(form.inputs, tuple) else ()
    if len(names) != 1:
        raise InvalidData(f"{path} is a folder of images; name the input that they are: `inputs: [image]`")
    files = _find_images(path)
    labels = None if form.labels is None else _read_labels(path, form.labels, files)
    pixels = _read_pixels(files, form.images)
    if pixels.dtype != object:
        pixels = cast(str(path), pixels, form.dtypes.get(names[0]))
    elif form.dtypes:
        raise InvalidData(f"{path} holds images of several sizes, which stay float32; remove `dtypes`")
    return FileRows(inputs={names[0]: pixels}, labels=labels)


def _find_images(path: Path) -> list[Path]:
    """Return all images below the folder; hidden files and folders do not count."""
    files = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    for file in files:
        if file.suffix.lower() not in _SUFFIXES:
            raise InvalidData(
                f"{file} is no image ({', '.join(_SUFFIXES)}); move it out of the folder {path}"
            )
    if not files:
        raise InvalidData(f"{path} holds no images ({', '.join(_SUFFIXES)}); give the folder that holds them")
    return files


def _read_labels(path: Path, labels: str, files: Sequence[Path]) -> NDArray[Any]:
    if labels != FOLDER:
        raise InvalidData(
            f"{path} is a folder of images, which has no labels {labels!r}; write `labels: {FOLDER}` to take "
            "the names of the subfolders, or leave it out"
        )
    for file in files:
        if file.parent == path:
            raise InvalidData(
                f"{file} lies in no subfolder, so it has no label; move each image into a folder named like "
                "its class, or leave out `labels`"
            )
    return np.array([file.relative_to(path).parts[0] for file in files], object)


def _read_pixels(files: Sequence[Path], form: ImageForm) -> NDArray[Any]:
    """Return the images as one array, or as an array of arrays if they have several sizes."""
    if form.size is None:
        several = np.empty(len(files), object)
        for row, file in enumerate(files):
            several[row] = _read_image(file, form)
        return several if len({image.shape for image in several}) > 1 else np.stack(list(several))
    first = _read_image(files[0], form)
    pixels = np.empty((len(files), *first.shape), np.float32)
    for row, file in enumerate(files):
        pixels[row] = _read_image(file, form)
    return pixels


def _read_image(file: Path, form: ImageForm) -> NDArray[np.float32]:
    """Read an image as the model takes it, [channels, height, width] or with the channels last."""
    channels = len(form.mean)
    image = _open(file, _MODES[channels], form.size)
    mean, scale = np.array(form.mean, np.float32), np.array(form.scale, np.float32)
    values: NDArray[np.float32] = (image.reshape(*image.shape[:2], channels) - mean) / scale
    return values.transpose(2, 0, 1) if form.layout == "NCHW" else values


def _open(file: Path, mode: str, size: tuple[int, int] | None) -> NDArray[np.float32]:
    """Read an image, [height, width, ...]; `size` is the height and width to resize it to."""
    try:
        with warnings.catch_warnings():
            # Pillow only warns of a size that may fill the memory. Its other warnings are of metadata.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                return _convert(file, image, mode, size)
    except _BROKEN as error:
        raise InvalidData(
            f"{file} cannot be read as an image ({error}); save it again, or remove it"
        ) from None


def _convert(file: Path, image: Image.Image, mode: str, size: tuple[int, int] | None) -> NDArray[np.float32]:
    if image.mode.startswith(("I", "F")):
        raise InvalidData(f"{file} has more than 8 bits per channel (mode {image.mode}); save it with 8 bits")
    converted = image.convert(mode)
    if size is not None and converted.size != size[::-1]:
        converted = converted.resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(converted, np.float32)
