"""Check that evidence only grows from one verdict of a rollout to the next. Pure."""

from collections.abc import Iterator

from serve.rollout.evidence.evidence import Evidence, Segment
from serve.rollout.evidence.matched_pairs import MatchedPairs


def shrunk(before: Evidence, after: Evidence) -> str | None:
    """Describe what became less or moved in time; None if nothing did."""
    if before.carried != after.carried:
        return "the evidence of earlier rollouts has changed"
    segments = {segment.key: segment for segment in after.segments}
    pairs = [("copies", before.shadow.pairs, after.shadow.pairs)]
    pairs.append(("copies that differ", before.shadow.disagreements, after.shadow.disagreements))
    pairs.append(("gateways that died of the baseline", before.deaths.baseline, after.deaths.baseline))
    pairs.append(("gateways that died of the candidate", before.deaths.candidate, after.deaths.candidate))
    shadow = [sum(each.matched.values(), MatchedPairs()) for each in (before, after)]
    pairs += [
        (f"labels of the shadow ({name})", *(getattr(each, name) for each in shadow))
        for name in MatchedPairs.model_fields
    ]
    pairs += [
        (f"count deltas of {name}", number, after.sheets.get(name, 0))
        for name, number in before.sheets.items()
    ]
    for then in before.segments:
        place = f" at {100 * then.split:.4g} %"
        now = segments.get(then.key)
        if now is None:
            return f"the evidence{place} is gone"
        if now.started_s > then.started_s or now.ended_s < then.ended_s:
            return f"the evidence{place} has moved in time"
        pairs += [(name + place, less, more) for name, less, more in _counts(then, now)]
    lost = ((name, less, more) for name, less, more in pairs if more < less)
    return next((f"{less:,} {name}, then {more:,}" for name, less, more in lost), None)


def _counts(then: Segment, now: Segment) -> Iterator[tuple[str, int, int]]:
    for name in ("requests", "errors", "over_limit", "labelled", "wrong"):
        for variant in ("baseline", "candidate"):
            less, more = (getattr(getattr(segment, name), variant) for segment in (then, now))
            yield f"{name.replace('_', ' ')} of the {variant}", less, more
