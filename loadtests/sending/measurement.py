"""Measurement: what one run measured."""

from dataclasses import dataclass

from loadtests.judging.contention import Contention
from loadtests.sending.samples import Samples


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The raw outcome of one run, from which all figures are made."""

    samples: Samples
    # In ISO 8601.
    started_at: str
    # False: it was ended early by Ctrl-C.
    complete: bool
    # When the sending ended: with the plan's duration, or earlier where it was enough.
    sent_until_s: float
    # From the first intended moment to the end of the last request, and the CPU time of this process then.
    wall_s: float
    cpu_s: float
    # How often the next request had to wait because too many were in flight.
    pool_full: int
    # Share of the machine's CPU time that its host gave to others meanwhile; None: it does not tell.
    steal: float | None
    # What other programs of this machine took from the sender; None: it was several senders.
    contention: Contention | None = None
