"""Copies: what became of those for a shadow, added up over requests and gateways."""

from serve.rollout.census import Copies
from serve.rollout.evidence import Comparison

MOST_SLICES = 32
_OTHER = "other"


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
    total.dropped += more.dropped
    for why, rows in more.drops.items():
        total.drops[why] = total.drops.get(why, 0) + rows
