from pathlib import Path

import pytest

from serve.base.errors import StoreFailed
from serve.rollout.trail.anchor import Anchor, TrailEnd


def head(number: int, model: str = "digits", *, accepted: bool = False) -> TrailEnd:
    """The end of a trail."""
    return TrailEnd(model=model, number=number, digest=f"{number:064x}", accepted=accepted)


def test_the_last_line_of_a_model_is_its_head(tmp_path: Path) -> None:
    """The head of a model is its last line in the anchor."""
    anchor = Anchor(tmp_path / "rollouts.anchor")
    assert anchor.last("digits") is None
    for each in (head(1), head(2), head(1, "minilm")):
        anchor.add(each)
    assert anchor.last("digits") == head(2)
    assert anchor.heads() == (head(1), head(2), head(1, "minilm"))


def test_what_a_person_accepted_is_known_after_more_entries(tmp_path: Path) -> None:
    """An accepted head is found after later entries."""
    anchor = Anchor(tmp_path / "rollouts.anchor")
    for each in (head(2, accepted=True), head(3)):
        anchor.add(each)
    assert anchor.accepted("digits") == head(2, accepted=True)
    assert anchor.accepted("minilm") is None


def test_a_full_disk_is_logged_and_holds_up_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An anchor that cannot be written is logged and raises nothing."""
    Anchor(Path("/dev/null/rollouts.anchor")).add(head(1))
    assert "cannot be written" in caplog.text


def test_half_a_line_spoils_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line that was cut is logged, and the next one is read."""
    path = tmp_path / "rollouts.anchor"
    anchor = Anchor(path)
    anchor.add(head(1))
    with path.open("a") as file:
        file.write('{"model":"dig')
    anchor.add(head(3))
    assert anchor.heads() == (head(1), head(3))
    assert "has an invalid line" in caplog.text


def test_an_anchor_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    """An anchor that cannot be read is refused by its name."""
    path = tmp_path / "rollouts.anchor"
    path.mkdir()
    with pytest.raises(StoreFailed, match=r"rollouts\.anchor cannot be read"):
        Anchor(path).heads()
