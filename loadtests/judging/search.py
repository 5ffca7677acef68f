"""Chooses the next rate of a search for capacity from the probes so far. All functions are pure.

The rate doubles until one fails; then the gap is halved (geometrically) until it is a twentieth. The highest
passed rate is confirmed with fresh seeds, and then the lowest failed rate is tried once more. The machine may
have had a bad moment, so two of the last three trials of a rate must agree, including the last one; only a
first pass is accepted until its confirmation. After an INVALID probe the search pauses, longer each time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from loadtests.capacity_record import Probe
from loadtests.load_verdict import CheckOutcome

# The search ends when the highest passed and the lowest failed rate are within this factor.
GAP = 1.05
CONFIRMATIONS = 3
# At 0.5 requests per second, a p99 takes half an hour.
_LEAST_PER_S = 0.5
_MOST_PER_S = 100_000.0
# If the boundary keeps moving, the search gives up after this number of probes that are not INVALID.
_MOST_PROBES = 50
# Pauses before an INVALID probe is repeated: after the first in a row, the second, and so on. A longer series
# ends the search. A host may be busy for minutes.
PAUSES_S = (5.0, 15.0, 45.0, 135.0)
# Of the last _LAST trials of a rate, _MOST must agree.
_LAST, _MOST = 3, 2


@dataclass(frozen=True, kw_only=True)
class RateTrial:
    """The next trial."""

    stage: Literal["search", "confirm"]
    rate_per_s: float
    # The pause before the trial.
    pause_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The result of a search. Rates are None if there is no such rate."""

    passed: Probe | None
    breach: Probe | None
    confirmed: int
    # Why the search has no result; None if it has one.
    trouble: str | None


def next_trial(probes: Sequence[Probe], start_per_s: float) -> RateTrial | SearchResult:
    """Return the next trial from the probes of one variant so far, or the result."""
    result = summarize_probes(probes)
    passed, breach = result.passed, result.breach
    if result.trouble is not None or _is_over(probes, result):
        return result
    if probes and _fate(probes, probes[-1].rate_per_s) is None:
        pause_s = PAUSES_S[count - 1] if (count := _invalid_in_a_row(probes)) else 0.0
        return RateTrial(stage=probes[-1].stage, rate_per_s=probes[-1].rate_per_s, pause_s=pause_s)
    if passed is not None and breach is not None and breach.rate_per_s / passed.rate_per_s <= GAP:
        if result.confirmed >= CONFIRMATIONS:
            return RateTrial(stage="search", rate_per_s=breach.rate_per_s)
        return RateTrial(stage="confirm", rate_per_s=passed.rate_per_s)
    return RateTrial(stage="search", rate_per_s=_next_rate(passed, breach, start_per_s))


def summarize_probes(probes: Sequence[Probe]) -> SearchResult:
    """Summarize the probes so far."""
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


def _is_over(probes: Sequence[Probe], result: SearchResult) -> bool:
    passed, breach = result.passed, result.breach
    if passed is None:
        return breach is not None and breach.rate_per_s / 2 < _LEAST_PER_S
    if breach is None:
        return passed.rate_per_s * 2 > _MOST_PER_S
    settled = breach.rate_per_s / passed.rate_per_s <= GAP and result.confirmed >= CONFIRMATIONS
    # The lowest failed rate was tried again after the first confirmation.
    confirms = [number for number, probe in enumerate(probes) if probe.stage == "confirm"]
    return settled and any(
        probe.rate_per_s == breach.rate_per_s and probe.outcome is CheckOutcome.FAIL
        for probe in probes[confirms[0] :]
    )


def _fate(probes: Sequence[Probe], rate_per_s: float) -> CheckOutcome | None:
    """Return the outcome of a rate; None if it has to be tried again."""
    outcomes = [probe.outcome for probe in probes if probe.rate_per_s == rate_per_s]
    sound = [outcome for outcome in outcomes if outcome is not CheckOutcome.INVALID][-_LAST:]
    if not sound or outcomes[-1] is CheckOutcome.INVALID:
        return None
    last = sound[-1]
    # A first pass is accepted, because it will be confirmed; a first failure is not.
    if sound.count(last) >= _MOST or sound == [CheckOutcome.PASS]:
        return last
    return None


def _breach(probes: Sequence[Probe]) -> Probe | None:
    """Return the lowest failed rate, with its last failed probe."""
    failed = [
        probe
        for probe in probes
        if probe.outcome is CheckOutcome.FAIL and _fate(probes, probe.rate_per_s) is CheckOutcome.FAIL
    ]
    return min(reversed(failed), key=lambda probe: probe.rate_per_s, default=None)


def _passed(probes: Sequence[Probe], breach: Probe | None) -> Probe | None:
    """Return the highest passed rate below the lowest failed one."""
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
        return f"{_MOST_PROBES} probes did not settle it, because the server's capacity keeps changing"
    return None


def _invalid_in_a_row(probes: Sequence[Probe]) -> int:
    """Count the INVALID probes at the end."""
    return len(list(takewhile(lambda probe: probe.outcome is CheckOutcome.INVALID, reversed(probes))))
