"""How the bench judges: which rivals are covered, and which targets are met."""

from export.bench.front import find_front, judge_targets
from export.bench.report import ImagePoint, TextPoint
from serve.bundles.figures import Compared


def point(name: str, speedup: float, cosine: float, tool: str | None = None, rank: float = 0.99) -> TextPoint:
    """A graph as fast at every shape."""
    return TextPoint(
        name=name,
        tool=tool,
        size_bytes=1,
        speedups=(speedup,) * 4,
        cosine=cosine,
        rank_correlation=rank,
        neighbour=0.9,
    )


def met(texts: list[TextPoint], images: list[ImagePoint] | None = None) -> dict[str, bool]:
    """Target -> whether it is met, by the beginning of its text."""
    targets = judge_targets(texts, images or [], find_front(texts), [])
    return {target.asked.partition(":")[0]: target.met for target in targets}


def test_a_rival_is_covered_by_what_is_as_fast_and_as_faithful() -> None:
    """A rival is covered by a variant that is at least as fast and as faithful."""
    ours = [point("quick", 3, 0.98), point("true", 1, 0.999), point("both", 2.5, 0.995)]
    [rival] = find_front([*ours, point("olive", 2.4, 0.99, "Olive")])
    assert rival.covered_by == ("both",)


def test_noise_is_no_reason_against_a_variant() -> None:
    """A variant that is 2 % slower covers a rival, because that is within the noise."""
    [rival] = find_front([point("int8", 2.35, 0.99), point("ort", 2.4, 0.99, "onnxruntime")])
    assert rival.covered_by == ("int8",)


def test_an_unfaithful_variant_does_not_meet_a_target() -> None:
    """A variant with three layers meets its target only with a rank correlation of 0.95."""
    asked = "minilm, 3 layers"
    assert met([point("distil-3-int8", 5, 0.9, rank=0.96)])[asked]
    assert not met([point("distil-3-int8", 5, 0.9, rank=0.94)])[asked]


def test_a_distilled_variant_has_not_all_layers() -> None:
    """A variant with dropped layers does not meet a target that requires all layers."""
    asked = "minilm, all layers"
    assert not met([point("distil-3-int8", 5, 0.99)])[asked]
    assert met([point("lean-int8", 3.1, 0.99)])[asked]


def test_the_slowest_batch_counts() -> None:
    """A target of a speed-up must be met at each batch size."""
    accuracy = Compared(value=0.99, change=0, low=-0.005, high=0.005)
    for speedups, expected in (((6.1, 7.0), True), ((5.0, 7.0), False)):
        image = ImagePoint(name="slim-int8", size_bytes=1, speedups=speedups, accuracy=accuracy)
        assert met([], [image])["digits-resnet slim-int8"] is expected
