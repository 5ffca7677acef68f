"""The outcome of one check, and the verdict of all checks."""

from enum import StrEnum
from typing import Literal

from serve.base.record import Record


class CheckOutcome(StrEnum):
    """The outcome of a check, a probe, or the whole test."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    # For a gate: the figures cannot be trusted. For a guard: they do not suffice for a decision.
    INVALID = "INVALID"


class Check(Record):
    """One condition that was checked."""

    # For example "sender on time" or "errors of slim-int8".
    name: str
    # A gate checks whether the figures can be trusted, a guard whether the limits are kept; a caveat limits
    # the reliability of some figures and does not affect the verdict.
    kind: Literal["gate", "guard", "caveat"]
    outcome: CheckOutcome
    # The measured value and the condition in words, with numbers and units.
    seen: str
    wanted: str
    # The share of the limit that was used; at 1 the limit is reached. None if the condition has no degrees.
    used: float | None = None


class LoadVerdict(Record):
    """The verdict of all checks: INVALID before FAIL before undecided before PASS."""

    outcome: CheckOutcome
    # A sentence for each check that did not pass; empty for PASS.
    reasons: tuple[str, ...]
    # The name of the check that decided: the first that did not pass, or the closest to its limit.
    binding: str | None
