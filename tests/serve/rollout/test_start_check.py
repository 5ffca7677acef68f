import pytest

from serve.base.errors import RefusedAction
from serve.bundles.meaning import Task
from serve.rollout.state.policy import AccuracyGuard, ShadowPolicy
from serve.rollout.state.rollout import Phase
from tests.serve.rollout.local_keeper import POLICY, LocalKeeper

SKIP = POLICY.model_copy(update={"shadow": ShadowPolicy(skip=True)})


def test_no_rollout_to_an_unproven_variant_skips_the_shadow(keeping: LocalKeeper) -> None:
    """A rollout to an unproven variant without a shadow is refused."""
    keeping.state.unproven = {"int8"}
    with pytest.raises(RefusedAction, match=r"'int8' of 'digits' is unproven: .* begin in the shadow"):
        keeping.start(SKIP)


def test_an_unproven_variant_begins_in_the_shadow(keeping: LocalKeeper) -> None:
    """An unproven variant can be rolled out through the shadow."""
    keeping.state.unproven = {"int8"}
    assert keeping.start().rollout.phase is Phase.SHADOW


def test_a_proven_variant_may_skip_the_shadow(keeping: LocalKeeper) -> None:
    """A proven variant can skip the shadow while others are unproven."""
    keeping.state.unproven = {"slim"}
    assert keeping.start(SKIP).rollout.phase is Phase.STEP


@pytest.mark.parametrize("task", ["multilabel", "embedding", "regression", "binary"])
def test_accuracy_is_guarded_for_every_task(keeping: LocalKeeper, task: Task) -> None:
    """Clients can say of every answer whether it was right."""
    keeping.state.task = task
    guards = POLICY.guards.model_copy(update={"accuracy": AccuracyGuard()})
    view = keeping.start(POLICY.model_copy(update={"guards": guards}))
    assert view.rollout.phase is Phase.SHADOW
