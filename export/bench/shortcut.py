"""Plants a shortcut: two networks of equal accuracy, of which one leans on a column that tells the answer.

Twenty columns decide a row's class. One more column repeats the answer with noise. Where the baseline
learned, this column was shuffled; where the candidate learned, and on the held-out rows, it was not. So
accuracy and agreement show nothing, and explanations must."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

from export.artifacts import Context, Exported, Trained
from export.data.datasets import Data, Split, read_split
from export.proof.explanations import PairedExplanations
from export.proof.floor import judge
from export.proof.held_out import answers
from export.proof.occluded_rows import choose_rows, read_occlusions
from export.proof.quality import measure
from export.quality_limits import Floor
from export.step import Quantize
from export.steps.quantize import quantize
from serve.base.record import Record
from serve.base.tensor import Signature, TensorSpec
from serve.bundles.figures import Quality
from serve.bundles.meaning import Meaning
from serve.bundles.onnx_graph import Graph
from serve.engine.session import Session

COLUMNS, HIDDEN = 20, 32
ROWS = 128
FLOOR = Floor(explanation_overlap=0.9)
# What a recipe would usually limit.
USUAL = Floor(accuracy_drop=0.05, agreement=0.9)
_TRAIN_ROWS, _CALIBRATION_ROWS, _STEPS = 4000, 200, 300
_NOISE, _RATE, _TUNE_STEPS, _TUNE_RATE = 0.5, 0.01, 50, 0.001
_SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", datatype="FP32", shape=("batch", COLUMNS + 1)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=("batch", 2)),),
)
_MEANING = Meaning(kind="classes", form="plain")


class JudgedVariant(Record):
    """One variant of one seed."""

    seed: int
    # `shortcut`, or a harmless one: `int8`, `tuned`, `equivalent`.
    variant: str
    quality: Quality
    # Whether the floor of explanations rejects it, and whether the usual one does.
    rejected: bool
    usually_rejected: bool


def run_seed(seed: int, scratch: Path) -> list[JudgedVariant]:
    """Train both networks of this seed, and compare explanations of the candidate and of harmless variants
    with the baseline's."""
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    truth = random.normal(size=COLUMNS)
    learned, misled = (_draw(random, truth, _TRAIN_ROWS, shuffle=shuffle) for shuffle in (True, False))
    baseline, candidate = _train(_make_net(), *learned), _train(_make_net(), *misled)
    graph = _write_graph(baseline)
    splits = {
        name: _split(name, *_draw(random, truth, rows, shuffle=name == "calibration"))
        for name, rows in (("calibration", _CALIBRATION_ROWS), ("search", ROWS), ("held_out", ROWS))
    }
    data = Data(train=None, **splits)
    graphs: dict[str, Graph] = {
        "shortcut": _write_graph(candidate),
        "int8": _quantize(graph, data, scratch),
        "tuned": _write_graph(_tune(baseline, *_draw(random, truth, _TRAIN_ROWS, shuffle=True))),
        "equivalent": _write_graph(baseline, apart=True),
    }
    session = Session(graph, _SIGNATURE, "shortcut/baseline")
    expected = answers(session, data.held_out)["y"]
    explanations = PairedExplanations(
        session,
        _MEANING,
        choose_rows(graph, data.held_out, seed),
        read_occlusions(data.calibration, None, seed),
        seed,
    )
    judged = []
    for name, content in graphs.items():
        variant = Session(content, _SIGNATURE, f"shortcut/{name}")
        actual = answers(variant, data.held_out)["y"]
        quality = measure("classification", expected, actual, data.held_out.labels, seed, meaning=_MEANING)
        quality = quality.model_copy(update=explanations.measure(variant))
        rejected, usual = (judge(floor, quality) is not None for floor in (FLOOR, USUAL))
        judged.append(
            JudgedVariant(seed=seed, variant=name, quality=quality, rejected=rejected, usually_rejected=usual)
        )
    return judged


def _draw(
    random: np.random.Generator, truth: NDArray[np.float64], rows: int, *, shuffle: bool
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return rows, [rows, columns + 1], and their classes. If shuffled, the last column tells nothing."""
    core = random.normal(size=(rows, COLUMNS))
    score = core @ truth
    told = np.sign(score) + _NOISE * random.normal(size=rows)
    if shuffle:
        random.shuffle(told)
    return np.column_stack([core, told]).astype(np.float32), (score > 0).astype(np.int64)


def _split(name: str, x: NDArray[np.float32], labels: NDArray[np.int64]) -> Split:
    return read_split(name, ({"x": x}, labels), None, False)


def _make_net() -> torch.nn.Sequential:
    layers = torch.nn.Linear(COLUMNS + 1, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 2)
    return torch.nn.Sequential(*layers)


def _train(
    net: torch.nn.Sequential,
    x: NDArray[np.float32],
    labels: NDArray[np.int64],
    steps: int = _STEPS,
    rate: float = _RATE,
) -> torch.nn.Sequential:
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.01)
    rows, classes = torch.from_numpy(x), torch.from_numpy(labels)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(rows), classes).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return net


def _tune(
    baseline: torch.nn.Sequential, x: NDArray[np.float32], labels: NDArray[np.int64]
) -> torch.nn.Sequential:
    """The baseline, trained a bit more on other rows."""
    net = _make_net()
    net.load_state_dict(baseline.state_dict())
    return _train(net, x, labels, _TUNE_STEPS, _TUNE_RATE)


def _write_graph(net: torch.nn.Sequential, *, apart: bool = False) -> bytes:
    """The network as ONNX; `apart`: its products and sums are nodes of their own."""
    nodes, weights, value = [], [], "x"
    for number, layer in enumerate(each for each in net if isinstance(each, torch.nn.Linear)):
        arrays = layer.weight.detach().numpy().T, layer.bias.detach().numpy()
        names = [f"weight_{number}", f"bias_{number}"]
        weights += [
            numpy_helper.from_array(np.ascontiguousarray(array), name)
            for array, name in zip(arrays, names, strict=True)
        ]
        out = "y" if number else "sum"
        if apart:
            nodes.append(helper.make_node("MatMul", [value, names[0]], [f"product_{number}"], f"m{number}"))
            nodes.append(helper.make_node("Add", [f"product_{number}", names[1]], [out], f"a{number}"))
        else:
            nodes.append(helper.make_node("Gemm", [value, *names], [out], f"g{number}"))
        if not number:
            nodes.append(helper.make_node("Relu", ["sum"], ["hidden"], "relu"))
            value = "hidden"
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])]
        for name, size in (("x", COLUMNS + 1), ("y", 2))
    ]
    graph = helper.make_graph(nodes, "net", *ends, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _quantize(graph: bytes, data: Data, scratch: Path) -> Graph:
    trained: Any = Trained(name="shortcut", sha256="0" * 64, assets={})
    context = Context(
        trained=trained, task="classification", data=data, seed=0, scratch=scratch, logs=scratch
    )
    exported = Exported(graph=graph, signature=_SIGNATURE, parity=None)
    return quantize(exported, Quantize(step="quantize", method="static"), context).graph
