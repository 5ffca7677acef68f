"""Measures whether a variant still gives the baseline's answers for the baseline's reasons.

At most 512 held-out rows are explained by occlusion: production's own session runs each row as it is and
without each of its features (serve/tasks/occlusion.py), and what the score of the baseline's answer loses is
the feature's effect (serve/tasks/effects.py). A feature is replaced by the mean of the calibration rows,
or, if it has no mean, by their median; a token of a text by the mask token, or the padding.

The A/A floor: which value replaces a feature is an estimate, and a model may react to it. So two equal
models, each explained with the mean of its own half of the calibration rows, would not agree on features of
nearly equal importance. This agreement is measured on the baseline, and a variant's figure is 1 - (floor -
the same agreement between baseline and variant), paired row by row: exactly 1 for equal effects. The token
that replaces others is no estimate, so for a text the floor is 1.

Explanations cost time. They are measured only if the recipe asks for them, by `explanations: true` or a limit
in the floor."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import InvalidData
from export.proof.bootstrap import Floats, Interval, mean_intervals
from export.recipe import Recipe
from serve.base.tensor import Arrays
from serve.bundles.figures import Estimate, Explained
from serve.bundles.meaning import Meaning
from serve.engine.session import Session
from serve.tasks.effects import EXPLAINED, compare_effects, count_top, find_effects, settle
from serve.tasks.occlusion import Occlusion

_REMOVE = "remove `explanations` from the recipe, and its limits from the floor"
_SAME = Estimate(value=1, low=1, high=1)


def are_wanted(recipe: Recipe) -> bool:
    """Whether the recipe asks for explanations."""
    limits = recipe.floor.explanation_overlap, recipe.floor.explanation_rank
    return recipe.explanations or any(limit is not None for limit in limits)


def require_score(output: str, meaning: Meaning) -> None:
    """Raise InvalidData if an output of this meaning has no score to explain."""
    if meaning.kind not in EXPLAINED:
        raise InvalidData(
            f"explanations need a score, and the first output `{output}` holds {meaning.kind}; {_REMOVE}"
        )


class PairedExplanations:
    """The explanations of the baseline's answers to some held-out rows, with which a variant's are
    compared."""

    def __init__(
        self,
        session: Session,
        meaning: Meaning,
        rows: Sequence[Arrays],
        occlusions: Sequence[Occlusion],
        seed: int,
    ) -> None:
        """Explain the first output of the baseline's `session`, which means `meaning`, for `rows` of
        [1, ...], with one or two replacements. Raises InvalidData if no row has two features."""
        self._session, self._meaning, self._rows, self._occlusions = session, meaning, rows, occlusions
        self._seed = seed
        self._name = session.signature.output_names[0]
        # The baseline's answer to each row, and the effects with each replacement.
        self._expected: list[NDArray[Any]] = []
        self._effects = self._explain(session)
        self._features = max(len(effects[0]) for effects in self._effects)
        if self._features < 2:
            raise InvalidData(
                f"explanations compare the features of a row, and {', '.join(rows[0])} has "
                f"{self._features}; {_REMOVE}"
            )
        self._floor = self._compare(self._effects)

    def measure(self, session: Session) -> dict[str, Estimate | Explained]:
        """Return the figures of a variant's session with their intervals, and what they are computed from, by
        name."""
        overlap, rank = self._floor.mean(axis=0).tolist()
        explained = Explained(
            rows=len(self._rows),
            features=self._features,
            top=count_top(self._features),
            floor_overlap=overlap,
            floor_rank=rank,
        )
        estimates = [_SAME, _SAME] if session is self._session else self._estimate(session)
        return {
            "explained": explained,
            "explanation_overlap": estimates[0],
            "explanation_rank": estimates[1],
        }

    def _estimate(self, session: Session) -> list[Estimate]:
        settled = [
            [settle(*pair) for pair in zip(before, after, strict=True)]
            for before, after in zip(self._effects, self._explain(session), strict=True)
        ]
        values = 1 - (self._floor - self._compare(settled))
        intervals = mean_intervals(values, np.ones(len(values)), self._seed)
        return [_limit(*pair) for pair in zip(values.mean(axis=0).tolist(), intervals, strict=True)]

    def _explain(self, session: Session) -> list[list[Floats]]:
        """Return the effects of each row with each replacement. The first session is the baseline's."""
        effects = []
        for number, row in enumerate(self._rows):
            answers = [session.run(each.mask(row))[self._name] for each in self._occlusions]
            if number == len(self._expected):
                self._expected.append(answers[0][0])
            effects.append([find_effects(self._meaning, each, self._expected[number]) for each in answers])
        return effects

    def _compare(self, effects: list[list[Floats]]) -> Floats:
        """Compare the effects with the baseline's, which have the other replacement, [rows, 2]."""
        return np.array(
            [
                np.mean([compare_effects(*pair) for pair in zip(before, after[::-1], strict=True)], axis=0)
                for before, after in zip(self._effects, effects, strict=True)
            ]
        )


def _limit(mean: float, interval: Interval) -> Estimate:
    """Where the floor is low, rows exceed 1 by chance."""
    low, high = min(interval[0], mean), max(interval[1], mean)
    return Estimate(value=min(mean, 1.0), low=min(low, 1.0), high=min(high, 1.0))
