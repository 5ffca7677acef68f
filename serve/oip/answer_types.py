"""The types of the protocol's JSON answers, from which their JSON Schemas are generated."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypeAliasType, TypedDict

from serve.base.tensor import DATATYPES
from serve.engine.catalog import IndexEntry

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Datatype = Annotated[str, Field(json_schema_extra={"enum": list(DATATYPES)})]
Dimensions = Annotated[
    Sequence[Annotated[int, Field(ge=-1)]], Field(description="-1 for a dimension that may vary.")
]
Scalar = bool | float | str

Index = TypeAliasType("Index", list[IndexEntry])
Done = TypeAliasType("Done", dict[str, Any])
Document = TypeAliasType("Document", dict[str, Any])


class Error(TypedDict):
    """Any error."""

    error: str
    """The value, what was expected, and what to do."""


class ServerMetadata(TypedDict):
    """The metadata of the server."""

    name: str
    version: str
    extensions: Sequence[str]


class ServerLive(TypedDict):
    """Whether the server runs."""

    live: bool


class ServerReady(TypedDict):
    """Whether every model can answer."""

    ready: bool
    judging: NotRequired[bool]
    """False: a rollout is in progress, and no keeper judges it."""
    judged_until_s: NotRequired[float]
    """The time of the last judgement, in seconds since 1970."""


class ModelReady(TypedDict):
    """Whether a model can answer."""

    name: str
    ready: bool


class DescribedTensor(TypedDict):
    """A tensor of a signature."""

    name: str
    datatype: Datatype
    shape: Dimensions


class DescribedInput(DescribedTensor):
    """An input of a signature."""

    example_shape: NotRequired[Sequence[Positive]]
    """A valid shape of one row, if dimensions vary."""


class ModelParameters(TypedDict):
    """The limits of a model's requests."""

    max_body_bytes: Positive
    """A larger body is refused with 413."""
    row_json_bytes: NotRequired[Count]
    """The approximate size of one row as JSON."""
    row_binary_bytes: NotRequired[Count]
    """The size of one row as bytes after the JSON."""
    max_tokens: NotRequired[Positive]
    """Longer texts are truncated. For another dimension, `max_...` is the largest size."""


class ModelMetadataAnswer(TypedDict):
    """The metadata of a model."""

    name: str
    versions: Sequence[str]
    """The variants."""
    platform: str
    inputs: Sequence[DescribedInput]
    outputs: Sequence[DescribedTensor]
    parameters: ModelParameters
    unserved: NotRequired[Mapping[str, str]]
    """Variants in the repository that are not served, each with the reason."""


class ConfiguredTensor(TypedDict):
    """A tensor in Triton's configuration format."""

    name: str
    data_type: str
    dims: Dimensions


class ModelConfig(TypedDict):
    """A model in Triton's configuration format."""

    name: str
    platform: str
    backend: str
    version_policy: Mapping[str, Any]
    max_batch_size: Count
    """0: the model has no batch dimension."""
    input: Sequence[ConfiguredTensor]
    output: Sequence[ConfiguredTensor]


class BinaryParameters(TypedDict):
    """The parameters of an output that follows the JSON."""

    binary_data_size: Count
    """The number of its bytes after the JSON."""


class OutputTensor(TypedDict):
    """An output of an answer."""

    name: str
    datatype: Datatype
    shape: Sequence[Count]
    data: NotRequired[Sequence[Scalar]]
    """The elements, row-major. FP16 and BF16 can only be sent as bytes."""
    parameters: NotRequired[BinaryParameters]


class InferAnswer(TypedDict):
    """The answer to an inference request."""

    model_name: str
    model_version: str
    """The variant that answered."""
    id: NotRequired[str]
    """The id of the request."""
    parameters: NotRequired[Mapping[str, Scalar]]
    """`rescued_from`: this variant failed, and the baseline answered. `retried`: the second try succeeded.
    `truncated_rows`: the number of truncated texts."""
    outputs: Sequence[OutputTensor]


class Duration(TypedDict):
    """A number of events and their total time."""

    count: Count
    ns: Count


class BatchStatistics(TypedDict):
    """The runs with one batch size."""

    batch_size: Positive
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class VariantStatistics(TypedDict):
    """The statistics of a variant since the start."""

    name: str
    """The model."""
    version: str
    """The variant."""
    last_inference: Count
    """Milliseconds since 1970; 0: none yet."""
    inference_count: Count
    """Rows."""
    execution_count: Count
    """Runs."""
    inference_stats: Mapping[str, Duration]
    response_stats: Mapping[str, Any]
    batch_stats: Sequence[BatchStatistics]
    memory_usage: Sequence[Any]


class Statistics(TypedDict):
    """The statistics of variants, as Triton writes them."""

    model_stats: Sequence[VariantStatistics]


ANSWERS = (
    Error,
    ServerMetadata,
    ServerLive,
    ServerReady,
    ModelReady,
    ModelMetadataAnswer,
    ModelConfig,
    InferAnswer,
    Statistics,
    Index,
    Done,
    Document,
)
