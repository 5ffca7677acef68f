"""Sound: whether a variant's answer is one that a user can be given.

NaN and infinity are the failure of a variant that the baseline can step in for, whatever the encoding could
carry; so is another type, shape or number of rows than the model's signature says. The baseline is the
yardstick: where its own answer has the same fault, the model is like that, or the input is, and the variant's
answer stands. The baseline's own answer, and that of a variant that was asked for by
name, fail only where the wire cannot carry them, which is JSON."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from serve.base.errors import ModelFailed
from serve.base.tensor import Signature
from serve.engine.admission import Answer
from serve.engine.batch import Outputs
from serve.engine.queue import Ran
from serve.engine.request import RequestedOutput

T = TypeVar("T")
# Makes a wire's whole answer of a model's. What it raises is the failure of the variant that answered.
Encode = Callable[[Answer], T]


def lost_outputs(signature: Signature, asked: Iterable[RequestedOutput], outputs: Outputs) -> list[str]:
    """Those of the outputs asked for that have NaN or infinity in them."""
    specs = signature.output_by_name
    return [
        wanted.name
        for wanted in asked
        if wanted.name in outputs and not specs[wanted.name].is_finite(outputs[wanted.name])
    ]


def misfits(signature: Signature, asked: Iterable[RequestedOutput], ran: Ran) -> list[str]:
    """Those of the outputs asked for that are missing, or not what the signature and the rows of the request
    make them."""
    specs, outputs = signature.output_by_name, ran.outputs
    strange = []
    for wanted in asked:
        array = outputs.get(wanted.name)
        fits = array is not None and specs[wanted.name].fits(array)
        if not fits or (signature.batches and len(outputs[wanted.name]) != ran.rows):
            strange.append(wanted.name)
    return strange


def faults_of(signature: Signature, asked: Iterable[RequestedOutput], ran: Ran) -> tuple[bool, bool]:
    """Whether the answer is not what the signature says, and whether it has NaN or infinity in it."""
    return bool(misfits(signature, asked, ran)), bool(lost_outputs(signature, asked, ran.outputs))


def encode_sound(
    signature: Signature, asked: Iterable[RequestedOutput], answer: Answer, encode: Encode[T]
) -> T:
    """The encoded answer. Raises ModelFailed for whatever keeps it from being a good one."""
    if strange := misfits(signature, asked, answer.ran):
        raise ModelFailed(f"variant {answer.variant!r} answered {_said(signature, strange, answer.ran)}")
    if lost := lost_outputs(signature, asked, answer.ran.outputs):
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
    """What is wrong with these outputs."""
    said = []
    for name in names:
        spec, array = signature.output_by_name[name], ran.outputs.get(name)
        found = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
        said.append(f"{found} as {name}, which is {spec.datatype} {list(spec.shape)}")
    return f"{', '.join(said)}, to {ran.rows} rows"
