from pathlib import Path

import pytest

from serve.base.errors import LostLease
from serve.rollout.state.feedback import Feedback
from serve.rollout.store import answered_requests as answered
from serve.rollout.store.store import Store
from tests.serve.rollout.labels import NOBODY, answer, outcome, tell


def test_an_id_that_comes_again_means_the_newer_request(store: Store) -> None:
    """An id that is used again refers to the newer request."""
    store.answered.note("digits", [answer("1")], 6.0)
    assert tell(store, outcome("1")).counted == 1
    store.answered.note("digits", [answer("1", candidate=True, rollout="r2", at_s=7)], 7.0)
    assert tell(store, outcome("1"), running="r2").counted == 1
    [segment] = store.labels("r2")
    assert (segment.labelled.baseline, segment.labelled.candidate) == (0, 1)


def test_a_request_that_is_noted_twice_counts_once(store: Store) -> None:
    """A request that is noted twice counts once."""
    for _ in range(2):
        store.answered.note("digits", [answer("a")], 6.0)
        tell(store, outcome("a"))
    assert tell(store, outcome("a")).double == ("a",)


def test_what_was_told_outlives_the_keeper(store: Store, url: str) -> None:
    """Another keeper knows the requests and the outcomes of its predecessor."""
    store.answered.note("digits", [answer("a"), answer("b")], 6.0)
    tell(store, outcome("a"))
    store.close()
    other = Store(url, "other")
    assert other.renew(7.0)
    assert tell(other, outcome("a"), outcome("b")) == Feedback(**NOBODY | {"counted": 1, "double": ("a",)})
    assert other.labels("r1")[0].labelled.both == 2
    other.close()


def test_the_oldest_requests_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most `KEPT` requests of a model are kept, and those of other models are not affected."""
    monkeypatch.setattr(answered, "KEPT", 200)
    store.answered.note("minilm", [answer("0", at_s=0)], 6.0)
    for number in range(300):
        store.answered.note("digits", [answer(str(number), at_s=number)], 6.0)
    feedback = tell(store, *(outcome(str(number)) for number in range(300)), asks=False)
    assert 198 <= feedback.counted <= 200
    assert feedback.unknown == tuple(map(str, range(300 - feedback.counted)))
    assert tell(store, outcome("0"), model="minilm").counted == 1


def test_ids_are_not_stored(tmp_path: Path) -> None:
    """Request ids are not stored in the database as they are."""
    store = Store(f"sqlite:///{tmp_path}/rollouts.db", "keeper")
    store.renew(0.0)
    store.answered.note("digits", [answer("maria-lopez")], 6.0)
    tell(store, outcome("maria-perez"))
    store.close()
    assert b"maria" not in Path(tmp_path, "rollouts.db").read_bytes()


def test_only_the_keeper_that_acts_takes_feedback(store: Store, url: str) -> None:
    """A keeper without the lease takes no feedback."""
    other = Store(url, "other")
    with pytest.raises(LostLease):
        other.answered.note("digits", [answer("a")], 6.0)
    with pytest.raises(LostLease):
        tell(other, outcome("a"))
    other.close()
