"""Audit: whether what the store holds of a model is what was written. Pure."""

import json
from collections.abc import Mapping

from serve.base.errors import CounterweightError
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.trail.anchor import TrailEnd
from serve.rollout.trail.growth import shrunk
from serve.rollout.trail.seal_key import SealKey
from serve.rollout.trail.trail import Entry, broken_seals

# Rollout -> what the store has seen of it, as JSON, and its seal; None: it was written without one.
Rows = Mapping[str, tuple[str, str | None]]


def audit(
    trail: tuple[Entry, ...],
    rows: Rows,
    last: TrailEnd | None,
    accepted: TrailEnd | None,
    key: SealKey | None,
) -> tuple[str, ...]:
    """What was changed, cut off or put in since it was written: seals, the end, and the evidence so far.

    Nothing is computed again: without the key nobody can seal what he has changed, and `replay` is there for
    whoever has the key."""
    trusted = 0 if accepted is None else accepted.number
    faults = [
        *_behind(trail, accepted),
        *broken_seals(trail, key, trusted),
        *_behind(trail, last),
        *_without_key(trail, last, key),
    ]
    if faults:
        return tuple(dict.fromkeys(faults))
    return tuple(_evidence(trail[trusted:], rows, key))


def evidence_text(rollout: str, content: str) -> str:
    """What the seal of a row of evidence is over."""
    return json.dumps(["evidence", rollout, content])


def _behind(trail: tuple[Entry, ...], head: TrailEnd | None) -> list[str]:
    """What the anchor says and the trail does not."""
    if head is None or not head.number:
        return []
    found = next((entry for entry in trail if entry.number == head.number), None)
    if found is None:
        last = trail[-1].number if trail else 0
        return [f"entry {head.number} was written, and the trail ends with entry {last}: its end is cut off"]
    if found.digest != head.digest:
        return [f"entry {head.number} is not the one that the anchor knows: it was written anew"]
    return []


def _without_key(trail: tuple[Entry, ...], last: TrailEnd | None, key: SealKey | None) -> list[str]:
    """That anybody may have sealed it anew: a key that is made puts into the anchor what had none."""
    if key is None or last is not None or not trail or ":" in trail[-1].digest:
        return []
    return [
        f"it is sealed without a key, though there is the key {key.name}, and the anchor knows nothing of "
        "it: anybody may have written it"
    ]


def _evidence(trail: tuple[Entry, ...], rows: Rows, key: SealKey | None) -> list[str]:
    """What is wrong with the evidence that rollouts have so far."""
    faults = []
    judged: dict[str, Evidence] = {}
    keyed = set()
    for entry in trail:
        if entry.rollout is None:
            continue
        if ":" in entry.digest:
            keyed.add(entry.rollout)
        try:
            change = entry.change
        except CounterweightError as error:
            return [str(error)]
        if change.judged is not None:
            judged[entry.rollout] = change.judged.evidence
    for rollout in keyed:
        content, seal = rows.get(rollout, (None, None))
        if content is None:
            if rollout in judged:
                faults.append(f"the evidence of {rollout} is lost")
        elif key is None or seal is None or not key.fits(evidence_text(rollout, content), seal):
            faults.append(f"the evidence of {rollout} is not what was written")
        elif less := shrunk(judged.get(rollout, Evidence()), Evidence.model_validate_json(content)):
            faults.append(f"the evidence of {rollout} is older than its last verdict: {less}")
    return faults
