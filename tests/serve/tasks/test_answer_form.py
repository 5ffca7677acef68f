"""The form of an output's numbers, and when a variant's differs."""

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serve.bundles.meaning import Meaning, Task
from serve.tasks.answer_form import find_change, guess_meaning, read_meaning
from serve.tasks.compare_outputs import compare

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(0, 3, (40, 5)).astype(np.float32)
ONE = RANDOM.normal(150, 40, (40, 1)).astype(np.float32)


def softmax(scores: Any) -> NDArray[np.float32]:
    """Shares over the last dimension."""
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), np.float32)


def sigmoid(scores: Any) -> NDArray[np.float32]:
    """Return the sigmoid of each score."""
    return np.asarray(1 / (1 + np.exp(-scores)), np.float32)


def unit(vectors: Any) -> NDArray[np.float32]:
    """The vectors, each of length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


TOKENS = np.where(np.arange(7)[:, None] < RANDOM.integers(1, 8, 40)[:, None, None], 1, np.nan)
SHARES_OF_TOKENS = softmax(RANDOM.normal(0, 3, (40, 7, 5))) * TOKENS


@pytest.mark.parametrize(
    ("task", "answers", "kind", "form"),
    [
        ("classification", LOGITS, "classes", "plain"),
        ("classification", softmax(LOGITS), "classes", "shares"),
        ("classification", softmax(LOGITS).astype(np.float16), "classes", "shares"),
        ("classification", np.log(softmax(LOGITS)), "classes", "log_shares"),
        ("classification", sigmoid(LOGITS), "numbers", "chances"),
        ("classification", sigmoid(LOGITS[:, :1]), "numbers", "chances"),
        ("classification", ONE, "numbers", "plain"),
        ("classification", ONE[:, 0], "numbers", "plain"),
        ("classification", LOGITS.argmax(1), "exact", "unknown"),
        ("classification", np.array([b"a", b"b"]), "exact", "unknown"),
        ("classification", sigmoid(LOGITS[:3]), "classes", "plain"),
        ("token_classification", SHARES_OF_TOKENS, "classes", "shares"),
        ("token_classification", ONE[:, None], "numbers", "plain"),
        ("embedding", LOGITS, "vectors", "plain"),
        ("embedding", unit(LOGITS), "vectors", "unit"),
    ],
    ids=[
        "logits",
        "softmax",
        "softmax in 16 bits",
        "log-softmax",
        "sigmoids",
        "one sigmoid",
        "one number",
        "one number without a dimension",
        "integers",
        "strings",
        "too few rows for sigmoids",
        "tokens with padding",
        "one number a token",
        "embeddings",
        "unit embeddings",
    ],
)
def test_numbers_say_what_they_are(task: Task, answers: NDArray[Any], kind: str, form: str) -> None:
    """The kind and the form of an output follow from its range and its sums over all rows."""
    meaning = read_meaning(task, answers)
    assert (meaning.kind, meaning.form) == (kind, form)


def test_sigmoids_with_one_label_a_row_tell_classes_apart() -> None:
    """Sigmoid outputs with one label a row are classes."""
    assert read_meaning("classification", sigmoid(LOGITS), labelled=True).kind == "classes"


@pytest.mark.parametrize(("labelled", "kind"), [(False, "numbers"), (True, "classes")])
def test_numbers_of_which_one_is_always_the_largest_tell_no_classes(labelled: bool, kind: str) -> None:
    """Columns of which one is always the largest are numbers, unless the rows are labelled."""
    columns = np.column_stack([RANDOM.normal(size=20), RANDOM.normal(1000, 10, 20), RANDOM.normal(size=20)])
    assert read_meaning("classification", columns, labelled=labelled).kind == kind


@pytest.mark.parametrize(
    ("rows", "said", "spreads"),
    [(40, {}, 5), (40, {"labelled": True}, 0), (40, {"named": True}, 0), (9, {}, 0)],
    ids=["nobody", "by labels", "by names", "too few rows"],
)
def test_scores_of_which_nobody_says_that_they_are_of_classes_may_be_numbers(
    rows: int, said: dict[str, bool], spreads: int
) -> None:
    """Scores without labels keep a spread, as they may be numbers; softmax outputs never do."""
    meaning = read_meaning("classification", LOGITS[:rows], **said)
    assert (meaning.kind, len(meaning.spread)) == ("classes", spreads)
    assert read_meaning("classification", softmax(LOGITS), **said).spread == ()


@pytest.mark.parametrize("answers", [ONE[:, 0], LOGITS, softmax(LOGITS), LOGITS.reshape(10, 4, 5)], ids=str)
def test_a_regression_holds_numbers_of_any_shape(answers: NDArray[Any]) -> None:
    """Outputs of a regression are numbers, whatever their values; integer outputs are exact."""
    assert read_meaning("regression", answers).kind == "numbers"
    assert read_meaning("regression", answers.astype(np.int64)).kind == "exact"


def shifted(by: float) -> NDArray[np.float32]:
    """The scores, each row's all moved by one number: a softmax does not see it."""
    return LOGITS + (by * RANDOM.normal(size=(40, 1))).astype(np.float32)


def test_a_level_that_is_lost_differs_unless_the_scores_are_of_classes() -> None:
    """A shared shift of undeclared scores differs if it is large, and that of declared classes never does."""
    doubtful, certain = (read_meaning("classification", LOGITS, named=named) for named in (False, True))
    assert compare("classification", LOGITS, shifted(9), doubtful).differ.mean() > 0.5
    assert not compare("classification", LOGITS, shifted(9), certain).differ.any()
    assert not compare("classification", LOGITS, shifted(0.5), doubtful).differ.any()


def test_an_output_after_the_first_is_classes_only_where_it_sums_to_one() -> None:
    """A later output counts as classes only if each row sums to one."""
    found = [read_meaning("classification", each, first=False).kind for each in (LOGITS, softmax(LOGITS))]
    assert found == ["numbers", "classes"]


def test_each_place_has_a_spread_of_its_own() -> None:
    """Each column has its own spread, and a constant column a quarter of its value."""
    columns = np.column_stack([np.arange(20), 1000 * np.arange(20), np.full(20, 7)]).astype(np.float32)
    spread = read_meaning("classification", columns, first=False).spread
    deviation = float(np.arange(20).std())
    assert spread == pytest.approx((deviation, 1000 * deviation, 7 / 4), rel=1e-6)


def test_very_many_places_have_one_spread() -> None:
    """An output with 5,000 columns has one common spread."""
    wide = RANDOM.normal(0, 2, (30, 5000)).astype(np.float32)
    [spread] = read_meaning("classification", wide, first=False).spread
    assert spread == pytest.approx(2, rel=0.05)


CHANGES: dict[str, tuple[Task, NDArray[Any], NDArray[Any], str]] = {
    "logits for shares": ("classification", softmax(LOGITS), LOGITS, "lie in .* sum to one.* -.* sum to -"),
    "shares for logits": ("classification", LOGITS, softmax(LOGITS), "variant's lie in .* and sum to one"),
    "logits for log-shares": ("classification", np.log(softmax(LOGITS)), LOGITS, "exponentials sum to one"),
    "log-shares for shares": (
        "classification",
        softmax(LOGITS),
        np.log(softmax(LOGITS)),
        "variant's .* exponentials sum to one",
    ),
    "log-shares for logits": ("classification", LOGITS, np.log(softmax(LOGITS)), "exponentials sum to one"),
    "sigmoids for a softmax": (
        "classification",
        softmax(LOGITS),
        sigmoid(LOGITS),
        "sum to one.*variant's lie",
    ),
    "a softmax for sigmoids": (
        "classification",
        sigmoid(LOGITS),
        softmax(LOGITS),
        "variant's lie in .* to one",
    ),
    "logits for sigmoids": ("classification", sigmoid(LOGITS), LOGITS, r"lie in 0\.\d+\.\.0\.\d+ and .*-"),
    "sigmoids for logits": ("classification", LOGITS, sigmoid(LOGITS), "variant's lie in 0"),
    "a number for one sigmoid": ("classification", sigmoid(LOGITS[:, :1]), LOGITS[:, :1], "lie in -"),
    "minus the number": ("classification", ONE, -ONE, r"lie in \d.*variant's lie in -"),
    "shares in per cent": ("classification", softmax(LOGITS), 100 * softmax(LOGITS), "sum to 100"),
    "vectors of any length": (
        "embedding",
        unit(LOGITS),
        LOGITS,
        "lengths of 1..1, the variant's have lengths",
    ),
    "vectors of length 1": ("embedding", LOGITS, unit(LOGITS), "variant's have lengths of 1..1"),
    "logits of tokens": (
        "token_classification",
        SHARES_OF_TOKENS,
        np.log(SHARES_OF_TOKENS) - 3,
        "sum to one.*variant's",
    ),
}


@pytest.mark.parametrize(("task", "baseline", "variant", "words"), CHANGES.values(), ids=CHANGES)
def test_a_change_of_meaning_is_told_by_both_names(
    task: Task, baseline: NDArray[Any], variant: NDArray[Any], words: str
) -> None:
    """A change of meaning is reported with both meanings, even if top classes and directions agree."""
    change = find_change("scores", read_meaning(task, baseline), baseline, variant)
    assert change is not None
    assert change.startswith("the baseline's `scores` ")
    assert re.search(words, change), change


@pytest.mark.parametrize(
    "name",
    [
        "logits for shares",
        "shares for logits",
        "logits for log-shares",
        "log-shares for shares",
        "sigmoids for a softmax",
        "logits for sigmoids",
        "a softmax for sigmoids",
        "minus the number",
        "shares in per cent",
        "vectors of any length",
    ],
)
def test_rows_of_another_meaning_differ(name: str) -> None:
    """Rows of another meaning differ in more than 90 % of cases."""
    task, baseline, variant, _ = CHANGES[name]
    differ = compare(task, baseline, variant, read_meaning(task, baseline)).differ
    assert differ.mean() > 0.9


@pytest.mark.parametrize("name", ["logits for shares", "shares for logits", "vectors of any length"])
def test_rows_of_another_meaning_differ_also_where_nothing_was_measured(name: str) -> None:
    """Rows of another meaning differ even if the bundle did not record the meaning."""
    task, baseline, variant, _ = CHANGES[name]
    differ = compare(task, baseline, variant, guess_meaning(task, baseline)).differ
    assert differ.mean() > 0.9


def rounded(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return the values rounded to 255 steps, as 8-bit integers round them."""
    step = (values.max() - values.min()) / 255
    return np.asarray(np.round(values / step) * step, np.float32)


@pytest.mark.parametrize(
    ("task", "answers"),
    [
        ("classification", LOGITS),
        ("classification", softmax(LOGITS)),
        ("classification", np.log(softmax(LOGITS))),
        ("classification", sigmoid(LOGITS)),
        ("classification", ONE),
        ("classification", np.maximum(LOGITS, 0)),
        ("embedding", unit(LOGITS)),
        ("embedding", LOGITS),
    ],
    ids=["logits", "shares", "log-shares", "sigmoids", "number", "relu", "unit vectors", "vectors"],
)
def test_8_bits_change_no_meaning(task: Task, answers: NDArray[Any]) -> None:
    """Rounding to 8 bits does not change the meaning, and fewer than 10 % of the rows differ."""
    meaning, variant = read_meaning(task, answers), rounded(answers)
    assert find_change("scores", meaning, answers, variant) is None
    assert compare(task, answers, variant, meaning).differ.mean() < 0.1


def test_what_is_ruined_has_not_changed_its_meaning() -> None:
    """An output of zeros has not changed its meaning; its differences are judged elsewhere."""
    ruined = np.zeros_like(LOGITS)
    assert find_change("scores", read_meaning("classification", LOGITS), LOGITS, ruined) is None


def test_the_fifth_of_a_deviation_is_where_numbers_differ() -> None:
    """At a spread of 10, a difference of 1.9 is tolerated and 2.1 is not, whatever the offset."""
    meaning = Meaning(kind="numbers", form="plain", spread=(10.0,))
    for offset in (0.0, 300.0, -1e4):
        baseline = np.array([[offset], [offset]])
        variant = baseline + np.array([[1.9], [2.1]])
        assert compare("classification", baseline, variant, meaning).differ.tolist() == [False, True]


def test_one_wrong_place_of_many_makes_a_row_differ() -> None:
    """One wrong value of 32 makes a row differ, even beside a value of a much larger scale."""
    meaning = Meaning(kind="numbers", form="plain", spread=(1.0, 1e5, *(1.0,) * 30))
    baseline = np.zeros((2, 32))
    variant = baseline.copy()
    variant[1, 0] = 0.5
    assert compare("classification", baseline, variant, meaning).differ.tolist() == [False, True]


def test_a_tensor_is_compared_as_a_whole() -> None:
    """A [rows, 8, 8, 4] tensor is compared by the RMS of each channel: noise differs, one pixel does not."""
    baseline = RANDOM.normal(0, 1, (3, 8, 8, 4))
    meaning = read_meaning("classification", baseline, first=False)
    variant = baseline.copy()
    variant[0, 3, 3, 1] += 1
    variant[1] += RANDOM.normal(0, 0.5, (8, 8, 4))
    assert (meaning.kind, len(meaning.spread)) == ("numbers", 4)
    assert compare("classification", baseline, variant, meaning).differ.tolist() == [False, True, False]


def test_a_constant_answer_may_only_round() -> None:
    """A constant output may differ by rounding only."""
    baseline = np.full((3, 1), 5.0)
    meaning = read_meaning("classification", baseline)
    variant = baseline + np.array([[0.0], [1e-6], [0.1]])
    assert compare("classification", baseline, variant, meaning).differ.tolist() == [False, False, True]


def test_infinity_is_itself_and_nothing_else() -> None:
    """Infinity equals infinity and differs from every finite number."""
    baseline = np.array([[-np.inf, 1.0], [-np.inf, 2.0], [0.0, 3.0]])
    meaning = read_meaning("classification", baseline, first=False)
    variant = np.array([[-np.inf, 1.0], [0.0, 2.0], [-np.inf, 3.0]])
    assert compare("classification", baseline, variant, meaning).differ.tolist() == [False, True, True]
