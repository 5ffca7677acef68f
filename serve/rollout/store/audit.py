"""Check the stored trail and evidence of a model for changes. Pure."""

import json
from collections.abc import Mapping

from serve.base.errors import CounterweightError
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.trail.anchor import TrailEnd
from serve.rollout.trail.growth import shrunk
from serve.rollout.trail.seal_key import SealKey
from serve.rollout.trail.trail import Entry, broken_seals

# Rollout -> its evidence as JSON, and the seal; None: written without a key.
Rows = Mapping[str, tuple[str, str | None]]


def audit(
    trail: tuple[Entry, ...],
    rows: Rows,
    last: TrailEnd | None,
    accepted: TrailEnd | None,
    key: SealKey | None,
) -> tuple[str, ...]:
    """The faults of a trail: changed, missing or inserted entries, a cut-off end, or changed evidence.

    Verdicts are not computed again: nobody can seal changes without the key, and `replay` exists for people
    who have the key."""
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
    """The text that the seal of a row of evidence covers."""
    return json.dumps(["evidence", rollout, content])


def _behind(trail: tuple[Entry, ...], head: TrailEnd | None) -> list[str]:
    """What the anchor has and the trail lacks."""
    if head is None or not head.number:
        return []
    match = next((entry for entry in trail if entry.number == head.number), None)
    if match is None:
        last = trail[-1].number if trail else 0
        return [f"entry {head.number} was written, but the trail ends with entry {last}: its end was cut off"]
    if match.digest != head.digest:
        return [f"entry {head.number} differs from the anchor: it was rewritten"]
    return []


def _without_key(trail: tuple[Entry, ...], last: TrailEnd | None, key: SealKey | None) -> list[str]:
    """The fault that the trail may have been sealed anew without a key: a new key adds such trails to the
    anchor."""
    if key is None or last is not None or not trail or ":" in trail[-1].digest:
        return []
    return [
        f"it is sealed without a key although the key {key.name} exists, and the anchor has no line for it: "
        "anybody may have written it"
    ]


def _evidence(trail: tuple[Entry, ...], rows: Rows, key: SealKey | None) -> list[str]:
    """The faults in the evidence of rollouts."""
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
                faults.append(f"the evidence of {rollout} is missing")
        elif key is None or seal is None or not key.fits(evidence_text(rollout, content), seal):
            faults.append(f"the evidence of {rollout} was changed")
        elif less := shrunk(judged.get(rollout, Evidence()), Evidence.model_validate_json(content)):
            faults.append(f"the evidence of {rollout} is older than its last verdict: {less}")
    return faults
