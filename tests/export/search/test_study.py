"""The record of a search outlives its process."""

from contextlib import closing
from pathlib import Path

import pytest

from export.search.plan import Plans
from export.search.search_request import Sampler
from export.search.study import Study
from export.search.trial import TrialResult
from export.step import Steps
from tests.export.search.trials import measured

PLANS = Plans.model_validate(
    {
        "plans": {
            "steps": [
                {
                    "step": "quantize",
                    "method": "static",
                    "calibrate": "percentile",
                    "percentile": {"from": 90, "to": 99},
                    "per_channel": [True, False],
                }
            ]
        }
    }
)


def rate(steps: Steps) -> TrialResult:
    """A result that depends on the steps alone."""
    percentile = steps[0].percentile  # type: ignore[union-attr]
    return TrialResult(outcome="measured", steps=steps, measured=measured(percentile / 50, 95 - percentile))


def follow(study: Study, count: int) -> list[Steps]:
    """Run trials one after the other, and return their steps."""
    found = []
    for _ in range(count):
        number, steps = study.ask()
        assert isinstance(steps, tuple)
        found.append(steps)
        study.tell(number, rate(steps))
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "studies.db"


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid", "nsga2", "gp"])
def test_the_same_seed_asks_for_the_same_trials(path: Path, sampler: Sampler) -> None:
    """Equal seeds and results give equal trials, also if another process goes on after half of them."""
    with closing(Study(path, "whole", PLANS, sampler, 7)) as study:
        whole = follow(study, 10)
    with closing(Study(path, "halves", PLANS, sampler, 7)) as study:
        first = follow(study, 5)
    with closing(Study(path, "halves", PLANS, sampler, 7)) as study:
        assert first + follow(study, 5) == whole


def test_results_come_back_as_they_were_told(path: Path) -> None:
    """Another process reads the same results."""
    with closing(Study(path, "s", PLANS, "random", 1)) as study:
        number, steps = study.ask()
        assert isinstance(steps, tuple)
        study.tell(number, rate(steps))
        study.spend(12.5)
    with closing(Study(path, "s", PLANS, "random", 1)) as study:
        assert study.results() == {0: rate(steps)}
        assert study.spent_s == 12.5


def test_a_trial_that_was_not_told_is_begun_again(path: Path) -> None:
    """A trial whose process was killed has the same number and steps in the next process."""
    with closing(Study(path, "s", PLANS, "tpe", 1)) as study:
        asked = study.ask()
    with closing(Study(path, "s", PLANS, "tpe", 1)) as study:
        assert list(study.unfinished()) == [asked]


def test_a_grid_tries_every_combination_once(path: Path) -> None:
    """A grid of 20 combinations gives 20 different trials."""
    with closing(Study(path, "s", PLANS, "grid", 1)) as study:
        assert len({steps[0].model_dump_json() for steps in follow(study, 20)}) == 20


def test_importance_tells_what_mattered(path: Path) -> None:
    """The setting that decides the speed-up has nearly all of the importance."""
    with closing(Study(path, "s", PLANS, "random", 1)) as study:
        follow(study, 20)
        assert next(iter(study.importances())) == "steps.1.quantize.percentile"
        assert study.importances()["steps.1.quantize.percentile"] > 0.8
