"""The metadata of the server and its models, for HTTP and gRPC."""

import importlib.metadata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from serve.base.tensor import Signature, TensorSpec
from serve.oip.answer_types import ConfiguredTensor, DescribedTensor, ModelConfig, ServerMetadata
from serve.oip.row_sizes import size_of_row

if TYPE_CHECKING:
    from serve.engine.model import ServedModel

# Only extensions that work here.
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
)
_PLATFORM = "onnxruntime_onnx"


def server_metadata() -> ServerMetadata:
    """Name, version and extensions of the server."""
    version = importlib.metadata.version("counterweight")
    return {"name": "counterweight", "version": version, "extensions": list(EXTENSIONS)}


def model_metadata(name: str, forms: tuple[Signature, ...], versions: list[str]) -> dict[str, Any]:
    """Variants, inputs and outputs of a model, with its first signature, the one that people write."""
    form = forms[0]
    return {
        "name": name,
        "versions": versions,
        "platform": _PLATFORM,
        "inputs": [_describe(spec) for spec in form.inputs],
        "outputs": [_describe(spec) for spec in form.outputs],
    }


def describe_model(
    model: "ServedModel", variants: list[str], max_body_bytes: int, *, whole: bool
) -> dict[str, Any]:
    """The metadata of a model (`whole`), or of the variant that a call names."""
    metadata = model_metadata(model.name, model.forms, variants)
    shapes = example_shapes(model.forms, model.sizes)
    for tensor in metadata["inputs"]:
        if tensor["name"] in shapes:
            tensor["example_shape"] = shapes[tensor["name"]]
    metadata["parameters"] = wire_parameters(model.forms, max_body_bytes)
    longest = {f"max_{dim}": most for dim, most in model.longest.items()}
    if model.text is not None:
        # A longer text is truncated.
        longest["max_tokens"] = model.text.max_tokens
    metadata["parameters"] |= longest
    if whole and model.unserved.reasons:
        metadata["unserved"] = model.unserved.reasons
    return metadata


def example_shapes(forms: tuple[Signature, ...], sizes: Mapping[str, int]) -> dict[str, list[int]]:
    """A valid shape of one row for each input whose other dimensions vary, if valid sizes are known."""
    form = forms[0]
    shapes = {}
    for spec in form.inputs:
        rows = 1 if form.batches else 0
        rest = [sizes.get(dim, 0) if isinstance(dim, str) else dim for dim in spec.shape[rows:]]
        if any(isinstance(dim, str) for dim in spec.shape[rows:]) and all(rest):
            shapes[spec.name] = [1] * rows + rest
    return shapes


def wire_parameters(forms: tuple[Signature, ...], max_body_bytes: int) -> dict[str, Any]:
    """The limits of a request, and the size of a row if it is fixed."""
    row = size_of_row(forms)
    sizes = {} if row is None else {"row_json_bytes": row.json_bytes, "row_binary_bytes": row.binary_bytes}
    return {"max_body_bytes": max_body_bytes, **sizes}


def model_config(name: str, forms: tuple[Signature, ...], max_batch_rows: int) -> ModelConfig:
    """A model in Triton's configuration format; `dims` exclude the batch dimension."""
    form = forms[0]
    return {
        "name": name,
        "platform": _PLATFORM,
        "backend": "onnxruntime",
        # All variants are available, each under its name.
        "version_policy": {"all": {}},
        "max_batch_size": max_batch_rows if form.batches else 0,
        "input": [_configure(spec, batches=form.batches) for spec in form.inputs],
        "output": [_configure(spec, batches=form.batches) for spec in form.outputs],
    }


def _describe(spec: TensorSpec) -> DescribedTensor:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.wire_shape}


def _configure(spec: TensorSpec, *, batches: bool) -> ConfiguredTensor:
    datatype = "STRING" if spec.datatype == "BYTES" else spec.datatype
    dims = spec.wire_shape[1:] if batches else spec.wire_shape
    return {"name": spec.name, "data_type": f"TYPE_{datatype}", "dims": dims}
