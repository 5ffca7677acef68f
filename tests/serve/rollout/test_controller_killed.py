"""A rollout continues where it was after its keeper is killed."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from serve.base.errors import StaleRevision
from serve.rollout.api_records import ActRequest
from serve.rollout.replay import replay
from serve.rollout.state.feedback import Outcome, Outcomes
from serve.rollout.state.policy import AccuracyGuard, ShadowPolicy
from serve.rollout.state.rollout import Phase
from serve.rollout.store.answered_requests import AnsweredRequests
from serve.rollout.store.store import Store
from tests.serve.rollout.local_keeper import POLICY, Clock, Gateway, LocalKeeper

SKIP = POLICY.model_copy(update={"shadow": ShadowPolicy(skip=True)})
# The policy asks for feedback, so the gateways also note requests.
TOLD = POLICY.model_copy(
    update={
        "guards": POLICY.guards.model_copy(update={"accuracy": AccuracyGuard()}),
        "holdback": 0.0,
        "watch_s": 0.0,
    }
)


class Killed(BaseException):
    """Ends a keeper like kill -9."""


def die_at_writes(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Kill the keeper at every other write, before it or after it."""
    fates = random.Random(seed)

    def doom(write: Callable[..., Any]) -> Callable[..., Any]:
        def doomed(*arguments: Any) -> Any:
            fate = fates.choice(("before", "after", "never", "never"))
            if fate == "before":
                raise Killed
            result = write(*arguments)
            if fate == "after":
                raise Killed
            return result

        return doomed

    for owner, name in ((Store, "append"), (Store, "keep"), (Store, "learn"), (AnsweredRequests, "note")):
        monkeypatch.setattr(owner, name, doom(getattr(owner, name)))


class Lives:
    """A keeper that is replaced whenever it is killed."""

    def __init__(self, keeping: LocalKeeper) -> None:
        self.keeping = keeping
        self.kills = 0

    def live(self, call: Callable[[LocalKeeper], object], done: Callable[[LocalKeeper], bool]) -> None:
        """Repeat the action until no kill interrupts it or it proves to be done."""
        while not done(self.keeping):
            try:
                call(self.keeping)
                return
            except Killed:
                self.kills += 1
                self.keeping = self.keeping.killed()


def look(lives: Lives, gateway: Gateway) -> None:
    """Report to the keeper and let it judge; after a kill, report again to the next one."""

    def listen_and_look(keeping: LocalKeeper) -> None:
        gateway.report(keeping)
        keeping.tick()

    lives.live(listen_and_look, lambda keeping: keeping.rollout.phase.over)


def promote(lives: Lives) -> None:
    """Promote; after a kill, check whether it was done before trying again."""
    rollout, number = lives.keeping.rollout.rollout, lives.keeping.state.changed
    wanted = ActRequest(number=number)
    lives.live(
        lambda keeping: keeping.commands.act(rollout, "promote", wanted, "ann"),
        lambda keeping: keeping.state.changed > number,
    )


def tell(lives: Lives, request_id: str) -> None:
    """Post that five answers of the baseline were right; after a kill, post it again."""
    told = [Outcome(request_id=f"{request_id}-fp32-{number}", correct=True) for number in range(5)]
    lives.live(
        lambda keeping: keeping.commands.feedback("digits", Outcomes(outcomes=tuple(told)), "ann"),
        lambda keeping: False,
    )


@pytest.mark.parametrize("seed", range(2))
def test_a_keeper_killed_at_every_other_write_counts_all_once_and_jumps_no_step(
    url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """A keeper that is killed before or after every other write counts all once and skips no step."""
    lives, gateway = Lives(LocalKeeper(url, clock)), Gateway()
    die_at_writes(monkeypatch, seed)
    try:
        lives.live(lambda keeping: keeping.start(TOLD), lambda keeping: keeping.state.running is not None)
        for turns in range(6):
            gateway.report(lives.keeping)
            gateway.serve(1500, request_id=f"t{turns}")
            before = lives.keeping.place
            look(lives, gateway)
            if lives.keeping.rollout.phase.over:
                break
            tell(lives, f"t{turns}")
            if before == (Phase.STEP, 2):
                promote(lives)
        assert lives.kills > 5
        expect_whole(lives.keeping, gateway)
    finally:
        lives.keeping.kill()


def expect_whole(keeping: LocalKeeper, gateway: Gateway) -> None:
    """Check that each request counts once, that the steps are in order, and that a replay finds no fault."""
    trail = keeping.store.trail("digits")
    steps = [entry.change.rollout.step for entry in trail if entry.change.rollout and entry.change.routes]
    assert (steps, keeping.rollout.phase) == ([0, 1, 2, 3], Phase.DONE)
    evidence = keeping.store.read("digits").evidence
    seen: Counter[tuple[int, str]] = Counter()
    for segment in evidence.segments:
        seen[segment.step, "fp32"] += segment.requests.baseline
        seen[segment.step, "int8"] += segment.requests.candidate
    served = {key: count for key, count in gateway.counted.items() if key[0] and count}
    assert {key: count for key, count in seen.items() if count} == served
    assert evidence.shadow.pairs == gateway.pairs
    # The baseline answered in two steps.
    assert sum(segment.labelled.baseline for segment in evidence.segments) == 10
    assert replay(trail, keeping.rollout.rollout, keeping.store.key).faults == ()


def test_gateways_keep_their_routes_while_there_is_no_keeper(keeping: LocalKeeper, gateway: Gateway) -> None:
    """Without a keeper, gateways keep their routes, and their counts are used later."""
    keeping.start(SKIP)
    gateway.report(keeping)
    gateway.serve(500)
    gateway.serve(400)
    keeping.kill()
    keeping.clock.now_s += 60
    another = keeping.killed()
    gateway.report(another)
    another.tick()
    [segment] = another.state.present.evidence.segments
    assert segment.requests.both == 900
    another.kill()


def test_an_action_on_old_news_is_refused_after_a_restart_as_well(keeping: LocalKeeper) -> None:
    """An action on an outdated entry is refused after a restart, too."""
    view = keeping.start(SKIP)
    keeping.commands.act(view.rollout.rollout, "pause", ActRequest(), "bob")
    another = keeping.killed()
    with pytest.raises(StaleRevision, match="it is PAUSED at step 1"):
        another.commands.act(view.rollout.rollout, "promote", ActRequest(number=view.number), "ann")
    another.kill()


def test_feedback_counts_once_across_a_restart(keeping: LocalKeeper, gateway: Gateway) -> None:
    """Feedback that is posted again after a restart counts once."""
    keeping.start(TOLD.model_copy(update={"shadow": ShadowPolicy(skip=True)}))
    gateway.report(keeping)
    gateway.serve(100, request_id="a")
    gateway.report(keeping)
    keeping.tick()
    outcomes = [Outcome(request_id=f"a-int8-{number}", correct=number > 2) for number in range(5)]
    outcomes.append(Outcome(request_id="a-fp32-0", correct=True))
    assert keeping.commands.feedback("digits", Outcomes(outcomes=tuple(outcomes)), "ann").counted == 6
    another = keeping.killed()
    assert len(another.commands.feedback("digits", Outcomes(outcomes=tuple(outcomes)), "ann").double) == 6
    another.tick()
    another.tick()
    [segment] = another.state.present.evidence.segments
    assert (segment.labelled.baseline, segment.labelled.candidate) == (1, 5)
    assert (segment.wrong.baseline, segment.wrong.candidate) == (0, 3)
    another.kill()


def test_a_clock_that_is_set_a_day_ahead_ends_no_rollout(keeping: LocalKeeper) -> None:
    """A clock that is a day ahead after a restart does not end the rollout, which continues with its judged
    time."""
    keeping.start(SKIP.model_copy(update={"maximum_s": 86_400.0}))
    keeping.tick(60)
    keeping.clock.set_s = 90_000
    another = keeping.killed()
    try:
        another.tick()
        another.tick(59)
        looked = another.state.present.evidence.looked
        assert another.place == (Phase.STEP, 1)
        assert looked is not None
        assert (looked.whole_s, looked.here_s) == (120, 120)
    finally:
        another.kill()
