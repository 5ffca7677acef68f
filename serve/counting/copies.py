"""Copies: what became of the copies for one shadow. They add up, over batches and gateways."""

from dataclasses import dataclass, field
from enum import StrEnum

from serve.counting.comparison import Comparison

# Slices that are kept apart.
MOST_SLICES = 32
# Answers that labels may come for and that a gateway holds at most while no keeper takes them.
_MOST_MATCHED = 100_000
_OTHER = "other"


class Drop(StrEnum):
    """Why a copy was dropped."""

    # The shadow's queue was full.
    FULL = "full"
    # The shadow was not up.
    DOWN = "down"
    # Live requests were waiting, which come first.
    BUSY = "busy"
    # A fault of the server.
    FAULT = "fault"


@dataclass(kw_only=True, slots=True)
class Copies:
    """What became of the copies for one shadow."""

    pairs: Comparison = field(default_factory=Comparison)
    outputs: dict[str, Comparison] = field(default_factory=dict)
    slices: dict[str, Comparison] = field(default_factory=dict)
    # Rows, in all and by why.
    dropped: int = 0
    drops: dict[Drop, int] = field(default_factory=dict)
    # Where labels may come: the id of a request -> the classes on top of the baseline's answer and of the
    # candidate's, of so many classes.
    matched: dict[str, tuple[int, int]] = field(default_factory=dict)
    classes: int = 0


def add_copies(total: Copies, more: Copies) -> None:
    """Add `more` to `total`. Of slices the first are kept apart, the rest goes together."""
    if more.pairs.pairs:
        total.pairs += more.pairs
    for name, part in more.outputs.items():
        total.outputs[name] = total.outputs.get(name, Comparison()) + part
    for name, part in more.slices.items():
        known = name in total.slices or len(total.slices) < MOST_SLICES
        kept = name if known else _OTHER
        total.slices[kept] = total.slices.get(kept, Comparison()) + part
    if len(total.matched) + len(more.matched) <= _MOST_MATCHED:
        total.matched |= more.matched
    total.classes = max(total.classes, more.classes)
    total.dropped += more.dropped
    for why, rows in more.drops.items():
        total.drops[why] = total.drops.get(why, 0) + rows
