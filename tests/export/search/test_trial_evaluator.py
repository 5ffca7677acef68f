"""Building and measuring single trials of the tiny network."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from export.factories import importable
from export.recipe import load_recipe
from export.reproducible import reproducible
from export.search.search_request import Search
from export.search.trial import TrialRequest
from export.search.trial_evaluator import TrialEvaluator
from export.step import Prune, Quantize, Steps
from tests.export.conftest import RecipeWriter

QUANTIZE: Steps = (Quantize(step="quantize", method="static"),)
TWICE: Steps = (*QUANTIZE, *QUANTIZE)
RUIN: Steps = (Prune(step="prune", remove="channels", ratio=0.75),)


@pytest.fixture(scope="module")
def trials(write_recipe: RecipeWriter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialEvaluator]:
    path = write_recipe(floor={"accuracy_drop": 0.5, "agreement": 0.5})
    with importable([path.parent]), reproducible():
        yield TrialEvaluator(
            load_recipe(path), path.parent, tmp_path_factory.mktemp("models"), lambda doing: None
        )


def request(steps: Steps, beat: float | None = None, rungs: tuple[int, ...] = (50, 100)) -> TrialRequest:
    return TrialRequest(number=1, steps=steps, rows=8, beat=beat, rungs=rungs)


def test_a_trial_is_measured_on_all_rows(trials: TrialEvaluator) -> None:
    """A trial that can win has figures of the last rung, and its graph's digest."""
    result = trials.run(request(QUANTIZE))
    assert result.outcome == "measured"
    assert result.measured is not None
    assert (result.measured.rows, result.measured.quality.rows) == (100, 100)
    assert result.digest is not None


def test_a_slow_trial_ends_on_the_first_rows(trials: TrialEvaluator) -> None:
    """A trial that cannot beat the best is measured on the rows of the first rung only."""
    result = trials.run(request(QUANTIZE, beat=1000.0))
    assert result.outcome == "beaten"
    assert result.measured is not None
    assert result.measured.rows == 50


def test_a_ruined_trial_ends_on_the_first_rows(trials: TrialEvaluator) -> None:
    """A trial that is surely below the floor is measured on the rows of the first rung only."""
    result = trials.run(request(RUIN))
    assert result.outcome == "rejected"
    assert result.measured is not None
    assert result.measured.sure_violation > 0


def test_steps_in_a_wrong_order_are_refused(trials: TrialEvaluator) -> None:
    """Steps that a recipe would refuse are refused with its reason."""
    result = trials.run(request(TWICE))
    assert result.outcome == "refused"
    assert "only once" in (result.reason or "")


def test_a_step_that_fails_is_the_result_of_its_trial(trials: TrialEvaluator) -> None:
    """An error of a step ends its trial alone, with the reason."""
    result = trials.run(request((Prune(step="prune", remove="heads", ratio=0.5),)))
    assert result.outcome == "failed"
    assert "no attention" in (result.reason or "")


def test_another_floor_is_another_search(write_recipe: RecipeWriter, tmp_path: Path) -> None:
    """Results that were judged by one floor are not those of another; the same floor has the same origin."""

    def origin(floor: dict[str, float]) -> str:
        path = write_recipe(floor=floor)
        with importable([path.parent]), reproducible():
            trials = TrialEvaluator(load_recipe(path), path.parent, tmp_path, lambda doing: None)
            return trials.analyse(Search()).origin

    one, other, again = origin({"agreement": 0.9}), origin({"agreement": 0.8}), origin({"agreement": 0.9})
    assert one != other
    assert one == again
