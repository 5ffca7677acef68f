"""A ranker is exported, judged by the order of its items and compared by it."""

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from export.pipeline import ExportOutcome
from serve.engine.session import open_session
from serve.tasks.compare_outputs import compare
from tests.export.task_exports import export_untrained, quality_of

# Ten items of four features each; the relevance grows with a fixed sum of them, which the network knows.
CODE = """
import numpy as np, torch
class Ranker(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.score = torch.nn.Linear(4, 1, bias=False)
    def forward(self, x):
        return self.score(x).squeeze(-1)
def make_net():
    net = Ranker()
    with torch.no_grad():
        net.score.weight.copy_(torch.tensor([[2.0, -1.0, 0.5, 0.1]]))
    return net
def make():
    random = np.random.default_rng(0)
    items = random.normal(size=(350, 10, 4)).astype(np.float32)
    worth = items @ np.array([2, -1, 0.5, 0.1]) + random.normal(0, 0.5, (350, 10))
    labels = np.clip(np.round(worth), 0, 4)
    labels[:, 9] = np.nan
    parts = {"held_out": slice(0, 200), "search": slice(200, 250), "calibration": slice(250, 350)}
    return {name: ({"x": items[rows]}, labels[rows]) for name, rows in parts.items()}
"""


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """Scores [batch, 10], and a variant that knows only the largest of four weights."""
    return export_untrained(
        tmp_path_factory.mktemp("ranker"),
        CODE,
        "ranking",
        floor={"ndcg_drop": 0.05, "mrr_drop": 0.1, "agreement": 0.5},
        rules={"y": {"kind": "ranks", "top": 3}},
        variants={
            "fp32": [],
            "int8": [{"step": "quantize", "method": "dynamic"}],
            "poor": [{"step": "prune", "remove": "weights", "ratio": 0.75, "importance": "l1"}],
        },
    )


def test_a_poor_variant_alone_is_rejected(ranker: ExportOutcome) -> None:
    """Integers keep most of the order."""
    assert not ranker.failed
    assert ranker.rejected == ["poor"]


def test_the_bundle_has_the_figures_of_its_answers(ranker: ExportOutcome) -> None:
    """NDCG is scikit-learn's, and the rows differ that a host would count."""
    space: dict[str, object] = {}
    exec((ranker.model.folder.parents[1] / f"{ranker.model.name}.py").read_text(), space)
    inputs, labels = space["make"]()["held_out"]  # type: ignore[operator] # it is a function
    before, after = (
        np.asarray(open_session(ranker.model.folder / name).run({"x": inputs["x"]})["y"])
        for name in ("fp32", "poor")
    )
    counted = labels[:, :9].max(axis=1) > 0
    quality = quality_of(ranker, "poor")
    assert quality.ndcg
    assert quality.agreement
    expected = ndcg_score(labels[counted, :9], after[counted, :9], k=3)
    assert quality.ndcg.value == pytest.approx(expected)
    [output] = quality.outputs
    assert (output.meaning.kind, output.meaning.top) == ("ranks", 3)
    differ = compare("ranking", before, after, output.meaning).differ
    assert quality.agreement.value == pytest.approx(1 - differ.mean())
