import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from counterweight import main
from serve.rollout.store.store import Store
from serve.rollout.verify import verify
from tests.serve.rollout.stores import go_on


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The path of a closed store with a rollout of four entries."""
    path = tmp_path / "rollouts.db"
    store = Store(f"sqlite:///{path}", "keeper")
    assert store.renew(0.0)
    for at_s in (0.0, 61.0, 122.0, 183.0):
        go_on(store, at_s)
    store.close()
    return path


def tamper(file: Path, statement: str) -> bytes:
    """Change the store's file directly and return its content."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(statement)
    return file.read_bytes()


def test_what_is_whole_is_verified(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An intact store gives exit code 0, with each model's entries, its head and the key."""
    before = file.read_bytes()
    assert verify([str(file)]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("digits: 4 entries, head 4 ")
    assert last.startswith("1 models, all unchanged; key ")
    assert file.read_bytes() == before


def test_what_was_changed_is_a_fault(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed entry gives exit code 1 and is named."""
    tamper(file, "UPDATE trail SET content = replace(content, 'ann', 'eve')")
    assert verify([str(file)]) == 1
    assert "  entry 1 is not the original first entry" in capsys.readouterr().out


def test_an_end_cut_off_is_noticed_by_an_anchor_from_elsewhere(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy of the anchor proves a cut end, even if the anchor beside the store was cut too."""
    beside, elsewhere = file.with_suffix(".anchor"), tmp_path / "copy.anchor"
    elsewhere.write_bytes(beside.read_bytes())
    lines = [line for line in beside.read_text().splitlines() if line]
    beside.write_text("".join(f"{line}\n" for line in lines[:3]))
    tamper(file, "DELETE FROM trail WHERE number = 4")
    tamper(file, "DELETE FROM evidence")
    verify([str(file)])
    assert "cut off" not in capsys.readouterr().out
    assert verify([str(file), "--anchor", str(elsewhere)]) == 1
    printed = capsys.readouterr().out
    assert "entry 4" in printed
    assert "cut off" in printed


def test_an_anchor_that_is_gone_is_a_fault(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the anchor, nothing shows whether the end of a trail was cut off."""
    file.with_suffix(".anchor").unlink()
    assert verify([str(file)]) == 1
    assert "digits has 4 entries" in capsys.readouterr().out
    assert verify([str(file), "--accept"]) == 1
    assert verify([str(file)]) == 0


def test_what_a_person_accepts_is_followed_again(file: Path) -> None:
    """Verification goes on from an accepted trail; the store itself does not change."""
    found = tamper(file, "DELETE FROM trail WHERE number = 4")
    assert verify([str(file), "--accept"]) == 1
    assert verify([str(file)]) == 0
    assert file.read_bytes() == found
    store = Store(f"sqlite:///{file}", "keeper")
    assert store.recall("digits")[2] == ()
    store.close()


@pytest.mark.parametrize("wrong", [["nowhere.db"], ["mysql:"], ["{file}", "--anchor", "nowhere.anchor"]])
def test_what_is_not_there_is_2(
    file: Path, tmp_path: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing store gives exit code 2, and the error names it."""
    assert main(["verify", *(word.replace("{file}", str(file)) for word in wrong)]) == 2
    assert "nowhere" in capsys.readouterr().err or wrong == ["mysql:"]
