"""Quantizes a graph: integer weights, and integer computation where that is faster."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from export.artifacts import Context, Exported, Note
from export.errors import StepFailed
from export.onnx.graph import clean
from export.onnx.model_proto import load, make_graph
from export.onnx.patterns import match as match_names
from export.proof.graph_cost import count_by_node
from export.proof.graph_stats import longest_row
from export.quantization import dynamic, static
from export.quantization import embedding_tables as tables
from export.quantization import weight_only as weights
from export.quantization.calibration import calibrate
from export.quantization.coverage import OPERATORS, account, find_inside
from export.quantization.float_layers import find_untrue
from export.quantization.layers import DOUBLE, Layer, find_layers
from export.quantization.operator_trial import TrialPlan
from export.quantization.outlier_channels import level
from export.quantization.prepare import prepare, split_gemms
from export.quantization.sensitivity import SensitiveLayers, find_sensitive
from export.rewrites.rewrite_check import measure_errors, prove_same, require_same_interface
from export.rewrites.single_precision import to_single
from export.rewrites.skip_norms import unskip
from export.step import Quantize
from serve.bundles.onnx_graph import Graph

# Maximum error relative to an output's size.
_MOST_LOST = 0.5


def quantize(exported: Exported, settings: Quantize, context: Context) -> Exported:
    """Return the graph with quantized layers.

    Raises StepFailed if nothing changed, a pattern matches nothing, there are too few calibration rows, an
    operator's answer is wrong whatever stays in float, or little is left of an output."""
    # The model refers to the graph's weights.
    ready, levelled = _ready(exported.graph, settings, context)
    model = load(ready)
    layers = _find(model, settings)
    names = [name for layer in layers for name in layer.names]
    kept = match_names(settings.keep_float, names, "layers", told=[layer.path for layer in layers])
    chosen = [layer for layer in layers if not set(layer.names) & set(kept)]
    if not chosen:
        raise StepFailed(
            f"quantization changed nothing: {len(layers)} layers are all kept in float; narrow `keep_float`"
        )
    reasons = {layer.node: "`keep_float`" for layer in layers if layer not in chosen}
    plan, note = _plan(model, chosen, settings, context)
    note |= levelled
    if untrue := find_untrue(plan, chosen, context.data.calibration, context.say):
        paths = {layer.node: layer.path for layer in layers}
        note |= {"left_float": {paths.get(name, name): reason for name, reason in untrue.items()}}
        reasons |= dict.fromkeys(untrue, "its quantized answers differ by more than rounding explains")
        reasons |= plan.endless
        chosen = [layer for layer in chosen if layer.node not in untrue]
    if settings.faithful is not None:
        sensitive = _find_sensitive(plan, chosen, untrue, exported.graph, context)
        reasons |= {layer.node: f"`faithful: {settings.faithful:g}`" for layer in sensitive.kept}
        chosen = [layer for layer in chosen if layer not in sensitive.kept]
        note |= sensitive.note
    quantized = plan.make(chosen, untrue)
    require_same_interface(load(exported.graph), quantized)
    note |= account(plan, quantized, layers, reasons, longest_row(context.data.calibration))
    if unskipped := unskip(quantized):
        note |= {"unskipped": unskipped}
    graph = clean(quantized)
    # Measured on rows that did not set the ranges, since none of those would be clipped.
    errors = measure_errors(exported.graph, graph, context.data.search)
    # Methods other than minmax clip values on purpose; the floor judges what that costs.
    if settings.calibrate == "minmax":
        _require_likeness(errors)
    note["output_error"] = {name: round(error, 6) for name, error in errors.items()}
    return replace(exported, graph=graph, notes=(*exported.notes, note))


def _require_likeness(errors: Mapping[str, float]) -> None:
    """Raise StepFailed if little is left of an output."""
    for name, error in errors.items():
        if error > _MOST_LOST:
            raise StepFailed(
                f"the output {name!r} is off by {error:.0%} of its own size on search rows "
                f"(root mean square); at most {_MOST_LOST:.0%} is allowed; keep layers in float "
                "(`keep_float`), use another method, or give rows on which the output is not near 0"
            )


def _find_sensitive(
    plan: TrialPlan, layers: list[Layer], left: Collection[str], graph: Graph, context: Context
) -> SensitiveLayers:
    """Return the layers that must stay in float to reach the recipe's `faithful`."""

    def make(kept: Collection[Layer]) -> Graph:
        model = plan.make([layer for layer in layers if layer not in kept], left)
        return make_graph(model)

    cost_of = count_by_node(plan.model, context.data.search.take(np.zeros(1, np.int64)))
    costs = {layer: cost_of[layer.node] for layer in layers if layer.operator not in tables.OPERATORS}
    assert plan.settings.faithful is not None
    return find_sensitive(graph, costs, make, plan.settings.faithful, context)


def _ready(graph: Graph, settings: Quantize, context: Context) -> tuple[Graph, Note]:
    """Return the float graph in which layers are selected, and a note of what was done to it."""
    single = to_single(graph, context.data.calibration)
    prepared = prepare(single)
    model = load(prepared)
    if joined := find_layers(model, ("Attention",)):
        raise StepFailed(
            f"{len(joined)} Attention operators of onnxruntime's, such as {joined[0].node!r}, have weights "
            "that cannot be quantized; start from the file before onnxruntime's optimizer"
        )
    if settings.method == "static":
        static.require_opset(model)
    if settings.method != "static" or static.is_attentive(model):
        model = split_gemms(model)
    ready = make_graph(model)
    prove_same(single, ready, context.data.calibration)
    model = load(ready)
    note = level(model, settings, context.data.calibration)
    return (make_graph(model) if note else ready), note


def _find(model: Any, settings: Quantize) -> tuple[Layer, ...]:
    operators = OPERATORS[settings.method]
    layers = find_layers(model, operators)
    operator_types = ", ".join(sorted({node.op_type for node in model.graph.node}))
    if not layers:
        if doubles := find_layers(model, operators, DOUBLE):
            raise StepFailed(
                f"quantization changed nothing: the weights of all {len(doubles)} layers, such as "
                f"{doubles[0].path!r}, are float64, and only float32 ones become integers; build the model "
                "in float32 (torch: `.float()`, and no `.double()` in `forward`)"
            )
        inside = "".join(f" ({len(names)} more: {reason})" for reason, names in find_inside(model).items())
        raise StepFailed(
            f"quantization changed nothing: the graph has {operator_types}{inside} and none of "
            f"{', '.join(operators)} with constant weights, which `method: {settings.method}` needs; "
            f"{_other_methods(model)}"
        )
    if not settings.embeddings:
        return layers
    looked_up = find_layers(model, tables.OPERATORS)
    if not looked_up:
        raise StepFailed(f"`embeddings: true` {tables.explain_none(model)}; remove `embeddings`")
    return (*layers, *looked_up)


def _other_methods(model: Any) -> str:
    names = [method for method, operators in OPERATORS.items() if find_layers(model, operators)]
    methods = " and ".join(f"`method: {name}`" for name in names)
    return f"use {methods}, or remove the step" if methods else "drop the step"


def _plan(model: Any, layers: list[Layer], settings: Quantize, context: Context) -> tuple[TrialPlan, Note]:
    """Return how to quantize any of the layers, calibrated once for all of them, and the note on it."""
    note: Note = {"step": "quantize", "method": settings.method}
    ranges: Mapping[str, tuple[float, float]] = {}
    others: set[str] = set()
    endless: dict[str, str] = {}
    if settings.method == "static":
        names = [layer.node for layer in layers]
        others = {*static.find_pairs(model, names)} - {*names}
        tensors = static.activations(model, names)
        measured = calibrate(model, tensors, context.data.calibration, settings)
        note |= {"calibration_rows": measured.rows, "calibration_bytes": measured.held_bytes}
        ranges = measured.ranges
        endless = static.find_endless(model, names, measured.infinite)

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

    plan = TrialPlan(
        model=model,
        settings=settings,
        ranges=ranges,
        others=frozenset(others),
        endless=endless,
        make=make,
    )
    return plan, note
