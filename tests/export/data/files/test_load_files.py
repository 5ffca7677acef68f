"""Files become splits that are validated like those of a factory."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers

from export.data.datasets import Data, read_data, read_split
from export.data.files.load_files import load_files
from export.data.tokenizer import Tokenizer
from export.data_source import DataFiles
from export.errors import InvalidData

SPLIT = {"train": 0.5, "calibration": 0.1, "search": 0.15, "held_out": 0.25}


def load(
    folder: Path, data: dict[str, Any], known: tuple[str, ...] = (), tokenizer: Tokenizer | None = None
) -> tuple[Data, tuple[str, ...]]:
    """Return the validated splits of a recipe in the folder, and the names of its classes."""
    raw, names = load_files(
        DataFiles.parse(data, "data"), folder, known, lambda at, pair: read_split(at, pair, tokenizer, False)
    )
    return read_data(raw, "data.files", tokenizer), names


def save(path: Path, rows: int, first: float = 0, classes: int = 4) -> None:
    """Save different rows of two numbers, with as many rows for each class."""
    x = np.arange(first, first + 2 * rows, dtype=np.float32).reshape(rows, 2)
    np.savez(path, x=x, y=np.arange(rows) % classes)


def test_one_file_is_divided(tmp_path: Path) -> None:
    """Every row is in one split and keeps its label, and each split has every class."""
    save(tmp_path / "rows.npz", 200)
    data, names = load(tmp_path, {"files": {"path": "rows.npz", "labels": "y"}, "split": SPLIT})
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 100,
        "calibration": 20,
        "search": 30,
        "held_out": 50,
    }
    assert names == ()
    for split in data.splits.values():
        assert split.labels is not None
        assert split.labels.tolist() == [int(x) // 2 % 4 for x in split.inputs["x"][:, 0]]
        assert set(split.labels.tolist()) == {0, 1, 2, 3}


def test_the_seed_of_the_data_chooses_the_rows(tmp_path: Path) -> None:
    """The same seed gives the same held-out split, and another seed another."""
    save(tmp_path / "rows.npz", 200)
    files = {"files": {"path": "rows.npz"}, "split": SPLIT}
    one, same, other = (load(tmp_path, {**files, "seed": seed})[0].held_out.fingerprint for seed in (0, 0, 1))
    assert one == same
    assert one != other


def test_each_split_may_have_its_own_file(tmp_path: Path) -> None:
    """Each split may have its own file in a subfolder, and keeps the order of the file."""
    (tmp_path / "parts").mkdir()
    for number, name in enumerate(("calibration", "search", "held_out")):
        save(tmp_path / "parts" / f"{name}.npz", 8, first=100 * number)
    files = {name: f"parts/{name}.npz" for name in ("calibration", "search", "held_out")}
    data, _ = load(tmp_path, {"files": {**files, "labels": "y"}})
    assert data.train is None
    assert data.held_out.inputs["x"][:, 0].tolist() == [200, 202, 204, 206, 208, 210, 212, 214]


def test_equal_rows_are_in_one_split(tmp_path: Path) -> None:
    """A file that holds each row twice is accepted, because equal rows are in one split."""
    x = np.repeat(np.arange(100, dtype=np.float32), 2)[:, None]
    np.savez(tmp_path / "rows.npz", x=x, y=np.arange(200) % 2)
    data, _ = load(tmp_path, {"files": {"path": "rows.npz", "labels": "y"}, "split": SPLIT})
    assert sum(len(split) for split in data.splits.values()) == 200


def test_texts_are_equal_if_their_tokens_are(tmp_path: Path) -> None:
    """Texts that differ only after the maximum length count as equal, and are in one split."""
    vocabulary = {"[PAD]": 0, "[UNK]": 1, **{str(number): number + 2 for number in range(50)}}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    lines = [{"body": f"{n} {n // 7} {tail}", "stars": n % 2} for n in range(40) for tail in ("a", "b", "c")]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    files = {"path": "rows.jsonl", "inputs": {"text": "body"}, "labels": "stars"}
    tokenizer = Tokenizer("numbers", made.to_str().encode(), 2, 0)
    data, _ = load(tmp_path, {"files": files, "split": SPLIT}, tokenizer=tokenizer)
    assert data.held_out.inputs["input_ids"].shape == (len(data.held_out), 2)
    assert sum(len(split) for split in data.splits.values()) == 120


@pytest.mark.parametrize(
    ("known", "expected", "names"),
    [((), [0, 1], ("cat", "dog")), (("dog", "bird", "cat"), [2, 0], ())],
)
def test_names_of_classes_are_indexes(
    tmp_path: Path, known: tuple[str, ...], expected: list[int], names: tuple[str, ...]
) -> None:
    """Names of classes become indexes: in the model's order, or else in alphabetical order, which is then
    returned."""
    for number, name in enumerate(("calibration", "search", "held_out")):
        (tmp_path / f"{name}.csv").write_text(f"x,kind\n{number}.5,cat\n{number}.25,dog\n")
    files = {name: f"{name}.csv" for name in ("calibration", "search", "held_out")}
    data, found = load(tmp_path, {"files": {**files, "labels": "kind"}}, known)
    assert data.search.labels is not None
    assert data.search.labels.tolist() == expected
    assert found == names


def tables(folder: Path, *heads: str) -> dict[str, Any]:
    """Save a table for each split, with these names of its two columns; return the data of a recipe."""
    names = ("calibration", "search", "held_out")
    for number, (name, head) in enumerate(zip(names, heads, strict=True)):
        (folder / f"{name}.csv").write_text(f"{head}\n{number}.5,1.5\n{number}.25,1.5\n")
    return {"files": {**{name: f"{name}.csv" for name in names}, "inputs": {"x": ["p*"]}}}


def test_columns_of_a_pattern_have_one_order(tmp_path: Path) -> None:
    """The columns that a pattern finds have the order of the first file in every split."""
    data, _ = load(tmp_path, tables(tmp_path, "p1,p2", "p1,p2", "p2,p1"))
    assert data.search.inputs["x"].tolist() == [[1.5, 1.5], [1.25, 1.5]]
    assert data.held_out.inputs["x"].tolist() == [[1.5, 2.5], [1.5, 2.25]]


def test_other_columns_of_a_pattern_are_refused(tmp_path: Path) -> None:
    """A file in which a pattern finds other columns is refused, and the error names both."""
    with pytest.raises(InvalidData, match=r"held_out\.csv.*columns p1, p3, and in .*tion\.csv of p1, p2;"):
        load(tmp_path, tables(tmp_path, "p1,p2", "p2,p1", "p1,p3"))


def test_numbers_of_a_regression_stay_numbers(tmp_path: Path) -> None:
    """They are no classes, so the rows are divided at random."""
    (tmp_path / "rows.csv").write_text("x,y\n" + "".join(f"{n}.5,{n}.25\n" for n in range(60)))
    source = DataFiles.parse({"files": {"path": "rows.csv", "labels": "y"}, "split": SPLIT}, "data")
    raw, names = load_files(
        source, tmp_path, (), lambda at, pair: read_split(at, pair, None, False, "regression")
    )
    data = read_data(raw, "data.files", task="regression")
    assert names == ()
    assert data.held_out.labels is not None
    assert len(data.held_out) == 15
    assert (data.held_out.labels + 0.25).tolist() == data.held_out.inputs["x"].tolist()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": [[1.0], [np.nan], [2.0]]}, r"rows\.npz: input x holds NaN or infinity, first in row 1"),
        ({"x": [[1.0]] * 9}, r"rows\.npz holds 1 different rows"),
        ({"x": [[1.0], [2.0]], "y": [0, -3]}, r"rows\.npz: label -3 in row 1"),
        ({"x": [[1.0], [2.0]], "y": [0, 0.5]}, r"rows\.npz: labels are float64"),
        ({"x": [[1.0], [2.0]], "y": [0]}, r"rows\.npz has 2 rows and 1 labels"),
        ({"x": np.zeros((0, 1))}, r"rows\.npz: input x is empty"),
        ({"x": [[1.0], [2.0], [3.0]]}, r"rows\.npz has 3 different rows, which leaves . for the split"),
        ({"x": [1j, 2j]}, r"rows\.npz: input x is complex128"),
    ],
)
def test_faults_are_named_by_the_rows_of_the_file(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    """The error names the file, and rows by their number in the file."""
    np.savez(tmp_path / "rows.npz", **arrays)
    files = {"path": "rows.npz", "labels": "y" if "y" in arrays else None}
    with pytest.raises(InvalidData, match=message):
        load(tmp_path, {"files": files, "split": SPLIT})


def test_files_that_share_rows_are_refused(tmp_path: Path) -> None:
    """Files that share rows are refused, and the error names the splits."""
    for number, name in enumerate(("calibration", "search", "held_out")):
        save(tmp_path / f"{name}.npz", 8, first=8 * number)
    files = {name: f"{name}.npz" for name in ("calibration", "search", "held_out")}
    with pytest.raises(InvalidData, match="calibration and search share 4 rows"):
        load(tmp_path, {"files": files})
