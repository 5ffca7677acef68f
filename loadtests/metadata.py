"""Metadata: what a server says of one model (`GET /v2/models/<model>`, the Open Inference Protocol)."""

import http.client
import json
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from loadtests.errors import LoadTestError
from loadtests.record import explain

_TIMEOUT_S = 10
_LIMIT_BYTES = 2**20


class TensorMetadata(BaseModel):
    """One input or output. The protocol lets servers add keys of their own, so unknown ones are ignored."""

    model_config = ConfigDict(frozen=True)

    name: str
    datatype: str
    # -1 where a dimension may vary.
    shape: tuple[int, ...]


class ModelMetadata(BaseModel):
    """One model: its signature, and its versions, which are our variants."""

    model_config = ConfigDict(frozen=True)

    name: str
    # Empty: the server tells its variants not apart, and none can be pinned.
    versions: tuple[str, ...] = ()
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]

    @field_validator("versions", mode="before")
    @classmethod
    def _null_is_none(cls, versions: Any) -> Any:
        return () if versions is None else versions


def model_path(model: str, variant: str | None = None) -> str:
    """The path of a model, or of one variant of it."""
    path = f"/v2/models/{quote(model, safe='')}"
    return path if variant is None else f"{path}/versions/{quote(variant, safe='')}"


def read_metadata(url: str, model: str) -> ModelMetadata:
    """What the server at `url` says of `model`. Raises LoadTestError."""
    place = f"{url}{model_path(model)}"
    status, media_type, body = _get(place)
    try:
        content = json.loads(body)
    except ValueError:
        raise LoadTestError(
            f"{place} answered {status} with {media_type or 'no content type'} instead of JSON; "
            "is this the address of a server that speaks the Open Inference Protocol?"
        ) from None
    if status != http.client.OK:
        said = content.get("error", content) if isinstance(content, dict) else content
        raise LoadTestError(f"{place} answered {status}: {said!s:.300}; check --model and the URL")
    try:
        metadata = ModelMetadata.model_validate(content)
    except ValidationError as error:
        raise LoadTestError(f"{place} is no model metadata of the protocol: {explain(error)}") from None
    if metadata.name != model:
        raise LoadTestError(f"{place} describes {metadata.name!r}, expected {model!r}; check the URL")
    return metadata


def _get(place: str) -> tuple[int, str, bytes]:
    parts = urlsplit(place)
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", parts.path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        media_type = response.headers.get("content-type", "")
        return response.status, media_type, response.read(_LIMIT_BYTES)
    except (OSError, http.client.HTTPException) as error:
        why = str(error) or type(error).__name__
        raise LoadTestError(
            f"{place} does not answer: {why}; is the server up, and is this its URL?"
        ) from None
    finally:
        connection.close()
