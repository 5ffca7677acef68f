"""Explanations are measured, shown and limited where the recipe asks for them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from export.pipeline import ExportOutcome, run
from serve.tasks.show import describe, table
from tests.export.task_exports import quality_of

VARIANTS = {
    "fp32": [],
    "ruin": [{"step": "prune", "remove": "channels", "ratio": 0.75}],
}


@pytest.fixture(scope="module")
def outcome(write_recipe: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """A recipe whose floor limits nothing else that could fail."""
    recipe = write_recipe(floor={"agreement": 0, "explanation_overlap": 0.6}, variants=VARIANTS)
    return run(recipe, tmp_path_factory.mktemp("models"))


def test_the_floor_limits_them(outcome: ExportOutcome) -> None:
    """The worse end of the interval decides, and the reason names the figure."""
    assert outcome.rejected == ["ruin"]
    reason = str(outcome.model.bundles["ruin"].rejected)
    assert "explanation_overlap with the baseline is" in reason
    figure = quality_of(outcome, "ruin").explanation_overlap
    assert figure
    assert figure.low < 0.6


def test_they_are_shown(outcome: ExportOutcome) -> None:
    """The table and the report have them, and say of how many features and rows."""
    shown = table(describe(outcome.model))
    page = (outcome.model.folder / "report.html").read_text()
    assert "expl. overlap" in shown.splitlines()[0]
    assert "the 10 most important of 64 features" in shown
    assert "<th>explanation overlap</th>" in page
    assert "the 10 most important of 64 features" in page
