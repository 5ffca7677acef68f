"""Checks a torch module before it is used."""

from itertools import chain

import torch

from export.errors import InvalidSource
from export.sources.files import MAX_BYTES, TOO_LARGE


def require_sound(name: str, model: torch.nn.Module) -> None:
    """Raise InvalidSource, which calls the model `name`, for parameters without a shape, types that
    onnxruntime does not compute in, and weights that exceed this machine."""
    for key, parameter in chain(model.named_parameters(), model.named_buffers()):
        if torch.nn.parameter.is_lazy(parameter):
            raise InvalidSource(
                f"{name}: the parameter {key} has no shape yet (a lazy module); give the layer its sizes, or "
                "run the module on one row in the factory before it is returned"
            )
        if parameter.dtype == torch.bfloat16:
            raise InvalidSource(
                f"{name}: {key} is bfloat16, which onnxruntime does not compute with on a processor; build "
                "the module in float32 (.float()), and cast no values to bfloat16 in `forward`"
            )
        if parameter.dtype == torch.float16 and isinstance(parameter, torch.nn.Parameter):
            raise InvalidSource(
                f"{name}: {key} is float16, but modules are trained, pruned and compared in float32; build "
                "it in float32 (.float()), which also loads a checkpoint of 16-bit weights, and cast no "
                "values in `forward`; the step `half` makes 16-bit floats at the end"
            )
    size = count_bytes(model)
    if size > MAX_BYTES:
        raise InvalidSource(f"{name} has {size} bytes of weights; the maximum is {TOO_LARGE}")


def count_bytes(model: torch.nn.Module) -> int:
    """Return the size of its weights; shared weights count once."""
    return sum(tensor.nbytes for tensor in chain(model.parameters(), model.buffers()))
