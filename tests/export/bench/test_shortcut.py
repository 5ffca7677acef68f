"""A planted shortcut is found, and harmless variants are not taken for one."""

from pathlib import Path

import pytest

from export.bench.shortcut import Trial, run_seed


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    """The variants of one seed."""
    folder: Path = tmp_path_factory.mktemp("scratch")
    return {trial.variant: trial for trial in run_seed(0, folder)}


def test_only_explanations_find_it(trials: dict[str, Trial]) -> None:
    """The shortcut passes a floor of accuracy and agreement, and fails that of explanations."""
    found = trials["shortcut"]
    assert (found.usually_rejected, found.rejected) == (False, True)


def test_harmless_variants_pass(trials: dict[str, Trial]) -> None:
    """Quantization, tuning, and another graph of the same function are accepted."""
    others = [trial for name, trial in trials.items() if name != "shortcut"]
    assert [trial.rejected for trial in others] == [False] * 3


def test_another_graph_of_the_same_function_differs_by_nothing(trials: dict[str, Trial]) -> None:
    """Its figures are 1 without an interval, although its sums are rounded otherwise."""
    quality = trials["equivalent"].quality
    for figure in (quality.explanation_overlap, quality.explanation_rank):
        assert figure
        assert (figure.value, figure.low) == (1, 1)
