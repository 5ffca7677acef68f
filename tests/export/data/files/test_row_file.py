"""The extension decides how a file is read."""

import subprocess
import sys
from pathlib import Path

import pytest

from export.data.files.row_file import read_rows
from export.data.files.row_form import RowForm
from export.errors import InvalidData


@pytest.mark.parametrize("name", ["rows.xlsx", "rows", "rows.csv.gz"])
def test_refuses_unknown_extensions(tmp_path: Path, name: str) -> None:
    """The error names all known extensions."""
    (tmp_path / name).write_text("a")
    with pytest.raises(InvalidData, match=r"known: \.npz, \.npy, \.parquet, \.csv, \.jsonl, and folders"):
        read_rows(tmp_path / name, RowForm())


@pytest.mark.parametrize("name", ["rows.npz", "rows.npy", "rows.parquet", "rows.csv", "rows.jsonl", "images"])
def test_refuses_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    """The error has the whole path."""
    with pytest.raises(InvalidData, match=rf"{tmp_path}/{name}: .*correct the path"):
        read_rows(tmp_path / name, RowForm(inputs=("x",)))


def test_the_case_of_an_extension_does_not_matter(tmp_path: Path) -> None:
    """An extension in capitals is read like one in small letters."""
    (tmp_path / "rows.CSV").write_text("a\n1\n")
    assert read_rows(tmp_path / "rows.CSV", RowForm()).inputs["a"].tolist() == [1]


def test_heavy_libraries_are_imported_only_for_their_files(tmp_path: Path) -> None:
    """Reading JSON lines imports neither pyarrow nor Pillow nor torch."""
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}')
    script = (
        "import sys; from pathlib import Path; from export.data.files.row_file import read_rows; "
        "from export.data.files.row_form import RowForm; read_rows(Path(sys.argv[1]), RowForm()); "
        "print(*{'pyarrow', 'PIL', 'torch'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "rows.jsonl")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []
