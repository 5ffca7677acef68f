"""Chooses among the measured trials of a search. Pure."""

from collections.abc import Mapping

from export.search.trial import TrialResult

Results = Mapping[int, TrialResult]


def find_best(results: Results) -> int | None:
    """Return the accepted trial with the highest speed-up, by its interval's lower end; None without one."""
    accepted = list_accepted(results)
    return accepted[0] if accepted else None


def list_accepted(results: Results) -> list[int]:
    """Return the trials within the floor, the highest speed-up first; only those that are faster than the
    baseline."""
    faster = {
        number: result.measured.speedup.low
        for number, result in results.items()
        if result.accepted and result.measured is not None and result.measured.speedup.low > 1
    }
    return sorted(faster, key=lambda number: (-faster[number], number))


def find_front(results: Results, most: int) -> list[int]:
    """Return at most so many accepted trials, the fastest first, each of them further within the floor than
    all faster ones."""
    front: list[int] = []
    least = float("inf")
    for number in list_accepted(results):
        measured = results[number].measured
        assert measured is not None, "it is accepted"
        if measured.violation < least:
            front.append(number)
            least = measured.violation
    return front[:most]
