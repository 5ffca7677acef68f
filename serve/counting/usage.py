"""The CPU time and memory of the server's processes, by role."""

from dataclasses import dataclass
from typing import Literal, NamedTuple


class ProcessRole(NamedTuple):
    """What a process is for. `ray` stands for all other processes: the server's own and Ray's."""

    name: Literal["gateway", "keeper", "ray", "variant"]
    # Set for a variant that is placed apart; None for the other roles.
    model: str | None = None
    variant: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PartUsage:
    """The usage of all processes with one role."""

    part: ProcessRole
    # Up to the last reading. The time of processes that have ended is kept, so the number only grows.
    cpu_s: float
    # Of the processes that are running. Shared memory counts once per process.
    resident_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """One reading of all processes."""

    # The time of the reading, in seconds since 1970.
    read_s: float
    parts: tuple[PartUsage, ...]
