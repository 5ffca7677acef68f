"""The results of the copies for one shadow. They can be added over batches and gateways."""

from dataclasses import dataclass, field
from enum import StrEnum

from serve.counting.comparison import Comparison

# The number of slices that are counted separately.
MOST_SLICES = 32
# The most answers that a gateway keeps for later labels while no keeper takes them.
_MOST_MATCHED = 100_000
_OTHER = "other"


class Drop(StrEnum):
    """Why a copy was dropped."""

    # The queue of the shadow was full.
    FULL = "full"
    # The shadow was not running.
    DOWN = "down"
    # Live requests were waiting; they have priority.
    BUSY = "busy"
    # The server had an internal error.
    FAULT = "fault"


@dataclass(kw_only=True, slots=True)
class ShadowResults:
    """The results of the copies for one shadow."""

    pairs: Comparison = field(default_factory=Comparison)
    outputs: dict[str, Comparison] = field(default_factory=dict)
    slices: dict[str, Comparison] = field(default_factory=dict)
    # Rows, in total and by reason.
    dropped: int = 0
    drops: dict[Drop, int] = field(default_factory=dict)
    # For requests that may be labelled: request id -> (top class of the baseline's answer, of the
    # candidate's). `classes` is the number of classes.
    matched: dict[str, tuple[int, int]] = field(default_factory=dict)
    classes: int = 0


def add_copies(total: ShadowResults, more: ShadowResults) -> None:
    """Add `more` to `total`. The first slices are counted separately, all others together."""
    if more.pairs.pairs or more.pairs.explanation_overlap.count:
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
