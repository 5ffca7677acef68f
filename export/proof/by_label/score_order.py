"""Ranks rows by their scores, and computes the area under the ROC curve of weighted rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.proof.bootstrap import Floats


@dataclass(frozen=True, kw_only=True)
class ScoreOrder:
    """Rows in the order of their scores."""

    order: NDArray[np.intp]
    # Whether the label of each row holds, in that order.
    true: NDArray[np.bool_]
    # Where each group of equal scores starts.
    starts: NDArray[np.intp]

    def auc(self, weights: Floats) -> Floats:
        """Return the share of pairs of a row with the label and one without in which the first has the higher
        score; equal scores count half.

        Args:
            weights: how often each row counts, [draws, rows]

        Returns:
            One value per draw; NaN if its rows are all of one kind.
        """
        ordered = weights[:, self.order]
        with_label = np.add.reduceat(ordered * self.true, self.starts, axis=1)
        without = np.add.reduceat(ordered * ~self.true, self.starts, axis=1)
        below = np.cumsum(without, axis=1) - without
        won = (with_label * (below + without / 2)).sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(won / (with_label.sum(axis=1) * without.sum(axis=1)))


def rank(scores: Floats, true: NDArray[np.bool_]) -> ScoreOrder:
    """Rank rows by their scores, both [rows]."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return ScoreOrder(order=order, true=true[order], starts=starts)
