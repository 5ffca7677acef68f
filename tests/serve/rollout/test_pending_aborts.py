from pathlib import Path

from serve.counting.breaker import Trip
from serve.rollout.pending_aborts import PendingAborts

TRIP = Trip(rollout="digits/1", by="ann", reason="smoke")


def test_what_was_put_is_found(tmp_path: Path) -> None:
    """An abort is found by its rollout's name."""
    assert PendingAborts(tmp_path / "aborted").put(TRIP)
    assert PendingAborts(tmp_path / "aborted").find(["digits/0", "digits/1"]) == [TRIP]


def test_the_first_stays(tmp_path: Path) -> None:
    """A second abort of the same rollout does not replace the first."""
    PendingAborts(tmp_path).put(TRIP)
    assert PendingAborts(tmp_path).put(Trip(rollout=TRIP.rollout, by="bob", reason="again"))
    assert PendingAborts(tmp_path).find([TRIP.rollout]) == [TRIP]


def test_a_folder_that_cannot_be_written_fails_nobody(tmp_path: Path) -> None:
    """If the folder cannot be written, `put` returns False."""
    (tmp_path / "aborted").write_text("a file in its place")
    assert not PendingAborts(tmp_path / "aborted").put(TRIP)
    assert PendingAborts(tmp_path / "aborted").find([TRIP.rollout]) == []


def test_half_a_notice_is_none(tmp_path: Path) -> None:
    """A file that was cut is ignored."""
    pending = PendingAborts(tmp_path)
    pending.put(TRIP)
    [path] = tmp_path.iterdir()
    path.write_text(path.read_text()[:9])
    assert pending.find([TRIP.rollout]) == []
