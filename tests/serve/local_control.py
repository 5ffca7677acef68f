"""LocalControl: the control API's other end in this process, for tests."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from deployments.repository_index import describe_bundles, read_stored
from serve.control.operation_row import Operation
from serve.control.operations import BUNDLES
from serve.counting.usage import Usage
from serve.engine.catalog import Catalog
from serve.rollout.state.rollout import RolloutPlan
from tests.serve.model_keeper import ModelKeeper, digests_of
from tests.serve.rollout_stages import Stage, copy_stage
from tests.serve.samples import USAGE, disagreements, timeline

A = TypeVar("A")


class LocalControl:
    """A `serve.control.api.Control` over one model, whose last rollout has come to a stage. The real
    `Commands` answer, on a store in a temporary folder."""

    def __init__(
        self,
        stage: Stage = "step",
        *,
        model: str = "linear",
        baseline: str = "base",
        candidate: str = "light",
    ) -> None:
        # Each operation that changes something, with its arguments.
        self.told: list[tuple[Any, ...]] = []
        # The error that every operation raises, if there is one.
        self.error: Exception | None = None
        # This is called with the name of an operation before it is answered.
        self.before: Callable[[str], None] | None = None
        digests = digests_of(baseline, candidate)
        self._begun = stage, RolloutPlan(model=model, baseline=baseline, candidate=candidate, digests=digests)
        self._now = self._begun
        self._repository, self._catalog = Path(), Catalog()
        self._keeper: ModelKeeper | None = None
        self._folder = Path()
        # Whether an operation has changed something, or a test has used `keeper` and may have.
        self._changed = False
        # The server calls this from a thread of its own.
        self._lock = threading.RLock()

    @property
    def keeper(self) -> ModelKeeper:
        """The keeper behind the API, through which tests change things."""
        with self._lock:
            self._changed = True
            return self._open()

    def load(self, repository: Path, catalog: Catalog) -> None:
        """Load these versions from that repository."""
        self._repository, self._catalog = repository, catalog
        stage, plan = self._begun
        if (model := catalog.models.get(plan.model)) is not None:
            loaded = {name: version.digest for name, version in model.variants.items()}
            self._begun = stage, plan.model_copy(update={"digests": {**plan.digests, **loaded}})
        self.forget()

    def come_to(self, stage: Stage, *, candidate: str | None = None) -> None:
        """Bring the last rollout, to `candidate`, to that stage until `forget` is called."""
        _, plan = self._begun
        if candidate is not None:
            digests = {**plan.digests, **digests_of(candidate)}
            plan = plan.model_copy(update={"candidate": candidate, "digests": digests})
        with self._lock:
            self._close()
            self._now = stage, plan

    def forget(self) -> None:
        """Restore the initial state."""
        with self._lock:
            if self._changed or self._now != self._begun:
                self._close()
            self._now, self._changed = self._begun, False
            self.told, self.error, self.before = [], None, None

    async def ask(self, operation: Operation[A], *arguments: Any) -> A:
        """The answer of the keeper."""
        with self._lock:
            if operation.role == "operate":
                self.told.append((operation.name, *arguments))
            if self.before is not None:
                self.before(operation.name)
            if self.error is not None:
                raise self.error
            if operation is BUNDLES:
                stored = read_stored(self._repository, *arguments)
                return cast("A", describe_bundles(stored, self._catalog))
            answer = self._open().command(operation.name, *arguments)
            # A refused operation changes nothing.
            self._changed |= operation.role == "operate"
            return cast("A", answer)

    async def usage(self) -> Usage:
        """Return a fixed sample of usage."""
        if self.error is not None:
            raise self.error
        return USAGE

    def _open(self) -> ModelKeeper:
        if self._keeper is None:
            stage, plan = self._now
            self._folder = copy_stage(stage, plan)
            counted = timeline(plan.model, plan.baseline, plan.candidate)
            self._keeper = ModelKeeper(self._folder, plan, counted)
            # A keeper looks once a second, and has these pairs from the gateways.
            self._keeper.controller.look()
            state = self._keeper.state
            differ = min(state.present.evidence.shadow.disagreements, 20)
            state.disagreements.extend(disagreements(differ))
        return self._keeper

    def _close(self) -> None:
        if self._keeper is not None:
            self._keeper.kill()
            shutil.rmtree(self._folder)
            self._keeper = None
