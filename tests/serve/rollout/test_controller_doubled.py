"""Two keepers with one store, and one whose store is away."""

from pathlib import Path

import pytest

from serve.base.errors import LostLease, StoreFailed
from serve.rollout.api_records import ActRequest, RoutesRequest
from serve.rollout.state.policy import ShadowPolicy
from serve.rollout.state.rollout import Phase
from serve.rollout.store.lease import LEASE_S
from serve.rollout.store.store import Store
from tests.serve.rollout.local_keeper import POLICY, VERSIONS, Gateway, LocalKeeper, turn

SKIP = POLICY.model_copy(update={"shadow": ShadowPolicy(skip=True)})


def test_two_keepers_by_accident_are_one_that_acts(keeping: LocalKeeper, gateway: Gateway, file: str) -> None:
    """With two keepers one acts; the other follows its routes and refuses actions."""
    other = LocalKeeper(file, keeping.clock)
    view = keeping.start(SKIP)
    turn(keeping, gateway)
    other.tick()
    assert (other.place, other.routes) == ((Phase.STEP, 2), keeping.routes)
    with pytest.raises(LostLease, match="stop one of the two keepers"):
        other.commands.act(view.rollout.rollout, "abort", ActRequest(), "bob")
    assert keeping.place == other.place == (Phase.STEP, 2)
    other.kill()


def test_the_other_keeper_takes_over_with_all_that_was_counted(
    keeping: LocalKeeper, gateway: Gateway, file: str
) -> None:
    """The second keeper takes over with all counts, even those after the last written verdict."""
    other = LocalKeeper(file, keeping.clock)
    keeping.start(POLICY.model_copy(update={"shadow": ShadowPolicy(minimum_pairs=10_000)}))
    other.tick(0)
    for pairs in (1000, 50, 30):
        turn(keeping, gateway, pairs)
        other.tick(0)
    keeping.clock.now_s += LEASE_S
    other.tick()
    assert other.state.present.evidence.shadow.pairs == 1080
    gateway.report(other)
    gateway.serve(100)
    gateway.report(other)
    other.tick()
    assert other.state.present.evidence.shadow.pairs == gateway.pairs == 1180
    with pytest.raises(LostLease):
        keeping.promote()
    other.kill()


def test_what_was_mended_without_the_lease_is_written_with_it(keeping: LocalKeeper, file: str) -> None:
    """Routes that a keeper adapted without the lease are written once it has the lease."""
    keeping.commands.set_routes("digits", RoutesRequest(weights={"fp32": 1, "slim": 3}), "ann")
    other = LocalKeeper(file, keeping.clock, versions={"fp32": VERSIONS["fp32"]})
    assert other.routes.share("fp32") == 1
    keeping.kill()
    other.tick(LEASE_S)
    written = other.store.read("digits").routes
    assert written is not None
    assert written.share("fp32") == 1
    other.kill()


def test_a_lease_that_comes_while_models_are_settled_is_every_models(keeping: LocalKeeper, file: str) -> None:
    """A keeper that gets the lease while it settles a second model also settles the first one's rollout."""
    keeping.start(SKIP)
    keeping.kill()
    other = LocalKeeper(file, keeping.clock, versions={"fp32": VERSIONS["fp32"]})
    assert other.place == (Phase.STEP, 1)
    keeping.clock.now_s += LEASE_S
    other.controller.settle("minilm", "fp32", VERSIONS, None)
    other.tick(0)
    assert (other.place, other.store.read("digits").rollout) == ((Phase.ROLLED_BACK, 1), other.rollout)
    other.kill()


def test_a_store_that_fails_leaves_all_as_it_was(
    keeping: LocalKeeper, gateway: Gateway, tmp_path: Path
) -> None:
    """If the store fails, routes and phase stay, and the counts are used when it is back."""
    keeping.start(SKIP)
    gateway.report(keeping)
    gateway.serve(1500)
    gateway.report(keeping)
    before = keeping.routes
    (tmp_path / "store").rename(tmp_path / "away")
    for _ in range(3):
        with pytest.raises(StoreFailed):
            keeping.tick()
        gateway.report(keeping)
    with pytest.raises(StoreFailed):
        keeping.promote()
    assert (keeping.place, keeping.routes) == ((Phase.STEP, 1), before)
    (tmp_path / "away").rename(tmp_path / "store")
    keeping.tick()
    assert keeping.place == (Phase.STEP, 2)
    assert keeping.state.present.evidence.segments[0].requests.both == 1500


def test_a_write_that_fails_loses_nothing_that_came(
    keeping: LocalKeeper, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a write fails, the counts that it had are used at the next look."""

    def fail(*_: object) -> None:
        raise StoreFailed("the store failed: no space left")

    keeping.start(SKIP)
    gateway.report(keeping)
    gateway.serve(1500)
    gateway.report(keeping)
    with monkeypatch.context() as broken:
        broken.setattr(Store, "keep", fail)
        with pytest.raises(StoreFailed):
            keeping.tick()
    gateway.report(keeping)
    keeping.tick()
    assert keeping.state.present.evidence.segments[0].requests.both == 1500


def test_news_of_another_keeper_loses_nothing_that_came(
    keeping: LocalKeeper, gateway: Gateway, file: str
) -> None:
    """A follower drops its deltas after another keeper's entry and gets them again from the gateways."""
    other = LocalKeeper(file, keeping.clock)
    keeping.start(SKIP)
    other.tick(0)
    gateway.report(other)
    gateway.serve(1500)
    gateway.report(other)
    keeping.commands.act(keeping.rollout.rollout, "pause", ActRequest(), "ann")
    other.tick(0)
    keeping.kill()
    keeping.clock.now_s += LEASE_S
    other.tick()
    gateway.report(other)
    other.tick()
    assert other.state.present.evidence.segments[0].requests.both == 1500
    other.kill()


def test_nobody_judges_while_the_lease_is_of_a_keeper_that_is_gone(keeping: LocalKeeper, file: str) -> None:
    """The time without a judgement grows until the next keeper has the lease."""
    keeping.kill()
    other = LocalKeeper(file, keeping.clock)
    other.tick(LEASE_S - 1)
    assert other.controller.unjudged_s == LEASE_S - 1
    other.tick(1)
    other.tick(1)
    assert (other.controller.acts, other.controller.unjudged_s) == (True, 0)
    other.kill()


def test_who_follows_a_keeper_that_lives_knows_that_it_judges(keeping: LocalKeeper, file: str) -> None:
    """A follower takes the holder's renewals as a sign that rollouts are judged."""
    other = LocalKeeper(file, keeping.clock)
    for _ in range(10):
        keeping.tick()
        other.tick(0)
    other.tick(0)
    assert (other.controller.acts, other.controller.unjudged_s) == (False, 0)
    other.kill()
