"""Labelled: evidence with the labels of its rollout. Pure."""

from collections.abc import Iterable

from serve.rollout.evidence import Evidence, Segment


def with_labels(evidence: Evidence, labels: Iterable[Segment]) -> Evidence:
    """`evidence` with `labels`, which are all of its rollout so far, instead of those that it had."""
    segments = {segment.key: segment for segment in evidence.segments}
    for told in labels:
        known = segments.get(told.key, told)
        segments[told.key] = known.model_copy(update={"labelled": told.labelled, "wrong": told.wrong})
    after = tuple(segments[key] for key in sorted(segments))
    return evidence if after == evidence.segments else evidence.model_copy(update={"segments": after})
