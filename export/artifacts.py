"""Context: what passes between sources, steps and the workshop."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import JsonValue

from export.data.datasets import Data
from export.data.tokenizer import Tokenizer
from serve.base.tensor import Signature
from serve.bundles.bundle import LABELS
from serve.bundles.figures import Parity, Task

Note = dict[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The trained model as it came. Exactly one of `build` and `graph` is set."""

    # What messages call it.
    name: str
    # SHA-256 over every byte it was read from.
    sha256: str
    # A fresh copy of the module with its trained weights, in evaluation mode.
    build: Callable[[], torch.nn.Module] | None = None
    # The same network with these values in its configuration, and every trained weight that still fits.
    build_with: Callable[[Note], torch.nn.Module] | None = None
    # An ONNX model that was checked; no step on torch modules is possible.
    graph: bytes | None = None
    # The module is a recorded graph (.pt2): weights may change, layers cannot.
    frozen: bool = False
    tokenizer: Tokenizer | None = None
    # Files that every bundle carries beside the graph.
    assets: Mapping[str, bytes]

    @property
    def named(self) -> bool:
        """Whether its classes have names."""
        return LABELS in self.assets


@dataclass(frozen=True, kw_only=True)
class Made:
    """A torch model between two steps, and how to make one of the same shape again."""

    module: torch.nn.Module
    # Changes of the structure since the source, in order, as `export/pruning/surgery.py` replays them.
    surgery: tuple[Note, ...] = ()
    # Parameters whose zeros were pruned, and stay.
    pruned: frozenset[str] = frozenset()
    # What each step did, for the bundle.
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A graph, what goes in and out, and how far it was from the torch model."""

    graph: bytes
    signature: Signature
    # None: the model came as a graph.
    parity: Parity | None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a step may look at beside the model: never the held-out split."""

    trained: Trained
    task: Task
    data: Data
    seed: int
    # The step's own folder, kept until the step is finished: a training continues from what is in it.
    scratch: Path
    # Where TensorBoard's events of this step go.
    logs: Path
