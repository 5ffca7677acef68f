"""Run a trained model on some rows, as the graph that its baseline will be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export.artifacts import Exported, Trained
from export.data.datasets import Split
from export.errors import ExportFailed, InvalidSource, reason_of
from export.forward import forward, to_tensors
from export.onnx.free_sizes import read_free_sizes
from export.onnx.from_onnx import from_onnx
from export.onnx.model_proto import load
from export.onnx.to_onnx import to_onnx
from export.proof.held_out import Answers, answers
from serve.bundles.meaning import Task
from serve.bundles.onnx_graph import Graph
from serve.engine.session import Session
from serve.tasks.state_outputs import find_states

_OPSET = 20
_HEAD_OUTPUTS: dict[Task, str] = {"embedding": "sentence_embedding"}


@dataclass(frozen=True, kw_only=True)
class TriedModel:
    """A model that has answered some rows."""

    graph: Graph
    # Output -> [rows, ...].
    answers: Answers
    # Outputs that are state for the next request -> their inputs.
    states: Mapping[str, str]
    # What was left out, in words.
    remarks: tuple[str, ...] = ()


def try_model(trained: Trained, rows: Split, head: Task | None) -> TriedModel:
    """Return the graph with all outputs that can be served, and its answers to the rows. `head` is the task
    of a Hugging Face model. Raises ExportFailed."""
    left_out: list[str] = []
    if trained.graph is not None:
        exported, left_out = _read_graph(trained.graph, rows)
    else:
        assert trained.build is not None, "a model without a graph is a module"
        module = trained.build()
        exported = to_onnx(module, rows, _name_outputs(module, rows, head), _OPSET)
    sizes = read_free_sizes(exported.signature, rows)
    session = Session(exported.graph, exported.signature, trained.name, sizes=sizes)
    states = find_states(exported.signature)
    left_out += [
        f"output {name} is the next value of the input {before}, so it is not judged as an answer"
        for name, before in states.items()
    ]
    return TriedModel(
        graph=exported.graph, answers=answers(session, rows), states=states, remarks=tuple(left_out)
    )


def _read_graph(graph: Graph, rows: Split) -> tuple[Exported, list[str]]:
    """Return the graph with the outputs that follow the rows, and a remark on each other one."""
    names = [item.name for item in load(graph).graph.output]
    try:
        return from_onnx(graph, rows, tuple(names)), []
    except ExportFailed as error:
        if len(names) == 1:
            raise
        failure = error
    reasons = {name: _refusal(graph, rows, name) for name in names}
    kept = tuple(name for name, reason in reasons.items() if reason is None)
    if not kept:
        raise failure
    remarks = [f"output {name} is left out: {reason}" for name, reason in reasons.items() if reason]
    return from_onnx(graph, rows, kept), remarks


def _refusal(graph: Graph, rows: Split, name: str) -> str | None:
    try:
        from_onnx(graph, rows, (name,))
    except ExportFailed as error:
        return str(error)
    return None


def _name_outputs(module: Any, rows: Split, head: Task | None) -> tuple[str, ...]:
    """Name the outputs of a torch module, which have an order but no names."""
    try:
        count = len(forward(module, to_tensors(rows.take_like(2))))
    except InvalidSource:
        raise
    except Exception as error:  # torch raises dozens of unrelated classes
        raise ExportFailed(
            f"the model cannot run on these rows: {reason_of(error)}; give its inputs, and name the labels "
            "among them with --labels"
        ) from error
    if head is not None:
        return (_HEAD_OUTPUTS.get(head, "logits"),)
    return ("output",) if count == 1 else tuple(f"output_{number}" for number in range(count))
