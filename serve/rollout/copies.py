"""Copies: what became of the copies for one shadow. They add up, over batches and gateways."""

from dataclasses import dataclass, field

from serve.rollout.evidence import Comparison, Drop

# Slices that are kept apart.
MOST_SLICES = 32
_OTHER = "other"


@dataclass(kw_only=True, slots=True)
class Copies:
    """What became of the copies for one shadow."""

    pairs: Comparison = field(default_factory=Comparison)
    outputs: dict[str, Comparison] = field(default_factory=dict)
    slices: dict[str, Comparison] = field(default_factory=dict)
    # Rows, in all and by why.
    dropped: int = 0
    drops: dict[Drop, int] = field(default_factory=dict)


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
