"""Answer one request: run it, encode the answer, and let another variant step in after a failure."""

import time
from typing import TYPE_CHECKING, TypeVar

from serve.base.errors import ModelFailed, Overloaded, RefusedInput, VariantUnavailable
from serve.base.tensor import Arrays
from serve.counting.tally import Counted
from serve.engine.admission import AdmittedRequest, Answer, Parameters, Ticket
from serve.engine.answer_validity import Encode, encode_sound, faults_of
from serve.engine.queue import Ran
from serve.engine.shadow_copy import Copy
from serve.engine.variant import ServedVariant

if TYPE_CHECKING:
    from serve.engine.model import ServedModel

_LONGEST_SLICE = 64
T = TypeVar("T")


async def respond(
    model: "ServedModel", admitted: AdmittedRequest, parameters: Parameters, encode: Encode[T]
) -> tuple[Answer, T]:
    """The answer to a request, and its encoded form. If the chosen variant fails, the baseline answers,
    unless the request is pinned. A request that must have this variant waits until a lost process is back and
    is tried once more. Raises the errors of a variant's queue."""
    ticket = admitted.ticket
    first = model.find(ticket.variant, pinned=ticket.pinned)
    rescuable = _rescuable(model, first, ticket)
    failure = ""
    if first.name != ticket.choice[2]:
        parameters["rescued_from"] = ticket.choice[2]
        failure = VariantUnavailable.__name__
    answer: Answer | None = None
    began = time.perf_counter()
    try:
        with Counted(first.queue.tally):
            ran = await first.infer(admitted.arrays, admitted.deadline)
            answer = Answer(variant=first.name, ran=ran, parameters=parameters, failure=failure)
            if rescuable:
                return answer, encode_sound(model.signature, admitted.outputs, answer, encode)
            content = encode(answer)
    except (VariantUnavailable, ModelFailed, Overloaded, RefusedInput) as error:
        failure = type(error).__name__
        second, mark = await _stand_in(model, first, admitted, error)
    else:
        if model.shadows and not ticket.pinned and ticket.choice[2] == first.name:
            _copy(model, admitted.arrays, ran, ticket)
        return answer, content
    with Counted(second.queue.tally):
        ran = await second.infer(admitted.arrays, admitted.deadline)
        if rescuable and answer is not None and _faulty_alike(model, admitted, answer.ran, ran):
            return answer, encode(answer)
        rescue = Answer(variant=second.name, ran=ran, parameters=parameters | mark, failure=failure)
        content = encode(rescue)
    if failure == RefusedInput.__name__:
        # The baseline accepts this input.
        first.queue.tally.fail(failure, (time.perf_counter() - began) * 1e3)
    first.queue.tally.rescues += 1
    return rescue, content


def _rescuable(model: "ServedModel", variant: ServedVariant, ticket: Ticket) -> bool:
    return not ticket.pinned and variant.name != model.routes.baseline


async def _stand_in(
    model: "ServedModel", first: ServedVariant, admitted: AdmittedRequest, error: Exception
) -> tuple[ServedVariant, Parameters]:
    """The variant that answers instead of `first`, which raised `error`, and the parameters that say so in
    the answer. Raises `error` if there is none."""
    if _rescuable(model, first, admitted.ticket):
        return model.require(model.routes.baseline), {"rescued_from": first.name}
    if isinstance(error, VariantUnavailable) and await first.recovered(admitted.deadline):
        # By name: a version that is gone may have a successor.
        return model.require(first.name), {"retried": True}
    raise error


def _faulty_alike(model: "ServedModel", admitted: AdmittedRequest, first: Ran, second: Ran) -> bool:
    """Whether the second answer has all faults of the first: then the model or the input is the cause, not
    the variant."""
    first_faults, second_faults = (
        faults_of(model.signature, admitted.outputs, ran) for ran in (first, second)
    )
    return first_faults != (False, False) and all(
        not has or also for has, also in zip(first_faults, second_faults, strict=True)
    )


def _copy(model: "ServedModel", arrays: Arrays, ran: Ran, ticket: Ticket) -> None:
    named = None if ticket.slice is None else ticket.slice[:_LONGEST_SLICE]
    copy = Copy(arrays, ran.outputs, ran.rows, ticket.request_id, named)
    model.shadows.offer(copy, sum(variant.queue.waiting_rows for variant in model.served.values()))
