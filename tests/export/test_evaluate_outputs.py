"""Each output's meaning and quality are tested before a bundle is written."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto

from export.errors import InvalidData
from export.pipeline import ExportOutcome, run
from tests.export.graphs import Builder, value

_DATA = """
import numpy as np
def make():
    rows = np.random.default_rng(0).normal(0, 1, (120, *{shape})).astype(np.float32)
    parts = {{"calibration": rows[:30], "search": rows[30:60], "held_out": rows[60:]}}
    return {{name: ({{"{name}": part}}, None) for name, part in parts.items()}}
"""


def export(
    folder: Path, graph: bytes, shape: tuple[int, ...], steps: list[Any], more: str = "", **recipe: Any
) -> ExportOutcome:
    """Export the graph as `fp32`, and as `small` if there are steps, with rows of this shape; `more` is added
    to the module of the data, whose name is MODULE."""
    [data] = onnx.load_from_string(graph).graph.input
    # A process imports each name once, so each folder needs a name of its own.
    module = re.sub(r"\W", "_", folder.name)
    (folder / f"{module}.py").write_text(_DATA.format(shape=shape, name=data.name) + more)
    (folder / "graph.onnx").write_bytes(graph)
    content = {
        "model": "mixed",
        "source": {"onnx": "graph.onnx"},
        "data": {"factory": "MODULE:make"},
        "outputs": ["scores"],
        "floor": {"agreement": 0.1},
        "variants": {"fp32": [], "small": steps} if steps else {"fp32": []},
    }
    text = yaml.safe_dump(content | recipe).replace("MODULE", module)
    (folder / "recipe.yaml").write_text(text)
    return run(folder / "recipe.yaml", folder / "models")


def one_number(*after: str) -> bytes:
    """One number a row, of which one large weight spoils the scale of the others."""
    build = Builder()
    weights = build.random.normal(size=(6, 8)).astype(np.float32)
    weights[:, 0] *= 160
    hidden = build.add("Tanh", build.add("MatMul", "rows", build.constant("w", weights)))
    last = build.add("MatMul", hidden, build.constant("v", np.array([[0.0], *[[1.0]] * 7], np.float32)))
    for operator in after:
        last = build.add(operator, last)
    build.add("Identity", last, output="scores")
    rows = value("rows", TensorProto.FLOAT, "batch", 6)
    return build.finish([rows], [value("scores", TensorProto.FLOAT, "batch", 1)])


RUIN: list[Any] = [{"step": "quantize", "method": "dynamic", "per_channel": False}]


@pytest.mark.parametrize("after", [(), ("Sigmoid",)], ids=["number", "sigmoid"])
def test_one_number_a_row_is_judged_by_how_near_it_is(tmp_path: Path, after: tuple[str, ...]) -> None:
    """An output of one number a row is rejected by the distance of its values."""
    outcome = export(tmp_path, one_number(*after), (6,), RUIN, floor={"agreement": 0.9})
    bundle = outcome.model.bundles["small"]
    assert bundle.rejected is not None
    assert bundle.figures.quality.agreement is not None
    assert bundle.figures.quality.agreement.value < 0.9
    assert bundle.figures.quality.kl is None
    assert bundle.figures.quality.outputs[0].r2 is not None


def test_several_numbers_are_judged_by_how_near_they_are(tmp_path: Path) -> None:
    """Several numbers are judged by their distance, even if one of them is always the largest."""
    build = Builder()
    weights = build.random.normal(size=(6, 8)).astype(np.float32)
    weights[:, 0] *= 160
    hidden = build.add("Tanh", build.add("MatMul", "rows", build.constant("w", weights)))
    last = build.random.normal(size=(8, 3)).astype(np.float32)
    last[0] = 0
    near = build.add("MatMul", hidden, build.constant("v", last))
    build.add("Add", near, build.constant("far", np.array([0, 1000, 0], np.float32)), output="scores")
    rows = value("rows", TensorProto.FLOAT, "batch", 6)
    graph = build.finish([rows], [value("scores", TensorProto.FLOAT, "batch", 3)])
    outcome = export(tmp_path, graph, (6,), RUIN, floor={"agreement": 0.9})
    assert outcome.model.bundles["small"].rejected is not None


_LABELLED = """
def labelled():
    return {name: (inputs, np.zeros(len(inputs["rows"]), np.int64)) for name, (inputs, _) in make().items()}
"""


@pytest.mark.parametrize(("large", "rejected"), [(5000, True), (1, False)], ids=["ruined", "honest"])
@pytest.mark.parametrize("floor", [{"agreement": 0.9}, {"accuracy_drop": 0.2}], ids=str)
def test_a_baseline_of_one_class_is_no_proof(
    tmp_path: Path, large: float, rejected: bool, floor: dict[str, float]
) -> None:
    """If the baseline gives one class for all held-out rows, a variant's scores must follow the baseline's; a
    good quantization's do."""
    build = Builder()
    weights = build.random.normal(size=(6, 8)).astype(np.float32)
    weights[:, 0] *= large
    hidden = build.add("Tanh", build.add("MatMul", "rows", build.constant("w", weights)))
    last = build.random.normal(size=(8, 3)).astype(np.float32)
    last[0] = 0
    near = build.add("MatMul", hidden, build.constant("v", last))
    build.add("Add", near, build.constant("far", np.array([30, 0, 0], np.float32)), output="scores")
    rows = value("rows", TensorProto.FLOAT, "batch", 6)
    graph = build.finish([rows], [value("scores", TensorProto.FLOAT, "batch", 3)])
    data = {"factory": "MODULE:labelled"}
    bundle = export(tmp_path, graph, (6,), RUIN, _LABELLED, floor=floor, data=data).model.bundles["small"]
    assert bundle.figures.quality.agreement is not None
    assert bundle.figures.quality.agreement.value == 1
    assert (bundle.rejected is not None) == rejected
    if rejected:
        assert "the answers in `scores` do not follow the baseline's" in str(bundle.rejected)


def test_a_figure_that_means_nothing_ends_the_export(tmp_path: Path) -> None:
    """A limit without a meaning for the output ends the export, and nothing is written."""
    with pytest.raises(InvalidData, match=r"`scores` holds numbers .*limit agreement instead"):
        export(tmp_path, one_number(), (6,), [], floor={"kl": 0.1})
    assert not (tmp_path / "models" / "mixed" / "fp32").exists()


_STUDENT = """
import torch
class Student(torch.nn.Module):
    def __init__(self, end):
        super().__init__()
        self.layer, self.end = torch.nn.Linear(6, 3), end
    def forward(self, rows):
        scores = self.layer(rows)
        if self.end == "two":
            return scores, rows[:, :2]
        return torch.softmax(scores, -1) if self.end == "softmax" else scores
def student(end):
    torch.manual_seed(0)
    return Student(end)
def trained():
    splits = make()
    rows = np.random.default_rng(1).normal(0, 1, (400, 6)).astype(np.float32)
    return {**splits, "train": ({"rows": rows}, None)}
"""


def classes(*after: str) -> bytes:
    """Scores of three classes, and these operators behind them."""
    build = Builder()
    last = build.add("MatMul", "rows", build.weight("w", 6, 3, scale=2.0))
    for operator in after:
        last = build.add(operator, last)
    build.add("Identity", last, output="scores")
    rows = value("rows", TensorProto.FLOAT, "batch", 6)
    return build.finish([rows], [value("scores", TensorProto.FLOAT, "batch", 3)])


@pytest.mark.parametrize(
    ("after", "end"),
    [("Softmax", "none"), ("Identity", "softmax"), ("LogSoftmax", "none")],
    ids=["logits for shares", "shares for logits", "logits for log-shares"],
)
def test_a_student_that_means_something_else_is_an_error(tmp_path: Path, after: str, end: str) -> None:
    """A student whose outputs have another form fails, even if its top classes agree."""
    student = {"factory": "MODULE:student", "arguments": {"end": end}}
    steps = [
        {"step": "distill", "match": {"logits": 1.0}, "student": student}
        | {"epochs": 2, "batch_size": 32, "learning_rate": 0.05}
    ]
    outcome = export(tmp_path, classes(after), (6,), steps, _STUDENT, data={"factory": "MODULE:trained"})
    assert "small" not in outcome.model.bundles
    assert "the baseline's `first output` lie in" in outcome.failed["small"]
    assert "the variant's lie in" in outcome.failed["small"]


def test_a_second_output_that_is_ruined_is_rejected(tmp_path: Path) -> None:
    """A variant whose second output is ruined is rejected, although the first is close."""
    build = Builder()
    build.add("MatMul", "rows", build.weight("w", 6, 3, scale=2.0), output="scores")
    build.add("MatMul", "rows", build.weight("v", 6, 2, scale=2.0), output="second")
    outputs = [value(name, TensorProto.FLOAT, "batch", size) for name, size in (("scores", 3), ("second", 2))]
    graph = build.finish([value("rows", TensorProto.FLOAT, "batch", 6)], outputs)
    student = {"factory": "MODULE:student", "arguments": {"end": "two"}}
    steps = [
        {"step": "distill", "match": {"logits": 1.0}, "student": student}
        | {"epochs": 15, "batch_size": 32, "learning_rate": 0.1}
    ]
    outcome = export(
        tmp_path,
        graph,
        (6,),
        steps,
        _STUDENT,
        data={"factory": "MODULE:trained"},
        outputs=["scores", "second"],
        floor={"kl": 9},
    )
    bundle = outcome.model.bundles["small"]
    first, second = bundle.figures.quality.outputs
    assert bundle.rejected is not None
    assert "the output `second` agrees with the baseline's on 0." in bundle.rejected
    assert (first.name, second.name) == ("scores", "second")
    assert first.agreement.value > second.agreement.value + 0.5


def numbers_of(*shape: Any) -> bytes:
    """Numbers of that shape for each row: 1 + 3 on a level that they share."""
    build = Builder()
    weights = build.random.normal(size=(6, int(np.prod(shape)))).astype(np.float32) + 2
    flat = build.add("MatMul", "rows", build.constant("w", weights))
    build.add("Reshape", flat, build.constant("shape", np.array([-1, *shape], np.int64)), output="scores")
    rows = value("rows", TensorProto.FLOAT, "batch", 6)
    return build.finish([rows], [value("scores", TensorProto.FLOAT, "batch", *shape)])


STATIC: list[Any] = [{"step": "quantize", "method": "static"}]


@pytest.mark.parametrize(
    ("task", "shape"),
    [("classification", ()), ("regression", ()), ("regression", (3,)), ("regression", (2, 4, 4))],
    ids=str,
)
def test_numbers_of_any_shape_are_judged_by_how_near_they_are(
    tmp_path: Path, task: str, shape: tuple[int, ...]
) -> None:
    """Numbers of any shape are judged by R2, and a quantization to 8 bits passes."""
    small = export(
        tmp_path, numbers_of(*shape or (1,)) if shape else squeezed(), (6,), STATIC, task=task
    ).model.bundles["small"]
    [figures] = small.figures.quality.outputs
    assert small.rejected is None
    assert small.signature.outputs[0].shape == ("batch", *shape)
    assert figures.meaning.kind == "numbers"
    assert figures.r2 is not None
    assert figures.r2 > 0.9


def squeezed() -> bytes:
    """One number a row, without a dimension for it."""
    build = Builder()
    one = build.add("MatMul", "rows", build.weight("w", 6, 1, scale=2.0))
    build.add("Reshape", one, build.constant("shape", np.array([-1], np.int64)), output="scores")
    rows = value("rows", TensorProto.FLOAT, "batch", 6)
    return build.finish([rows], [value("scores", TensorProto.FLOAT, "batch")])


_LEVELLED = """
import torch
class Levelled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        w = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32) + 2
        self.w = torch.nn.Parameter(torch.from_numpy(w), requires_grad=False)
        self.b = torch.nn.Parameter(torch.zeros(3))
    def forward(self, rows):
        scores = rows @ self.w
        return scores - scores.mean(1, keepdim=True) + self.b
def student():
    return Levelled()
def trained():
    splits = make()
    rows = np.random.default_rng(1).normal(0, 1, (40, 6)).astype(np.float32)
    return {**splits, "train": ({"rows": rows}, None)}
"""


@pytest.mark.parametrize("named", [False, True], ids=["nobody says so", "classes with names"])
def test_a_level_that_is_lost_is_found_unless_the_scores_are_of_classes(tmp_path: Path, named: bool) -> None:
    """A lost level of undeclared scores is rejected, and that of named classes is accepted."""
    (tmp_path / "names.txt").write_text("red\ngreen\nblue")
    source = {"onnx": "graph.onnx"} | ({"labels": "names.txt"} if named else {})
    steps = [
        {"step": "distill", "match": {"logits": 1.0}, "student": {"factory": "MODULE:student"}}
        | {"epochs": 1, "batch_size": 20, "learning_rate": 1e-6}
    ]
    outcome = export(
        tmp_path, numbers_of(3), (6,), steps, _LEVELLED,
        source=source, data={"factory": "MODULE:trained"}, floor={"agreement": 0.9},
    )  # fmt: skip
    small = outcome.model.bundles["small"]
    assert (small.rejected is None) == named
    if not named:
        assert "numbers of `scores` differ from the baseline's" in str(small.rejected)
