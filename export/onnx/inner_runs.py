"""Finds the shapes with which the nodes inside If, Loop and Scan run, from a profile of one run."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.onnx.graph import nodes_of
from export.onnx.model_proto import copy_model, open_model
from export.scratch_folder import scratch_folder
from serve.base.tensor import Arrays
from serve.bundles.graph_session import Level

Shape = tuple[int, ...]
_ENDING = "_kernel_time"


@dataclass(frozen=True, kw_only=True)
class InnerRun:
    """One run of a node: a node in a Loop runs once for each pass."""

    node: Any
    # The first output of the outermost node that the node is in.
    outer: str
    # Shapes of the inputs, () for one that is left out, and of the first output.
    inputs: list[Shape]
    output: Shape


def find_inner_runs(model: Any, operators: Collection[str], inputs: Arrays) -> Iterator[InnerRun]:
    """Yield the runs of these operators' nodes inside the nodes of the graph, for these inputs. Does not run
    a graph that has none."""
    named = copy_model(model)
    inner: dict[str, tuple[Any, str]] = {}
    for number, node in enumerate(nodes_of(named.graph)):
        node.name = f"node_{number}"
    for outer in named.graph.node:
        for child in _nodes_inside(outer):
            if child.op_type in operators:
                inner[child.name] = child, next(filter(None, outer.output))
    if not inner:
        return
    for event in _profile(named, inputs):
        name, ended, _ = event["name"].partition(_ENDING)
        if ended and name in inner:
            node, outer_output = inner[name]
            shapes = iter(_read_shapes(event["args"]["input_type_shape"]))
            yield InnerRun(
                node=node,
                outer=outer_output,
                inputs=[next(shapes) if given else () for given in node.input],
                output=_read_shapes(event["args"]["output_type_shape"])[0],
            )


def _nodes_inside(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from nodes_of(graph)


def _profile(model: Any, inputs: Arrays) -> list[dict[str, Any]]:
    """Run the model once, as it is written, and return the profile's events."""
    with scratch_folder() as folder:
        session = open_model(model, level=Level.ORT_DISABLE_ALL, profiled_to=folder / "run")
        session.run(None, dict(inputs))
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text())
    return events


def _read_shapes(typed: list[dict[str, list[int]]]) -> list[Shape]:
    """Read [{"float": [1, 4]}, ...]."""
    return [tuple(shape) for item in typed for shape in item.values()]
