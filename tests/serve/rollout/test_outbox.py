from pathlib import Path

import pytest

from serve.rollout.outbox import Outbox
from tests.serve.rollout.stores import started


def test_what_is_held_is_found_by_the_next_keeper(tmp_path: Path) -> None:
    """A held change is found by the next keeper, and no longer once it is written."""
    outbox = Outbox(tmp_path)
    outbox.hold((started(),))
    assert Outbox(tmp_path).read() == {"digits": started()}
    outbox.hold(())
    assert Outbox(tmp_path).read() == {}


def test_nothing_is_written_while_there_is_nothing_to_hold(tmp_path: Path) -> None:
    """With nothing to hold, no file is written."""
    Outbox(tmp_path).hold(())
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A folder that cannot be written is logged, and `hold` returns."""
    outbox = Outbox(Path("/dev/null"))
    outbox.hold((started(),))
    assert "for the next keeper" in caplog.text
    assert outbox.read() == {}


def test_what_cannot_be_read_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that cannot be read is logged and ignored."""
    (tmp_path / "outbox.jsonl").write_text("{")
    assert Outbox(tmp_path).read() == {}
    assert "cannot be read" in caplog.text
