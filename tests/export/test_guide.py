"""Each command of the guide for new users works in an empty folder."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest
import yaml

from export.data.datasets import Split, read_data, read_split
from export.data.files.load_files import Pair, load_files
from export.data.random.random_rows import make_splits
from export.data_source import DataFiles, DataRandom
from export.step import STEPS

GUIDE = Path("export/BRING_YOUR_OWN_MODEL.md")
NONE = ("required", "-")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of the guide: what follows its language, and its text."""

    about: str
    text: str


def read_blocks() -> Iterator[Block]:
    """All fenced blocks, in order."""
    for found in re.finditer(r"^```\w+ ?(.*)\n((?:.*\n)*?)```$", GUIDE.read_text(), re.MULTILINE):
        yield Block(about=found[1], text=found[2])


def run_all(commands: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A block of commands as a person would type them, with this environment's programs."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def verdicts(table: str) -> dict[str, str]:
    """Variant -> accepted or rejected, from the table that an export prints."""
    found = {}
    for line in table.splitlines():
        cells = re.split(r"\s{2,}", line.strip())
        if len(cells) > 4 and re.fullmatch(r"[0-9a-f]{12}", cells[-2]):
            found[cells[0]] = "accepted" if cells[-1] == "accepted" else "rejected"
    return found


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder in which the whole guide was followed, and where it went otherwise than it says."""
    folder = tmp_path_factory.mktemp("stranger")
    wrong: list[str] = []
    blocks, last = list(read_blocks()), ""
    # A person has both files of a step before running its commands.
    for block in blocks:
        if block.about.startswith("file="):
            (folder / block.about.removeprefix("file=")).write_text(block.text)
    for block in blocks:
        if block.about == "outcome":
            said = dict(line.split() for line in block.text.splitlines()[1:])
            if verdicts(last) != said:
                wrong.append(f"the guide says {said}, the export {verdicts(last)}:\n{last}")
        elif block.about != "data" and not block.about.startswith("file="):
            done = run_all(block.text, folder)
            last = done.stdout
            if done.returncode != int(block.about.removeprefix("exit=") or 0):
                wrong.append(f"{block.text} ended with {done.returncode}: {done.stderr[-2000:]}")
    return folder, wrong


def test_the_guide_comes_out_as_it_says(followed: tuple[Path, list[str]]) -> None:
    """Each command of the guide ends as stated, with the stated verdict for each variant."""
    assert not followed[1], "\n".join(followed[1])


def test_the_guide_leaves_bundles_and_a_report(followed: tuple[Path, list[str]]) -> None:
    """The guide's commands write the bundles and the report."""
    assert (followed[0] / "models" / "scans" / "report.html").is_file()
    bundle = json.loads((followed[0] / "models" / "scans" / "int8" / "bundle.json").read_text())
    assert bundle["variant"] == "int8"


def test_the_guides_data_are_read(followed: tuple[Path, list[str]]) -> None:
    """Every example of files has rows in all splits, with labels where it names them."""
    found = []
    for block in read_blocks():
        if block.about == "data" and "random:" not in block.text:
            source = DataFiles.parse(yaml.safe_load(block.text)["data"], block.text)
            raw, _ = load_files(source, followed[0], (), read_file_rows)
            data = read_data(raw, block.text, of_file=True)
            assert data.labelled == (source.files.labels is not None)
            found.append(Path(source.files.path or source.files.by_split["held_out"]).suffix)
    assert found == [".npz", ".npy", ".csv", ".parquet", ".jsonl", ""]


def test_the_guides_random_rows_are_made() -> None:
    """The example without data has rows of 64 numbers between 0 and 1 in all splits."""
    [text] = [block.text for block in read_blocks() if block.about == "data" and "random:" in block.text]
    source = DataRandom.parse(yaml.safe_load(text)["data"], text)
    splits = make_splits(source.random, source.seed, read_file_rows)
    data = read_data(splits, text, of_file=True)
    assert len(data.held_out) == 200
    assert data.held_out.inputs["pixels"].shape == (200, 64)


def read_file_rows(place: str, pair: Pair) -> Split:
    """Check the rows of a file, whose texts a tokenizer would read."""
    return read_split(place, pair, None, of_file=True)


def test_the_table_of_settings_is_that_of_the_code() -> None:
    """The guide's table has each setting of each step once, with its default."""
    said: dict[str, dict[str, str]] = {name: {} for name in STEPS}
    for steps, setting, default in re.findall(
        r"^\| (`[^|]*`) \| `(\w+)` \| ([^|]*) \|", GUIDE.read_text(), re.M
    ):
        for step in re.findall(r"`(\w+)`", steps):
            assert setting not in said[step], f"{step}.{setting} stands there twice"
            said[step][setting] = default
    for step, kind in STEPS.items():
        fields = {name: field for name, field in kind.model_fields.items() if name != "step"}
        assert set(said[step]) == set(fields), step
        for name, field in fields.items():
            if said[step][name] in NONE:
                expected = field.is_required() if said[step][name] == "required" else field.default is None
                assert expected, f"{step}.{name}"
            else:
                default = field.get_default(call_default_factory=True)
                given = yaml.safe_load(said[step][name].strip("`"))
                assert (list(default) if isinstance(default, tuple) else default) == given, f"{step}.{name}"


@pytest.mark.parametrize("key", ["match", "remove", "method", "provider"])
def test_the_table_names_every_choice(key: str) -> None:
    """The guide's table lists each choice of the required settings."""
    kind = next(step for step in STEPS.values() if key in step.model_fields)
    line = next(line for line in GUIDE.read_text().splitlines() if f"| `{key}` |" in line)
    for choice in _choices(kind.model_fields[key].annotation):
        assert f"`{choice}`" in line


def _choices(annotation: object) -> list[str]:
    """The words of the first Literal in a type."""
    args = get_args(annotation)
    if args and all(isinstance(item, str) for item in args):
        return list(args)
    return next((found for item in args if (found := _choices(item))), [])
