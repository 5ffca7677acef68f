"""How much a shadow's outputs differ from the baseline's."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serve.bundles.meaning import Kind, Meaning, Task
from serve.rollout.evidence.evidence import Clusters, Moments
from serve.tasks.compare_outputs import Differences, compare, describe, worst

# KL((1/2, 1/2) || (1/4, 3/4)) in nats, computed by hand.
KL = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)


def array(values: Any, dtype: str = "float32") -> Any:
    return np.array(values, dtype)


@pytest.mark.parametrize(
    ("task", "baseline", "candidate", "differ"),
    [
        ("classification", [[1, 5, 2]], [[1, 9, 8]], [False]),
        ("classification", [[1, 5, 2]], [[1, 5, 6]], [True]),
        ("classification", [[0.2, 0.8]], [[0.6, 0.4]], [True]),
        ("token_classification", [[[1, 5], [5, 1]]], [[[1, 5], [2, 1]]], [[False] * 2]),
        ("token_classification", [[[1, 5], [5, 1]]], [[[1, 5], [0, 1]]], [[False, True]]),
        ("embedding", [[1, 0], [1, 0]], [[1, 0.3], [1, 0.4]], [False, True]),
        ("classification", [1, 100], [1.04, 110], [False, True]),
        ("classification", [[0], [-100]], [[0], [100]], [False, True]),
    ],
    ids=[
        "same class",
        "other class",
        "shares",
        "same tokens",
        "one other token",
        "cosine 0.958 and 0.928",
        "4 % and 9 % off",
        "nothing and the sign",
    ],
)
def test_rows_differ_by_the_kind_of_output(
    task: Task, baseline: list[Any], candidate: list[Any], differ: list[Any]
) -> None:
    """Rows differ by the top class for scores, by the cosine for embeddings, by 5 % for single numbers."""
    assert compare(task, array(baseline), array(candidate)).differ.tolist() == differ


@pytest.mark.parametrize(
    ("baseline", "candidate"),
    [(array([[1, 2], [3, 4]], "int64"), array([[1, 2], [3, 5]], "int64")), (array(["a", "b"], "O"),) * 2],
    ids=["integers", "strings"],
)
def test_what_is_no_score_must_be_equal(baseline: Any, candidate: Any) -> None:
    """Integers and strings differ unless they are equal."""
    assert compare("classification", baseline, candidate).differ.tolist() == [
        list(mine) != list(theirs) for mine, theirs in zip(baseline, candidate, strict=True)
    ]


@pytest.mark.parametrize("shape", [(2, 4), (3, 3), (2, 3, 1), (1, 3), ()], ids=str)
def test_outputs_of_another_shape_differ_in_every_row(shape: tuple[int, ...]) -> None:
    """An output of another shape differs in each of the baseline's rows."""
    differences = compare("classification", np.zeros((2, 3), np.float32), np.zeros(shape, np.float32))
    assert differences.sums([1, 1]).disagreements == 2


@pytest.mark.parametrize("shift", [None, 0.0, 700.0], ids=["shares", "logits", "large logits"])
def test_the_divergence_is_that_of_the_classes_shares(shift: float | None) -> None:
    """The divergence is the same for shares and for logits with any constant, as computed by hand."""
    shares = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    scores = shares if shift is None else [np.log(each) + shift for each in shares]
    divergence = compare("classification", scores[0], scores[1]).kl
    assert divergence is not None
    assert divergence[0] == pytest.approx(KL, rel=1e-9)


def test_the_divergence_of_tokens_is_their_mean() -> None:
    """The divergence of a row of tokens is the mean over its tokens."""
    baseline, candidate = np.array([[[0.5, 0.5]] * 2]), np.array([[[0.5, 0.5], [0.25, 0.75]]])
    divergence = compare("token_classification", baseline, candidate)
    assert divergence.row_kl == pytest.approx(KL / 2, rel=1e-9)


def test_the_cosine_is_that_of_a_row() -> None:
    """The cosine is 1 / sqrt(2) as by hand, 1 for two zero rows, and 0 for one zero row."""
    cosine = compare("embedding", array([[1, 0], [0, 0], [3, 4]]), array([[2, 2], [0, 0], [0, 0]])).cosine
    assert cosine == pytest.approx([math.sqrt(0.5), 1.0, 0.0], rel=1e-9)


def test_the_largest_difference_is_told() -> None:
    """The largest absolute difference of each row is reported."""
    largest = compare("classification", array([[1, 5], [2, 2]]), array([[-2, 5], [2, 2]])).largest
    assert largest.tolist() == [3.0, 0.0]


@pytest.mark.parametrize("task", ["classification", "embedding"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("columns", [1, 3])
def test_what_is_no_number_differs(task: Task, value: float, columns: int) -> None:
    """A row with NaN or infinity differs, even if its top class is the same."""
    baseline = np.tile(array([3, 2, 1][:columns]), (2, 1))
    candidate = baseline.copy()
    candidate[0, -1] = value
    assert compare(task, baseline, candidate).differ.tolist() == [True, False]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_what_is_no_number_is_no_likeness(value: float) -> None:
    """A row with NaN or infinity has a cosine of 0 and a divergence above 1."""
    differences = compare("classification", array([[3, 2, 1]]), array([[3, value, 1]]))
    assert differences.cosine is not None
    assert differences.kl is not None
    assert (differences.cosine[0], differences.kl[0] > 1) == (0.0, True)


def test_a_row_that_is_no_number_says_nothing_of_its_neighbour() -> None:
    """A row with NaN does not affect another row's divergence."""
    baseline = array([[0.5, 0.5], [0.9, 0.1]])
    divergence = compare("classification", baseline, array([[np.nan, 0.5], [0.9, 0.1]])).kl
    assert divergence is not None
    assert divergence[1] == 0.0


@given(
    rows=arrays.arrays(np.float32, (2, 3), elements=st.floats(width=32)),
    wide=arrays.arrays(np.float64, (2, 3), elements=st.floats()),
    task=st.sampled_from(["classification", "token_classification", "embedding"]),
)
def test_whatever_comes_can_be_added_up(rows: Any, wide: Any, task: Task) -> None:
    """The sums of any outputs are finite, even over a thousand batches."""
    for output in (rows, wide, rows[:, :1], wide[:, 0]):
        fine = np.linspace(0, 1, output.size, dtype=output.dtype).reshape(output.shape)
        for pair in ((fine, output), (output, fine), (output, output)):
            sums = compare(task, *pair).sums([1, 1])
            assert sums.kl.squares * 1000 < np.inf
            assert abs(sums.cosine.total) <= 2.001


def test_of_several_outputs_the_worst_counts() -> None:
    """With several outputs, each figure of a row is that of the output with the worst value."""
    scores = compare("classification", array([[1, 5], [1, 5]]), array([[5, 1], [1, 5]]))
    count = compare("classification", array([1, 2], "int64"), array([1, 9], "int64"))
    whole = worst([scores, count])
    assert (whole.differ.tolist(), whole.largest.tolist()) == ([True, True], [4.0, 7.0])
    assert (whole.cosine is scores.cosine) is False
    assert whole.sums([1, 1]).kl == scores.sums([1, 1]).kl


def test_a_part_is_of_its_own_rows() -> None:
    """The sums of a part cover only its own rows, so that a slice has its own figures."""
    whole = compare("classification", array([[1, 5], [1, 5]]), array([[5, 1], [1, 5]]))
    first, second = (whole.part(slice(row, row + 1)).sums([1]) for row in (0, 1))
    assert first + second == whole.sums([1, 1])
    assert (second.pairs, second.disagreements) == (1, 0)


def test_rows_are_summed_up_by_their_requests() -> None:
    """Differing rows are summed by request, and the mean cosine of a request is one value."""
    differ = np.array([False, True, False, True, True, False])
    cosine = np.array([1.0, 0.0, 0.5, 1.0, 0.5, 0.5])
    sums = Differences(differ=differ, largest=np.zeros(6), cosine=cosine).sums([1, 3, 2])
    assert sums.clusters == Clusters(requests=3, differing=2, differ_squares=5, products=8, squares=14)
    assert sums.cosine == Moments(count=3, total=2.0, squares=1.5)


@pytest.mark.parametrize(
    ("kind", "output", "cosine", "words"),
    [
        ("classes", array([0.25, 0.75]), 1.0, "1 (0.75)"),
        ("classes", array([0, 0, math.log(2)]), 1.0, "2 (0.50)"),
        ("classes", array([[0, 1]] * 5), 1.0, "1 (1.00), 1 (1.00), 1 (1.00), 1 (1.00), ..."),
        ("vectors", array([1, 2]), 0.8312, "cosine 0.831"),
        ("exact", array([7, 8], "int64"), None, "[7, 8]"),
        ("numbers", array([1.5]), None, "[1.5]"),
    ],
    ids=["shares", "logits", "tokens", "embedding", "integers", "number"],
)
def test_a_row_is_told_in_short_words(kind: Kind, output: Any, cosine: float | None, words: str) -> None:
    """A row is described in a few words for a list of differing pairs."""
    assert describe(Meaning(kind=kind), output, cosine) == words


@pytest.mark.parametrize(
    ("classes", "words"),
    [(("cat", "dog"), "dog (0.75)"), (("cat", "dog", "bird"), "1 (0.75)"), ((), "1 (0.75)")],
    ids=["named", "another number of names", "nameless"],
)
def test_a_class_is_told_by_its_name(classes: tuple[str, ...], words: str) -> None:
    """A class is described by its name if there is a name for each score."""
    assert describe(Meaning(kind="classes"), array([0.25, 0.75]), 1.0, classes) == words
