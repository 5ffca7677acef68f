"""Labels of requests that both variants answered, as matched pairs (McNemar)."""

from serve.counting.sums import Sum, Sums

# Classes that are counted separately; classes with higher numbers count only in the total.
MOST_CLASSES = 1000


class MatchedPairs(Sums):
    """Labelled requests of the shadow, by which of the two top classes was right."""

    labelled: Sum = 0
    # Only the baseline was right; only the candidate was right.
    baseline_alone: Sum = 0
    candidate_alone: Sum = 0
    neither: Sum = 0

    @classmethod
    def one(cls, label: int, baseline: int, candidate: int) -> "MatchedPairs":
        """Count one request with this label and these top classes."""
        return cls(
            labelled=1,
            baseline_alone=int(baseline == label != candidate),
            candidate_alone=int(candidate == label != baseline),
            neither=int(label not in (baseline, candidate)),
        )

    @property
    def wrong(self) -> tuple[int, int]:
        """How often the baseline was wrong, and the candidate."""
        return self.candidate_alone + self.neither, self.baseline_alone + self.neither
