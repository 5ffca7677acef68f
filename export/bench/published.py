"""Repeats published figures of changed explanations, by our occlusion and production's session.

Hemmat and Fatemi, Delta-Audit (arXiv 2508.19589), compare pairs of scikit-learn models on Breast Cancer, Wine
and Digits: on 128 test rows, each feature is replaced by the mean of the training rows, and its effect is on
the margin of the class that each copy is given. Their figures: `overlap` is the Jaccard index of the 10 most
important features; `conservation` (DCE) the mean of |sum of the changes of the effects - change of the
margin|; `coupling` (BAC) the correlation between the sizes of both."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from serve.base.record import Record
from serve.base.tensor import Signature, TensorSpec
from serve.engine.session import Session
from serve.tasks.occlusion import Occlusion

Floats = NDArray[np.float64]
Figure = Literal["overlap", "conservation", "coupling"]
_ROWS, _TOP, _SEED = 128, 10, 42
# The least probability of which a logarithm is taken, and how far from 1 a sum of shares in 32 bits may be.
_LEAST, _LAST_BITS = 1e-15, 1e-6
_DATA: Mapping[str, Any] = {
    "Breast Cancer": load_breast_cancer,
    "Wine": load_wine,
    "Digits": load_digits,
}


@dataclass(frozen=True, kw_only=True)
class ModelPair:
    """Two models of one data set, and what was published of them."""

    data: str
    change: str
    before: Any
    after: Any
    figures: Mapping[Figure, float]


class Repeated(Record):
    """One published figure, and ours."""

    data: str
    change: str
    figure: str
    published: float
    ours: float


def is_same(repeated: Repeated) -> bool:
    """Whether our figure is the published one, but for another version of scikit-learn."""
    allowed = 0.05 * repeated.published if repeated.figure == "conservation" else 0.01
    return abs(repeated.ours - repeated.published) <= allowed


def list_pairs() -> list[ModelPair]:
    """Return the pairs that the paper's summary names: three cosmetic changes, and two that are not."""
    same: Mapping[Figure, float] = {"overlap": 1.0, "conservation": 0.0}
    scale, auto = SVC(gamma="scale"), SVC(gamma="auto")
    forests = [
        RandomForestClassifier(200, max_features=rule, random_state=_SEED) for rule in ("sqrt", "log2")
    ]
    neighbours = [KNeighborsClassifier(algorithm=rule) for rule in ("auto", "ball_tree")]
    gamma = "SVC: gamma scale, auto"
    return [
        ModelPair(data="Breast Cancer", change=gamma, before=scale, after=auto, figures=same),
        ModelPair(data="Wine", change=gamma, before=scale, after=auto, figures=same),
        ModelPair(
            data="Digits",
            change="k-NN: search auto, ball tree",
            before=neighbours[0],
            after=neighbours[1],
            figures=same,
        ),
        ModelPair(
            data="Breast Cancer",
            change="SVC: kernel poly, rbf",
            before=SVC(kernel="poly"),
            after=scale,
            figures={"overlap": 0.5416, "conservation": 6.613, "coupling": 0.9977},
        ),
        ModelPair(
            data="Digits",
            change="forest: features sqrt, log2",
            before=forests[0],
            after=forests[1],
            figures={"overlap": 0.6693, "conservation": 7.491, "coupling": 0.9969},
        ),
    ]


def repeat(pair: ModelPair) -> list[Repeated]:
    """Train both models, explain them, and return the published figures beside ours."""
    x, y = _DATA[pair.data](return_X_y=True)
    train, test, labels, _ = train_test_split(x, y, test_size=0.2, random_state=_SEED, stratify=y)
    occlusion = Occlusion(fills={"x": train.mean(axis=0).astype(np.float32)})
    rows = test[:_ROWS].astype(np.float32)
    explained = []
    for model in (pair.before, pair.after):
        pipeline = make_pipeline(StandardScaler(), model).fit(train, labels)
        session = _open(pipeline, rows.shape[1], y.max() + 1)
        explained.append([_margins(session, occlusion.mask({"x": row[None]})) for row in rows])
    before, after = np.array(explained)
    found = _compare(before, after)
    return [
        Repeated(data=pair.data, change=pair.change, figure=name, published=value, ours=found[name])
        for name, value in pair.figures.items()
    ]


def _open(pipeline: Any, columns: int, classes: int) -> Session:
    model = pipeline[-1]
    options: dict[str, bool] = {"zipmap": False}
    if hasattr(model, "decision_function"):
        options["raw_scores"] = True
    with warnings.catch_warnings():
        # skl2onnx looks at every attribute of an estimator, also at deprecated ones.
        warnings.simplefilter("ignore", FutureWarning)
        graph = import_module("skl2onnx").to_onnx(
            pipeline, np.zeros((1, columns), np.float32), options={id(model): options}
        )
    names = [item.name for item in graph.graph.output]
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    for node in graph.graph.node:
        node.input[:] = ["x" if name == "X" else name for name in node.input]
    graph.graph.input[0].name = "x"
    signature = Signature(
        inputs=(TensorSpec(name="x", datatype="FP32", shape=("batch", columns)),),
        outputs=(
            TensorSpec(name=names[0], datatype="INT64", shape=("batch",)),
            TensorSpec(name=names[1], datatype="FP32", shape=("batch", classes)),
        ),
    )
    raw = "raw_scores" in options
    return Session(graph.SerializeToString(), signature, "published/raw" if raw else "published/shares")


def _margins(session: Session, copies: Mapping[str, Any]) -> Floats:
    """Return the margin of each copy, for the class that it is given: its score, or the log-odds of its
    probability; of two classes, the score of the second."""
    label, scores = (np.asarray(output) for output in session.run(copies).values())
    numbers = scores.astype(np.float64).reshape(len(label), -1)
    chosen = label.astype(np.int64) if numbers.shape[1] > 2 else np.full(len(label), numbers.shape[1] - 1)
    if session.name == "published/raw":
        return np.asarray(numbers[np.arange(len(label)), chosen])
    share = numbers[np.arange(len(label)), label.astype(np.int64)]
    share = np.where(share > 1 - _LAST_BITS, 1.0, share)
    return np.asarray(np.log(np.maximum(share, _LEAST)) - np.log(np.maximum(1 - share, _LEAST)))


def _compare(before: Floats, after: Floats) -> dict[str, float]:
    """Compare the margins of all rows, [rows, 1 + features]."""
    effects = [margins[:, :1] - margins[:, 1:] for margins in (before, after)]
    changes, moved = effects[1] - effects[0], after[:, 0] - before[:, 0]
    sizes = np.abs(changes).sum(axis=1)
    tops = [
        [set(row[-_TOP:]) for row in np.argsort(np.abs(each), axis=1, kind="stable").tolist()]
        for each in effects
    ]
    overlaps = [len(one & other) / len(one | other) for one, other in zip(*tops, strict=True)]
    coupling = float(np.corrcoef(sizes, np.abs(moved))[0, 1]) if sizes.std() and moved.std() else 0.0
    return {
        "overlap": float(np.mean(overlaps)),
        "conservation": float(np.abs(changes.sum(axis=1) - moved).mean()),
        "coupling": coupling,
    }
