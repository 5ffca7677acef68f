import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from serve.base.errors import StaleRevision, UnknownRollout
from serve.base.routing import Routes
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.replay import replay
from serve.rollout.state.rollout import Phase
from serve.rollout.store.store import Store
from serve.rollout.trail.trail import Action, Change
from tests.serve.rollout.rollouts import begun, proven
from tests.serve.rollout.stores import go_on, judged, routes_of, started

ROOT = Path(__file__).parents[4]


def rows(url: str, table: str) -> int:
    """Return the number of rows of a table, read without the store."""
    engine = create_engine(url)
    with engine.begin() as connection:
        count: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    engine.dispose()
    return count


def test_an_empty_store_has_nothing_in_force(store: Store) -> None:
    """A new store has no model, no routes and no rollout."""
    present = store.read("digits")
    assert (present.number, present.routes, present.rollout) == (0, None, None)
    assert present.evidence == Evidence()
    assert store.models() == ()


def test_a_step_reads_back_whole(store: Store) -> None:
    """An entry's rollout, routes, verdict and evidence are read back exactly."""
    number = store.append(started(), 0).number
    change = judged(begun(), 1 / 3, 2)
    assert store.append(change, number).number == 2
    present = store.read("digits")
    assert (present.number, present.routes, present.rollout) == (2, change.routes, change.rollout)
    assert present.evidence == proven()
    start = started().model_copy(update={"rows_sealed": store.key is not None})
    assert [entry.change for entry in store.trail("digits")] == [start, change]


def test_another_keeper_reads_what_the_first_wrote(store: Store, url: str) -> None:
    """Another keeper reads what the first one wrote."""
    store.append(started(), 0)
    other = Store(url, "other")
    assert other.read("digits") == store.read("digits")
    other.close()


def test_models_have_trails_of_their_own(store: Store) -> None:
    """Each model has a trail with its own numbers."""
    routes = Routes(model="minilm", baseline="fp32", weights={"fp32": 1})
    store.append(started(), 0)
    change = Change(model="minilm", action=Action.ROUTES, by="bob", at_s=1, routes=routes)
    assert store.append(change, 0).number == 1
    assert store.models() == ("digits", "minilm")
    assert store.read("digits").number == 1


def test_a_step_decided_on_old_news_is_refused(store: Store) -> None:
    """An entry after an outdated number is refused with the current number, and nothing is written."""
    store.append(started(), 0)
    with pytest.raises(StaleRevision, match="entry 0, but the last entry is 1") as refused:
        store.append(judged(begun(), 60, 2), 0)
    assert (refused.value.current, refused.value.status) == (1, 409)
    assert store.read("digits").number == 1


def test_routes_with_a_revision_that_was_there_are_refused(store: Store) -> None:
    """Routes with a revision that is not higher are refused."""
    store.append(started(revision=3), 0)
    with pytest.raises(StaleRevision, match="revision 3, but 3 is in force"):
        store.append(judged(begun(), 60, 3), 1)


def test_evidence_is_replaced_and_not_piled_up(store: Store, url: str) -> None:
    """New evidence replaces the old, so there is one row."""
    store.append(started(), 0)
    for tick in range(5):
        store.keep("r1", proven(), tick)
    assert rows(url, "evidence") == 1
    assert store.read("digits").evidence == proven()


def test_evidence_of_a_verdict_outlives_later_evidence(store: Store) -> None:
    """The evidence of a verdict stays after newer evidence is written."""
    store.append(started(), 0)
    store.append(judged(begun(), 60, 2), 1)
    store.keep("r1", Evidence(), 61)
    judgement = store.trail("digits")[1].change.judged
    assert judgement is not None
    assert judgement.evidence == proven()


def test_who_and_when_of_a_persons_action_is_kept(store: Store) -> None:
    """The trail has the author and the time of a person's action."""
    rollout = begun().model_copy(update={"phase": Phase.PAUSED, "by": "bob", "reason": "paused"})
    store.append(started(), 0)
    store.append(Change(model="digits", action=Action.PAUSE, by="bob", at_s=7.25, rollout=rollout), 1)
    change = store.trail("digits")[-1].change
    assert (change.action, change.by, change.at_s) == (Action.PAUSE, "bob", 7.25)


def test_an_action_without_routes_leaves_the_last_ones_in_force(store: Store) -> None:
    """After an entry without routes, the previous routes stay in force."""
    store.append(started(), 0)
    store.append(Change(model="digits", action=Action.PAUSE, by="bob", at_s=7, rollout=begun()), 1)
    assert store.read("digits").routes == routes_of(begun(), 1)


def test_the_model_of_a_rollout_is_found(store: Store) -> None:
    """The model of a rollout is found by the rollout's name."""
    store.append(started(), 0)
    assert store.model_of("r1") == "digits"


def test_an_unknown_rollout_is_refused_by_name(store: Store) -> None:
    """An unknown rollout raises UnknownRollout with its name."""
    with pytest.raises(UnknownRollout, match="no rollout 'r9'"):
        store.model_of("r9")


def test_of_many_steps_decided_on_the_same_news_one_is_written(store: Store) -> None:
    """Of four concurrent steps after the same entry, one is written."""
    store.append(started(), 0)
    change = judged(begun(), 60, 2)
    stale: list[int] = []

    def write() -> None:
        try:
            store.append(change, 1)
        except StaleRevision as error:
            stale.append(error.current)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stale == [2, 2, 2]
    assert store.read("digits").number == 2


def test_a_step_that_fails_in_the_middle_leaves_nothing(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If writing the evidence fails, the entry is not written either."""

    def fail(*_: object) -> None:
        raise OSError("no space left")

    store.append(started(), 0)
    monkeypatch.setattr("serve.rollout.store.store._replace", fail)
    with pytest.raises(OSError, match="no space left"):
        store.append(judged(begun(), 60, 2), 1)
    assert rows(url, "trail") == 1


def write(url: str, steps: int) -> subprocess.Popen[str]:
    """A keeper in a process of its own, which is killed in the middle of the step after `steps`."""
    command = [sys.executable, "-m", "tests.serve.rollout.store_writer", url, str(steps)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_writer_killed_in_the_middle_of_a_step_loses_that_step_whole(store: Store, url: str) -> None:
    """A writer killed between an entry and its evidence leaves neither; earlier entries stay."""
    store.close()
    with write(url, 3) as writer:
        assert writer.communicate()[0].split() == ["1", "2", "3"]
    assert writer.returncode == -signal.SIGKILL
    assert (rows(url, "trail"), rows(url, "evidence")) == (3, 1)
    assert store.renew(1e6)
    assert go_on(store, 1e6) == 4


def test_a_writer_killed_at_any_moment_loses_nothing_that_it_said_and_never_jumps_a_step(url: str) -> None:
    """After a writer is killed, the trail has all entries that it reported, and a replay finds no fault."""
    said = 0
    for kill in range(3):
        with write(url, 1000) as writer:
            assert writer.stdout is not None
            for _ in range(3 + kill):
                said = int(writer.stdout.readline())
            writer.kill()
            # The writer printed these steps before it was killed.
            said = max([said, *map(int, writer.stdout.read().split("\n")[:-1])])
        store = Store(url, "reader")
        trail, key = store.trail("digits"), store.key
        store.close()
        assert said <= len(trail) <= said + 1
    for rollout in {entry.rollout for entry in trail}:
        assert rollout is not None
        assert replay(trail, rollout, key).faults == ()
