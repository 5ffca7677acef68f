"""Operations that are answered from memory, so that they never wait for the store."""

from typing import Any

from serve.base.errors import StaleRevision
from serve.rollout.api_records import Act, ActWanted, RolloutLine, RolloutView
from serve.rollout.controller import Controller
from serve.rollout.decision_writer import require_whole
from serve.rollout.model_state import Situation


class AtOnce:
    """The methods of `Commands` that work without the store, under the same names. None means: use
    `Commands`."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def ask(self, name: str, *arguments: Any) -> Any:
        """Answer the command of that name; None means: use `Commands`."""
        return getattr(self, name)(*arguments) if name in ("act", "view", "rollouts") else None

    def act(self, rollout: str, act: Act, wanted: ActWanted, by: str) -> RolloutView | None:
        """Abort a rollout that is in progress. Raises StaleRevision."""
        situation = self._last(rollout)
        if act != "abort" or situation is None:
            return None
        require_current(situation, wanted)
        if self._controller.withdraw(rollout, by, wanted.reason or "aborted") is None:
            return None
        return self._controller.view(situation)

    def view(self, rollout: str) -> RolloutView | None:
        """The last rollout of a model."""
        situation = self._last(rollout)
        return None if situation is None else self._controller.view(situation)

    def rollouts(self, model: str) -> tuple[RolloutLine, ...] | None:
        """The rollouts of a served model, newest first. Raises BrokenTrail if its trail cannot be read."""
        situation = self._controller.situations.get(model)
        if situation is None:
            return None
        if not situation.lines:
            require_whole(situation)
        return tuple(reversed(tuple(situation.lines.values())))

    def _last(self, rollout: str) -> Situation | None:
        for situation in tuple(self._controller.situations.values()):
            last = situation.present.rollout
            if last is not None and last.rollout == rollout:
                return situation
        return None


def require_current(situation: Situation, wanted: ActWanted) -> None:
    """Raise StaleRevision if the rollout has changed since the person read it."""
    last = situation.present.rollout
    if last is not None and wanted.number is not None and wanted.number < situation.changed:
        raise StaleRevision(
            f"you read entry {wanted.number}, but entry {situation.changed} has changed {last.rollout} "
            f"since: it is {last.phase} at step {last.step}; read it again and decide again",
            situation.changed,
        )
