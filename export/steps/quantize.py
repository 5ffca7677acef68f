"""Quantize: weights as integers, and computing with integers where that is faster."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import onnx

from export.context import Context, Exported, Note
from export.errors import StepFailed
from export.graph import clean
from export.patterns import match as match_names
from export.quantization import dynamic, static, tables, weights
from export.quantization.calibration import calibrate
from export.quantization.channels import level
from export.quantization.keeping import find_untrue
from export.quantization.layers import Layer, find_layers
from export.quantization.prepare import prepare, split_gemms
from export.quantization.sensitivity import count_multiply_adds, find_sensitive
from export.quantization.trial import Plan
from export.rewrites.norms import unskip
from export.rewrites.rewritten import prove_same, require_same_interface
from export.step import Quantize

_OPERATORS = {
    "static": ("Conv", "Gemm", "MatMul"),
    "dynamic": dynamic.OPERATORS,
    "weights": weights.OPERATORS,
}


def quantize(exported: Exported, settings: Quantize, context: Context) -> Exported:
    """The graph with the weights of its layers, or all it computes in them, as integers. Raises StepFailed
    when nothing changed, a pattern fits nothing, the calibration rows are too few, or the answers of an
    operator are others than rounding explains, wherever it is left in float."""
    model, levelled = _ready(exported.graph, settings, context)
    layers = _find(model, settings)
    kept = match_names(settings.keep_float, [name for layer in layers for name in layer.names], "layers")
    chosen = [layer for layer in layers if not set(layer.names) & set(kept)]
    if not chosen:
        raise StepFailed(
            f"quantization changed nothing: {len(layers)} layers are all kept in float; narrow `keep_float`"
        )
    plan, note = _plan(model, chosen, settings, context)
    note |= levelled
    untrue = find_untrue(plan, chosen, context.data.calibration)
    chosen = [layer for layer in chosen if layer.node not in untrue]
    if settings.faithful is not None:
        weighted = [layer for layer in chosen if layer.operator not in tables.OPERATORS]
        found = find_sensitive(
            exported.graph,
            count_multiply_adds(model, weighted, context.data.search),
            lambda kept: bytes(
                plan.make([layer for layer in chosen if layer not in kept], untrue).SerializeToString()
            ),
            settings.faithful,
            context,
        )
        chosen = [layer for layer in chosen if layer not in found.kept]
        note |= found.note
    quantized = plan.make(chosen, untrue)
    require_same_interface(onnx.load_from_string(exported.graph), quantized)
    still = _still_float(quantized, layers)
    if untrue:
        paths = {layer.node: layer.path for layer in layers}
        note |= {"left_float": {paths.get(name, name): reason for name, reason in untrue.items()}}
    if unskipped := unskip(quantized):
        note |= {"unskipped": unskipped}
    note |= {"kept_float": [layer.path for layer in still], "quantized": len(layers) - len(still)}
    return replace(exported, graph=clean(quantized), notes=(*exported.notes, note))


def _ready(graph: bytes, settings: Quantize, context: Context) -> tuple[Any, Note]:
    """The float model in which layers are chosen, and what was done to it before."""
    model = prepare(graph)
    if joined := find_layers(model, ("Attention",)):
        raise StepFailed(
            f"{len(joined)} Attention operators of onnxruntime's, such as {joined[0].node!r}, hold weights "
            "that no method here reaches; start from the file as it was before onnxruntime's optimizer"
        )
    if settings.method == "static":
        static.require_opset(model)
    if settings.method != "static" or static.is_attentive(model):
        model = split_gemms(model)
    prove_same(graph, model.SerializeToString(), context.data.calibration)
    return model, level(model, settings, context.data.calibration)


def _find(model: Any, settings: Quantize) -> tuple[Layer, ...]:
    operators = _OPERATORS[settings.method]
    layers = find_layers(model, operators)
    found = ", ".join(sorted({node.op_type for node in model.graph.node}))
    if not layers:
        raise StepFailed(
            f"quantization changed nothing: the graph has {found} and none of {', '.join(operators)} with "
            f"constant weights, which `method: {settings.method}` needs; use another method or drop the step"
        )
    if not settings.embeddings:
        return layers
    looked_up = find_layers(model, tables.OPERATORS)
    if not looked_up:
        raise StepFailed(
            f"`embeddings: true` found no table of embeddings among {found}; leave `embeddings` out"
        )
    return (*layers, *looked_up)


def _plan(model: Any, layers: list[Layer], settings: Quantize, context: Context) -> tuple[Plan, Note]:
    """How any of the layers are quantized, calibrated once for all of them, and what to note of it."""
    note: Note = {"step": "quantize", "method": settings.method}
    ranges: Mapping[str, tuple[float, float]] = {}
    others: set[str] = set()
    if settings.method == "static":
        names = [layer.node for layer in layers]
        others = {*static.find_pairs(model, names)} - {*names}
        tensors = static.activations(model, names)
        found = calibrate(model, tensors, context.data.calibration, settings)
        note |= {"calibration_rows": found.rows, "calibration_bytes": found.held_bytes}
        ranges = found.ranges

    def make(chosen: Iterable[Layer], left: Collection[str]) -> Any:
        names = [layer.node for layer in chosen]
        match settings.method:
            case "static":
                quantized = static.make_static(model, names, left, ranges, settings)
            case "dynamic":
                quantized = dynamic.make_dynamic(model, names, settings)
            case "weights":
                quantized = weights.make_weights(model, names, settings.bits)
        return tables.make_tables(quantized, names)

    return Plan(model=model, settings=settings, ranges=ranges, others=frozenset(others), make=make), note


def _still_float(quantized: Any, layers: tuple[Layer, ...]) -> list[Layer]:
    """The layers whose nodes still read their float weights."""
    constants = {item.name for item in quantized.graph.initializer}
    read = {(node.name, name) for node in quantized.graph.node for name in node.input if name in constants}
    return [layer for layer in layers if all((layer.node, name) in read for name in layer.weights)]
