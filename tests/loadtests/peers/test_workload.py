import json
from pathlib import Path

import numpy as np
import pytest

from loadtests.errors import LoadTestError
from loadtests.peers.workload import DIGITS, MINILM, copy_repository, draw_rows


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for variant in ("fp32", "int8", "slim-int8"):
        folder = tmp_path / "models" / "digits" / variant
        folder.mkdir(parents=True)
        (folder / "bundle.json").write_text(json.dumps({"model": "digits", "variant": variant}))
        (folder / "model.onnx").write_bytes(b"graph")
    return tmp_path / "models"


def test_a_repository_holds_what_gets_traffic(models: Path, tmp_path: Path) -> None:
    """The copied repository has only the variants that get traffic."""
    folder = copy_repository(models, DIGITS, tmp_path / "copy")
    assert sorted(path.name for path in (folder / "digits").iterdir()) == ["fp32", "slim-int8"]
    assert (folder / "digits" / "fp32" / "model.onnx").read_bytes() == b"graph"


def test_copies_are_models_of_their_own(models: Path, tmp_path: Path) -> None:
    """Copies of a model have their own names, also in their bundles."""
    folder = copy_repository(models, DIGITS, tmp_path / "copy", copies=3)
    named = {path.name: json.loads((path / "fp32" / "bundle.json").read_text()) for path in folder.iterdir()}
    assert {name: bundle["model"] for name, bundle in named.items()} == {
        name: name for name in ("digits", "digits-1", "digits-2")
    }


def test_a_missing_bundle_is_named(models: Path, tmp_path: Path) -> None:
    """A missing bundle is named, with the command that makes it."""
    with pytest.raises(LoadTestError, match=r"minilm/fp32 does not contain a bundle; run `make minilm`"):
        copy_repository(models, MINILM, tmp_path / "copy")


def test_rows_differ_and_are_the_same_in_every_run() -> None:
    """The rows differ from one another and are the same in each run."""
    rows, again = draw_rows(MINILM, 5), draw_rows(MINILM, 5)
    assert all(row["input_ids"].shape == (1, 32) for row in rows)
    assert len({row["input_ids"].tobytes() for row in rows}) == 5
    assert all(np.array_equal(a["input_ids"], b["input_ids"]) for a, b in zip(rows, again, strict=True))
