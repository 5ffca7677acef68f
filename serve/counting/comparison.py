"""Sums that describe how far the candidate's answers are from the baseline's on the same inputs."""

from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from serve.base.record import Record
from serve.counting.sums import Sum, Sums, Total


class Moments(Sums):
    """The number of values, their sum, and the sum of their squares."""

    count: Sum = 0
    total: float = 0.0
    squares: Total = 0.0


class Clusters(Sums):
    """Pairs grouped by request, because the rows of one request are alike."""

    requests: Sum = 0
    # Requests with at least one pair that differs.
    differing: Sum = 0
    # Sums over requests: (differing pairs) squared, differing pairs times pairs, pairs squared.
    differ_squares: Sum = 0
    products: Sum = 0
    squares: Sum = 0


class Comparison(Record):
    """Candidate and baseline on the same inputs. For a pair with several outputs, the worst output counts."""

    pairs: Sum = 0
    # Pairs that differ: another top class, a low cosine, a large difference, or no answer from the candidate.
    disagreements: Sum = 0
    # The pairs among them in which the candidate failed and the baseline did not.
    failures: Sum = 0
    clusters: Clusters = Clusters()
    # Over requests: the mean over the pairs of each request.
    cosine: Moments = Moments()
    # KL divergence of the candidate's distribution from the baseline's, in nats.
    kl: Moments = Moments()
    # Over explained rows: the share of the most important features that are the same, and the rank
    # correlation of the effects of all features.
    explanation_overlap: Moments = Moments()
    explanation_rank: Moments = Moments()
    largest_difference: Total = 0.0

    @model_validator(mode="before")
    @classmethod
    def _alone(cls, data: Any) -> Any:
        """Older data has no clusters; there, each pair counts as a request of its own."""
        if not isinstance(data, Mapping) or "clusters" in data:
            return data
        pairs, differ = data.get("pairs", 0), data.get("disagreements", 0)
        alone = {"requests": pairs, "differing": differ, "squares": pairs}
        return {**data, "clusters": alone | {"differ_squares": differ, "products": differ}}

    @classmethod
    def failed(cls, pairs: int) -> "Comparison":
        """The pairs of one request that the baseline answered and the candidate did not."""
        square = pairs**2
        clusters = Clusters(requests=1, differing=1, differ_squares=square, products=square, squares=square)
        return cls(pairs=pairs, disagreements=pairs, failures=pairs, clusters=clusters)

    def __add__(self, other: "Comparison") -> "Comparison":
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in type(self).model_fields
            if name != "largest_difference"
        }
        largest_difference = max(self.largest_difference, other.largest_difference)
        return Comparison(**sums, largest_difference=largest_difference)
