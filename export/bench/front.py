"""Compares our variants with the points of other tools, and judges the targets. Pure functions."""

from collections.abc import Sequence
from typing import Literal

from export.bench.report import BenchTarget, ImagePoint, Rival, TextPoint, describe

# Medians of two measurements of the same graph differ by about this share.
_NOISE = 0.03
# Rounding of a mean cosine, a correlation or a share.
_ROUNDING = 0.0005
# The targets for images: the speed-up, and the acceptable loss of accuracy.
_IMAGE_SPEEDUP = 6
_IMAGE_LOSS = 0.005


def find_front(points: Sequence[TextPoint]) -> tuple[Rival, ...]:
    """Return, for every point of another tool, our variants that are at least as fast at every shape (within
    the noise) and at least as faithful by cosine and rank correlation."""
    ours = [point for point in points if point.tool is None]
    return tuple(
        Rival(name=rival.name, covered_by=tuple(point.name for point in ours if _covers(point, rival)))
        for rival in points
        if rival.tool is not None
    )


def _covers(ours: TextPoint, rival: TextPoint) -> bool:
    fast = all(own >= other * (1 - _NOISE) for own, other in zip(ours.speedups, rival.speedups, strict=True))
    return (
        fast
        and ours.cosine >= rival.cosine - _ROUNDING
        and ours.rank_correlation >= rival.rank_correlation - _ROUNDING
    )


def judge_targets(
    texts: Sequence[TextPoint], images: Sequence[ImagePoint], front: Sequence[Rival], silent: Sequence[str]
) -> tuple[BenchTarget, ...]:
    """Judge each target. `silent`: variants that are slower than fp32 without a warning in their bundle."""
    whole = [point for point in texts if point.tool is None and "distil" not in point.name]
    short = [point for point in texts if point.tool is None and "distil-3" in point.name]
    open_points = [rival.name for rival in front if not rival.covered_by]
    return (
        _judge_text("minilm", [point for point in whole if point.name == "int8"], 2.1, "cosine", 0.99),
        _judge_text("minilm, all layers", whole, 3, "cosine", 0.985),
        _judge_text("minilm, 3 layers", short, 4, "rank_correlation", 0.95),
        BenchTarget(
            asked="minilm: every point of a rival covered",
            got=f"open: {', '.join(open_points)}" if open_points else "all covered",
            met=not open_points,
        ),
        _judge_images(images),
        BenchTarget(
            asked="all: none slower than fp32 without saying so",
            got=f"silent: {', '.join(silent)}" if silent else "none",
            met=not silent,
        ),
    )


def _judge_text(
    what: str,
    points: Sequence[TextPoint],
    speedup: float,
    figure: Literal["cosine", "rank_correlation"],
    least: float,
) -> BenchTarget:
    """Judge the best of the points (with at least `least` of the figure, if any) by its slowest shape, which
    must be `speedup` times as fast as fp32."""
    asked = f"{what}: {speedup:g}x at {figure.replace('_', ' ')} {least:g}"
    if not points:
        return BenchTarget(asked=asked, got="no such variant", met=False)
    best = max(points, key=lambda point: (getattr(point, figure) >= least, min(point.speedups)))
    got = (
        f"{best.name}: {min(best.speedups):.2f}x to {max(best.speedups):.2f}x, "
        f"cosine {best.cosine:.4f}, rank correlation {best.rank_correlation:.4f}"
    )
    met = getattr(best, figure) >= least and min(best.speedups) >= speedup
    return BenchTarget(asked=asked, got=got, met=met)


def _judge_images(points: Sequence[ImagePoint]) -> BenchTarget:
    asked = f"digits-resnet slim-int8: {_IMAGE_SPEEDUP}x at {100 * _IMAGE_LOSS:g} points of accuracy"
    for point in points:
        if point.name == "slim-int8":
            speed = f"{min(point.speedups):.2f}x to {max(point.speedups):.2f}x"
            met = min(point.speedups) >= _IMAGE_SPEEDUP and point.accuracy.change >= -_IMAGE_LOSS
            return BenchTarget(asked=asked, got=f"{speed}, accuracy {describe(point.accuracy)}", met=met)
    return BenchTarget(asked=asked, got="no such variant", met=False)
