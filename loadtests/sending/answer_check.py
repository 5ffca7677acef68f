"""Checks the body of an answer against the protocol and the model's signature."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from loadtests.errors import WrongAnswer
from loadtests.sending.datatypes import LENGTH, from_bytes
from loadtests.sending.model_metadata import ModelMetadata, TensorMetadata
from serve.base.tensor import BINARY_ONLY

# The variant's name if the server does not tell its variants apart.
UNVERSIONED = "unversioned"

_KINDS: dict[str, tuple[type, ...]] = {
    "BOOL": (bool,),
    "BYTES": (str,),
    "FP32": (int, float),
    "FP64": (int, float),
}


def check_answer(  # noqa: PLR0913 - what was asked and what came
    status: int,
    body: bytes,
    *,
    json_bytes: str | None,
    request_id: str,
    pinned: str | None,
    metadata: ModelMetadata,
) -> str:
    """Return the variant that answered.

    Raises WrongAnswer, with the same text for the same fault; NewVariant for a variant that may have been
    loaded during the run. `json_bytes` is the answer's header Inference-Header-Content-Length; None: the
    whole body is JSON."""
    if status != 200:
        raise WrongAnswer(f"HTTP {status}: {_said(body)}")
    size = len(body) if json_bytes is None else _read_size(json_bytes, len(body))
    try:
        answer = json.loads(body[:size], parse_constant=_refuse)
    except ValueError:
        raise WrongAnswer("the body is not JSON") from None
    if not isinstance(answer, dict):
        raise WrongAnswer("the body is not a JSON object")
    if answer.get("model_name") != metadata.name:
        raise WrongAnswer(f"model_name is {answer.get('model_name')!r:.80}, expected {metadata.name!r}")
    variant = _check_variant(answer.get("model_version"), pinned, metadata)
    if answer.get("id") != request_id:
        raise WrongAnswer("the answer's id is not the request's")
    _check_outputs(answer.get("outputs"), body[size:], metadata)
    return variant


def _read_size(json_bytes: str, limit: int) -> int:
    if not (json_bytes.isascii() and json_bytes.isdigit() and int(json_bytes) <= limit):
        raise WrongAnswer(
            f"the header Inference-Header-Content-Length is {json_bytes!r:.40}, "
            "expected the JSON's size in bytes, at most the body's"
        )
    return int(json_bytes)


class NewVariant(WrongAnswer):
    """Raised when a variant answered that the server's metadata did not list."""

    def __init__(self, wrong: str, version: str) -> None:
        super().__init__(wrong)
        self.version = version


def _check_variant(version: Any, pinned: str | None, metadata: ModelMetadata) -> str:
    if not metadata.versions:
        return version if isinstance(version, str) else UNVERSIONED
    if version not in metadata.versions:
        known = ", ".join(metadata.versions)
        wrong = f"model_version is {version!r:.80}, expected one of: {known}"
        raise NewVariant(wrong, version) if isinstance(version, str) else WrongAnswer(wrong)
    if pinned is not None and version != pinned:
        raise WrongAnswer(f"model_version is {version!r}, but {pinned!r} was pinned")
    return str(version)


def _check_outputs(outputs: Any, tail: bytes, metadata: ModelMetadata) -> None:
    if not isinstance(outputs, list) or not all(isinstance(tensor, dict) for tensor in outputs):
        raise WrongAnswer("'outputs' is not a list of tensors")
    names = [tensor.get("name") for tensor in outputs]
    if names != [spec.name for spec in metadata.outputs]:
        raise WrongAnswer(f"outputs are {names!r:.200}, expected {[spec.name for spec in metadata.outputs]}")
    for tensor, spec in zip(outputs, metadata.outputs, strict=True):
        tail = tail[_check_tensor(tensor, tail, spec) :]
    if tail:
        raise WrongAnswer(f"{len(tail)} bytes follow the outputs, expected none")


def _check_tensor(tensor: Mapping[str, Any], tail: bytes, spec: TensorMetadata) -> int:
    """Check one output tensor, and return how many bytes of `tail` (the bytes after the outputs before it) it
    takes."""
    where = f"output {spec.name!r}"
    if tensor.get("datatype") != spec.datatype:
        raise WrongAnswer(f"{where} has datatype {tensor.get('datatype')!r:.40}, expected {spec.datatype}")
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(dim) is int and dim >= 0 for dim in shape):
        raise WrongAnswer(f"{where} has shape {shape!r:.80}, expected a list of whole numbers")
    fits = len(shape) == len(spec.shape)
    if not fits or any(
        expected not in {-1, actual} for actual, expected in zip(shape, spec.shape, strict=True)
    ):
        raise WrongAnswer(f"{where} has shape {shape!r:.80}, expected {list(spec.shape)}")
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        _check_elements(where, tensor.get("data"), math.prod(shape), spec.datatype)
        return 0
    if "data" in tensor:
        raise WrongAnswer(f"{where} has both 'data' and a binary_data_size, expected one")
    if type(size) is not int or not 0 <= size <= len(tail):
        raise WrongAnswer(f"{where} has binary_data_size {size!r:.40}, but only {len(tail)} bytes follow")
    check = _check_texts if spec.datatype == "BYTES" else _check_numbers
    check(where, tail[:size], math.prod(shape), spec.datatype)
    return size


def _check_elements(where: str, data: Any, count: int, datatype: str) -> None:
    if not isinstance(data, list):
        raise WrongAnswer(f"{where} has no list as 'data'")
    elements = _flatten(data)
    if len(elements) != count:
        raise WrongAnswer(f"{where} has {len(elements)} elements, expected {count}")
    if datatype in BINARY_ONLY:
        raise WrongAnswer(f"{where} is {datatype} in JSON, which cannot carry it")
    if not set(map(type, elements)) <= set(_KINDS.get(datatype, (int,))):
        raise WrongAnswer(f"{where} has elements that are not {datatype}")
    if datatype != "BYTES" and not all(map(math.isfinite, elements)):
        raise WrongAnswer(f"{where} has elements that are not finite")


def _check_numbers(where: str, content: bytes, count: int, datatype: str) -> None:
    try:
        numbers = from_bytes(content, datatype)
    except ValueError:
        raise WrongAnswer(
            f"{where} has {len(content)} bytes, which is not a whole number of {datatype} elements"
        ) from None
    if len(numbers) != count:
        raise WrongAnswer(f"{where} has {len(numbers)} elements, expected {count}")
    if datatype == "BOOL" and (numbers > 1).any():
        raise WrongAnswer(f"{where} has elements that are not BOOL")
    if not np.isfinite(numbers).all():
        raise WrongAnswer(f"{where} has elements that are not finite")


def _check_texts(where: str, content: bytes, count: int, datatype: str) -> None:
    elements = position = 0
    while position < len(content):
        start = position + LENGTH.size
        # A truncated length also ends beyond the content.
        length = LENGTH.unpack_from(content, position)[0] if start <= len(content) else 0
        elements, position = elements + 1, start + length
    if position > len(content):
        raise WrongAnswer(f"{where} ends within an element of its {datatype}")
    if elements != count:
        raise WrongAnswer(f"{where} has {elements} elements, expected {count}")


def _flatten(data: list[Any]) -> list[Any]:
    while data and all(type(element) is list for element in data):
        data = [element for row in data for element in row]
    return data


def _refuse(constant: str) -> None:
    raise WrongAnswer(f"the body holds {constant}, expected finite numbers")


def _said(body: bytes) -> str:
    """Return the server's own message, or else the beginning of the body."""
    try:
        content = json.loads(body)
        message = content["error"]
    except (ValueError, KeyError, TypeError):
        message = body[:120].decode(errors="replace").strip()
    return f"{message!s:.200}" or "an empty body"
