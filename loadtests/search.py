"""Search: which rate to try next, from what has been tried. Pure: it forgets nothing and keeps nothing.

Rates double until one does not pass, then the gap is halved (geometrically) until it is a twentieth; the highest
rate that passed is confirmed with fresh seeds, and counts as not passed when one of them says so."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from loadtests.report import Outcome, Probe

# The highest rate that passes and the lowest that does not are no further apart.
GAP = 1.05
CONFIRMATIONS = 3
# At 0.5 requests per second a p99 takes half an hour.
_LEAST_PER_S = 0.5
_MOST_PER_S = 100_000.0
# Around a boundary that moves there is nothing to be found.
_MOST_PROBES = 40
# What went wrong on our own side is tried once more, no oftener.
_MOST_INVALID = 2


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What to try next."""

    stage: Literal["search", "confirm"]
    rate_per_s: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where a search ended. None: there is no such rate."""

    passed: Probe | None
    breach: Probe | None
    confirmed: int
    # Why the end is no answer; None: it is one.
    trouble: str | None


def next_trial(probes: Sequence[Probe], start_per_s: float) -> Trial | Found:
    """What follows from the probes of one variant so far."""
    invalid = [probe for probe in probes if probe.outcome is Outcome.INVALID]
    breach = _breach(probes)
    passed = _passed(probes, breach)
    trouble = _trouble(probes, invalid)
    if trouble is not None or _hopeless(passed, breach):
        return _found(probes, passed, breach, trouble)
    if probes and probes[-1].outcome is Outcome.INVALID:
        return Trial(stage=probes[-1].stage, rate_per_s=probes[-1].rate_per_s)
    if passed is None:
        return Trial(stage="search", rate_per_s=breach.rate_per_s / 2 if breach else start_per_s)
    if breach is None:
        return Trial(stage="search", rate_per_s=passed.rate_per_s * 2)
    if breach.rate_per_s / passed.rate_per_s > GAP:
        return Trial(stage="search", rate_per_s=(breach.rate_per_s * passed.rate_per_s) ** 0.5)
    if _confirmed(probes, passed) < CONFIRMATIONS:
        return Trial(stage="confirm", rate_per_s=passed.rate_per_s)
    return _found(probes, passed, breach, None)


def _breach(probes: Sequence[Probe]) -> Probe | None:
    """The lowest rate that did not pass."""
    failed = [probe for probe in probes if probe.outcome is Outcome.FAIL]
    return min(failed, key=lambda probe: probe.rate_per_s, default=None)


def _passed(probes: Sequence[Probe], breach: Probe | None) -> Probe | None:
    """The highest rate below that passed."""
    below = [
        probe
        for probe in probes
        if probe.outcome is Outcome.PASS and (breach is None or probe.rate_per_s < breach.rate_per_s)
    ]
    return max(below, key=lambda probe: probe.rate_per_s, default=None)


def _confirmed(probes: Sequence[Probe], passed: Probe) -> int:
    return sum(
        probe.stage == "confirm" and probe.outcome is Outcome.PASS and probe.rate_per_s == passed.rate_per_s
        for probe in probes
    )


def _trouble(probes: Sequence[Probe], invalid: Sequence[Probe]) -> str | None:
    if invalid:
        last = invalid[-1]
        same = [probe for probe in invalid if probe.rate_per_s == last.rate_per_s]
        if len(same) >= _MOST_INVALID:
            return f"at {last.rate_per_s:,.4g}/s: {last.reason}"
    if len(probes) >= _MOST_PROBES:
        return f"{len(probes)} probes did not settle it: what the server can do changes meanwhile"
    return None


def _hopeless(passed: Probe | None, breach: Probe | None) -> bool:
    if passed is None:
        return breach is not None and breach.rate_per_s / 2 < _LEAST_PER_S
    return breach is None and passed.rate_per_s * 2 > _MOST_PER_S


def _found(
    probes: Sequence[Probe], passed: Probe | None, breach: Probe | None, trouble: str | None
) -> Found:
    confirmed = 0 if passed is None else _confirmed(probes, passed)
    return Found(passed=passed, breach=breach, confirmed=confirmed, trouble=trouble)
