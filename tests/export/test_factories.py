"""Factories are found where the recipe says, and their code is part of the digest."""

import sys
from pathlib import Path

import pytest
import torch

import export.factories
from export.errors import InvalidSource
from export.factories import call_factory, digest_code, importable
from export.recipe import FactorySource
from export.sources.read_trained import read_trained
from serve.bundles.bundle import sha256

READS_A_FILE = """
import json
from pathlib import Path

import torch

HERE = Path(__file__).parent
WIDTH = json.loads((HERE / "width.json").read_text())

def make(slope=None):
    if slope is None:
        slope = json.loads((HERE / "config.json").read_text())
    (HERE / "model.pt").read_bytes()
    return torch.nn.Sequential(torch.nn.Linear(2, WIDTH), torch.nn.LeakyReLU(slope))
"""


def test_finds_a_factory_in_the_recipes_folder(tmp_path: Path) -> None:
    """A factory beside the recipe is imported, and sys.path is restored."""
    (tmp_path / "beside_the_recipe.py").write_text("def double(x):\n    return 2 * x\n")
    before = list(sys.path)
    with importable([tmp_path]):
        assert call_factory("beside_the_recipe:double", {"x": 21}) == 42
    assert sys.path == before


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("no_such_module:make", "'no_such_module' is neither in the recipe's folder"),
        ("math:sqroot", "math has no function 'sqroot'; did you mean 'sqrt'"),
        ("math:sqrt", "math:sqrt called with {} failed: TypeError"),
        ("breaks_on_import:make", "importing breaks_on_import failed: ZeroDivisionError"),
        ("json:make", "'json' of the recipe's folder has the name of one that is already loaded; rename it"),
    ],
)
def test_names_what_is_wrong_with_a_factory(tmp_path: Path, factory: str, message: str) -> None:
    """The error names a factory that is missing or fails on import."""
    (tmp_path / "breaks_on_import.py").write_text("1 / 0\n")
    (tmp_path / "json.py").write_text("def make(): ...\n")
    with importable([tmp_path]), pytest.raises(InvalidSource, match=message):
        call_factory(factory, {})


def test_digest_covers_what_the_factory_imports(tmp_path: Path) -> None:
    """A change in a module that the factory imports changes the digest."""
    (tmp_path / "a_factory.py").write_text("from a_helper import make\n")
    (tmp_path / "a_helper.py").write_text("def make(): return 1\n")
    before = digest_code(["a_factory:make"], [tmp_path])
    assert digest_code(["a_factory:make"], [tmp_path]) == before
    (tmp_path / "a_helper.py").write_text("def make(): return 2\n")
    assert digest_code(["a_factory:make"], [tmp_path]) != before


def test_digest_covers_folders_that_are_no_packages(tmp_path: Path) -> None:
    """Modules in folders without `__init__.py` are part of the digest."""
    (tmp_path / "plain" / "inner").mkdir(parents=True)
    (tmp_path / "plain" / "factory.py").write_text("from plain.inner.helper import make\n")
    (tmp_path / "plain" / "inner" / "helper.py").write_text("def make(): return 1\n")
    before = digest_code(["plain.factory:make"], [tmp_path])
    (tmp_path / "plain" / "inner" / "helper.py").write_text("def make(): return 2\n")
    assert digest_code(["plain.factory:make"], [tmp_path]) != before


def test_digest_covers_how_answers_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change in `serve/tasks`, which compares the answers, changes the digest; one in the API does not."""
    for folder in ("export", "serve/tasks", "serve/http"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "code.py").write_text("A = 1\n")
    monkeypatch.setattr(export.factories, "_ROOM", tmp_path / "export")
    before = digest_code([], [])
    (tmp_path / "serve" / "http" / "code.py").write_text("A = 2\n")
    assert digest_code([], []) == before
    (tmp_path / "serve" / "tasks" / "code.py").write_text("A = 2\n")
    assert digest_code([], []) != before


def test_digest_does_not_depend_on_the_current_folder(tmp_path: Path) -> None:
    """The digest is the same in each current folder."""
    factory = "export.recipes.digits:digits_model"
    assert digest_code([factory], [Path.cwd()]) == digest_code([factory], [tmp_path])


def test_digest_refuses_a_factory_that_is_no_python(tmp_path: Path) -> None:
    """A syntax error in the factory's module is named before anything is built."""
    (tmp_path / "not_python.py").write_text("def make(:\n")
    with pytest.raises(InvalidSource, match=r"not_python:make: .*not_python\.py, line 1"):
        digest_code(["not_python:make"], [tmp_path])


def digest_model(folder: Path, **arguments: float) -> str:
    """The digest of the model that the factory `reads_a_file` builds in a fresh process."""
    sys.modules.pop("reads_a_file", None)
    source = FactorySource(factory="reads_a_file:make", arguments={**arguments}, checkpoint="model.pt")
    with importable([folder]):
        return read_trained(source, folder, "classification").sha256


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """A folder with a factory that reads two files, and a checkpoint."""
    (tmp_path / "reads_a_file.py").write_text(READS_A_FILE)
    (tmp_path / "config.json").write_text("0.01")
    (tmp_path / "width.json").write_text("3")
    torch.save(torch.nn.Linear(2, 3).state_dict(prefix="0."), tmp_path / "model.pt")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content"), [("config.json", "0.9"), ("width.json", " 3")], ids=["called", "imported"]
)
def test_a_file_that_the_factory_reads_is_part_of_the_model(reader: Path, name: str, content: str) -> None:
    """The model's digest changes with a file that the factory reads when it is called or imported."""
    before = digest_model(reader)
    assert digest_model(reader) == before
    (reader / name).write_text(content)
    assert digest_model(reader) != before


def test_a_file_that_the_factory_does_not_read_does_not_count(reader: Path) -> None:
    """A changed file that this call of the factory does not read leaves the digest as it was."""
    before = digest_model(reader, slope=0.5)
    (reader / "config.json").write_text("0.9")
    assert digest_model(reader, slope=0.5) == before


def test_a_factory_that_reads_nothing_has_the_checkpoints_digest(reader: Path) -> None:
    """Without other files, the model's digest is that of the checkpoint, even if the factory reads that."""
    module = READS_A_FILE.replace('json.loads((HERE / "width.json").read_text())', "3")
    (reader / "reads_a_file.py").write_text(module)
    assert digest_model(reader, slope=0.5) == sha256((reader / "model.pt").read_bytes())
