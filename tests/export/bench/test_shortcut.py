"""A planted shortcut is found, and harmless variants are not taken for one."""

from pathlib import Path

import pytest

from export.bench.shortcut import JudgedVariant, run_seed


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, JudgedVariant]:
    """The variants of one seed."""
    folder: Path = tmp_path_factory.mktemp("scratch")
    return {each.variant: each for each in run_seed(0, folder)}


def test_only_explanations_find_it(judged: dict[str, JudgedVariant]) -> None:
    """The shortcut passes a floor of accuracy and agreement, and fails that of explanations."""
    found = judged["shortcut"]
    assert (found.usually_rejected, found.rejected) == (False, True)


def test_harmless_variants_pass(judged: dict[str, JudgedVariant]) -> None:
    """Quantization, tuning, and another graph of the same function are accepted."""
    others = [each for name, each in judged.items() if name != "shortcut"]
    assert [each.rejected for each in others] == [False] * 3


def test_another_graph_of_the_same_function_differs_by_nothing(judged: dict[str, JudgedVariant]) -> None:
    """Its figures are 1 without an interval, although its sums are rounded otherwise."""
    quality = judged["equivalent"].quality
    for figure in (quality.explanation_overlap, quality.explanation_rank):
        assert figure
        assert (figure.value, figure.low) == (1, 1)
