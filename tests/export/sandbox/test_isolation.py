"""The user's code may crash, hang or print: the command says what happened, and nothing is lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from export.errors import ExportFailed, InvalidSource
from export.sandbox.isolation import export_in_sandbox
from serve.base.errors import InvalidRecord

FACTORY = "import tiny_data\n\n\ndef make():\n    {}\n    return tiny_data.make()\n"


@pytest.fixture
def export_with(write_recipe: Callable[..., Path], tmp_path: Path) -> Callable[..., object]:
    """Export a recipe whose data factory runs this statement first."""

    def run(statement: str, name: str, **changes: object) -> object:
        recipe = write_recipe(data={"factory": f"{name}:make"}, **changes)
        (recipe.parent / f"{name}.py").write_text(FACTORY.format(statement))
        return export_in_sandbox(recipe, tmp_path / "models", None, False)

    return run


@pytest.mark.parametrize(
    ("statement", "how"),
    [
        ("import os; os._exit(3)", "ended with exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed: SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was killed"),
    ],
)
def test_a_factory_that_ends_the_process_is_named(
    export_with: Callable[..., object], tmp_path: Path, statement: str, how: str
) -> None:
    """The error names the factory and how its process ended, and no file is written."""
    name = f"ends_{abs(hash(statement))}"
    with pytest.raises(InvalidSource, match=f"inside {name}:make the export's process {how}"):
        export_with(statement, name)
    assert not [path for path in (tmp_path / "models").rglob("*") if path.is_file()]


def test_a_killed_process_leaves_no_temporary_files(
    export_with: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the process wrote to its temporary folder, such as large weights, is removed."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    statement = (
        "import os, signal, tempfile; open(os.path.join(tempfile.mkdtemp(), 'w'), 'w').close(); "
        f"open({str(tmp_path / 'told')!r}, 'w').write(tempfile.gettempdir()); os.kill(os.getpid(), 9)"
    )
    with pytest.raises(InvalidSource, match="was killed"):
        export_with(statement, "leaves")
    assert (tmp_path / "told").read_text().startswith(str(tmp_path / "scratch"))
    assert not list((tmp_path / "scratch").iterdir())


def test_a_factory_that_hangs_is_ended(export_with: Callable[..., object]) -> None:
    """A factory that exceeds the time limit is ended, and the error says so."""
    with pytest.raises(InvalidSource, match="hangs:make has not returned within 5 s and was ended"):
        export_with("import time; time.sleep(60)", "hangs", time_limit_s=5.0)


def test_a_factory_that_prints_does_not_spoil_the_figures(
    export_with: Callable[..., object], capfd: pytest.CaptureFixture[str]
) -> None:
    """The output of a factory goes to standard error, and standard output stays empty."""
    with pytest.raises(ExportFailed, match="no more digits"):
        export_with("print('hello from the factory'); raise RuntimeError('no more digits')", "prints")
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "hello from the factory" in captured.err


@pytest.mark.parametrize("error", ["RuntimeError", "SystemExit"])
def test_an_error_comes_through_as_it_was(export_with: Callable[..., object], error: str) -> None:
    """The error contains the factory's own message."""
    with pytest.raises(ExportFailed, match=f"{error}: no more digits"):
        export_with(f"raise {error}('no more digits')", f"raises_{error.lower()}")


def test_what_nobody_has_foreseen_is_a_sentence(
    export_with: Callable[..., object], capfd: pytest.CaptureFixture[str]
) -> None:
    """An unexpected exception becomes one sentence with the place in our code, and no traceback."""
    statement = (
        "import collections; made = collections.UserDict(); "
        "type(made).__iter__ = lambda self: 1 // 0; return made"
    )
    with pytest.raises(
        ExportFailed,
        match=r"^ZeroDivisionError: .* \(at .*export/data/datasets\.py:\d+\); .*please report it",
    ):
        export_with(statement, "surprises")
    assert "Traceback" not in capfd.readouterr().err


def test_a_bad_recipe_starts_no_process(tmp_path: Path) -> None:
    """An invalid recipe is refused before a process is started."""
    with pytest.raises(InvalidRecord, match="No such file"):
        export_in_sandbox(tmp_path / "recipe.yaml", tmp_path, None, False)
