"""Qualifications in the trail of a real store, and policies that ask for one."""

from typing import Any

import pytest

from serve.base.errors import CounterweightError, RefusedAction, UnknownModel, UnknownVariant
from serve.rollout.api_records import ActRequest
from serve.rollout.state.rollout import Phase
from serve.rollout.trail.qualification import Qualification, QualificationView
from serve.rollout.trail.trail import broken_seals
from tests.serve.rollout.local_keeper import POLICY, VERSIONS, Clock, LocalKeeper
from tests.serve.rollout.trail.test_qualification import FAILED, PASSED

LOADED = {name: VERSIONS[name] for name in ("fp32", "int8")}
QUALIFIED = POLICY.model_copy(update={"qualified": True})


def qualify(keeping: LocalKeeper, fields: dict[str, Any] = PASSED, **changes: Any) -> QualificationView:
    """Write bob's qualification of the loaded versions."""
    found = Qualification.model_validate(fields | {"digests": LOADED} | changes)
    return keeping.commands.qualify("digits", found, "bob")


def test_it_is_kept_with_who_and_when(keeping: LocalKeeper) -> None:
    """A qualification is an entry of the sealed trail, with its author and its time."""
    view = qualify(keeping)
    assert (view.number, view.by, view.at_s) == (2, "bob", keeping.clock.now_s)
    assert keeping.commands.qualifications("digits") == (view,)
    line = keeping.commands.trail("digits", 1)[0]
    assert (line.action, line.by, line.reason) == ("qualify", "bob", view.sentence())
    assert broken_seals(keeping.store.trail("digits"), keeping.store.key) == ()


def test_they_come_newest_first(keeping: LocalKeeper) -> None:
    """Qualifications are listed newest first, whatever their outcome."""
    views = [qualify(keeping, fields) for fields in (FAILED, PASSED)]
    assert keeping.commands.qualifications("digits") == tuple(reversed(views))


def test_a_keeper_made_anew_knows_them(keeping: LocalKeeper) -> None:
    """A new keeper reads all qualifications from the store."""
    view = qualify(keeping)
    again = keeping.killed()
    assert again.commands.qualifications("digits") == (view,)
    again.kill()


def test_those_of_a_model_that_is_not_served_can_be_read(keeping: LocalKeeper) -> None:
    """The qualifications of an unloaded model can still be read."""
    view = qualify(keeping)
    keeping.controller.forget("digits")
    assert keeping.commands.qualifications("digits") == (view,)
    with pytest.raises(UnknownModel):
        keeping.commands.qualifications("other")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"digests": LOADED | {"int8": "d" * 64}},
            RefusedAction,
            "'int8' of 'digits' is loaded with the digest",
        ),
        (
            {"baseline": "slim", "digests": {"slim": "c" * 64, "int8": "b" * 64}},
            RefusedAction,
            r"the baseline of 'digits' is 'fp32',.*'slim'",
        ),
        (
            {"candidate": "int4", "digests": {"fp32": "a" * 64, "int4": "b" * 64}},
            UnknownVariant,
            "serves no variant 'int4'; did you mean 'int8'",
        ),
    ],
    ids=["version", "baseline", "variant"],
)
def test_what_was_found_of_something_else_is_refused(
    keeping: LocalKeeper, changes: dict[str, Any], error: type[CounterweightError], message: str
) -> None:
    """A result for other versions is refused and not stored."""
    with pytest.raises(error, match=message):
        qualify(keeping, **changes)
    assert keeping.commands.qualifications("digits") == ()


def test_a_policy_may_ask_for_it(keeping: LocalKeeper) -> None:
    """With `qualified: true` a start without a qualification is refused; the error gives the command."""
    with pytest.raises(RefusedAction) as refused:
        keeping.start(QUALIFIED)
    assert str(refused.value) == (
        "the policy requires a QUALIFIED candidate (qualified: true), but 'int8' was never qualified against "
        "'fp32'; run: counterweight qualify digits --to int8"
    )
    qualify(keeping)
    assert keeping.start(QUALIFIED).rollout.phase is Phase.SHADOW


def test_a_policy_that_does_not_ask_starts_without(keeping: LocalKeeper) -> None:
    """Without `qualified: true` a candidate starts even after it failed its qualification."""
    qualify(keeping, FAILED)
    assert keeping.start().rollout.phase is Phase.SHADOW


def test_another_version_must_be_qualified_anew(keeping: LocalKeeper) -> None:
    """A qualification of another version of the candidate does not count."""
    qualify(keeping)
    keeping.controller.settle("digits", "fp32", VERSIONS | {"int8": "d" * 64}, None)
    with pytest.raises(RefusedAction, match="another version of 'int8' is loaded than was qualified by bob"):
        keeping.start(QUALIFIED)


def test_it_makes_nothing_stale_that_was_decided_meanwhile(keeping: LocalKeeper) -> None:
    """A qualification does not make an act on a rollout stale, and a replay finds no fault."""
    before = keeping.start()
    qualify(keeping)
    keeping.tick()
    wanted = ActRequest(number=before.number)
    after = keeping.commands.act(before.rollout.rollout, "pause", wanted, "ann")
    assert after.rollout.phase is Phase.PAUSED
    replayed = keeping.commands.replay(before.rollout.rollout)
    assert replayed.faults == ()


def test_a_keeper_that_follows_hears_of_it(keeping: LocalKeeper, file: str, clock: Clock) -> None:
    """A standby keeper has the qualification after its next look."""
    follower = LocalKeeper(file, clock)
    view = qualify(keeping)
    follower.tick(0)
    assert follower.commands.qualifications("digits") == (view,)
    follower.kill()
