"""The operations of the control API that a gateway answers itself, or prepares for the keeper."""

import asyncio
from collections.abc import Sequence
from typing import Any

from serve.base.errors import InvalidRequest
from serve.base.record import nearest
from serve.base.routing import Routes
from serve.control.api import Control
from serve.control.control_types import ControlModels, VariantCounts
from serve.control.operations import FEEDBACK
from serve.counting.tally import Loads
from serve.engine.model import ServedModel, find_model
from serve.engine.registry import Registry
from serve.rollout.judging import weigh
from serve.rollout.judging.weigh import Weighed, Weighing
from serve.rollout.state.feedback import Feedback, Outcome, Outcomes


class GatewayCommands:
    """Answers from the gateway's memory. Counts are those of all gateways together."""

    def __init__(self, registry: Registry, control: Control) -> None:
        self._registry = registry
        self._control = control

    async def models(self) -> ControlModels:
        """The names of all models, and of those with a rollout in progress."""
        models = self._registry.models
        rolling = [name for name, model in models.items() if model.counter is not None]
        return {"models": sorted(models), "rolling": sorted(rolling)}

    async def model(self, model: str) -> dict[str, Any]:
        """The routes and counts of a model. Raises UnknownModel."""
        served_model = find_model(self._registry.models, model)
        running = None if served_model.counter is None else served_model.counter.watch.rollout
        return {**_describe(served_model, self._registry.counted()), "rollout": running}

    async def routes(self, model: str) -> Routes:
        """The routes in force. Raises UnknownModel."""
        return find_model(self._registry.models, model).routes

    async def feedback(self, model: str, labels: Outcomes, by: str) -> Feedback:
        """Convert class names to numbers and pass labels to the keeper. Raises InvalidRequest and its
        errors."""
        served = self._registry.models.get(model)
        classes = () if served is None else served.labels
        outcomes = [_numbered(outcome, model, classes) for outcome in labels.outcomes]
        return await self._control.ask(FEEDBACK, model, Outcomes(outcomes=tuple(outcomes)), by)

    async def weigh(self, weighing: Weighing) -> Weighed:
        """Apply the guards' test to counts of the caller."""
        # The ticks of a day take about 0.4 s; other requests are answered meanwhile.
        return await asyncio.to_thread(weigh.weigh, weighing)


def _describe(model: ServedModel, loads: Loads) -> dict[str, Any]:
    variants: dict[str, VariantCounts] = {}
    for name in model.variants:
        tally = loads[model.name, name].tally
        variants[name] = {
            "share": model.routes.share(name),
            "requests": tally.requests,
            "errors": tally.errors,
            "p50_ms": tally.latency.quantile_ms(0.5),
            "p99_ms": tally.latency.quantile_ms(0.99),
            "ready": model.served[name].up,
            "unproven": model.served[name].version.unproven,
            # As a shadow, with or without a rollout, in rows.
            "compared": tally.copies,
            "disagreements": tally.disagreements,
            "dropped": tally.drops,
        }
    return {"routes": model.routes.model_dump(), "variants": variants}


def _numbered(outcome: Outcome, model: str, classes: Sequence[str]) -> Outcome:
    """The outcome with its class as a number. Raises InvalidRequest."""
    label = outcome.label
    if not isinstance(label, str):
        return outcome
    if label not in classes:
        hint = nearest(label, classes) if classes else "its classes have no names; send a number"
        raise InvalidRequest(f"{outcome.request_id}: {label!r:.80} is not a class of {model!r}; {hint}")
    return outcome.model_copy(update={"label": classes.index(label)})
