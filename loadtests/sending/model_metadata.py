"""Metadata: what a server says of one model (`GET /v2/models/<model>`, the Open Inference Protocol)."""

from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from loadtests.errors import LoadTestError
from loadtests.sending.client import Client
from serve.base.record import explain


class TensorMetadata(BaseModel):
    """One input or output. The protocol lets servers add keys of their own, so unknown ones are ignored."""

    model_config = ConfigDict(frozen=True)

    name: str
    datatype: str
    # -1 where a dimension may vary.
    shape: tuple[int, ...]
    # A shape that one row may have; None: the server does not tell.
    example_shape: tuple[int, ...] | None = None


class ModelMetadata(BaseModel):
    """One model: its signature, and its versions, which are our variants."""

    model_config = ConfigDict(frozen=True)

    name: str
    # Empty: the server tells its variants not apart, and none can be pinned.
    versions: tuple[str, ...] = ()
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    # What the server says besides; the protocol lets it say anything.
    parameters: dict[str, Any] = {}
    # Variants that are not served, and why; only our server tells.
    unserved: dict[str, Any] = {}

    @property
    def max_body_bytes(self) -> int | None:
        """The largest body that the server takes; None: it does not tell."""
        limit = self.parameters.get("max_body_bytes")
        return limit if type(limit) is int else None

    @field_validator("parameters", "unserved", mode="before")
    @classmethod
    def _null_is_empty(cls, told: Any) -> Any:
        return told if isinstance(told, dict) else {}

    @field_validator("versions", mode="before")
    @classmethod
    def _null_is_none(cls, versions: Any) -> Any:
        return () if versions is None else versions


def model_path(model: str, variant: str | None = None) -> str:
    """The path of a model, or of one variant of it."""
    path = f"/v2/models/{quote(model, safe='')}"
    return path if variant is None else f"{path}/versions/{quote(variant, safe='')}"


def read_metadata(client: Client, model: str) -> ModelMetadata:
    """What the server says of `model`. Raises LoadTestError."""
    path = model_path(model)
    place = f"{client.url}{path}"
    try:
        metadata = ModelMetadata.model_validate(client.get(path))
    except ValidationError as error:
        raise LoadTestError(
            f"{place} is no model metadata of the protocol: {explain(error)}; check --model and the URL"
        ) from None
    if metadata.name != model:
        raise LoadTestError(f"{place} describes {metadata.name!r}, expected {model!r}; check the URL")
    return metadata
