"""A folder of images becomes one input."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.data.files.row_file import read_rows
from export.data.files.row_form import RowForm
from export.errors import InvalidData
from serve.base.errors import InvalidRecord

RGB = {"size": [2, 4], "mean": [0, 100, 0], "scale": [1, 50, 255]}
GRAY = {"size": [2, 4], "mean": [0], "scale": [255]}


def save(path: Path, color: Any, mode: str = "RGB", size: tuple[int, int] = (4, 2)) -> None:
    """Save an image of one color; `size` is width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)


def read(folder: Path, **form: Any) -> Any:
    """Return what a recipe with these settings reads from the folder."""
    return read_rows(folder, RowForm.parse({"inputs": ["image"], "images": RGB, **form}, "form"))


def test_a_pixel_is_scaled_by_channel(tmp_path: Path) -> None:
    """A pixel becomes (pixel - mean) / scale, with the channels first."""
    save(tmp_path / "a.png", (10, 200, 51))
    image = read(tmp_path).inputs["image"]
    assert image.dtype == np.float32
    assert image.shape == (1, 3, 2, 4)
    assert image[0, :, 0, 0].tolist() == pytest.approx([10, 2, 0.2])


def test_channels_may_be_last(tmp_path: Path) -> None:
    """With `layout: NHWC` the channels are last, as in TensorFlow."""
    save(tmp_path / "a.png", (10, 200, 51))
    image = read(tmp_path, images={**RGB, "layout": "NHWC"}).inputs["image"]
    assert image.shape == (1, 2, 4, 3)
    assert image[0, 1, 3].tolist() == pytest.approx([10, 2, 0.2])


@pytest.mark.parametrize(("mode", "color"), [("L", 51), ("RGB", (51, 51, 51)), ("RGBA", (51, 51, 51, 255))])
def test_one_mean_is_of_gray_images(tmp_path: Path, mode: str, color: Any) -> None:
    """With one mean, color images become gray."""
    save(tmp_path / "a.png", color, mode)
    image = read(tmp_path, images=GRAY).inputs["image"]
    assert image.shape == (1, 1, 2, 4)
    assert image[0, 0, 0, 0] == pytest.approx(0.2)


def test_images_of_other_sizes_are_resized(tmp_path: Path) -> None:
    """Images of any size are resized to the stated size."""
    save(tmp_path / "a.png", (255, 0, 0), size=(9, 7))
    save(tmp_path / "b.png", (0, 0, 255), size=(4, 2))
    image = read(tmp_path).inputs["image"]
    assert image.shape == (2, 3, 2, 4)
    assert image[:, 0].mean(axis=(1, 2)).tolist() == [255, 0]


def test_raw_pixels_may_be_bytes(tmp_path: Path) -> None:
    """With a mean of 0 and a scale of 1, pixels may be uint8 and keep their values."""
    save(tmp_path / "a.png", 200, "L")
    form = {"images": {**GRAY, "scale": [1]}, "dtypes": {"image": "uint8"}}
    image = read(tmp_path, **form).inputs["image"]
    assert image.dtype == np.uint8
    assert (image == 200).all()


def test_the_folder_of_an_image_is_its_label(tmp_path: Path) -> None:
    """The label of an image is its top folder; images are in the order of their paths, and hidden files are
    ignored."""
    save(tmp_path / "dog" / "1.jpg", (0, 0, 0))
    save(tmp_path / "cat" / "more" / "2.png", (0, 0, 0))
    (tmp_path / ".DS_Store").write_bytes(b"hidden")
    assert read(tmp_path, labels="folder").labels.tolist() == ["cat", "dog"]
    assert read(tmp_path).labels is None


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"labels": "folder"}, r"a\.png lies in no subfolder, so it has no label"),
        ({"labels": "kind"}, "has no labels 'kind'; write `labels: folder`"),
        ({"images": None}, r"is a folder; say how its images become numbers: `images: \{size"),
        ({"inputs": None}, r"name the input that they are: `inputs: \[image\]`"),
        ({"inputs": ["a", "b"]}, "name the input that they are"),
        ({"dtypes": {"image": "uint8"}}, "holds -2.0 in row 0, which cannot become uint8"),
    ],
)
def test_refuses_settings_that_do_not_fit(tmp_path: Path, form: Any, message: str) -> None:
    """The error says what to write instead."""
    save(tmp_path / "a.png", (1, 0, 0))
    with pytest.raises(InvalidData, match=message):
        read(tmp_path, **form)


def test_refuses_an_empty_folder(tmp_path: Path) -> None:
    """A folder without images is refused."""
    with pytest.raises(InvalidData, match="holds no images"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("notes.txt", r"notes\.txt is no image"), ("b.png", r"b\.png cannot be read as an image")],
)
def test_refuses_files_that_are_no_images(tmp_path: Path, name: str, message: str) -> None:
    """A file in the folder that is no image is refused and named."""
    save(tmp_path / "a.png", (0, 0, 0))
    (tmp_path / name).write_text("text")
    with pytest.raises(InvalidData, match=message):
        read(tmp_path)


def test_refuses_an_image_that_is_cut_off(tmp_path: Path) -> None:
    """The error names an image that is cut off."""
    save(tmp_path / "a.png", (0, 0, 0), size=(64, 64))
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidData, match=r"a\.png cannot be read as an image"):
        read(tmp_path)


def test_refuses_more_than_8_bits(tmp_path: Path) -> None:
    """An image with more than 8 bits per channel is refused, as its values would be cut at 255."""
    save(tmp_path / "a.png", 1000, "I;16")
    with pytest.raises(InvalidData, match=r"a\.png has more than 8 bits per channel \(mode I;16\)"):
        read(tmp_path)


def test_refuses_an_image_that_would_fill_the_memory(tmp_path: Path) -> None:
    """A small file that claims 144 million pixels is refused."""
    save(tmp_path / "a.png", 0, "1", size=(12000, 12000))
    warnings.simplefilter("default")
    with pytest.raises(InvalidData, match=r"a\.png cannot be read as an image .*decompression bomb"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({**RGB, "mean": [0, 0]}, "mean has 2 numbers and scale 3"),
        ({**GRAY, "scale": [0]}, "scale.0: Input should be greater than 0"),
        ({**GRAY, "size": [0, 4]}, "size.0: "),
        ({**GRAY, "layout": "CHW"}, "layout: "),
        ({**GRAY, "sizes": [1, 1]}, "unknown key 'sizes'; did you mean 'size'"),
    ],
)
def test_refuses_senseless_settings(images: Any, message: str) -> None:
    """Invalid image settings are refused when the recipe is read."""
    with pytest.raises(InvalidRecord, match=message):
        RowForm.parse({"images": images}, "form")
