"""Effects are those of the baseline's answer, and explanations are compared by them."""

import numpy as np
import pytest

from serve.bundles.meaning import Meaning
from serve.tasks.effects import compare_effects, count_top, find_effects, settle

RANDOM = np.random.default_rng(0)
EFFECTS = RANDOM.normal(size=40)


def test_the_odds_of_the_baselines_class_are_explained() -> None:
    """What a feature adds to the logit of the chosen class is its effect, also where the variant chooses
    another one."""
    logits = np.array([[1.0, 3.0], [1.0, 1.0], [1.5, 3.0]])
    effects = find_effects(Meaning(kind="classes", form="plain"), logits, np.array([9.0, 0.0]))
    assert effects == pytest.approx([-2.0, -0.5])


def test_shares_and_logits_have_the_same_effects() -> None:
    """The softmax of logits is explained like the logits."""
    logits = RANDOM.normal(size=(6, 5))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    plain, given = Meaning(kind="classes", form="plain"), Meaning(kind="classes", form="shares")
    assert find_effects(given, shares, shares[0]) == pytest.approx(find_effects(plain, logits, logits[0]))


@pytest.mark.parametrize(
    ("meaning", "answers", "expected", "effects"),
    [
        # The mean over the places of a map, whose classes come first.
        (
            Meaning(kind="classes", axis=1, form="plain"),
            [[[2.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 2.0]]],
            [[2.0, 0.0], [0.0, 2.0]],
            [1.0],
        ),
        # One label holds and one does not.
        (
            Meaning(kind="labels", threshold=0, form="plain"),
            [[2.0, -1.0], [0.0, -1.0], [2.0, 1.0]],
            [5.0, -5.0],
            [1.0, 1.0],
        ),
        (Meaning(kind="ranks"), [[3.0, 1.0, 1.0], [1.0, 1.0, 3.0]], [9.0, 1.0, 1.0], [3.0]),
        (Meaning(kind="numbers"), [[5.0], [2.0], [6.0]], [5.0], [3.0, -1.0]),
        # Two numbers: how far they move, in their spreads.
        (Meaning(kind="numbers", spread=(1.0, 10.0)), [[0.0, 0.0], [3.0, 40.0]], [0.0, 0.0], [12.5**0.5]),
        (Meaning(kind="vectors"), [[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]], [0.0, 1.0], [1.0, 0.0]),
    ],
)
def test_effects(
    meaning: Meaning, answers: list[object], expected: list[object], effects: list[float]
) -> None:
    """Each kind of output has a score, and an effect is what it loses."""
    assert find_effects(meaning, np.array(answers), np.array(expected)) == pytest.approx(effects)


def test_an_answer_that_is_no_number_has_no_effect() -> None:
    """NaN without a feature is no effect of that feature."""
    assert find_effects(Meaning(kind="numbers"), np.array([[2.0], [np.nan]]), np.array([2.0])) == [0.0]


def test_equal_effects_agree() -> None:
    """An explanation overlaps with itself and has its order; so does one with other units."""
    assert compare_effects(EFFECTS, EFFECTS) == pytest.approx((1.0, 1.0))
    assert compare_effects(EFFECTS, 3 * EFFECTS) == pytest.approx((1.0, 1.0))


def test_other_important_features_do_not_overlap() -> None:
    """The overlap is the share of the most important features that are the same, of either sign."""
    before = np.arange(40.0)
    after = before.copy()
    # Five of the ten most important ones of 40 change places with five of the least important ones.
    after[30:35], after[:5] = before[:5], before[30:35]
    assert compare_effects(before, -after)[0] == pytest.approx(0.5)


def test_opposite_effects_have_the_opposite_order() -> None:
    """Features that speak against an answer instead of for it are found by the rank only."""
    overlap, rank = compare_effects(EFFECTS, -EFFECTS)
    assert (overlap, rank) == pytest.approx((1.0, -1.0))


def test_a_model_without_effects_has_the_overlap_of_chance() -> None:
    """If all features tie, they share the places of the most important ones."""
    assert compare_effects(EFFECTS, np.zeros(40)) == pytest.approx((10 / 40, 0.0))
    assert compare_effects(np.zeros(40), np.zeros(40)) == (1.0, 1.0)


def test_rounding_is_no_difference() -> None:
    """Effects that are off by less than a thousandth of the largest one are equal to the last bit."""
    noise = 0.9e-3 * np.abs(EFFECTS).max() * RANDOM.uniform(-1, 1, 40)
    assert np.array_equal(settle(EFFECTS, EFFECTS + noise), EFFECTS)
    assert not np.array_equal(settle(EFFECTS, EFFECTS + 3 * noise), EFFECTS)


def test_the_number_of_important_features() -> None:
    """A quarter, at most 10, at least 1."""
    assert [count_top(features) for features in (2, 4, 13, 30, 64)] == [1, 1, 3, 8, 10]
