"""Search: which rate to try next, from what has been tried. Pure: it forgets nothing and keeps nothing.

Rates double until one fails, then the gap is halved (geometrically) until it is a twentieth; the highest
rate that passed is confirmed with fresh seeds, and the lowest that failed is tried once more after that. One
outcome may be a bad moment of the machine: of the last three trials of a rate two must agree, the last among
them, though a first pass is believed until it is confirmed. After an INVALID one the search waits, each time
longer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from loadtests.report import CheckOutcome, Probe

# The highest rate that passes and the lowest that fails are no further apart.
GAP = 1.05
CONFIRMATIONS = 3
# At 0.5 requests per second a p99 takes half an hour.
_LEAST_PER_S = 0.5
_MOST_PER_S = 100_000.0
# Around a boundary that moves there is nothing to be found; of those that are not INVALID.
_MOST_PROBES = 50
# What went wrong on our own side, or on the machine's, may pass: how long to wait before it is tried again,
# after the first INVALID in a row, the second, and so on; one more is trouble. A host is busy for minutes.
PAUSES_S = (5.0, 15.0, 45.0, 135.0)
# Of the last so many trials of a rate so many must agree.
_LAST, _MOST = 3, 2


@dataclass(frozen=True, kw_only=True)
class RateTrial:
    """What to try next."""

    stage: Literal["search", "confirm"]
    rate_per_s: float
    # How long to wait before it.
    pause_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """Where a search ended. None: there is no such rate."""

    passed: Probe | None
    breach: Probe | None
    confirmed: int
    # Why the end is no answer; None: it is one.
    trouble: str | None


def next_trial(probes: Sequence[Probe], start_per_s: float) -> RateTrial | SearchResult:
    """What follows from the probes of one variant so far."""
    found = stand(probes)
    passed, breach = found.passed, found.breach
    if found.trouble is not None or _is_over(probes, found):
        return found
    if probes and _fate(probes, probes[-1].rate_per_s) is None:
        pause_s = PAUSES_S[count - 1] if (count := _invalid_in_a_row(probes)) else 0.0
        return RateTrial(stage=probes[-1].stage, rate_per_s=probes[-1].rate_per_s, pause_s=pause_s)
    if passed is not None and breach is not None and breach.rate_per_s / passed.rate_per_s <= GAP:
        if found.confirmed >= CONFIRMATIONS:
            return RateTrial(stage="search", rate_per_s=breach.rate_per_s)
        return RateTrial(stage="confirm", rate_per_s=passed.rate_per_s)
    return RateTrial(stage="search", rate_per_s=_next_rate(passed, breach, start_per_s))


def stand(probes: Sequence[Probe]) -> SearchResult:
    """What is known so far."""
    breach = _breach(probes)
    passed = _passed(probes, breach)
    confirmed = 0 if passed is None else _confirmed(probes, passed)
    return SearchResult(passed=passed, breach=breach, confirmed=confirmed, trouble=_trouble(probes))


def _next_rate(passed: Probe | None, breach: Probe | None, start_per_s: float) -> float:
    if passed is None:
        return start_per_s if breach is None else breach.rate_per_s / 2
    if breach is None:
        return passed.rate_per_s * 2
    return math.sqrt(breach.rate_per_s * passed.rate_per_s)


def _is_over(probes: Sequence[Probe], found: SearchResult) -> bool:
    passed, breach = found.passed, found.breach
    if passed is None:
        return breach is not None and breach.rate_per_s / 2 < _LEAST_PER_S
    if breach is None:
        return passed.rate_per_s * 2 > _MOST_PER_S
    settled = breach.rate_per_s / passed.rate_per_s <= GAP and found.confirmed >= CONFIRMATIONS
    # The breach was seen again after the first confirmation.
    confirms = [number for number, probe in enumerate(probes) if probe.stage == "confirm"]
    return settled and any(
        probe.rate_per_s == breach.rate_per_s and probe.outcome is CheckOutcome.FAIL
        for probe in probes[confirms[0] :]
    )


def _fate(probes: Sequence[Probe], rate_per_s: float) -> CheckOutcome | None:
    """What became of a rate; None: it has to be tried again."""
    outcomes = [probe.outcome for probe in probes if probe.rate_per_s == rate_per_s]
    sound = [outcome for outcome in outcomes if outcome is not CheckOutcome.INVALID][-_LAST:]
    if not sound or outcomes[-1] is CheckOutcome.INVALID:
        return None
    last = sound[-1]
    # A first pass is believed, since it is confirmed later; a first failure is not.
    if sound.count(last) >= _MOST or sound == [CheckOutcome.PASS]:
        return last
    return None


def _breach(probes: Sequence[Probe]) -> Probe | None:
    """The lowest rate that failed, as it failed last."""
    failed = [
        probe
        for probe in probes
        if probe.outcome is CheckOutcome.FAIL and _fate(probes, probe.rate_per_s) is CheckOutcome.FAIL
    ]
    return min(reversed(failed), key=lambda probe: probe.rate_per_s, default=None)


def _passed(probes: Sequence[Probe], breach: Probe | None) -> Probe | None:
    """The highest rate below that passed."""
    below = [
        probe
        for probe in probes
        if probe.outcome is CheckOutcome.PASS
        and _fate(probes, probe.rate_per_s) is not CheckOutcome.FAIL
        and (breach is None or probe.rate_per_s < breach.rate_per_s)
    ]
    return max(below, key=lambda probe: probe.rate_per_s, default=None)


def _confirmed(probes: Sequence[Probe], passed: Probe) -> int:
    return sum(
        probe.stage == "confirm"
        and probe.outcome is CheckOutcome.PASS
        and probe.rate_per_s == passed.rate_per_s
        for probe in probes
    )


def _trouble(probes: Sequence[Probe]) -> str | None:
    if _invalid_in_a_row(probes) > len(PAUSES_S):
        return f"at {probes[-1].rate_per_s:,.4g}/s: {probes[-1].reason}"
    if sum(probe.outcome is not CheckOutcome.INVALID for probe in probes) >= _MOST_PROBES:
        return f"{_MOST_PROBES} probes did not settle it: what the server can do changes meanwhile"
    return None


def _invalid_in_a_row(probes: Sequence[Probe]) -> int:
    """How many of the last ones."""
    return len(list(takewhile(lambda probe: probe.outcome is CheckOutcome.INVALID, reversed(probes))))
