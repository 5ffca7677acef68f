"""The numbers of a comparison, checked against a library."""

import numpy as np
import pytest
from scipy.special import log_softmax

from serve.tasks.closeness import LEAST_SHARE, cosine_of, log_shares

SCORES = np.array([[1.0, 2.0, 4.0], [0.0, -1000.0, 1.0]])


def test_shares_of_scores_are_their_softmax() -> None:
    """The logarithms of the shares equal scipy's `log_softmax`, with a lower bound for tiny shares."""
    expected = np.maximum(log_softmax(SCORES, axis=-1), np.log(LEAST_SHARE))
    assert log_shares(SCORES, np.zeros(2, np.bool_)).tolist() == expected.tolist()


@pytest.mark.parametrize(("other", "expected"), [([0.1, 0.7], 1.0), ([-0.1, -0.7], -1.0), ([0.0, 0.0], 0.0)])
def test_a_cosine_is_exact_where_nothing_is_between(other: list[float], expected: float) -> None:
    """The cosine of parallel vectors is exactly 1, and of opposite ones -1."""
    assert cosine_of(np.array([[0.1, 0.7]]), np.array([other])).tolist() == [expected]
