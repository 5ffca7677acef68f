"""Operations that are answered from memory, so that they never wait for the store."""

from typing import Any

from serve.base.errors import StaleRevision
from serve.rollout.api_records import Act, ActRequest, RolloutLine, RolloutView
from serve.rollout.controller import Controller
from serve.rollout.decision_writer import require_whole
from serve.rollout.model_state import ModelState


class MemoryOperations:
    """The methods of `Commands` that work without the store, under the same names. None means: use
    `Commands`."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def ask(self, name: str, *arguments: Any) -> Any:
        """Answer the command of that name; None means: use `Commands`."""
        return getattr(self, name)(*arguments) if name in ("act", "view", "rollouts") else None

    def act(self, rollout: str, act: Act, request: ActRequest, by: str) -> RolloutView | None:
        """Abort a rollout that is in progress. Raises StaleRevision."""
        state = self._last(rollout)
        if act != "abort" or state is None:
            return None
        require_current(state, request)
        if self._controller.withdraw(rollout, by, request.reason or "aborted") is None:
            return None
        return self._controller.view(state)

    def view(self, rollout: str) -> RolloutView | None:
        """The last rollout of a model."""
        state = self._last(rollout)
        return None if state is None else self._controller.view(state)

    def rollouts(self, model: str) -> tuple[RolloutLine, ...] | None:
        """The rollouts of a served model, newest first. Raises BrokenTrail if its trail cannot be read."""
        state = self._controller.states.get(model)
        if state is None:
            return None
        if not state.lines:
            require_whole(state)
        return tuple(reversed(tuple(state.lines.values())))

    def _last(self, rollout: str) -> ModelState | None:
        for state in tuple(self._controller.states.values()):
            last = state.present.rollout
            if last is not None and last.rollout == rollout:
                return state
        return None


def require_current(state: ModelState, request: ActRequest) -> None:
    """Raise StaleRevision if the rollout has changed since the person read it."""
    last = state.present.rollout
    if last is not None and request.number is not None and request.number < state.changed:
        raise StaleRevision(
            f"you read entry {request.number}, but entry {state.changed} has changed {last.rollout} "
            f"since: it is {last.phase} at step {last.step}; read it again and decide again",
            state.changed,
        )
