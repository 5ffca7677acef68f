"""A model of images of any size is exported, calibrated, measured and judged on images of several sizes."""

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from PIL import Image

from export.onnx.from_onnx import from_onnx
from export.pipeline import ExportOutcome, run
from serve.bundles.bundle import MODEL
from serve.engine.session import open_session
from tests.export.data.test_several_sizes import images, split_of

SIZES = ((16, 12), (12, 12), (20, 14))


def make_net() -> torch.nn.Module:
    """A convolutional network for images of any size."""
    torch.manual_seed(0)
    first, second = torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.Conv2d(16, 16, 3, padding=1)
    pool = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    return torch.nn.Sequential(first, torch.nn.ReLU(), second, torch.nn.ReLU(), pool, torch.nn.Linear(16, 3))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """A convolutional network on a folder of images of three sizes, and its variant of 8 bits."""
    folder = tmp_path_factory.mktemp("sizes")
    (folder / "net.safetensors").write_bytes(safetensors.torch.save(make_net().state_dict()))
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    for number in range(100):
        pixels = random.integers(0, 256, SIZES[number % 3], np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number:03}.png")
    recipe = {
        "model": "sizes",
        "source": {"factory": f"{__name__}:make_net", "checkpoint": "net.safetensors"},
        "data": {
            "files": {"path": "images", "inputs": ["input"], "images": {"mean": [127.5], "scale": [64]}},
            "split": {"calibration": 0.25, "search": 0.25, "held_out": 0.5},
        },
        "outputs": ["scores"],
        "floor": {"agreement": 0.5},
        "variants": {"fp32": [], "int8": [{"step": "quantize", "method": "static"}]},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return run(folder / "recipe.yaml", folder / "models")


def test_every_variant_is_made_and_judged_on_all_rows(exported: ExportOutcome) -> None:
    """No variant fails or is rejected, and the figures are those of all 50 held-out images."""
    assert (exported.failed, exported.rejected) == ({}, [])
    for bundle in exported.model.bundles.values():
        assert bundle.figures.quality.rows == 50
        assert bundle.figures.speed.points


def test_the_sizes_are_free(exported: ExportOutcome) -> None:
    """A server takes images of any size, also of one that the data did not have."""
    session = open_session(exported.model.folder / "int8")
    [spec] = session.signature.inputs
    assert spec.shape == ("batch", 1, "input_2", "input_3")
    came = session.run({"input": np.zeros((2, 1, 9, 31), np.float32)})["scores"]
    assert came.shape == (2, 3)


def test_a_file_takes_rows_of_several_sizes(exported: ExportOutcome) -> None:
    """The same graph as an ONNX file keeps its sizes free, tried on rows of each shape."""
    graph = (exported.model.folder / "fp32" / MODEL).read_bytes()
    rows = split_of(images(9), name="input")
    [spec] = from_onnx(graph, rows, ("scores",)).signature.inputs
    assert spec.shape == ("batch", 1, "input_2", "input_3")
