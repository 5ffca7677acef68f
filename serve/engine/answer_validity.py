"""Check whether a variant's answer is valid and can be sent to a user.

NaN, infinity, and outputs whose type, shape or number of rows does not match the signature are failures of a
variant, and the baseline answers instead, whatever the encoding could represent. If the baseline's own answer
has the same fault, the model or the input is the cause, and the variant's answer stands. An answer of the
baseline, or of a pinned variant, fails only if the protocol cannot represent it, which happens in JSON."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from serve.base.errors import ModelFailed
from serve.base.tensor import Signature
from serve.engine.admission import Answer
from serve.engine.batch import Outputs
from serve.engine.queue import Ran
from serve.engine.request import RequestedOutput

T = TypeVar("T")
# Encodes a model's whole answer. An error in it counts as a failure of the variant.
Encode = Callable[[Answer], T]


def lost_outputs(signature: Signature, requested: Iterable[RequestedOutput], outputs: Outputs) -> list[str]:
    """The requested outputs that contain NaN or infinity."""
    specs = signature.output_by_name
    return [
        output_request.name
        for output_request in requested
        if output_request.name in outputs
        and not specs[output_request.name].is_finite(outputs[output_request.name])
    ]


def misfits(signature: Signature, requested: Iterable[RequestedOutput], ran: Ran) -> list[str]:
    """The requested outputs that are missing, or do not match the signature and the number of rows."""
    specs, outputs = signature.output_by_name, ran.outputs
    faulty = []
    for output_request in requested:
        array = outputs.get(output_request.name)
        fits = array is not None and specs[output_request.name].fits(array)
        if not fits or (signature.batches and len(outputs[output_request.name]) != ran.rows):
            faulty.append(output_request.name)
    return faulty


def faults_of(signature: Signature, requested: Iterable[RequestedOutput], ran: Ran) -> tuple[bool, bool]:
    """Whether the answer violates the signature, and whether it contains NaN or infinity."""
    return bool(misfits(signature, requested, ran)), bool(lost_outputs(signature, requested, ran.outputs))


def encode_sound(
    signature: Signature, requested: Iterable[RequestedOutput], answer: Answer, encode: Encode[T]
) -> T:
    """The encoded answer. Raises ModelFailed if the answer is not valid."""
    if faulty := misfits(signature, requested, answer.ran):
        raise ModelFailed(f"variant {answer.variant!r} answered {_said(signature, faulty, answer.ran)}")
    if lost := lost_outputs(signature, requested, answer.ran.outputs):
        raise ModelFailed(f"variant {answer.variant!r} answered NaN or infinity in {', '.join(lost)}")
    try:
        return encode(answer)
    except ModelFailed:
        raise
    except Exception as error:
        raise ModelFailed(
            f"the answer of variant {answer.variant!r} cannot be encoded: {type(error).__name__}: {error}"
        ) from error


def _said(signature: Signature, names: Iterable[str], ran: Ran) -> str:
    """Describe what is wrong with these outputs."""
    faults = []
    for name in names:
        spec, array = signature.output_by_name[name], ran.outputs.get(name)
        actual = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
        faults.append(f"{actual} as {name}, which is {spec.datatype} {list(spec.shape)}")
    return f"{', '.join(faults)}, to {ran.rows} rows"
