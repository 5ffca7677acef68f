"""Fuses operators in the file, so that the result is the same on every machine.

It fuses only what becomes faster and leaves products for a later quantization: onnxruntime's own Attention
hides them, and its SkipLayerNormalization is slow. onnxruntime does its other fusions when it loads the
file."""

from dataclasses import replace

from export.artifacts import Context, Exported, Note
from export.data.datasets import Split
from export.errors import StepFailed
from export.onnx.graph import clean
from export.onnx.model_proto import load
from export.rewrites.attention import fuse_attention
from export.rewrites.optimized_graph import optimize
from export.rewrites.rewrite_check import count_operators, prove_same, require_same_interface
from export.rewrites.single_precision import to_single
from export.rewrites.skip_norms import unskip
from export.step import Fuse
from serve.bundles.onnx_graph import Graph


def fuse(exported: Exported, settings: Fuse, context: Context) -> Exported:
    """Return an equivalent graph with fewer operators. Raises StepFailed if nothing was fused, fewer
    operators than `expect` demands, or the answers changed."""
    single = to_single(exported.graph, context.data.calibration)
    before = load(single)
    optimized = optimize(single)
    after, attentions = fuse_attention(load(optimized))
    unskipped = unskip(after)
    require_same_interface(before, after)
    old, new = count_operators(before), count_operators(after)
    if not attentions and not unskipped and sum(new.values()) >= sum(old.values()):
        raise StepFailed(
            f"fusing changed nothing: the graph's operators, {_list(old)}, have no fused form here; "
            "remove the step: onnxruntime does its own fusions when it loads the file"
        )
    for name, least in settings.expect.items():
        if new.get(name, 0) < least:
            raise StepFailed(
                f"`expect` requires at least {least} {name}, but there are {new.get(name, 0)} among "
                f"{_list(new)}: lower `expect`, or export the model so that it fits (for Attention: heads "
                "written out in operators, attn_implementation eager)"
            )
    graph = clean(after)
    difference = prove_same(single, graph, context.data.calibration)
    note: Note = {
        "step": "fuse",
        "attentions": attentions,
        "unskipped": unskipped,
        "operators_before": sum(old.values()),
        "operators": sum(new.values()),
        "max_abs_difference": difference,
    }
    return replace(exported, graph=graph, notes=(*exported.notes, note))


def count_attentions(graph: Graph, rows: Split) -> int:
    """Return the number of attentions that the step would fuse in an ONNX graph."""
    optimized = optimize(to_single(graph, rows))
    return fuse_attention(load(optimized))[1]


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
