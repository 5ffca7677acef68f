"""The types of the protocol's JSON request bodies, from which their JSON Schemas are generated.

The types refuse what the server refuses, and accept null where the server accepts it for a missing value."""

from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from serve.oip.answer_types import Count, Datatype, Positive, Scalar


class InputTensor(TypedDict):
    """An input of a request."""

    name: str
    datatype: Datatype
    shape: list[Positive]
    data: list[Scalar | list[Any]]
    """The elements, row-major, flat or nested as in the shape. FP16 and BF16 can only be sent as bytes."""
    parameters: NotRequired[dict[str, Any] | None]


class OutputParameters(TypedDict, total=False):
    """How to return an output."""

    binary_data: bool | None
    """Return the output as bytes."""
    classification: Positive | None
    """Return this many of the highest values, as strings `value:index[:label]`."""


class RequestOutput(TypedDict):
    """An output to return."""

    name: str
    parameters: NotRequired[OutputParameters | None]


# A type cannot say this: other parameters are scalars, sequences are not supported, some names are reserved.
@with_config(
    ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "additionalProperties": {"type": ["boolean", "number", "string"]},
            "patternProperties": {"^sequence_": {"enum": [0, False, ""]}},
            "propertyNames": {"not": {"pattern": "^(headers$|triton_)"}},
        },
    )
)
class InferParameters(TypedDict, total=False):
    """The parameters of an inference request."""

    timeout: Positive | Annotated[str, Field(pattern="^0*[1-9][0-9]*$", max_length=18)]
    """The timeout in microseconds."""
    priority: Count
    """Accepted, but all requests have the same priority."""
    binary_data_output: bool
    """Return outputs as bytes by default."""


class InferenceBody(TypedDict):
    """An inference request."""

    inputs: Annotated[list[InputTensor], Field(min_length=1)]
    outputs: NotRequired[list[RequestOutput] | None]
    """The outputs to return; by default all."""
    id: NotRequired[str | None]
    """Returned with the answer."""
    parameters: NotRequired[InferParameters | None]
    """Other parameters are accepted and ignored."""


class IndexBody(TypedDict, closed=True):
    """What the index lists."""

    ready: NotRequired[bool]
    """List only variants that are ready."""


class LoadParameters(TypedDict, closed=True):
    """What to load."""

    variant: NotRequired[str | None]
    """The variant; by default all variants."""


class LoadBody(TypedDict, closed=True):
    """A request to load a model."""

    parameters: NotRequired[LoadParameters]


class UnloadParameters(TypedDict, closed=True):
    """What to unload."""

    variant: NotRequired[str | None]
    """The variant; by default all variants."""
    unload_dependents: NotRequired[Any]
    """Accepted and ignored; no model depends on another."""


class UnloadBody(TypedDict, closed=True):
    """A request to unload a model."""

    parameters: NotRequired[UnloadParameters]


BODIES = (InferenceBody, IndexBody, LoadBody, UnloadBody)
