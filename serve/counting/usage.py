"""Usage: what the server's processes have cost so far, by what they are for."""

from dataclasses import dataclass
from typing import Literal, NamedTuple


class ProcessRole(NamedTuple):
    """What a process is for. `ray` is what is none of the others: the server's own and Ray's."""

    name: Literal["gateway", "keeper", "ray", "variant"]
    # Of a variant that is placed apart; None: of anything else.
    model: str | None = None
    variant: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PartUsage:
    """All processes of one part together."""

    part: ProcessRole
    # As of the last reading; what a process spent that is gone since is kept, so it only grows.
    cpu_s: float
    # Of those that are there. What several of them share counts for each.
    resident_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """One reading."""

    # When, in seconds since 1970.
    read_s: float
    parts: tuple[PartUsage, ...]
