"""`counterweight compress` ends with an answer, and its exit code says whether a variant is faster."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from counterweight import main
from serve.bundles.bundle import read_bundle


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small.onnx, a product of 4 x 2 weights, and rows.npz; it is the current one."""
    monkeypatch.chdir(tmp_path)
    weight = numpy_helper.from_array(np.eye(4, 2, dtype=np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])],
        [weight],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), "small.onnx")
    np.savez("rows.npz", x=np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32))
    return tmp_path


def test_a_model_that_nothing_makes_faster_keeps_its_baseline(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight multiply-adds cannot be made cheaper, so no variant is tried: the exit code is 1, and the
    baseline is written."""
    assert main(["compress", "small.onnx", "--inputs", "rows.npz"]) == 1
    assert (folder / "models" / "small" / "fp32" / "bundle.json").is_file()
    told = capsys.readouterr().err
    assert "no variants, because the model is too small" in told
    assert "no accepted variant is faster" in told


def test_rows_that_do_not_fit_end_with_2(folder: Path) -> None:
    """Rows of another width are bad input."""
    np.savez("wide.npz", x=np.zeros((200, 5), np.float32))
    assert main(["compress", "small.onnx", "--inputs", "wide.npz"]) == 2
    assert not (folder / "models").exists()


def test_without_inputs_the_bundles_are_marked_and_not_served(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundle, the table and the report say that the rows were random, and `serve` needs --unproven."""
    main(["compress", "small.onnx"])
    told = capsys.readouterr()
    assert "unproven" in told.out
    assert "quality was not proven" in told.err
    assert read_bundle(folder / "models" / "small" / "fp32").random_rows
    assert "The rows were random" in (folder / "models" / "small" / "report.html").read_text()
    assert main(["serve", "models"]) == 2
    assert "of 'small' was measured on random rows only" in capsys.readouterr().err


def test_labels_without_inputs_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Random rows have no labels."""
    assert main(["compress", "small.onnx", "--labels", "y"]) == 2
    assert "--inputs" in capsys.readouterr().err
    assert not (folder / "models").exists()


def test_images_that_are_not_json_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error shows the value of --images."""
    with pytest.raises(SystemExit, match="2"):
        main(["compress", "small.onnx", "--inputs", "rows.npz", "--images", "22x"])
    assert "'22x' is not JSON" in capsys.readouterr().err
