"""Labels and their requests are sealed: a change is noticed at the next start."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.base.errors import BrokenTrail
from serve.rollout.state.feedback import Outcome, Outcomes
from serve.rollout.state.policy import AccuracyGuard
from serve.rollout.store import answered_requests as answered
from serve.rollout.store.store import Store
from tests.serve.rollout.labels import answer, labelled, outcome, tell
from tests.serve.rollout.local_keeper import POLICY, Gateway, LocalKeeper, turn
from tests.serve.rollout.store.test_audit import behind, restart
from tests.serve.rollout.store.test_schema import execute
from tests.serve.rollout.stores import started

TOLD = POLICY.model_copy(update={"guards": POLICY.guards.model_copy(update={"accuracy": AccuracyGuard()})})
TAMPERINGS = {
    "a label made right": "UPDATE labels SET candidate_wrong = candidate_wrong - 1 WHERE candidate_wrong > 0",
    "labels moved to another second": "UPDATE labels SET second = second + 1000",
    "labels gone": "DELETE FROM labels",
    "labels put in": "INSERT INTO labels SELECT model, rollout, 9, split, sticky, second, 1, 1, 1, 0 "
    "FROM labels LIMIT 1",
    "labels of another rollout": "UPDATE labels SET rollout = 'r0'",
    "a class of the shadow": "UPDATE matched SET baseline_alone = 0, candidate_alone = 9",
    "classes of the shadow gone": "DELETE FROM matched",
    "whose request it was": "UPDATE answered SET candidate = NOT candidate",
    "what the answer was": "UPDATE answered SET top = 4 WHERE top IS NOT NULL",
    "a label that may come twice": "UPDATE answered SET outcome = NULL WHERE outcome IS NOT NULL",
    "a request gone": "DELETE FROM answered WHERE top = 1",
    "a label that waits": "UPDATE held SET label = 7, correct = NULL",
    "a label that waits no more": "DELETE FROM held",
    "the seals gone": "DELETE FROM row_seals",
    "everything gone": "DELETE FROM labels; DELETE FROM row_seals WHERE name = 'labels'",
    "a seal": "UPDATE row_seals SET number = number + 1",
}


@pytest.fixture
def sealing(url: str, tmp_path: Path) -> Iterator[Store]:
    """A store with a key, in which rollout r1 of digits has just started."""
    store = Store(url, "keeper", tmp_path / "seal.key")
    assert store.renew(0.0)
    store.append(started(), 0)
    yield store
    store.close()


def faults(store: Store) -> tuple[str, ...]:
    """Return the faults that the next keeper finds."""
    return store.recall("digits")[2]


def fill(store: Store) -> None:
    """Requests and labels of every kind."""
    store.answered.note("digits", [answer(each, candidate=each in "ac", top=3) for each in "abc"], 6.0)
    store.answered.note("digits", [answer(each, step=0, top=1, other=2) for each in "xyz"], 6.0)
    tell(store, outcome("a", correct=False), labelled("b", 3), labelled("x", 1), outcome("later"))


def test_what_was_written_is_what_is_found(sealing: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 300 random turns with labels and repeated requests, the seals of the rows are intact."""
    monkeypatch.setattr(answered, "KEPT", 100)
    rng = random.Random(4)
    for turn_ in range(300):
        rollout, now_s = f"r{1 + turn_ // 150}", float(turn_)
        if turn_ == 150:
            sealing.append(started("r2", 150.0, 2), 1)
        ids = [str(rng.randrange(200)) for _ in range(5)]
        if rng.random() < 0.5:
            answers = [
                answer(each, step=rng.randrange(2), rollout=rollout, candidate=rng.random() < 0.5, at_s=now_s)
                for each in ids
            ]
            sealing.answered.note("digits", answers, now_s)
        else:
            told = [labelled(each, 3) if rng.random() < 0.5 else outcome(each) for each in ids]
            tell(sealing, *told, running=rollout, now_s=now_s)
        if turn_ % 10 == 0:
            assert faults(sealing) == ()
    assert faults(sealing) == ()


@pytest.mark.parametrize("kind", TAMPERINGS)
def test_every_change_is_noticed(sealing: Store, url: str, kind: str) -> None:
    """Each change of a row is noticed, even after further rows are written."""
    fill(sealing)
    assert faults(sealing) == ()
    for statement in TAMPERINGS[kind].split("; "):
        execute(url, statement)
    assert any(fault.endswith(" of r1 were changed") for fault in faults(sealing))
    sealing.answered.note("digits", [answer("new", top=3)], 7.0)
    tell(sealing, outcome("new"))
    assert faults(sealing)


def test_a_rollout_that_was_started_without_seals_goes_on_without(url: str, tmp_path: Path) -> None:
    """The rows of a rollout that was started without seals are accepted without them."""
    store = Store(url, "keeper", tmp_path / "seal.key")
    assert store.renew(0.0)
    key, store.key = store.key, None
    store.append(started(), 0)
    fill(store)
    store.key = key
    assert faults(store) == ()
    tell(store, outcome("c"))
    assert faults(store) == ()
    store.close()


def test_a_keeper_decides_nothing_on_labels_that_were_changed(
    keeping: LocalKeeper, gateway: Gateway, file: str
) -> None:
    """After a change of labels the baseline has all traffic until a person accepts the store."""
    keeping.start(TOLD)
    gateway.hear(keeping)
    turn(keeping, gateway, 500, request_id="a")
    while not keeping.rollout.step:
        keeping.promote()
    turn(keeping, gateway, 500, request_id="b")
    gateway.report(keeping)
    told = [Outcome(request_id=f"b-fp32-{number}", correct=True) for number in range(100)]
    assert keeping.commands.feedback("digits", Outcomes(outcomes=tuple(told)), "ann").unknown == ()
    keeping.tick()
    keeping.kill()
    with behind(file) as database:
        database.execute("UPDATE labels SET baseline_wrong = 9")
    other = restart(file, keeping.clock)
    assert other.routes.weights == {"fp32": 100.0}
    assert other.state.faults == (f"the labels of {keeping.rollout.rollout} were changed",)
    with pytest.raises(BrokenTrail, match="counterweight verify"):
        other.commands.feedback("digits", Outcomes(outcomes=tuple(told)), "ann")
    other.kill()
