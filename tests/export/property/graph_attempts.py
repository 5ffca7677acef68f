"""Graph attempts: every step on a random graph, and whether the result is what its note says."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from export.artifacts import Context, Exported
from export.errors import StepFailed
from export.step import Fuse, Half, Quantize
from export.steps.fuse import fuse
from export.steps.half import half
from export.steps.quantize import quantize
from tests.export.graphs import context_for, exported_of
from tests.export.property.attempts import Outcome
from tests.export.property.random_graph import draw_graph, draw_rows

# The rows of the calibration split, of the search split, and of the test's own split.
_ROWS = (40, 64, 256)
# The error on new rows may exceed the noted one by this factor, plus this share of the answer's size.
_FACTOR = 2.0
_SLACK = {"quantize": 0.02, "half": 0.02, "fuse": 1e-3}
# If a few rows are far off and the others hardly at all, the mean over rows varies much: it may be this many
# standard errors higher than the note allows.
_STANDARD_ERRORS = 4.0


def attempt_graph(name: str, seed: int, folder: Path) -> Outcome:
    """Run the step of this name on the graph of this seed; `folder` is for the steps' files."""
    # onnxruntime would print thousands of warnings about unused initializers.
    onnxruntime.set_default_logger_severity(3)
    graph, shape = draw_graph(seed)
    calibration, search, new = (draw_rows(seed, shape, count, part) for part, count in enumerate(_ROWS))
    context = context_for("embedding", calibration, search, folder)
    try:
        made = GRAPH_ATTEMPTS[name](exported_of(graph), context)
    except StepFailed as error:
        # A step may refuse a graph, unless it asks the user to report the graph.
        return Outcome(made=False, fault=str(error) if "report the graph" in str(error) else None)
    return Outcome(made=True, fault=_find_fault(graph, made, new.inputs["x"]))


def _find_fault(graph: bytes, made: Exported, rows: NDArray[Any]) -> str | None:
    """In which output it is farther off, on rows of the test's own, than the note says."""
    names = [[item.name for item in onnx.load_from_string(item).graph.output] for item in (graph, made.graph)]
    if names[0] != names[1]:
        return f"the outputs {names[0]} became {names[1]}"
    note: Any = made.notes[-1]
    answers = [onnxruntime.InferenceSession(item).run(None, {"x": rows}) for item in (graph, made.graph)]
    for output, wanted, came in zip(names[0], *answers, strict=True):
        size = float(np.sqrt(np.mean(np.square(wanted, dtype=np.float64))))
        off = _measure(wanted, came)
        said = note["output_error"][output] * size if "output_error" in note else note["max_abs_difference"]
        if not off <= _FACTOR * said + _SLACK[note["step"]] * size:
            return f"{output!r} is off by {off:.2g} (its size is {size:.2g}), and the note says {said:.2g}"
    return None


def _measure(wanted: NDArray[np.float32], came: NDArray[np.float32]) -> float:
    """The root of the mean square of the difference, or of what that mean is at least over all such rows."""
    rows = np.mean(np.square(came.astype(np.float64) - wanted).reshape(len(wanted), -1), axis=1)
    return float(np.sqrt(np.maximum(rows.mean() - _STANDARD_ERRORS * rows.std() / len(rows) ** 0.5, 0)))


Attempt = Callable[[Exported, Context], Exported]


def _quantize(**settings: Any) -> Attempt:
    asked = Quantize.model_validate({"step": "quantize", **settings})
    return lambda exported, context: quantize(exported, asked, context)


GRAPH_ATTEMPTS: Mapping[str, Attempt] = {
    "static": _quantize(method="static"),
    "static, unsigned weights": _quantize(method="static", weights="uint8"),
    "static, one scale": _quantize(method="static", per_channel=False, reduce_range=True),
    "static, signed": _quantize(method="static", activations="int8", calibrate="percentile", percentile=99),
    "dynamic": _quantize(method="dynamic"),
    "dynamic, one scale": _quantize(method="dynamic", per_channel=False, weights="uint8"),
    "weights": _quantize(method="weights"),
    "weights of 4 bits": _quantize(method="weights", bits=4),
    "fuse": lambda exported, context: fuse(exported, Fuse(step="fuse"), context),
    "half": lambda exported, context: half(exported, Half(step="half", provider="cuda"), context),
}
