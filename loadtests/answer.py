"""Answers: whether the body of an answer is what the protocol and the model's signature promise."""

import json
import math
from collections.abc import Mapping
from typing import Any

from loadtests.errors import WrongAnswer
from loadtests.metadata import ModelMetadata, TensorMetadata

# Who answered, where a server tells its variants not apart.
UNVERSIONED = "unversioned"

_KINDS: dict[str, tuple[type, ...]] = {
    "BOOL": (bool,),
    "BYTES": (str,),
    "FP32": (int, float),
    "FP64": (int, float),
}


def check_answer(
    status: int, body: bytes, *, request_id: str, pinned: str | None, metadata: ModelMetadata
) -> str:
    """The variant that answered. Raises WrongAnswer, whose text is the same for the same fault."""
    if status != 200:
        raise WrongAnswer(f"HTTP {status}: {_said(body)}")
    try:
        answer = json.loads(body, parse_constant=_refuse)
    except ValueError:
        raise WrongAnswer("the body is not JSON") from None
    if not isinstance(answer, dict):
        raise WrongAnswer("the body is no JSON object")
    if answer.get("model_name") != metadata.name:
        raise WrongAnswer(f"model_name is {answer.get('model_name')!r:.80}, expected {metadata.name!r}")
    variant = _check_variant(answer.get("model_version"), pinned, metadata)
    if answer.get("id") != request_id:
        raise WrongAnswer("the answer's id is not the request's")
    _check_outputs(answer.get("outputs"), metadata)
    return variant


def _check_variant(version: Any, pinned: str | None, metadata: ModelMetadata) -> str:
    if not metadata.versions:
        return version if isinstance(version, str) else UNVERSIONED
    if version not in metadata.versions:
        known = ", ".join(metadata.versions)
        raise WrongAnswer(f"model_version is {version!r:.80}, expected one of: {known}")
    if pinned is not None and version != pinned:
        raise WrongAnswer(f"model_version is {version!r}, but {pinned!r} was pinned")
    return str(version)


def _check_outputs(outputs: Any, metadata: ModelMetadata) -> None:
    if not isinstance(outputs, list) or not all(isinstance(tensor, dict) for tensor in outputs):
        raise WrongAnswer("'outputs' is no list of tensors")
    names = [tensor.get("name") for tensor in outputs]
    if names != [spec.name for spec in metadata.outputs]:
        raise WrongAnswer(f"outputs are {names!r:.200}, expected {[spec.name for spec in metadata.outputs]}")
    for tensor, spec in zip(outputs, metadata.outputs, strict=True):
        _check_tensor(tensor, spec)


def _check_tensor(tensor: Mapping[str, Any], spec: TensorMetadata) -> None:
    where = f"output {spec.name!r}"
    if tensor.get("datatype") != spec.datatype:
        raise WrongAnswer(f"{where} has datatype {tensor.get('datatype')!r:.40}, expected {spec.datatype}")
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(dim) is int and dim >= 0 for dim in shape):
        raise WrongAnswer(f"{where} has shape {shape!r:.80}, expected a list of whole numbers")
    fits = len(shape) == len(spec.shape)
    if not fits or any(want not in {-1, came} for came, want in zip(shape, spec.shape, strict=True)):
        raise WrongAnswer(f"{where} has shape {shape!r:.80}, expected {list(spec.shape)}")
    data = tensor.get("data")
    if not isinstance(data, list):
        raise WrongAnswer(f"{where} has no list as 'data'")
    elements = _flatten(data)
    if len(elements) != math.prod(shape):
        raise WrongAnswer(f"{where} has {len(elements)} elements, expected {math.prod(shape)}")
    if not set(map(type, elements)) <= set(_KINDS.get(spec.datatype, (int,))):
        raise WrongAnswer(f"{where} has elements that are no {spec.datatype}")
    if spec.datatype != "BYTES" and not all(map(math.isfinite, elements)):
        raise WrongAnswer(f"{where} has elements that are not finite")


def _flatten(data: list[Any]) -> list[Any]:
    while data and all(type(element) is list for element in data):
        data = [element for row in data for element in row]
    return data


def _refuse(constant: str) -> None:
    raise WrongAnswer(f"the body holds {constant}, expected finite numbers")


def _said(body: bytes) -> str:
    """The server's own words, or the beginning of whatever it sent."""
    try:
        content = json.loads(body)
        said = content["error"]
    except (ValueError, KeyError, TypeError):
        said = body[:120].decode(errors="replace").strip()
    return f"{said!s:.200}" or "an empty body"
