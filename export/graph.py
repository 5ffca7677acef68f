"""Graph: what this room reads from an ONNX graph, and how it makes two equal graphs equal bytes."""

from collections import Counter
from typing import Any

import onnx

from export.errors import ExportFailed


def clean(model: Any) -> bytes:
    """The model without notes for people: they carry paths of this machine and would change its digest."""
    _strip(model)
    _drop_unused_domains(model)
    # The order of initializers means nothing, and tools that walk a set shuffle it.
    ordered = sorted(model.graph.initializer, key=lambda initializer: str(initializer.name))
    del model.graph.initializer[:]
    model.graph.initializer.extend(ordered)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def read_opset(graph: bytes) -> int:
    """The version of the standard operators that the graph is written in."""
    return int(next(item.version for item in onnx.load_from_string(graph).opset_import if item.domain == ""))


def require_unique_names(model: Any) -> None:
    """Raise ExportFailed when two values of the graph share a name, as no runtime accepts that."""
    names = [item.name for item in (*model.graph.input, *model.graph.initializer)]
    names += [name for node in model.graph.node for name in node.output if name]
    for name, count in Counter(names).items():
        if count > 1:
            raise ExportFailed(
                f"{count} values of the graph are named {name!r}: an output may not be named like an input "
                "or an inner value; choose another name in the recipe's `outputs`"
            )


def _drop_unused_domains(model: Any) -> None:
    """onnxruntime's tools declare every operator set they know; a graph needs those it uses."""
    used = _domains(model.graph) | {"", *(node.domain for item in model.functions for node in item.node)}
    kept = [item for item in model.opset_import if item.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _domains(graph: Any) -> set[str]:
    used = {node.domain for node in graph.node}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                used |= _domains(attribute.g)
    return used


def _strip(message: Any) -> None:
    """Clear doc_string and metadata_props in every message below `message`."""
    for field in ("doc_string", "metadata_props"):
        if field in message.DESCRIPTOR.fields_by_name:
            message.ClearField(field)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in [value] if hasattr(value, "DESCRIPTOR") else value:
                _strip(child)
