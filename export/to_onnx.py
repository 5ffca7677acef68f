"""To ONNX: the only call of torch.onnx.export, and the proof that the graph answers like the model."""

import logging
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from export.context import Exported
from export.data.datasets import Split
from export.errors import ExportFailed
from export.forward import bind, forward, to_tensors
from export.graph import clean, require_unique_names
from export.probe import BATCH, EXAMPLE, PROBES, distance, probe
from serve.figures import Parity
from serve.tensor import Signature, TensorSpec, datatype_of

# Float32 sums in another order differ by about 1e-6 of the largest value; a wrong graph by far more.
_RELATIVE_TOLERANCE = 1e-3
_ABSOLUTE_TOLERANCE = 1e-4


def to_onnx(model: torch.nn.Module, rows: Split, outputs: tuple[str, ...], opset: int) -> Exported:
    """The model as an ONNX graph for any number of rows, and of tokens where rows are padded, checked against
    torch on real `rows`. Raises ExportFailed when there is no such graph."""
    proto = _convert(model.eval(), rows, outputs, opset)
    require_unique_names(proto)
    came = next(item.version for item in proto.opset_import if item.domain == "")
    if came != opset:
        raise ExportFailed(f"torch wrote opset {came} where the recipe asks for {opset}; ask for {came}")
    graph = clean(proto)
    signature = _read_signature(proto)
    return Exported(graph=graph, signature=signature, parity=_prove_parity(model, graph, rows, signature))


def _convert(model: torch.nn.Module, rows: Split, outputs: tuple[str, ...], opset: int) -> Any:
    example = to_tensors(probe(rows, *EXAMPLE))
    with torch.no_grad():
        returned = len(forward(model, example))
    if returned != len(outputs):
        raise ExportFailed(
            f"the model returns {returned} outputs, the recipe's `outputs` names {len(outputs)}: "
            f"{', '.join(outputs)}; name each one, in the model's order"
        )
    args, kwargs = bind(model, example)
    dynamic = {
        name: {axis: dim for axis, dim in enumerate(rows.dims[name]) if isinstance(dim, str)}
        for name in example
    }
    # It tells everyone without torchvision so, at every export.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # torch 2.13 copies its own tree specifications in a way that it has itself deprecated.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
        # All inputs share one batch and one length, which is what we ask for.
        warnings.filterwarnings("ignore", r"# The axis name: \w+ will not be used", UserWarning)
        try:
            program = torch.onnx.export(
                model,
                args,
                kwargs=kwargs,
                dynamo=True,
                dynamic_shapes=dynamic if kwargs else tuple(dynamic.values()),
                input_names=list(example),
                output_names=list(outputs),
                opset_version=opset,
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # torch raises a different class from each of its stages
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            raise ExportFailed(f"torch cannot express the model as an ONNX graph: {reason}") from error
    assert program is not None, "torch returns a program when dynamo=True"
    return program.model_proto


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
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    try:
        return TensorSpec(name=item.name, datatype=datatype_of(dtype), shape=shape)
    except KeyError:
        raise ExportFailed(
            f"{item.name} is {dtype}, which the wire cannot carry; cast it in the model"
        ) from None


def _prove_parity(model: torch.nn.Module, graph: bytes, rows: Split, signature: Signature) -> Parity:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    largest = 0.0
    for size, share in PROBES:
        inputs = probe(rows, size, share)
        with torch.no_grad():
            expected = [output.numpy() for output in forward(model, to_tensors(inputs))]
        for name, came, wanted in zip(
            signature.output_names, session.run(None, dict(inputs)), expected, strict=True
        ):
            difference = distance(came, wanted)
            largest = max(largest, difference)
            if came.shape != wanted.shape or not np.allclose(
                came, wanted, _RELATIVE_TOLERANCE, _ABSOLUTE_TOLERANCE
            ):
                raise ExportFailed(
                    f"on {size} rows the graph's {name} {list(came.shape)} is up to {difference:.2g} away "
                    f"from torch's {list(wanted.shape)}: the graph is not the model; does `forward` depend "
                    "on randomness, on the batch size or on values?"
                )
    return Parity(batch_sizes=tuple(size for size, _ in PROBES), max_abs_difference=largest)
