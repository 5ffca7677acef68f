"""The types of OpenAI's JSON for embeddings, from which their JSON Schemas are generated."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NotRequired, TypeVar

from pydantic import Field
from typing_extensions import TypedDict

from serve.oip.answer_types import Count, Positive, Scalar

T = TypeVar("T")

_Several = Annotated[list[T], Field(min_length=1)]


class EmbeddingsBody(TypedDict):
    """A request for embeddings."""

    model: Annotated[str, Field(min_length=1)]
    """The model, or `name:variant` for one variant."""
    input: str | _Several[str] | _Several[Count] | _Several[_Several[Count]]
    """One or more texts, or the tokens of one or more texts."""
    encoding_format: NotRequired[Literal["float", "base64"] | None]
    dimensions: NotRequired[Positive | None]
    """The width of the embeddings, which must be the model's own."""


class EmbeddedText(TypedDict):
    """The embedding of one text."""

    object: Literal["embedding"]
    index: Count
    embedding: Sequence[float] | str
    """Numbers, or base64 of little-endian float32."""


class TokenUsage(TypedDict):
    """The number of tokens."""

    prompt_tokens: Count
    total_tokens: Count


class Embeddings(TypedDict):
    """An embedding for each text."""

    object: Literal["list"]
    data: Sequence[EmbeddedText]
    model: str
    """The model and the variant that answered, `name:variant`."""
    usage: TokenUsage
    parameters: NotRequired[Mapping[str, Scalar]]
    """As in the answers of `infer`."""


class OpenAIFault(TypedDict):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(TypedDict):
    """Any error, in OpenAI's format."""

    error: OpenAIFault
