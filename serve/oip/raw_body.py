"""Read a request whose body is only the bytes of the model's single input, as a batch of one."""

import math

import numpy as np

from serve.base.errors import InvalidRequest
from serve.base.tensor import Signature, TensorSpec
from serve.engine.request import InferRequest
from serve.oip.binary import read_binary
from serve.oip.request_inputs import Inputs
from serve.oip.requested_outputs import request_all


def read_raw_body(body: bytes, forms: tuple[Signature, ...], max_elements: int) -> InferRequest:
    """Read `body` as the only input of the first signature with one input; BYTES have one element.

    The answer is binary. Raises InvalidRequest or RequestTooLarge."""
    form = next((form for form in forms if len(form.inputs) == 1), None)
    if form is None:
        names = ", ".join(forms[0].input_by_name)
        raise InvalidRequest(
            f"a body without JSON can have only one input, but this model has {names}; send them as JSON, "
            "with its size in the header Inference-Header-Content-Length"
        )
    spec = form.inputs[0]
    inputs = Inputs(form, max_elements)
    _, shape = inputs.expect(spec.name, spec.datatype, _deduce_shape(len(body), spec, batches=form.batches))
    if spec.datatype == "BYTES":
        inputs.add(spec, np.array([body], np.object_).reshape(shape))
    else:
        inputs.add(spec, read_binary(body, spec, shape))
    return InferRequest(
        id=None, arrays=inputs.complete(), outputs=request_all(form, binary=True), timeout_s=None
    )


def _deduce_shape(size_bytes: int, spec: TensorSpec, *, batches: bool) -> list[int]:
    """The shape of a batch of one with this size; one dimension besides the batch may vary."""
    dims = [1, *spec.shape[1:]] if batches else list(spec.shape)
    free = [axis for axis, dim in enumerate(dims) if isinstance(dim, str)]
    if spec.datatype == "BYTES":
        shape = [1 if isinstance(dim, str) else dim for dim in dims]
        if math.prod(shape) != 1:
            raise InvalidRequest(
                f"a body without JSON is one element of BYTES, but input {spec.name!r} has the shape "
                f"{spec.wire_shape}; send the request as JSON"
            )
        return shape
    if len(free) > 1:
        raise InvalidRequest(
            f"the shape of input {spec.name!r} cannot be derived from {size_bytes} bytes, because "
            f"{len(free)} of its dimensions vary: {spec.wire_shape}; send the request as JSON"
        )
    known = math.prod(dim for dim in dims if isinstance(dim, int)) * spec.dtype.itemsize
    count, rest = divmod(size_bytes, known)
    if free and (rest or not count):
        raise InvalidRequest(
            f"input {spec.name!r} has {size_bytes} bytes, expected a multiple of {known} for {spec.datatype} "
            f"of shape {spec.wire_shape}"
        )
    return [count if isinstance(dim, str) else dim for dim in dims]
