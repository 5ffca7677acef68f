"""Matched: labels of requests that both variants answered, so that each is a matched pair (McNemar)."""

from serve.counting.sums import Sum, Sums

# Classes that are kept apart; those with higher numbers count overall alone.
MOST_CLASSES = 1000


class Matched(Sums):
    """Requests of the shadow with a label, by which of the two answers had that class on top."""

    labelled: Sum = 0
    # The baseline's answer alone was right, and the candidate's alone.
    baseline_alone: Sum = 0
    candidate_alone: Sum = 0
    neither: Sum = 0

    @classmethod
    def one(cls, label: int, baseline: int, candidate: int) -> "Matched":
        """One request, by the right class and those on top of the answers."""
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
