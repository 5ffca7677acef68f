"""How candidates from elsewhere become variants, whole or not at all."""

from pathlib import Path

import pytest

from counterweight import main
from serve.bundles.bundle import read_bundle
from serve.bundles.repository import read_model
from serve.engine.session import open_session
from tests.conftest import linear_graph, make_bundle, make_lookup


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """The path of an ONNX file from elsewhere."""
    path = tmp_path / "theirs.onnx"
    path.write_bytes(linear_graph(5.0))
    return path


def add(repository: Path, source: Path, *more: str, variant: str = "theirs") -> int:
    """Run `add` with these arguments."""
    words = ["add", "linear", "--variant", variant, "--from", str(source), "--out", str(repository)]
    return main([*words, *more])


def listing(repository: Path) -> list[str]:
    """All that lies beside the model's variants, hidden things too."""
    return sorted(path.name for path in (repository / "linear").iterdir())


def test_an_onnx_file_becomes_an_unproven_variant(
    repository: Path, theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An added ONNX file can be served and is marked as unproven."""
    assert add(repository, theirs) == 0
    bundle = read_model(repository / "linear").bundles["theirs"]
    assert (bundle.unproven, bundle.rejected, bundle.figures.quality.rows) == (True, None, 0)
    assert "unproven" in capsys.readouterr().out
    open_session(repository / "linear" / "theirs")


def test_a_bundle_keeps_where_it_came_from(repository: Path, tmp_path: Path) -> None:
    """An added bundle keeps its graph and its provenance."""
    make_bundle(tmp_path / "other", "light", scale=7.0)
    assert add(repository, tmp_path / "other" / "linear" / "light") == 0
    before = read_bundle(tmp_path / "other" / "linear" / "light")
    bundle = read_bundle(repository / "linear" / "theirs")
    assert (bundle.variant, bundle.unproven, bundle.provenance) == ("theirs", True, before.provenance)


def test_rows_of_a_file_run_alone(repository: Path, theirs: Path) -> None:
    """Nothing proves that the rows of an added ONNX file do not affect each other, so each one runs alone."""
    add(repository, theirs)
    bundle = read_bundle(repository / "linear/theirs")
    assert (bundle.rows, bundle.full_rows(2.0)) == ("alone", 1)


@pytest.mark.parametrize(("unproven", "rows"), [(False, "together"), (True, "alone")])
def test_rows_of_a_bundle_run_as_proven(repository: Path, tmp_path: Path, unproven: bool, rows: str) -> None:
    """The rows of an added bundle run together if its export has proven that they may."""
    make_bundle(tmp_path / "other", "light", scale=7.0, unproven=unproven)
    add(repository, tmp_path / "other" / "linear" / "light")
    assert read_bundle(repository / "linear/theirs").rows == rows


def test_no_path_of_this_machine_is_written_down(repository: Path, theirs: Path) -> None:
    """The bundle contains no path of the machine that made it."""
    add(repository, theirs)
    assert str(theirs.parent) not in (repository / "linear/theirs/bundle.json").read_text()


def test_the_table_says_that_it_is_unproven(
    repository: Path, theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table of `show` marks the variant as unproven."""
    add(repository, theirs)
    capsys.readouterr()
    assert main(["show", str(repository / "linear")]) == 0
    assert "unproven" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [
        ("light", "theirs.onnx", "light already exists; choose another --variant"),
        ("The One", "theirs.onnx", "--variant: variant: String should match"),
        ("theirs", "their.onnx", "their.onnx does not exist; give --from an ONNX file"),
        ("theirs", "broken.onnx", "broken.onnx is not an ONNX file"),
        ("theirs", "empty", "empty is not a bundle: it has no bundle.json"),
        ("theirs", "lookup/base", "the input 'x' is INT64, that of linear/base is FP32"),
    ],
)
def test_what_cannot_be_added_leaves_nothing(
    repository: Path,
    theirs: Path,
    capsys: pytest.CaptureFixture[str],
    wrong: tuple[str, str, str],
) -> None:
    """A candidate that cannot be added gives exit code 2 with the fix and leaves no file."""
    variant, source, message = wrong
    folder = theirs.parent
    (folder / "broken.onnx").write_bytes(b"not at all")
    (folder / "empty").mkdir()
    make_lookup(folder)
    before = listing(repository)
    assert add(repository, folder / source, variant=variant) == 2
    assert message in capsys.readouterr().err
    assert listing(repository) == before


def test_an_unknown_model_is_refused(
    repository: Path, theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown model is refused with the nearest known name."""
    assert main(["add", "liner", "--variant", "x", "--from", str(theirs), "--out", str(repository)]) == 2
    assert "did you mean 'linear'" in capsys.readouterr().err
