"""Finds out what can make a model lighter, before anything is tried."""

import torch

from export.artifacts import Trained
from export.compress.graph_profile import profile_graph
from export.cpu import read_cpu
from export.data.datasets import Data
from export.errors import StepFailed
from export.pruning.stack import find_stack
from export.recipe import FactorySource, HuggingFaceSource, Recipe
from export.search.operator_time import measure_operators
from export.search.plan import Plans
from export.search.propose_plans import Changeable, propose_plans
from export.search.search_request import Method, Search
from export.step import Training
from serve.bundles.onnx_graph import Graph

_METHODS: tuple[Method, ...] = ("static", "dynamic", "weights", "channels", "drop_layers")
_LISTED_OPERATORS = 5


def analyse(
    recipe: Recipe, search: Search, trained: Trained, data: Data, graph: Graph
) -> tuple[Plans | None, tuple[str, ...]]:
    """Return the plans of a search, None if nothing can pay, and what was found, one sentence each.

    Args:
        recipe: the recipe
        search: its search
        trained: the trained model
        data: its data
        graph: the baseline's ONNX graph
    """
    cpu = read_cpu()
    batch = data.calibration.take_like(search.goal.cpu_ms.rows)
    shares = list(measure_operators(graph, batch).items())[:_LISTED_OPERATORS]
    spent = ", ".join(f"{name} {share:.0%}" for name, share in shares)
    findings = (f"time by operator: {spent}", f"processor: {', '.join(cpu.flags) or 'no 8-bit instructions'}")
    if search.steps is not None:
        return Plans(plans={"steps": search.steps}), findings
    allowed = _METHODS if search.methods == "auto" else search.methods
    changeable = _find_changeable(recipe, trained, data)
    profile = profile_graph(graph, data.calibration)
    plans, reasons = propose_plans(profile, cpu, changeable, recipe.task, allowed)
    return plans, (*findings, *reasons)


def _find_changeable(recipe: Recipe, trained: Trained, data: Data) -> Changeable:
    torch_source = isinstance(recipe.source, FactorySource | HuggingFaceSource)
    steps = [step for variant in recipe.variants.values() for step in variant]
    return Changeable(
        channels=torch_source,
        layers=_count_layers(trained.build()) if torch_source and trained.build is not None else 0,
        rows=data.train is not None,
        labels=data.train is not None and data.train.labels is not None,
        training=next((step for step in steps if isinstance(step, Training)), None),
    )


def _count_layers(module: torch.nn.Module) -> int:
    try:
        return len(find_stack(module, None)[1])
    except StepFailed:
        return 0
