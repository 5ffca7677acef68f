"""Sound: whether a variant's answer is one that a user can be given.

NaN and infinity are the failure of a variant that the baseline can step in for, whatever the encoding could
carry. The baseline is the yardstick: where its own answer has them too, the model is like that, or the input
is, and the variant's answer stands. The baseline's own answer, and that of a variant that was asked for by
name, fail only where the wire cannot carry them, which is JSON."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from serve.admission import Answer
from serve.errors import ModelFailed
from serve.joining import Outputs
from serve.oip.request import Wanted
from serve.tensor import Signature

T = TypeVar("T")
# Makes a wire's whole answer of a model's. What it raises is the failure of the variant that answered.
Encode = Callable[[Answer], T]


def lost_outputs(signature: Signature, asked: Iterable[Wanted], outputs: Outputs) -> list[str]:
    """Those of the outputs asked for that have NaN or infinity in them."""
    specs = signature.output_by_name
    return [
        wanted.name
        for wanted in asked
        if wanted.name in outputs and not specs[wanted.name].is_finite(outputs[wanted.name])
    ]


def encode_sound(signature: Signature, asked: Iterable[Wanted], answer: Answer, encode: Encode[T]) -> T:
    """The encoded answer. Raises ModelFailed for whatever keeps it from being a good one."""
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
