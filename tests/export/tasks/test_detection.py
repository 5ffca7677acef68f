"""A detector with two outputs is exported, judged by its detections and compared box by box."""

from pathlib import Path
from typing import Any

import pytest

from export.pipeline import ExportOutcome
from serve.bundles.bundle import read_bundle
from serve.engine.pairing import pair
from serve.engine.session import open_session
from serve.engine.shadow_copy import Copy
from tests.export.task_exports import export_untrained, quality_of

# A detector by hand: the brightness of each cell of 8 by 8 pixels in a channel is the score of a class.
CODE = """
import numpy as np, torch
class Cells(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.bright = torch.nn.Conv2d(2, 2, 8, stride=8)
        self.offset = torch.nn.Conv2d(2, 2, 8, stride=8)
    def forward(self, x):
        scores = (10 * (self.bright(x) - 0.5)).sigmoid().flatten(2).transpose(1, 2)
        corner = 8 * torch.tensor([[col, row] for row in range(3) for col in range(3)]).float()
        corner = corner + self.offset(x).flatten(2).transpose(1, 2)
        return torch.cat([corner, corner + 8], -1), scores
def make_net():
    torch.manual_seed(0)
    net = Cells()
    with torch.no_grad():
        net.bright.weight.zero_()
        for kind in range(2):
            net.bright.weight[kind, kind] = 1 / 64
        net.bright.bias.zero_()
        net.offset.weight.mul_(0.1)
    return net
def make():
    random = np.random.default_rng(0)
    kinds = random.choice(3, (300, 9), p=[0.6, 0.2, 0.2])
    image, labels = random.normal(0, 0.8, (300, 2, 24, 24)), np.full((300, 9, 5), np.nan)
    for row, cell in np.argwhere(kinds < 2):
        top, left = 8 * (cell // 3), 8 * (cell % 3)
        image[row, kinds[row, cell], top : top + 8, left : left + 8] += 1
        labels[row, cell] = [left, top, left + 8, top + 8, kinds[row, cell]]
    parts = {"held_out": slice(0, 150), "search": slice(150, 200), "calibration": slice(200, 300)}
    return {name: ({"x": image[rows].astype(np.float32)}, labels[rows]) for name, rows in parts.items()}
"""
VARIANTS = {
    "fp32": [],
    "int8": [{"step": "quantize", "method": "static", "faithful": 0.9}],
    "poor": [{"step": "prune", "remove": "weights", "ratio": 0.9, "importance": "l1"}],
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """Boxes [batch, 9, 4] and scores [batch, 9, 2]."""
    return export_untrained(
        tmp_path_factory.mktemp("cells"),
        CODE,
        "detection",
        outputs=["boxes", "scores"],
        floor={"map_drop": 0.1, "agreement": 0.7},
        variants=VARIANTS,
    )


def answers_of(outcome: ExportOutcome, variant: str) -> dict[str, Any]:
    """What a variant answers to the held-out rows."""
    space: dict[str, Any] = {}
    exec((outcome.model.folder.parents[1] / f"{outcome.model.name}.py").read_text(), space)
    inputs, _ = space["make"]()["held_out"]
    return dict(open_session(outcome.model.folder / variant).run({"x": inputs["x"]}))


def test_a_poor_variant_alone_is_rejected(cells: ExportOutcome) -> None:
    """By its average precision and by the detections that it loses."""
    assert not cells.failed
    assert cells.rejected == ["poor"]
    reason = read_bundle(cells.model.folder / "poor").rejected
    assert reason
    assert "map 0." in reason
    assert "agreement with the baseline" in reason


def test_the_bundle_has_the_figures_of_a_detector(cells: ExportOutcome) -> None:
    """The scores have no rule of their own, and what the answers show is in that of the boxes."""
    quality = quality_of(cells, "int8")
    assert quality.map
    assert quality.map50
    assert quality.recall
    assert 0.9 < quality.map.value <= quality.map50.value <= 1
    assert quality.recall.value > 0.9
    [output] = quality.outputs
    assert (
        output.meaning.model_dump().items()
        >= {
            "kind": "boxes",
            "layout": "scores",
            "scores": "scores",
            "box": "xyxy",
            "activation": "none",
        }.items()
    )


@pytest.mark.parametrize("variant", ["int8", "poor"])
def test_a_shadow_counts_as_the_floor_does(cells: ExportOutcome, variant: str) -> None:
    """From the bundle alone, request by request."""
    bundle = read_bundle(cells.model.folder / variant)
    [output] = bundle.figures.quality.outputs
    before, after = (answers_of(cells, name) for name in ("fp32", variant))
    copies = [
        Copy({}, {name: array[row : row + 1] for name, array in before.items()}, 1, "id", None)
        for row in range(150)
    ]
    answers = [{name: array[row : row + 1] for name, array in after.items()} for row in range(150)]
    found = pair(copies, answers, bundle.signature, "detection", {"boxes": output.meaning})
    assert list(found.outputs) == ["boxes"]
    counted = found.outputs["boxes"].sums([1] * 150)
    assert output.agreement.value == pytest.approx(1 - counted.disagreements / counted.pairs)
    assert bundle.figures.quality.agreement
    assert bundle.figures.quality.agreement.value == output.agreement.value


def test_the_report_shows_the_figures_of_the_task(cells: ExportOutcome) -> None:
    """Each with its heading."""
    page = Path(cells.model.folder / "report.html").read_text()
    assert all(f"<th>{heading}</th>" in page for heading in ("mAP", "mAP at 0.5", "recall", "agreement"))
