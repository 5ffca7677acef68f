"""A model that is too large for one file goes the whole way: source, variants, bundles, sessions. Here the
limit is 16 kB, so that kilobytes are too large."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import helper

from export.adding.add import add_unproven
from export.errors import InvalidSource
from export.pipeline import ExportOutcome, run
from serve.base.errors import InvalidBundle
from serve.bundles.bundle import MODEL, WEIGHTS, digest_file
from serve.bundles.repository import read_model
from serve.engine.session import open_session
from tests.export.onnx_files import FLOAT, file_of, random

WIDTH = 64
LIMIT_BYTES = 16_000
W = {name: random(WIDTH, WIDTH, seed=seed) / 8 for seed, name in enumerate("abc")}
_CODE = """
import numpy as np, torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(3)))
    def forward(self, x):
        return self.layers(x)
def make():
    rows = np.random.default_rng(1).normal(0, 1, (160, 64)).astype(np.float32)
    parts = {"held_out": rows[:80], "calibration": rows[80:120], "search": rows[120:]}
    return {name: ({"x": part}, None) for name, part in parts.items()}
"""
VARIANTS = {
    "fp32": [],
    "int8": [{"step": "quantize", "method": "dynamic"}],
    "static": [{"step": "quantize", "method": "static"}],
    "blocks": [{"step": "quantize", "method": "weights", "bits": 8}],
    "halves": [{"step": "half", "provider": "cuda"}],
    "partly": [{"step": "quantize", "method": "dynamic", "keep_float": ["first", "second"]}],
}


@pytest.fixture(scope="module", autouse=True)
def low_limit() -> Iterator[None]:
    """Graphs with more than 16 kB of weights are split."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.onnx.model_proto.LARGEST_BYTES", LIMIT_BYTES)
        patch.setattr("export.onnx.to_onnx.LARGEST_BYTES", LIMIT_BYTES)
        yield


def write_source(folder: Path) -> None:
    """Three products of 16 kB each, with their weights in a file beside the graph."""
    names = ["x", "h", "i", "y"]
    nodes = [
        helper.make_node("MatMul", [names[at], weight], [names[at + 1]], name)
        for at, (weight, name) in enumerate(zip("abc", ("first", "second", "third"), strict=True))
    ]
    ends = [("x", FLOAT, ["n", WIDTH])], [("y", FLOAT, ["n", WIDTH])]
    model = onnx.load_from_string(file_of(nodes, *ends, W))
    onnx.save(model, folder / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=1024)


def write_recipe(folder: Path, **changes: object) -> Path:
    """A recipe of the file, whose floor accepts all variants."""
    (folder / "split_rows.py").write_text(_CODE)
    recipe = {
        "model": "large",
        "task": "tensors",
        "source": {"onnx": "m.onnx"},
        "data": {"factory": "split_rows:make"},
        "outputs": ["y"],
        "floor": {"agreement": 0},
        "variants": VARIANTS,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe | changes))
    return folder / "recipe.yaml"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """The variants of the file, exported once."""
    folder = tmp_path_factory.mktemp("large")
    write_source(folder)
    return run(write_recipe(folder), folder / "models")


@pytest.fixture
def copied(large: ExportOutcome, tmp_path: Path) -> Path:
    """A copy of the model's folder."""
    return Path(shutil.copytree(large.model.folder, tmp_path / "large"))


def test_every_variant_is_built(large: ExportOutcome) -> None:
    """No step fails on a split graph, and no variant is lost."""
    assert not large.failed
    assert dict(large.status) == dict.fromkeys(VARIANTS, "built")


def test_the_weights_are_apart_where_one_file_cannot_hold_them(large: ExportOutcome) -> None:
    """A variant has a second file exactly if its weights exceed the limit: integers fit again."""
    apart = {name for name in VARIANTS if (large.model.folder / name / WEIGHTS).exists()}
    assert apart == {"fp32", "halves", "partly"}


def test_the_size_is_that_of_all_files_of_the_graph(large: ExportOutcome) -> None:
    """The figures count the weights beside the graph."""
    figures = large.model.bundles["fp32"].figures
    files = [large.model.folder / "fp32" / name for name in (MODEL, WEIGHTS)]
    assert figures.model_size_bytes == sum(path.stat().st_size for path in files)
    assert figures.parameters == figures.multiply_adds == 3 * WIDTH * WIDTH
    assert figures.model_size_bytes / 2 < figures.compressed_size_bytes < figures.model_size_bytes


def test_sessions_answer_from_both_files(large: ExportOutcome) -> None:
    """Each variant answers near the product of the three weights."""
    x = random(5, WIDTH, seed=9)
    expected = x @ W["a"] @ W["b"] @ W["c"]
    for name in VARIANTS:
        came = open_session(large.model.folder / name).run({"x": x})["y"].astype(np.float64)
        assert np.abs(came - expected).max() < 0.1 * np.abs(expected).max()


def test_an_unchanged_model_is_not_built_again(large: ExportOutcome) -> None:
    """A second export finds both files as they were."""
    recipe = large.model.folder.parents[1] / "recipe.yaml"
    assert set(run(recipe, large.model.folder.parent).status.values()) == {"unchanged"}


def test_changed_weights_are_built_again(copied: Path, large: ExportOutcome) -> None:
    """A weights file that was changed after the export is refused by name, and exported again."""
    weights = copied / "fp32" / WEIGHTS
    before = digest_file(weights)
    content = bytearray(weights.read_bytes())
    content[100] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InvalidBundle, match=r"fp32/model\.onnx\.data .* changed after export"):
        open_session(copied / "fp32")
    recipe = large.model.folder.parents[1] / "recipe.yaml"
    assert run(recipe, copied.parent).status["fp32"] == "built"
    assert digest_file(weights) == before


def test_a_split_file_and_a_split_bundle_can_be_added(copied: Path, large: ExportOutcome) -> None:
    """A candidate in two files becomes a variant in two files."""
    source = large.model.folder.parents[1] / "m.onnx"
    for name, path in (("file", source), ("bundle", copied / "fp32")):
        bundle = add_unproven(read_model(copied), name, path)
        assert [file.path for file in bundle.files] == [MODEL, WEIGHTS]
        open_session(copied / name)


def test_a_torch_model_becomes_two_files(tmp_path: Path) -> None:
    """A torch module whose weights exceed the limit is exported, with parity, to two files."""
    import torch

    (tmp_path / "torch_rows.py").write_text(_CODE)
    namespace: dict[str, type[torch.nn.Module]] = {}
    exec(_CODE, namespace)
    torch.manual_seed(0)
    torch.save(namespace["Net"]().state_dict(), tmp_path / "net.pt")
    variants = {name: VARIANTS[name] for name in ("fp32", "int8")}
    source = {"factory": "torch_rows:Net", "checkpoint": "net.pt"}
    changes = {"source": source, "variants": variants, "data": {"factory": "torch_rows:make"}}
    outcome = run(write_recipe(tmp_path, **changes), tmp_path / "models")
    assert not outcome.failed
    fp32 = outcome.model.bundles["fp32"]
    assert [file.path for file in fp32.files] == [MODEL, WEIGHTS]
    assert fp32.figures.parity is not None
    assert fp32.figures.parity.max_abs_difference < 1e-5


def test_a_source_without_its_weights_is_refused(tmp_path: Path) -> None:
    """A source whose weights file is missing or too short is refused by the file's name."""
    write_source(tmp_path)
    recipe = write_recipe(tmp_path)
    (tmp_path / "m.bin").write_bytes((tmp_path / "m.bin").read_bytes()[:-4])
    with pytest.raises(InvalidSource, match=r"m\.bin holds 16380 bytes for 'c' .* needs 16384"):
        run(recipe, tmp_path / "models")
    (tmp_path / "m.bin").unlink()
    with pytest.raises(InvalidSource, match=r"m\.bin: No such file"):
        run(recipe, tmp_path / "models")
