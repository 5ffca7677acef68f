"""Decode a ModelInferRequest into checked arrays, and encode arrays as a ModelInferResponse."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.base.errors import InvalidRequest
from serve.base.tensor import Arrays, Signature, TensorSpec
from serve.engine.request import InferRequest, RequestedOutput
from serve.oip.binary import read_binary, write_binary
from serve.oip.classification import classify
from serve.oip.inference_pb2 import InferParameter, ModelInferRequest, ModelInferResponse
from serve.oip.request_inputs import Inputs, choose_form
from serve.oip.request_parameters import Parameters, check_parameters, read_timeout_s, refuse_shared_memory
from serve.oip.requested_outputs import each_once, request_all, request_one

# Datatype -> the field of typed contents; FP16 and BF16 exist only as raw contents.
_FIELDS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def decode_request(
    message: ModelInferRequest, forms: tuple[Signature, ...], max_elements: int
) -> InferRequest:
    """Decode the request in `message`. Raises InvalidRequest, which names the tensor, the value and the
    expected value; or RequestTooLarge."""
    parameters = check_parameters(read_map(message.parameters)) if message.parameters else {}
    form = choose_form(message.inputs[0].name if message.inputs else None, forms)
    outputs = _select_outputs(message, form)
    arrays = _decode_inputs(message, Inputs(form, max_elements))
    return InferRequest(
        id=message.id or None, arrays=arrays, outputs=outputs, timeout_s=read_timeout_s(parameters)
    )


def encode_answer(  # noqa: PLR0913, PLR0917 - the parts of an answer
    model: str,
    variant: str,
    request: InferRequest,
    outputs: Arrays,
    signature: Signature,
    parameters: Parameters,
    labels: tuple[str, ...] = (),
) -> ModelInferResponse:
    """Encode the answer with raw tensors; `model_version` is the variant that answered.

    Raises ModelFailed if the top classes of NaN or infinity are requested."""
    answer = ModelInferResponse(model_name=model, model_version=variant, id=request.id or "")
    for name, value in parameters.items():
        _write_parameter(answer.parameters[name], value)
    for requested in request.outputs:
        array, datatype = outputs[requested.name], signature.output_by_name[requested.name].datatype
        if requested.classes:
            array, datatype = classify(array, requested.classes, labels, batches=signature.batches), "BYTES"
        answer.outputs.add(name=requested.name, datatype=datatype, shape=array.shape)
        answer.raw_output_contents.append(write_binary(array))
    return answer


def read_map(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a message as plain values; None for a parameter without a value."""
    values = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        values[name] = None if choice is None else getattr(parameter, choice)
    return values


def _write_parameter(parameter: InferParameter, value: bool | int | float | str) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    else:
        parameter.string_param = value


def _decode_inputs(message: ModelInferRequest, inputs: Inputs) -> Arrays:
    raw = message.raw_input_contents
    for tensor in message.inputs:
        if tensor.parameters:
            refuse_shared_memory(tensor.parameters, tensor.name)
    if raw and len(raw) != len(message.inputs):
        raise InvalidRequest(
            f"the request has {len(raw)} raw_input_contents for {len(message.inputs)} inputs, expected one "
            "per input or none"
        )
    for index, tensor in enumerate(message.inputs):
        spec, shape = inputs.expect(tensor.name, tensor.datatype, list(tensor.shape))
        if not raw:
            inputs.add(spec, _read_typed(tensor, spec, shape))
            continue
        if tensor.HasField("contents") and tensor.contents.ByteSize():
            raise InvalidRequest(
                f"input {spec.name!r} has both typed contents and raw_input_contents, expected one of them"
            )
        inputs.add(spec, read_binary(raw[index], spec, shape))
    return inputs.complete()


def _read_typed(
    tensor: ModelInferRequest.InferInputTensor, spec: TensorSpec, shape: tuple[int, ...]
) -> NDArray[np.generic]:
    field = _FIELDS.get(spec.datatype)
    if field is None:
        raise InvalidRequest(
            f"input {spec.name!r} is {spec.datatype}, which has no typed contents; send raw_input_contents"
        )
    elements = getattr(tensor.contents, field)
    if len(elements) != math.prod(shape):
        raise InvalidRequest(
            f"input {spec.name!r} has {len(elements)} elements in {field}, expected {math.prod(shape)} for "
            f"shape {list(shape)}"
        )
    try:
        return np.array(elements, spec.dtype).reshape(shape)
    except OverflowError:
        raise InvalidRequest(
            f"input {spec.name!r} has elements from {min(elements)} to {max(elements)}, "
            f"which are out of the range of {spec.datatype}"
        ) from None


def _select_outputs(message: ModelInferRequest, signature: Signature) -> tuple[RequestedOutput, ...]:
    if not message.outputs:
        return request_all(signature, binary=True)
    return each_once(_select_output(output, signature) for output in message.outputs)


def _select_output(
    output: ModelInferRequest.InferRequestedOutputTensor, signature: Signature
) -> RequestedOutput:
    parameters = read_map(output.parameters)
    refuse_shared_memory(parameters, output.name)
    return request_one(output.name, parameters.get("classification"), signature, binary=True)
