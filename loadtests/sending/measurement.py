"""The raw result of one run."""

from dataclasses import dataclass

from loadtests.judging.contention import Contention
from loadtests.sending.samples import Samples


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The raw result of one run, from which all figures are computed."""

    samples: Samples
    # Start time in ISO 8601.
    started_at: str
    # False if Ctrl-C ended the run early.
    complete: bool
    # When sending ended: at the plan's duration, or earlier if `is_enough` ended it.
    sent_until_s: float
    # Time from the first scheduled request to the end of the last one, and this process's CPU time in it.
    wall_s: float
    cpu_s: float
    # How often a request had to wait because too many were in flight.
    pool_full: int
    # Share of the CPU time that the machine's host gave to other guests; None if the system does not report
    # it.
    steal: float | None
    # Contention by other programs on this machine; None if there were several senders.
    contention: Contention | None = None
