"""Splits outlier neurons behind a Gelu into several neurons with smaller values.

Far from 0 a Gelu is linear, so gelu(x) is nearly min(gelu(x), a) + min(gelu(x - a), a) + ...: copies of the
neuron with smaller biases. A range that ends at `a` instead of the outlier's largest value has smaller steps
for all other neurons."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.onnx.graph import free_node_name
from export.onnx.model_proto import infer_shapes
from export.onnx.stored_tensor import read_array
from export.rewrites.smoothing import Extents
from export.rewrites.wiring import Linear, Wiring, find_linears, insert_before

# Maximum number of copies in a layer, at most a sixteenth of its neurons; the number is rounded up to a
# multiple of the kernels' block size.
_MOST_COPIES = 16
# Split only if the range becomes smaller by this factor.
_LEAST_GAIN = 1.5
# Below this value, a Gelu is not linear.
_LEAST_CLIP = 2.5
# A neuron is split if it exceeds the clip by a quarter; smaller excesses are clipped.
_TOLERANCE = 1.25
# Number of clips to try, down to a tenth of the largest value.
_TRIALS = 60


def find_activations(model: Any) -> tuple[str, ...]:
    """Return the results of every Gelu between two linear layers."""
    wiring = Wiring(model)
    return tuple(
        node.output[0]
        for node in model.graph.node
        if node.op_type == "Gelu" and _surroundings(wiring, node.output[0]) is not None
    )


def split_outliers(model: Any, extents: Extents) -> int:
    """Split the neurons whose largest values are far above the others', in place; return their number."""
    count = 0
    changed: set[str] = set()
    for name, (_, largest) in extents.items():
        clip, neurons, copies = _choose(largest.astype(np.float64))
        if len(neurons):
            changed |= _split(model, name, clip, np.repeat(neurons, copies), _steps(copies) * clip)
            count += len(neurons)
    if count:
        _renew_types(model, changed)
    return count


def _surroundings(wiring: Wiring, name: str) -> tuple[Linear, Linear] | None:
    """Return the linear layers before and after the activation."""
    gelu, linears = wiring.makers[name], find_linears(wiring)
    before = [item for item in linears if item.addition is not None and item.output == gelu.input[0]]
    behind = [item for item in linears if item.product.input[0] == name]
    alone = wiring.only_reader(gelu.input[0]) is not None and wiring.only_reader(name) is not None
    return (before[0], behind[0]) if alone and before and behind else None


def _choose(largest: NDArray[np.float64]) -> tuple[float, NDArray[np.int64], NDArray[np.int64]]:
    """Return the smallest clip for which there are enough copies, the neurons above it, and the number of
    copies of each."""
    none = np.zeros(0, np.int64)
    most = min(_MOST_COPIES, len(largest) // 16)
    best = (float(largest.max()), none, none)
    for clip in np.geomspace(largest.max(), largest.max() / 10, _TRIALS) if largest.max() > 0 else ():
        neurons = np.flatnonzero(largest > _TOLERANCE * clip)
        copies = np.ceil(largest[neurons] / clip).astype(np.int64) - 1
        if copies.sum() > most or clip < _LEAST_CLIP:
            break
        best = (float(clip), neurons, copies)
    return best if best[0] * _LEAST_GAIN < largest.max() else (best[0], none, none)


def _steps(copies: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 1, 2, ... up to the number of copies, for each neuron."""
    return np.concatenate([np.arange(1, count + 1) for count in copies])


def _split(model: Any, name: str, clip: float, neurons: NDArray[np.int64], offsets: NDArray[Any]) -> set[str]:
    """Split the neurons; return the values that changed or are new."""
    wiring = Wiring(model)
    linears = _surroundings(wiring, name)
    if linears is None:
        raise ValueError(f"{name} stands between no two linear layers")
    before, behind = linears
    empty = -len(neurons) % _MOST_COPIES
    index = before.bias_index(wiring)
    bias = read_array(wiring.constants[before.addition.input[index]])
    inner = read_array(wiring.constants[before.weight])
    outer = read_array(wiring.constants[behind.weight])
    wiring.set_constant(
        before.product, 1, np.pad(np.hstack([inner, inner[:, neurons]]), ((0, 0), (0, empty)))
    )
    wiring.set_constant(before.addition, index, np.pad(np.append(bias, bias[neurons] - offsets), (0, empty)))
    wiring.set_constant(behind.product, 1, np.pad(np.vstack([outer, outer[neurons]]), ((0, empty), (0, 0))))
    limit = wiring.add_constant(f"{name}_limit", np.array(clip, np.float32))
    called = free_node_name(f"{name}_clip", model.graph)
    clipped = onnx.helper.make_node("Clip", [name, "", limit], [f"{name}_clipped"], called)
    insert_before(model, behind.product, [clipped])
    behind.product.input[0] = f"{name}_clipped"
    return {name, before.product.output[0], before.output, f"{name}_clipped"}


def _renew_types(model: Any, changed: set[str]) -> None:
    """Update the value types, which quantization needs, because layers have become wider."""
    # onnxruntime also lists constants.
    old = changed | {item.name for item in model.graph.initializer}
    kept = [item for item in model.graph.value_info if item.name not in old]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    known = infer_shapes(model).graph.value_info
    model.graph.value_info.extend(item for item in known if item.name in changed)
