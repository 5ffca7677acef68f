"""Looks up which nodes of a graph compute and read each value."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.onnx.graph import free_name, values_of
from export.onnx.stored_tensor import read_array
from export.rewrites.graph_cleanup import names_read


class Wiring:
    """Look-ups in a model. They must be made again after the graph has changed."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.constants = {item.name: item for item in model.graph.initializer}
        self.makers = {name: node for node in model.graph.node for name in node.output if name}
        self.outputs = {item.name for item in model.graph.output}
        self._readers: dict[str, list[Any]] = {}
        for node in model.graph.node:
            for name in sorted(names_read(node)):
                self._readers.setdefault(name, []).append(node)

    def readers(self, name: str) -> list[Any]:
        """Return the nodes that read the value, in the graph's order."""
        return self._readers.get(name, [])

    def only_reader(self, name: str) -> Any:
        """Return the only node that reads the value; None if there are others or the value is an output."""
        readers = self.readers(name)
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def array(self, name: str) -> NDArray[Any] | None:
        """Return the value of a constant; None for anything else."""
        return read_array(self.constants[name]) if name in self.constants else None

    def add_constant(self, name: str, array: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        # numpy's ascontiguousarray would turn a scalar into an array of one element, which counts as a
        # weight.
        self.constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        self.model.graph.initializer.append(self.constants[name])
        return name

    def set_constant(self, node: Any, index: int, array: NDArray[Any]) -> None:
        """Set the node's input to this float32 constant, under its own name unless other nodes read it."""
        name = node.input[index]
        value = numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name)
        if len(self.readers(name)) == 1:
            self.constants[name].CopyFrom(value)
        else:
            self._readers[name].remove(node)
            copied = free_name(f"{name}_of_{node.name}", values_of(self.model.graph))
            node.input[index] = self.add_constant(copied, np.asarray(array, np.float32))
            self._readers[node.input[index]] = [node]


@dataclass(frozen=True)
class Linear:
    """x @ weight, and the bias that the following addition adds."""

    product: Any
    # None if there is no bias.
    addition: Any

    @property
    def weight(self) -> str:
        """[inputs, outputs]."""
        return str(self.product.input[1])

    @property
    def output(self) -> str:
        """The value after the bias."""
        return str((self.product if self.addition is None else self.addition).output[0])

    def bias_index(self, wiring: Wiring) -> int:
        """Return which input of the addition is the bias."""
        return next(index for index, name in enumerate(self.addition.input) if name in wiring.constants)


def find_linears(wiring: Wiring) -> list[Linear]:
    """Return every product with a constant float matrix, in the graph's order."""
    linears = []
    for node in wiring.model.graph.node:
        weight = wiring.constants.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is None or weight.data_type != onnx.TensorProto.FLOAT or len(weight.dims) != 2:
            continue
        reader = wiring.only_reader(node.output[0])
        biased = reader is not None and reader.op_type == "Add" and _adds_bias(wiring, reader, weight.dims[1])
        linears.append(Linear(node, reader if biased else None))
    return linears


def read_attribute(node: Any, name: str, default: Any = None) -> Any:
    """Return the value of the attribute."""
    return next(
        (onnx.helper.get_attribute_value(item) for item in node.attribute if item.name == name), default
    )


def insert_before(model: Any, anchor: Any, nodes: Iterable[Any]) -> None:
    """Insert the nodes before the node whose first output is the anchor's."""
    index = next(i for i, node in enumerate(model.graph.node) if node.output[0] == anchor.output[0])
    for offset, node in enumerate(nodes):
        model.graph.node.insert(index + offset, node)


def _adds_bias(wiring: Wiring, addition: Any, channels: int) -> bool:
    return any(
        name in wiring.constants and list(wiring.constants[name].dims) == [channels]
        for name in addition.input
    )
