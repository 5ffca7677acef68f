"""Defines the data that sources, steps and the builder exchange."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import JsonValue

from export.data.datasets import Data
from export.data.tokenizer import Tokenizer
from export.progress import Say, keep_silent
from serve.base.tensor import Signature
from serve.bundles.bundle import LABELS
from serve.bundles.figures import Parity
from serve.bundles.meaning import Kind, Rule, Task
from serve.bundles.onnx_graph import Graph
from serve.tasks.task_table import TASKS

Note = dict[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The trained model as it was read. Exactly one of `build` and `graph` is set."""

    # The name in messages.
    name: str
    # SHA-256 of all bytes that were read.
    sha256: str
    # Returns a new copy of the module with its trained weights, in evaluation mode.
    build: Callable[[], torch.nn.Module] | None = None
    # Returns the same network with these values in its configuration, and every trained weight that still
    # fits.
    build_with: Callable[[Note], torch.nn.Module] | None = None
    # A checked ONNX model; steps on torch modules are not possible.
    graph: Graph | None = None
    # The module is a recorded program (.pt2): its weights may change, its layers cannot.
    frozen: bool = False
    tokenizer: Tokenizer | None = None
    # Files that every bundle contains beside the graph.
    assets: Mapping[str, bytes]

    @property
    def named(self) -> bool:
        """Whether its classes have names."""
        return LABELS in self.assets


@dataclass(frozen=True, kw_only=True)
class Made:
    """A torch model between two steps, with the information to rebuild a module of its shape."""

    module: torch.nn.Module
    # Changes of the structure since the source, in order, which `export/pruning/surgery.py` replays.
    surgery: tuple[Note, ...] = ()
    # Parameters whose pruned weights must stay zero.
    pruned: frozenset[str] = frozenset()
    # Notes of the steps for the bundle.
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A graph with its signature and its difference from the torch model."""

    graph: Graph
    signature: Signature
    # None if the model came as a graph.
    parity: Parity | None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Context:
    """The data that a step may use beside the model; never the held-out split."""

    trained: Trained
    task: Task
    data: Data
    seed: int
    # The step's own folder, which is kept until the step has finished, so that training can resume from it.
    scratch: Path
    # The folder of this step's TensorBoard events.
    logs: Path
    # The recipe's rule of the first output; None: the task and the answers decide.
    rule: Rule | None = None
    # Receives what is being done.
    say: Say = keep_silent

    @property
    def kind(self) -> Kind | None:
        """How the answers of the first output are compared; None: it is read from the answers."""
        return self.rule.kind if self.rule else TASKS[self.task].rule
