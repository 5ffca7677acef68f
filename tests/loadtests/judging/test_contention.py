"""Whether other programs kept the sender from its core."""

from pathlib import Path

import pytest

from loadtests.judging import contention
from loadtests.judging.contention import Contention, ContentionClock, is_contended


def test_the_run_queue_is_a_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of ten seconds in the run queue give a share of 0.2."""
    scheduled, now_s = tmp_path / "schedstat", iter([100.0, 110.0])
    monkeypatch.setattr(contention, "_SCHEDULED", scheduled)
    monkeypatch.setattr(contention, "monotonic", lambda: next(now_s))
    scheduled.write_text("5000000000 1000000000 77\n")
    clock = ContentionClock()
    scheduled.write_text("6000000000 3000000000 99\n")
    assert clock.read().queued == pytest.approx(0.2)


def test_a_system_that_does_not_tell_is_not_guessed_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a system without these files, such as macOS, the values are None."""
    monkeypatch.setattr(contention, "_SCHEDULED", tmp_path / "none")
    found = ContentionClock().read()
    assert found.queued is None
    assert not is_contended(Contention(load_average=None, queued=None), cores=2)
