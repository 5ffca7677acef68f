"""Comparison: how far the candidate's answers are from the baseline's on the same inputs, as sums."""

from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from serve.base.record import Record
from serve.counting.sums import Sum, Sums, Total


class Moments(Sums):
    """How many figures, their sum, and the sum of their squares."""

    count: Sum = 0
    total: float = 0.0
    squares: Total = 0.0


class Clusters(Sums):
    """Pairs by the request that they came in, because rows of one request are alike."""

    requests: Sum = 0
    # Of these, requests with a pair that differs.
    differing: Sum = 0
    # Per request: the pairs that differ squared, times all its pairs, and all its pairs squared.
    differ_squares: Sum = 0
    products: Sum = 0
    squares: Sum = 0


class Comparison(Record):
    """Candidate and baseline on the same inputs. Where a pair has several outputs, the worst one counts."""

    pairs: Sum = 0
    # Pairs that differ: another top answer, too low a cosine, too large a difference, or no answer at all.
    disagreements: Sum = 0
    # Of these, pairs in which the candidate failed where the baseline did not.
    failures: Sum = 0
    clusters: Clusters = Clusters()
    # Over requests: of each the mean over its pairs.
    cosine: Moments = Moments()
    # Of the candidate's distribution from the baseline's, in nats.
    kl: Moments = Moments()
    largest_difference: Total = 0.0

    @model_validator(mode="before")
    @classmethod
    def _alone(cls, data: Any) -> Any:
        """Where no requests are told, as in what was stored before they were, each pair came alone."""
        if not isinstance(data, Mapping) or "clusters" in data:
            return data
        pairs, differ = data.get("pairs", 0), data.get("disagreements", 0)
        alone = {"requests": pairs, "differing": differ, "squares": pairs}
        return {**data, "clusters": alone | {"differ_squares": differ, "products": differ}}

    def __add__(self, other: "Comparison") -> "Comparison":
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in type(self).model_fields
            if name != "largest_difference"
        }
        largest_difference = max(self.largest_difference, other.largest_difference)
        return Comparison(**sums, largest_difference=largest_difference)
