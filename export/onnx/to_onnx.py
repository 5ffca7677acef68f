"""Exports a torch model to ONNX and proves that the graph answers like the model."""

import inspect
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch

from export.artifacts import Exported
from export.data.datasets import Split
from export.errors import ExportFailed
from export.forward import bind, flatten, to_tensors
from export.onnx.graph import clean, require_unique_names
from export.onnx.model_proto import LARGEST_BYTES, load
from export.onnx.parity import ask_torch, prove_parity
from export.onnx.probe_rows import BATCH, EXAMPLE, probe
from export.repair.output_dimensions import refuse_empty
from export.scratch_folder import scratch_folder
from serve.base.tensor import Signature, TensorSpec, datatype_of
from serve.bundles.bundle import MODEL, WEIGHTS
from serve.bundles.onnx_graph import SplitGraph, WeightsFile

# What torch.export says of a dimension that was to be free.
_FIXED = re.compile(r"static shape of (?P<size>\d+) for dimension (?P<name>\S+)\.shape\[(?P<axis>\d)\]")


def to_onnx(model: torch.nn.Module, rows: Split, outputs: tuple[str, ...], opset: int) -> Exported:
    """Return the model as an ONNX graph for any number of rows (and of tokens, if rows are padded), checked
    against torch on real `rows`.

    Raises ExportFailed if there is no such graph."""
    with scratch_folder() as folder:
        return _export(
            model, _read_program(_convert(model.eval(), rows, outputs, opset), folder), rows, opset
        )


def _export(model: torch.nn.Module, proto: Any, rows: Split, opset: int) -> Exported:
    require_unique_names(proto)
    version = next(item.version for item in proto.opset_import if item.domain == "")
    if version != opset:
        raise ExportFailed(
            f"torch wrote opset {version} although the recipe sets {opset}; set `opset: {version}`"
        )
    signature = _read_signature(proto)
    try:
        graph = clean(proto)
    except onnx.shape_inference.InferenceError as error:
        reason = " ".join(str(error).split())
        raise ExportFailed(f"the shapes in the model's graph are inconsistent: {reason:.300}") from error
    return Exported(graph=graph, signature=signature, parity=prove_parity(model, graph, rows, signature))


def _convert(model: torch.nn.Module, rows: Split, outputs: tuple[str, ...], opset: int) -> Any:
    inputs = probe(rows, *EXAMPLE)
    returned = len(ask_torch(model, inputs, EXAMPLE[0]))
    if returned != len(outputs):
        raise ExportFailed(
            f"the model returns {returned} outputs, the recipe's `outputs` names {len(outputs)}: "
            f"{', '.join(outputs)}; name each tensor, in the model's order (a None is none)"
        )
    example = to_tensors(inputs)
    args, kwargs = bind(model, example)
    # In the order in which the model takes them, which is the order of the graph's inputs.
    names = {id(value): name for name, value in example.items()}
    ordered = [names[id(value)] for value in (*args, *kwargs.values())]
    free = [
        {axis: dim for axis, dim in enumerate(rows.dims[name]) if isinstance(dim, str)} for name in ordered
    ]
    # torch logs this at every export if torchvision is not installed.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with _flattened(model), warnings.catch_warnings():
        # torch 2.13 copies its own tree specifications in a deprecated way.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
        # The inputs share one batch and one length on purpose.
        warnings.filterwarnings("ignore", r"# The axis name: \w+ will not be used", UserWarning)
        try:
            program = torch.onnx.export(
                model,
                args,
                kwargs=kwargs,
                dynamo=True,
                dynamic_shapes=_place(model, free, args, kwargs),
                input_names=ordered,
                output_names=list(outputs),
                opset_version=opset,
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # torch raises a different class from each of its stages
            reason = " ".join(str(error.__cause__ or error).split())
            explanation = _explain_fixed(reason) or f"{reason:.600}"
            raise ExportFailed(f"torch cannot express the model as an ONNX graph: {explanation}") from error
    assert program is not None, "torch returns a program when dynamo=True"
    return program


def _read_program(program: Any, folder: Path) -> Any:
    """Return the program's model; large weights are written to the folder, and not copied."""
    weights = program.model.graph.initializers.values()
    if sum(item.const_value.nbytes for item in weights) <= LARGEST_BYTES:
        return program.model_proto
    program.save(folder / MODEL, external_data=True)
    weights = WeightsFile(folder / WEIGHTS)
    return load(SplitGraph(content=(folder / MODEL).read_bytes(), weights=weights))


def _explain_fixed(reason: str) -> str | None:
    """Where torch says that a free dimension came out as a number, what in the model makes it one."""
    match = _FIXED.search(reason)
    if match is None:
        return None
    what, many = ("batch", "rows") if match["axis"] == "0" else ("length", "tokens")
    size, name, axis = match["size"], match["name"], match["axis"]
    return (
        f"`forward` fixes the {what} at the {size} {many} that it was traced with (dimension {axis} of "
        f"{name}), and a server runs any number: do not loop over {many}, write -1 or x.shape[{axis}] into a "
        f"view or reshape, and add no tensor that has one entry for each of {size} {many}"
    )


@contextmanager
def _flattened(model: torch.nn.Module) -> Iterator[None]:
    """Make the model return a tuple of tensors while the context lasts, because torch's exporter supports
    fewer containers."""
    hook = model.register_forward_hook(lambda _, __, came: flatten(model, came))
    try:
        yield
    finally:
        hook.remove()


def _place(model: torch.nn.Module, free: list[Any], args: Any, kwargs: Any) -> dict[str, Any]:
    """Assign the free dimensions of each argument to its parameter's name, as a tuple for `*args`."""
    places = dict(zip([*range(len(args)), *kwargs], free, strict=True))
    bound = inspect.signature(model.forward).bind(*range(len(args)), **{name: name for name in kwargs})
    return {
        name: tuple(places[item] for item in place) if isinstance(place, tuple) else places[place]
        for name, place in bound.arguments.items()
    }


def _read_signature(proto: Any) -> Signature:
    return Signature(
        inputs=tuple(_read_tensor(item) for item in proto.graph.input),
        outputs=tuple(_read_tensor(item) for item in proto.graph.output),
    )


def _read_tensor(item: Any) -> TensorSpec:
    tensor = item.type.tensor_type
    shape = tuple(dim.dim_param or dim.dim_value for dim in tensor.shape.dim)
    if not shape or shape[0] != BATCH:
        raise ExportFailed(
            f"{item.name} came out with the shape {list(shape)}, not with a first dimension that is free: "
            "the model fixes its batch size or mixes its rows; keep the batch out of reshapes and constants"
        )
    if 0 in shape:
        refuse_empty(item.name, shape)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    try:
        return TensorSpec(name=item.name, datatype=datatype_of(dtype), shape=shape)
    except KeyError:
        raise ExportFailed(
            f"{item.name} is {dtype}, which the wire cannot carry; cast it in the model"
        ) from None
