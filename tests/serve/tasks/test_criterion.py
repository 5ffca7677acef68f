"""A table explains how its agreement was measured."""

import pytest

from serve.bundles.figures import Estimate, OutputFigures, Quality
from serve.bundles.meaning import Meaning, Task
from serve.tasks.criterion import explain_likeness, warn_of_neighbours

_ONE = Estimate(value=1, low=1, high=1)


def quality(task: Task, *meanings: Meaning, correlation: Estimate | None = None) -> Quality:
    """Return quality figures with one output per meaning, named `a`, `b`, ..."""
    outputs = tuple(
        OutputFigures(name=name, meaning=meaning, agreement=_ONE, correlation=correlation)
        for name, meaning in zip("abc", meanings, strict=False)
    )
    return Quality(task=task, rows=9, agreement=None if task == "embedding" else _ONE, outputs=outputs)


CLASSES, NUMBERS = Meaning(kind="classes"), Meaning(kind="numbers", spread=(1.0,))


@pytest.mark.parametrize(
    ("task", "meaning", "words"),
    [
        ("classification", CLASSES, "agreement: the share of rows with the top class of the baseline"),
        (
            "binary",
            Meaning(kind="labels", threshold=0.3),
            "agreement: the share of rows whose score is on the same side of 0.3 as the baseline's",
        ),
        (
            "token_classification",
            CLASSES,
            "agreement: the share of tokens with the top class of the baseline",
        ),
        (
            "classification",
            NUMBERS,
            "agreement: the share of rows with numbers within 0.2 standard deviations of the baseline's",
        ),
        (
            "classification",
            Meaning(kind="classes", spread=(1.0,)),
            "agreement: the share of rows with the top class of the baseline and numbers within 1 standard "
            "deviation of the baseline's, because the recipe does not say that they are scores of classes",
        ),
        (
            "classification",
            Meaning(kind="numbers"),
            "agreement: the share of rows with numbers within 5% of the baseline's",
        ),
        (
            "embedding",
            Meaning(kind="vectors"),
            "cosine: the mean over the rows of the cosine between the variant's and the baseline's embedding",
        ),
    ],
)
def test_one_output_is_said_by_what_it_means(task: Task, meaning: Meaning, words: str) -> None:
    """The explanation depends on the output's meaning and names the tolerance, if there is one."""
    assert explain_likeness(quality(task, meaning)) == [words]


def test_several_outputs_are_said_each() -> None:
    """Outputs that are compared in the same way share one entry."""
    [words] = explain_likeness(quality("classification", CLASSES, NUMBERS, NUMBERS))
    assert "of `a` the top class of the baseline" in words
    assert "of `b`, `c` numbers within 0.2 standard deviations" in words


def test_a_correlation_is_said_where_there_is_one() -> None:
    """The explanation of a correlation names its output."""
    [_, words] = explain_likeness(quality("classification", CLASSES, correlation=_ONE))
    assert words.startswith("correlation of `a`: over the rows")


def test_an_older_bundle_says_nothing() -> None:
    """Nothing is explained for a bundle that does not record what its outputs mean."""
    assert explain_likeness(quality("classification")) == []


@pytest.mark.parametrize(("value", "high", "warned"), [(0.54, 0.6, True), (0.78, 0.83, False)])
def test_lost_neighbours_are_warned_of(value: float, high: float, warned: bool) -> None:
    """A variant that surely keeps less than 80 % of its neighbours has a warning with the share."""
    kept = Estimate(value=value, low=0.5, high=high)
    words = warn_of_neighbours(Quality(task="embedding", rows=9, neighbours=kept))
    assert (words is not None) == warned
    if warned:
        assert "54.0%" in str(words)


def test_an_older_bundle_warns_of_nothing() -> None:
    """Its neighbours were not measured."""
    assert warn_of_neighbours(Quality(task="embedding", rows=9)) is None
