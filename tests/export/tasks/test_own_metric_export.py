"""A recipe's own metric is measured, shown and limited."""

from collections.abc import Callable
from pathlib import Path

import pytest

from export.pipeline import ExportOutcome, run
from serve.tasks.show import describe, table
from tests.export.task_exports import quality_of

CODE = """
import numpy as np

def cost(outputs, labels):
    \"\"\"What the errors of a row cost: one that takes a 0 for another digit is five times as bad.\"\"\"
    wrong = outputs["logits"].argmax(axis=1) != labels
    return wrong * np.where(labels == 0, 5.0, 1.0)

def share(outputs, labels):
    right = outputs["logits"].argmax(axis=1) == labels
    if not right[labels == 1].any():
        raise ValueError("no 1 is right")
    return right.mean()
"""
VARIANTS = {
    "fp32": [],
    "ruin": [{"step": "prune", "remove": "channels", "ratio": 0.75}],
}


@pytest.fixture(scope="module")
def outcome(write_recipe: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> ExportOutcome:
    """Rated by a cost per row, which alone is limited."""
    recipe = write_recipe(
        metric={"function": "costs:cost", "better": "lower"}, floor={"metric_drop": 0.1}, variants=VARIANTS
    )
    (recipe.parent / "costs.py").write_text(CODE)
    return run(recipe, tmp_path_factory.mktemp("models"))


def test_the_floor_limits_it(outcome: ExportOutcome) -> None:
    """A variant that costs more is rejected, although nothing else is limited."""
    assert outcome.rejected == ["ruin"]
    assert not outcome.failed
    figure = quality_of(outcome, "ruin").metric
    assert figure
    assert figure.low > 0.1
    assert f"metric {figure.value:.4g} is {figure.change:.4g} above" in str(
        outcome.model.bundles["ruin"].rejected
    )


def test_it_is_shown(outcome: ExportOutcome) -> None:
    """The table and the report have it, and say whose it is and what is better."""
    note = "metric: `costs:cost`, lower is better"
    shown = table(describe(outcome.model))
    page = (outcome.model.folder / "report.html").read_text()
    assert "metric" in shown.splitlines()[0]
    assert note in shown
    assert "<th>metric</th>" in page
    assert f"M{note[1:]}" in page


def test_a_function_that_fails_for_one_variant_fails_that_one(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    """The baseline has its bundle."""
    recipe = write_recipe(metric="shares:share", floor={"metric_drop": 0.1}, variants=VARIANTS)
    (recipe.parent / "shares.py").write_text(CODE)
    outcome = run(recipe, tmp_path)
    assert outcome.failed == {"ruin": "metric shares:share failed: ValueError: no 1 is right; correct it"}
    assert outcome.status["fp32"] == "built"
