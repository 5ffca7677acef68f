"""Reads the server's metadata of a model (`GET /v2/models/<model>`, the Open Inference Protocol)."""

from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from loadtests.errors import LoadTestError
from loadtests.sending.client import Client
from serve.base.record import explain


class TensorMetadata(BaseModel):
    """One input or output. Unknown keys are ignored, because the protocol lets servers add their own."""

    model_config = ConfigDict(frozen=True)

    name: str
    datatype: str
    # -1 marks a variable dimension.
    shape: tuple[int, ...]
    # A possible shape of one row; None if the server does not report it.
    example_shape: tuple[int, ...] | None = None


class ModelMetadata(BaseModel):
    """One model: its signature and its versions, which are our variants."""

    model_config = ConfigDict(frozen=True)

    name: str
    # Empty if the server does not tell its variants apart; then none can be pinned.
    versions: tuple[str, ...] = ()
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    # Additional information of the server, which the protocol does not define.
    parameters: dict[str, Any] = {}
    # Variants that are not served, with the reason; only our server reports them.
    unserved: dict[str, Any] = {}

    @property
    def max_body_bytes(self) -> int | None:
        """The largest body that the server accepts; None if it does not report it."""
        limit = self.parameters.get("max_body_bytes")
        return limit if type(limit) is int else None

    @field_validator("parameters", "unserved", mode="before")
    @classmethod
    def _null_is_empty(cls, metadata: Any) -> Any:
        return metadata if isinstance(metadata, dict) else {}

    @field_validator("versions", mode="before")
    @classmethod
    def _null_is_none(cls, versions: Any) -> Any:
        return () if versions is None else versions


def model_path(model: str, variant: str | None = None) -> str:
    """Return the path of a model, or of one of its variants."""
    path = f"/v2/models/{quote(model, safe='')}"
    return path if variant is None else f"{path}/versions/{quote(variant, safe='')}"


def read_metadata(client: Client, model: str) -> ModelMetadata:
    """Read the metadata of `model`. Raises LoadTestError."""
    path = model_path(model)
    place = f"{client.url}{path}"
    try:
        metadata = ModelMetadata.model_validate(client.get(path))
    except ValidationError as error:
        raise LoadTestError(
            f"{place} is not valid model metadata of the protocol: {explain(error)}; check --model and the "
            "URL"
        ) from None
    if metadata.name != model:
        raise LoadTestError(f"{place} describes {metadata.name!r}, expected {model!r}; check the URL")
    return metadata
