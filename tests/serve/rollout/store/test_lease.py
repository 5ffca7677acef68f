import threading

import pytest

from serve.base.errors import LostLease
from serve.rollout.store.lease import LEASE_S
from serve.rollout.store.schema import transaction
from serve.rollout.store.store import Store
from tests.serve.rollout.rollouts import begun, proven
from tests.serve.rollout.stores import judged, started


def test_of_two_keepers_one_acts(store: Store, url: str) -> None:
    """A second keeper gets neither the lease nor a write."""
    other = Store(url, "keeper")
    assert not other.renew(LEASE_S - 0.1)
    with pytest.raises(LostLease, match="has the lease; stop one of the two keepers"):
        other.append(started(), 0)
    assert store.read("digits").number == 0
    other.close()


def test_a_keeper_that_was_silent_is_replaced_and_may_not_write(store: Store, url: str) -> None:
    """A keeper that was silent for longer than its lease may not write once another one holds it."""
    store.append(started(), 0)
    other = Store(url, "other")
    assert other.renew(LEASE_S)
    with pytest.raises(LostLease, match="other-"):
        store.keep("r1", proven(), LEASE_S)
    with pytest.raises(LostLease):
        store.append(judged(begun(), 60, 2), 1)
    assert store.lease().keeper == other.keeper
    other.close()


def test_a_lease_of_an_hour_is_free_when_nobody_renews_it(store: Store, url: str) -> None:
    """A lease that a fast clock dated an hour ahead is free five seconds after its keeper's last renewal."""
    assert store.renew(3600.0)
    other = Store(url, "other")
    assert [other.renew(float(now_s)) for now_s in range(7)] == [False] * 5 + [True] * 2
    other.close()


def test_a_keeper_that_renews_is_not_replaced_however_far_its_clock_is_behind(store: Store, url: str) -> None:
    """A keeper that renews its lease keeps it, even if its clock is slow."""
    other = Store(url, "other")
    assert not other.renew(4.0)
    for now_s in range(5, 20):
        assert store.renew(now_s - 1000.0)
        assert not other.renew(float(now_s))
    assert other.rival
    other.close()


def test_every_write_renews_the_lease(store: Store) -> None:
    """Each write renews the lease."""
    store.append(started(at_s=3), 0)
    assert store.lease().until_s == 3 + LEASE_S


def test_a_keeper_that_closes_leaves_the_lease_to_the_next(store: Store, url: str) -> None:
    """After a keeper has closed its store, the next gets the lease at once."""
    store.close()
    other = Store(url, "other")
    assert other.renew(0.1)
    other.close()


def test_a_second_close_writes_nothing(store: Store, url: str) -> None:
    """Closing a store again does not wait for another keeper's transaction."""
    store.close()
    other = Store(url, "other")
    with transaction(other._engine):
        store.close()
    other.close()


def test_of_many_keepers_at_once_one_gets_the_lease(url: str) -> None:
    """Of four keepers that start at once, one gets the lease."""
    stores: list[Store] = []
    won: list[bool] = []

    def start() -> None:
        stores.append(Store(url, "keeper"))
        won.append(stores[-1].renew(1.0))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert sorted(won) == [False, False, False, True]
