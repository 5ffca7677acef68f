"""KeptModel: one model as a test's keeper knows it."""

from serve.base.routing import Routes
from serve.rollout.controller import Controller
from serve.rollout.model_state import ModelState
from serve.rollout.state.rollout import Rollout
from serve.rollout.store.store import Store


class KeptModel:
    """A controller over a store."""

    model: str
    store: Store
    controller: Controller

    @property
    def state(self) -> ModelState:
        """Return the keeper's state of the model."""
        return self.controller.states[self.model]

    @property
    def routes(self) -> Routes:
        """The routes in force."""
        return self.state.routes

    @property
    def rollout(self) -> Rollout:
        """The last rollout."""
        rollout = self.state.present.rollout
        assert rollout is not None
        return rollout

    def kill(self) -> None:
        """Close the database and keep the lease, as kill -9 does."""
        self.store._engine.dispose()
