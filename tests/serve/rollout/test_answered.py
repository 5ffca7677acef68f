from pathlib import Path

import pytest

from serve.control import Feedback, Outcome
from serve.errors import LostLease
from serve.rollout import answered
from serve.rollout.answered import Answer
from serve.rollout.evidence import Events, Evidence, Pair, Segment
from serve.rollout.store import Store
from tests.serve.rollout.stores import started


def answer(
    request_id: str, *, candidate: bool = False, step: int = 1, at_s: float = 5.0, rollout: str = "r1"
) -> Answer:
    """A request of digits in rollout r1, at a third of the traffic."""
    return Answer(
        request_id=request_id,
        rollout=rollout,
        step=step,
        split=1 / 3,
        sticky=False,
        candidate=candidate,
        at_s=at_s,
    )


def outcome(request_id: str, *, correct: bool = True) -> Outcome:
    """What is known of it."""
    return Outcome(request_id=request_id, correct=correct)


def tell(store: Store, *request_ids: str, running: str | None = "r1") -> Feedback:
    """All of them were right."""
    return learn(store, [outcome(each) for each in request_ids], running)[0]


def learn(
    store: Store, told: list[Outcome], running: str | None = "r1"
) -> tuple[Feedback, tuple[Segment, ...]]:
    """What counts of it, for a rollout that has seen nothing else."""
    return store.learn("digits", told, running, Evidence(), 9.0)


def test_an_outcome_counts_for_the_variant_that_was_chosen(store: Store) -> None:
    """In the segment of its request, to the last digit of the split, at the time of its request."""
    answers = [answer("a", at_s=3), answer("b", candidate=True, at_s=4), answer("c", candidate=True)]
    store.answered.note("digits", answers, 6.0)
    told = [outcome("a"), outcome("b", correct=False), outcome("c")]
    feedback, segments = learn(store, told)
    assert feedback == Feedback(counted=3, double=(), late=(), unknown=())
    assert list(segments) == [
        Segment(
            step=1,
            split=1 / 3,
            started_s=3,
            ended_s=5,
            labelled=Pair(baseline=1, candidate=2),
            wrong=Events.tick(0, 1),
        )
    ]


def test_outcomes_of_several_steps_stay_apart(store: Store) -> None:
    """Each is weighed with the split under which its request came."""
    store.answered.note("digits", [answer("a", step=1), answer("b", step=2)], 6.0)
    _, segments = learn(store, [outcome("a"), outcome("b")])
    assert sorted(segment.key for segment in segments) == [(1, 1 / 3, False), (2, 1 / 3, False)]


def test_an_outcome_counts_once(store: Store) -> None:
    """The first stands, also within one body."""
    store.answered.note("digits", [answer("a")], 6.0)
    assert tell(store, "a", "a") == Feedback(counted=1, double=("a",), late=(), unknown=())
    assert tell(store, "a") == Feedback(counted=0, double=("a",), late=(), unknown=())


@pytest.mark.parametrize("running", ["r2", None])
def test_an_outcome_of_a_rollout_that_is_over_is_late(store: Store, running: str | None) -> None:
    """Whether another runs or none."""
    store.answered.note("digits", [answer("a")], 6.0)
    assert tell(store, "a", running=running) == Feedback(counted=0, double=(), late=("a",), unknown=())


def test_an_outcome_of_no_request_is_unknown(store: Store) -> None:
    """So is one of another model's request."""
    store.answered.note("minilm", [answer("a")], 6.0)
    assert tell(store, "a") == Feedback(counted=0, double=(), late=(), unknown=("a",))


def test_an_id_that_comes_again_means_the_newer_request(store: Store) -> None:
    """A client that numbers its requests begins again at 1 with each start."""
    store.answered.note("digits", [answer("1")], 6.0)
    assert tell(store, "1").counted == 1
    store.answered.note("digits", [answer("1", candidate=True, rollout="r2", at_s=7)], 7.0)
    _, [segment] = learn(store, [outcome("1")], "r2")
    assert segment.labelled == Pair(candidate=1)


def test_a_request_that_is_noted_twice_counts_once(store: Store) -> None:
    """A gateway may not know whether its message arrived."""
    for _ in range(2):
        store.answered.note("digits", [answer("a")], 6.0)
        tell(store, "a")
    assert tell(store, "a").double == ("a",)


def test_what_was_told_outlives_the_keeper(store: Store, url: str) -> None:
    """Another one knows the requests, and what was told of them."""
    store.answered.note("digits", [answer("a"), answer("b")], 6.0)
    tell(store, "a")
    store.close()
    other = Store(url, "other")
    assert other.renew(7.0)
    assert tell(other, "a", "b") == Feedback(counted=1, double=("a",), late=(), unknown=())
    other.close()


def test_the_oldest_requests_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than so many are kept, and of other models nothing is taken."""
    monkeypatch.setattr(answered, "KEPT", 200)
    store.answered.note("minilm", [answer("0", at_s=0)], 6.0)
    for number in range(300):
        store.answered.note("digits", [answer(str(number), at_s=number)], 6.0)
    feedback = tell(store, *map(str, range(300)))
    assert 198 <= feedback.counted <= 200
    assert feedback.unknown == tuple(map(str, range(300 - feedback.counted)))
    assert store.learn("minilm", [outcome("0")], "r1", Evidence(), 9.0)[0].counted == 1


def test_ids_are_not_stored(tmp_path: Path) -> None:
    """A client may put a person's name into them."""
    store = Store(f"sqlite:///{tmp_path}/rollouts.db", "keeper")
    store.renew(0.0)
    store.answered.note("digits", [answer("maria-lopez")], 6.0)
    store.close()
    assert b"maria" not in Path(tmp_path, "rollouts.db").read_bytes()


def test_only_the_keeper_that_acts_takes_feedback(store: Store, url: str) -> None:
    """Else an outcome could count twice."""
    other = Store(url, "other")
    with pytest.raises(LostLease):
        other.answered.note("digits", [answer("a")], 6.0)
    with pytest.raises(LostLease):
        tell(other, "a")
    other.close()


def test_what_is_told_and_what_it_proves_are_written_together(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keeper that dies between the two has heard nothing: whoever told it may tell it again."""

    def fail(*_: object) -> None:
        raise OSError("no space left")

    store.append(started(), 0)
    store.answered.note("digits", [answer("a")], 6.0)
    with monkeypatch.context() as broken:
        broken.setattr("serve.rollout.store._replace", fail)
        with pytest.raises(OSError, match="no space left"):
            tell(store, "a")
    assert tell(store, "a").counted == 1
    [segment] = store.read("digits").evidence.segments
    assert segment.labelled.both == 1
