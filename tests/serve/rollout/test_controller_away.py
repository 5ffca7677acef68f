"""Aborts and rollbacks are in force at once, and are written when the store is available."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from serve.base.errors import StaleRevision, StoreFailed
from serve.control.memory_operations import MemoryOperations
from serve.rollout.api_records import ActRequest
from serve.rollout.replay import replay
from serve.rollout.state.policy import Policy, ShadowPolicy
from serve.rollout.state.rollout import Phase
from serve.rollout.store.lease import LEASE_S
from serve.rollout.store.store import Store
from serve.rollout.trail.trail import Action
from tests.serve.rollout.local_keeper import POLICY, Gateway, LocalKeeper, turn

SKIP = POLICY.model_copy(update={"shadow": ShadowPolicy(skip=True)})
WIDE = POLICY.model_copy(
    update={
        "shadow": ShadowPolicy(skip=True),
        "steps": Policy().steps[3:],
        "guards": POLICY.guards.model_copy(update={"stall_s": 1.0}),
    }
)


def abort(keeping: LocalKeeper) -> None:
    """Abort as a person does, without reading the store."""
    view = MemoryOperations(keeping.controller).act(keeping.rollout.rollout, "abort", ActRequest(), "bob")
    assert view is not None
    assert view.rollout.phase is Phase.ROLLED_BACK


def actions(keeping: LocalKeeper) -> list[Action]:
    """Return the rollout's actions in the store."""
    return [entry.change.action for entry in keeping.store.trail("digits") if entry.rollout]


def expect_whole(keeping: LocalKeeper) -> None:
    """Check that the store has what is in force, and that a replay finds no fault."""
    present = keeping.store.read("digits")
    assert (present.rollout, present.routes) == (keeping.rollout, keeping.routes)
    assert replay(keeping.store.trail("digits"), keeping.rollout.rollout, keeping.store.key).faults == ()
    assert keeping.controller.view(keeping.state).warnings == ()


@contextmanager
def away(keeping: LocalKeeper) -> Iterator[None]:
    """Move the store's folder away."""
    here = Path(str(keeping.store._engine.url.database)).parent
    gone = here.rename(here.with_name("away"))
    yield
    gone.rename(here)


def save_in_vain(keeping: LocalKeeper) -> None:
    """Let a second pass in which nothing can be written."""
    keeping.clock.now_s += 1
    keeping.controller.look()
    with pytest.raises(StoreFailed):
        keeping.controller.save()


def test_an_abort_does_not_queue_behind_a_write_that_is_held_up(keeping: LocalKeeper) -> None:
    """An abort is in force while another write waits for a locked SQLite file, and is written after it."""
    keeping.start(SKIP)
    other = sqlite3.connect(str(keeping.store._engine.url.database))
    other.execute("BEGIN IMMEDIATE")
    writing = threading.Thread(target=keeping.controller.save)
    writing.start()
    abort(keeping)
    assert writing.is_alive()
    assert keeping.routes.weights == {"fp32": 1.0, "int8": 0.0}
    assert keeping.state.watch is None
    other.rollback()
    other.close()
    writing.join()
    keeping.tick()
    assert actions(keeping) == [Action.START, Action.ABORT]
    expect_whole(keeping)


def test_harm_rolls_back_while_the_store_is_away(keeping: LocalKeeper) -> None:
    """Harm rolls back while the store is away; verdict and evidence are written when it is back."""
    keeping.start(WIDE)
    with away(keeping):
        for number in range(20):
            # A gateway has one delta on its way at a time, so each round uses another gateway.
            gateway = Gateway(f"gateway{number}")
            gateway.report(keeping)
            gateway.serve(4000, errors=(0, 900))
            gateway.report(keeping)
            save_in_vain(keeping)
            if keeping.rollout.phase.over:
                break
        assert keeping.place == (Phase.ROLLED_BACK, 1)
        assert keeping.routes.share("int8") == 0
    keeping.tick()
    assert actions(keeping)[-1] is Action.VERDICT
    expect_whole(keeping)


def test_nothing_is_promoted_while_the_store_is_away(keeping: LocalKeeper, gateway: Gateway) -> None:
    """Nothing is promoted while the store is away, and a warning says why."""
    keeping.start(SKIP)
    gateway.report(keeping)
    gateway.serve(3000)
    gateway.report(keeping)
    with away(keeping):
        for _ in range(5):
            save_in_vain(keeping)
        assert keeping.place == (Phase.STEP, 1)
        [warning] = keeping.controller.view(keeping.state).warnings
        assert warning.startswith("nothing could be written to the store for 5 s")
    keeping.tick()
    assert keeping.place == (Phase.STEP, 2)


def test_what_is_not_written_is_not_acknowledged(keeping: LocalKeeper, gateway: Gateway) -> None:
    """A delta is acknowledged only after it is written."""
    keeping.start(SKIP)
    gateway.report(keeping)
    gateway.serve(500)
    gateway.report(keeping)
    with away(keeping):
        save_in_vain(keeping)
        assert keeping.state.present.evidence.segments[0].requests.both == 500
        assert keeping.controller.written("one") == {}
    keeping.tick()
    assert keeping.controller.written("one") == {"digits": 1}
    assert keeping.store.read("digits").evidence.segments[0].requests.both == 500


@pytest.mark.parametrize("killed", [False, True])
def test_two_minutes_without_the_store_lose_no_request(keeping: LocalKeeper, killed: bool) -> None:
    """In two minutes without the store no request is lost or counted twice, even if the keeper is killed."""
    gateways = [Gateway("one"), Gateway("two")]
    keeping.start(WIDE)

    def second(errors: tuple[int, int]) -> None:
        for gateway in gateways:
            gateway.report(keeping)
            gateway.serve(100, errors=errors)
            gateway.report(keeping)

    for _ in range(10):
        second((1, 1))
        keeping.tick()
    with away(keeping):
        for _ in range(120):
            second((1, 1))
            save_in_vain(keeping)
        if killed:
            keeping.kill()
    if killed:
        keeping = LocalKeeper(str(keeping.store._engine.url), keeping.clock)
        keeping.tick(LEASE_S)
    for _ in range(5):
        second((1, 1))
        keeping.tick()
    second((0, 0))
    keeping.tick()
    assert not keeping.rollout.phase.over
    counted = sum(sum(gateway.counted.values()) for gateway in gateways)
    stored = keeping.store.read("digits").evidence.segments
    assert sum(segment.requests.both for segment in stored) == counted == 2 * 100 * 136
    assert sum(segment.errors.baseline for segment in stored) == 2 * 135
    assert sum(segment.errors.candidate for segment in stored) == 2 * 135


def test_a_full_disk_holds_up_no_abort(keeping: LocalKeeper) -> None:
    """With a full disk an abort is in force with a warning, and is written when there is space."""
    keeping.start(SKIP)
    engine = keeping.store._engine

    def fill(connection: Any, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    event.listen(engine, "connect", fill)
    engine.dispose()
    abort(keeping)
    # A small entry would still fit into the last page; this one does not.
    keeping.state.ahead = keeping.state.ahead and keeping.state.ahead.model_copy(update={"by": "b" * 100_000})
    save_in_vain(keeping)
    assert keeping.place == (Phase.ROLLED_BACK, 1)
    assert "is in force" in keeping.controller.warnings(keeping.state)[-1]
    event.remove(engine, "connect", fill)
    engine.dispose()
    keeping.tick()
    assert actions(keeping)[-1] is Action.ABORT


def abort_during_the_next_write(keeping: LocalKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Abort during the next write, after the store has it and before the keeper knows."""
    write = Store.append

    def slow(store: Store, *arguments: Any) -> Any:
        entry = write(store, *arguments)
        monkeypatch.setattr(Store, "append", write)
        abort(keeping)
        return entry

    monkeypatch.setattr(Store, "append", slow)


@pytest.mark.parametrize("act", ["pause", "promote"])
def test_an_abort_that_comes_during_another_write_is_put_on_top(
    keeping: LocalKeeper, monkeypatch: pytest.MonkeyPatch, act: Any
) -> None:
    """An abort during another write is written after it, and the baseline keeps the traffic."""
    keeping.start(SKIP)
    abort_during_the_next_write(keeping, monkeypatch)
    keeping.commands.act(keeping.rollout.rollout, act, ActRequest(), "ann")
    assert keeping.routes.share("int8") == 0
    keeping.tick()
    assert actions(keeping) == [Action.START, Action(act), Action.ABORT]
    expect_whole(keeping)


def test_an_abort_that_comes_while_it_is_completed_takes_the_routes_back(
    keeping: LocalKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An abort during the last promotion leaves the rollout DONE and gives the baseline the traffic."""
    keeping.start(SKIP.model_copy(update={"watch_s": 0.0}))
    keeping.promote()
    keeping.promote()
    abort_during_the_next_write(keeping, monkeypatch)
    keeping.promote()
    keeping.tick()
    assert (keeping.place, keeping.routes.share("fp32")) == ((Phase.DONE, 3), 1.0)
    expect_whole(keeping)


def test_what_was_decided_before_an_abort_is_refused_after_it(keeping: LocalKeeper) -> None:
    """A change that was decided before an abort is refused after it."""
    keeping.start(SKIP)
    state, before = keeping.state, keeping.rollout
    abort(keeping)
    with pytest.raises(StaleRevision, match="withdrawn meanwhile"):
        keeping.controller.change(state, Action.PAUSE, before, keeping.clock.now_s)
    expect_whole(keeping)


def fail(*_: object) -> None:
    """Replaces a store that this keeper cannot reach."""
    raise StoreFailed("the store failed: no route to host")


def test_an_abort_is_put_on_top_of_what_another_keeper_wrote(
    keeping: LocalKeeper, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An abort stays in force after another keeper's step, and is written once the lease is free."""
    keeping.start(SKIP)
    with monkeypatch.context() as broken:
        broken.setattr(keeping.store, "renew", fail)
        abort(keeping)
        save_in_vain(keeping)
        keeping.clock.now_s += LEASE_S
        other = LocalKeeper(file, keeping.clock, elsewhere=True)
        other.promote()
    keeping.tick(0)
    assert keeping.routes.share("int8") == 0
    other.kill()
    for _ in range(2):
        keeping.tick(LEASE_S)
    assert actions(keeping) == [Action.START, Action.PROMOTE, Action.ABORT]
    expect_whole(keeping)


def test_an_abort_of_what_another_keeper_has_ended_is_dropped(
    keeping: LocalKeeper, file: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An abort of a rollout that another keeper has ended is dropped, with a line in the log."""
    keeping.start(SKIP)
    with monkeypatch.context() as broken:
        broken.setattr(keeping.store, "renew", fail)
        abort(keeping)
        keeping.clock.now_s += LEASE_S
        other = LocalKeeper(file, keeping.clock, elsewhere=True)
        other.commands.act(other.rollout.rollout, "abort", ActRequest(), "eve")
    keeping.tick(0)
    assert (keeping.rollout.by, keeping.state.ahead) == ("eve", None)
    assert "digits: dropped abort by bob" in caplog.text
    other.kill()


def test_a_keeper_that_follows_says_what_an_abort_waits_for(keeping: LocalKeeper, file: str) -> None:
    """A keeper without the lease warns that it cannot abort once the lease's holder has renewed it."""
    keeping.start(SKIP)
    other = LocalKeeper(file, keeping.clock, elsewhere=True)
    [before] = other.controller.warnings(other.state)
    keeping.tick()
    other.tick(0)
    [later] = other.controller.warnings(other.state)
    other.kill()
    assert ["can abort" in before, "can abort" in later] == [True, False]


def test_a_dead_keepers_lease_holds_up_no_abort(keeping: LocalKeeper) -> None:
    """An abort is in force before a dead keeper's lease ends, and is written afterwards."""
    keeping.start(SKIP)
    keeping.kill()
    with sqlite3.connect(str(keeping.store._engine.url.database)) as database:
        database.execute("UPDATE lease SET until_s = until_s + 3600")
    database.close()
    other = LocalKeeper(str(keeping.store._engine.url), keeping.clock)
    abort(other)
    assert other.routes.share("int8") == 0
    other.tick(LEASE_S)
    other.tick()
    expect_whole(other)
    other.kill()


def test_an_abort_outlives_a_keeper_that_is_killed_before_it_is_written(
    keeping: LocalKeeper, file: str
) -> None:
    """An abort that was not written is applied and written by the next keeper."""
    keeping.start(SKIP)
    with away(keeping):
        abort(keeping)
        save_in_vain(keeping)
        keeping.kill()
    keeping.clock.now_s += LEASE_S
    other = LocalKeeper(file, keeping.clock)
    assert other.routes.share("int8") == 0
    other.tick()
    assert actions(other) == [Action.START, Action.ABORT]
    expect_whole(other)
    other.kill()
    third = other.killed()
    assert (third.rollout.by, third.state.ahead) == ("bob", None)
    third.kill()


@pytest.mark.parametrize("set_s", [3600.0, -3600.0])
@pytest.mark.parametrize("when", ["running", "restarted"])
def test_a_clock_that_is_set_ends_nothing_and_begins_nothing(
    keeping: LocalKeeper, gateway: Gateway, set_s: float, when: str
) -> None:
    """Setting the wall clock neither ends a step nor starts one, even across a restart."""
    policy = SKIP.model_copy(
        update={
            "steps": (SKIP.steps[0].model_copy(update={"minimum_s": 1000.0}), *SKIP.steps[1:]),
            "maximum_s": 2000.0,
        }
    )
    keeping.start(policy)
    keeping.clock.set_s = set_s
    if when == "restarted" and set_s < 0:
        keeping = keeping.killed()
    turn(keeping, gateway, 3000)
    assert keeping.place == (Phase.STEP, 1)
    keeping.clock.now_s += 1000
    turn(keeping, gateway)
    assert keeping.place == (Phase.STEP, 2)
    keeping.kill()


def test_an_abort_answers_people_who_look_as_well(keeping: LocalKeeper) -> None:
    """The list and the view of rollouts show an unwritten abort."""
    ask: Callable[..., Any] = MemoryOperations(keeping.controller).ask
    view = keeping.start(SKIP)
    with away(keeping):
        abort(keeping)
        [line] = ask("rollouts", "digits")
        assert (line.phase, line.by) == (Phase.ROLLED_BACK, "bob")
        assert ask("view", view.rollout.rollout).rollout.phase is Phase.ROLLED_BACK
        assert ask("trail", "digits", 0) is None
    keeping.tick()
