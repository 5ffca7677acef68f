"""The operations of the control API that a gateway answers itself, or prepares for the keeper."""

import asyncio
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
from serve.tasks.criterion import explain_agreement
from serve.tasks.task_table import TASKS


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
        outcomes = [
            outcome if outcome.label is None or served is None else _numbered(outcome, served)
            for outcome in labels.outcomes
        ]
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
    meanings = model.shadows.meanings
    agreement = explain_agreement(model.task, meanings) if meanings else None
    return {"routes": model.routes.model_dump(), "variants": variants, "agreement": agreement}


def _numbered(outcome: Outcome, model: ServedModel) -> Outcome:
    """The outcome with its class as a number. Raises InvalidRequest."""
    label, classes = outcome.label, model.labels
    if not TASKS[model.task].names_one_class:
        raise InvalidRequest(
            f"{outcome.request_id}: the task of {model.name!r} is {model.task}, and its answers do not name "
            "one class, which a label could be compared with; send `correct`: true or false"
        )
    if isinstance(label, int) and (model.task != "binary" or label in (0, 1)):
        return outcome
    if label not in classes:
        numbers = "1 or 0" if model.task == "binary" else "a number"
        hint = nearest(str(label), classes) if classes else f"its classes have no names; send {numbers}"
        raise InvalidRequest(f"{outcome.request_id}: {label!r:.80} is not a class of {model.name!r}; {hint}")
    return outcome.model_copy(update={"label": classes.index(label)})
