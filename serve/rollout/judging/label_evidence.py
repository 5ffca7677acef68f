"""Add labels to the evidence of their rollout. Pure."""

from collections.abc import Iterable, Mapping

from serve.rollout.evidence.evidence import Evidence, Segment
from serve.rollout.evidence.matched_pairs import MatchedPairs


def with_labels(
    evidence: Evidence, labels: Iterable[Segment], matched: Mapping[int, MatchedPairs] | None = None
) -> Evidence:
    """`evidence` with all `labels` of its rollout in place of its former ones, and with the labels of its
    shadow, `matched`; None: unchanged."""
    if matched is not None and matched != evidence.matched:
        evidence = evidence.model_copy(update={"matched": matched})
    segments = {segment.key: segment for segment in evidence.segments}
    for labelled in labels:
        known = segments.get(labelled.key, labelled)
        segments[labelled.key] = known.model_copy(
            update={"labelled": labelled.labelled, "wrong": labelled.wrong}
        )
    after = tuple(segments[key] for key in sorted(segments))
    return evidence if after == evidence.segments else evidence.model_copy(update={"segments": after})
