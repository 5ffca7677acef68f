"""Feedback: labels that come later than the answers that they are of."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.base.errors import InvalidRequest
from serve.base.record import nearest
from serve.control.api import Control
from serve.engine.registry import Registry
from serve.http.bucket import Bucket
from serve.http.gate import Gate
from serve.http.reader import Reader
from serve.http.records import answer_record, read_record
from serve.rollout.state.feedback import Outcome, Outcomes


def feedback_route(registry: Registry, control: Control, gate: Gate, writes: Bucket, reader: Reader) -> Route:
    """`/control/models/{model}/feedback`."""

    async def tell(request: Request) -> Response:
        name = request.path_params["model"]
        told = await read_record(reader, request, Outcomes, curl=True)
        model = registry.models.get(name)
        classes = () if model is None else model.labels
        outcomes = [_numbered(outcome, name, classes) for outcome in told.outcomes]
        return answer_record(await control.feedback(name, outcomes))

    path = "/control/models/{model}/feedback"
    return Route(path, gate.operate(tell, writes), methods=["POST"])


def _numbered(outcome: Outcome, model: str, classes: Sequence[str]) -> Outcome:
    """The outcome with its class by number. Raises InvalidRequest."""
    label = outcome.label
    if not isinstance(label, str):
        return outcome
    if label not in classes:
        hint = nearest(label, classes) if classes else "its classes have no names; give a number"
        raise InvalidRequest(f"{outcome.request_id}: {label!r:.80} is no class of {model!r}; {hint}")
    return outcome.model_copy(update={"label": classes.index(label)})
