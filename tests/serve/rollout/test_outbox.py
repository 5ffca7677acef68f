from pathlib import Path

import pytest

from serve.rollout.outbox import Outbox
from tests.serve.rollout.stores import started


def test_what_is_held_is_found_by_the_next_keeper(tmp_path: Path) -> None:
    """By model; and no longer when it is written."""
    outbox = Outbox(tmp_path)
    outbox.hold((started(),))
    assert Outbox(tmp_path).read() == {"digits": started()}
    outbox.hold(())
    assert Outbox(tmp_path).read() == {}


def test_nothing_is_written_while_there_is_nothing_to_hold(tmp_path: Path) -> None:
    """Every second of a quiet year."""
    Outbox(tmp_path).hold(())
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and tried again."""
    outbox = Outbox(Path("/dev/null"))
    outbox.hold((started(),))
    assert "for the next keeper" in caplog.text
    assert outbox.read() == {}


def test_what_cannot_be_read_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And keeps no keeper from starting."""
    (tmp_path / "outbox.jsonl").write_text("{")
    assert Outbox(tmp_path).read() == {}
    assert "cannot be read" in caplog.text
