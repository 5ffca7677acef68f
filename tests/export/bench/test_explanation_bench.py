"""How the benchmark of explanations judges its targets."""

from export.bench.explanation_bench import RejectionCounts, judge_targets


def counts(variant: str, rejected: int, overlap: float = 1.0) -> RejectionCounts:
    """A variant of 100 seeds."""
    return RejectionCounts(
        variant=variant,
        judged=100,
        rejected=rejected,
        rejected_low=0,
        rejected_high=1,
        usually_rejected=0,
        accuracy_change=0,
        agreement=1,
        overlap=overlap,
        rank=overlap,
        worst_overlap=overlap,
    )


def met(shortcut: int, harmless: int, overlap: float = 1.0) -> list[bool]:
    """Whether the targets are met, in their order."""
    found = counts("shortcut", shortcut), counts("int8", harmless), counts("equivalent", 0, overlap)
    return [target.met for target in judge_targets(found, ())]


def test_targets() -> None:
    """Power, false alarms over all harmless variants, and exactly 1 for an equivalent graph."""
    assert met(95, 2) == [True, True, True, True]
    assert met(94, 2) == [False, True, True, True]
    assert met(95, 3) == [True, False, True, True]
    assert met(95, 2, overlap=0.9999) == [True, True, False, True]
