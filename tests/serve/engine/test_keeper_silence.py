import pytest

from serve.engine.keeper_silence import LATE_S, KeeperSilence


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test sets."""
    now = [1000.0]
    monkeypatch.setattr("serve.engine.keeper_silence.monotonic", lambda: now[0])
    return now


def test_a_keeper_that_was_never_heard_is_not_late(clock: list[float]) -> None:
    """A keeper that was never heard is not silent, even after an hour."""
    judging = KeeperSilence()
    clock[0] += 3600
    assert (judging.silent, judging.unjudged_s) == (False, None)


def test_a_keeper_that_does_not_answer_judges_nothing(clock: list[float]) -> None:
    """The time without a judgement grows from the keeper's last answer."""
    judging = KeeperSilence()
    judging.note_reply(0.5)
    clock[0] += LATE_S - 1
    assert (judging.silent, judging.unjudged_s) == (False, None)
    clock[0] += 60
    assert (judging.silent, judging.unjudged_s) == (True, LATE_S + 59.5)


def test_a_keeper_that_answers_and_does_not_look_judges_nothing(clock: list[float]) -> None:
    """A keeper that answers can report that nobody judges."""
    judging = KeeperSilence()
    judging.note_reply(30.0)
    assert (judging.silent, judging.unjudged_s) == (False, 30.0)
